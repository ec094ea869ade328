"""Several nodes: which is used, which is left, what they contradict each other about (A-20, A-21)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gavel.cli import cli
from gavel.doctor.chain import check_chain
from gavel.doctor.findings import Level
from protocol.chain.agreement import disagreements, require_agreement
from protocol.chain.client import Client
from protocol.chain.contract import Contract
from protocol.chain.deployment import Contracts, deploy
from protocol.chain.devnet import Devnet
from protocol.chain.embedded import EmbeddedChain, EmbeddedProvider
from protocol.chain.fees import Sending
from protocol.chain.nodes import BURIED, LAG_BLOCKS, LAG_SECONDS, STALE, Nodes, Pace
from protocol.errors import ChainError, MismatchError
from tests.support.nodes import Fickle
from tests.support.watching import Lines

NOBODY = "0x" + "11" * 20
EAGER = Pace(others=0, split=0)
JOB = b"\x07" * 32


@pytest.fixture(scope="module")
def chain() -> EmbeddedChain:
    return EmbeddedChain(accounts=3)


@pytest.fixture(scope="module")
def contracts(chain: EmbeddedChain) -> Contracts:
    return deploy(Client(EmbeddedProvider(chain), key=chain.keys[0]))


class Group:
    """Some nodes of one chain, and a client that uses them."""

    def __init__(self, chain: EmbeddedChain, count: int, **options: Any) -> None:
        self.chain, self.log, self.ahead = chain, Lines(), 0
        self.nodes = [Fickle.of(chain) for _ in range(count)]
        options = {"pace": EAGER, "wall": lambda: self._time() + self.ahead} | options
        self.used = Nodes([(f"node {n}", node.provider) for n, node in enumerate(self.nodes, 1)], **options)
        self.client = Client(self.used, key=chain.keys[0])
        self.client.tell(self.log)

    def _time(self) -> int:
        return int(self.chain.rpc("eth_getBlockByNumber", ["latest"])["timestamp"], 16)

    def mine(self, blocks: int) -> None:
        for _ in range(blocks):
            self.chain.rpc("evm_mine", [])

    def look(self) -> str:
        """Look at the chain; the name of the node that told of it."""
        self.client.latest()
        return self.used.current


@pytest.fixture
def three(chain: EmbeddedChain, contracts: Contracts) -> Group:
    return Group(chain, 3, code=_code(contracts))


@pytest.fixture
def two(chain: EmbeddedChain, contracts: Contracts) -> Group:
    return Group(chain, 2)


def _code(contracts: Contracts) -> dict[str, str]:
    where = contracts.deployment
    return {str(getattr(where, name)): digest for name, digest in where.code.items()}


def _head(chain: EmbeddedChain) -> int:
    return int(chain.rpc("eth_blockNumber", []), 16)


def test_the_first_node_is_used_and_the_next_while_it_is_away(three: Group) -> None:
    assert three.look() == "node 1"
    three.nodes[0].off = True
    assert three.look() == "node 2"
    three.nodes[1].off = True
    assert three.look() == "node 3"
    three.nodes[0].off = False
    assert three.look() == "node 1"
    left = three.log.saying("leaves node 1")
    assert left == ["leaves node 1, which does not answer (ConnectionError); uses node 2"]
    assert three.log.saying("goes back to node 1")
    assert three.log.at("error") == []
    switched = [fields for _, _, fields in three.log.told if "switched" in fields]
    assert [fields["node"] for fields in switched] == ["node 2", "node 3", "node 1"]


def test_a_node_that_goes_away_between_two_reads_is_followed_by_one_at_the_same_block(three: Group) -> None:
    three.look()
    three.nodes[0].off = True
    assert three.client.code(three.client.address) == b""  # the caller sees nothing of it
    assert three.used.current == "node 2"


def test_reads_never_go_on_at_another_branch(two: Group) -> None:
    two.mine(1)
    number = two.client.block_number()
    two.nodes[0].off = True
    two.nodes[1].frozen = number - 1  # it has not seen the block that the last reads were made at
    with pytest.raises(ChainError, match="no other is at its latest block"):
        two.client.code(NOBODY)  # type: ignore[arg-type]
    two.nodes[1].frozen, two.nodes[1].forked = None, number
    two.nodes[0].off = False
    two.look()
    two.nodes[0].off = True
    with pytest.raises(ChainError, match="no other is at its latest block"):
        two.client.code(NOBODY)  # type: ignore[arg-type]
    assert two.look() == "node 2"  # what is read from here on is read at that branch alone


def test_with_no_node_left_each_is_named_with_what_is_wrong(two: Group) -> None:
    two.nodes[0].off, two.nodes[1].chain_id = True, 5
    two.mine(1)
    with pytest.raises(ChainError) as failed:
        two.look()
    assert "node 1 does not answer" in str(failed.value)
    assert "node 2 is on chain 5, not on chain 31337" in str(failed.value)
    two.nodes[1].chain_id = None
    assert two.look() == "node 2"


def test_a_failing_node_is_asked_less_and_less(chain: EmbeddedChain) -> None:
    group = Group(chain, 2, pace=Pace(others=0.02, split=0))
    group.look()
    group.nodes[1].off = True
    for _ in range(3):
        group.used._nodes[1].due = 0
        group.look()
    assert group.used._nodes[1].failures == 3
    assert len(group.log.saying("node 2 does not answer")) == 1


@pytest.mark.parametrize("switch", ["chain id", "genesis", "code"])
def test_a_node_that_switches_its_chain_is_left_at_once(three: Group, switch: str) -> None:
    other = EmbeddedChain(accounts=1, genesis_time=1_700_000_000)
    assert three.look() == "node 1"
    three.mine(1)
    if switch == "chain id":
        three.nodes[0].chain_id = 1
    elif switch == "genesis":
        three.nodes[0]._upstream = other.rpc
    else:
        three.nodes[0].off = True
        three.look()
        three.nodes[0].off = False
        three.nodes[0].lie = lambda method, _, told: "0x6000" if method == "eth_getCode" else told
    assert three.look() == "node 2"
    expected = {
        "chain id": "is on chain 1",
        "genesis": "is on another chain: block 0",
        "code": "has other code",
    }
    assert three.log.saying(expected[switch])
    assert three.look() == "node 2"


def test_a_single_node_that_switches_its_chain_is_not_believed(chain: EmbeddedChain) -> None:
    group = Group(chain, 1)
    group.look()
    group.nodes[0]._upstream = EmbeddedChain(accounts=1, genesis_time=1_700_000_000).rpc
    with pytest.raises(ChainError, match="is on another chain: block 0 is 0x"):
        group.look()
    group.nodes[0]._upstream = chain.rpc
    group.look()


def test_a_branch_that_leaves_below_what_is_buried_is_another_chain(contracts: Contracts) -> None:
    chain = EmbeddedChain(accounts=1)
    group = Group(chain, 1, code={})
    group.mine(2 * BURIED + 5)
    group.look()
    group.nodes[0].forked = BURIED + 6  # above what is known to be buried: a reorganisation
    group.mine(1)
    group.look()
    group.nodes[0].forked = BURIED
    group.mine(1)
    with pytest.raises(ChainError, match=f"is on another chain: block {BURIED + 5} "):
        group.look()


def test_a_node_that_lags_is_left_and_taken_again(two: Group) -> None:
    two.look()
    two.nodes[0].frozen = _head(two.chain)
    two.mine(LAG_BLOCKS)
    two.ahead = LAG_SECONDS + 1
    assert two.look() == "node 1"
    two.mine(1)
    assert two.look() == "node 2"
    assert "blocks behind" in two.log.saying("leaves node 1")[0]
    two.nodes[0].frozen = None
    assert two.look() == "node 1"
    # One that stands still for long is left even where blocks are rare.
    two.nodes[0].frozen = _head(two.chain)
    two.chain.rpc("evm_increaseTime", [STALE + 10])
    two.mine(1)
    two.ahead = 0
    assert two.look() == "node 2"


def test_a_head_that_is_made_up_does_not_make_others_look_late(three: Group) -> None:
    three.look()
    three.nodes[2].lie = _far_ahead
    three.ahead = LAG_SECONDS + 1
    assert three.look() == "node 1"
    # Of two nobody knows which; but a head that is fresh by this machine's clock is not behind.
    pair = Group(three.chain, 2)
    pair.nodes[1].lie = _far_ahead
    assert pair.look() == "node 1"


def _far_ahead(method: str, params: list[Any], told: Any) -> Any:
    if method == "eth_getBlockByNumber" and params[0] == "latest":
        return told | {"number": hex(int(told["number"], 16) + 1000), "hash": "0x" + "ab" * 32}
    return told


def test_two_nodes_that_disagree_are_both_named_and_the_first_is_used(two: Group) -> None:
    two.mine(10)
    two.look()
    two.nodes[1].forked = _head(two.chain) - 9
    assert two.look() == "node 1"
    [said] = two.log.at("error")
    assert said.startswith("NODES DISAGREE: block ")
    assert "at node 1" in said
    assert "at node 2" in said
    two.mine(1)
    two.look()
    assert len(two.log.at("error")) == 1  # not at every look


def test_the_last_blocks_may_differ_for_a_moment(chain: EmbeddedChain) -> None:
    group = Group(chain, 2, pace=Pace(others=0, split=60))
    group.mine(10)
    group.nodes[1].forked = _head(chain) - 1
    group.look()
    assert group.log.at("error") == []
    group.nodes[1].forked = None
    group.look()
    group.used._pace = EAGER  # and where they differ for longer, it is said
    group.nodes[1].forked = _head(chain)
    group.look()
    assert len(group.log.at("error")) == 1


def test_of_three_the_one_that_disagrees_is_left_for_as_long_as_it_does(three: Group) -> None:
    three.mine(10)
    three.nodes[0].forked = _head(three.chain) - 9
    three.look()
    for _ in range(3):
        three.mine(1)
        assert three.look() == "node 2"
    assert "disagrees with most" in dict(three.used.describe())["node 1"]
    assert dict(three.used.describe())["node 2"] == "in use"
    three.nodes[0].forked = None
    three.look()
    assert three.look() == "node 1"


@pytest.mark.parametrize(
    "told", [None, [], {"number": "0x5"}, {"number": "x", "hash": "0x", "timestamp": "0x0"}]
)
def test_a_node_that_answers_nonsense_is_left(two: Group, told: object) -> None:
    two.look()
    two.nodes[0].lie = lambda method, _, true: told if method == "eth_getBlockByNumber" else true
    assert two.look() == "node 2"


# ---------------------------------------------------------------- what decides over money


@pytest.fixture
def compared(two: Group, contracts: Contracts) -> tuple[Group, Contracts]:
    two.look()
    return two, Contracts.bind(two.client, contracts.deployment)


def test_nodes_that_tell_the_same_of_a_job_agree(compared: tuple[Group, Contracts]) -> None:
    group, bound = compared
    block = group.client.block_number()
    assert list(disagreements(bound, JOB, block=block, updates=[JOB])) == []
    require_agreement(bound, JOB, block=block)
    group.nodes[1].off = True
    assert list(disagreements(bound, JOB, block=block)) == []


@pytest.mark.parametrize("liar", [0, 1])
def test_a_node_that_hides_an_update_is_found_by_the_other(
    compared: tuple[Group, Contracts], liar: int
) -> None:
    group, bound = compared
    group.nodes[liar].lie = _hiding
    block = group.client.block_number()
    [first, *_] = disagreements(bound, JOB, block=block)
    assert first == f"the job's tip at the end of block {block} is another at node 1 than at node 2"
    with pytest.raises(MismatchError, match=r"NODES DISAGREE: the job's tip .* nothing was done"):
        require_agreement(bound, JOB, block=block)


def _hiding(method: str, _params: list[Any], told: Any) -> Any:
    return told[:-1] + ("1" if told[-1] == "0" else "0") if method == "eth_call" else told


def test_nodes_at_different_branches_are_not_compared_about_a_job(compared: tuple[Group, Contracts]) -> None:
    group, bound = compared
    block = group.client.block_number()
    group.nodes[1].lie = _hiding
    group.nodes[1].forked = block  # `Nodes` tells of that
    assert list(disagreements(bound, JOB, block=block)) == []


def test_a_single_node_is_compared_with_none(contracts: Contracts) -> None:
    assert list(disagreements(contracts, JOB, block=contracts.client.block_number())) == []


# ---------------------------------------------------------------- over HTTP


@pytest.fixture
def urls(chain: EmbeddedChain) -> Iterator[tuple[Fickle, str]]:
    away = Fickle.of(chain)
    with Devnet(chain, port=0) as devnet, away.served() as first:
        yield away, f"{first.url.replace('//', '//user:secret@')} {devnet.url}"


def test_urls_with_spaces_between_are_several_nodes(
    urls: tuple[Fickle, str], chain: EmbeddedChain, contracts: Contracts
) -> None:
    node, text = urls
    client = Client.connect(text, key=chain.keys[1], code=_code(contracts), sending=Sending(poll=0.01))
    log = Lines()
    client.tell(log)
    token = Contract(client, "BondToken", contracts.deployment.token)
    token.send("approve", NOBODY, 3)
    node.off = True
    token.send("approve", NOBODY, 4)
    assert token.view("allowance", client.address, NOBODY) == 4
    assert [text for text in log.saying("leaves node 1") if "secret" not in text]
    assert client.nodes is not None
    assert client.nodes.current.startswith("node 2 (127.0.0.1:")


def test_a_node_that_is_away_at_the_start_is_passed_over(urls: tuple[Fickle, str]) -> None:
    node, text = urls
    node.off = True
    assert Client.connect(text, chain_id=31337).block_number() > 0
    with pytest.raises(ChainError) as failed:
        Client.connect("http://u:secret@127.0.0.1:9/key http://127.0.0.1:9/other")
    assert "secret" not in str(failed.value)
    assert "/key" not in str(failed.value)


@pytest.mark.parametrize(
    ("urls", "said"),
    [
        (["http://127.0.0.1:9", "http://127.0.0.1:9"], "names a node twice"),
        (["http://127.0.0.1:9 http://127.0.0.1:9"], "names a node twice"),
        ([""], "write http://"),
        (["127.0.0.1:9"], "write http://"),
        (["http://127.0.0.1:9", "ftp://127.0.0.1"], "write http://"),
    ],
)
def test_urls_that_name_no_nodes_are_refused(urls: list[str], said: str) -> None:
    options = [part for url in urls for part in ("--rpc", url)]
    result = CliRunner().invoke(cli, ["tick", "1", *options], standalone_mode=True)
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.parametrize("limit", ["0", "-1", "nan", "inf", "x"])
def test_limits_of_fees_that_are_none_are_refused(limit: str) -> None:
    result = CliRunner().invoke(cli, ["deploy", "--rpc", "http://127.0.0.1:9", "--max-fee", limit])
    assert result.exit_code == 2
    assert "--max-fee" in result.output


def test_the_doctor_looks_at_each_node(
    urls: tuple[Fickle, str], tmp_path: Path, chain: EmbeddedChain
) -> None:
    node, text = urls
    node.forked = 0
    found = list(check_chain(text, tmp_path / "none.json", lambda: chain.keys[0]))
    told = [(f.name, f.level) for f in found if f.group == "node"]
    assert [level for name, level in told if name == "reachable"] == [Level.OK, Level.OK]
    [other] = [f for f in found if f.group == "node" and f.name.startswith("node 2")]
    assert (other.level, "is on another chain" in other.detail) == (Level.WARN, True)
    assert "secret" not in str(found)
    node.off = True
    found = list(check_chain(text, tmp_path / "none.json", lambda: chain.keys[0]))
    levels = [f.level for f in found if f.name == "reachable"]
    assert levels == [Level.FAIL, Level.OK]
