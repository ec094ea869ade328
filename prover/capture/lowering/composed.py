"""Operators that a chain of primitives stands for: activations, updates (lowering.md, L-30 to L-39)."""

from __future__ import annotations

import math

from protocol.numerics.opcodes import Op
from prover.capture.lowering.context import FLOAT, Context, Operand, Rule
from prover.capture.lowering.layout import cat
from prover.capture.views import View


def addcmul(c: Context, base: View, a: View, b: View, value: float = 1) -> View:
    """base + (value * a) * b, each rounded."""
    return c.add(base, c.mul(c.mul(value, a), b))


def addcdiv(c: Context, base: View, a: View, b: View, value: float = 1) -> View:
    """base + (value * a) / b, each rounded."""
    return c.add(base, c.div(c.mul(value, a), b))


def lerp(c: Context, start: View, end: View, weight: Operand) -> View:
    """start + weight * (end - start) for a weight below a half, else end - (end - start) * (1 - weight)."""
    if isinstance(weight, View):
        raise c.unsupported("a tensor as weight has no formula; give a number or write the update out")
    difference = c.sub(end, start)
    if abs(weight) < 0.5:
        return c.add(start, c.mul(weight, difference))
    return c.sub(end, c.mul(difference, 1 - weight))


def sigmoid_backward(c: Context, grad: View, out: View) -> View:
    """(grad * (1 - out)) * out, each rounded."""
    return c.mul(c.mul(grad, c.sub(1.0, out)), out)


def tanh_backward(c: Context, grad: View, out: View) -> View:
    """grad * (1 - out * out), each rounded."""
    return c.mul(grad, c.sub(1.0, c.mul(out, out)))


def silu(c: Context, a: View) -> View:
    """a * sigmoid(a), each rounded."""
    return c.mul(a, c.unary(Op.SIGMOID, a))


def silu_backward(c: Context, grad: View, a: View) -> View:
    """s = sigmoid(a): (grad * s) * (1 + a * (1 - s)), each rounded."""
    s = c.unary(Op.SIGMOID, a)
    return c.mul(c.mul(grad, s), c.add(1.0, c.mul(a, c.sub(1.0, s))))


_SQRT_2_OVER_PI = 0.7978845608028654
_CUBIC = 0.044715
_SQRT_HALF = 0.7071067811865476
_NORMAL_PEAK = 0.3989422804014327
"""1 / sqrt(2 * pi)."""


def _gelu_tanh(c: Context, a: View) -> View:
    inner = c.add(a, c.mul(_CUBIC, c.mul(c.mul(a, a), a)))
    return c.unary(Op.TANH, c.mul(_SQRT_2_OVER_PI, inner))


def _gelu_erf(c: Context, a: View) -> View:
    return c.unary(Op.ERF, c.mul(_SQRT_HALF, a))


def gelu(c: Context, a: View, approximate: str = "none") -> View:
    """(0.5 * a) * (1 + t), with t = erf(sqrt(1/2) * a) or tanh(sqrt(2 / pi) * (a + 0.044715 * a ** 3))."""
    t = _gelu_tanh(c, a) if approximate == "tanh" else _gelu_erf(c, a)
    return c.mul(c.mul(0.5, a), c.add(1.0, t))


def gelu_backward(c: Context, grad: View, a: View, approximate: str = "none") -> View:
    """The derivative of the above, term by term."""
    if approximate != "tanh":
        density = c.mul(_NORMAL_PEAK, c.exp(c.mul(-0.5, c.mul(a, a))))
        return c.mul(grad, c.add(c.mul(0.5, c.add(1.0, _gelu_erf(c, a))), c.mul(a, density)))
    t = _gelu_tanh(c, a)
    left = c.mul(0.5, c.add(1.0, t))
    slope = c.mul(_SQRT_2_OVER_PI, c.add(1.0, c.mul(3 * _CUBIC, c.mul(a, a))))
    right = c.mul(c.mul(c.mul(0.5, a), c.sub(1.0, c.mul(t, t))), slope)
    return c.mul(grad, c.add(left, right))


def hardsigmoid(c: Context, a: View) -> View:
    """min(max(a + 3, 0), 6) / 6, each rounded."""
    return c.div(hardtanh(c, c.add(a, 3.0), 0.0, 6.0), 6.0)


def hardsigmoid_backward(c: Context, grad: View, a: View) -> View:
    """grad / 6 where -3 < a < 3, else 0."""
    return hardtanh_backward(c, c.div(grad, 6.0), a, -3.0, 3.0)


def hardswish(c: Context, a: View) -> View:
    """(a * min(max(a + 3, 0), 6)) / 6, each rounded."""
    return c.div(c.mul(a, hardtanh(c, c.add(a, 3.0), 0.0, 6.0)), 6.0)


