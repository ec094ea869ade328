"""The watcher: follows one job, replays what is posted, disputes what is wrong (actors.md, A-1 to A-3, A-6).

What to do is decided by `challenger.solver.solve`; this loads, asks and sends. Everything is read from the
chain again at each step, so a restart at any moment loses nothing.
"""

from __future__ import annotations

import hmac
import time

from challenger.solver import Challenger, solve
from protocol.chain.agent import Agent, Log
from protocol.chain.deployment import Contracts
from protocol.chain.moves import ensure_allowance
from protocol.errors import MismatchError
from protocol.game.moves import Move, Reserve, Withdraw
from protocol.game.openings import Openings
from protocol.game.trace import HONEST, Hooks
from protocol.game.view import DisputeStatus, UpdateInfo, UpdateStatus
from protocol.job_folder import JobFolder
from prover.engine.executor import Executor
from prover.engine.trace import trace_of_job


class Watcher(Agent):
    """Follows one job from its start.

    Attributes:
        view: the chain as of the last step.
        openings: trees over the watcher's own replay.
        differences: by update id the first wrong segment (absolute), None for a right one.
    """

    def __init__(
        self,
        *,
        contracts: Contracts,
        folder: JobFolder,
        executor: Executor,
        key: bytes,
        log: Log,
        hooks: Hooks = HONEST,
    ) -> None:
        """Check everything that the watcher relies on before it writes anything (A-1).

        Args:
            contracts: bound to a client with the watcher's key.
            folder: the job, loaded and thereby checked against its id.
            executor: of the job.
            key: the private key, from which salts are derived.
            log: gets short lines.
            hooks: departs from the program, for drills: a watcher that accuses honest trainers.

        Raises:
            MismatchError: the contracts' code, their wiring or the job on chain is not what it should be.
        """
        super().__init__(contracts=contracts, folder=folder, log=log)
        check_job(contracts, folder)
        self._key = key
        self._trace = trace_of_job(executor, folder, hooks=hooks)
        self.openings = Openings(geometry=folder.job.geometry, program=folder.program, trace=self._trace)
        self.differences: dict[bytes, int | None] = {}
        self._me = Challenger(
            address=contracts.account,
            job=folder.job,
            openings=self.openings,
            salt=self._salt,
            first_difference=self._first_difference,
        )

    def approve(self) -> None:
        """Let the board take challenge bonds, so that no dispute waits for an approval."""
        ensure_allowance(self._contracts, self._folder.job.money.challenge_bond)

    def prepare(self, move: Move) -> None:
        """Approve the challenge bond that a reservation locks."""
        if isinstance(move, Reserve):
            self.approve()

    def _salt(self, update: bytes, segment: int, losses: int) -> bytes:
        # the same after a restart, and nobody else can guess it.
        place = update + segment.to_bytes(8) + losses.to_bytes(8)
        return hmac.digest(self._key, b"gavel salt" + place, "sha256")

    def _first_difference(self, update: UpdateInfo) -> int | None:
        if update.update not in self.differences:
            self.differences[update.update] = self._compare(update)
        return self.differences[update.update]

    def _compare(self, update: UpdateInfo) -> int | None:
        """Replay an update segment by segment and compare the ends (A-1, A-3)."""
        geometry = self._folder.job.geometry
        for place, posted in enumerate(update.states):
            segment = update.first_segment + place
            began = time.perf_counter()
            own = self._trace.state_root(segment * geometry.stride + geometry.steps_of(segment))
            took = time.perf_counter() - began
            if own != posted:
                self._log(
                    f"segment {segment + 1}: WRONG, posted state {posted.hex()[:12]}, "
                    f"replay gives {own.hex()[:12]}"
                )
                return segment
            self._log(f"segment {segment + 1}: replayed in {took:.2f} s, state {own.hex()[:12]} agrees")
        return None

    def step(self) -> list[Move]:
        """Read the chain, decide, send; return the moves that were sent.

        A move that is not accepted is logged and dropped: somebody else was faster, its time is over, or the
        account cannot pay; what follows is decided from the chain in the next step. So is what the solver
        cannot decide (A-2): the other disputes go on (A-8).

        Raises:
            ChainError: the node cannot be read; nothing is lost, call again.
        """
        self.view.refresh()
        moves = solve(self.view, self._me, report=self.trouble)
        return [move for move in moves if self.send(move)] or self._collect()

    def _collect(self) -> list[Move]:
        """Withdraw what was won, once no dispute of this watcher is open."""
        own = self.view.disputes(challenger=self._me.address)
        if any(d.status == DisputeStatus.OPEN for d in own) or not self.view.credit(self._me.address):
            return []
        return [move for move in (Withdraw(),) if self.send(move)]

    @property
    def idle(self) -> bool:
        """Whether, as of the last step, every update is right and no own dispute is open."""
        own = self.view.disputes(challenger=self._me.address)
        pending = [u for u in self.view.chain(self._folder.job.job_id) if u.status == UpdateStatus.PENDING]
        return not any(d.status == DisputeStatus.OPEN for d in own) and all(
            self.differences.get(u.update, 0) is None for u in pending
        )


def check_job(contracts: Contracts, folder: JobFolder) -> None:
    """Check that the board holds exactly the terms of the folder.

    Raises:
        MismatchError: it does not know the job, or the folder is of another board.
    """
    job = folder.job
    terms = contracts.board.view("terms", job.job_id)
    if job.board != contracts.board.address_bytes or terms["board"] != contracts.board.address_bytes:
        raise MismatchError(
            f"the board at {contracts.board.address} does not know job {job.job_id.hex()}; use the "
            "deployment that the job was opened with"
        )
