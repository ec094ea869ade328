"""Operators that draw random numbers, from a counter instead of a state (lowering.md, L-70 to L-72)."""

from __future__ import annotations

import math
from typing import Any

import torch

from protocol.numerics.opcodes import Op
from protocol.program.descriptor import LeafKind
from prover.capture.builder import index_leaf
from prover.capture.lowering.context import FLOAT, Context, Rule
from prover.capture.noise import FIRST_FACTOR, SECOND_FACTOR, UNIT, bernoulli_count, draw_keys
from prover.capture.views import View

_INTEGER = torch.int64


def _integer(c: Context, op: Op, a: View, b: View | int) -> View:
    other = b if isinstance(b, View) else c.builder.constant(b, _INTEGER)
    return c.builder.map(op, a, other, dtype=_INTEGER)


def _mixed(c: Context, x: View, key: View | None = None) -> View:
    x = _integer(c, Op.IMUL, _integer(c, Op.IXOR, x, _integer(c, Op.ISHR, x, 16)), FIRST_FACTOR)
    x = x if key is None else _integer(c, Op.IADD, x, key)
    x = _integer(c, Op.IMUL, _integer(c, Op.IXOR, x, _integer(c, Op.ISHR, x, 15)), SECOND_FACTOR)
    return _integer(c, Op.IXOR, x, _integer(c, Op.ISHR, x, 16))


def _words(c: Context, stream: int = 0) -> View:
    """A random word for every element of the result."""
    first, second = draw_keys(c.noise_seed, c.draw, stream)
    step = index_leaf((), kind=LeafKind.STEP)
    key = c.builder.constant(first, _INTEGER).leaf()
    a = _mixed(c, c.builder.node([0, 1, Op.IADD], [step, key], (), dtype=_INTEGER))
    b = _mixed(c, _integer(c, Op.IXOR, a, second))
    count = math.prod(c.shape)
    leaves = [index_leaf((1,)), a.broadcast((count,)).leaf()]
    x = c.builder.node([0, 1, Op.IADD], leaves, (count,), dtype=_INTEGER)
    x = _mixed(c, x, b)
    return x.reshape(c.shape) or x


def _uniform(c: Context, stream: int = 0) -> View:
    return c.mul(c.cast(_integer(c, Op.ISHR, _words(c, stream), 8), FLOAT), UNIT)


def _open(c: Context) -> View:
    halves = _integer(c, Op.IOR, _integer(c, Op.ISHR, _words(c), 8), 1)
    return c.mul(c.cast(halves, FLOAT), UNIT)


def _normal(c: Context) -> View:
    radius = c.sqrt(c.mul(-2.0, c.builder.map(Op.LOG, _open(c))))
    turns = c.cast(_integer(c, Op.ISHR, _words(c, 1), 8), FLOAT)
    angle = c.mul(2 * math.pi * UNIT, turns)
    return c.mul(radius, c.builder.map(Op.COS, angle))


def _placed(c: Context, values: View, factor: float, shift: float) -> View:
    """values * factor + shift, nothing where that changes nothing."""
    scaled = c.mul(values, factor)
    return scaled if shift == 0 else c.add(scaled, shift)


def _chosen(c: Context, p: float) -> View:
    """The integer word 1 with probability p, else 0."""
    if not 0 < p < 1:
        return c.builder.constant(int(p >= 1), torch.bool).broadcast(c.shape)
    limit = c.builder.constant(bernoulli_count(p) - (1 << 31), _INTEGER)
    return c.builder.map(Op.ILT, _words(c), limit, dtype=torch.bool)


def bernoulli_p(c: Context, a: View, p: float = 0.5, **_: Any) -> View:
    """1 with probability p, else 0."""
    del a
    return c.cast(_chosen(c, p), c.dtype)


def bernoulli(c: Context, probabilities: View, **_: Any) -> View:
    """1 where a uniform number is below the probability, else 0."""
    return c.cast(c.builder.map(Op.LT, _uniform(c), *c.floats(probabilities)), c.dtype)


def dropout(c: Context, a: View, p: float, train: bool | None = True) -> list[View]:
    """Elements kept with probability 1 - p, times 1 / (1 - p); and which were kept."""
    if train is False:
        return [a, c.number(1, torch.bool).broadcast(a.shape)]
    kept = _chosen(c, 1 - p)
    return [c.mul(c.mul(a, c.cast(kept, FLOAT)), 1 / (1 - p)), kept]


def dropout_backward(c: Context, grad: View, mask: View, scale: float) -> View:
    """(grad * mask) * scale."""
    return c.mul(c.mul(grad, c.cast(mask, FLOAT)), scale)


def uniform(c: Context, a: View, low: float = 0.0, high: float = 1.0, **_: Any) -> View:
    """u * (high - low) + low."""
    del a
    return _placed(c, _uniform(c), high - low, low)


def rand(c: Context, *_: Any, **__: Any) -> View:
    """Uniform numbers in [0, 1)."""
    return _uniform(c)


def normal(c: Context, a: View, mean: float = 0.0, std: float = 1.0, **_: Any) -> View:
    """z * std + mean."""
    del a
    return _placed(c, _normal(c), std, mean)


def normal_sized(c: Context, mean: float, std: float, *_: Any, **__: Any) -> View:
    """z * std + mean."""
    return _placed(c, _normal(c), std, mean)


def randn(c: Context, *_: Any, **__: Any) -> View:
    """Standard normal numbers."""
    return _normal(c)


def exponential(c: Context, a: View, rate: float = 1.0, **_: Any) -> View:
    """-log(u) / rate."""
    del a
    value = c.neg(c.builder.map(Op.LOG, _open(c)))
    return value if rate == 1 else c.div(value, rate)


RULES: dict[str, Rule] = {
    "aten.bernoulli.p": bernoulli_p,
    "aten.bernoulli.default": bernoulli,
    "aten.native_dropout.default": dropout,
    "aten.native_dropout_backward.default": dropout_backward,
    "aten.uniform.default": uniform,
    "aten.rand.default": rand,
    "aten.rand_like.default": rand,
    "aten.normal_functional.default": normal,
    "aten.normal.float_float": normal_sized,
    "aten.randn.default": randn,
    "aten.randn_like.default": randn,
    "aten.exponential.default": exponential,
}
