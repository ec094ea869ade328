"""Write specs/coverage.md: which models, optimizers, losses, operators capture takes, found by trying them.

    python -m benchmarks.coverage [--check]

With --check nothing is written; the exit status says whether the file is what would be written.
"""

from __future__ import annotations

import argparse
import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.zoo import TINY, Entry, tiny
from prover.capture import Captured, capture, coverage
from prover.capture.advice import NEAREST
from prover.capture.lowering import FAMILIES

PATH: Final = Path(__file__).parent.parent / "specs" / "coverage.md"
BATCH: Final = 4


def model_row(name: str, entry: Entry, captured: Captured) -> str:
    """Return the line of the table for one model of the zoo."""
    setup, program = entry.setup, captured.program
    trained = getattr(setup.module, "model", setup.module)
    loss = getattr(setup.loss, "__name__", type(setup.loss).__name__)
    extras = [
        "scheduler" if setup.scheduler is not None else "",
        f"{setup.accumulate} parts" if setup.accumulate > 1 else "",
        "clipping" if setup.after_backward is not None else "",
        "random" if any(label.startswith("bernoulli") for label in program.labels) else "",
        "buffers" if captured.n_buffers else "",
    ]
    label, kind = entry.characteristic
    cells = [
        name,
        type(trained).__name__,
        loss,
        captured.manifest["optimizer"],
        ", ".join(extra for extra in extras if extra),
        str(len(program.nodes)),
        f"{label}: {kind}",
    ]
    return "| " + " | ".join(cells) + " |"


def zoo_captured(name: str) -> tuple[Entry, Captured]:
    """Capture a small training of the zoo."""
    entry = tiny(name)
    setup = entry.setup
    captured = capture(
        module=setup.module,
        loss=setup.loss,
        optimizer=setup.optimizer,
        columns=setup.columns,
        batch=entry.batch,
        steps=3,
        scheduler=setup.scheduler,
        accumulate=setup.accumulate,
        after_backward=setup.after_backward,
        noise_seed=setup.noise_seed,
    )
    return entry, captured


def optimizer_rows() -> Iterator[str]:
    """Try every optimizer of `torch.optim` with default arguments."""
    columns = {"x": np.ones((BATCH, 3), np.float32), "y": np.zeros((BATCH, 2), np.float32)}
    for name, kind in sorted(vars(torch.optim).items()):
        if not inspect.isclass(kind) or not issubclass(kind, torch.optim.Optimizer) or name == "Optimizer":
            continue
        make = functools.partial(kind, lr=0.1) if name == "SGD" else kind
        yield _row(name, nn.Linear(3, 2, bias=False), nn.functional.mse_loss, make, columns)


def _scores(targets: Any) -> dict[str, Any]:
    noise = np.random.default_rng(1)
    return {"x": noise.standard_normal((BATCH, 3)).astype(np.float32), "y": targets}


def _probabilities(out: Tensor) -> Tensor:
    return out.sigmoid()


def _log_probabilities(out: Tensor) -> Tensor:
    return out.log_softmax(1)


