"""Modules and optimizers that exist nowhere but here: nothing in capture knows their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from protocol.program.interpreter import Interpreter
from protocol.program.lint import check_program, check_values
from prover.capture import Captured, capture, check_against_eager, load_state

SEED = b"\x05" * 32
NOISE = np.random.default_rng(11)


def verified(
    module: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    optimizer: Any,
    columns: dict[str, np.ndarray[Any, Any]],
    *,
    batch: int = 4,
    steps: int = 3,
) -> tuple[Captured, Interpreter]:
    """Capture, lint, and compare with eager PyTorch."""
    captured = capture(
        module=module, loss=loss, optimizer=optimizer, columns=columns, batch=batch, steps=steps
    )
    check_program(captured.program)
    check_values(captured.program, inputs=captured.inputs, state=captured.state)
    rows = next(iter(columns.values())).shape[0]
    engine = Interpreter(captured.program, inputs=captured.inputs, seed=SEED, n_rows=rows, batch=batch)
    check_against_eager(
        captured,
        module=module,
        loss=loss,
        optimizer=optimizer,
        run_step=lambda state, step: engine.run_step(state, step)[0],
    )
    return captured, engine


class Weird(nn.Module):
    """Residuals, broadcasting, transposes, strided slices, an in-place write, a tensor constant, a running
    buffer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, 6).reshape(6, 1))
        self.register_buffer("average", torch.zeros(6))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        h = x + torch.tanh(self.first(x))
        h = (self.scale * h.t()).t() - h.mean(1, keepdim=True)
        mixed = torch.cat([h[:, ::2], h[:, 1::2].flip(1)], 1).view(-1, 2, 3).transpose(1, 2).reshape(-1, 6)
        mixed = mixed * torch.tensor([1.0, -1.0, 0.5, 2.0, 0.0, 1.0])
        canvas = torch.zeros_like(mixed)
        canvas[:, 1:4] = mixed[:, :3]
        canvas[0] += 1
        self.average.mul_(0.9).add_(mixed.detach().mean(0), alpha=0.1)
        self.calls += 1
        return torch.where(canvas > 0.2, canvas, mixed / (1 + mixed.abs()))


class Drifting(torch.optim.Optimizer):
    """Sign-like steps whose rate falls with a tensor counter, a Python counter per parameter and one per
    group.
    """

    def __init__(self, params: Iterable[nn.Parameter], rate: float = 0.05) -> None:
        super().__init__(params, {"rate": rate, "epoch": 0})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            group["epoch"] += 1
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["t"] = torch.tensor(0.0)
                    state["anchor"] = p.detach().clone()
                    state["n"] = 0
                state["t"] += 1
                state["n"] += 2
                rate = group["rate"] / (1 + 0.25 * (state["t"].item() - 1)) ** 0.5
                p.sub_(p.grad / (p.grad.abs() + 1), alpha=rate)
                p.lerp_(state["anchor"], 0.5 ** group["epoch"] / state["n"])


def test_a_weird_module_under_a_weird_optimizer() -> None:
    torch.manual_seed(1)
    module = Weird()
    columns = {
        "x": NOISE.standard_normal((7, 6)).astype(np.float32),
        "y": NOISE.standard_normal((7, 6)).astype(np.float32),
    }
    captured, engine = verified(module, F.mse_loss, Drifting, columns, steps=4)
    names = [spec.name for spec in captured.program.slots]
    assert names[:5] == ["scale", "first.weight", "first.bias", "average", "calls"]
    assert "optimizer.scale.n" in names
    assert "optimizer.group0.epoch" in names
    eager = Weird()
    load_state(captured, eager, captured.state)
    optimizer = Drifting(eager.parameters())
    state = list(captured.state)
    for step in range(4):
        nodes, state = engine.run_step(state, step)
        x, y = (torch.from_numpy(captured.read(captured.batch[c], nodes)) for c in ("x", "y"))
        optimizer.zero_grad()
        F.mse_loss(eager(x), y).backward()
        optimizer.step()
    twin = Weird()
    load_state(captured, twin, state)
    assert int(twin.calls) == 4
    for ours, theirs in zip(twin.state_dict().values(), eager.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    counters = dict(zip(names, state, strict=True))
    assert counters["optimizer.first.bias.n"].tolist() == [8]
    assert counters["optimizer.group0.epoch"].tolist() == [4]


def test_an_optimizer_that_has_run_goes_on_from_where_it_is() -> None:
    torch.manual_seed(1)
    module = nn.Linear(3, 1)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    for _ in range(3):
        module(torch.ones(1, 3)).sum().backward()
        optimizer.step()
    optimizer.zero_grad()
    columns = {"x": np.ones((4, 3), np.float32), "y": np.zeros((4, 1), np.float32)}
    captured, _ = verified(module, F.mse_loss, optimizer, columns)
    names = [spec.name for spec in captured.program.slots]
    assert captured.state[names.index("optimizer.weight.step")].view(np.float32).tolist() == [3.0]
    assert captured.inputs[-1].view(np.float32)[0] == np.float32((1 - 0.999**4) ** 0.5)


class TinyTransformer(nn.Module):
    """Embeddings, causal attention, layer norms, a gated feed-forward, the output tied to the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(5, 4)
        self.norm = nn.LayerNorm(4)
        self.qkv = nn.Linear(4, 12)
        self.out = nn.Linear(4, 4)
        self.head = nn.Linear(4, 5, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + torch.arange(ids.shape[1]).unsqueeze(1) * 0.1
        q, k, v = (t.unflatten(2, (2, 2)).transpose(1, 2) for t in self.qkv(self.norm(x)).split(4, dim=2))
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + F.gelu(self.out(attended.transpose(1, 2).flatten(2)), approximate="tanh")
        return self.head(x)


def test_a_transformer_with_tied_weights() -> None:
    torch.manual_seed(2)
    ids = NOISE.integers(0, 5, (6, 3))
    captured, _ = verified(
        TinyTransformer(),
        lambda scores, target: F.cross_entropy(scores.flatten(0, 1), target.flatten()),
        torch.optim.AdamW,
        {"ids": ids},
        batch=2,
    )
    assert "head.weight" not in {spec.name for spec in captured.program.slots}


class TinyResidual(nn.Module):
    """Strided convolutions, batch norm, both kinds of pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(2, 3, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(3)
        self.c2 = nn.Conv2d(3, 3, 3, stride=2, padding=1)
        self.short = nn.Conv2d(3, 3, 1, stride=2)
        self.head = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = F.max_pool2d(F.relu(self.norm(self.c1(x))), 3, stride=1, padding=1)
        h = F.relu(self.c2(h)) + F.avg_pool2d(self.short(h), 1)
        return self.head(F.adaptive_avg_pool2d(h, 1).flatten(1))


def test_a_residual_network_with_running_statistics() -> None:
    torch.manual_seed(2)
    columns = {
        "image": NOISE.standard_normal((4, 2, 5, 5)).astype(np.float32),
        "label": NOISE.integers(0, 4, 4),
    }
    sgd = torch.optim.SGD
    module = TinyResidual()
    captured, engine = verified(module, nn.CrossEntropyLoss(), lambda p: sgd(p, lr=0.1), columns, batch=3)
    _, after = engine.run_step(captured.state, 0)
    load_state(captured, module, after)
    assert int(module.norm.num_batches_tracked) == 1
    assert float(module.norm.running_var.sum()) != 3.0
    module.eval()  # the same module in evaluation mode is another program
    verified(module, nn.CrossEntropyLoss(), lambda p: sgd(p, lr=0.1), columns, batch=3)