def hardswish_backward(c: Context, grad: View, a: View) -> View:
    """0 where a <= -3, grad * (a / 3 + 0.5) where a < 3, else grad."""
    middle = c.mul(grad, c.add(c.div(a, 3.0), 0.5))
    upper = c.select(c.builder.map(Op.LT, a, c.number(3.0, FLOAT)), middle, grad)
    return c.select(c.builder.map(Op.LE, a, c.number(-3.0, FLOAT)), c.number(0.0, FLOAT), upper)


def mish(c: Context, a: View) -> View:
    """a * tanh(log1p(exp(a))), each rounded."""
    return c.mul(a, c.unary(Op.TANH, softplus(c, a)))


def mish_backward(c: Context, grad: View, a: View) -> View:
    """t = tanh(softplus(a)), s = sigmoid(a): grad * (t + (a * s) * (1 - t * t)), each rounded."""
    t, s = c.unary(Op.TANH, softplus(c, a)), c.unary(Op.SIGMOID, a)
    return c.mul(grad, c.add(t, c.mul(c.mul(a, s), c.sub(1.0, c.mul(t, t)))))


def softshrink(c: Context, a: View, limit: float = 0.5) -> View:
    """a - limit where limit < a, a + limit where a < -limit, else 0; NaN stays."""
    low = c.select(c.builder.map(Op.LT, a, c.number(-limit, FLOAT)), c.add(a, limit), c.mul(a, 0.0))
    return c.select(c.builder.map(Op.LT, c.number(limit, FLOAT), a), c.sub(a, limit), low)


def hardshrink(c: Context, a: View, limit: float = 0.5) -> View:
    """0 where -limit <= a <= limit, else a."""
    return c.select(_within(c, a, limit), c.number(0.0, FLOAT), a)


def shrink_backward(c: Context, grad: View, a: View, limit: float) -> View:
    """0 where -limit <= a <= limit, else grad."""
    return c.select(_within(c, a, limit), c.number(0.0, FLOAT), grad)


def _within(c: Context, a: View, limit: float) -> View:
    above = c.builder.map(Op.LE, c.number(-limit, FLOAT), a)
    below = c.builder.map(Op.LE, a, c.number(limit, FLOAT))
    return c.builder.map(Op.IAND, above, below, dtype=above.dtype)


def exp2(c: Context, a: View) -> View:
    """exp(a * log 2), each rounded."""
    return c.exp(c.mul(a, math.log(2.0)))


def log_to(base: float) -> Rule:
    """Return the rule of the logarithm to a base: log(a) / log(base), each rounded."""

    def rule(c: Context, a: View) -> View:
        return c.div(c.unary(Op.LOG, a), math.log(base))

    return rule


def tan(c: Context, a: View) -> View:
    """sin(a) / cos(a), each rounded."""
    return c.div(c.unary(Op.SIN, a), c.unary(Op.COS, a))


def erfc(c: Context, a: View) -> View:
    """1 - erf(a), each rounded."""
    return c.sub(1.0, c.unary(Op.ERF, a))


def softplus(c: Context, a: View, beta: float = 1, threshold: float = 20) -> View:
    """a where beta * a > threshold, else log1p(exp(beta * a)) / beta, each rounded."""
    scaled = c.mul(a, beta)
    value = c.unary(Op.LOG1P, c.exp(scaled))
    value = value if beta == 1 else c.div(value, beta)
    return c.select(c.builder.map(Op.LT, c.number(threshold, FLOAT), scaled), a, value)


def softplus_backward(c: Context, grad: View, a: View, beta: float, threshold: float) -> View:
    """grad where beta * a > threshold, else grad * z / (z + 1) with z = exp(beta * a), each rounded."""
    scaled = c.mul(a, beta)
    z = c.exp(scaled)
    value = c.div(c.mul(grad, z), c.add(z, 1.0))
    return c.select(c.builder.map(Op.LT, c.number(threshold, FLOAT), scaled), grad, value)


