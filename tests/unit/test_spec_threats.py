"""specs/threats.md: the tests that it names exist, and so do the rules that it and its neighbours cite."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
THREATS = ROOT / "specs" / "threats.md"
MINE = ("threats.md", "requester.md", "deployment.md", "events.md")


def _rows() -> list[list[str]]:
    """Cells of the table of attacks: rule, attack, answer, tests."""
    lines = [line for line in THREATS.read_text().splitlines() if line.startswith("| **T-")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def _tests() -> set[str]:
    return {
        f"{path.stem}::{name}"
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), flags=re.MULTILINE)
    }


def test_every_attack_is_answered_by_a_rule_and_shown_by_tests_that_exist() -> None:
    known = _tests()
    for rule, _attack, answer, shown in _rows():
        assert re.search(r"\b[A-Z]-\d+", answer), f"{rule} cites no rule"
        named = re.findall(r"`([^`]+)`", shown)
        assert named, f"{rule} names no test"
        assert not set(named) - known, f"{rule} names tests that do not exist"


def test_numbers_are_given_once_and_in_order() -> None:
    numbers = [int(n) for n in re.findall(r"\*\*T-(\d+)", THREATS.read_text())]
    assert numbers == sorted(set(numbers))
    assert len(_rows()) == sum(n < 40 for n in numbers)


@pytest.mark.parametrize("name", MINE)
def test_rules_that_are_cited_exist(name: str) -> None:
    specs = "\n".join(path.read_text() for path in THREATS.parent.glob("*.md"))
    for rule in set(re.findall(r"\b([A-Z]-\d+)\b", (THREATS.parent / name).read_text())):
        defined = re.search(rf"(\*\*{rule}[ *.]|INVARIANT {rule}:)", specs)
        assert defined is not None, f"{name} cites {rule}, which is nowhere defined"


def test_every_document_is_listed() -> None:
    listed = set(re.findall(r"\]\((\w+\.md)\)", (THREATS.parent / "README.md").read_text()))
    assert listed == {path.name for path in THREATS.parent.glob("*.md")} - {"README.md"}
