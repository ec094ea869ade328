"""The actors of the demo: each has an account and a folder of its own, and runs the shipped agents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gavel.jobs import make_executor
from gavel.scenarios.conduct import FAITHFUL, Answering, Conduct
from protocol.chain.agent import Log
from protocol.chain.deployment import Contracts
from protocol.chain.moves import send_move
from protocol.game.moves import Release
from protocol.game.trace import HONEST, Hooks
from protocol.job_folder import JobFolder
from prover.agent import DefenderAgent, TrainerAccount
from prover.engine.checkpoints import store_of_job
from prover.trainer import Segment, Trainer


class TrainingParty:
    """A trainer: leases, trains, posts, defends, claims."""

    def __init__(
        self,
        *,
        name: str,
        contracts: Contracts,
        folder: JobFolder,
        path: Path,
        log: Log,
        hooks: Hooks = HONEST,
        conduct: Conduct = FAITHFUL,
    ) -> None:
        """Bind a trainer to its account.

        Args:
            name: for people.
            contracts: with its key.
            folder: the job as it has loaded it.
            path: of its checkpoints.
            log: gets short lines.
            hooks: its departure from the program, if it cheats.
            conduct: how it posts and answers.
        """
        self.name, self.contracts, self.folder = name, contracts, folder
        self.store = store_of_job(folder, path)
        executor = make_executor(folder)
        self._account = TrainerAccount(contracts=contracts, folder=folder, log=log)
        self._trainer = Trainer(folder=folder, executor=executor, store=self.store, hooks=hooks)
        self.agent: DefenderAgent = Answering(
            contracts=contracts,
            folder=folder,
            executor=executor,
            store=self.store,
            log=log,
            hooks=hooks,
            conduct=conduct,
        )
        self._conduct = conduct

    def train(self, segments: int, told: Callable[[Segment], None] = lambda _: None) -> None:
        """Replay the tip, lease if need be, train segments from it and post them as one update."""
        first, root = self._account.tip()
        roots = []
        training = self._trainer.train(
            first_segment=first, root=root, segments=segments, ready=self._account.lease
        )
        for segment in training:
            roots.append(segment.root)
            told(segment)
        self._account.post(self._conduct.posted(roots))

    def lease(self) -> None:
        """Take the lease."""
        self._account.lease()

    def release(self) -> None:
        """Give the lease back."""
        send_move(self.contracts, Release(job=self.folder.job.job_id))
