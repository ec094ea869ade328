"""Every metric that is served: names, types, labels, help. specs/metrics.md lists the same (O-2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from protocol.errors import UsageError


class Kind(StrEnum):
    """Types of Prometheus."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric. The name of a counter ends in ``_total``."""

    name: str
    kind: Kind
    labels: tuple[str, ...] = ()
    help: str

    def samples(self) -> tuple[str, ...]:
        """The names under which it is served."""
        if self.kind != Kind.HISTOGRAM:
            return (self.name,)
        return tuple(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))


SECONDS: Final = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
"""Bounds of the buckets of durations, in seconds."""

NODE_UP: Final = Metric(
    name="gavel_node_up", kind=Kind.GAUGE, help="1 if the last look at the chain went well, 0 if not."
)
HEAD_BLOCK: Final = Metric(
    name="gavel_head_block", kind=Kind.GAUGE, help="Number of the block that was looked at last."
)
HEAD_TIME: Final = Metric(
    name="gavel_head_timestamp_seconds", kind=Kind.GAUGE, help="Timestamp of the chain's latest block."
)
LOOKED: Final = Metric(
    name="gavel_looked_timestamp_seconds",
    kind=Kind.GAUGE,
    help="When this machine last read the chain, by its own clock.",
)
SWITCHES: Final = Metric(
    name="gavel_node_switches_total",
    kind=Kind.COUNTER,
    help="Times that another node was taken because one failed.",
)
LINES: Final = Metric(
    name="gavel_log_lines_total",
    kind=Kind.COUNTER,
    labels=("level",),
    help="Lines logged. Each of level error asks an operator to act.",
)
REPLAYED: Final = Metric(
    name="gavel_segment_seconds",
    kind=Kind.HISTOGRAM,
    labels=("job",),
    help="Seconds taken by each segment that was replayed.",
)
BEHIND: Final = Metric(
    name="gavel_segments_behind",
    kind=Kind.GAUGE,
    labels=("job",),
    help="Segments to replay until every update posted has been compared.",
)
UPDATES: Final = Metric(
    name="gavel_updates",
    kind=Kind.GAUGE,
    labels=("job", "status"),
    help="Updates ever posted: pending, final, fallen, void.",
)
COMPARED: Final = Metric(
    name="gavel_updates_compared",
    kind=Kind.GAUGE,
    labels=("job", "verdict"),
    help="Updates that stand, as the own replay finds them: right, wrong, unknown.",
)
DEADLINE: Final = Metric(
    name="gavel_deadline_left_seconds",
    kind=Kind.GAUGE,
    labels=("job",),
    help="Seconds until the first deadline of an update not compared yet; absent where there is none.",
)
DISPUTES: Final = Metric(
    name="gavel_disputes",
    kind=Kind.GAUGE,
    labels=("job", "status"),
    help="Disputes that are the account's own, or against its updates: open, lost, closed.",
)
MOVE_DUE: Final = Metric(
    name="gavel_move_due_left_seconds",
    kind=Kind.GAUGE,
    labels=("job", "side"),
    help="Seconds until the most urgent own move is due; later draws on the reserve. Absent: none.",
)
MOVE_LIMIT: Final = Metric(
    name="gavel_move_limit_left_seconds",
    kind=Kind.GAUGE,
    labels=("job", "side"),
    help="Seconds until the most urgent own move is lost. Absent: none is awaited.",
)
DEMANDS: Final = Metric(
    name="gavel_demands",
    kind=Kind.GAUGE,
    labels=("job", "kind"),
    help="Demands for pages: open, own (open, by this account), shown (answered so far, by anybody).",
)
DEMAND_DUE: Final = Metric(
    name="gavel_demand_due_left_seconds",
    kind=Kind.GAUGE,
    labels=("job",),
    help="Seconds until the first open demand on a pending update has to be answered. Absent: none.",
)
TOKENS: Final = Metric(
    name="gavel_tokens",
    kind=Kind.GAUGE,
    labels=("kind",),
    help="Bond tokens, smallest unit: balance, credit, locked, forfeited, spent, earned (A-14).",
)
COINS: Final = Metric(
    name="gavel_coins_wei", kind=Kind.GAUGE, help="Coins that the account has left for gas, in wei."
)
SPENT: Final = Metric(
    name="gavel_gas_spent_wei_total", kind=Kind.COUNTER, help="Coins paid for gas by this process, in wei."
)
GAS: Final = Metric(
    name="gavel_gas_used_total", kind=Kind.COUNTER, labels=("move",), help="Gas used by moves, by kind."
)
TRANSACTIONS: Final = Metric(
    name="gavel_moves_total",
    kind=Kind.COUNTER,
    labels=("move", "result"),
    help="Moves by kind: mined, refused (not sent, or somebody was faster), failed, held back, dry.",
)
REPLACED: Final = Metric(
    name="gavel_transactions_replaced_total",
    kind=Kind.COUNTER,
    help="Transactions that were sent again with higher fees.",
)
FINDINGS: Final = Metric(
    name="gavel_monitor_findings",
    kind=Kind.GAUGE,
    labels=("job", "level"),
    help="What `gavel monitor` finds at odds with its forecast now: warning, error.",
)
FORECASTS: Final = Metric(
    name="gavel_monitor_disputes",
    kind=Kind.GAUGE,
    labels=("job", "winner"),
    help="Open disputes by who must win: challenger, defence, unknown.",
)

METRICS: Final = (
    NODE_UP,
    HEAD_BLOCK,
    HEAD_TIME,
    LOOKED,
    SWITCHES,
    LINES,
    REPLAYED,
    BEHIND,
    UPDATES,
    COMPARED,
    DEADLINE,
    DISPUTES,
    MOVE_DUE,
    MOVE_LIMIT,
    DEMANDS,
    DEMAND_DUE,
    TOKENS,
    COINS,
    SPENT,
    GAS,
    TRANSACTIONS,
    REPLACED,
    FINDINGS,
    FORECASTS,
)


class Metrics:
    """The metrics of one process, each in a registry of its own.

    Attributes:
        registry: what is served.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._known = set[Metric]()
        self._made = {metric.name: self._make(metric) for metric in METRICS}

    def _make(self, metric: Metric) -> Gauge | Counter | Histogram:
        if metric.kind == Kind.GAUGE:
            # Zero is a value: what is not known yet is not served.
            known = self.registry if metric.labels else None
            return Gauge(metric.name, metric.help, metric.labels, registry=known)
        if metric.kind == Kind.COUNTER:
            return Counter(metric.name, metric.help, metric.labels, registry=self.registry)
        return Histogram(metric.name, metric.help, metric.labels, registry=self.registry, buckets=SECONDS)

    def set(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge. Labels are given in the order of their names."""
        found = self._labelled(metric, labels)
        if not isinstance(found, Gauge):
            raise UsageError(f"{metric.name} is no gauge")
        found.set(value)
        if not metric.labels and metric not in self._known:
            self._known.add(metric)
            self.registry.register(found)

    def clear(self, metric: Metric, *labels: str) -> None:
        """Serve a labelled gauge no more, until it is set again."""
        self._made[metric.name].remove(*labels)

    def add(self, metric: Metric, value: float, *labels: str) -> None:
        """Add to a counter, or observe with a histogram."""
        found = self._labelled(metric, labels)
        if isinstance(found, Histogram):
            found.observe(value)
        else:
            found.inc(value)

    def _labelled(self, metric: Metric, labels: tuple[str, ...]) -> Gauge | Counter | Histogram:
        made = self._made[metric.name]
        return made.labels(*labels) if labels else made
