"""What a user hands over to open a job: a module, a loss, an optimizer and a dataset."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from protocol.errors import UsageError

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from prover.capture.isolation import AfterBackward, Loss, OptimizerFactory
    from prover.capture.schedules import SchedulerFactory


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSetup:
    """An ordinary PyTorch training.

    Attributes:
        module: float32 parameters on the CPU, initialised as the training starts from.
        loss: ``nn.CrossEntropyLoss()`` or a function of (output, target) that returns one element.
        optimizer: over the module's parameters, or what makes one from them, such as ``torch.optim.Adam``.
        columns: the whole dataset, name -> [N, ...]; the last one is the target.
        scheduler: makes a learning-rate scheduler for the optimizer, stepped after every training step.
        accumulate: parts of a batch whose gradients are added before the optimizer steps.
        after_backward: called with the parameters before the optimizer steps, to clip gradients.
        noise_seed: of the random numbers that the step draws, such as dropout's.
    """

    module: nn.Module
    loss: Loss
    optimizer: Optimizer | OptimizerFactory
    columns: Mapping[str, Any]
    scheduler: SchedulerFactory | None = None
    accumulate: int = 1
    after_backward: AfterBackward | None = None
    noise_seed: int = 0


def load_object(place: str) -> Any:
    """Import ``module:name``, from the working directory too.

    Raises:
        UsageError: there is no such module or name.
    """
    module, _, name = place.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"{place!r} cannot be imported ({error}); write it as package.module:name"
        ) from error


def load_setup(place: str) -> TrainingSetup:
    """Call the function at ``module:function``, which returns a `TrainingSetup`.

    This runs the user's own code: only the requester does it, once.

    Raises:
        UsageError: there is no such function, or it returns something else.
    """
    function: Callable[[], Any] = load_object(place)
    if not callable(function):
        raise UsageError(f"{place!r} is not a function; name one that returns a gavel.setup.TrainingSetup")
    setup = function()
    if not isinstance(setup, TrainingSetup):
        raise UsageError(f"{place!r} returned {type(setup).__name__}, not a gavel.setup.TrainingSetup")
    return setup