def elu(c: Context, a: View, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> View:
    """a * scale where 0 < a, else expm1(a * input_scale) * (alpha * scale), each rounded."""
    low = c.mul(c.unary(Op.EXPM1, c.mul(a, input_scale)), alpha * scale)
    return c.select(c.builder.map(Op.LT, c.number(0.0, FLOAT), a), c.mul(a, scale), low)


def celu(c: Context, a: View, alpha: float = 1) -> View:
    """elu with input_scale 1 / alpha, in binary64."""
    return elu(c, a, alpha, 1, 1 / alpha)


def elu_backward(
    c: Context, grad: View, alpha: float, scale: float, input_scale: float, is_result: bool, a: View
) -> View:
    """grad * scale where 0 < a, else grad * (input_scale * alpha * scale) * exp(a * input_scale)."""
    if is_result:
        low = c.mul(c.mul(grad, input_scale), c.add(a, alpha * scale))
    else:
        low = c.mul(c.mul(grad, input_scale * alpha * scale), c.exp(c.mul(a, input_scale)))
    return c.select(c.builder.map(Op.LT, c.number(0.0, FLOAT), a), c.mul(grad, scale), low)


def hardtanh(c: Context, a: View, low: float = -1, high: float = 1) -> View:
    """min(max(a, low), high)."""
    return c.builder.map(Op.MIN, c.builder.map(Op.MAX, a, c.number(low, FLOAT)), c.number(high, FLOAT))


def hardtanh_backward(c: Context, grad: View, a: View, low: float, high: float) -> View:
    """grad where low < a < high, else 0."""
    above = c.builder.map(Op.LT, c.number(low, FLOAT), a)
    below = c.builder.map(Op.LT, a, c.number(high, FLOAT))
    inside = c.builder.map(Op.IAND, above, below, dtype=above.dtype)
    return c.select(inside, grad, c.number(0.0, FLOAT))


def log_sigmoid(c: Context, a: View) -> list[View]:
    """min(a, 0) - log1p(exp(-|a|)), each rounded."""
    z = c.exp(c.neg(c.builder.map(Op.ABS, a)))
    return [c.sub(c.builder.map(Op.MIN, a, c.number(0.0, FLOAT)), c.unary(Op.LOG1P, z)), z]


def log_sigmoid_backward(c: Context, grad: View, a: View, buffer: View) -> View:
    """z = exp(-|a|): grad * (1 - z / (1 + z)) where a < 0, else grad * (z / (1 + z))."""
    del buffer
    z = c.exp(c.neg(c.builder.map(Op.ABS, a)))
    ratio = c.div(z, c.add(1.0, z))
    negative = c.builder.map(Op.LT, a, c.number(0.0, FLOAT))
    return c.mul(grad, c.select(negative, c.sub(1.0, ratio), ratio))


def glu(c: Context, a: View, dim: int = -1) -> View:
    """The first half times the sigmoid of the second."""
    d, half = a.axis(dim), a.shape[a.axis(dim)] // 2
    return c.mul(a.slice(d, 0, half, 1), c.unary(Op.SIGMOID, a.slice(d, half, half, 1)))


def glu_backward(c: Context, grad: View, a: View, dim: int) -> View:
    """s = sigmoid(b) of the second half b, a the first: grad * s; (grad * a) * ((1 - s) * s)."""
    d, half = a.axis(dim), a.shape[a.axis(dim)] // 2
    s = c.unary(Op.SIGMOID, a.slice(d, half, half, 1))
    second = c.mul(c.mul(grad, a.slice(d, 0, half, 1)), c.mul(c.sub(1.0, s), s))
    return cat(c, [c.mul(grad, s), second], d)


def xlogy(c: Context, a: Operand, b: Operand) -> View:
    """NaN where b is NaN, 0 where a = 0, else a * log(b)."""
    x, y = c.floats(a, b)
    zero = c.builder.map(Op.EQ, x, c.number(0.0, FLOAT))
    value = c.select(zero, c.number(0.0, FLOAT), c.mul(x, c.unary(Op.LOG, y)))
    return c.select(c.builder.map(Op.EQ, y, y), value, y)


RULES: dict[str, Rule] = {
    "aten.addcmul.default": addcmul,
    "aten.addcdiv.default": addcdiv,
    "aten.lerp.Scalar": lerp,
    "aten.lerp.Tensor": lerp,
    "aten.sigmoid_backward.default": sigmoid_backward,
    "aten.tanh_backward.default": tanh_backward,
    "aten.silu.default": silu,
    "aten.silu_backward.default": silu_backward,
    "aten.gelu.default": gelu,
    "aten.gelu_backward.default": gelu_backward,
    "aten.elu.default": elu,
    "aten.celu.default": celu,
    "aten.elu_backward.default": elu_backward,
    "aten.hardtanh.default": hardtanh,
    "aten.hardtanh_backward.default": hardtanh_backward,
    "aten.log_sigmoid_forward.default": log_sigmoid,
    "aten.log_sigmoid_backward.default": log_sigmoid_backward,
    "aten.glu.default": glu,
    "aten.glu_backward.default": glu_backward,
    "aten.xlogy.Tensor": xlogy,
    "aten.hardsigmoid.default": hardsigmoid,
    "aten.hardsigmoid_backward.default": hardsigmoid_backward,
    "aten.hardswish.default": hardswish,
    "aten.hardswish_backward.default": hardswish_backward,
    "aten.mish.default": mish,
    "aten.mish_backward.default": mish_backward,
    "aten.softshrink.default": softshrink,
    "aten.softshrink_backward.default": shrink_backward,
    "aten.hardshrink.default": hardshrink,
    "aten.hardshrink_backward.default": shrink_backward,
    "aten.exp2.default": exp2,
    "aten.log2.default": log_to(2.0),
    "aten.log10.default": log_to(10.0),
    "aten.erfc.default": erfc,
    "aten.tan.default": tan,
    "aten.softplus.default": softplus,
    "aten.softplus_backward.default": softplus_backward,
}
