"""What has no meaning is refused by name, with the line in the user's code."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from protocol.errors import UnsupportedError
from prover.capture import Captured, capture

SGD = functools.partial(torch.optim.SGD, lr=0.1)


class Block(nn.Module):
    """A linear layer and whatever the test does with its output."""

    def __init__(self, then: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.then = then

    def forward(self, x: Tensor) -> Any:
        return self.then(self.linear(x))


def captured(then: Callable[[Tensor], Any], **changes: Any) -> Captured:
    arguments: dict[str, Any] = {
        "module": Block(then),
        "loss": lambda out, _: out.sum(),
        "optimizer": SGD,
        "columns": {"x": np.ones((3, 4), np.float32)},
        "batch": 2,
        "steps": 2,
    }
    return capture(**{**arguments, **changes})


def test_an_operator_without_a_formula_is_named_with_its_line() -> None:
    def angles(h: Tensor) -> Tensor:
        return torch.atan(h)

    line = angles.__code__.co_firstlineno + 1
    with pytest.raises(UnsupportedError, match=rf"aten\.atan\.default at test_capture_refusals\.py:{line}"):
        captured(angles)


RANDOM: dict[str, Callable[[Tensor], Tensor]] = {
    "randint": lambda h: h * torch.randint(0, 3, (4,)),
    "randperm": lambda h: h[:, torch.randperm(4)],
    "multinomial": lambda h: h * torch.multinomial(torch.ones(4), 1),
    "poisson": lambda h: h + torch.poisson(torch.ones(4)),
    "rrelu": lambda h: F.rrelu(h, training=True),
}


@pytest.mark.parametrize("then", RANDOM.values(), ids=RANDOM)
def test_random_operators_without_a_formula_are_refused_by_name(then: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(UnsupportedError, match=r"aten\.\w+.*draws random numbers"):
        captured(then)


class Counter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.linear(x) * self.calls


def test_python_randomness_and_counters_are_noticed() -> None:
    with pytest.raises(UnsupportedError, match="two recordings"):
        captured(lambda h: h * random.random())
    with pytest.raises(UnsupportedError, match="two recordings"):
        captured(lambda h: h * float(np.random.rand()))
    with pytest.raises(UnsupportedError, match="two recordings"):
        captured(lambda h: h * torch.from_numpy(np.random.rand(4).astype(np.float32)))
    module = Counter()
    with pytest.raises(UnsupportedError, match="two recordings"):
        captured(lambda h: h, module=module)
    assert module.calls == 0


class Remembering(nn.Module):
    """Keeps what it saw in a Python attribute, as a recurrent state or a cache would be."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.last: Tensor | None = None
        self.heat = 1.0

    def forward(self, x: Tensor) -> Tensor:
        out = self.linear(x)
        mixed = out if self.last is None else out + self.last
        self.last = out.detach()
        return mixed


class Cooling(Remembering):
    def forward(self, x: Tensor) -> Tensor:
        self.heat *= 0.9
        return self.linear(x) * self.heat


def test_state_in_python_objects_is_noticed() -> None:
    line = Remembering.forward.__code__.co_firstlineno + 2
    with pytest.raises(UnsupportedError, match=rf"refusals\.py:{line}.*register it as a buffer"):
        captured(lambda h: h, module=Remembering())
    with pytest.raises(UnsupportedError, match="two recordings"):
        captured(lambda h: h, module=Cooling())


def test_sparse_gradients_are_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"sparse_coo.*use dense"):
        captured(lambda h: h, module=nn.Embedding(5, 4, sparse=True), columns={"ids": np.array([1, 2, 3])})


def test_a_module_without_shapes_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="call the module once"):
        captured(lambda h: h, module=nn.LazyLinear(3))


def narrowed(h: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return (h @ h.t()).float()


def assigned(h: Tensor) -> Tensor:
    canvas = torch.zeros(2, 4)
    canvas[torch.tensor([1, 1])] = h
    return canvas


def mask_assigned(h: Tensor) -> Tensor:
    canvas = h.clone()
    canvas[h > 0] = h[h > 0] * 2
    return canvas


MEANINGLESS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "bf16": (lambda h: h.bfloat16().float(), "bfloat16"),
    "half": (lambda h: h.half().float(), "float16"),
    "double": (lambda h: h.double().float(), "float64"),
    "complex": (lambda h: torch.view_as_real(torch.complex(h, h)), "complex64"),
    "sparse": (lambda h: h.to_sparse().to_dense(), "sparse"),
    "mask": (lambda h: h[h > 0], "depends on the contents"),
    "nonzero": (lambda h: h[h.nonzero()[:1, 0]], "depends on the contents"),
    "branch": (lambda h: h if h.sum() > 0 else -h, "depends on the contents"),
    "item": (lambda h: h * h.sum().item(), "not a step counter"),
    "truncation": (lambda h: h * h.int(), "floats cannot become integers"),
    "duplicates": (
        lambda h: torch.zeros(2, 4).scatter(1, torch.zeros(2, 2, dtype=torch.int64), h[:, :2]),
        "use scatter_add",
    ),
    "put": (lambda h: h.clone().index_put((torch.tensor([0, 0]),), h), "where two are equal"),
    "uninitialised": (lambda h: h + torch.empty(4), "nobody wrote"),
    "autocast": (narrowed, "bfloat16"),
    "reduced": (
        lambda h: torch.zeros(2, 4).scatter_reduce(0, torch.zeros(2, 4, dtype=torch.int64), h, "amax"),
        "use scatter_add",
    ),
    "assigned": (assigned, "where two are equal"),
    "mask assigned": (mask_assigned, "depends on the contents"),
    "polar": (lambda h: torch.polar(h, h).abs(), "complex64"),
    "sort": (lambda h: h.sort(1)[0], "use amax, argmax or masks"),
    "empty": (lambda h: h[:, :0], "empty"),
    "exponent": (lambda h: h**65, "exponents go up to 64"),
    "integer power": (lambda h: h * torch.arange(4) ** 2, "no meaning on torch.int64"),
    "power": (lambda h: h.abs() ** h, "positive number"),
    "bags": (
        lambda h: F.embedding_bag(torch.tensor([0, 1, 1]), h.t(), torch.tensor([0, 1]), mode="sum"),
        "bags have a formula",
    ),
    "pooling": (lambda h: F.adaptive_avg_pool2d(h.view(1, 1, 2, 4), (2, 3)), "equal windows"),
    "volume": (lambda h: F.conv3d(h.view(1, 1, 2, 2, 2), torch.ones(1, 1, 1, 1, 1)), "one or two dimensions"),
}


