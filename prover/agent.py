"""The trainer's side on the chain: lease, post, defend, claim (actors.md, A-4 to A-7).

What to do in a dispute is decided by `prover.defence.defend`; this loads, asks and sends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Event as Flag
from typing import Final

from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts
from protocol.chain.moves import ensure_allowance, send_move
from protocol.errors import ChainError, GavelError, RefusedError
from protocol.game.moves import Claim, Commit, Lease, Move, Post, Reclaim, Withdraw
from protocol.game.openings import Openings
from protocol.game.trace import HONEST, Hooks
from protocol.game.view import UpdateInfo, UpdateStatus
from protocol.job_folder import JobFolder
from prover.defence import Defender, answers, freed
from prover.engine.executor import Executor
from prover.engine.trace import ReplayTrace
from prover.store import CheckpointStore

Log = Callable[[str], None]

FRESH: Final = 30.0
"""Seconds after which a defender looks at the chain again before it goes on."""


class TrainerAccount:
    """What a trainer does on the job board."""

    def __init__(self, *, contracts: Contracts, folder: JobFolder, log: Log) -> None:
        """Bind to a client with the trainer's key; nothing is sent."""
        self._contracts, self._folder, self._log = contracts, folder, log
        self.view = ChainView(contracts)
        self._parent: bytes | None = None
        self._first = 0

    def tip(self) -> tuple[int, bytes]:
        """Return the number of the next segment, and the state root that it starts from.

        The next `post` builds on this tip and no other.
        """
        job = self._folder.job.job_id
        tip, segment, root = self._contracts.board.view("tip", job)
        self._parent, self._first = (bytes(tip) if any(tip) else job), int(segment)
        return self._first, bytes(root)

    def lease(self) -> bool:
        """Take the lease unless it is held already; return whether a transaction was sent.

        Raises:
            RefusedError: somebody else holds it, or nothing is left to post.
        """
        self.view.refresh()
        state = self.view.job_state(self._folder.job.job_id)
        if state["leaseholder"] == self._contracts.account and self.view.now() <= state["lease_due"]:
            return False
        money = self._folder.job.money
        ensure_allowance(self._contracts, money.lease_deposit + money.update_bond)
        send_move(self._contracts, Lease(job=self._folder.job.job_id))
        self._log("leased the job")
        return True

    def post(self, states: Sequence[bytes]) -> None:
        """Post the state roots of further segments (U-4).

        Raises:
            RefusedError: no lease, too many segments, past the end, or the tip is not the one that `tip`
                told last (I-9): train again from what it is now.
        """
        ensure_allowance(self._contracts, self._folder.job.money.update_bond)
        if self._parent is None:
            self.tip()
        parent, self._parent = self._parent or self._folder.job.job_id, None
        send_move(self._contracts, Post(job=self._folder.job.job_id, parent=parent, states=tuple(states)))
        self._log(f"posted segments {self._first + 1} to {self._first + len(states)}")


class DefenderAgent:
    """Defends the updates of one trainer, and collects what it has earned.

    Attributes:
        view: the chain as of the last step.
        openings: trees over the trainer's own trace.
    """

    def __init__(
        self,
        *,
        contracts: Contracts,
        folder: JobFolder,
        executor: Executor,
        store: CheckpointStore,
        log: Log,
        trainer: bytes | None = None,
        hooks: Hooks = HONEST,
    ) -> None:
        """Check the contracts and bind to a client with the defender's key.

        Args:
            store: checkpoints save replaying what leads to a disputed segment.
            trainer: whom to speak for, 20 bytes; the account itself unless given (D-5).
            hooks: must be those that the updates were trained with, for drills.

        Raises:
            MismatchError: the contracts' code or wiring is not what it should be.
        """
        contracts.verify()
        geometry = folder.job.geometry
        self._contracts, self._folder, self._store, self._log = contracts, folder, store, log
        self.view = ChainView(contracts)
        self._trace = ReplayTrace(
            executor,
            state=folder.genesis,
            first_step=0,
            stride=geometry.stride,
            n_steps=geometry.steps,
            range_log2=geometry.range_log2,
            hooks=hooks,
        )
        self.openings = Openings(geometry=geometry, program=folder.program, trace=self._trace)
        self._remembered: set[tuple[int, bytes]] = set()
        account = contracts.account
        self._me = Defender(
            address=account, trainer=trainer or account, job=folder.job, openings=self.openings
        )

    def step(self) -> list[Move]:
        """Read the chain, decide, send; return the moves that were sent.

        Moves that are not accepted are logged, and so is what cannot be decided: neither keeps others from
        being made (A-8). After `FRESH` seconds what is left is decided anew, from what the chain then says.

        Raises:
            ChainError: the node cannot be read; nothing is lost, call again.
        """
        self.view.refresh()
        self._remember()
        began, due, sent = time.monotonic(), False, []
        for move in answers(self.view, self._me, report=self._trouble):
            due = True
            if self._send(move):
                sent.append(move)
            if time.monotonic() - began > FRESH and sent:
                return sent
        return sent if due else [move for move in self._collect() if self._send(move)]

    def _trouble(self, error: GavelError) -> None:
        self._log(f"CANNOT ANSWER in one place, going on with the others: {error}")

    def _remember(self) -> None:
        """Hand the trace the stored states that own updates start from and end with."""
        geometry = self._folder.job.geometry
        for update in self.view.chain(self._folder.job.job_id):
            if update.trainer != self._me.trainer or update.status != UpdateStatus.PENDING:
                continue
            if not self.view.disputes(update=update.update):
                continue
            for place, root in enumerate((update.first_state, *update.states)):
                segments = update.first_segment + place
                if (segments, root) in self._remembered:
                    continue
                self._remembered.add((segments, root))
                state = self._store.load(segments, root)
                if state is not None:
                    self._trace.remember(min(segments * geometry.stride, geometry.steps), state)

    def _collect(self) -> list[Move]:
        """Claims, reclaims, defence bonds and the withdrawal of what they credited."""
        moves: list[Move] = []
        for update in self.view.updates(self._folder.job.job_id):
            if update.trainer == self._me.address:
                moves += self._due(update)
            moves += freed(self.view, self._me, update)
        if not moves and self.view.credit(self._me.address):
            moves.append(Withdraw())
        return moves

    def _due(self, update: UpdateInfo) -> list[Move]:
        if self.view.is_claimed(update.update):
            return []
        if update.status == UpdateStatus.FINAL:
            return [Claim(update=update.update)]
        return [Reclaim(update=update.update)] if update.status == UpdateStatus.VOID else []

    def _send(self, move: Move) -> bool:
        try:
            if isinstance(move, Commit):
                self._cover(move)
            sent = send_move(self._contracts, move)
        except (RefusedError, ChainError) as error:  # the next move may be possible
            self._log(f"{type(move).__name__} {error}")
            return False
        self._log(f"{type(move).__name__} ({sent.gas:,} gas)")
        return True

    def _cover(self, move: Commit) -> None:
        """Approve the defence bond where a candidate needs one (D-5)."""
        if self.view.position(move.position).own_posted or any(move.as_update):
            ensure_allowance(self._contracts, self._folder.job.money.defence_bond)

    def run(self, *, poll: float, stop: Flag) -> None:
        """Step until told to stop, every `poll` seconds while there is nothing to send.

        Whatever goes wrong is logged, and tried again from what the chain then says (A-8).
        """
        while not stop.is_set():
            try:
                sent = self.step()
            except GavelError as error:
                self._log(f"{error}; trying again")
                sent = []
            if not sent:
                stop.wait(poll)
