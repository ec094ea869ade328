"""Random numbers that all parties share: a function of draw, step and index (lowering.md, L-70 to L-72).

The program computes them from integer primitives (`lowering.random`); here they are once more in numpy, so
that eager PyTorch can be run on the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from protocol.errors import UnsupportedError

FIRST_FACTOR: Final = 0x7FEB352D
SECOND_FACTOR: Final = 0x846CA68B
UNIT: Final = 2.0**-24

_Words: TypeAlias = NDArray[np.uint32]


def draws(func: Any) -> bool:
    """Whether an aten operator draws random numbers."""
    return torch.Tag.nondeterministic_seeded in func.tags


def draw_keys(seed: int, draw: int, stream: int = 0) -> tuple[int, int]:
    """Return the two key words of a draw (L-70)."""
    numbers = (seed & 0xFFFFFFFF, draw, stream)
    digest = sha256(b"gavel noise" + b"".join(n.to_bytes(4, "big") for n in numbers)).digest()
    return int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:8], "big")


def bernoulli_count(p: float) -> int:
    """Return how many of the 2**32 words make an element 1 (L-71), for 0 < p < 1."""
    return min(math.ceil(p * 2.0**32), (1 << 32) - 1)


def random_words(seed: int, draw: int, step: int, count: int, stream: int = 0) -> _Words:
    """Return the first words of a draw at a step: uint32[count] (L-70)."""
    first, second = (np.uint32(key) for key in draw_keys(seed, draw, stream))
    with np.errstate(over="ignore"):
        a = _mixed(np.array([step & 0xFFFFFFFF], np.uint32) + first)
        b = _mixed(a ^ second)
        return _mixed(np.arange(count, dtype=np.uint32) + a, b)


def _mixed(x: _Words, key: _Words | None = None) -> _Words:
    x = (x ^ (x >> np.uint32(16))) * np.uint32(FIRST_FACTOR)
    x = x if key is None else x + key
    x = (x ^ (x >> np.uint32(15))) * np.uint32(SECOND_FACTOR)
    return x ^ (x >> np.uint32(16))


class EagerNoise(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Gives eager PyTorch the random numbers of one step of a program, draw by draw."""

    def __init__(self, *, seed: int, step: int) -> None:
        """Count draws from the first one of a step.

        Args:
            seed: `noise_seed` of the capture.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._seed = seed
        self._step = step
        self._draw = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operator, one that draws on our numbers."""
        del types
        if not draws(func):
            return func(*args, **(kwargs or {}))
        draw, self._draw = self._draw, self._draw + 1
        name = str(func).removeprefix("aten.")
        rule = _EAGER.get(name)
        if rule is None:
            raise UnsupportedError(f"operator {func}: its random numbers have no formula")
        return rule(_Source(self._seed, draw, self._step), *args)


class _Source:
    """The random numbers of one draw, as torch tensors."""

    def __init__(self, seed: int, draw: int, step: int) -> None:
        self._of = (seed, draw, step)

    def words(self, shape: Sequence[int], stream: int = 0) -> NDArray[np.float64]:
        """Words as exact numbers."""
        return random_words(*self._of, math.prod(shape), stream).astype(np.float64).reshape(tuple(shape))

    def uniform(self, shape: Sequence[int], stream: int = 0) -> Tensor:
        """[0, 1) in steps of 2**-24."""
        return _tensor(np.floor(self.words(shape, stream) / 256) * UNIT)

    def open(self, shape: Sequence[int]) -> NDArray[np.float64]:
        """(0, 1) in steps of 2**-23."""
        return (2 * np.floor(self.words(shape) / 512) + 1) * UNIT

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Standard normal."""
        angle = np.floor(self.words(shape, 1) / 256) * (2 * math.pi * UNIT)
        return _tensor(np.sqrt(-2 * np.log(self.open(shape))) * np.cos(angle))

    def below(self, p: float, shape: Sequence[int]) -> Tensor:
        """1 with probability p, else 0."""
        signed = (self.words(shape) + 2.0**31) % 2.0**32  # the order of signed words
        return _tensor(signed < (bernoulli_count(p) if 0 < p < 1 else p * 2.0**32))


def _tensor(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.asarray(values).astype(np.float32))


def _bernoulli_(source: _Source, a: Tensor, p: float = 0.5) -> Tensor:
    return a.copy_(source.below(p, a.shape))


def _bernoulli(source: _Source, probabilities: Tensor, p: float | None = None) -> Tensor:
    if p is not None:
        return source.below(p, probabilities.shape)
    return (source.uniform(probabilities.shape) < probabilities).float()


def _uniform_(source: _Source, a: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    return a.copy_(source.uniform(a.shape) * (high - low) + low)


def _normal_(source: _Source, a: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    return a.copy_(source.normal(a.shape) * std + mean)


def _exponential_(source: _Source, a: Tensor, rate: float = 1.0) -> Tensor:
    return a.copy_(_tensor(-np.log(source.open(a.shape)) / rate))


def _dropout(source: _Source, a: Tensor, p: float, train: bool | None = True) -> tuple[Tensor, Tensor]:
    if train is False:
        return a, torch.ones_like(a, dtype=torch.bool)
    mask = source.below(1 - p, a.shape)
    return a * mask * (1 / (1 - p)), mask.bool()


_EAGER: Final[dict[str, Callable[..., Any]]] = {
    "bernoulli_.float": _bernoulli_,
    "bernoulli.p": _bernoulli,
    "bernoulli.default": _bernoulli,
    "rand.default": lambda source, size: source.uniform(size),
    "rand_like.default": lambda source, a: source.uniform(a.shape),
    "randn.default": lambda source, size: source.normal(size),
    "randn_like.default": lambda source, a: source.normal(a.shape),
    "uniform_.default": _uniform_,
    "normal_.default": _normal_,
    "normal.float_float": lambda source, mean, std, size: source.normal(size) * std + mean,
    "exponential_.default": _exponential_,
    "native_dropout.default": _dropout,
}
"""What eager PyTorch calls; in the program the ones ending in _ have their functional names."""
