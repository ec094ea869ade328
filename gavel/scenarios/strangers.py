"""Parties that belong to nobody: they post, open, reserve and ask, and play none of it to the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from challenger.solver import opening
from gavel.jobs import make_executor
from gavel.scenarios.conduct import garbage
from gavel.scenarios.stage import Stage
from protocol.chain.agent import Agent
from protocol.chain.moves import ensure_allowance
from protocol.commitments.canonical import Words
from protocol.commitments.tree import Tree
from protocol.errors import MismatchError
from protocol.game.ids import Kind
from protocol.game.moves import CancelReservation, Close, Commit, Free, Move, Open, Reserve, Withdraw
from protocol.game.openings import Openings
from protocol.game.proofs import commitment, last_leaf
from protocol.game.trace import HONEST, Hooks
from protocol.game.view import DisputeStatus, PositionInfo, UpdateStatus
from protocol.job import Geometry
from prover.engine.trace import trace_of_job
from prover.guard import Guard


def openings_of(stage: Stage, *, hooks: Hooks = HONEST) -> Openings:
    """Trees over a trace of the stage's job, that nobody else shares."""
    folder = stage.folder
    trace = trace_of_job(make_executor(folder), folder, hooks=hooks)
    return Openings(geometry=folder.job.geometry, program=folder.program, trace=trace)


def guarding(stage: Stage, role: str) -> dict[str, Any]:
    """What a guard of a role is bound to that replays for itself and finds every update right."""
    return stage.binding(role) | {
        "openings": openings_of(stage),
        "confirms": lambda _: True,
        "account": stage.address(role),
    }


class Mute(Guard):
    """Posts the right roots in a trainer's stead as soon as they are demanded, and never answers for them."""

    def __init__(self, *, trainer: bytes, **guard: Any) -> None:
        """Bind as `Guard` does.

        Args:
            trainer: whose updates, 20 bytes.
            guard: arguments of `Guard`.
        """
        super().__init__(**guard)
        self._me = replace(self._me, trainer=trainer)  # so that it waits for nobody

    def send(self, move: Move) -> bool:
        """Send commitments alone, and take their bonds back."""
        return isinstance(move, Commit | Free) and super().send(move)


class Bogus(Guard):
    """Posts candidates of nothing at the first position of a kind that is demanded, and answers for none."""

    def __init__(self, *, kind: Kind, number: int, **guard: Any) -> None:
        """Bind as `Guard` does.

        Args:
            kind: STEPS or NODES; number: of candidates.
            guard: arguments of `Guard`.
        """
        super().__init__(**guard)
        self._kind, self._number = kind, number
        self._done = False

    def step(self) -> list[Move]:
        """Post, or take back what bonds there are to be taken back."""
        self.view.refresh()
        posts = [] if self._done else list(self._posts())
        self._done = self._done or bool(posts)
        return [move for move in posts or self._freed() if self.send(move)]

    def _posts(self) -> Iterator[Commit]:
        for update in self.view.chain(self._folder.job.job_id):
            for here in self.view.positions(update=update.update):
                if here.kind == self._kind:
                    geometry = self._folder.job.geometry
                    yield from (nothing_at(here, geometry, number) for number in range(self._number))
                    return


def nothing_at(here: PositionInfo, geometry: Geometry, number: int) -> Commit:
    """A commitment with the right end points and nothing between them (D-5).

    Args:
        here: a STEPS or NODES position.
        number: each gives another root.
    """
    steps = here.kind == Kind.STEPS
    height = geometry.steps_height if steps else geometry.nodes_height
    leaves = [garbage(number.to_bytes(4) + leaf.to_bytes(4)) for leaf in range(last_leaf(here, geometry))]
    if steps:
        leaves[0] = here.first
    return commitment(here, Tree([*leaves, here.last], height), geometry)


class Spammer(Agent):
    """Opens disputes of nothing, several at once, and makes no move in any."""

    def __init__(self, *, each: int, **agent: Any) -> None:
        """Bind as `Agent` does.

        Args:
            each: disputes of every segment of the first update.
            agent: arguments of `Agent`.
        """
        super().__init__(**agent)
        self._each = each

    def step(self) -> list[Move]:
        """Open all of them, or close what can be closed."""
        self.view.refresh()
        return [move for move in (*self._openings(), *self._closings()) if self.send(move)]

    def prepare(self, move: Move) -> None:
        """Approve the bonds."""
        if isinstance(move, Open):
            ensure_allowance(self._contracts, self._folder.job.money.challenge_bond)

    def _openings(self) -> Iterator[Open]:
        chain = self.view.chain(self._folder.job.job_id)
        if not chain or self.view.disputes(challenger=self._contracts.account):
            return
        update, geometry = chain[0], self._folder.job.geometry
        for segment in range(update.first_segment, update.first_segment + update.segments):
            for number in range(self._each):
                salt = sha256(b"spam" + number.to_bytes(4)).digest()
                yield opening(update, segment, salt, geometry)

    def _closings(self) -> Iterator[Move]:
        for dispute in self.view.disputes(challenger=self._contracts.account):
            gone = self.view.update(dispute.update).status in (UpdateStatus.FALLEN, UpdateStatus.VOID)
            if gone and dispute.status == DisputeStatus.OPEN:
                yield Close(dispute=dispute.dispute)


class Reserver(Agent):
    """Reserves several times, opens nothing, and takes its bonds back."""

    def __init__(self, *, number: int, **agent: Any) -> None:
        """Bind as `Agent` does.

        Args:
            number: of reservations.
            agent: arguments of `Agent`.
        """
        super().__init__(**agent)
        self._left = number

    def step(self) -> list[Move]:
        """Reserve all at once when something is posted; cancel what is too late to be opened."""
        self.view.refresh()
        job = self._folder.job
        moves: list[Move] = []
        if self._left and self.view.chain(job.job_id):
            numbers = range(self._left)
            moves += [Reserve(job=job.job_id, digest=sha256(bytes([number])).digest()) for number in numbers]
            self._left = 0
        for reservation in self.view.reservations(self._contracts.account):
            if not reservation.opened and self.view.now() > reservation.time + job.clocks.opening:
                moves.append(CancelReservation(digest=reservation.digest))
        if not moves and self.view.credit(self._contracts.account):
            moves.append(Withdraw())
        return [move for move in moves if self.send(move)]

    def prepare(self, move: Move) -> None:
        """Approve the bonds."""
        if isinstance(move, Reserve):
            ensure_allowance(self._contracts, self._folder.job.money.challenge_bond)


class Liar:
    """A store of other states than those that are asked for.

    Attributes:
        name: for people; asked: how often it was asked.
    """

    name = "a store that lies"

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self.asked = 0

    def load(self, segments: int, root: bytes) -> Sequence[Words] | None:
        """Give another state than the one with this root, which shows at once. Raises MismatchError."""
        self.asked += 1
        raise MismatchError(f"the state after {segments} segments in {self.name} is not {root.hex()}")
