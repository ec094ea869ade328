"""specs/events.md against the compiled contracts and their sources."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from protocol.chain.artifacts import compile_contract
from tests.support.emitters import emitters

DOCUMENT = Path(__file__).parents[2] / "specs" / "events.md"
HEADINGS = {
    "JobBoard": "JobBoard",
    "Availability": "Availability",
    "Court": "Court",
    "BondToken": "Bond token",
}
OURS = ("JobBoard", "Availability", "Court")


def _documented(contract: str) -> dict[str, str]:
    """The text about each event of a contract."""
    part = re.split(r"^## ", DOCUMENT.read_text(), flags=re.MULTILINE)
    (section,) = (text for text in part if text.startswith(HEADINGS[contract] + "\n"))
    pieces = re.split(r"^### (\w+)\n", section, flags=re.MULTILINE)[1:]
    assert len(set(pieces[::2])) == len(pieces[::2]), "an event is documented twice"
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


def _events(contract: str) -> dict[str, Any]:
    return {e["name"]: e for e in compile_contract(contract).abi if e["type"] == "event"}


def _type(field: dict[str, Any]) -> str:
    kind = "Terms" if field["type"] == "tuple" else str(field["type"])
    return kind + (", topic" if field["indexed"] else "")


@pytest.mark.parametrize("contract", HEADINGS)
def test_every_event_is_documented_and_no_other(contract: str) -> None:
    assert set(_documented(contract)) == set(_events(contract))


@pytest.mark.parametrize("contract", HEADINGS)
def test_fields_are_those_of_the_abi_in_order(contract: str) -> None:
    for name, text in _documented(contract).items():
        rows = re.findall(r"^\| (\w+) \| ([^|]+) \| ([^|]+) \|$", text, flags=re.MULTILINE)[1:]
        fields = [(f["name"], _type(f)) for f in _events(contract)[name]["inputs"]]
        assert [(field, kind.strip()) for field, kind, _ in rows] == fields, name
        assert "*A bot:* " in text


@pytest.mark.parametrize("contract", OURS)
def test_who_can_log_it_is_what_the_sources_say(contract: str) -> None:
    found = emitters(contract)
    for name, text in _documented(contract).items():
        said = re.search(r"By ([^.]+)\.", text)
        assert said is not None, name
        assert set(re.findall(r"`(\w+)`", said[1])) == found[name], name


def test_the_verifier_logs_nothing() -> None:
    assert not _events("StepVerifier")
    assert not emitters("StepVerifier")
