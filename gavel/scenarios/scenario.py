"""What a scenario is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gavel.scenarios.decision import Decision
from gavel.scenarios.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What a scenario was steered to.

    Attributes:
        expected: what had to decide; None: nothing.
        refused: reasons of refused moves.
    """

    expected: Decision | None = None
    refused: tuple[str, ...] = ()


Play = Callable[[Stage, int, int], Played]
"""Called with the stage, a step of the job and a seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One scenario.

    Attributes:
        name: unique; text: one line for people; part: of the table that it stands in.
        honest: roles that follow the protocol; they lose no bond tokens.
        run: plays it.
    """

    name: str
    text: str
    part: str
    honest: frozenset[str]
    run: Play
