"""The demo model, and what every capture promises: same bytes again, caller untouched, eager PyTorch
followed.
"""

from __future__ import annotations

import functools
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from protocol.errors import MismatchError
from protocol.program.interpreter import Interpreter, tensor_height
from protocol.program.lint import check_program, check_values
from prover.capture import (
    Captured,
    capture,
    check_against_eager,
    descriptor_bytes,
    load_state,
    next_state,
    summary,
)
from prover.capture.isolation import OptimizerFactory
from prover.engine.executor import Executor

SEED = bytes(range(32))
LOSS = nn.CrossEntropyLoss()


def digits(rows: int, width: int, classes: int) -> dict[str, np.ndarray[Any, Any]]:
    """A small classification dataset."""
    noise = np.random.default_rng(7)
    x = (noise.integers(0, 17, (rows, width)) / 16).astype(np.float32)
    return {"x": x, "y": noise.integers(0, classes, rows)}


def mlp(width: int = 6, hidden: int = 5, classes: int = 4) -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def interpreter(captured: Captured) -> Interpreter:
    return Interpreter(
        captured.program,
        inputs=captured.inputs,
        seed=SEED,
        n_rows=captured.program.inputs[1].shape[0],
        batch=captured.manifest["batch"],
    )


def follow(
    captured: Captured, module: nn.Module, optimizer: torch.optim.Optimizer, steps: int, run: Any
) -> float:
    """Train program and eager PyTorch side by side on the same rows; the largest difference of a
    parameter.
    """
    state = list(captured.state)
    for step in range(steps):
        nodes = run(state, step)
        x = torch.from_numpy(captured.read(captured.batch["x"], nodes))
        y = torch.from_numpy(captured.read(captured.batch["y"], nodes)).long()
        optimizer.zero_grad()
        LOSS(module(x), y).backward()
        optimizer.step()
        state = next_state(captured, nodes, state)
    worst = 0.0
    for words, parameter in zip(state, module.parameters(), strict=False):
        ours = torch.from_numpy(words.view(np.float32)).reshape(parameter.shape)
        worst = max(worst, float((ours - parameter.detach()).abs().max() / parameter.detach().abs().max()))
    return worst


def test_the_demo_model_is_small_and_well_formed_and_the_executor_follows_eager_pytorch() -> None:
    module = mlp(64, 64, 10)
    captured = capture(
        module=module,
        loss=LOSS,
        optimizer=torch.optim.Adam,
        columns=digits(40, 64, 10),
        batch=8,
        steps=12,
    )
    check_program(captured.program)
    check_values(captured.program, inputs=captured.inputs, state=captured.state)
    assert len(captured.program.nodes) < 127, "the nodes tree of the demo has height 7"
    assert [spec.name for spec in captured.program.inputs[:3]] == ["links", "x", "y"]
    assert captured.program.inputs[-1].shape == (12, 2), "bias corrections: two numbers a step"
    executor = Executor(
        captured.program,
        inputs=captured.inputs,
        seed=SEED,
        n_rows=40,
        batch=8,
        tensor_height=tensor_height(captured.program),
    )

    def run(state: Any, step: int) -> Any:
        return executor.run(state, step).outputs

    check_against_eager(captured, module=module, loss=LOSS, optimizer=torch.optim.Adam, run_step=run)
    assert follow(captured, module, torch.optim.Adam(module.parameters()), 12, run) < 1e-5


OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "amsgrad": functools.partial(torch.optim.Adam, lr=0.01, amsgrad=True, weight_decay=0.1),
    "plain": functools.partial(torch.optim.SGD, lr=0.1),
    "momentum": functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9),
    "dampening": functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9, dampening=0.4, weight_decay=0.02),
    "nesterov": functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "nadam": torch.optim.NAdam,
    "rprop": torch.optim.Rprop,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "adamax": torch.optim.Adamax,
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_training_follows_eager_pytorch(make: OptimizerFactory) -> None:
    module = mlp()
    captured = capture(module=module, loss=LOSS, optimizer=make, columns=digits(12, 6, 4), batch=4, steps=6)
    check_program(captured.program)
    engine = interpreter(captured)

    def run(state: Any, step: int) -> Any:
        return engine.run_step(state, step)[0]

    check_against_eager(captured, module=module, loss=LOSS, optimizer=make, run_step=run)
    assert follow(captured, module, make(module.parameters()), 6, run) < 1e-5


