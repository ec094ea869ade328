"""Reads metrics off the log and the chain, without a part in what is done."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final, Protocol

from challenger.ledger import exposure
from gavel.awaited import Awaited, Side, awaited
from gavel.metrics import names
from gavel.metrics.health import Health
from gavel.metrics.names import Metrics
from protocol.chain.agent import Log, Said
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts
from protocol.errors import ChainError, GavelError
from protocol.game.view import DisputeInfo, DisputeStatus, UpdateStatus
from protocol.job import Clocks

AMOUNTS: Final = ("balance", "credit", "locked", "forfeited", "spent", "earned")
DEMANDED: Final = ("open", "own", "shown")
LEVELS: Final = ("debug", "info", "warning", "error")
MONITORED: Final = ("warning", "error")
_SIDES: Final = (Side.DEFENCE, Side.CHALLENGER)


class Follower(Protocol):
    """Who replays a job; `challenger.agent.Watcher` is one."""

    @property
    def job_id(self) -> bytes:
        """Of the job."""
        ...

    @property
    def differences(self) -> Mapping[bytes, int | None]:
        """By update the first wrong segment, None for a right one; none while it is unknown."""
        ...

    @property
    def behind(self) -> int:
        """Segments to replay until every update has been compared."""
        ...


class Meter:
    """Takes its turn beside the agents of a process (`protocol.chain.agent.Turns`).

    Attributes:
        metrics, health: what it keeps up to date.
        jobs: ids of the jobs that are followed; followers: who replays them.
    """

    def __init__(
        self,
        *,
        contracts: Contracts,
        view: ChainView,
        metrics: Metrics,
        health: Health,
        account: bytes | None,
        log: Log,
        everybody: bool = False,
    ) -> None:
        """Bind; nothing is read yet.

        Args:
            view: shared with the agents.
            account: whose disputes, moves and tokens are meant, 20 bytes; None for nobody's.
            log: told what goes wrong.
            everybody: all disputes and moves of the jobs are meant, whoever's they are.
        """
        self.view, self.metrics, self.health = view, metrics, health
        self.patience = math.inf
        self.jobs: list[bytes] = []
        self.followers: list[Follower] = []
        self._contracts, self._account, self._everybody = contracts, account, everybody
        self._log, self._counted = Said(log), 0
        self._at: object = None
        for level in LEVELS:
            metrics.add(names.LINES, 0, level)

    def follow(self, job: bytes, patience: float, follower: Follower | None = None) -> None:
        """Meter one more job.

        Args:
            job: its id.
            patience: seconds that its agents may go without a look at the chain.
            follower: who replays it, if anybody does.
        """
        self.jobs.append(job)
        self.health.patience = min(self.health.patience, patience)
        if follower is not None:
            self.followers.append(follower)

    def log(self, inner: Log, *, job: bytes | None = None) -> Log:
        """Return a log that counts what it hands on.

        Args:
            job: that its lines are about.
        """

        def told(text: str, /, *, level: str = "info", **fields: object) -> None:
            self._count(text, level, {"job": job, **fields})
            inner(text, level=level, **fields)

        return told

    def _count(self, text: str, level: str, fields: Mapping[str, object]) -> None:
        add = self.metrics.add
        add(names.LINES, 1, level)
        if level == "error":
            self.health.error = time.time(), text
        if "move" in fields:
            add(names.TRANSACTIONS, 1, str(fields["move"]), _result(fields))
            if isinstance(fields.get("gas"), int):
                add(names.GAS, float(str(fields["gas"])), str(fields["move"]))
        elif {"segment", "state", "seconds"} <= fields.keys() and isinstance(job := fields.get("job"), bytes):
            add(names.REPLAYED, float(str(fields["seconds"])), job.hex())
        if "node" in fields and level == "warning":  # it was left for another one
            add(names.SWITCHES, 1)
        if fields.get("replaced"):
            add(names.REPLACED, 1)

    def trouble(self, error: GavelError) -> None:
        """Say what cannot be read (A-8)."""
        self._log.once(f"metrics are not up to date: {error}", level="warning")

    def turn(self) -> bool:
        """Look, and note what is there; never anything to do.

        Raises:
            ChainError: the node cannot be read.
        """
        try:
            self.view.refresh()
            self._look()
        except ChainError:
            self.health.reachable = False
            self.metrics.set(names.NODE_UP, 0)
            raise
        self.health.reachable, self.health.looked = True, time.monotonic()
        self.health.block, self.health.head = self.view.block, self.view.now()
        self.metrics.set(names.NODE_UP, 1)
        self.metrics.set(names.LOOKED, time.time())
        return False

    def _look(self) -> None:
        set_ = self.metrics.set
        set_(names.HEAD_BLOCK, self.view.block)
        set_(names.HEAD_TIME, self.view.now())
        self.health.behind = 0
        for follower in self.followers:
            behind = follower.behind
            self.health.behind += behind
            set_(names.BEHIND, behind, follower.job_id.hex())
        sent = self._contracts.client.sent
        for transaction in sent[self._counted :]:
            self.metrics.add(names.SPENT, transaction.gas * transaction.price)
        self._counted = len(sent)
        known = sum(len(follower.differences) for follower in self.followers)
        at = (self.view.block, self.view.now(), known, len(self.jobs))
        if at == self._at:
            return  # the rest is as it was
        for job in self.jobs:
            self._look_at_updates(job)
            self._look_at_disputes(job)
            self._look_at_demands(job)
        for follower in self.followers:
            self._compare(follower)
        self._look_at_money()
        self._at = at

    def _look_at_updates(self, job: bytes) -> None:
        counts = Counter(update.status for update in self.view.updates(job))
        for status in UpdateStatus:
            self.metrics.set(names.UPDATES, counts[status], job.hex(), status.value)

    def _compare(self, follower: Follower) -> None:
        job, chain = follower.job_id.hex(), self.view.chain(follower.job_id)
        differences, counts = follower.differences, Counter[str]()
        waiting: list[int] = []
        for update in chain:
            known = update.update in differences
            verdict = "unknown"
            if known:
                verdict = "right" if differences[update.update] is None else "wrong"
            elif update.status == UpdateStatus.PENDING:
                waiting.append(update.deadline - self.view.now())
            counts[verdict] += 1
        for verdict in ("right", "wrong", "unknown"):
            self.metrics.set(names.COMPARED, counts[verdict], job, verdict)
        self._left(names.DEADLINE, waiting, job)

    def _look_at_disputes(self, job: bytes) -> None:
        mine = [
            (update, dispute)
            for update in self.view.updates(job)
            for dispute in self.view.disputes(update=update.update)
            if self._everybody or self._account in (update.trainer, dispute.challenger)
        ]
        counts = Counter(dispute.status for _, dispute in mine)
        for status in DisputeStatus:
            self.metrics.set(names.DISPUTES, counts[status], job.hex(), status.value)
        moves: list[Awaited] = []
        for update, dispute in mine:
            own = self._own_sides(update.trainer, dispute)
            moves += [move for move in awaited(self.view, dispute) if move.side in own]
        for side in _SIDES:
            theirs = [move for move in moves if move.side == side]
            due = [move.due - self.view.now() for move in theirs]
            limit = [move.limit - self.view.now() for move in theirs]
            if side == Side.CHALLENGER:
                to_open = self._to_open(job)
                due, limit = due + to_open, limit + to_open
            self._left(names.MOVE_DUE, due, job.hex(), side.value)
            self._left(names.MOVE_LIMIT, limit, job.hex(), side.value)

    def _own_sides(self, trainer: bytes, dispute: DisputeInfo) -> set[Side]:
        if self._everybody:
            return set(_SIDES)
        sides = {Side.DEFENCE} if trainer == self._account else set()
        return sides | ({Side.CHALLENGER} if dispute.challenger == self._account else set())

    def _to_open(self, job: bytes) -> list[int]:
        """Seconds left to open what the account has reserved."""
        if self._account is None:
            return []
        opening = Clocks.unpack(int(self.view.terms(job)["clocks"])).opening
        waiting = [r for r in self.view.reservations(self._account) if r.job == job and not r.opened]
        return [reservation.time + opening - self.view.now() for reservation in waiting]

    def _look_at_demands(self, job: bytes) -> None:
        updates = self.view.updates(job)
        opened = [(update, known) for update in updates for known in self.view.open_demands(update.update)]
        counts = {
            "open": len(opened),
            "own": sum(known.asker == self._account for _, known in opened),
            "shown": sum(self.view.shown(update.update) for update in updates),
        }
        for kind in DEMANDED:
            self.metrics.set(names.DEMANDS, counts[kind], job.hex(), kind)
        due = [
            known.due - self.view.now() for update, known in opened if update.status == UpdateStatus.PENDING
        ]
        self._left(names.DEMAND_DUE, due, job.hex())

    def _look_at_money(self) -> None:
        if self._account is not None:
            held = asdict(exposure(self.view, self._account))
            for kind in AMOUNTS:
                self.metrics.set(names.TOKENS, held[kind], kind)
        if self._contracts.client.account is not None:
            self.metrics.set(names.COINS, self._contracts.client.coins())

    def _left(self, metric: names.Metric, seconds: Sequence[int], *labels: str) -> None:
        """Serve the least of some times, or nothing where there are none."""
        if seconds:
            self.metrics.set(metric, min(seconds), *labels)
        else:
            self.metrics.clear(metric, *labels)


def _result(fields: Mapping[str, object]) -> str:
    if "tx" in fields:
        return "mined"
    if fields.get("held"):
        return "held"
    if fields.get("dry_run"):
        return "dry"
    return "refused" if "reason" in fields else "failed"
