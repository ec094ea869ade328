"""Capture: an ordinary module, loss and optimizer become a program (lowering.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from prover.capture.columns import Column
from prover.capture.isolation import (
    AfterBackward,
    Loss,
    OptimizerFactory,
    quiet_torch,
)
from prover.capture.prepared import prepare
from prover.capture.result import Captured
from prover.capture.schedules import SchedulerFactory


def capture(
    *,
    module: nn.Module,
    loss: Loss,
    optimizer: Optimizer | OptimizerFactory,
    columns: Mapping[str, NDArray[Any] | Tensor | Column],
    batch: int,
    steps: int,
    scheduler: SchedulerFactory | None = None,
    accumulate: int = 1,
    after_backward: AfterBackward | None = None,
    noise_seed: int = 0,
) -> Captured:
    """Turn a training into a program with its inputs and initial state.

    The module is called with all columns but the last, the loss with the module's output and the last column
    (a single column serves as both). Nothing of the caller's is changed: module, optimizer, random states
    and torch's
    switches stay as they are.

    Args:
        module: float32 parameters on the CPU.
        loss: returns one element; ``nn.CrossEntropyLoss()`` or a function of (output, target).
        optimizer: over the module's parameters, or what makes one from them, such as ``torch.optim.Adam``.
        columns: the whole dataset, name -> [N, ...] with one N.
        batch: rows per step (B).
        steps: steps of the job (T), at least 1; sets the rows of the step table.
        scheduler: makes a learning-rate scheduler for the optimizer; its `step()` follows every training
            step.
        accumulate: parts of a batch that run one after the other, their gradients added (L-13).
        after_backward: called with the parameters between backward and the optimizer's step, such as
            ``functools.partial(torch.nn.utils.clip_grad_norm_, max_norm=1.0)``.
        noise_seed: 0 to 2**32 - 1, of the random numbers that the step draws, such as dropout's (L-70).

    Raises:
        UnsupportedError: an operator, dtype or habit that has no meaning here; names it, the line in the
            user's code
            where there is one, and what to do.
    """
    with quiet_torch():
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
        return prepared.captured()
