"""Compares a captured program with eager PyTorch before a job is opened.

This is a check of the capture, not a protocol equality: eager PyTorch rounds more often than a program does,
so the two agree closely and not in every bit. Where a network turns roundings into jumps (a ReLU at 0 behind
deep normalised layers), eager PyTorch is itself far from what it approximates: its binary64 decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from protocol.commitments.canonical import Words
from protocol.errors import MismatchError
from prover.capture.isolation import (
    AfterBackward,
    Loss,
    OptimizerFactory,
    Training,
    private_copy,
    quiet_torch,
)
from prover.capture.noise import EagerNoise
from prover.capture.result import Captured, load_state, next_state, tensor_of
from prover.capture.schedules import SchedulerFactory
from prover.capture.tracing import forward_backward

RELATIVE = 1e-4
ABSOLUTE = 1e-6
RunStep = Callable[[Sequence[Words], int], Sequence[Words]]


def check_against_eager(
    captured: Captured,
    *,
    module: nn.Module,
    loss: Loss,
    optimizer: Optimizer | OptimizerFactory,
    run_step: RunStep,
    scheduler: SchedulerFactory | None = None,
    accumulate: int = 1,
    after_backward: AfterBackward | None = None,
    relative: float = RELATIVE,
    absolute: float = ABSOLUTE,
) -> None:
    """Compare loss, every gradient, and the state after one optimizer step with eager PyTorch at step 0.

    Two tensors are close when no element differs by more than `absolute` + `relative` times the largest
    magnitude of eager's. Loss and gradients that are not are compared with eager PyTorch in binary64: they
    may be as far from it as eager PyTorch in binary32 is. The optimizer is given the program's own gradients,
    so that its division by small numbers does not blow up their rounding.

    Args:
        module, loss, optimizer, scheduler, accumulate, after_backward: as given to `capture`; not changed.
        run_step: (state, step) -> flat uint32 outputs of all nodes, by any engine.

    Raises:
        MismatchError: naming the first tensor that is not close.
    """
    nodes = run_step(captured.state, 0)
    after = next_state(captured, nodes, captured.state)
    closeness = _Closeness(relative, absolute)
    with quiet_torch():
        training = private_copy(module, loss, optimizer, accumulate=accumulate, after_backward=after_backward)
        if scheduler is not None:
            scheduler(training.optimizer)  # sets the options of step 0
        load_state(captured, training.module, captured.state)
        columns = [
            torch.from_numpy(captured.read(captured.batch[c["name"]], nodes)).to(
                getattr(torch, c["dtype"].removeprefix("torch."))
            )
            for c in captured.manifest["columns"]
        ]
        with EagerNoise(seed=captured.manifest["noise_seed"], step=0):
            eager_loss = forward_backward(training, columns)
        precise = _Precise(
            captured,
            lambda: private_copy(
                module, loss, optimizer, accumulate=accumulate, after_backward=after_backward
            ),
            columns,
        )
        ours = torch.from_numpy(captured.read(captured.loss, nodes))
        closeness.check("the loss", ours, eager_loss.detach(), precise.loss)
        for name, parameter in training.parameters.items():
            view = captured.gradients.get(name)
            if (view is None) != (parameter.grad is None):
                raise MismatchError(f"only one of program and eager PyTorch has a gradient of {name}")
            if view is not None and parameter.grad is not None:
                gradient = torch.from_numpy(captured.read(view, nodes))
                closeness.check(
                    f"the gradient of {name}", gradient, parameter.grad, partial(precise.gradient, name)
                )
                parameter.grad = gradient
        training.optimizer.step()
        _check_state(captured, training, after, closeness)


def _check_state(
    captured: Captured, training: Training, after: Sequence[Words], closeness: _Closeness
) -> None:
    expected: dict[str, Tensor] = {**training.parameters, **training.buffers}
    for name, parameter in training.parameters.items():
        for key, value in training.optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor) or (isinstance(value, int) and not isinstance(value, bool)):
                expected[f"optimizer.{name}.{key}"] = torch.as_tensor(value)
    for slot, words in zip(captured.manifest["slots"], after, strict=True):
        if slot["name"] in expected:
            ours = tensor_of(words, slot["shape"], slot["dtype"])
            closeness.check(f"{slot['name']} after the step", ours, expected[slot["name"]].detach())


class _Precise:
    """Eager PyTorch in binary64, run when it is first asked."""

    def __init__(self, captured: Captured, copy: Callable[[], Training], columns: Sequence[Tensor]) -> None:
        self._captured, self._copy, self._columns = captured, copy, columns
        self._known: tuple[Tensor, dict[str, Tensor]] | None = None

    def loss(self) -> Tensor | None:
        """The loss; None where the module does not run in binary64."""
        self._run()
        return None if self._known is None else self._known[0]

    def gradient(self, name: str) -> Tensor | None:
        """The gradient of a parameter; None as for the loss."""
        self._run()
        return None if self._known is None else self._known[1].get(name)

    def _run(self) -> None:
        if self._known is not None:
            return
        training = self._copy()
        load_state(self._captured, training.module, self._captured.state)
        training.module.to(torch.float64)
        columns = [c.to(torch.float64) if c.is_floating_point() else c for c in self._columns]
        with (
            suppress(RuntimeError, TypeError),
            EagerNoise(seed=self._captured.manifest["noise_seed"], step=0),
        ):
            loss = forward_backward(training, columns).detach()
            gradients = {name: p.grad for name, p in training.parameters.items() if p.grad is not None}
            self._known = (loss, gradients)


class _Closeness:
    def __init__(self, relative: float, absolute: float) -> None:
        self._relative = relative
        self._absolute = absolute

    def check(
        self,
        what: str,
        ours: Tensor,
        eager: Tensor,
        precise: Callable[[], Tensor | None] = lambda: None,
    ) -> None:
        a, b = ours.to(torch.float64), eager.to(torch.float64)
        if a.shape != b.shape:
            raise MismatchError(
                f"{what}: the program has shape {tuple(a.shape)}, eager PyTorch {tuple(b.shape)}"
            )
        finite = b[torch.isfinite(b)]
        bound = self._absolute + self._relative * (float(finite.abs().max()) if finite.numel() else 0.0)
        if torch.allclose(a, b, rtol=0.0, atol=bound, equal_nan=True):
            return
        exact = precise()
        if exact is None or not _as_near(a, b, exact):
            raise MismatchError(
                f"{what}: program and eager PyTorch differ by {float((a - b).abs().max()):.3g}, more than "
                f"{bound:.3g}; the capture does not mean what the module does, so open no job with it and "
                "report the operators used"
            )


def _as_near(ours: Tensor, eager: Tensor, exact: Tensor) -> bool:
    """Whether no element of ours is further from the exact one than the furthest of eager's."""
    furthest = (eager - exact).abs().max()
    return exact.shape == ours.shape and bool(((ours - exact).abs() <= furthest).all())
