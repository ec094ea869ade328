"""Whether a process that runs for long does what it is there for: `/healthz` (O-3)."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

from protocol.chain.agent import STALE


@dataclass(slots=True, kw_only=True)
class Health:
    """What is known; written by the process, read by the server's threads, one value at a time.

    Attributes:
        least: seconds without a look at the chain that are never too many: some times the pause between two.
        patience: seconds without a look, or of age of its head, that are too many for a job.
        looked: monotonic seconds of the last look that went well, None before the first.
        began: monotonic seconds when the process began.
        block, head: number and timestamp (seconds) of the latest block that was seen.
        reachable: whether the last look went well; None before the first.
        behind: segments to replay until all is compared.
        error: last line of level ERROR, with its time in seconds; None if there was none.
    """

    least: float = 0.0
    patience: float = math.inf
    began: float = field(default_factory=time.monotonic)
    looked: float | None = None
    block: int = 0
    head: int = 0
    reachable: bool | None = None
    behind: int = 0
    error: tuple[float, str] | None = None

    def report(self) -> tuple[bool, dict[str, Any]]:
        """Whether all is well now, and what is known as values of JSON."""
        now = time.monotonic()
        since = now - (self.began if self.looked is None else self.looked)
        age = int(time.time()) - self.head if self.looked is not None else None
        wrong = []
        patience = max(self.patience, self.least)
        if since > min(patience, STALE):
            wrong.append("the chain was not read for too long")
        if age is not None and age > min(patience, STALE):
            wrong.append("the node's latest block is too old")
        told: dict[str, Any] = {
            "ok": not wrong,
            "wrong": wrong,
            "node_reachable": self.reachable,
            "block": self.block,
            "block_age": age,
            "seconds_since_look": round(since, 1),
            "segments_behind": self.behind,
            "last_error": None,
        }
        if self.error is not None:
            at, text = self.error
            told["last_error"] = {"time": int(at), "text": text}
        return not wrong, told
