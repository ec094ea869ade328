"""Which operators of a training have a formula, and what to do about the others, without training it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.optim import Optimizer

from protocol.errors import GavelError, UnsupportedError
from protocol.program.lint import check_program
from prover.capture.columns import Column
from prover.capture.isolation import AfterBackward, Loss, OptimizerFactory, quiet_torch
from prover.capture.lowering.context import RefusedOperatorError
from prover.capture.prepared import prepare
from prover.capture.result import Captured
from prover.capture.schedules import SchedulerFactory


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorUse:
    """How often an operator occurs in a step, and whether all its uses have a formula."""

    operator: str
    count: int
    supported: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Something that keeps a training from being captured.

    Attributes:
        operator: its full name; empty where the step as a whole is refused.
        line: ``file:line`` in the user's code, ``backward``, or empty.
        reason: why, and what can be used instead.
        count: uses that are refused for this reason.
    """

    operator: str
    line: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageReport:
    """What capture makes of a training.

    Attributes:
        operators: by falling count; empty where the step cannot be recorded at all.
        refusals: everything that is refused, operators in the order of the step, then the step as a whole.
        captured: the program, if nothing is refused.
    """

    operators: tuple[OperatorUse, ...]
    refusals: tuple[Refusal, ...]
    captured: Captured | None

    @property
    def supported(self) -> bool:
        """Whether a job can be opened with the training."""
        return self.captured is not None

    def lines(self) -> list[str]:
        """Return the report for people."""
        total = sum(use.count for use in self.operators)
        kinds = len(self.operators)
        lines = [f"{total} operators of {kinds} kinds"] if kinds else []
        lines += [
            f"{use.count:6d} {use.operator}{'' if use.supported else '  (refused)'}" for use in self.operators
        ]
        for refusal in self.refusals:
            times = f" ({refusal.count} times)" if refusal.count > 1 else ""
            place = f"{refusal.operator} at {refusal.line}{times}: " if refusal.operator else ""
            lines.append(f"refused: {place}{refusal.reason}")
        if self.captured is not None:
            program = self.captured.program
            lines.append(f"supported: {len(program.nodes)} nodes, {len(program.slots)} slots")
        return lines


def coverage(
    *,
    module: nn.Module,
    loss: Loss,
    optimizer: Optimizer | OptimizerFactory,
    columns: Mapping[str, NDArray[Any] | Tensor | Column],
    batch: int,
    steps: int = 1,
    scheduler: SchedulerFactory | None = None,
    accumulate: int = 1,
    after_backward: AfterBackward | None = None,
    noise_seed: int = 0,
) -> CoverageReport:
    """Report every operator of a training step and everything that is refused, not the first thing alone.

    Nothing is raised for a training that is refused. Arguments as of `capture`.
    """
    refused: list[GavelError] = []
    operators: Counter[str] = Counter()
    captured = None
    with quiet_torch():
        try:
            prepared = prepare(
                module=module,
                loss=loss,
                optimizer=optimizer,
                columns=columns,
                batch=batch,
                steps=steps,
                scheduler=scheduler,
                accumulate=accumulate,
                after_backward=after_backward,
                noise_seed=noise_seed,
            )
            operators.update(operator for operator in map(_operator, prepared.graph(0).nodes) if operator)
            in_step: list[UnsupportedError] = []
            prepared.assembled(0, in_step)
            refused += in_step
            if not refused:
                captured = prepared.captured()
                check_program(captured.program)
        except GavelError as error:
            captured = None
            refused.append(error)
    found = Counter(map(_place_and_reason, refused))
    bad = {operator for operator, _, _ in found}
    return CoverageReport(
        operators=tuple(
            OperatorUse(operator=operator, count=count, supported=operator not in bad)
            for operator, count in sorted(operators.items(), key=lambda item: (-item[1], item[0]))
        ),
        refusals=tuple(
            Refusal(operator=operator, line=line, reason=reason, count=count)
            for (operator, line, reason), count in sorted(found.items(), key=lambda item: not item[0][0])
        ),
        captured=captured,
    )


def _operator(node: fx.Node) -> str:
    """The aten operator that a recorded node calls; empty for others, and for the writing back of results."""
    target = str(node.target)
    computes = node.op == "call_function" and target.startswith("aten.")
    return "" if not computes or target.startswith(("aten.copy_.", "aten.sym_")) else target


def _place_and_reason(error: GavelError) -> tuple[str, str, str]:
    if isinstance(error, RefusedOperatorError):
        return error.operator, error.line, error.reason
    why = str(error) if isinstance(error, UnsupportedError) else f"its program is malformed: {error}"
    return "", "", why
