"""Random numbers from a counter: program and numpy agree, eager runs on them, they look random."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from protocol.errors import UnsupportedError
from protocol.program.interpreter import Interpreter
from protocol.program.lint import check_program
from prover.capture import Captured, capture, check_against_eager
from prover.capture.noise import EagerNoise, bernoulli_count, random_words

SGD = functools.partial(torch.optim.SGD, lr=0.1)
COLUMNS = {"x": np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)}


class Noisy(nn.Module):
    def __init__(self, then: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(6, 6)
        self.then = then

    def forward(self, x: Tensor) -> Tensor:
        return self.then(self.layer(x))


def loss(out: Tensor, _: Tensor) -> Tensor:
    return (out * out).sum()


def made(then: Callable[[Tensor], Tensor], *, seed: int = 0, steps: int = 3) -> tuple[Captured, Interpreter]:
    captured = capture(
        module=Noisy(then), loss=loss, optimizer=SGD, columns=COLUMNS, batch=4, steps=steps, noise_seed=seed
    )
    check_program(captured.program)
    return captured, Interpreter(captured.program, inputs=captured.inputs, seed=b"s" * 32, n_rows=4, batch=4)


DRAWS: dict[str, Callable[[Tensor], Tensor]] = {
    "dropout": lambda h: F.dropout(F.dropout(h, 0.3), 0.6),
    "channels": lambda h: F.dropout2d(h.view(4, 3, 2, 1), 0.5).view(4, 6) + F.alpha_dropout(h, 0.3, True),
    "attention": lambda h: F.scaled_dot_product_attention(*[h.view(1, 2, 4, 3)] * 3, dropout_p=0.4).view(
        4, 6
    ),
    "uniform": lambda h: h * torch.rand(6) + torch.rand_like(h) * torch.empty(6).uniform_(-1, 3),
    "normal": lambda h: h + torch.randn_like(h) * 0.5 + torch.randn(6) + torch.empty(6).normal_(1, 2),
    "bernoulli": lambda h: h * torch.bernoulli(torch.full((6,), 0.3)) + h * torch.empty(6).bernoulli_(0.8),
    "exponential": lambda h: h * torch.empty(6).exponential_(2) + F.gumbel_softmax(h),
    "always, never": lambda h: F.dropout(h, 1.0) + h * torch.empty(6).bernoulli_(1.0),
}


@pytest.mark.parametrize("then", DRAWS.values(), ids=DRAWS)
def test_eager_pytorch_on_the_same_numbers_gives_the_same_step(then: Callable[[Tensor], Tensor]) -> None:
    captured, engine = made(then, seed=7)
    check_against_eager(
        captured,
        module=Noisy(then),
        loss=loss,
        optimizer=SGD,
        run_step=lambda state, step: engine.run_step(state, step)[0],
    )


def kept(captured: Captured, engine: Interpreter, step: int) -> list[int]:
    nodes, _ = engine.run_step(captured.state, step)
    [mask] = [i for i, label in enumerate(captured.program.labels) if label.startswith("bernoulli")][-1:]
    return [int(word) for word in nodes[mask]]


def test_every_step_draw_and_seed_has_numbers_of_its_own() -> None:
    masks = {}
    for seed in (0, 1):
        captured, engine = made(lambda h: F.dropout(h, 0.5), seed=seed)
        for step in (0, 1, 2):
            words = kept(captured, engine, step)
            signed = random_words(seed, 0, step, 24).view(np.int32)
            limit = bernoulli_count(0.5) - (1 << 31)
            assert words == [int(np.float32(int(w) < limit).view(np.uint32)) for w in signed]
            masks[seed, step] = tuple(words)
    assert len(set(masks.values())) == 6
    captured, engine = made(lambda h: F.dropout(h, 0.5) - F.dropout(h, 0.5))
    nodes, _ = engine.run_step(captured.state, 0)
    drawn = [nodes[i].tolist() for i, t in enumerate(captured.program.labels) if t.startswith("bernoulli")]
    assert len({tuple(words) for words in drawn if len(words) == 24 and set(words) <= {0, 0x3F800000}}) == 2


def test_a_draw_that_nobody_uses_still_counts() -> None:
    def wasteful(h: Tensor) -> Tensor:
        torch.rand(3)
        return F.dropout(h, 0.5)

    captured, engine = made(wasteful)
    signed = random_words(0, 1, 0, 24).view(np.int32)
    assert [bool(w) for w in kept(captured, engine, 0)] == [bool(w < 0) for w in signed]


def test_eager_noise_refuses_what_has_no_formula() -> None:
    with EagerNoise(seed=0, step=0), pytest.raises(UnsupportedError, match="randperm"):
        torch.randperm(3)


def test_the_words_look_random() -> None:
    """Counts of bytes, correlations along indices, steps and draws: within 5 standard deviations."""
    n = 1 << 16
    base = random_words(0, 0, 0, n)
    for shift in (0, 8, 16, 24):
        counts = np.bincount(base >> np.uint32(shift) & np.uint32(255), minlength=256)
        chi2 = float(((counts - n / 256) ** 2 / (n / 256)).sum())
        assert abs(chi2 - 255) < 5 * math.sqrt(2 * 255)
    others = {
        "step": random_words(0, 0, 1, n),
        "draw": random_words(0, 1, 0, n),
        "stream": random_words(0, 0, 0, n, 1),
        "seed": random_words(1, 0, 0, n),
        "far": random_words(0, 0, 1 << 31, n),
        **{f"lag {lag}": np.roll(base, lag) for lag in (1, 2, 3, 256, 1024, 1 << 15)},
    }
    centred = base.astype(np.float64) - 2.0**31
    for name, words in others.items():
        other = words.astype(np.float64) - 2.0**31
        correlation = float((centred * other).mean() / (2.0**64 / 12))
        assert abs(correlation) < 5 / math.sqrt(n), name
        flipped = np.unpackbits((base ^ words).view(np.uint8)).mean()
        assert abs(flipped - 0.5) < 5 * 0.5 / math.sqrt(32 * n), name
    assert len(np.unique(base)) == n, "within a draw no word comes twice"


def test_normal_numbers_are_normal() -> None:
    noise = EagerNoise(seed=3, step=2)
    with noise:
        z = torch.randn(1 << 16).double()
        e = torch.empty(1 << 16).exponential_(2).double()
    assert abs(float(z.mean())) < 0.02
    assert abs(float(z.var()) - 1) < 0.03
    assert abs(float((z**4).mean()) - 3) < 0.2
    assert abs(float((z.abs() < 1).double().mean()) - 0.6827) < 0.01
    assert abs(float(e.mean()) - 0.5) < 0.01
