"""Schedules that depend on the step alone, parts of a batch, clipping, groups and frozen parameters: training
follows eager PyTorch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import lr_scheduler as schedules

from protocol.errors import UnsupportedError
from protocol.program.interpreter import Interpreter
from protocol.program.lint import check_program
from prover.capture import Captured, capture, check_against_eager

STEPS = 7
NOISE = np.random.default_rng(2)
COLUMNS = {
    "x": NOISE.standard_normal((8, 4)).astype(np.float32),
    "y": NOISE.standard_normal((8, 2)).astype(np.float32),
}
SGD, Adam, AdamW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))


def followed(
    module: nn.Module,
    make: Callable[[Any], torch.optim.Optimizer],
    *,
    scheduler: Callable[[Any], Any] | None = None,
    accumulate: int = 1,
    after_backward: Callable[[Any], object] | None = None,
) -> Captured:
    """Capture, then train program and eager PyTorch side by side on the same rows; both end alike."""
    options: dict[str, Any] = {
        "scheduler": scheduler,
        "accumulate": accumulate,
        "after_backward": after_backward,
    }
    captured = capture(
        module=module, loss=F.mse_loss, optimizer=make, columns=COLUMNS, batch=4, steps=STEPS, **options
    )
    check_program(captured.program)
    engine = Interpreter(captured.program, inputs=captured.inputs, seed=b"s" * 32, n_rows=8, batch=4)
    check_against_eager(
        captured,
        module=module,
        loss=F.mse_loss,
        optimizer=make,
        run_step=lambda state, step: engine.run_step(state, step)[0],
        **options,
    )
    optimizer = make(module.parameters())
    schedule = scheduler(optimizer) if scheduler is not None else None
    state = list(captured.state)
    for step in range(STEPS):
        nodes, state = engine.run_step(state, step)
        x, y = (torch.from_numpy(captured.read(captured.batch[name], nodes)) for name in ("x", "y"))
        optimizer.zero_grad()
        for rows in torch.arange(4).chunk(accumulate):
            (F.mse_loss(module(x[rows]), y[rows]) / accumulate).backward()
        if after_backward is not None:
            after_backward(module.parameters())
        optimizer.step()
        if schedule is not None:
            schedule.step()
    for words, parameter in zip(state, module.parameters(), strict=False):
        ours = torch.from_numpy(words.view(np.float32)).reshape(parameter.shape)
        torch.testing.assert_close(ours, parameter.detach(), rtol=1e-5, atol=1e-6)
    return captured


SCHEDULES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "one cycle, betas": (functools.partial(Adam, lr=0.1), lambda o: schedules.OneCycleLR(o, 0.1, STEPS + 1)),
    "one cycle, momentum": (
        functools.partial(SGD, lr=0.1, momentum=0.9),
        lambda o: schedules.OneCycleLR(o, 0.1, STEPS + 1),
    ),
    "cyclic": (functools.partial(SGD, lr=0.1, momentum=0.9), lambda o: schedules.CyclicLR(o, 0.01, 0.1, 3)),
    "warm-up": (functools.partial(AdamW, lr=0.1), lambda o: schedules.LambdaLR(o, lambda t: (t + 1) / 9)),
    "sequence": (
        functools.partial(AdamW, lr=0.1),
        lambda o: schedules.SequentialLR(
            o, [schedules.LinearLR(o, 0.1, 1.0, 3), schedules.CosineAnnealingLR(o, 5)], [3]
        ),
    ),
    "restarts": (functools.partial(SGD, lr=0.1), lambda o: schedules.CosineAnnealingWarmRestarts(o, 3)),
    "steps": (functools.partial(torch.optim.RMSprop, lr=0.01), lambda o: schedules.StepLR(o, 2)),
    "chain": (
        functools.partial(torch.optim.Adagrad, lr=0.1),
        lambda o: schedules.ChainedScheduler(
            [schedules.ConstantLR(o, 0.1, 2), schedules.ExponentialLR(o, 0.9)]
        ),
    ),
}


@pytest.mark.parametrize(("make", "scheduler"), SCHEDULES.values(), ids=SCHEDULES)
def test_a_schedule_of_the_step_is_followed(
    make: Callable[[Any], Any], scheduler: Callable[[Any], Any]
) -> None:
    captured = followed(model(), make, scheduler=scheduler)
    assert captured.program.inputs[-1].name == "step table"
    table = captured.inputs[-1].reshape(captured.program.inputs[-1].shape)
    assert any(len(set(column)) > 1 for column in table.T.tolist())


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_gradients_of_parts_of_a_batch_add_up(parts: int) -> None:
    captured = followed(model(), functools.partial(SGD, lr=0.1, momentum=0.5), accumulate=parts)
    assert captured.manifest["batch"] == 4


CLIPS: dict[str, Callable[[Any], object]] = {
    "norm": functools.partial(nn.utils.clip_grad_norm_, max_norm=0.05),
    "infinity norm": functools.partial(nn.utils.clip_grad_norm_, max_norm=0.05, norm_type=float("inf")),
    "value": functools.partial(nn.utils.clip_grad_value_, clip_value=0.01),
}


@pytest.mark.parametrize("clip", CLIPS.values(), ids=CLIPS)
def test_gradients_are_clipped_before_the_step(clip: Callable[[Any], object]) -> None:
    captured = followed(model(), functools.partial(SGD, lr=1.0), after_backward=clip, accumulate=2)
    free = followed(model(), functools.partial(SGD, lr=1.0), accumulate=2)
    assert len(captured.program.nodes) > len(free.program.nodes)


def test_groups_frozen_parameters_and_weight_decay_of_some() -> None:
    module = model()
    module[0].bias.requires_grad_(False)
    first, second = list(module[0].parameters()), list(module[2].parameters())

    def grouped(parameters: Any) -> torch.optim.Optimizer:
        given = list(parameters)
        return AdamW(
            [
                {"params": given[:2], "lr": 0.01, "weight_decay": 0.3},
                {"params": given[2:], "lr": 0.1, "betas": (0.5, 0.9)},
            ]
        )

    before = [p.detach().clone() for p in (*first, *second)]
    captured = followed(module, grouped)
    moved = [not torch.equal(a, p) for a, p in zip(before, (*first, *second), strict=True)]
    assert moved == [True, False, True, True]
    assert "0.bias" not in captured.gradients


def test_parts_that_do_not_fit_are_refused() -> None:
    for parts in (0, 3):
        with pytest.raises(UnsupportedError, match="equal parts"):
            capture(
                module=model(),
                loss=F.mse_loss,
                optimizer=functools.partial(SGD, lr=0.1),
                columns=COLUMNS,
                batch=4,
                steps=1,
                accumulate=parts,
            )
