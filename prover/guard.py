"""Defends, for bonds that come back, updates of others that one's own replay confirms (actors.md, A-40)."""

from __future__ import annotations

from collections.abc import Callable

from protocol.amounts import amount
from protocol.chain.agent import Agent, Log
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts
from protocol.chain.moves import ensure_allowance
from protocol.errors import UsageError
from protocol.game.moves import Commit, Move
from protocol.game.openings import Openings
from protocol.game.view import UpdateInfo
from protocol.job_folder import JobFolder
from prover.agent import answered
from prover.defence import Defender, freed


class Guard(Agent):
    """Beside a watcher of the same process and job: what the watcher finds right, it answers for.

    An update that its trainer answers for costs it nothing: it waits for half of the time that the trainer
    has.
    """

    def __init__(
        self,
        *,
        contracts: Contracts,
        folder: JobFolder,
        openings: Openings,
        confirms: Callable[[UpdateInfo], bool],
        log: Log,
        account: bytes,
        view: ChainView | None = None,
        dry_run: bool = False,
        limit: int | None = None,
    ) -> None:
        """Check the contracts and bind to a client with the guard's key.

        Args:
            openings: trees over the replay that confirms.
            confirms: whether that replay has found an update right, from the job's start on.
            account: 20 bytes, who sends, or, dry, whom to look as (A-13).
            view: shared with the watcher; dry_run: send nothing.
            limit: most tokens that it holds in defence bonds at a time, in the smallest unit; None: any.

        Raises:
            UsageError: the limit is not enough for one bond of this job.
            MismatchError: the contracts' code or wiring is not what it should be.
        """
        super().__init__(contracts=contracts, folder=folder, log=log, view=view, dry_run=dry_run)
        self._bond = folder.job.money.defence_bond
        if limit is not None and limit < self._bond:
            raise UsageError(
                f"a limit of {amount(limit)} tokens is less than one defence bond of this job, "
                f"{amount(self._bond)}, so nothing could be defended; allow three bonds or more: a dispute "
                "may need as many"
            )
        self._me = Defender(
            address=account,
            trainer=None,
            job=folder.job,
            openings=openings,
            confirms=confirms,
            bonds=(1 << 32) if limit is None else limit // self._bond,
        )

    def step(self) -> list[Move]:
        """Read the chain, answer what the trainer has left unanswered, take bonds back; return what was sent.

        Raises:
            ChainError: the node cannot be read; nothing is lost, call again.
        """
        self.view.refresh()
        return answered(self, self._me) or [move for move in self._freed() if self.send(move)]

    def _freed(self) -> list[Move]:
        updates = self.view.updates(self._folder.job.job_id)
        return [move for update in updates for move in freed(self.view, self._me, update)]

    def prepare(self, move: Move) -> None:
        """Approve the defence bond of a candidate (D-5)."""
        if self.locks(move):
            ensure_allowance(self._contracts, self._bond)

    def locks(self, move: Move) -> int:
        """The defence bond, for a candidate."""
        return self._bond if isinstance(move, Commit) else 0
