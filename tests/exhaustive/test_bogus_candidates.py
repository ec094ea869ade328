"""One bogus candidate at each position of a dispute, wrong in each leaf, before and after the true one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

import pytest

from protocol.commitments.tree import Tree
from protocol.game import moves as m
from protocol.game.ids import Kind
from protocol.game.model import Model
from protocol.game.openings import Openings
from protocol.game.proofs import commitment, last_leaf, position_tree, site
from protocol.game.trace import Hooks
from protocol.game.view import DisputeStatus, PositionInfo, UpdateStatus
from protocol.numerics.accumulator import Accumulator, exact_word
from tests.support.game import (
    OTHER,
    PURSE,
    STRIDE,
    TRAINER,
    WATCHER,
    Table,
    challenger,
    defender,
    machine,
    one_word,
    settled_by,
    table,
    with_accumulators,
)
from tests.support.programs import floats

NINE = int(floats([9.0])[0])
LIES = {
    "word": one_word(2, 2, 5),
    "range": with_accumulators(one_word(2, 0, 1, value=NINE), 2, 0, 1, 2, Accumulator(*exact_word(NINE))),
}
BOGUS = b"\x66" * 32


@cache
def first_table() -> Table:
    return table(machine(wide=9))


def fresh(*honest: bytes) -> Table:
    return table(machine(wide=9), truth=first_table().truth, honest=honest)


@dataclass
class Intruder:
    """Posts one false candidate at the first position of a kind that is demanded, and then says nothing.

    Attributes:
        like: a trace whose tree it alters in one leaf, so that the end points still hold.
        leaf: which, counted from the first; the intruder does nothing where there is no such leaf.
        first: whether it posts before anybody else, or only beside a candidate that stands.
        placed: the position, once it has posted.
    """

    at: Table
    like: Openings
    kind: Kind
    leaf: int
    first: bool
    placed: bytes | None = field(default=None)

    def __call__(self, model: Model) -> Iterable[tuple[bytes, m.Move]]:
        if self.placed is not None:
            return []
        for dispute in model.disputes():
            for position in model.demands(dispute.dispute):
                here = model.position(position)
                if here.kind == self.kind and (self.first or model.candidates(position)):
                    return self._post(model, here)
        return []

    def _post(self, model: Model, here: PositionInfo) -> Iterable[tuple[bytes, m.Move]]:
        geometry = self.at.job.geometry
        if self.leaf >= last_leaf(here, geometry):
            return []
        step = 0
        if here.kind != Kind.STEPS:
            step = site(model, self.at.job, model.candidate(here.parent)).step
            step = here.segment * geometry.stride + here.a - 1 if here.kind == Kind.NODES else step
        tree = position_tree(self.like, here, step)
        leaves = [tree.node(0, i) for i in range(1 << tree.height)]
        leaves[self.leaf] = BOGUS
        false = Tree(leaves, tree.height)
        accumulator = b""
        if here.kind == Kind.FOLD:
            accumulator = self.like.trace.accumulators(step, here.a, here.b)[-1].to_bytes()
        self.placed = here.position
        return [(OTHER, commitment(here, false, geometry, accumulator=accumulator))]


def places(kind: Kind) -> range:
    """Leaves that the end points leave open."""
    return {Kind.STEPS: range(1, STRIDE), Kind.NODES: range(6), Kind.FOLD: range(1, 3)}[kind]


CASES = [(kind, leaf) for kind in (Kind.STEPS, Kind.NODES, Kind.FOLD) for leaf in places(kind)]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(("kind", "leaf"), CASES)
@pytest.mark.parametrize("lie", LIES)
def test_a_wrong_update_falls_with_a_bogus_candidate_anywhere(
    lie: str, kind: Kind, leaf: int, first: bool
) -> None:
    at = fresh(WATCHER)
    wrong = at.openings(LIES[lie])
    update = at.post(wrong, segments=1)
    intruder = Intruder(at, wrong, kind, leaf, first)
    at.play(
        [intruder, challenger(at, at.truth), defender(at, wrong)],
        until=settled_by(at, update),
        while_=lambda: at.model.board.is_live(update),
    )
    assert at.model.update(update).status == UpdateStatus.FALLEN
    assert (intruder.placed is not None) == (kind != Kind.FOLD or lie == "range")
    at.play([challenger(at, at.truth)], until=at.model.now())
    assert at.model.tokens_of(WATCHER) >= PURSE
    if intruder.placed is not None:
        assert at.model.tokens_of(OTHER) == PURSE - at.job.money.defence_bond


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(("kind", "leaf"), CASES)
@pytest.mark.parametrize("lie", LIES)
def test_a_right_update_stands_with_a_bogus_candidate_anywhere(
    lie: str, kind: Kind, leaf: int, first: bool
) -> None:
    at = fresh(TRAINER)
    update = at.post(at.truth, segments=1)
    believed: Hooks = LIES[lie]
    intruder = Intruder(at, at.truth, kind, leaf, first)
    at.play(
        [intruder, challenger(at, at.openings(believed)), defender(at, at.truth)],
        until=settled_by(at, update),
        while_=lambda: at.model.update(update).status == UpdateStatus.PENDING,
    )
    assert at.model.update(update).status == UpdateStatus.FINAL
    assert (intruder.placed is not None) == (kind != Kind.FOLD or lie == "range")
    [dispute] = at.model.disputes()
    assert dispute.status == DisputeStatus.LOST
    assert at.model.tokens_of(TRAINER) + at.job.money.update_bond + at.job.money.lease_deposit >= PURSE
