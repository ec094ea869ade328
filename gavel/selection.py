"""Which jobs a watcher follows: criteria in a file, and a folder of job folders (actors.md, A-31)."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, TypeVar

from protocol.amounts import amount
from protocol.chain.court_view import ChainView
from protocol.chain.log import Log, Said
from protocol.chain.nodes import STALE
from protocol.errors import GavelError, MalformedError, MismatchError
from protocol.files import read_file, trouble
from protocol.job import Job
from protocol.job_folder import JobFolder

MAX_BYTES: Final = 1 << 16
LOOK: Final = 10.0
"""Seconds between two looks at a folder of jobs."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """What a job must be like to be followed; None where it does not matter. Amounts in the smallest unit.

    Attributes:
        min_bounty, min_update_bond: what its cheats must pay at least.
        max_challenge_bond: what a dispute may lock at most.
        requesters: of 20 bytes each, whose jobs are followed.
        max_segment_seconds: that this machine may take to replay a segment.
    """

    min_bounty: int | None = None
    min_update_bond: int | None = None
    max_challenge_bond: int | None = None
    requesters: frozenset[bytes] | None = None
    max_segment_seconds: float | None = None

    @classmethod
    def load(cls, path: Path) -> Criteria:
        """Read a file of criteria in TOML, by the names above.

        Raises:
            MalformedError: it is none; names the key.
            StorageError: it cannot be read.
        """
        what = f"the criteria {path}"
        try:
            data = tomllib.loads(read_file(path, limit=MAX_BYTES).decode())
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise MalformedError(f"{what} are not TOML: {error}") from error
        names = {field.name for field in fields(cls)}
        if unknown := sorted(data.keys() - names):
            raise MalformedError(
                f"{what} have unknown keys: {', '.join(unknown)}; there are {', '.join(sorted(names))}"
            )
        return cls(**{name: _READ[name](value, f"{what}: {name}") for name, value in data.items()})

    def against(self, job: Job) -> list[str]:
        """Return what of its terms speaks against a job; nothing if it may be followed."""
        money = job.money
        found = []
        for name, limit, value in (
            ("bounty", self.min_bounty, money.bounty),
            ("update bond", self.min_update_bond, money.update_bond),
        ):
            if limit is not None and value < limit:
                found.append(f"its {name} is {amount(value)}, below {amount(limit)}")
        if self.max_challenge_bond is not None and money.challenge_bond > self.max_challenge_bond:
            found.append(
                f"a dispute locks {amount(money.challenge_bond)}, above {amount(self.max_challenge_bond)}"
            )
        if self.requesters is not None and job.requester not in self.requesters:
            found.append(f"its requester 0x{job.requester.hex()} is not among those named")
        return found

    def against_pace(self, seconds: float) -> list[str]:
        """Return what speaks against a job whose segments take so many seconds here."""
        if self.max_segment_seconds is None or seconds <= self.max_segment_seconds:
            return []
        return [f"a segment takes {seconds:.3g} s here, above {self.max_segment_seconds:.3g} s"]


def _amount(value: Any, what: str) -> int:
    if isinstance(value, str) and value.replace("_", "").isdecimal() and value.isascii():
        value = int(value.replace("_", ""))
    if type(value) is not int or not 0 <= value < 1 << 128:
        raise MalformedError(
            f"{what} is {value!r:.80}, no amount; write a number of the token's smallest unit, as digits or "
            "as a string of digits"
        )
    return value


def _requesters(value: Any, what: str) -> frozenset[bytes]:
    from eth_utils.address import is_address

    if not isinstance(value, list) or not all(isinstance(v, str) and is_address(v) for v in value):
        raise MalformedError(f"{what} is {value!r:.80}, no list of addresses; write 0x and 40 digits each")
    return frozenset(bytes.fromhex(v.removeprefix("0x")) for v in value)


def _seconds(value: Any, what: str) -> float:
    if type(value) not in (int, float) or not 0 < value < float("inf"):
        raise MalformedError(f"{what} is {value!r:.80}, no time; write seconds above zero")
    return float(value)


_READ: Final[dict[str, Callable[[Any, str], Any]]] = {
    "min_bounty": _amount,
    "min_update_bond": _amount,
    "max_challenge_bond": _amount,
    "requesters": _requesters,
    "max_segment_seconds": _seconds,
}


class UnwantedError(GavelError):
    """A job that is not followed, and why."""

    exit_code = 2


class Scout:
    """Takes its turn beside the watchers, and finds jobs for them (`protocol.chain.agent.Turns`)."""

    def __init__(
        self, folder: Path, *, view: ChainView, follow: Callable[[Path, JobFolder], object], log: Log
    ) -> None:
        """Look at nothing yet.

        Args:
            folder: whose folders are jobs, as `gavel job new` writes them.
            view: shared with the watchers.
            follow: given each job once, its path and what was loaded; raises GavelError if it is not wanted.
            log: told of each job that is not, and why.
        """
        self.view = view
        self.patience = float(STALE)
        self._folder, self._follow, self._log = folder, follow, Said(log)
        self._known: dict[Path, tuple[int, int]] = {}
        self._at = -LOOK

    def turn(self) -> bool:
        """Look for new jobs every so often; whether there was one.

        Raises:
            ChainError: the node cannot be read.
            StorageError: the folder cannot be read.
        """
        self.view.refresh()
        if time.monotonic() - self._at < LOOK:
            return False
        found = False
        for path, stamp in self._new():
            found = self._try(path, stamp) or found
        self._at = time.monotonic()
        return found

    def trouble(self, error: GavelError) -> None:
        """Say what keeps it from looking; it is tried again."""
        self._log.once(f"{error}; looks again later", level="warning")

    def _new(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        try:
            for path in sorted(self._folder.iterdir()):
                terms = path / "job.json"
                if not terms.is_file():
                    continue
                found = terms.stat()
                stamp = found.st_mtime_ns, found.st_size
                if self._known.get(path) != stamp:
                    yield path, stamp
        except OSError as error:
            raise trouble(f"the folder {self._folder} cannot be read", error) from error

    def _try(self, path: Path, stamp: tuple[int, int]) -> bool:
        try:
            self._follow(path, JobFolder.load(path))
        except MismatchError as error:  # it may be opened yet, or its copy be finished
            self._log.once(f"does not follow {path}: {error}; looks again later", level="warning")
            return False
        except (MalformedError, UnwantedError) as error:
            self._log(f"does not follow {path}: {error}", level="warning")
            self._known[path] = stamp
            return False
        self._known[path] = stamp
        return True
