"""What an honest defender does next: a pure function of the chain and its own trace (actors.md, A-4).

It answers for the updates of its side, and, for defence bonds that come back, for others that its trace
confirms: those that a live update of its side builds on, or, for a watcher, all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Final

from protocol.commitments.tree import Tree
from protocol.game.ids import MOST_CANDIDATES, Kind, candidate_id
from protocol.game.isolation import Report, isolated, raise_trouble
from protocol.game.moves import Free, Move, Reveal, RevealPage, Timeout
from protocol.game.openings import Openings
from protocol.game.proofs import Site, commitment, cursor_tree, position_tree, site
from protocol.game.view import (
    BranchInfo,
    CandidateInfo,
    CourtView,
    DisputeInfo,
    DisputeStatus,
    PositionInfo,
    Turn,
    UpdateInfo,
    UpdateStatus,
)
from protocol.job import Job
from protocol.program.descriptor import Source

_Task = tuple[int, Callable[[], Iterator[Move]]]
"""When something is due (seconds), and how to work it out."""

_NOT_DUE: Final = 1 << 64
"""Nothing is lost by doing it later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defender:
    """One party that answers for updates of one job.

    Attributes:
        address: 20 bytes, who sends.
        trainer: whom it speaks for: itself, or a trainer that has named it delegate (D-5). None: for nobody.
        job, openings: the job, and trees over the party's own trace of it.
        confirms: whether to defend an update of somebody else. Such updates are left to their trainer for
            half of the time it has; then they are answered for, with defence bonds (A-40).
        bonds: most defence bonds that it holds at a time for updates of others.
    """

    address: bytes
    trainer: bytes | None
    job: Job
    openings: Openings
    confirms: Callable[[UpdateInfo], bool] = lambda _: False
    bonds: int = 1 << 32


def defend(view: CourtView, me: Defender, *, report: Report = raise_trouble) -> list[Move]:
    """Return the moves to make now, the most urgent first; an empty list when it is for others to move.

    Moves are independent of each other: each of them may be refused because somebody else was faster.

    Args:
        report: told what keeps this party from answering in one place; where it returns, the others are
            answered (A-8).
    """
    return list(answers(view, me, report=report))


def answers(view: CourtView, me: Defender, *, report: Report = raise_trouble) -> Iterator[Move]:
    """Yield what `defend` returns, each move as soon as it is worked out: a commitment may need a long
    replay, and what is due before it must not wait for it.
    """
    tasks: list[_Task] = []
    done, bonded = set[bytes](), set[bytes]()
    for update in _defended(view, me):
        tasks += [
            (position.ends_at, partial(_commit, view, me, update, position, bonded))
            for position in view.positions(update=update.update)
        ]
        for dispute in view.disputes(update=update.update):
            if dispute.status == DisputeStatus.OPEN:
                tasks += _answers(view, me, update, dispute, done, report)
    for _, work in sorted(tasks, key=lambda task: task[0]):
        with isolated(report):
            yield from work()


def freed(view: CourtView, me: Defender, update: UpdateInfo) -> list[Move]:
    """Return the moves that take defence bonds of this party back once nothing is at stake any more (D-16).

    Args:
        update: one that was defended; final, gone or with something above the candidate fallen.
    """
    over = update.status != UpdateStatus.PENDING
    return [
        Free(candidate=candidate.candidate)
        for position in view.positions(update=update.update)
        for candidate in view.candidates(position.position)
        if candidate.poster == me.address and candidate.bonded and (over or not candidate.above_standing)
    ]


def held(view: CourtView, me: Defender) -> int:
    """Return how many defence bonds this party holds in the updates that it would defend (A-40)."""
    return sum(
        candidate.poster == me.address and candidate.bonded
        for update in _defended(view, me)
        for position in view.positions(update=update.update)
        for candidate in view.candidates(position.position)
    )


def _defended(view: CourtView, me: Defender) -> Iterator[UpdateInfo]:
    """The pending updates to answer for: this party's, what they are built on, what it confirms (A-4)."""
    chain = view.chain(me.job.job_id)
    last = max((u.index for u in chain if u.trainer == me.trainer), default=-1)
    for update in chain:
        if update.status == UpdateStatus.PENDING and (update.index <= last or me.confirms(update)):
            yield update


def _own_tree(view: CourtView, me: Defender, here: PositionInfo) -> Tree | None:
    """Return the tree that this party commits at a position, or None where its end points differ from its
    own.
    """
    geometry = me.job.geometry
    if here.kind == Kind.STEPS:
        tree = me.openings.steps_tree(here.segment)
        fits = tree.node(0, 0) == here.first
        return tree if fits and tree.node(0, geometry.steps_of(here.segment)) == here.last else None
    if not _is_own(view, me, view.candidate(here.parent)):
        return None
    above = site(view, me.job, view.candidate(here.parent))
    if here.kind == Kind.NODES:
        return me.openings.nodes_tree(here.segment * geometry.stride + here.a - 1)
    accumulators = me.openings.trace.accumulators(above.step, here.a, here.b)
    # A trace whose accumulators do not end at its own word has nothing that the court would admit (P-16).
    if accumulators[-1].finish(here.fold) != here.word or len(accumulators) != here.ranges + 1:
        return None
    return me.openings.fold_tree(above.step, here.a, here.b)


