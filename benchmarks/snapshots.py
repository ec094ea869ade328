"""Snapshots of the contracts: ABI, storage layout, code size, gas; and the table of reasons in errors.md.

    python -m benchmarks.snapshots [--check]

`make snapshots` writes them to contracts_vyper/snapshots. A test compares them with the contracts as they
are: a change of any of them shows in the commit that makes it.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from benchmarks import gas_rows
from protocol.chain.artifacts import CONTRACTS, MAX_RUNTIME_BYTES, Artifact, compile_contract
from protocol.game.reasons import table

DEPLOYED: Final = (
    "Availability",
    "BondToken",
    "Court",
    "JobBoard",
    "ScalarFunctions",
    "StepVerifier",
    "Timelock",
)
SNAPSHOTS: Final = CONTRACTS / "snapshots"
ERRORS: Final = CONTRACTS.parent / "specs" / "errors.md"
CONSTANT: Final = {"view", "pure"}


def compiler() -> str:
    """The first line of every snapshot: what the contracts were compiled and run with."""
    return f"vyper {version('vyper')}, prague, snekmate {version('snekmate')}, py-evm {version('py-evm')}"


def shapes() -> Iterator[tuple[Path, str]]:
    """Path and text of each snapshot that compiling alone gives: ABI, layout, size; and of the reasons."""
    artifacts = [compile_contract(name) for name in DEPLOYED]
    for artifact in artifacts:
        abi = sorted(artifact.abi, key=lambda e: (e["type"], e.get("name", "")))
        yield SNAPSHOTS / "abi" / f"{artifact.name}.json", _json({"compiler": compiler(), "abi": abi})
        layout = {"compiler": compiler(), **named_types(artifact.layout)}
        yield SNAPSHOTS / "layout" / f"{artifact.name}.json", _json(layout)
    yield SNAPSHOTS / "sizes.txt", _sizes(artifacts)
    yield ERRORS, reasons_written(ERRORS.read_text(encoding="utf-8"))


def costs() -> Iterator[tuple[Path, str]]:
    """Path and text of each snapshot that running the contracts gives: gas."""
    yield SNAPSHOTS / "gas.txt", _gas()
    yield SNAPSHOTS / "leaves.txt", _leaves()


def reasons_written(text: str) -> str:
    """Return the text of errors.md with the table of reasons as it is now."""
    found = re.search(r"^\| reason \|.*?(?=^[^|])", text, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"{ERRORS} has no table of reasons")
    return text[: found.start()] + table() + text[found.end() :]


def named_types(layout: dict[str, Any]) -> dict[str, Any]:
    """Return the layout with the interface named where Vyper gives its file, which depends on the machine."""
    return {
        name: named_types(entry)
        if isinstance(entry, dict)
        else Path(entry).stem
        if name == "type" and entry.endswith(".vyi")
        else entry
        for name, entry in layout.items()
    }


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"


def _lines(title: str, rows: list[list[str]]) -> str:
    """A table in plain text, first column left, others right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    shown = [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([f"# {compiler()}", f"# {title}", "", *(line.rstrip() for line in shown)]) + "\n"


def _sizes(artifacts: list[Artifact]) -> str:
    rows = [["contract", "code", "left"]]
    for artifact in artifacts:
        size = artifact.deployed_bytes
        rows.append([artifact.name, str(size), str(MAX_RUNTIME_BYTES - size)])
    return _lines(f"bytes of deployed code, immutables included; a chain takes {MAX_RUNTIME_BYTES}", rows)


def _gas() -> str:
    measured = gas_rows.games()
    rows = [["function", "calls", "least", "median", "most"]]
    for contract in DEPLOYED:
        functions = [e for e in compile_contract(contract).abi if e["type"] == "function"]
        for entry in sorted(functions, key=lambda e: (e["stateMutability"] in CONSTANT, e["name"])):
            gas = measured.get((contract, entry["name"]))
            name = f"{contract}.{entry['name']}" + " (view)" * (entry["stateMutability"] in CONSTANT)
            figures = [len(gas), min(gas), statistics.median_low(gas), max(gas)] if gas else ["-"] * 4
            rows.append([name, *map(str, figures)])
    title = "gas of a call of each function; lists of 2 (preset minimal); -: for another contract alone"
    full = [["function", "gas"], *([name, str(gas)] for name, gas in gas_rows.full_lists())]
    fuller = "gas of a dispute over lists of 128 (preset full), a mock in place of the verifier"
    return _lines(title, rows) + "\n" + _lines(fuller, full)


def _leaves() -> str:
    rows = [["leaf", "witness", "gas"]]
    rows += [[name, str(size), str(gas)] for name, size, gas in gas_rows.leaves()]
    return _lines(
        "bytes of the witness and gas of `prove`; 128 nodes, H = I = 14; the mock court takes 42,000 of it",
        rows,
    )


def main() -> None:
    """Write the snapshots, or say which are stale."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; end with status 4 where one is stale"
    )
    check = parser.parse_args().check
    stale = []
    for path, text in (*shapes(), *costs()):
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{'stale' if check else 'wrote'} {path.relative_to(CONTRACTS.parent)}")
    sys.exit(4 if check and stale else 0)


if __name__ == "__main__":
    main()
