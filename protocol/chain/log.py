"""What has something to say, and how often."""

from __future__ import annotations

import time
from typing import Final, Protocol

AGAIN: Final = 600.0
"""Seconds after which what has not changed is said again."""


class Log(Protocol):
    """Gets what an agent has to say, one line at a time."""

    def __call__(self, text: str, /, *, level: str = "info", **fields: object) -> None:
        """Tell one thing.

        Args:
            text: a short line for people.
            level: debug, info, warning, or error where an operator must act.
            fields: the same for programs: numbers, strings, and ids as bytes.
        """


def quiet(text: str, /, *, level: str = "info", **fields: object) -> None:
    """A log that nobody reads."""


class Said:
    """A log that can keep from saying the same thing over and over.

    Something that does not change, such as a move that cannot be paid, is said again after a while.
    """

    def __init__(self, log: Log, *, again: float = AGAIN) -> None:
        """Args: again: seconds after which the same thing is said once more."""
        self._log, self._again = log, again
        self._at: dict[object, float] = {}

    def __call__(self, text: str, /, *, level: str = "info", **fields: object) -> None:
        """Say it."""
        self._log(text, level=level, **fields)

    def once(self, text: str, /, *, level: str = "info", about: object = None, **fields: object) -> None:
        """Say it unless the same, of the same ids, was said a short while ago.

        Args:
            about: what makes it the same; the text unless given.
        """
        key = (about or text, level, *(value for value in fields.values() if isinstance(value, bytes)))
        now = time.monotonic()
        if now - self._at.get(key, -self._again) >= self._again:
            self._at = {known: at for known, at in self._at.items() if now - at < self._again}
            self._at[key] = now
            self._log(text, level=level, **fields)
