"""What a user hands over to open a job: a module, a loss, an optimizer and a dataset."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protocol.errors import GavelError, MalformedError, MismatchError, UsageError

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
        UsageError: there is no such module or name, or the module fails while it is imported.
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
    except GavelError:
        raise
    except (Exception, SystemExit) as error:
        raise _wrong(place, error) from error


def _wrong(place: str, error: BaseException) -> UsageError:
    """Whatever the user's own code does wrong, it is not a bug of gavel, and ends nothing by itself."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return UsageError(
        f"{place!r} failed with {type(error).__name__}: {error} ({where.filename}, line {where.lineno}); "
        "correct it, or call it in Python to see more"
    )


def load_setup(place: str) -> TrainingSetup:
    """Call the function at ``module:function``, which returns a `TrainingSetup`.

    This runs the user's own code: only the requester does it, once.

    Raises:
        UsageError: there is no such function, it fails, or it returns something else.
    """
    function: Callable[[], Any] = load_object(place)
    if not callable(function):
        raise UsageError(f"{place!r} is not a function; name one that returns a gavel.setup.TrainingSetup")
    try:
        setup = function()
    except GavelError:
        raise
    except (Exception, SystemExit) as error:
        raise _wrong(place, error) from error
    if not isinstance(setup, TrainingSetup):
        raise UsageError(f"{place!r} returned {type(setup).__name__}, not a gavel.setup.TrainingSetup")
    return setup


def warm_start(setup: TrainingSetup, path: Path) -> None:
    """Let the module of a setup start from the tensors of a safetensors file (requester.md, J-1).

    The file holds every parameter and buffer of the module by its name, as `gavel job fetch` writes them. The
    module is changed in place; an optimizer starts anew.

    Raises:
        MalformedError: the file cannot be read.
        MismatchError: its names, shapes or dtypes are not those of the module.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        given = load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise MalformedError(f"the initial weights {path} cannot be read: {error}") from error
    own = {**dict(setup.module.named_parameters()), **dict(setup.module.named_buffers())}
    for what, names in (("lacks", own.keys() - given.keys()), ("has beside them", given.keys() - own.keys())):
        if names:
            raise MismatchError(
                f"the initial weights {path} are not those of the module: the file {what} "
                f"{', '.join(sorted(names))}; take a file of the same architecture"
            )
    for name, tensor in own.items():
        found, wanted = given[name], (tuple(tensor.shape), tensor.dtype)
        if (tuple(found.shape), found.dtype) != wanted:
            raise MismatchError(
                f"the initial weights {path} hold {name} as {found.dtype}{tuple(found.shape)}, the module "
                f"has {tensor.dtype}{tuple(tensor.shape)}; take a file of the same architecture"
            )
        if found.is_floating_point() and bool(torch.isnan(found).any()):
            raise MalformedError(
                f"the initial weights {path} hold NaN in {name}; no training leads out of it"
            )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(given[name])
