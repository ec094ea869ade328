"""Training as an agent: a slice of steps at a time, so that a defence beside it is never late (K-3)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from protocol.chain.agent import Agent, Log
from protocol.chain.deployment import Contracts
from protocol.checkpoints import CheckpointStore
from protocol.errors import AccountError, ChainError, GavelError
from protocol.game.moves import Move
from protocol.job_folder import JobFolder
from prover.agent import TrainerAccount
from prover.trainer import Segment, Step, Trainer, WrongTipError

AGAIN: Final = 60.0
"""Seconds after which training is tried again where it went wrong."""

TOLD: Final = 30.0
"""Seconds between two lines about steps."""


class TrainingAgent(Agent):
    """Leases, trains and posts, on and on; what happens to it afterwards is for a `DefenderAgent`."""

    def __init__(
        self,
        *,
        contracts: Contracts,
        folder: JobFolder,
        trainer: Trainer,
        store: CheckpointStore,
        log: Log,
        per_update: int | None = None,
        segments: int | None = None,
        slice_seconds: float = 1.0,
        finished: Callable[[], object] = lambda: None,
    ) -> None:
        """Check the contracts and bind to a client with the trainer's key.

        Args:
            trainer, store: of the job; the store is the trainer's.
            per_update: segments in an update; as many as the job allows unless given.
            segments: to post before it ends; all that are left unless given.
            slice_seconds: how long a turn trains, at least one step.
            finished: called once all is posted, final and collected, or can be no more.

        Raises:
            MismatchError: the contracts' code or wiring is not what it should be.
        """
        super().__init__(contracts=contracts, folder=folder, log=log)
        geometry = folder.job.geometry
        self._trainer, self._store, self._finished = trainer, store, finished
        self._account = TrainerAccount(contracts=contracts, folder=folder, log=self._log, view=self.view)
        self._per_update = min(per_update or geometry.max_segments, geometry.max_segments)
        self._ordered, self._served = segments, 0
        self._slice = slice_seconds
        self._work: Iterator[Step | Segment] | None = None
        self._tip: tuple[int, bytes] | None = None
        self._ready: list[bytes] = []
        self._wanted = 0
        self._wrong: set[bytes] = set()
        self._not_before = self._told = 0.0
        self._posted: list[Move] = []
        self._done = False

    def epilogue(self) -> str:
        """One line for people about what is left to do when it stops."""
        if self._done:
            return "done: all that it posted is final and collected"
        waits = f"{len(self._ready)} trained segments are not posted yet; " if self._ready else ""
        return (
            f"stopped; {waits}run again to go on, within the clocks of the job: a lease that runs out costs "
            "its deposit, and a dispute that is not answered the bond"
        )

    def step(self) -> list[Move]:
        """Take turns until something is posted, or nothing is to be done; return what was posted."""
        self._posted = []
        while self.turn() and not self._posted:
            pass
        return self._posted

    def turn(self) -> bool:
        """Train a slice, or look what is to be done; False when there is nothing to do for now.

        Raises:
            ChainError: as `Agent.step`.
            GavelError: whatever keeps it from training, too little money too; it tries again after `AGAIN`
                seconds.
        """
        if time.monotonic() < self._not_before:
            return False
        if self._work is not None and self._moved():
            self._log("the job's tip is another one now; begins again from there", level="warning")
            self._work = None
        try:
            return self._begin() if self._work is None else self._train()
        except GavelError as error:
            self._work = None  # what is stored is not lost
            if isinstance(error, WrongTipError) and self._tip is not None:
                self._wrong.add(self._tip[1])  # K-4
            elif not isinstance(error, ChainError) or isinstance(error, AccountError):
                self._not_before = time.monotonic() + AGAIN
            raise

    def trouble(self, error: GavelError) -> None:
        """Say what keeps it from training; the defence goes on (K-3)."""
        self._log.once(f"NOT TRAINING: {error}; trying again later", level="error")

    def _moved(self) -> bool:
        with suppress(ChainError):  # training needs no node between two segments
            return self._account.moved()
        return False

    def _begin(self) -> bool:
        """Post what is ready, or begin to train what is not; False where neither is possible."""
        self.view.refresh()
        job, geometry = self._folder.job.job_id, self._folder.job.geometry
        state, me = self.view.job_state(job), self._contracts.account
        first, root = self._tip = self._account.tip()
        self._ready = []
        self._wanted = min(self._per_update, geometry.segments - first)
        if self._ordered is not None:
            self._wanted = min(self._wanted, self._ordered - self._served)
        if self._wanted <= 0 or self.view.now() > state["ends_at"]:
            if self._collected():
                self._done = True
                self._finished()
            return False
        if any(state["leaseholder"]) and state["leaseholder"] != me and self.view.now() <= state["lease_due"]:
            self._log.once(f"waiting: 0x{state['leaseholder'].hex()} holds the job's lease")
            return False
        if root in self._wrong:
            self._log.once("waiting: the job's tip is wrong; a watcher must fell it", level="warning")
            return False
        self._ready = [c.root for c in self._store.following(first, root)][: self._wanted]
        if self._full():
            self._account.lease()
            return self._post()
        if self._ready:
            self._log(f"goes on after segment {first + len(self._ready)}, stored but not posted")
        self._work = self._trainer.work(
            first_segment=first + len(self._ready),
            root=self._ready[-1] if self._ready else root,
            segments=self._wanted - len(self._ready),
            ready=self._account.lease,
        )
        return True

    def _train(self) -> bool:
        until, work = time.monotonic() + self._slice, self._work
        for done in work or ():
            if isinstance(done, Segment):
                self._ready.append(done.root)
                total = self._folder.job.geometry.segments
                self._log(done.line(total), segment=done.number, root=done.root)
                if self._full() or self._lease_presses():
                    return self._post()
            else:
                self._tell(done)
            if time.monotonic() >= until:
                break
        return True

    def _full(self) -> bool:
        return len(self._ready) >= self._wanted

    def _lease_presses(self) -> bool:
        """Whether a third of the lease has gone (K-4)."""
        self.view.refresh()
        state, lease = self.view.job_state(self._folder.job.job_id), self._folder.job.clocks.lease
        return 3 * (int(state["lease_due"]) - self.view.now()) < 2 * lease

    def _post(self) -> bool:
        posted, self._ready, self._work = self._ready, [], None
        self._posted.append(self._account.post(posted))
        self._served += len(posted)
        return True

    def _collected(self) -> bool:
        """Whether nothing of this trainer's is open on the job any more."""
        me = self._contracts.account
        own = [u.update for u in self.view.updates(self._folder.job.job_id) if u.trainer == me]
        return all(self.view.is_claimed(update) for update in own) and not self.view.credit(me)

    def _tell(self, step: Step) -> None:
        now = time.monotonic()
        if now - self._told >= TOLD:
            self._told = now
            what = "replays what it builds on" if step.replayed else "trains"
            self._log(
                f"{what}: step {step.number + 1} of {self._folder.job.geometry.steps:,}, loss {step.loss:.4f}"
            )
