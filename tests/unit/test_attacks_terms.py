"""Terms that are a trap for whoever follows the job (updates.md, U-12)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.errors import MalformedError
from protocol.job import ANYBODY, Audit, load_preset
from protocol.program.program import Program
from protocol.sanity import BOUNDED, MAX_CLOCK, MAX_RANGES, MAX_STRIDE, MIN_RESPONSE, check_terms
from tests.support.game import table
from tests.support.programs import SUM, node

AT = table()
JOB, PROGRAM = AT.job, AT.example.program


@pytest.mark.parametrize("name", ["minimal", "full"])
def test_the_presets_are_accepted(name: str) -> None:
    check_terms(replace(JOB, clocks=load_preset(name).clocks), PROGRAM)


@pytest.mark.parametrize("name", BOUNDED)
def test_no_clock_locks_a_bond_for_a_lifetime(name: str) -> None:
    check_terms(replace(JOB, clocks=replace(JOB.clocks, **{name: MAX_CLOCK})), PROGRAM)
    with pytest.raises(MalformedError, match=f"clock {name}"):
        check_terms(replace(JOB, clocks=replace(JOB.clocks, **{name: MAX_CLOCK + 1})), PROGRAM)


def test_a_move_can_be_made_in_its_time() -> None:
    check_terms(replace(JOB, clocks=replace(JOB.clocks, response=MIN_RESPONSE)), PROGRAM)
    with pytest.raises(MalformedError, match="for a move"):
        check_terms(replace(JOB, clocks=replace(JOB.clocks, response=MIN_RESPONSE - 1)), PROGRAM)


def test_a_page_can_be_shown_in_its_time_and_no_bond_waits_for_one_for_ever() -> None:
    least, most = JOB.clocks.response, MAX_CLOCK
    for seconds in (least, most):
        check_terms(replace(JOB, audit=Audit(auditor=ANYBODY, answer_time=seconds)), PROGRAM)
    for seconds in (0, least - 1, most + 1):
        with pytest.raises(MalformedError, match="to show a page"):
            check_terms(replace(JOB, audit=Audit(auditor=ANYBODY, answer_time=seconds)), PROGRAM)
    check_terms(replace(JOB, audit=Audit()), PROGRAM)


def test_the_trees_of_a_dispute_can_be_built() -> None:
    long = replace(JOB.geometry, stride=MAX_STRIDE + 1, steps=MAX_STRIDE + 1)
    with pytest.raises(MalformedError, match="segments of"):
        check_terms(replace(JOB, geometry=long), PROGRAM)
    check_terms(replace(JOB, geometry=replace(long, stride=MAX_STRIDE)), PROGRAM)

    def folding(terms: int) -> Program:
        return replace(PROGRAM, nodes=(node(SUM, (), (terms,), (0,), *PROGRAM.nodes[0].leaves[:0]),))

    one = replace(JOB, geometry=replace(JOB.geometry, range_log2=0))
    check_terms(one, folding(MAX_RANGES))
    with pytest.raises(MalformedError, match="ranges"):
        check_terms(one, folding(MAX_RANGES + 1))