def loss_rows() -> Iterator[str]:
    """Try losses of `torch.nn` on the output of a linear layer, with default arguments unless named."""
    noise = np.random.default_rng(2)
    classes = noise.integers(0, 3, BATCH)
    real = noise.standard_normal((BATCH, 3)).astype(np.float32)
    yes = (noise.random((BATCH, 3)) < 0.5).astype(np.float32)
    shares = noise.dirichlet(np.ones(3), BATCH).astype(np.float32)
    cases: list[tuple[nn.Module, Any, Callable[[Tensor], Tensor] | None]] = [
        (nn.CrossEntropyLoss(), classes, None),
        (nn.CrossEntropyLoss(label_smoothing=0.1), classes, None),
        (nn.CrossEntropyLoss(), shares, None),
        (nn.NLLLoss(), classes, _log_probabilities),
        (nn.MSELoss(), real, None),
        (nn.L1Loss(), real, None),
        (nn.HuberLoss(), real, None),
        (nn.SmoothL1Loss(), real, None),
        (nn.BCELoss(), yes, _probabilities),
        (nn.BCEWithLogitsLoss(), yes, None),
        (nn.KLDivLoss(reduction="batchmean"), shares, _log_probabilities),
        (nn.PoissonNLLLoss(), np.abs(real), None),
        (nn.HingeEmbeddingLoss(), yes * 2 - 1, None),
        (nn.SoftMarginLoss(), yes * 2 - 1, None),
        (nn.MultiLabelSoftMarginLoss(), yes, None),
        (nn.MultiLabelMarginLoss(), np.array([[0, 2, -1]] * BATCH), None),
        (nn.MultiMarginLoss(), classes, None),
    ]
    for module, targets, before in cases:

        def loss(
            out: Tensor, y: Tensor, m: nn.Module = module, b: Callable[[Tensor], Tensor] | None = before
        ) -> Any:
            return m(out if b is None else b(out), y)

        defaults = {"label_smoothing": 0.0, "reduction": "mean"}
        options = {key: getattr(module, key, default) for key, default in defaults.items()}
        given = [f"{key}={value!r}" for key, value in options.items() if value != defaults[key]]
        kind = "shares of classes" if targets is shares and isinstance(module, nn.CrossEntropyLoss) else ""
        name = f"{type(module).__name__}({', '.join(given)}) {kind}".strip()
        yield _row(name, nn.Linear(3, 3), loss, functools.partial(torch.optim.SGD, lr=0.1), _scores(targets))


def _row(name: str, module: nn.Module, loss: Any, optimizer: Any, columns: dict[str, Any]) -> str:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = coverage(
            module=module, loss=loss, optimizer=optimizer, columns=columns, batch=BATCH, steps=3
        )
    if report.supported:
        return f"| {name} | yes |"
    first = report.refusals[0]
    place = f"`{first.operator}`: " if first.operator else ""
    reason = first.reason.partition(" (Could")[0].replace("|", "\\|")
    return f"| {name} | no: {place}{reason} |"


def operator_lines() -> Iterator[str]:
    """Every operator that has a rule, by family, overloads of one operator together."""
    for title, rules in FAMILIES.items():
        found: dict[str, list[str]] = {}
        for name in sorted(rules):
            _, operator, overload = name.split(".")
            found.setdefault(operator, []).append(overload)
        names = [
            f"`{operator}`" if overloads == ["default"] else f"`{operator}` ({', '.join(overloads)})"
            for operator, overloads in found.items()
        ]
        yield f"**{title}** {', '.join(names)}"
        yield ""


_HEAD = """\
# Coverage

Written by `python -m benchmarks.coverage`, which tries everything named here; a test says when it is stale.
What a formula is, and what is refused in general, is in [lowering.md](lowering.md); `gavel doctor --model
module:function` reports on a model of your own.

## Models

Each unchanged, at a small size: captured, loss and gradients compared with eager PyTorch, sampled elements
of every kind of node compared with the reference (`tests/differential/test_zoo.py`), and a whole dispute over
the node named last, ended there by the contract's verdict (`tests/contracts/test_zoo_disputes.py`). Recurrent
networks are unrolled (L-14).

| name | module | loss | optimizer | with | nodes | most characteristic node |
|---|---|---|---|---|---|---|"""


def tables() -> str:
    """Return everything after the table of models."""
    parts = [
        "",
        "## Optimizers",
        "",
        "`torch.optim`, default arguments (SGD with lr=0.1).",
        "",
        "| optimizer | captured |",
        "|---|---|",
        *optimizer_rows(),
        "",
        "## Losses",
        "",
        "| loss | captured |",
        "|---|---|",
        *loss_rows(),
        "",
        "## Operators",
        "",
        *operator_lines(),
        "## Nearest forms of what has no formula",
        "",
        "| operators like | instead |",
        "|---|---|",
        *(f"| {pattern.replace('|', ', ')} | {advice} |" for pattern, advice in NEAREST),
        "",
    ]
    return "\n".join(parts)


def main() -> int:
    """Write or check the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if the file is stale")
    rows = []
    arguments = parser.parse_args()
    for name in TINY:
        print(f"capturing {name}", file=sys.stderr)
        rows.append(model_row(name, *zoo_captured(name)))
    text = "\n".join([_HEAD, *rows]) + "\n" + tables()
    if arguments.check:
        return int(PATH.read_text() != text)
    PATH.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