def _commit(
    view: CourtView, me: Defender, update: UpdateInfo, here: PositionInfo, bonded: set[bytes]
) -> Iterator[Move]:
    """Commit this party's own root where it is owed and nobody stands in with it yet (D-5).

    Args:
        bonded: positions at which this call has already asked for a defence bond.
    """
    if view.now() > here.ends_at:
        return
    if here.kind != Kind.STEPS:
        above = view.candidate(here.parent)
        if above.fallen or not above.above_standing:
            return
    tree = _own_tree(view, me, here)
    if tree is None:
        return
    own, posted = update.trainer == me.trainer, view.candidates(here.position)
    mine = candidate_id(here.position, tree.root)
    known = next((candidate for candidate in posted if candidate.candidate == mine), None)
    if known is not None and (here.own_posted or not own or known.fallen):
        return
    if not own:
        if _can_wait(view, me, here, len(posted)) or held(view, me) + len(bonded) >= me.bonds:
            return
        bonded.add(here.position)
    accumulator = b""
    if here.kind == Kind.FOLD:
        step = site(view, me.job, view.candidate(here.parent)).step
        accumulator = me.openings.trace.accumulators(step, here.a, here.b)[-1].to_bytes()
    yield commitment(here, tree, me.job.geometry, accumulator=accumulator)


def _can_wait(view: CourtView, me: Defender, here: PositionInfo, posted: int) -> bool:
    """Whether to leave a position to the trainer yet: half of its time, unless the places fill (A-40)."""
    half = here.demanded_at + (here.allowance + me.job.clocks.response) // 2
    return view.now() < half and posted < MOST_CANDIDATES // 2


def _answers(
    view: CourtView,
    me: Defender,
    update: UpdateInfo,
    dispute: DisputeInfo,
    done: set[bytes],
    report: Report,
) -> Iterator[_Task]:
    """Reveal below this party's own commitments, whoever posted them, and time out late challengers (A-4)."""
    for position in view.demands(dispute.dispute):
        for candidate in view.candidates(position):
            if candidate.fallen or not candidate.above_standing:
                continue
            with isolated(report):
                branch = view.branch(dispute.dispute, candidate.candidate)
                mine = candidate.poster == me.address or update.trainer == me.trainer
                soon = mine or view.now() >= branch.due - me.job.clocks.response // 2
                if branch.turn == Turn.DEFENDER and soon:
                    yield branch.limit, partial(_answer, view, me, candidate, branch, done)
                elif branch.turn == Turn.CHALLENGER_LATE:
                    yield _NOT_DUE, partial(_time_out, view, me, candidate, branch, done)


def _answer(
    view: CourtView, me: Defender, candidate: CandidateInfo, branch: BranchInfo, done: set[bytes]
) -> Iterator[Move]:
    if branch.cursor.hash not in done and _is_own(view, me, candidate):
        done.add(branch.cursor.hash)
        yield from _reveal(me, site(view, me.job, candidate), branch)


def _time_out(
    view: CourtView, me: Defender, candidate: CandidateInfo, branch: BranchInfo, done: set[bytes]
) -> Iterator[Move]:
    if branch.dispute not in done and _is_own(view, me, candidate):
        done.add(branch.dispute)
        yield Timeout(dispute=branch.dispute, candidate=candidate.candidate)


def _is_own(view: CourtView, me: Defender, candidate: CandidateInfo) -> bool:
    """Whether a candidate, and all that it hangs under, is this party's own root (A-4). A copy of one where
    the states above are bogus is nobody's to defend, and would only lock bonds that are needed elsewhere.
    """
    place = site(view, me.job, candidate)
    if place.position.kind != Kind.STEPS:
        above = view.candidate(place.position.parent)
        if not _is_own(view, me, above):
            return False
    return position_tree(me.openings, place.position, place.step).root == candidate.root


def _reveal(me: Defender, place: Site, branch: BranchInfo) -> Iterator[Move]:
    cursor = branch.cursor
    tree = cursor_tree(me.openings, place, cursor)
    if cursor.kind == Kind.PAGE:
        page = me.openings.page(Source.NODE, cursor.node, place.step, cursor.index)
        if page is not None and sha256(page).digest() == cursor.hash:
            yield RevealPage(page=page)
        return
    if tree.node(cursor.height, cursor.index) == cursor.hash:
        levels = me.job.geometry.levels(cursor.height)
        yield Reveal(children=tuple(tree.children(cursor.height, cursor.index, levels)))
