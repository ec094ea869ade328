"""How many elements each tier of the certificates leaves open, by model and node; what the worst job costs.

    python -m benchmarks.flags [--models NAME ...]    measure; write results/flag_rates.json and flags.md
    python -m benchmarks.flags --table                write results/flags.md from the figures that there are

Three classes of nodes have certificates. *Products* go through binary64 tiles (tier 1); what their bound
leaves open goes to TwoSum (tier 2), and what that leaves open to the integer accumulator (tier 3). Other
*sums* begin with TwoSum, long ones with plain binary64. *Functions* such as exp leave what is near a rounding
boundary to the reference. The models are those of benchmarks.golden, over as many steps; the worst job is
benchmarks/zoo/hostile.py.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.golden import golden_job, names
from benchmarks.hashing import cpu_model
from protocol.job_folder import JobFolder
from prover.engine.executor import Executor
from prover.engine.folds import SumStep
from prover.engine.prepare import executor_of_job
from prover.engine.products import ProductStep
from prover.engine.steps import REFERENCE, TIER2, TIER3, MapStep

PATH: Final = Path(__file__).parent / "results" / "flag_rates.json"
TABLE: Final = PATH.with_name("flags.md")
CLASSES: Final = ("products", "sums", "functions")
THREADS: Final = 2
WORST: Final = 3
"""Nodes of a model that the table names."""


def class_of(executor: Executor) -> dict[int, str]:
    """Return the class of every node that has a certificate."""
    found = {}
    for step in executor._steps:
        if isinstance(step, ProductStep):
            found[step.node] = "products"
        elif isinstance(step, SumStep):
            found[step.node] = "sums"
        elif isinstance(step, MapStep) and step.flags:
            found[step.node] = "functions"
    return found


def rates(folder: JobFolder, executor: Executor, steps: int) -> dict[str, Any]:
    """Train some steps from the start; count elements and what each tier left open, by class and by node.

    Returns: `classes` by name, and `nodes`, those of which something was left open: number, operator, class.
        Each has `elements` of all steps, and of these `tier2`, `tier3`, `reference`: those left to them.
    """
    state = list(folder.genesis)
    before = executor.flags.copy()
    for step in range(steps):
        state = executor.run(state, step, keep_outputs=False).next_state
    flags = executor.flags - before
    classes = {name: _row(0, np.zeros(3, np.int64)) for name in CLASSES}
    nodes = []
    for node, name in class_of(executor).items():
        row = _row(folder.program.nodes[node].extent * steps, flags[node])
        for key, number in row.items():
            classes[name][key] += number
        if flags[node].any():
            operator = folder.program.labels[node].split()[0]
            nodes.append({"node": node, "operator": operator, "class": name, **row})
    return {"steps": steps, "classes": classes, "nodes": nodes}


def _row(elements: int, flags: Any) -> dict[str, int]:
    return {
        "elements": elements,
        "tier2": int(flags[TIER2]),
        "tier3": int(flags[TIER3]),
        "reference": int(flags[REFERENCE]),
    }


def step_seconds(step: Callable[[], object], rounds: int) -> float:
    """Median over the rounds, after one that is not counted."""
    taken = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        step()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:])


def worst_job(*, rounds: int = 9, threads: int = THREADS, **sizes: int) -> dict[str, Any]:
    """Compare the hostile training with the ordinary one of the same shapes.

    Args:
        sizes: as `benchmarks.zoo.hostile` takes them.
    """
    import torch

    from benchmarks.overhead import Certified, plain
    from benchmarks.zoo.hostile import hostile, ordinary

    torch.set_num_threads(threads)
    result: dict[str, Any] = {"threads": threads}
    for name, entry in (("ordinary", ordinary(**sizes)), ("hostile", hostile(**sizes))):
        native = step_seconds(plain(entry), rounds)
        certified = Certified(entry, threads)
        taken = step_seconds(certified.step, rounds)
        own = class_of(certified.executor)
        elements = sum(certified.program.nodes[n].extent for n in own if own[n] == "products") * (rounds + 1)
        left = certified.executor.flags.sum(axis=0)
        result[name] = {
            "plain_seconds": native,
            "certified_seconds": taken,
            "product_elements": elements,
            "tier2": int(left[TIER2]),
            "tier3": int(left[TIER3]),
        }
    certified_times = [result[name]["certified_seconds"] for name in ("hostile", "ordinary")]
    result["slowdown"] = certified_times[0] / certified_times[1]
    result["over_plain"] = certified_times[0] / result["hostile"]["plain_seconds"]
    return result


def share(part: int, whole: int) -> str:
    """A share for people."""
    if not part:
        return "0" if whole else "-"
    return f"{part / whole:.1e}" if part / whole < 0.01 else f"{part / whole:.1%}"


def table(figures: Mapping[str, Any]) -> str:
    """Return the text of results/flags.md."""
    machine, worst = figures["machine"], figures["worst"]
    lines = [
        "# Flag rates",
        "",
        "Written by `python -m benchmarks.flags`, which says what the columns mean. Figures of each node are",
        f"in flag_rates.json. Measured on {machine['cpu']}, numba {machine['numba']}; another vector width",
        "adds in another order and leaves a few other elements open, to the same bits.",
        "",
        (
            "| model | steps | product elements | left by tiles | by TwoSum | other sums | left by TwoSum "
            "| function elements | left to the reference |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, model in figures["models"].items():
        products, sums, functions = (model["classes"][key] for key in CLASSES)
        cells = [
            name,
            str(model["steps"]),
            f"{products['elements']:,}",
            share(products["tier2"], products["elements"]),
            share(products["tier3"], products["elements"]),
            f"{sums['elements']:,}",
            share(sums["tier3"], sums["elements"]),
            f"{functions['elements']:,}",
            share(functions["reference"], functions["elements"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "## Nodes that are left open most",
        "",
        "| model | node | operator | class | elements | to TwoSum | to the accumulator | to the reference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, model in figures["models"].items():
        for row in sorted(model["nodes"], key=_openness, reverse=True)[:WORST]:
            parts = (share(row[key], row["elements"]) for key in ("tier2", "tier3", "reference"))
            cells = [name, str(row["node"]), row["operator"], row["class"], f"{row['elements']:,}", *parts]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *_worst_lines(worst)])


def _openness(row: Mapping[str, Any]) -> float:
    return float((row["tier2"] + row["tier3"] + row["reference"]) / row["elements"])


def _worst_lines(worst: Mapping[str, Any]) -> list[str]:
    lines = [
        "## A job built to flag everything",
        "",
        "A linear layer all of whose sums lie just beside a tie (benchmarks/zoo/hostile.py), against the",
        f"same layer on random numbers, {worst['threads']} threads:",
        "",
        "| job | plain step | certified step | product elements left by tiles | by TwoSum |",
        "|---|---|---|---|---|",
    ]
    for name in ("ordinary", "hostile"):
        row = worst[name]
        cells = [
            name,
            f"{row['plain_seconds'] * 1e3:.2f} ms",
            f"{row['certified_seconds'] * 1e3:.2f} ms",
            share(row["tier2"], row["product_elements"]),
            share(min(row["tier3"], row["product_elements"]), row["product_elements"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return [
        *lines,
        "",
        f"So the worst job takes {worst['slowdown']:.0f} times as long as an ordinary one of its shapes, and",
        f"{worst['over_plain']:.0f} times as long as a plain step. Who follows a job measures its steps",
        "first (actors.md, A-9): `gavel quote` and `gavel watch` say whether the machine keeps up, and who",
        "does not leaves the job alone (threats.md, T-48). Weights may come to such a place later, though",
        "data cannot. That costs a watcher time and no bond, as it disputes nothing that it has not",
        "replayed: it says so when an update cannot be ended before its deadline. A trainer posts what is",
        "done before its lease runs out (trainer.md, K-4).",
        "",
    ]


def main() -> None:
    """Measure, or write the table only."""
    parser = argparse.ArgumentParser(description="flag rates of the certificates")
    parser.add_argument("--table", action="store_true", help="measure nothing, write the table anew")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="measure these; keep the others' figures")
    arguments = parser.parse_args()
    figures: dict[str, Any] = json.loads(PATH.read_text()) if PATH.exists() else {"models": {}}
    if not arguments.table:
        _measure(figures, arguments.models)
        PATH.write_text(json.dumps(figures, indent=1) + "\n")
    TABLE.write_text(table(figures))


def _measure(figures: dict[str, Any], chosen: list[str] | None) -> None:
    import numba

    figures["machine"] = {
        "cpu": cpu_model(),
        "python": platform.python_version(),
        "numba": str(numba.__version__),
    }
    models = figures["models"]
    for name in chosen or names():
        print(f"flags: {name}", file=sys.stderr)
        folder = golden_job(name)
        models[name] = rates(folder, executor_of_job(folder, threads=THREADS), folder.job.geometry.steps)
    figures["models"] = {name: models[name] for name in names() if name in models}
    print("flags: the worst job", file=sys.stderr)
    figures["worst"] = worst_job()


if __name__ == "__main__":
    main()
