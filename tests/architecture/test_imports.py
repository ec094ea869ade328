"""Which way imports may point, and how long a module may be."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("protocol", "prover", "challenger", "gavel")
SHIPPED = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# Who may import whom. `prover.engine` is the replay that trainer and watcher share.
ALLOWED = {
    "protocol": ("protocol",),
    "prover": ("prover", "protocol"),
    "challenger": ("challenger", "protocol", "prover.engine"),
    "gavel": ("gavel", "challenger", "prover", "protocol", "contracts_vyper"),
}
# Inside protocol: outer libraries that only some parts may use.
HEAVY = {
    "torch": lambda path: path.parts[0] != "protocol",
    "numba": lambda path: path.parts[:2] == ("prover", "engine"),
    "web3": lambda path: path.parts[:2] == ("protocol", "chain"),
    "eth_tester": lambda path: path.parts[:2] == ("protocol", "chain"),
    "vyper": lambda path: path.parts[:2] == ("protocol", "chain"),
    "sklearn": lambda path: path.parts[0] == "gavel",
}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_point_the_right_way(path: Path) -> None:
    relative = path.relative_to(ROOT)
    package = relative.parts[0]
    for name in imported(path):
        top = name.split(".")[0]
        if top in PACKAGES and not any(within(name, prefix) for prefix in ALLOWED[package]):
            # `from prover import engine` lists "prover" as well; the longer name decides
            assert any(within(longer, name) for longer in imported(path) - {name}), (
                f"{relative} imports {name}"
            )
        assert top != "tests", f"{relative} imports a test helper"
        assert top not in HEAVY or HEAVY[top](relative), f"{relative} imports {name}"


@pytest.mark.parametrize("part", ["numerics", "program", "commitments", "game"])
def test_the_pure_parts_know_no_chain(part: str) -> None:
    for path in (ROOT / "protocol" / part).rglob("*.py"):
        assert not any(within(name, "protocol.chain") for name in imported(path)), path


def test_oracles_import_nothing_of_ours() -> None:
    oracles = sorted((ROOT / "tests" / "support").glob("*mpfr*.py"))
    assert oracles
    for path in oracles:
        assert not any(name.split(".")[0] in (*PACKAGES, "contracts_vyper") for name in imported(path)), path


def test_modules_are_one_idea_long() -> None:
    long = {str(p.relative_to(ROOT)): n for p in SHIPPED if (n := len(p.read_text().splitlines())) > 500}
    assert not long
