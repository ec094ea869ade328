"""Log lines of commands that run for long: for people, or one JSON object each."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from typing import Any, Final

import click

from challenger.ledger import Exposure
from protocol.chain.agent import Log
from protocol.errors import AttentionError

log_option: Final = click.option(
    "--log",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Lines for people, or one JSON object a line with ids in full.",
)

_SAID: Final = frozenset({"segment", "status", "dry_run", "held", "locks", *Exposure.__dataclass_fields__})
"""Left out of lines for people, whose text says them: segments counted from 1 (in fields from 0, as on the
chain), and amounts.
"""

_SHORT: Final = 12
"""Hexadecimal digits of an id in a line for people."""


def line_log(actor: str, *, form: str = "text", **always: object) -> Log:
    """Return a log that writes each line to standard output at once.

    A line has UTC time, level, actor and text, then the fields. What came from elsewhere (an answer of a
    node, the name of a store) cannot end a line or steer a terminal: it is escaped.

    Args:
        actor: who speaks.
        form: ``text`` or ``json``.
        always: fields of every line.
    """

    def log(text: str, /, *, level: str = "info", **fields: object) -> None:
        now, told = time.time(), {**always, **fields}
        line = (
            _json(now, level, actor, text, told) if form == "json" else _text(now, level, actor, text, told)
        )
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    return log


class Attention:
    """Remembers whether an operator must act: for commands that end, whose status has to say so (E-1)."""

    def __init__(self) -> None:
        self._first: str | None = None

    def log(self, inner: Log) -> Log:
        """Return a log that notes the first line of level ERROR and hands on all of them."""

        def told(text: str, /, *, level: str = "info", **fields: object) -> None:
            if level == "error" and self._first is None:
                self._first = text
            inner(text, level=level, **fields)

        return told

    def check(self) -> None:
        """Raise AttentionError if there was such a line."""
        if self._first is not None:
            raise AttentionError(f"a line of level ERROR asks for an operator: {self._first}")


def _text(now: float, level: str, actor: str, text: str, fields: dict[str, object]) -> str:
    pairs = "".join(f" {name}={_short(value)}" for name, value in fields.items() if name not in _SAID)
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{stamp} {level.upper():7} {actor}: {_printable(text)}{pairs}"


def _json(now: float, level: str, actor: str, text: str, fields: dict[str, object]) -> str:
    stamp = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head: dict[str, Any] = {"time": stamp, "level": level, "actor": actor, "text": text}
    return json.dumps(head | {name: _plain(value) for name, value in fields.items() if name not in head})


def _plain(value: object) -> object:
    """A value as JSON has it: ids in hexadecimal, addresses as wallets write them."""
    if isinstance(value, bytes):
        return f"0x{value.hex()}" if len(value) == 20 else value.hex()
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _short(value: object) -> str:
    if isinstance(value, bytes):
        return ("0x" if len(value) == 20 else "") + value.hex()[:_SHORT]
    text = _printable(f"{value:.4g}" if isinstance(value, float) else str(value))
    return json.dumps(text, ensure_ascii=False) if not text or set(text) & set(' "=') else text


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
