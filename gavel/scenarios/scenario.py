"""What a scenario is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gavel.scenarios.decision import Decision
from gavel.scenarios.stage import Stage
from protocol.job_folder import JobFolder


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
class Attack:
    """What somebody tries in a scenario, for the table of adversaries.

    Attributes:
        tries, must_cost: one line each, for people.
        units: how many of the same thing it sends, beyond what the scenario `beyond` does; the table then
            says what each costs. 1 and "": the scenario stands for itself.
        whole: whether what the honest side sends outside of disputes counts as its cost too.
    """

    tries: str
    must_cost: str
    units: int = 1
    beyond: str = ""
    whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One scenario.

    Attributes:
        name: unique; text: one line for people; part: of the table that it stands in.
        honest: roles that follow the protocol; they lose no bond tokens.
        run: plays it.
        attack: what somebody tries; None where nobody does.
        audited: whether anybody may demand pages of the job's states.
        change: makes the job that is opened from the small job.
    """

    name: str
    text: str
    part: str
    honest: frozenset[str]
    run: Play
    attack: Attack | None = None
    audited: bool = False
    change: Callable[[JobFolder], JobFolder] = lambda folder: folder
