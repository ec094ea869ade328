"""The monitor: a watcher's replay, without a watcher's moves (A-32)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from challenger.agent import Watcher
from challenger.solver import Challenger, solve
from gavel.awaited import Side, awaited
from gavel.metrics import names
from gavel.metrics.names import Metrics
from gavel.monitor.forecast import Finding, Winner, about_demands, about_dispute, about_update, winner
from gavel.summary import duration
from protocol.chain.agent import describe
from protocol.errors import GavelError
from protocol.game.moves import Move
from protocol.game.openings import Openings
from protocol.game.view import DisputeInfo, DisputeStatus


class Monitor(Watcher):
    """Follows one job, sends nothing, and says what must become of it.

    Attributes:
        findings: what is at odds with the forecast, as of the last look.
        forecasts: by open dispute who must win.
    """

    def __init__(self, *, metrics: Metrics | None = None, **options: Any) -> None:
        """Args: metrics: kept up to date; options: as for `Watcher`, but for key, account and dry run."""
        super().__init__(key=None, dry_run=True, **options)
        self._metrics = metrics
        self.findings: list[Finding] = []
        self.forecasts: dict[bytes, Winner] = {}

    def _look(self) -> list[Move]:
        self.view.refresh()
        self._tell()
        self._forecast()
        return []

    def _open(self) -> Sequence[DisputeInfo]:
        """Every open dispute of the job: their segments are replayed first."""
        return [d for d in self._all() if d.status == DisputeStatus.OPEN]

    def _all(self) -> list[DisputeInfo]:
        updates = self.view.updates(self.job_id)
        return [d for update in updates for d in self.view.disputes(update=update.update)]

    def _forecast(self) -> None:
        job, found = self._folder.job, list[Finding]()
        for update in self.view.updates(self.job_id):
            found += about_update(self.view, update, self.differences, window=job.clocks.window)
            found += about_demands(
                update,
                self.view.open_demands(update.update),
                self.differences,
                now=self.view.now(),
                answer_time=job.audit.answer_time,
            )
        self.forecasts = {}
        for dispute in self._all():
            who = winner(self.differences, dispute)
            known = self._openings_of(dispute.segment) if self._replay.ready(dispute.segment) else None
            found += about_dispute(self.view, job, known, dispute, who)
            if dispute.status == DisputeStatus.OPEN:
                self.forecasts[dispute.dispute] = who
                self._say(dispute, who, known)
        self.findings = found
        for finding in found:
            left = "" if finding.left is None else f"; {duration(finding.left)} are left"
            self._log.once(
                finding.text + left, level=finding.level, about=finding.text, concerns=finding.about
            )
        self._count()

    def _say(self, dispute: DisputeInfo, who: Winner, known: Openings | None) -> None:
        """Say who must win and what is next for that side, whenever it is something else."""
        place = f"dispute {dispute.dispute.hex()[:12]} of segment {dispute.segment + 1}"
        if who == Winner.UNKNOWN:
            text = f"{place}: nobody can say yet who must win; what it builds on is not known to be right"
        else:
            text = f"{place}: the {who.value} must win; next {self._next(dispute, who, known)}"
        if self._new(dispute.dispute, text):
            self._log(text, dispute=dispute.dispute, winner=who.value)

    def _next(self, dispute: DisputeInfo, who: Winner, known: Openings | None) -> str:
        waiting = awaited(self.view, dispute)
        side = Side.CHALLENGER if who == Winner.CHALLENGER else Side.DEFENCE
        mine = [move for move in waiting if move.side == side]
        if who == Winner.CHALLENGER and mine and known is not None:
            right = self._right_moves(dispute)
            if right:
                return f"it would have {describe(right[0])}"
        if mine:
            by = duration(max(mine[0].limit - self.view.now(), 0))
            return f"it has to {mine[0].move}, within {by}"
        others = ", ".join(f"{move.side.value}: {move.move}" for move in waiting)
        return others or "nothing is awaited"

    def _right_moves(self, dispute: DisputeInfo) -> list[Move]:
        """What an honest challenger would send now in this dispute (A-2)."""
        me = Challenger(
            address=dispute.challenger,
            job=self._folder.job,
            openings=self.openings,
            salt=lambda _update, _segment, _losses: bytes(32),
            first_difference=lambda _: None,
            ready=lambda other: other.dispute == dispute.dispute,
            at=self._openings_of,
        )
        moves = solve(self.view, me, report=self._undecided)
        return [move for move in moves if getattr(move, "dispute", None) == dispute.dispute]

    def _undecided(self, error: GavelError) -> None:
        """A challenger may have come to where no move is right: then there is none to name."""
        self._log.once(f"no right move to name: {error}", level="info")

    def _count(self) -> None:
        if self._metrics is None:
            return
        job, levels = self.job_id.hex(), Counter(finding.level for finding in self.findings)
        for level in ("warning", "error"):
            self._metrics.set(names.FINDINGS, levels[level], job, level)
        winners = Counter(self.forecasts.values())
        for who in Winner:
            self._metrics.set(names.FORECASTS, winners[who], job, who.value)
