"""What an honest challenger does next: a pure function of the chain and its own replay (actors.md, A-1 to
A-3).

It keeps nothing: after a restart, the same view gives the same moves (A-6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from protocol.commitments.tensor import words_of_page
from protocol.commitments.tree import ZERO, Tree
from protocol.errors import MismatchError
from protocol.game.ids import Kind, dispute_id
from protocol.game.isolation import Report, isolated, raise_trouble
from protocol.game.moves import (
    CancelReservation,
    Close,
    Move,
    Open,
    Prove,
    Reserve,
    Select,
    SelectStep,
    SelectWord,
    Settle,
    Silence,
)
from protocol.game.openings import Committed, Openings, path_in_list
from protocol.game.proofs import (
    Site,
    TraceOpener,
    committed_children,
    committed_page,
    cursor_tree,
    proof_context,
    site,
)
from protocol.game.view import (
    BranchInfo,
    CandidateInfo,
    CourtView,
    Cursor,
    DisputeInfo,
    DisputeStatus,
    ReservationInfo,
    Turn,
    UpdateInfo,
    UpdateStatus,
)
from protocol.job import Geometry, Job
from protocol.program import witness
from protocol.program.address import extent, range_length

FirstDifference = Callable[[UpdateInfo], int | None]
Salt = Callable[[bytes, int, int], bytes]

RETRIES: Final = 1
"""Disputes of one segment after a lost one (A-6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenger:
    """One party that follows one job.

    Attributes:
        address: 20 bytes, who reserves, opens and moves.
        job, openings: the job, and trees over the party's own replay of it.
        salt: (update, absolute segment, own disputes lost there) -> 32 bytes, the same every time (A-6).
        first_difference: update -> the first segment whose posted end differs from the replay (absolute),
        or None.
            `openings.first_difference` is one; a watcher gives one that remembers, or that says None until
            it knows.
        ready: whether the replay has come to a dispute's segment. Until then nothing is selected or proven
            there, and the other disputes go on (A-8).
        at: trees to play a dispute of a segment with, where they are others than `openings` (A-16).
        playable: whether a dispute can be played at all; one that cannot does not stand for another (A-16).
        direct: open at once, without a reservation, because nobody sees a transaction of its before it is
            mined (A-1).
    """

    address: bytes
    job: Job
    openings: Openings
    salt: Salt
    first_difference: FirstDifference
    ready: Callable[[DisputeInfo], bool] = lambda _: True
    at: Callable[[int], Openings] | None = None
    playable: Callable[[DisputeInfo], bool] = lambda _: True
    direct: bool = False


def solve(view: CourtView, me: Challenger, *, report: Report = raise_trouble) -> list[Move]:
    """Return the moves to make now, in order; an empty list when it is for others to move.

    Moves are independent of each other: each of them may be refused because somebody else was faster.

    Args:
        report: told what keeps this party from deciding in one branch or dispute; where it returns, the
            others are gone on with (A-8).

    Raises:
        MismatchError: unless reported: nothing differs under a commitment that must contain a difference.
            Contract, view or replay are broken; no move is safe there (A-2).
    """
    moves: list[Move] = []
    settled: set[bytes] = set()
    mine = view.disputes(challenger=me.address)
    job_id = me.job.job_id
    for dispute in mine:
        with isolated(report):
            update = view.update(dispute.update)
            if dispute.status != DisputeStatus.OPEN or update.job != job_id:
                continue
            if update.status in (UpdateStatus.FALLEN, UpdateStatus.VOID):
                moves.append(Close(dispute=dispute.dispute))
                continue
            moves += _settle(view, dispute, settled)
            for candidate in _candidates(view, dispute):
                with isolated(report):
                    moves += _play(view, me, dispute, candidate)
    with isolated(report):
        moves += _accuse(view, me, mine)
    return moves


def _play(view: CourtView, me: Challenger, dispute: DisputeInfo, candidate: CandidateInfo) -> Iterator[Move]:
    branch = view.branch(dispute.dispute, candidate.candidate)
    if branch.turn == Turn.DEFENDER_LATE:
        yield Silence(dispute=dispute.dispute, candidate=branch.candidate)
    elif branch.turn == Turn.CHALLENGER and me.ready(dispute):
        own = me if me.at is None else replace(me, openings=me.at(dispute.segment))
        yield _attack(view, own, site(view, me.job, candidate), branch)


def _accuse(view: CourtView, me: Challenger, mine: Sequence[DisputeInfo]) -> Iterator[Move]:
    """Reserve and open, or open directly, against the first wrong update of the chain; take unused
    reservations back (A-1).
    """
    job_id, period = me.job.job_id, me.job.clocks.opening
    reservations = {r.digest: r for r in view.reservations(me.address) if r.job == job_id}
    wrong = _first_wrong(view, me)
    if wrong is not None:
        update, segment = wrong
        # after a dispute lost, say, while the node was out of reach, there is a fresh digest to try.
        losses = _losses(mine, update.update, segment)
        salt = me.salt(update.update, segment, losses)
        digest = dispute_id(update=update.update, segment=segment, challenger=me.address, salt=salt)
        known = reservations.get(digest)
        # One open dispute against an update is enough; a second would cost a bond and win nothing.
        running = [d for d in mine if d.update == update.update and d.status == DisputeStatus.OPEN]
        accused = any(me.playable(dispute) for dispute in running)
        if known is None and not accused and losses <= RETRIES and view.now() <= update.deadline:
            opened = opening(update, segment, salt, me.job.geometry)
            yield opened if me.direct else Reserve(job=job_id, digest=digest)
        elif known is not None and not known.opened and view.now() <= known.time + period:
            yield opening(update, segment, salt, me.job.geometry)
    for reservation in reservations.values():
        if _expired(view, reservation, period):
            yield CancelReservation(digest=reservation.digest)


def _losses(mine: Sequence[DisputeInfo], update: bytes, segment: int) -> int:
    """Return how many of a party's disputes of one segment were lost."""
    return sum((d.update, d.segment, d.status) == (update, segment, DisputeStatus.LOST) for d in mine)


def _expired(view: CourtView, reservation: ReservationInfo, period: int) -> bool:
    return not reservation.opened and view.now() > reservation.time + period


def _first_wrong(view: CourtView, me: Challenger) -> tuple[UpdateInfo, int] | None:
    """What is built on a wrong update starts from a state that nobody can vouch for, and falls with it
    (U-8).
    """
    for update in view.chain(me.job.job_id):
        segment = me.first_difference(update)
        if segment is not None:
            return None if update.status == UpdateStatus.FINAL else (update, segment)
    return None


def opening(update: UpdateInfo, segment: int, salt: bytes, geometry: Geometry) -> Open:
    """Return what opens a dispute of a segment of an update (D-2)."""
    history = Tree([update.first_state, *update.states], geometry.history_height)
    place = segment - update.first_segment
    return Open(
        update=update.update,
        segment=segment,
        salt=salt,
        first=history.node(0, place),
        first_path=tuple(history.path(place)),
        last=history.node(0, place + 1),
        last_path=tuple(history.path(place + 1)),
    )


def _settle(view: CourtView, dispute: DisputeInfo, settled: set[bytes]) -> Iterator[Move]:
    """Settle the deepest position that ended empty, once everything above it has ended too (D-14).

    Until then nobody is to move below it, so to wait costs nothing and one transaction settles all.
    """
    for position in reversed(view.demands(dispute.dispute)):
        over = view.now() > _ends_at(view, position)
        if not over or not all(c.fallen for c in view.candidates(position)) or position in settled:
            continue
        here = view.position(position)
        if here.kind != Kind.STEPS:
            above = view.candidate(here.parent)
            if above.fallen or not above.above_standing:
                continue
        settled.add(position)
        yield Settle(position=position)
        return


def _ends_at(view: CourtView, position: bytes) -> int:
    """Return when the posting at a position and at all above it is over (D-4)."""
    here = view.position(position)
    if here.kind == Kind.STEPS:
        return here.ends_at
    return max(here.ends_at, _ends_at(view, view.candidate(here.parent).position))


def _candidates(view: CourtView, dispute: DisputeInfo) -> Iterator[CandidateInfo]:
    for position in view.demands(dispute.dispute):
        yield from (candidate for candidate in view.candidates(position) if not candidate.fallen)


# -------------------------------------------------------------------- one branch


def _attack(view: CourtView, me: Challenger, place: Site, branch: BranchInfo) -> Move:
    """Select the first difference below the cursor, or prove it at a last level (A-2)."""
    cursor = branch.cursor
    if cursor.kind == Kind.PAGE:
        return _attack_page(view, me, place, branch)
    levels = me.job.geometry.levels(cursor.height)
    theirs = committed_children(view, cursor, levels)
    own = cursor_tree(me.openings, place, cursor)
    index = _differs(theirs, own.children(cursor.height, cursor.index, levels), cursor)
    if levels == cursor.height:
        if cursor.kind == Kind.STEPS:
            return _select_step(view, me, place, branch, theirs, index)
        page = (cursor.index << levels) + index
        tensor = cursor.kind == Kind.TENSOR
        if cursor.kind in (Kind.STATE, Kind.FOLD) or (
            tensor and _page_is_leaf(me, cursor, page, theirs[index])
        ):
            return _prove(view, me, place, branch, index)
    return Select(
        dispute=branch.dispute,
        candidate=branch.candidate,
        index=index,
        leaf=theirs[index],
        path=path_in_list(theirs, index),
    )


def _differs(theirs: Sequence[object], mine: Sequence[object], cursor: Cursor) -> int:
    for index, (their, my) in enumerate(zip(theirs, mine, strict=True)):
        if their != my:
            return index
    raise MismatchError(
        f"nothing differs below {cursor.kind.name} {cursor.hash.hex()}, which must contain a difference: "
        "contract, view or replay are broken; stop, keep the chain's history, and find out which"
    )


def _page_is_leaf(me: Challenger, cursor: Cursor, page: int, committed: bytes) -> bool:
    """Whether a wrong page is proven as such: one past the extent, or an absent one within it (P-14,
    *zero*).
    """
    node = me.openings.program.nodes[cursor.node]
    return committed == ZERO or 64 * page >= extent(node, me.job.geometry.tensor_height)


def _attack_page(view: CourtView, me: Challenger, place: Site, branch: BranchInfo) -> Move:
    cursor = branch.cursor
    page = committed_page(view, cursor)
    own = me.openings.page_words(cursor.node, place.step, cursor.index)
    index = _differs(words_of_page(page).tolist(), own.tolist(), cursor)
    node = me.openings.program.nodes[cursor.node]
    geometry = me.job.geometry
    within = 64 * cursor.index + index < extent(node, geometry.tensor_height)
    if not within or node.terms <= range_length(node, geometry.range_log2):
        return _prove(view, me, place, branch, index)
    descriptor, path = TraceOpener(view, me.openings, place, cursor).descriptor(cursor.node)
    return SelectWord(
        dispute=branch.dispute,
        candidate=branch.candidate,
        index=index,
        page=page,
        opening=b"".join([descriptor, *path]),
    )


def _select_step(
    view: CourtView, me: Challenger, place: Site, branch: BranchInfo, theirs: Sequence[bytes], index: int
) -> SelectStep:
    cursor = branch.cursor
    step = (cursor.index << cursor.height) + index
    if step == 0:
        raise MismatchError(
            f"segment {place.position.segment} starts from another state than the replay: an earlier segment "
            "differs already, or this dispute was opened with another replay; find the first wrong segment"
        )
    own = cursor_tree(me.openings, place, cursor)
    fanout = me.job.geometry.fanout_log2
    committed = Committed(view, own=own, root=place.candidate.root, fanout_log2=fanout)
    return SelectStep(
        dispute=branch.dispute,
        candidate=branch.candidate,
        index=index,
        leaf=theirs[index],
        path=path_in_list(theirs, index),
        before=committed.node(0, step - 1),
        before_path=committed.path(step - 1),
    )


def _prove(view: CourtView, me: Challenger, place: Site, branch: BranchInfo, index: int) -> Prove:
    context = proof_context(me.job, place, branch.cursor)
    opener = TraceOpener(view, me.openings, place, branch.cursor)
    return Prove(
        dispute=branch.dispute,
        candidate=branch.candidate,
        index=index,
        witness=witness.build(context, index, opener),
    )
