"""Runs user code so that nothing of the caller's changes: random states, torch's switches, the module."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import Optimizer

from protocol.errors import UnsupportedError

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
Loss = Callable[[Tensor, Tensor], Tensor]
AfterBackward = Callable[[Iterable[nn.Parameter]], object]
"""Called between backward and the optimizer's step with all parameters, to clip their gradients in place."""


@contextmanager
def quiet_torch() -> Iterator[None]:
    """Math attention, no oneDNN, no fast paths, autograd on; afterwards everything is put back."""
    states = (torch.get_rng_state(), random.getstate(), np.random.get_state(legacy=True))
    fastpath = torch.backends.mha.get_fastpath_enabled()
    # The public context manager also writes oneDNN's TF32 switch, which warns on machines without that
    # hardware.
    onednn = torch._C._get_mkldnn_enabled()
    with ExitStack() as stack:
        stack.enter_context(torch.enable_grad())
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        try:
            torch._C._set_mkldnn_enabled(False)
            torch.backends.mha.set_fastpath_enabled(False)
            yield
        finally:
            torch._C._set_mkldnn_enabled(onednn)
            torch.backends.mha.set_fastpath_enabled(fastpath)
            torch.set_rng_state(states[0])
            random.setstate(states[1])
            np.random.set_state(states[2])


def seed_everything(seed: int) -> None:
    """Seed the random states of torch's CPU generator, Python and numpy."""
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A private copy of what the user trains.

    Attributes:
        module, loss, optimizer: as the user wrote them; parameters of optimizer and module are the same
            objects.
        accumulate: parts of a batch whose gradients are added.
        after_backward: runs before the optimizer steps.
    """

    module: nn.Module
    loss: Loss
    optimizer: Optimizer
    accumulate: int = 1
    after_backward: AfterBackward | None = None

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """Parameters by name, tied ones once."""
        return dict(self.module.named_parameters())

    @property
    def buffers(self) -> dict[str, Tensor]:
        """Buffers by name, shared ones once."""
        return dict(self.module.named_buffers())

    def copy(self) -> Training:
        """Return a copy that shares no tensor with this one.

        Raises:
            UnsupportedError: something in the module cannot be copied.
        """
        memo: dict[int, Any] = {}
        try:
            module = copy.deepcopy(self.module, memo)
            loss = copy.deepcopy(self.loss, memo)
            optimizer = copy.deepcopy(self.optimizer, memo)
            for name, value in self.optimizer.__dict__.items():
                if name not in optimizer.__dict__:  # Optimizer.__getstate__ leaves out what subclasses add
                    optimizer.__dict__[name] = copy.deepcopy(value, memo)
        except (RuntimeError, TypeError) as error:
            raise UnsupportedError(
                f"the module, loss or optimizer cannot be copied ({error}), so capture could not leave "
                "yours unchanged; keep tensors that are not leaves, locks and open files out of its "
                "attributes"
            ) from error
        for parameter in module.parameters():
            parameter.grad = None
        return replace(self, module=module, loss=loss, optimizer=optimizer)


def private_copy(
    module: nn.Module,
    loss: Loss,
    optimizer: Optimizer | OptimizerFactory,
    *,
    accumulate: int = 1,
    after_backward: AfterBackward | None = None,
) -> Training:
    """Return a copy of the user's training, with the optimizer's multi-tensor and fused paths off.

    Raises:
        UnsupportedError: the optimizer holds parameters that are not the module's, or a copy is impossible.
    """
    for name, parameter in module.named_parameters():
        if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None):
            raise UnsupportedError(
                f"{name} has a hook on its gradient, which a copy of it would lose; do that work in the "
                "optimizer"
            )
    if isinstance(optimizer, Optimizer):
        training = Training(module=module, loss=loss, optimizer=optimizer).copy()
    else:
        placeholder = torch.optim.SGD([torch.zeros(1)], lr=0.0)
        bare = Training(module=module, loss=loss, optimizer=placeholder).copy()
        try:
            made = optimizer(bare.module.parameters())
        except (ValueError, TypeError, RuntimeError) as error:
            raise UnsupportedError(
                f"the optimizer cannot be made over the module's parameters: {error}; give one, or a "
                "function that makes one from module.parameters()"
            ) from error
        training = Training(module=bare.module, loss=bare.loss, optimizer=made)
    if isinstance(training.loss, nn.Module) and any(True for _ in training.loss.parameters()):
        raise UnsupportedError(
            "the loss has parameters of its own; put them into the module so that they are state"
        )
    own = {id(p) for p in training.module.parameters()}
    for group in training.optimizer.param_groups:
        if any(id(p) not in own for p in group["params"]):
            raise UnsupportedError(
                "the optimizer updates parameters that the module does not have; build it over "
                "module.parameters()"
            )
        for switch in ("foreach", "fused"):
            if switch in group:
                group[switch] = False
    return replace(training, accumulate=accumulate, after_backward=after_backward)
