"""What the chain records of trainers: one of the reasons to replay a claim early (actors.md, A-18)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from protocol.chain.court_view import ChainView
from protocol.game.view import UpdateStatus


class Record:
    """By trainer, 20 bytes, the updates of one job that fell and the candidates lost in disputes of them.

    Only what happened to fallen updates is read, each once: nobody can make that long but by losing bonds.
    """

    def __init__(self, view: ChainView, job: bytes) -> None:
        """Args: view: of the chain; job: id, 32 bytes."""
        self._view, self._job = view, job
        self._falls = -1
        self._known: dict[bytes, Counter[bytes]] = {}

    def now(self) -> Mapping[bytes, int]:
        """The record as of the view's last refresh. Raises ChainError if the node fails."""
        falls = int(self._view.job_state(self._job)["falls"])
        if falls != self._falls:
            self._falls = falls
            for update in self._view.updates(self._job):
                if update.status == UpdateStatus.FALLEN and update.update not in self._known:
                    self._known[update.update] = self._of(update.update, update.trainer)
        return sum(self._known.values(), Counter())

    def _of(self, update: bytes, trainer: bytes) -> Counter[bytes]:
        lost = Counter([trainer])
        for dispute in self._view.disputes(update=update):
            for position in self._view.demands(dispute.dispute):
                lost.update(c.poster for c in self._view.candidates(position) if c.fallen)
        return lost
