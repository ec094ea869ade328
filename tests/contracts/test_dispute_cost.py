"""The benchmark of disputes: whole ones at the size of 10^9 parameters, and what was committed (D-18)."""

from __future__ import annotations

import json

import pytest

from benchmarks.dispute_cost import PRESET, Cost, dispute
from benchmarks.model_sizes import SIZES, Shape
from benchmarks.sparse_tree import SparseTree
from benchmarks.whole_dispute import Sent
from protocol.chain.artifacts import CONTRACTS
from protocol.commitments.tree import Tree, list_levels
from protocol.game import bounds

RESULTS = CONTRACTS.parent / "benchmarks" / "results" / "dispute_cost.json"
LARGEST = SIZES[-1]
CLOSE = 0.01


def committed() -> list[dict[str, object]]:
    """The rows of the first table for the largest model: contiguous, strided."""
    rows = next(iter(json.loads(RESULTS.read_text())["tables"].values()))
    return [row for row in rows if row["parameters"] == LARGEST.parameters]


@pytest.fixture(scope="module", params=[False, True], ids=["contiguous", "strided"])
def played(request: pytest.FixtureRequest) -> tuple[bool, list[Sent]]:
    row = committed()[0]
    nodes = int(str(row["nodes"]))
    shape = Shape(
        n_nodes=nodes, n_slots=1172, largest_tensor=LARGEST.largest_tensor, longest_fold=LARGEST.longest_fold
    )
    choices = {"fanout_log2": PRESET.fanout_log2, "range_log2": PRESET.range_log2}
    return request.param, dispute(shape, **choices, strided=request.param)


def test_the_committed_figures_are_those_of_the_contracts(played: tuple[bool, list[Sent]]) -> None:
    """To a hundredth; `benchmarks.dispute_cost --json benchmarks/results/dispute_cost.json` renews them."""
    strided, sent = played
    row, cost = committed()[int(strided)], Cost.of(sent)
    assert cost.transactions == row["transactions"]
    for name in ("at_16", "at_40", "charged", "largest", "witness"):
        assert getattr(cost, name) == pytest.approx(row[name], rel=CLOSE), name


def test_the_count_of_calldata_is_that_of_receipts(played: tuple[bool, list[Sent]]) -> None:
    assert [tx.at_prague for tx in played[1]] == [tx.charged for tx in played[1]]


def test_no_transaction_comes_near_what_p12_allows(played: tuple[bool, list[Sent]]) -> None:
    assert max(tx.at(16) for tx in played[1]) < 8_000_000
    assert max(tx.zeros + tx.others for tx in played[1]) < 98_304


def test_a_segment_of_2_to_the_48_operations_takes_18_transactions() -> None:
    """D-18: the transformer of 10^8 parameters, down to a range of its longest fold, a page per term."""
    size = SIZES[4]
    assert size.segment_operations >= 1 << 48
    shape = Shape(
        n_nodes=3_494, n_slots=1_000, largest_tensor=size.largest_tensor, longest_fold=size.longest_fold
    )
    choices = {"fanout_log2": PRESET.fanout_log2, "range_log2": PRESET.range_log2}
    geometry = shape.geometry(**choices)
    assert geometry.stride + 1 <= 128
    sent = dispute(shape, **choices, strided=True)
    lists = bounds.longest(geometry, ranges=-(-size.longest_fold // (1 << PRESET.range_log2)))
    assert len(sent) == lists.transactions == 18
    assert [tx.name for tx in sent].count("commit") == 3
    assert (sent[0].name, sent[-2].name, sent[-1].name) == ("open", "prove", "settle")
    assert max(tx.at(16) for tx in sent) < 8_000_000
    assert max(tx.zeros + tx.others for tx in sent) < 98_304


@pytest.mark.parametrize("fanout", [0, 1, 3])
def test_a_sparse_tree_is_a_tree(fanout: int) -> None:
    sparse = SparseTree({5: b"\5" * 32, 9: b"\7" * 32}, 4, "test", fanout)
    for leaf in (5, 9):
        node, index = sparse.node(0, leaf), leaf
        for sibling in sparse.path(leaf):
            node = Tree([node, sibling] if index % 2 == 0 else [sibling, node], 1).root
            index //= 2
        assert node == sparse.root
    if fanout:
        levels = list_levels(4, fanout)
        assert Tree(sparse.children(4, 0, levels), levels).root == sparse.root
