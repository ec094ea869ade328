"""Whatever part of a proof is altered, the verifier refuses it by its own name.

On the contracts with the model beside them, in disputes over a real step: for each kind of leaf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from protocol.errors import RefusedError
from protocol.game import moves as m
from protocol.game.ids import Kind
from protocol.game.openings import Openings
from protocol.game.proofs import TraceOpener, proof_context, site
from protocol.numerics.accumulator import Accumulator
from protocol.program import witness
from protocol.program.descriptor import CARRIED, Source
from tests.support.game import TRAINER, WATCHER, Table, challenger, defender, holding_back
from tests.support.training import Misshapen, Training, training, wrong_slot, wrong_word

JUNK = bytes([7]) * 32
Parts = list[tuple[int, str]]


@cache
def made() -> Training:
    return training(lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), frozen=True)


def node_of(**wanted: Any) -> int:
    """The first node with these properties."""
    return next(
        number
        for number in range(made().geometry.n_nodes)
        if all(value == _properties(number)[name] for name, value in wanted.items())
    )


def _properties(number: int) -> dict[str, Any]:
    node = made().node(number)
    kinds = {leaf.kind.name for leaf in node.leaves}
    return {"fold": node.fold, "ranges": made().ranges(number), "extent": node.extent, "row": "ROW" in kinds}


def padded(to: int) -> Any:
    return lambda words: np.append(words, np.array([0] * (to - words.size) + [7], np.uint32))


def misshapen(node: int, change: Any) -> Openings:
    return made().openings(Misshapen(made().trace(), made().geometry, node=node, change=change))


def lie(name: str) -> Openings:
    """A trace that is convicted by this leaf."""
    geometry, links = made().geometry, made().example.program.links
    linked, carried = next(s for s, k in enumerate(links) if k != CARRIED), links.index(CARRIED)
    wide = node_of(extent=3840, ranges=1, fold=0)
    match name:
        case "zero slot":
            extra = np.ones(1, np.uint32)
            return made().openings(Misshapen(made().trace(), geometry, more_slots=[extra], wrong_slot=None))
        case "zero word":
            return misshapen(node_of(extent=400), padded(410))
        case "zero page":
            return misshapen(wide, padded(3900))
        case "absent page":
            return misshapen(wide, lambda words: words[: 64 * 20])
    hooks = {
        "map": wrong_word(wide, 99),
        "whole fold": wrong_word(node_of(fold=1, ranges=1), 2),
        "maximum": wrong_word(node_of(fold=2), 3),
        "row of the batch": wrong_word(node_of(row=True, extent=2560), 70),
        "range": wrong_word(node_of(fold=1, ranges=2, extent=3840), 100, range_number=2),
        "strided range": wrong_word(node_of(fold=1, ranges=2, extent=960), 500, range_number=1),
        "link": wrong_slot(linked),
        "carried": wrong_slot(carried),
    }
    return made().openings(made().trace(hooks[name]))


LEAVES = {
    "map": "word",
    "whole fold": "word",
    "maximum": "word",
    "row of the batch": "word",
    "range": "range",
    "strided range": "range",
    "link": "link",
    "carried": "link",
    "zero word": "zero word",
    "zero page": "zero page",
    "absent page": "absent page",
}


def before_the_proof(name: str) -> tuple[Table, m.Prove]:
    """A dispute that has come to the leaf, and the proof that ends it."""
    at, held = made().table(WATCHER, every=50), list[tuple[bytes, m.Move]]()
    false = lie(name)
    at.post(false, segments=1)
    players = [holding_back(challenger(at, at.truth), m.Prove, held), defender(at, false)]
    at.play(players, until=at.model.now())
    [(_, move)] = held
    assert isinstance(move, m.Prove)
    return at, move


# -------------------------------------------------------------------- witnesses


class Parting(TraceOpener):
    """An opener that notes the length of all it opens, and what must be said if that is altered."""

    def __init__(self, *args: Any, linking: bool) -> None:
        super().__init__(*args)
        self.parts: Parts = []
        self._roots = iter(["verifier: link table", "verifier: link root"]) if linking else None
        self._page = "verifier: link page" if linking else "verifier: operand page"
        self._root = "verifier: operand root"

    def _note(self, reason: str, data: bytes, path: Sequence[bytes]) -> None:
        self.parts += [(len(data), reason), (32 * len(path), reason)]

    def descriptor(self, node: int, /) -> tuple[bytes, Sequence[bytes]]:
        data, path = super().descriptor(node)
        self._note("verifier: descriptor", data, path)
        return data, path

    def tensor_root(self, source: Source, source_id: int, /) -> bytes:
        root = super().tensor_root(source, source_id)
        self._root = self._root if self._roots is None else next(self._roots)
        self._note(self._root, root, [])
        return root

    def source_path(self, source: Source, source_id: int, /) -> Sequence[bytes]:
        path = super().source_path(source, source_id)
        self._note(self._root, b"", path)
        return path

    def page(self, source: Source, source_id: int, page: int, /) -> tuple[bytes | None, Sequence[bytes]]:
        data, path = super().page(source, source_id, page)
        self.parts.append((1, self._page))
        self._note(self._page, data or b"", path)
        return data, path

    def committed_leaf(self, index: int, /) -> tuple[bytes, Sequence[bytes]]:
        leaf, path = super().committed_leaf(index)
        self._note("verifier: leaf", leaf, path)
        return leaf, path

    def committed_page(self) -> bytes:
        page = super().committed_page()
        self._note("verifier: page", page, [])
        return page

    def accumulator(self, number: int, /) -> tuple[Accumulator, Sequence[bytes]]:
        total, path = super().accumulator(number)
        self._note("verifier: accumulator", total.to_bytes(), path)
        return total, path


def parts_of(at: Table, move: m.Prove) -> Parts:
    """The lengths of the parts of a witness, in order, each with the reason that a change of it must give."""
    branch = at.model.branch(move.dispute, move.candidate)
    place = site(at.model, at.job, at.model.candidate(move.candidate))
    opener = Parting(at.model, at.truth, place, branch.cursor, linking=branch.cursor.kind == Kind.STATE)
    context = proof_context(at.job, place, branch.cursor)
    assert witness.build(context, move.index, opener) == move.witness
    return [part for part in opener.parts if part[0]]


def refused(at: Table, sender: bytes, move: m.Move) -> str:
    """Why contracts and model refuse a move."""
    with pytest.raises(RefusedError) as caught:
        at.model.apply(sender, move)
    return caught.value.reason


@pytest.mark.parametrize("name", LEAVES)
def test_no_part_of_a_witness_can_be_altered(name: str) -> None:
    at, move = before_the_proof(name)
    parts = parts_of(at, move)
    assert sum(length for length, _ in parts) == len(move.witness)
    begin, data = 0, move.witness
    for length, reason in parts:
        for place in sorted({begin, begin + length // 2, begin + length - 1}):
            altered = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
            assert refused(at, WATCHER, replace(move, witness=altered)) == reason
        if length == 1:
            altered = data[:begin] + b"\2" + data[begin + 1 :]
            assert refused(at, WATCHER, replace(move, witness=altered)) == "verifier: page tag"
        short = replace(move, witness=data[:begin])
        assert refused(at, WATCHER, short) == "verifier: short stream"
        begin += length
    assert refused(at, WATCHER, replace(move, witness=data + b"\0")) == "verifier: trailing bytes"
    assert refused(at, WATCHER, replace(move, witness=data[:-1])) == "verifier: short stream"
    below = 6 if at.model.branch(move.dispute, move.candidate).cursor.kind == Kind.PAGE else 7
    assert refused(at, WATCHER, replace(move, index=1 << below)) == "verifier: index"
    assert refused(at, TRAINER, move) == "court: not the challenger"
    assert refused(at, WATCHER, replace(move, dispute=JUNK)) == "court: no such branch"
    assert refused(at, WATCHER, replace(move, candidate=JUNK)) == "court: no such branch"
    at.send(WATCHER, move)
    assert at.decided() == {LEAVES[name]: 1}
    assert refused(at, WATCHER, move) == "court: branch is closed"


def test_an_extra_slot_is_proven_by_its_leaf_alone() -> None:
    at, move = before_the_proof("zero slot")
    assert parts_of(at, move) == [
        (32, "verifier: leaf"),
        (32 * at.job.geometry.state_height, "verifier: leaf"),
    ]
    for place in range(0, len(move.witness), 8):
        altered = move.witness[:place] + bytes([move.witness[place] ^ 1]) + move.witness[place + 1 :]
        assert refused(at, WATCHER, replace(move, witness=altered)) == "verifier: leaf"
    at.send(WATCHER, move)
    assert at.decided() == {"zero slot": 1}


@pytest.mark.parametrize(
    ("name", "index", "reason"),
    [
        # The leaf below the cursor is another one than the witness opens.
        ("range", 1, "verifier: leaf"),
        ("link", 2, "verifier: leaf"),
        ("zero page", 62, "verifier: leaf"),
        ("range", 0, "verifier: leaf"),
    ],
)
def test_a_witness_stands_for_its_own_leaf_alone(name: str, index: int, reason: str) -> None:
    at, move = before_the_proof(name)
    assert index != move.index
    assert refused(at, WATCHER, replace(move, index=index)) == reason


def test_a_fold_of_many_ranges_cannot_be_proven_as_a_word() -> None:
    at, held = made().table(WATCHER, every=50), list[tuple[bytes, m.Move]]()
    false = lie("range")
    at.post(false, segments=1)
    players = [holding_back(challenger(at, at.truth), m.SelectWord, held), defender(at, false)]
    at.play(players, until=at.model.now())
    [(_, word)] = held
    assert isinstance(word, m.SelectWord)
    proof = m.Prove(
        dispute=word.dispute, candidate=word.candidate, index=word.index, witness=word.opening + word.page
    )
    assert refused(at, WATCHER, proof) == "verifier: fold is bisected"


@pytest.mark.parametrize("name", ["map", "maximum", "zero word"])
def test_a_word_that_is_proven_whole_cannot_be_demanded_as_a_fold(name: str) -> None:
    at, move = before_the_proof(name)
    opening = move.witness[: 1024 + 32 * at.job.geometry.nodes_height]
    page = move.witness[len(opening) : len(opening) + 256]
    word = m.SelectWord(
        dispute=move.dispute, candidate=move.candidate, index=move.index, page=page, opening=opening
    )
    reason = "verifier: word past the extent" if name == "zero word" else "verifier: fold is whole"
    assert refused(at, WATCHER, word) == reason
