"""What an honest defender does next: a pure function of the chain and its own trace (actors.md, A-4).

It defends updates of its own, those it holds a delegation for, and those that a live update of its side
builds on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from protocol.commitments.tree import Tree
from protocol.game.ids import NO_UPDATE, Kind, candidate_id
from protocol.game.moves import Commit, Free, Move, Reveal, RevealPage, Timeout
from protocol.game.openings import Openings
from protocol.game.proofs import Site, cursor_tree, position_tree, site
from protocol.game.view import (
    BranchInfo,
    CandidateInfo,
    CourtView,
    DisputeStatus,
    PositionInfo,
    Turn,
    UpdateInfo,
    UpdateStatus,
)
from protocol.job import Job
from protocol.program.descriptor import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Defender:
    """One party that answers for updates of one job.

    Attributes:
        address: 20 bytes, who sends.
        trainer: whom it speaks for: itself, or a trainer that has named it delegate (D-5).
        job, openings: the job, and trees over the party's own trace of it.
    """

    address: bytes
    trainer: bytes
    job: Job
    openings: Openings


def defend(view: CourtView, me: Defender) -> list[Move]:
    """Return the moves to make now, in order; an empty list when it is for others to move.

    Moves are independent of each other: each of them may be refused because somebody else was faster.
    """
    moves: list[Move] = []
    chain = view.chain(me.job.job_id)
    revealed: set[bytes] = set()
    for update in chain:
        as_update = _standing_in(me, update, chain)
        if update.status != UpdateStatus.PENDING or as_update is None:
            continue
        for position in view.positions(update=update.update):
            moves += _commit(view, me, position, as_update)
        moves += _answer(view, me, update, revealed)
    return moves


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


def _standing_in(me: Defender, update: UpdateInfo, chain: Sequence[UpdateInfo]) -> bytes | None:
    """Return what `Commit.as_update` must be for this party, or None if it has no say (D-5)."""
    if update.trainer == me.trainer:
        return NO_UPDATE
    later = (u.update for u in chain if u.index > update.index and u.trainer == me.trainer)
    return next(later, None)


def _own_tree(view: CourtView, me: Defender, here: PositionInfo) -> Tree | None:
    """Return the tree that this party commits at a position, or None where its end points differ from its
    own.
    """
    geometry = me.job.geometry
    if here.kind == Kind.STEPS:
        tree = me.openings.steps_tree(here.segment)
        fits = tree.node(0, 0) == here.first
        return tree if fits and tree.node(0, geometry.steps_of(here.segment)) == here.last else None
    above = site(view, me.job, view.candidate(here.parent))
    if position_tree(me.openings, above.position, above.step).root != above.candidate.root:
        return None
    if here.kind == Kind.NODES:
        return me.openings.nodes_tree(here.segment * geometry.stride + here.a - 1)
    accumulators = me.openings.trace.accumulators(above.step, here.a, here.b)
    # A trace whose accumulators do not end at its own word has nothing that the court would admit (P-16).
    if accumulators[-1].finish(here.fold) != here.word or len(accumulators) != here.ranges + 1:
        return None
    return me.openings.fold_tree(above.step, here.a, here.b)


def _commit(view: CourtView, me: Defender, here: PositionInfo, as_update: bytes) -> Iterator[Move]:
    """Commit this party's own root where it is owed and does not stand yet (D-5)."""
    if view.now() > here.ends_at:
        return
    if here.kind != Kind.STEPS:
        above = view.candidate(here.parent)
        if above.fallen or not above.above_standing:
            return
    tree = _own_tree(view, me, here)
    if tree is None:
        return
    posted = {candidate.candidate for candidate in view.candidates(here.position)}
    if candidate_id(here.position, tree.root) in posted:
        return
    geometry = me.job.geometry
    levels = min(geometry.fanout_log2, tree.height)
    below = tree.height - levels
    last = {Kind.STEPS: geometry.steps_of(here.segment), Kind.NODES: geometry.n_nodes, Kind.FOLD: here.ranges}
    accumulator = b""
    if here.kind == Kind.FOLD:
        step = site(view, me.job, view.candidate(here.parent)).step
        accumulator = me.openings.trace.accumulators(step, here.a, here.b)[-1].to_bytes()
    yield Commit(
        position=here.position,
        children=tuple(tree.children(tree.height, 0, levels)),
        first_path=() if here.kind == Kind.NODES else tuple(tree.path_between(0, 0, below)),
        last_path=tuple(tree.path_between(0, last[here.kind], below)),
        accumulator=accumulator,
        as_update=as_update,
    )


def _answer(view: CourtView, me: Defender, update: UpdateInfo, revealed: set[bytes]) -> Iterator[Move]:
    """Reveal below this party's own commitments, whoever posted them, and time out late challengers (A-4)."""
    disputes = [d for d in view.disputes(update=update.update) if d.status == DisputeStatus.OPEN]
    for dispute in disputes:
        for position in view.demands(dispute.dispute):
            for candidate in view.candidates(position):
                if candidate.fallen or not candidate.above_standing:
                    continue
                branch = view.branch(dispute.dispute, candidate.candidate)
                if branch.turn == Turn.CHALLENGER_LATE and _is_own(view, me, candidate):
                    yield Timeout(dispute=dispute.dispute, candidate=candidate.candidate)
                    break
                if branch.turn != Turn.DEFENDER or branch.cursor.hash in revealed:
                    continue
                if _is_own(view, me, candidate):
                    revealed.add(branch.cursor.hash)
                    yield from _reveal(me, site(view, me.job, candidate), branch)


def _is_own(view: CourtView, me: Defender, candidate: CandidateInfo) -> bool:
    place = site(view, me.job, candidate)
    if place.position.kind == Kind.FOLD:
        nodes = view.candidate(place.position.parent)
        if not _is_own(view, me, nodes):
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
        levels = min(me.job.geometry.fanout_log2, cursor.height)
        yield Reveal(children=tuple(tree.children(cursor.height, cursor.index, levels)))
