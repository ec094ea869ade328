"""What honest parties have to do, and by when; they do it in time, and never anything else.

The honest trainer posts only what is right, and answers for it. The honest watcher disputes every wrong
update and plays to the end, defends every right one, whoever posted it, and answers demands for its pages.
No call of theirs may ever be refused, and whatever the others do, they lose nothing and what is right stays
(rules.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.stateful.calls import HONEST, WATCHER, Call
from tests.stateful.ghost_base import digest
from tests.stateful.ghost_records import CHALLENGER, DEFENDER, DEFENDER_LATE, OPEN
from tests.stateful.material import STRIDE
from tests.stateful.sensible_board import SensibleBoard
from tests.stateful.sensible_court import SensibleCourt
from tests.stateful.truth import Truth
from tests.stateful.world import World


@dataclass(frozen=True, slots=True)
class Duty:
    """A call to be made at `by` at the latest, in seconds."""

    by: int
    call: Call


class Honest:
    """The duties of the honest, as things stand."""

    def __init__(self, world: World, truth: Truth, board: SensibleBoard, court: SensibleCourt) -> None:
        """The honest parties of a world."""
        self.world, self.truth = world, truth
        self.calls, self.plays = board, court
        self.court, self.board = world.ghost.court, world.ghost.board

    def duties(self) -> list[Duty]:
        """All of them, the same for the same state."""
        return [
            *self._posts(),
            *self._disputes(),
            *self._commitments(),
            *self._reveals(),
            *self._moves(),
            *self._ends(),
            *self._answers(),
        ]

    def alarm(self) -> int | None:
        """The next moment at which the watcher may have something to end: it sleeps no longer (D-19)."""
        found = list[int]()
        for dispute, known in self.court.disputes.items():
            if known.challenger not in HONEST or known.status != OPEN or not self.board.is_live(known.update):
                continue
            for position in known.demands:
                found.append(self.court.positions[position].ends_at + 1)
                for candidate in self.court.standing(position):
                    turn, due, reserve = self.court.classify(dispute, candidate)
                    if turn == DEFENDER:
                        found.append(due + reserve + 1)
        return min((moment for moment in found if moment > self.world.now), default=None)

    def _posts(self) -> Iterator[Duty]:
        """The honest trainer posts what it leased for, and gives back what it cannot use."""
        for job, known in self.board.jobs.items():
            if known.leaseholder not in HONEST or self.world.now > known.lease_due:
                continue
            left = self.board.next_segment(known) < known.terms.segments and self.world.now <= known.ends_at
            if left and self.truth.right_chain(job):
                yield Duty(min(known.lease_due, known.ends_at), self.calls.post_of(job, known))
            elif known.posted or self.world.now > known.ends_at:
                yield Duty(known.lease_due, Call(known.leaseholder, "board", "release", (job,)))

    def _disputes(self) -> Iterator[Duty]:
        """The watcher reserves against every wrong update, at its first wrong segment, and opens."""
        for update, known in self.board.updates.items():
            segment = self.truth.wrong_segment(update)
            below_right = known.start == self.truth.material.right(known.first_segment * STRIDE)
            if segment is None or not (
                below_right and self.board.is_live(update) and self.truth.follows(update)
            ):
                continue
            mine = [
                (dispute, reserved)
                for (who, dispute), reserved in self.court.reserved.items()
                if who == WATCHER and dispute in self.plays.salts and self.plays.salts[dispute][0] == update
            ]
            if not mine and self.world.now <= known.deadline:
                yield Duty(known.deadline, self.plays.reserve_of(update, segment, WATCHER))
            for dispute, reserved in mine:
                if not reserved.opened:
                    by = reserved.time + self.board.terms_of(update).opening
                    yield Duty(by, self.plays.open_of(WATCHER, dispute))

    def _commitments(self) -> Iterator[Duty]:
        """The right candidate stands at every position that has one."""
        for position, known in self.court.positions.items():
            if not self._played(position) or self.world.now > known.ends_at:
                continue
            root = self.truth.right_root(position)
            if digest(position, root) in self.court.candidates:
                continue
            trainer = self.board.updates[known.update].trainer
            by = known.demanded_at + known.allowance + self.court.terms(position).response
            who = trainer if trainer in HONEST else WATCHER
            yield Duty(by, self.plays.commit_of(position, root, who))

    def _played(self, position: bytes) -> bool:
        """Whether a position is still of interest, and right."""
        known = self.court.positions[position]
        live = self.board.is_live(known.update) and not self.board.is_final(known.update)
        return (
            live
            and self.truth.follows(known.update)
            and not self.court.fallen_above(position)
            and self.truth.is_right(position)
        )

    def _reveals(self) -> Iterator[Duty]:
        """Whatever is asked for under a right candidate."""
        for branch in self.plays.branches(DEFENDER):
            posted = self.court.candidates[branch[1]]
            if posted.root == self.truth.right_root(posted.position) and self.truth.is_right(posted.position):
                trainer = self.board.updates[self.court.positions[posted.position].update].trainer
                call = self.plays.reveal_of(branch, trainer if trainer in HONEST else WATCHER)
                assert call is not None, "what is right can be opened"
                yield Duty(self.court.classify(*branch)[1], call)

    def _moves(self) -> Iterator[Duty]:
        """The watcher's own disputes."""
        for branch in self.plays.branches(CHALLENGER):
            if self.court.disputes[branch[0]].challenger in HONEST:
                call = self.plays.move_of(branch)
                assert call is not None, f"an honest challenger can always move: {self.court.branch(*branch)}"
                yield Duty(self.court.classify(*branch)[1], call)

    def _ends(self) -> Iterator[Duty]:
        """What the watcher's disputes have come to."""
        soon = self.world.now
        for branch in self.plays.branches(DEFENDER_LATE):
            if self.court.disputes[branch[0]].challenger in HONEST:
                yield Duty(soon, Call(WATCHER, "court", "silence", branch))
        for dispute, known in self.court.disputes.items():
            if known.challenger not in HONEST or known.status != OPEN:
                continue
            if not self.board.is_live(known.update):
                yield Duty(soon + 600, Call(WATCHER, "court", "close", (dispute,)))
                continue
            for position in known.demands:
                if self.court.ended_empty(position) and not self.court.fallen_above(position):
                    yield Duty(soon, Call(WATCHER, "court", "settle", (position,)))

    def _answers(self) -> Iterator[Duty]:
        """Pages of right updates."""
        for demand, known in self.world.ghost.availability.demands.items():
            live = self.board.is_live(known.update) and self.world.now <= known.due
            if live and self.truth.follows(known.update) and self.truth.wrong_segment(known.update) is None:
                call = self.calls.answer_of(demand, WATCHER)
                assert call is not None, "right states are in the stock"
                yield Duty(known.due, call)
