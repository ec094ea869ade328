"""Calls that made sense before or will later, and moves of another kind than the cursor asks for."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from tests.stateful.calls import HOSTILE, Call
from tests.stateful.ghost_base import NOBODY
from tests.stateful.ghost_records import CHALLENGER, DEFENDER
from tests.stateful.ghost_verifier import PAGE
from tests.stateful.sensible_board import SensibleBoard
from tests.stateful.sensible_court import SensibleCourt
from tests.stateful.sensible_moves import Branch
from tests.stateful.truth import Truth, UnknownError
from tests.stateful.world import World


class Untimely:
    """Finds such calls, all by somebody hostile."""

    def __init__(
        self, world: World, truth: Truth, board: SensibleBoard, court: SensibleCourt, random: Random
    ) -> None:
        """For the calls of a world."""
        self.world, self.truth, self.random = world, truth, random
        self.calls, self.plays = board, court
        self.ghost = world.ghost

    def _who(self) -> str:
        return self.random.choice(HOSTILE)

    def all(self) -> list[Call]:
        """All of them; most are refused."""
        return [*self._of_board(), *self._of_demands(), *self._of_court(), *self._of_branches()]

    def _of_board(self) -> Iterator[Call]:
        board, now = self.ghost.board, self.world.now
        for job, known in board.jobs.items():
            yield Call(self._who(), "board", "refund", (job,))
            if known.leaseholder == NOBODY:
                continue
            yield Call(self._who(), "board", "lease", (job,))
            yield Call(self._who(), "board", "evict", (job,))
            if known.leaseholder in HOSTILE and self.truth.sound(job):
                if now > known.lease_due:
                    yield Call(known.leaseholder, "board", "release", (job,))
                    yield self.calls.post_of(job, known)
                states = tuple(self.truth.material.ends(0, range(known.terms.segments))) * 2
                parent = known.chain[-1] if known.chain else job
                yield Call(known.leaseholder, "board", "post", (job, parent, states))
        for update in board.updates:
            yield Call(self._who(), "board", "claim", (update,))
            yield Call(self._who(), "board", "reclaim", (update,))

    def _of_demands(self) -> Iterator[Call]:
        for demand, known in self.ghost.availability.demands.items():
            if not self.truth.follows(known.update):
                continue
            yield Call(self._who(), "availability", "expire", (demand,))
            yield Call(self._who(), "availability", "close_demand", (demand,))
            if self.world.now > known.due or not self.ghost.board.is_live(known.update):
                call = self.calls.answer_of(demand, self._who())
                if call is not None:
                    yield call

    def _of_court(self) -> Iterator[Call]:
        court = self.ghost.court
        for (who, dispute), reserved in court.reserved.items():
            if who not in HOSTILE:
                continue
            if reserved.opened:
                yield Call(who, "court", "cancel_reservation", (dispute,))
            elif dispute in self.plays.salts:
                yield self.plays.open_of(who, dispute)
        for dispute in court.disputes:
            yield Call(self._who(), "court", "close", (dispute,))
        for candidate in court.candidates:
            yield Call(self._who(), "court", "free", (candidate,))
        for position, known in court.positions.items():
            yield Call(self._who(), "court", "settle", (position,))
            if self.truth.follows(known.update):
                yield self.plays.commit_of(position, self.plays.some_root(position), self._who())

    def _of_branches(self) -> Iterator[Call]:
        court, branches = self.ghost.court, self.plays.branches(CHALLENGER)
        for branch in branches + self.plays.branches(DEFENDER):
            yield Call(self._who(), "court", "silence", branch)
            yield Call(self._who(), "court", "timeout", branch)
        for branch in branches:
            if court.disputes[branch[0]].challenger in HOSTILE:
                yield from self._crossed(branch)

    def _crossed(self, branch: Branch) -> Iterator[Call]:
        """Every kind of move at a cursor, whatever its kind."""
        court, pick = self.ghost.court, self.random
        who, cursor = court.disputes[branch[0]].challenger, court.branch(*branch).cursor
        page, leaf, path, index = bytes(256), bytes(32), tuple[bytes, ...](), 0
        try:
            if cursor.kind == PAGE:
                page, index = self.truth.page(cursor.hash), pick.choice([0, 1, 40, 63, 64])
            else:
                children = self.truth.children(*branch)
                index = pick.randrange(len(children))
                leaf, path = children[index], tuple(self.truth.path_in_list(children, index))
        except UnknownError:
            return
        m = self.truth.material
        descriptor = m.stock.path(m.program_root, m.shapes.nodes, cursor.node)
        assert descriptor is not None
        opening = m.descriptors[cursor.node] + b"".join(descriptor)
        yield Call(who, "court", "select", (*branch, index, leaf, path))
        yield Call(who, "court", "select_step", (*branch, index, leaf, path, leaf, path))
        yield Call(who, "court", "select_word", (*branch, index, page, opening))
        where = opening + (page if cursor.kind == PAGE else leaf + b"".join(path))
        witness = pick.choice([where, where + bytes(97), where[:-1], where + pick.randbytes(600)])
        yield Call(who, "verifier", "prove", (self.world.at.court, *branch, index, witness))
