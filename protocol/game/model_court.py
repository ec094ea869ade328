"""The court as plain values: reservations, disputes, positions, candidates, reveals (dispute.md, D-1 to D-7).

Written from the rules, to be compared with contracts_vyper/Court.vy. The moves of a branch and the ends of
things are in `protocol.game.model_play`.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from protocol.commitments.tree import height, root_of, verify
from protocol.errors import MalformedError, RefusedError
from protocol.game import clock
from protocol.game.ids import MOST_CANDIDATES, PAGE_LEVELS, Kind, candidate_id, dispute_id, position_id
from protocol.game.model_board import Board
from protocol.game.model_ledger import require
from protocol.game.model_records import Branch, Candidate, Dispute, Position, Reservation
from protocol.game.moves import Commit, Open, Reserve
from protocol.game.view import Cursor, DisputeStatus, Turn
from protocol.job import Job
from protocol.numerics.accumulator import BYTES, EMPTY, Accumulator

MOST_LEVELS: Final = 10
"""Of one list (D-6, U-1)."""

PAGE_BYTES: Final = 256


class Court:
    """Everything of a dispute up to the candidates, and the classifier's inputs."""

    def __init__(self, board: Board) -> None:
        """A court without disputes, bound to its board."""
        self.board = board
        self.reserved: dict[tuple[bytes, bytes], Reservation] = {}
        self.disputes: dict[bytes, Dispute] = {}
        self.positions: dict[bytes, Position] = {}
        self.candidates: dict[bytes, Candidate] = {}
        self.branches: dict[tuple[bytes, bytes], Branch] = {}
        self.traces: dict[bytes, int] = {}
        self.delegates: set[tuple[bytes, bytes]] = set()
        self.revealed: dict[tuple[bytes, int], tuple[int, tuple[bytes, ...]]] = {}
        self.pages: dict[bytes, tuple[int, bytes]] = {}

    def terms(self, update: bytes) -> Job:
        """Return the terms of the job that an update belongs to."""
        return self.board.jobs[self.board.updates[update].job].terms

    # ---------------------------------------------------------------- reservation and opening

    def reserve(self, sender: bytes, move: Reserve) -> None:
        """Lock the challenge bond (D-1)."""
        require((sender, move.digest) not in self.reserved, "court: reserved before")
        record = self.board.record(move.job)
        self.board.take(sender, record.terms.money.challenge_bond)
        self.reserved[sender, move.digest] = Reservation(move.job, self.board.time)

    def cancel_reservation(self, sender: bytes, digest: bytes) -> None:
        """Take back a reservation that was not opened (D-2)."""
        reservation = self.reserved.get((sender, digest))
        if reservation is None:
            raise RefusedError("court: nothing reserved")
        require(not reservation.opened, "court: reservation was opened")
        del self.reserved[sender, digest]
        self.board.credit(sender, self.board.jobs[reservation.job].terms.money.challenge_bond)

    def open(self, sender: bytes, move: Open) -> bytes:
        """Open a dispute, reserved or not; demands STEPS (D-2)."""
        dispute = dispute_id(update=move.update, segment=move.segment, challenger=sender, salt=move.salt)
        require(dispute not in self.disputes, "court: opened before")
        update = self.board.updates.get(move.update)
        if update is None or not self.board.is_live(move.update):
            raise RefusedError("court: update is not live")
        terms = self.board.jobs[update.job].terms
        require(not self.board.is_final(move.update), "court: update is final")
        reservation = self.reserved.get((sender, dispute))
        if reservation is None:
            self.board.require_tokens(sender, terms.money.challenge_bond)
            reservation = Reservation(update.job, self.board.time)
        require(reservation.job == update.job, "court: reserved for another job")
        # INVARIANT: I-3, nothing is opened after the deadline + V.
        require(reservation.time <= update.deadline, "court: reserved too late")
        require(self.board.time <= reservation.time + terms.clocks.opening, "court: opening is over")
        place = move.segment - update.first_segment
        require(0 <= place < len(update.states), "court: not a segment of it")
        levels, root = terms.geometry.history_height, update.history_root
        require(
            verify(move.first, place, move.first_path, root, height=levels),
            "court: first state not in history",
        )
        require(
            verify(move.last, place + 1, move.last_path, root, height=levels),
            "court: last state not in history",
        )
        if (sender, dispute) not in self.reserved:
            self.board.take(sender, terms.money.challenge_bond)
            self.reserved[sender, dispute] = reservation
        reservation.opened = True
        opened = Dispute(move.update, move.segment, sender, reservation.time)
        self.disputes[dispute] = opened
        update.open_disputes += 1
        self.demand(
            dispute,
            parent=move.update,
            kind=Kind.STEPS,
            a=move.segment,
            first=move.first,
            last=move.last,
            reserve=terms.clocks.reserve,
        )
        return dispute

    def demand(
        self,
        dispute: bytes,
        *,
        parent: bytes,
        kind: Kind,
        a: int,
        reserve: int,
        b: int = 0,
        first: bytes = b"",
        last: bytes = b"",
        word: int = 0,
        fold: int = 0,
        ranges: int = 0,
    ) -> bytes:
        """Demand a position; the first demand starts its posting period (D-4)."""
        mine = self.disputes[dispute]
        position = position_id(parent, kind, a, b)
        mine.demands[position] = self.board.time
        known = self.positions.get(position)
        if known is not None:
            if mine.reserved_at < self.disputes[known.claimant].reserved_at:
                known.claimant = dispute
            return position
        clocks = self.terms(mine.update).clocks
        allowance = 0
        if kind != Kind.FOLD:
            self.traces[mine.update] = self.traces.get(mine.update, 0) + 1
            allowance = clock.posting_allowance(clocks.allowance, self.traces[mine.update])
        self.positions[position] = Position(
            parent=parent,
            kind=kind,
            a=a,
            b=b,
            update=mine.update,
            segment=mine.segment,
            first=first,
            last=last,
            word=word,
            fold=fold,
            ranges=ranges,
            demanded_at=self.board.time,
            allowance=allowance,
            ends_at=self.board.time + allowance + clocks.response + reserve,
            reserve=reserve,
            claimant=dispute,
        )
        return position

    # ---------------------------------------------------------------- candidates

    def fallen_above(self, position: bytes) -> bool:
        """Whether a candidate that the position hangs under has fallen (D-16)."""
        here = self.positions[position]
        if here.kind == Kind.STEPS:
            return False
        above = self.candidates[here.parent]
        return above.fallen or self.fallen_above(above.position)

    def standing_above(self, position: bytes) -> bool:
        """Whether the update is live and nothing that the position hangs under has fallen (D-16)."""
        return self.board.is_live(self.positions[position].update) and not self.fallen_above(position)

    def standing(self, position: bytes) -> bool:
        """Whether a candidate stands at the position."""
        return any(not self.candidates[c].fallen for c in self.positions[position].candidates)

    def tree_height(self, position: bytes) -> int:
        """Return the height of the tree that is committed at a position (C-10, C-11, C-12)."""
        here = self.positions[position]
        geometry = self.terms(here.update).geometry
        if here.kind == Kind.STEPS:
            return geometry.steps_height
        return geometry.nodes_height if here.kind == Kind.NODES else height(here.ranges + 1)

    def speaks_for(self, sender: bytes, trainer: bytes) -> bool:
        """Whether the sender is the trainer or a delegate of it (D-5)."""
        return sender == trainer or (trainer, sender) in self.delegates

    def undecided(self, position: bytes) -> Position:
        """Return a position at which something can still be decided."""
        require(position in self.positions, "court: no such position")
        # INVARIANT: I-6, nothing is decided below what has fallen.
        require(not self.fallen_above(position), "court: fallen above")
        here = self.positions[position]
        require(self.board.is_live(here.update), "court: update is not live")
        return here

    def commit(self, sender: bytes, move: Commit) -> bytes:
        """Post a candidate, or take one over (D-5)."""
        here = self.undecided(move.position)
        terms = self.terms(here.update)
        # INVARIANT: I-7, the posting period ends.
        require(self.board.time <= here.ends_at, "court: posting period is over")
        tree_height = self.tree_height(move.position)
        levels = terms.geometry.levels(tree_height)
        require(len(move.children) == 1 << levels, "court: wrong number of children")
        self._check_ends(move, here, terms, tree_height - levels)
        root = _root(move.children)
        candidate = candidate_id(move.position, root)
        own = self.speaks_for(sender, self.board.updates[here.update].trainer)
        covered = own and here.covered is None
        known = self.candidates.get(candidate)
        if known is not None:
            # INVARIANT: I-6, nobody keeps the trainer's side from the cover by posting its root before it.
            require(covered and known.bonded, "court: candidate exists")
            self.board.credit(known.poster, terms.money.defence_bond)
            known.poster, known.bonded = sender, False
            here.covered = candidate
            return candidate
        # INVARIANT: I-6, one place is kept for the candidate that the update's bond covers.
        kept = int(not covered and here.covered is None)
        require(len(here.candidates) + kept < MOST_CANDIDATES, "court: no place left")
        if covered:
            here.covered = candidate
        else:
            self.board.take(sender, terms.money.defence_bond)
        here.candidates.append(candidate)
        self.candidates[candidate] = Candidate(
            move.position, root, tree_height, sender, self.board.time, not covered
        )
        self.revealed.setdefault((root, levels), (self.board.time, move.children))
        return candidate

    @staticmethod
    def _check_ends(move: Commit, here: Position, terms: Job, below: int) -> None:
        """Check the end points against the children, `below` levels above the leaves (D-5, P-16)."""

        def stands(leaf: bytes, index: int, path: tuple[bytes, ...]) -> bool:
            low = index & (1 << below) - 1
            return verify(leaf, low, path, move.children[index >> below], height=below)

        steps = terms.geometry.steps_of(here.segment)
        if here.kind == Kind.FOLD:
            first, last, end = (
                sha256(EMPTY.to_bytes()).digest(),
                sha256(move.accumulator).digest(),
                here.ranges,
            )
            require(len(move.accumulator) == BYTES, "court: accumulator of 97 bytes")
            finished = Accumulator.from_bytes(move.accumulator).finish(here.fold)
            require(finished == here.word, "court: accumulator not the word's")
        else:
            require(not move.accumulator, "court: accumulator not asked for")
            first, last = here.first, here.last
            end = steps if here.kind == Kind.STEPS else terms.geometry.n_nodes
        if here.kind == Kind.NODES:
            require(not move.first_path, "court: first path not asked for")
        else:
            require(stands(first, 0, move.first_path), "court: wrong first end point")
        require(stands(last, end, move.last_path), "court: wrong last end point")

    # ---------------------------------------------------------------- reveals

    def reveal(self, children: tuple[bytes, ...]) -> None:
        """Reveal the children of the hash that they make (D-6)."""
        levels = len(children).bit_length() - 1
        require(1 <= levels <= MOST_LEVELS and len(children) == 1 << levels, "court: children not 2^n")
        key = (_root(children), levels)
        require(key not in self.revealed, "court: revealed before")
        self.revealed[key] = (self.board.time, children)

    def reveal_page(self, page: bytes) -> None:
        """Reveal the bytes of a page (D-6)."""
        require(len(page) == PAGE_BYTES, "court: a page has 256 bytes")
        key = sha256(page).digest()
        require(key not in self.pages, "court: page revealed before")
        self.pages[key] = (self.board.time, page)

    def revealed_at(self, cursor: Cursor, levels: int) -> int | None:
        """Return when what is below a cursor was revealed (D-6)."""
        known: tuple[int, object] | None
        if levels == PAGE_LEVELS:
            known = self.pages.get(cursor.hash)
        else:
            known = self.revealed.get((cursor.hash, levels))
        return None if known is None else known[0]

    # ---------------------------------------------------------------- branches

    def levels(self, dispute: bytes, cursor: Cursor) -> int:
        """Return the number of levels that one reveal under the cursor spans (D-6, D-8)."""
        if cursor.kind == Kind.PAGE:
            return PAGE_LEVELS
        return self.terms(self.disputes[dispute].update).geometry.levels(cursor.height)

    def exists(self, dispute: bytes, candidate: bytes) -> bool:
        """Whether the dispute has demanded the candidate's position (D-7)."""
        mine, posted = self.disputes.get(dispute), self.candidates.get(candidate)
        return mine is not None and posted is not None and posted.position in mine.demands

    def branch(self, dispute: bytes, candidate: bytes) -> Branch:
        """Return a branch as it is, before its first move too (D-7, D-13).

        Raises:
            RefusedError: the dispute has not demanded the candidate's position.
        """
        require(self.exists(dispute, candidate), "court: no such branch")
        mine, posted = self.disputes[dispute], self.candidates[candidate]
        known = self.branches.get((dispute, candidate))
        if known is not None:
            return known
        here = self.positions[posted.position]
        clocks = self.terms(mine.update).clocks
        challenger_reserve = clocks.reserve
        if here.kind != Kind.STEPS:
            challenger_reserve = self.branch(dispute, here.parent).challenger_reserve
        return Branch(
            cursor=Cursor(kind=here.kind, hash=posted.root, height=posted.height, index=0, node=0),
            challenger_reserve=challenger_reserve,
            defender_reserve=clock.reserve_after_posting(
                here.reserve, here.demanded_at, here.allowance, clocks.response, posted.posted_at
            ),
        )

    def judge(self, dispute: bytes, candidate: bytes) -> clock.Judgement:
        """Classify a branch now (D-12)."""
        branch = self.branch(dispute, candidate)
        mine, posted = self.disputes[dispute], self.candidates[candidate]
        standing = not posted.fallen and self.standing_above(posted.position)
        if mine.status != DisputeStatus.OPEN or not standing:
            return clock.Judgement(turn=Turn.CLOSED, due=0, limit=0, defender_overrun=0)
        if branch.demanded is not None:
            return clock.Judgement(turn=Turn.WAITING, due=0, limit=0, defender_overrun=0)
        here, demanded_at = self.positions[posted.position], mine.demands[posted.position]
        levels = self.levels(dispute, branch.cursor)
        revealed_at = self.revealed_at(branch.cursor, levels)
        if levels == 0:
            revealed_at = branch.moved_at if branch.moved_at is not None else demanded_at
        return clock.judge(
            self.board.time,
            clock.BranchTimes(
                posted_at=posted.posted_at,
                first_demand=here.demanded_at,
                demanded_at=demanded_at,
                allowance=here.allowance,
                response=self.terms(mine.update).clocks.response,
                moved_at=branch.moved_at,
                revealed_at=revealed_at,
                challenger_reserve=branch.challenger_reserve,
                defender_reserve=branch.defender_reserve,
            ),
        )


def _root(children: tuple[bytes, ...]) -> bytes:
    try:
        return root_of(children)
    except MalformedError as error:
        raise RefusedError("court: children not 2^n") from error
