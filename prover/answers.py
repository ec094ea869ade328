"""Shows the pages that are demanded of updates whose states one holds (availability.md, Y-4 and Y-14)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from protocol.chain.agent import Agent, Log
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts
from protocol.commitments.canonical import Words
from protocol.game.demands import DemandInfo, PageOpener
from protocol.game.isolation import isolated
from protocol.game.moves import Move
from protocol.game.view import UpdateInfo, UpdateStatus
from protocol.job_folder import JobFolder

Held = Callable[[UpdateInfo], Sequence[Words] | None]
"""Gives the state that an update ends with, flat uint32 words of every slot; None where it is not held."""


class Answers(Agent):
    """Answers demands in time, what is due first.

    Of the updates' states it keeps the one that was asked for last.
    """

    def __init__(
        self,
        *,
        contracts: Contracts,
        folder: JobFolder,
        held: Held,
        log: Log,
        view: ChainView | None = None,
        dry_run: bool = False,
        leave: float = 0.0,
    ) -> None:
        """Check the contracts and bind to a client with the key of who answers.

        Args:
            held: what it holds.
            view: shared with other agents; one of its own unless given.
            dry_run: send nothing (A-13).
            leave: the share of the time for an answer that is left to others, who may hold the state too.

        Raises:
            MismatchError: the contracts' code or wiring is not what it should be.
        """
        super().__init__(contracts=contracts, folder=folder, log=log, view=view, dry_run=dry_run)
        self._held, self._leave = held, leave
        self._opener: tuple[bytes, PageOpener] | None = None

    def step(self) -> list[Move]:
        """Read the chain, answer, send; return the moves that were sent.

        What cannot be answered is said, and keeps nobody from the other answers (A-8).

        Raises:
            ChainError: the node cannot be read; nothing is lost, call again.
        """
        self.view.refresh()
        sent: list[Move] = []
        for update, demand in self._asked():
            with isolated(self.trouble):
                opener = self._open(update)
                if opener is not None and self.send(move := opener.answer(demand)):
                    sent.append(move)
        return sent

    def _asked(self) -> list[tuple[UpdateInfo, DemandInfo]]:
        now, wait = self.view.now(), self._leave * self._folder.job.audit.answer_time
        found = [
            (update, demand)
            for update in self.view.chain(self._folder.job.job_id)
            if update.status == UpdateStatus.PENDING
            for demand in self.view.open_demands(update.update)
            if demand.due - self._folder.job.audit.answer_time + wait <= now <= demand.due
        ]
        return sorted(found, key=lambda asked: asked[1].due)

    def _open(self, update: UpdateInfo) -> PageOpener | None:
        root = update.states[-1]
        if self._opener is None or self._opener[0] != root:
            state = self._held(update)
            if state is None:
                self._tell_missing(update)
                return None
            self._opener = root, PageOpener(state, self._folder.job.geometry, root)
        return self._opener[1]

    def _tell_missing(self, update: UpdateInfo) -> None:
        """Say that the state of an own update is gone; that of somebody else need not be there."""
        client = self._contracts.client
        if client.account is not None and update.trainer == self._contracts.account:
            self._log.once(
                f"a page of update {update.update.hex()[:12]} IS DEMANDED AND ITS STATE IS NOT HERE: "
                "the update falls with its bond unless it is shown: name the --store that has the state",
                level="error",
                update=update.update,
                state=update.states[-1],
            )
