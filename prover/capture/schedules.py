"""Learning-rate schedules: a scheduler's effect on the options depends on the step alone (L-8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from protocol.errors import UnsupportedError
from prover.capture.isolation import Training

SchedulerFactory: TypeAlias = Callable[[Optimizer], LRScheduler]
Option: TypeAlias = tuple[int, str, int | None]
"""Group number, name of the option, and place in it where it is a tuple (betas)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Options of the optimizer that change from step to step.

    Attributes:
        values: one Python float per step of the job for each option.
    """

    values: dict[Option, list[float]]


def schedule_of(training: Training, scheduler: SchedulerFactory | None, steps: int) -> Schedule:
    """Run a scheduler over all steps on a copy of the optimizer, `scheduler.step()` after each step.

    Raises:
        UnsupportedError: the scheduler changes something that is not a number, or needs to see the loss.
    """
    if scheduler is None:
        return Schedule(values={})
    run = training.copy()
    history: dict[Option, list[float]] = {}
    try:
        made = scheduler(run.optimizer)
        for _ in range(steps):
            for i, group in enumerate(run.optimizer.param_groups):
                for key, value in group.items():
                    if key != "params":
                        for place, number in _numbers(value):
                            history.setdefault((i, str(key), place), []).append(number)
            run.optimizer.step()  # without gradients this changes nothing, but schedulers ask for it
            made.step()
    except (RuntimeError, TypeError, ValueError) as error:
        raise UnsupportedError(
            f"the scheduler does not run on the step alone ({error}); schedules that look at the loss have "
            "no table"
        ) from error
    start = {
        (i, str(key), place): number
        for i, group in enumerate(training.optimizer.param_groups)
        for key, value in group.items()
        if key != "params"
        for place, number in _numbers(value)
    }
    changing = {
        option: values
        for option, values in history.items()
        if option in start and any(v != start[option] for v in values)
    }
    for (i, key, _), values in changing.items():
        if not all(isinstance(v, float) for v in values):
            raise UnsupportedError(
                f"the scheduler changes option {key} of group {i}, which is not a float; schedule floats "
                "such as lr"
            )
    return Schedule(values=changing)


def _numbers(value: Any) -> list[tuple[int | None, Any]]:
    return list(enumerate(value)) if isinstance(value, tuple) else [(None, value)]
