"""Which external functions of a contract can log which events, read off its sources by name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from protocol.chain.artifacts import CONTRACTS, compile_contract

_PARTS = {
    "JobBoard": ("JobBoard.vy", "board"),
    "Availability": ("Availability.vy",),
    "Court": ("Court.vy", "dispute"),
    "StepVerifier": ("StepVerifier.vy", "program"),
}


def emitters(contract: str) -> dict[str, set[str]]:
    """Return, by event, the external functions that can log it.

    A function can log what it logs itself and what functions of the same contract can that it calls by name;
    calls of other contracts are not followed.
    """
    bodies: dict[str, str] = {}
    for path in _sources(_PARTS[contract]):
        for name, body in _functions(path.read_text()):
            bodies[name] = bodies.get(name, "") + body
    names = {e["name"] for e in compile_contract(contract).abi if e["type"] == "function"}
    found: dict[str, set[str]] = {}
    for function in names & bodies.keys():
        for event in _logged(function, bodies):
            found.setdefault(event, set()).add(function)
    return found


def _sources(parts: Iterable[str]) -> list[Path]:
    return [
        path
        for part in parts
        for path in ([CONTRACTS / part] if part.endswith(".vy") else sorted((CONTRACTS / part).glob("*.vy")))
    ]


def _functions(text: str) -> list[tuple[str, str]]:
    pieces = re.split(r"^def (\w+)\(", text, flags=re.MULTILINE)[1:]
    return list(zip(pieces[::2], pieces[1::2], strict=True))


def _logged(function: str, bodies: dict[str, str]) -> set[str]:
    events: set[str] = set()
    seen, waiting = {function}, [function]
    while waiting:
        body = re.sub(r'""".*?"""', "", bodies[waiting.pop()], flags=re.DOTALL)
        body = re.sub(r"#.*", "", body)
        body = re.sub(r"(extcall|staticcall) [\w.]+(\([\w.\[\]]+\))?[\w.]*", "", body)
        events.update(re.findall(r"\blog (?:\w+\.)?(\w+)\(", body))
        called = {name for name in re.findall(r"(\w+)\(", body) if name in bodies} - seen
        seen |= called
        waiting += called
    return events
