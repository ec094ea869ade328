"""What a requester asks for: a job described in TOML and on the command line (requester.md, J-1)."""

from __future__ import annotations

import math
import secrets
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from protocol.errors import MalformedError, UsageError
from protocol.files import read_file
from protocol.job import ANYBODY, NO_AUDIT, NOBODY, Audit, Money, Preset, load_preset

DAY: Final = 86_400
MAX_BYTES: Final = 1 << 20
MAX_STEPS: Final = 1 << 31
MAX_DAYS: Final = 36_500.0
MONEY: Final = (*(f.name for f in fields(Money)), "demand_fee")
AUDITORS: Final = {"nobody": NOBODY, "anyone": ANYBODY}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """A job as it is asked for. Paths are as the shell would take them.

    Attributes:
        entry: ``module:function`` that returns a `gavel.setup.TrainingSetup`.
        folder: for the job's public data.
        steps, stride, batch: T and C in steps, rows of a step.
        preset: name of one of specs/presets, or path of a file like them.
        seed: of the batch schedule, 32 bytes (P-7).
        days: from opening to expiry.
        initial: safetensors to start from, or None to start from the module as it is made.
        auditor: who may demand pages of posted states, 20 bytes (Y-1).
        demand_days: from opening until nothing can be demanded; None: until the job expires.
        answer_time: seconds in which a demand is answered; None: the preset's.
        money: amounts that replace the preset's, in the token's smallest unit; ``demand_fee`` is one of them.
    """

    entry: str
    folder: Path
    steps: int
    stride: int
    batch: int
    preset: str = "full"
    seed: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    days: float = 30.0
    initial: Path | None = None
    auditor: bytes = ANYBODY
    demand_days: float | None = None
    answer_time: int | None = None
    money: Mapping[str, int] = field(default_factory=dict)

    @property
    def lifetime(self) -> int:
        """Seconds from opening to expiry."""
        return int(self.days * DAY)

    def load_preset(self) -> Preset:
        """Return the preset with the amounts replaced.

        Raises:
            UsageError: there is no such preset; MalformedError: it is not one.
        """
        if self.preset.endswith(".toml"):
            path = Path(self.preset)
            found = load_preset(path.stem, path.parent)
        else:
            found = load_preset(self.preset)
        amounts = dict(self.money)
        return replace(
            found,
            answer_time=self.answer_time or found.answer_time,
            demand_fee=amounts.pop("demand_fee", found.demand_fee),
            money=replace(found.money, **amounts),
        )

    def audit(self, preset: Preset, now: int) -> Audit:
        """Return who may demand pages of a job of this preset, opened ``now`` (seconds), and how."""
        if self.auditor == NOBODY:
            return NO_AUDIT
        days = self.days if self.demand_days is None else min(self.demand_days, self.days)
        return Audit(
            auditor=self.auditor,
            demand_until=now + int(days * DAY),
            answer_time=preset.answer_time,
            demand_fee=preset.demand_fee,
        )


def read_job_file(path: Path) -> dict[str, Any]:
    """Return the values of a job file by their keys, checked one by one; see `request_of`.

    Raises:
        MalformedError: there is no such file, it is not TOML, or a key is unknown or has a wrong value.
        StorageError: it cannot be read.
    """
    try:
        data = tomllib.loads(read_file(path, limit=MAX_BYTES).decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise MalformedError(
            f"the job file {path} cannot be read: {error}; specs/requester.md, J-1, says how to write one"
        ) from error
    try:
        values = checked(data)
    except UsageError as error:
        raise MalformedError(f"the job file {path}: {error}") from error
    for key in ("folder", "initial"):
        if key in values:
            values[key] = path.parent / values[key]
    if values.get("preset", "").endswith(".toml"):
        values["preset"] = str(path.parent / values["preset"])
    return values


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with each turned into what `JobRequest` holds.

    Raises:
        UsageError: a key is unknown, or its value is not what it takes; names the key.
    """
    _known(values, _CHECKS, "key")
    return {key: _CHECKS[key](key, value) for key, value in values.items()}


def request_of(values: Mapping[str, Any]) -> JobRequest:
    """Return a request from checked values.

    Raises:
        UsageError: something is missing, or the values do not go together.
    """
    missing = [key for key in ("entry", "folder", "steps", "stride", "batch") if key not in values]
    if missing:
        raise UsageError(
            f"the job lacks {', '.join(missing)}; give it in the job file or as an option "
            "(`gavel job new --help`)"
        )
    request = JobRequest(**values)
    if request.stride > request.steps:
        raise UsageError(
            f"stride {request.stride} is more than the job's {request.steps} steps; a segment has at most "
            "all of them"
        )
    return request


def money_of(entries: Iterable[str]) -> dict[str, int]:
    """Return amounts written as ``name=amount``. Raises UsageError naming what is wrong."""
    pairs = (entry.partition("=")[::2] for entry in entries)
    return _money("money", {name.strip(): amount.strip() for name, amount in pairs})


def _known(values: Mapping[str, Any], known: Iterable[str], what: str) -> None:
    for key in values:
        if key not in known:
            raise UsageError(f"there is no {what} {key!r}; there are {', '.join(known)}")


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise UsageError(f'{key} is {value!r}, not a text; write {key} = "..."')
    return value


def _path(key: str, value: Any) -> Path:
    return value if isinstance(value, Path) else Path(_text(key, value))


def _whole(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_STEPS:
        raise UsageError(f"{key} is {value!r}, not a whole number from 1 to {MAX_STEPS:,}")
    return value


def _days(key: str, value: Any) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not 0.01 <= value <= MAX_DAYS:
        raise UsageError(f"{key} is {value!r}, not a number of days from 0.01 to {MAX_DAYS:,.0f}")
    return float(value)


def _seed(key: str, value: Any) -> bytes:
    try:
        seed = bytes.fromhex(_text(key, value).removeprefix("0x"))
    except ValueError:
        seed = b""
    if len(seed) != 32:
        raise UsageError(f"{key} is not 64 hexadecimal digits; write 32 bytes in hexadecimal")
    return seed


def _auditor(key: str, value: Any) -> bytes:
    from protocol.chain.deployment import is_good_address

    text = _text(key, value)
    if text in AUDITORS:
        return AUDITORS[text]
    if not is_good_address(text) or not int(text, 16):
        raise UsageError(
            f'{key} is {text!r}, not "anyone", "nobody" or an address: 0x and 40 hexadecimal digits with a '
            "good checksum"
        )
    return bytes.fromhex(text[2:])


def _money(key: str, value: Any) -> dict[str, int]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{key} is {value!r}, not a table; write amounts under [{key}]")
    _known(value, MONEY, f"amount of {key}")
    return {name: _amount(f"{key}.{name}", amount) for name, amount in value.items()}


def _amount(key: str, value: Any) -> int:
    if isinstance(value, str) and value.replace("_", "").isdecimal() and value.isascii():
        value = int(value.replace("_", ""))
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 128:
        raise UsageError(
            f"{key} is {value!r}, not an amount in the token's smallest unit: a whole number below 2^128"
        )
    return value


_CHECKS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "entry": _text,
    "folder": _path,
    "steps": _whole,
    "stride": _whole,
    "batch": _whole,
    "preset": _text,
    "seed": _seed,
    "days": _days,
    "initial": _path,
    "auditor": _auditor,
    "demand_days": _days,
    "answer_time": _whole,
    "money": _money,
}
