"""Defends, for bonds that come back, updates of others that one's own replay confirms (actors.md, A-40)."""

from __future__ import annotations

from collections.abc import Callable

from protocol.amounts import amount
from protocol.chain.agent import Agent, Log, ids
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

Held = Callable[[ChainView, Move, int], str | None]
"""Says why a move that locks so many tokens is held back, and what to do; None if it is not (A-30)."""


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
        held: Held | None = None,
    ) -> None:
        """Check the contracts and bind to a client with the guard's key.

        Args:
            openings: trees over the replay that confirms.
            confirms: whether that replay has found an update right, from the job's start on.
            account: 20 bytes, who sends, or, dry, whom to look as (A-13).
            view: shared with the watcher; dry_run: send nothing.
            limit: most tokens that it holds in defence bonds at a time, in the smallest unit; None: any.
            held: of the account's limits; nothing is held back unless given.

        Raises:
            UsageError: the limit is not enough for one bond of this job.
            MismatchError: the contracts' code or wiring is not what it should be.
        """
        super().__init__(contracts=contracts, folder=folder, log=log, view=view, dry_run=dry_run)
        self._bond, self._held = folder.job.money.defence_bond, held
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

    def send(self, move: Move) -> bool:
        """Send a move as an agent does, unless it is held back (A-30): then it is said."""
        locks = self.locks(move)
        why = self._held(self.view, move, locks) if self._held is not None else None
        if why is None:
            return super().send(move)
        self._log.once(
            f"HELD BACK {type(move).__name__}, so what is right may fall: {why}",
            level="error",
            held=True,
            move=type(move).__name__,
            locks=locks,
            **ids(move),
        )
        return False

    def prepare(self, move: Move) -> None:
        """Approve the defence bond of a candidate (D-5)."""
        if self.locks(move):
            ensure_allowance(self._contracts, self._bond)

    def locks(self, move: Move) -> int:
        """The defence bond, for a candidate."""
        return self._bond if isinstance(move, Commit) else 0
