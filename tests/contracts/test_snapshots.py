"""The committed snapshots are those of the contracts as they are (benchmarks/snapshots.py)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks.snapshots import DEPLOYED, SNAPSHOTS, costs, named_types, shapes
from protocol.chain.artifacts import CONTRACTS


def stale(snapshots: Iterable[tuple[Path, str]]) -> list[str]:
    """Names of those that differ from what is committed; `make snapshots` writes them anew."""
    return [path.name for path, text in snapshots if path.read_text(encoding="utf-8") != text]


def test_abi_layout_sizes_and_reasons_are_up_to_date() -> None:
    assert stale(shapes()) == []


def test_a_layout_is_the_same_wherever_the_compiler_is_installed() -> None:
    def layout(place: str) -> dict[str, object]:
        token = {"type": f"{place}/IERC20.vyi", "length": 32, "offset": 0}
        return {"code_layout": {"ledger": {"token": token}, "paid": {"type": "uint256", "slot": 1}}}

    assert named_types(layout("/one/interfaces")) == named_types(layout("/another"))
    assert all("/" not in path.read_text(encoding="utf-8") for path in (SNAPSHOTS / "layout").iterdir())


def test_gas_is_up_to_date() -> None:
    assert stale(costs()) == []


def test_every_contract_that_is_deployed_has_its_snapshots() -> None:
    deployable = {path.stem for path in CONTRACTS.glob("*.vy") if path.stem[0].isupper()}
    assert deployable == set(DEPLOYED)
    for folder in ("abi", "layout"):
        assert {path.stem for path in (SNAPSHOTS / folder).iterdir()} == deployable
