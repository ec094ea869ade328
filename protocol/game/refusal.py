"""What is known of one reason of refusal."""

from __future__ import annotations

from typing import NamedTuple


class Refusal(NamedTuple):
    """One reason that a contract refuses with.

    Attributes:
        rule: the rules that it upholds, by number.
        meaning: when it is given.
        advice: what whoever meets it can do.
    """

    rule: str
    meaning: str
    advice: str
