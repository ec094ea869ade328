"""What the doctor has found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from protocol.errors import GavelError


class Level(Enum):
    """OK; WARN: it will work, but; FAIL: it will not."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        group, name: what, such as ``node`` and ``chain id``.
        level: how it is.
        detail: what was found.
        advice: what to do; empty where nothing has to be done.
        exit_code: of its class of errors (errors.md, E-1); 0 unless it is a FAIL.
    """

    group: str
    name: str
    level: Level
    detail: str
    advice: str = ""
    exit_code: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self) | {"level": self.level.value}


def good(group: str, name: str, detail: str) -> Finding:
    """Return a finding that is as it should be."""
    return Finding(group=group, name=name, level=Level.OK, detail=detail)


def warning(group: str, name: str, detail: str, advice: str) -> Finding:
    """Return a finding that costs something, and says what to do."""
    return Finding(group=group, name=name, level=Level.WARN, detail=detail, advice=advice)


def failure(group: str, name: str, detail: str, advice: str, error: type[GavelError]) -> Finding:
    """Return a finding that keeps gavel from working; its class of errors gives the exit status."""
    return Finding(
        group=group, name=name, level=Level.FAIL, detail=detail, advice=advice, exit_code=error.exit_code
    )


def attempted(group: str, name: str, check: Callable[[], Finding | str]) -> Finding:
    """Return what a check finds, or as a failure what it raises: messages say themselves what to do."""
    try:
        found = check()
    except GavelError as error:
        what, _, advice = str(error).partition("; ")
        return failure(group, name, what, advice, type(error))
    return good(group, name, found) if isinstance(found, str) else found


def exit_code(findings: Iterable[Finding]) -> int:
    """Return the status of the first failure, or 0."""
    return next((f.exit_code for f in findings if f.level is Level.FAIL), 0)
