"""A challenger steered to every leaf of an honest trainer's commitments, padding too, loses there (I-4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import pytest

from protocol.game import moves as m
from protocol.game.ids import Kind
from protocol.game.model import Model
from protocol.game.openings import Committed, path_in_list
from protocol.game.proofs import (
    Site,
    TraceOpener,
    committed_children,
    committed_page,
    cursor_tree,
    proof_context,
    site,
)
from protocol.game.view import BranchInfo, DisputeStatus, Turn, UpdateStatus
from protocol.numerics.accumulator import Accumulator
from protocol.program import witness
from tests.support.game import RACES, TRAINER, WATCHER, Player, Table, challenger, defender, one_word, table
from tests.support.programs import counter


@dataclass(frozen=True)
class Route:
    """Which leaf to go to in each tree, where to prove, and what must come of it.

    Attributes:
        leaf: the leaf that is proven, or None where a move is refused and the challenger runs out of time.
        refusal: why.
    """

    step: int = 1
    node: int = 0
    page: int = 0
    slot: int = 0
    word: int = 0
    range: int = 1
    prove: Kind = Kind.PAGE
    leaf: str | None = "word"
    refusal: str | None = None

    def target(self, kind: Kind) -> int:
        """The leaf to go to in a tree of this kind."""
        places = {Kind.STEPS: self.step, Kind.NODES: self.node, Kind.TENSOR: self.page}
        return (places | {Kind.STATE: self.slot, Kind.PAGE: self.word, Kind.FOLD: self.range})[kind]


def steered(at: Table, route: Route) -> Player:
    """A challenger that opens a dispute and then follows the route, whatever it finds."""
    last, middle = at.job.geometry.stride - 1, at.job.geometry.n_nodes // 2 - 1
    opener = challenger(at, at.openings(one_word(last, middle, 0)))

    def turn(model: Model) -> Iterator[tuple[bytes, m.Move]]:
        mine = model.disputes(challenger=WATCHER)
        if not mine:
            yield from opener(model)
        for dispute in mine:
            for position in model.demands(dispute.dispute):
                for candidate in model.candidates(position):
                    branch = model.branch(dispute.dispute, candidate.candidate)
                    if branch.turn == Turn.CHALLENGER:
                        yield WATCHER, follow(at, site(model, at.job, candidate), branch, route)

    return turn


class ZerothRangeOpener(TraceOpener):
    """Opens the empty accumulator as the one before itself, for a proof of range 0, which does not exist."""

    def accumulator(self, number: int, /) -> tuple[Accumulator, Sequence[bytes]]:
        return super().accumulator(max(number, 0))


def follow(at: Table, place: Site, branch: BranchInfo, route: Route) -> m.Move:
    """The next move of a route."""
    cursor, truth = branch.cursor, at.truth
    here = {"dispute": branch.dispute, "candidate": branch.candidate}
    levels = at.job.geometry.levels(cursor.height)
    last = cursor.height == levels or cursor.kind == Kind.PAGE
    opener = ZerothRangeOpener(at.model, truth, place, cursor)
    target = route.target(cursor.kind)
    if cursor.kind != Kind.PAGE:
        target -= cursor.index << cursor.height
    if last and (cursor.kind == route.prove or (cursor.kind == Kind.TENSOR and cursor.height == 0)):
        stream = witness.build(proof_context(at.job, place, cursor), target, opener)
        return m.Prove(**here, index=target, witness=stream)
    if cursor.kind == Kind.PAGE:
        descriptor, path = opener.descriptor(cursor.node)
        page = committed_page(at.model, cursor)
        return m.SelectWord(**here, index=target, page=page, opening=b"".join([descriptor, *path]))
    children = committed_children(at.model, cursor, levels)
    index = target >> (cursor.height - levels)
    down = {**here, "index": index, "leaf": children[index], "path": path_in_list(children, index)}
    if cursor.kind != Kind.STEPS or not last:
        return m.Select(**down)
    own = cursor_tree(truth, place, cursor)
    fanout = at.job.geometry.fanout_log2
    steps = Committed(at.model, own=own, root=place.candidate.root, fanout_log2=fanout)
    before = max(0, route.step - 1)
    return m.SelectStep(**down, before=steps.node(0, before), before_path=steps.path(before))


@cache
def first_table() -> Table:
    return table()


def acquitted(at: Table, route: Route) -> None:
    """Play the route against the honest trainer; where the rules refuse, time runs out."""
    update = at.post(at.truth, segments=1)
    at.races = RACES | {route.refusal} if route.refusal else RACES
    at.play(
        [steered(at, route), defender(at, at.truth)],
        until=at.model.now() + 4000,
        while_=lambda: not any(d.status == DisputeStatus.LOST for d in at.model.disputes()),
    )
    assert [d.status for d in at.model.disputes()] == [DisputeStatus.LOST]
    assert at.model.update(update).status in (UpdateStatus.PENDING, UpdateStatus.FINAL)
    assert at.decided() == ({"timeout": 1} if route.leaf is None else {route.leaf: 1})
    refusals = {e.refused for e in at.log if e.refused is not None and isinstance(e.move, STEERED)}
    assert refusals == ({route.refusal} if route.refusal else set())


STEERED = (m.Select, m.SelectStep, m.SelectWord, m.Prove)


def routes() -> Iterator[Route]:
    """Every step, node, page and slot of the machine, and the words of a page at its edges."""
    for step in (0, 5, 6, 7):
        yield Route(step=step, leaf=None, refusal="court: no such step")
    for step in (2, 3, 4):
        yield Route(step=step, node=2)
    yield Route(node=7, leaf=None, refusal="court: no such node")
    for slot in range(8):
        leaf = "link" if slot < 6 else "zero slot"
        yield Route(node=6, slot=slot, prove=Kind.STATE, leaf=leaf)
    extents = {0: 3, 1: 3, 2: 130, 3: 1, 4: 1, 5: 2}
    for node, extent in extents.items():
        for page in range(4):
            yield from pages(Route(node=node, page=page), extent)
    for range_ in (0, 1, 2, 3):
        wrong = {"leaf": None, "refusal": "verifier: range"} if range_ == 0 else {"leaf": "range"}
        for word in range(3):
            yield Route(node=0, word=word, range=range_, prove=Kind.FOLD, **wrong)
    for range_ in (1, 2):
        yield Route(node=3, range=range_, prove=Kind.FOLD, leaf="range")


def pages(route: Route, extent: int) -> Iterator[Route]:
    inside = min(64, extent - 64 * route.page)
    if inside <= 0:
        # Whether it was selected before or not, the proof shows that the page is rightly absent.
        yield replace(route, prove=Kind.TENSOR, leaf="zero page")
        yield replace(route, leaf="zero page")
        return
    yield replace(route, prove=Kind.TENSOR, leaf=None, refusal="verifier: page within the extent")
    bisected = route.node in (0, 3)
    for word in {0, inside - 1, min(inside, 63), 63}:
        if word >= inside:
            yield replace(route, word=word, leaf="zero word")
            yield replace(
                route, word=word, prove=Kind.FOLD, leaf=None, refusal="verifier: word past the extent"
            )
        elif bisected:
            yield replace(route, word=word, leaf=None, refusal="verifier: fold is bisected")
        else:
            yield replace(route, word=word)
            yield replace(route, word=word, prove=Kind.FOLD, leaf=None, refusal="verifier: fold is whole")


def named(route: Route) -> str:
    places = (route.step, route.node, route.page, route.slot, route.word, route.range)
    return "-".join([*map(str, places), route.prove.name])


@pytest.mark.parametrize("route", list(routes()), ids=named)
def test_an_honest_trainer_wins_at_every_leaf(route: Route) -> None:
    acquitted(table(truth=first_table().truth, honest=[TRAINER]), route)


@pytest.mark.parametrize(
    "route",
    [
        Route(node=3, slot=3, prove=Kind.STATE, leaf="zero slot"),
        Route(node=1, word=1, leaf="zero word"),
        Route(node=2, word=63, leaf="zero word"),
        Route(node=0, step=2),
    ],
    ids=str,
)
def test_an_honest_trainer_wins_where_tensors_are_single_pages(route: Route) -> None:
    acquitted(table(counter(slots=3), steps=2, stride=2, honest=[TRAINER]), route)
