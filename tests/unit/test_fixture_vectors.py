"""Vectors: made, replayed, and caught when they lie."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from gavel.fixtures.cases import MALFORMED, Bits, VectorFile, outcome, replay_vectors
from gavel.fixtures.cases_commitments import commitments_files
from gavel.fixtures.cases_numerics import numerics_files
from gavel.fixtures.cases_program import program_files
from gavel.fixtures.format import DifferenceError, Fixture
from gavel.fixtures.trace import Trace
from gavel.fixtures.vectors import FUNCTIONS
from protocol.errors import MalformedError
from protocol.numerics.opcodes import LEAVES, Op

FILES = [*numerics_files(), *program_files(), *commitments_files()]
LATE = {"verdict", "fold_shape"}
"""Made from disputes (tests/unit/test_fixture_scripts.py)."""


def test_every_function_and_every_primitive_has_vectors() -> None:
    assert {file.function for file in FILES} | LATE == set(FUNCTIONS)
    assert {file.shared.get("operation") for file in FILES} >= {op.name for op in Op if op not in LEAVES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_vectors_are_the_same_each_time_and_agree(file: VectorFile) -> None:
    made = file.fill()
    assert made.text() == file.fill().text()
    again = Fixture.parse(made.text().encode(), where=file.name)
    assert replay_vectors(again, Trace()) == len(file.cases) > 0
    accepted = sum("gives" in case for case in made.body["cases"])
    assert accepted >= len(file.cases) / 3, "most cases say something"


def lies(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1] != "0" else "1")
    if isinstance(value, int):
        return value + 1
    if isinstance(value, list):
        return [*value, "0x00"]
    key = next(iter(value))
    return value | {key: lies(value[key])}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_vector_that_lies_is_found(file: VectorFile) -> None:
    made = file.fill()
    number = max(n for n, case in enumerate(made.body["cases"]) if "gives" in case)
    case = made.body["cases"][number]
    case["gives"] = lies(case["gives"])
    with pytest.raises(DifferenceError) as caught:
        replay_vectors(made, Trace())
    assert (caught.value.file, caught.value.place) == (file.name, f"case {number} ({file.function})")
    del case["gives"]
    case["refused"] = MALFORMED
    with pytest.raises(DifferenceError):
        replay_vectors(made, Trace())


@pytest.mark.parametrize(
    ("function", "given"),
    [
        ("magic", {}),
        ("primitive", {}),
        ("primitive", {"operation": "POW", "operands": []}),
        ("primitive", {"operation": "ADD", "operands": ["0x00000000"] * 4}),
        ("row", {"seed": "0x" + "00" * 32, "rows": 3, "batch": 1, "step": 0}),
        ("address", {"descriptors": {}, "node": "x", "leaf": 0, "loops": [], "gathered": "0x00000000"}),
        ("canonical", {"dtype": "f128", "values": "0x"}),
    ],
)
def test_cases_that_do_not_give_what_they_need(function: str, given: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        outcome(function, given)


@pytest.mark.parametrize(
    "body", [{}, {"function": "round", "cases": [{}]}, {"function": "round", "cases": 3}]
)
def test_files_that_are_no_vectors(body: dict[str, Any]) -> None:
    fixture = Fixture(kind="vectors", name="x", about="x", rules=(), body=body)
    with pytest.raises(MalformedError):
        replay_vectors(fixture, Trace())


@pytest.mark.parametrize(
    ("function", "given"),
    [
        ("round", {"mantissa": "1", "exponent": -(10**12)}),
        ("round", {"mantissa": None, "exponent": 0}),
        ("tree", {"leaves": [], "height": 10**12}),
        ("end_point", {"children": ["0x"], "height": 10**12, "index": 0, "leaf": "0x", "path": []}),
        ("descriptor", {"descriptor": "0x01" + "00" * 1023, "tensor_height": 10**12, "range_log2": 0}),
    ],
)
def test_sizes_that_nothing_has_are_refused_before_they_cost_memory(
    function: str, given: dict[str, Any]
) -> None:
    assert outcome(function, given) == {"refused": MALFORMED}


def test_the_trace_has_a_line_for_each_primitive() -> None:
    sink = io.StringIO()
    file = next(file for file in FILES if file.name == "numerics/mul")
    replay_vectors(file.fill(), Trace(sink))
    lines = [json.loads(line) for line in sink.getvalue().splitlines()]
    assert len(lines) == len(file.cases)
    assert lines[0] == {
        "file": "numerics/mul",
        "place": "case 0",
        "operation": "MUL",
        "operands": ["0x00000000", "0x00000000"],
        "result": "0x00000000",
    }


def test_bits_are_a_stream() -> None:
    assert Bits("a").take(40) == Bits("a").take(40) != Bits("b").take(40)
    assert all(Bits(str(n)).below(3) < 3 for n in range(20))
    assert all(100 <= Bits(str(n)).float_word(100, 110) >> 23 & 0xFF <= 110 for n in range(20))