def test_a_learning_rate_schedule_is_a_column_of_the_step_table() -> None:
    def schedule(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)

    make = functools.partial(torch.optim.SGD, lr=0.1)
    module = mlp()
    captured = capture(
        module=module,
        loss=LOSS,
        optimizer=make,
        columns=digits(12, 6, 4),
        batch=4,
        steps=5,
        scheduler=schedule,
    )
    rates = []
    optimizer = make(module.parameters())
    scheduler = schedule(optimizer)
    for _ in range(5):
        rates.append(-optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert np.array_equal(captured.inputs[-1].view(np.float32), np.array(rates, np.float32))
    engine = interpreter(captured)
    check_against_eager(
        captured,
        module=module,
        loss=LOSS,
        optimizer=make,
        scheduler=schedule,
        run_step=lambda s, t: engine.run_step(s, t)[0],
    )


def test_capturing_again_gives_the_same_bytes_whatever_the_random_states_are() -> None:
    first = capture(
        module=mlp(), loss=LOSS, optimizer=torch.optim.Adam, columns=digits(9, 6, 4), batch=4, steps=3
    )
    torch.manual_seed(99)
    random.seed(99)
    module = mlp()
    again = capture(
        module=module,
        loss=nn.functional.cross_entropy,
        optimizer=torch.optim.Adam(module.parameters()),
        columns={name: torch.from_numpy(c) for name, c in digits(9, 6, 4).items()},
        batch=4,
        steps=3,
    )
    assert descriptor_bytes(first) == descriptor_bytes(again)
    assert all(np.array_equal(a, b) for a, b in zip(first.inputs, again.inputs, strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(first.state, again.state, strict=True))
    assert first.manifest == again.manifest


def test_nothing_of_the_callers_changes() -> None:
    module = mlp()
    module[0].register_buffer("seen", torch.zeros(3))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    before = {name: t.clone() for name, t in module.state_dict().items()}
    objects = [id(t) for t in (*module.parameters(), *module.buffers())]
    groups = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    states = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist())
    flags = (
        torch._C._get_mkldnn_enabled(),
        torch.backends.mha.get_fastpath_enabled(),
        torch.backends.cuda.flash_sdp_enabled(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
    )
    with torch.no_grad():
        capture(module=module, loss=LOSS, optimizer=optimizer, columns=digits(9, 6, 4), batch=4, steps=2)
    assert all(torch.equal(before[name], t) for name, t in module.state_dict().items())
    assert [id(t) for t in (*module.parameters(), *module.buffers())] == objects
    assert all(p.grad is None for p in module.parameters())
    assert not optimizer.state
    assert [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups] == groups
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]
    assert flags == (
        torch._C._get_mkldnn_enabled(),
        torch.backends.mha.get_fastpath_enabled(),
        torch.backends.cuda.flash_sdp_enabled(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
    )


def test_states_load_back_into_an_ordinary_module_and_only_into_its_like() -> None:
    captured = capture(
        module=mlp(), loss=LOSS, optimizer=torch.optim.Adam, columns=digits(9, 6, 4), batch=4, steps=2
    )
    _, after = interpreter(captured).run_step(captured.state, 0)
    module = mlp()
    weight = module[0].weight
    load_state(captured, module, after)
    assert module[0].weight is weight
    assert np.array_equal(weight.detach().numpy().ravel().view(np.uint32), after[0])
    assert not np.array_equal(after[0], captured.state[0])
    with pytest.raises(MismatchError, match=r"0\.weight"):
        load_state(captured, mlp(hidden=7), after)
    with pytest.raises(MismatchError, match=r"2.bias.*2.weight"):
        load_state(captured, nn.Sequential(nn.Linear(6, 5)), after)


def test_a_program_that_means_something_else_is_found_out() -> None:
    columns = digits(9, 6, 4)
    captured = capture(module=mlp(), loss=LOSS, optimizer=torch.optim.Adam, columns=columns, batch=4, steps=2)
    engine = interpreter(captured)

    def run(state: Any, step: int) -> Any:
        return engine.run_step(state, step)[0]

    other = nn.Sequential(mlp()[0], nn.LeakyReLU(0.5), mlp()[2])
    with pytest.raises(MismatchError, match="the loss"):
        check_against_eager(captured, module=other, loss=LOSS, optimizer=torch.optim.Adam, run_step=run)
    faster = functools.partial(torch.optim.Adam, lr=0.01)
    with pytest.raises(MismatchError, match=r"0\.weight after the step"):
        check_against_eager(captured, module=mlp(), loss=LOSS, optimizer=faster, run_step=run)

    def wrong_gradient(state: Any, step: int) -> Any:
        nodes = list(run(state, step))
        node = captured.gradients["2.bias"].source_id
        nodes[node] = nodes[node] ^ np.uint32(1 << 30)
        return nodes

    with pytest.raises(MismatchError, match=r"gradient of 2\.bias"):
        check_against_eager(
            captured, module=mlp(), loss=LOSS, optimizer=torch.optim.Adam, run_step=wrong_gradient
        )


def test_the_summary_counts_every_node() -> None:
    captured = capture(
        module=mlp(), loss=LOSS, optimizer=torch.optim.Adam, columns=digits(9, 6, 4), batch=4, steps=2
    )
    lines = summary(captured)
    assert sum(int(line.split()[0]) for line in lines[2:]) == len(captured.program.nodes)
    assert lines[0].startswith(f"{len(captured.program.nodes)} nodes")
