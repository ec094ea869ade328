"""The court's reasons of refusal: listed in the specification, and each reached by a test."""

from __future__ import annotations

import re
from pathlib import Path

from protocol.chain.artifacts import CONTRACTS

REASON = re.compile(r'"(court: [^"]*)"')
ROW = re.compile(r"^\| (court: [^|]*[^| ]) +\|", re.MULTILINE)


def in_sources() -> set[str]:
    """Every reason that the court's sources give."""
    sources = [CONTRACTS / "Court.vy", *sorted((CONTRACTS / "dispute").glob("*.vy"))]
    return {reason for source in sources for reason in REASON.findall(source.read_text())}


def test_the_specification_lists_exactly_the_reasons_that_the_court_gives() -> None:
    rows = ROW.findall((CONTRACTS.parent / "specs" / "dispute.md").read_text())
    assert len(rows) == len(set(rows))
    assert set(rows) == in_sources()


def test_each_reason_is_reached_by_a_test_of_the_court() -> None:
    tests = [path.read_text() for path in sorted(Path(__file__).parent.glob("test_court_*.py"))]
    reached = {reason for text in tests for reason in re.findall(r'(court: [^"]*)"', text)}
    assert in_sources() <= reached, in_sources() - reached