@pytest.mark.parametrize(("then", "why"), MEANINGLESS.values(), ids=MEANINGLESS)
def test_what_traces_without_meaning_is_refused(then: Callable[[Tensor], Tensor], why: str) -> None:
    with pytest.raises(UnsupportedError, match=why):
        captured(then)


def test_a_tensor_that_is_trained_outside_the_module_is_refused() -> None:
    outside = torch.ones(4, requires_grad=True)
    with pytest.raises(UnsupportedError, match="not a parameter of the module"):
        captured(lambda h: h * outside)


def test_modules_that_cannot_be_state_are_refused() -> None:
    double = Block(lambda h: h).double()
    with pytest.raises(UnsupportedError, match=r"linear\.weight is torch\.float64"):
        captured(lambda h: h, module=double, columns={"x": np.ones((3, 4), np.float32)})
    shared = Block(lambda h: h)
    shared.other = nn.Parameter(shared.linear.weight.data)
    with pytest.raises(UnsupportedError, match="share memory"):
        captured(lambda h: h, module=shared)
    hooked = Block(lambda h: h)
    hooked.linear.weight.register_hook(lambda g: g * 2)
    with pytest.raises(UnsupportedError, match=r"linear\.weight has a hook"):
        captured(lambda h: h, module=hooked)
    strange = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    with pytest.raises(UnsupportedError, match="does not have"):
        captured(lambda h: h, optimizer=strange)
    with pytest.raises(UnsupportedError, match="one element"):
        captured(lambda h: h, loss=lambda out, _: out)


class Swinging(torch.optim.Optimizer):
    """Keeps a Python float that changes."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"rate": 0.1})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            group["rate"] *= 0.9
            for p in group["params"]:
                p.sub_(p.grad, alpha=group["rate"])


class Odd(torch.optim.Optimizer):
    """Takes the square root of a number that is negative from the second step on."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {"n": 0})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            group["n"] += 1
            for p in group["params"]:
                p.sub_(p.grad, alpha=(1.5 - group["n"]) ** 0.5)


OPTIMIZERS: dict[str, tuple[Any, str]] = {
    "float state": (Swinging, "group0.rate goes from"),
    "branch on the step": (torch.optim.RAdam, r"radam\.py:\d+: a Python value, branch or shape depends"),
    "tensor option": (lambda p: torch.optim.Adam(p, lr=torch.tensor(0.1)), "lr is a tensor"),
    "capturable": (functools.partial(torch.optim.Adam, capturable=True), "does not step in plain PyTorch"),
    "complex number": (Odd, "complex"),
    "closure": (torch.optim.LBFGS, "does not step in plain PyTorch"),
    "sparse gradients": (torch.optim.SparseAdam, "consider Adam instead"),
}


@pytest.mark.parametrize(("optimizer", "why"), OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizers_without_a_fixed_step_are_refused(optimizer: Any, why: str) -> None:
    with pytest.raises(UnsupportedError, match=why):
        captured(lambda h: h, optimizer=optimizer)


def test_data_that_has_no_words_is_refused() -> None:
    for columns, why in (
        ({}, "at least one column"),
        ({"x": np.ones((0, 4), np.float32)}, "at least 1"),
        ({"x": np.ones((3, 4), np.float32), "y": np.ones(2, np.int64)}, "same number of rows"),
        ({"x": np.ones((3, 4))}, "column x is torch.float64"),
        ({"step table": np.ones((3, 4), np.float32)}, "rename the column"),
        ({"x": np.ones((3, 4), np.float32), "y": np.full(3, 2**31)}, "column y: integers"),
    ):
        with pytest.raises(UnsupportedError, match=why):
            captured(lambda h: h, columns=columns, loss=lambda out, _: out.sum())
    with pytest.raises(UnsupportedError, match="does nothing"):
        captured(lambda h: h, steps=0)
    with pytest.raises(UnsupportedError, match="does not run in plain PyTorch"):
        captured(lambda h: h, columns={"x": np.ones((3, 5), np.float32)})


def test_a_schedule_that_looks_at_the_loss_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="look at the loss"):
        captured(lambda h: h, scheduler=torch.optim.lr_scheduler.ReduceLROnPlateau)
