"""Terms that a party accepts before it follows a job (updates.md, U-12).

The board opens any job whose arithmetic holds. Terms can still be a trap: clocks that nobody can meet, clocks
that lock a bond for a lifetime, trees that nobody can build within a move.
"""

from __future__ import annotations

from typing import Final

from protocol.errors import MalformedError, RefusedError
from protocol.game.model_board import check_geometry
from protocol.job import NOBODY, Job
from protocol.program.address import n_ranges
from protocol.program.program import Program

MIN_RESPONSE: Final = 60
"""Seconds: a move is read, decided, sent and mined."""

MAX_CLOCK: Final = 30 * 86_400
"""Seconds: the most that any one clock may hold a bond."""

MAX_STRIDE: Final = 1 << 20
"""Steps of a segment, whose state roots a party keeps for a dispute."""

MAX_RANGES: Final = 1 << 20
"""Ranges of a fold, whose accumulators are built within one move (D-4: a FOLD has no allowance)."""

BOUNDED: Final = ("window", "replay", "response", "allowance", "reserve", "opening")


def check_terms(job: Job, program: Program) -> None:
    """Check that honest play is possible under the terms of a job.

    Raises:
        MalformedError: naming the term and its limit.
    """
    clocks, geometry = job.clocks, job.geometry
    try:
        check_geometry(geometry)
    except RefusedError as error:
        _refuse(f"is one that no board opens ({error.reason})")
    if clocks.response < MIN_RESPONSE:
        _refuse(f"gives {clocks.response} s for a move, fewer than {MIN_RESPONSE}")
    for name in BOUNDED:
        if getattr(clocks, name) > MAX_CLOCK:
            _refuse(f"has a clock {name} of {getattr(clocks, name)} s, more than {MAX_CLOCK}")
    audit = job.audit
    if audit.auditor != NOBODY and not clocks.response <= audit.answer_time <= MAX_CLOCK:
        _refuse(
            f"gives {audit.answer_time} s to show a page, not {clocks.response} (as a move) to {MAX_CLOCK}"
        )
    if geometry.stride > MAX_STRIDE:
        _refuse(f"has segments of {geometry.stride} steps, more than {MAX_STRIDE}")
    for number, node in enumerate(program.nodes):
        if n_ranges(node, geometry.range_log2) > MAX_RANGES:
            _refuse(f"folds {node.terms} terms in node {number}, more than {MAX_RANGES} ranges")


def _refuse(why: str) -> None:
    raise MalformedError(
        f"the job {why}; honest play is not possible under such terms, do not follow it (U-12)"
    )
