"""Operators that a chain of primitives stands for: activations, updates (lowering.md, L-30 to L-39)."""

from __future__ import annotations

from protocol.numerics.opcodes import Op
from prover.capture.lowering.context import FLOAT, Context, Operand, Rule
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


def sigmoid(c: Context, a: View) -> View:
    """1 / (1 + exp(-a)), each rounded."""
    return c.div(1.0, c.add(1.0, c.exp(c.neg(a))))


def sigmoid_backward(c: Context, grad: View, out: View) -> View:
    """(grad * (1 - out)) * out, each rounded."""
    return c.mul(c.mul(grad, c.sub(1.0, out)), out)


def tanh(c: Context, a: View) -> View:
    """2 / (1 + exp(-2 * a)) - 1, each rounded."""
    return c.sub(c.div(2.0, c.add(1.0, c.exp(c.mul(a, -2.0)))), 1.0)


def tanh_backward(c: Context, grad: View, out: View) -> View:
    """grad * (1 - out * out), each rounded."""
    return c.mul(grad, c.sub(1.0, c.mul(out, out)))


def silu(c: Context, a: View) -> View:
    """a / (1 + exp(-a)), each rounded."""
    return c.div(a, c.add(1.0, c.exp(c.neg(a))))


def silu_backward(c: Context, grad: View, a: View) -> View:
    """s = sigmoid(a): (grad * s) * (1 + a * (1 - s)), each rounded."""
    s = sigmoid(c, a)
    return c.mul(c.mul(grad, s), c.add(1.0, c.mul(a, c.sub(1.0, s))))


_SQRT_2_OVER_PI = 0.7978845608028654
_CUBIC = 0.044715


def _gelu_tanh(c: Context, a: View) -> View:
    inner = c.add(a, c.mul(_CUBIC, c.mul(c.mul(a, a), a)))
    return tanh(c, c.mul(_SQRT_2_OVER_PI, inner))


def gelu(c: Context, a: View, approximate: str = "none") -> View:
    """(0.5 * a) * (1 + tanh(sqrt(2 / pi) * (a + 0.044715 * a ** 3))), each rounded."""
    if approximate != "tanh":
        raise c.unsupported("the error function has no formula; use GELU(approximate='tanh')")
    return c.mul(c.mul(0.5, a), c.add(1.0, _gelu_tanh(c, a)))


def gelu_backward(c: Context, grad: View, a: View, approximate: str = "none") -> View:
    """The derivative of the above, term by term."""
    if approximate != "tanh":
        raise c.unsupported("the error function has no formula; use GELU(approximate='tanh')")
    t = _gelu_tanh(c, a)
    left = c.mul(0.5, c.add(1.0, t))
    slope = c.mul(_SQRT_2_OVER_PI, c.add(1.0, c.mul(3 * _CUBIC, c.mul(a, a))))
    right = c.mul(c.mul(c.mul(0.5, a), c.sub(1.0, c.mul(t, t))), slope)
    return c.mul(grad, c.add(left, right))


def log1p(c: Context, a: View) -> View:
    """log(1 + a), each rounded."""
    return c.builder.map(Op.LOG, c.add(1.0, a))


def softplus(c: Context, a: View, beta: float = 1, threshold: float = 20) -> View:
    """a where beta * a > threshold, else log(1 + exp(beta * a)) / beta, each rounded."""
    scaled = c.mul(a, beta)
    value = log1p(c, c.exp(scaled))
    value = value if beta == 1 else c.div(value, beta)
    return c.select(c.builder.map(Op.LT, c.number(threshold, FLOAT), scaled), a, value)


def softplus_backward(c: Context, grad: View, a: View, beta: float, threshold: float) -> View:
    """grad where beta * a > threshold, else grad * z / (z + 1) with z = exp(beta * a), each rounded."""
    scaled = c.mul(a, beta)
    z = c.exp(scaled)
    value = c.div(c.mul(grad, z), c.add(z, 1.0))
    return c.select(c.builder.map(Op.LT, c.number(threshold, FLOAT), scaled), grad, value)


def elu(c: Context, a: View, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> View:
    """a * scale where 0 < a, else (exp(a * input_scale) - 1) * (alpha * scale), each rounded."""
    low = c.mul(c.sub(c.exp(c.mul(a, input_scale)), 1.0), alpha * scale)
    return c.select(c.builder.map(Op.LT, c.number(0.0, FLOAT), a), c.mul(a, scale), low)


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
    """min(a, 0) - log(1 + exp(-|a|)), each rounded."""
    z = c.exp(c.neg(c.builder.map(Op.ABS, a)))
    return [c.sub(c.builder.map(Op.MIN, a, c.number(0.0, FLOAT)), log1p(c, z)), z]


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
    return c.mul(a.slice(d, 0, half, 1), sigmoid(c, a.slice(d, half, half, 1)))


def xlogy(c: Context, a: Operand, b: Operand) -> View:
    """NaN where b is NaN, 0 where a = 0, else a * log(b)."""
    x, y = c.floats(a, b)
    zero = c.builder.map(Op.EQ, x, c.number(0.0, FLOAT))
    value = c.select(zero, c.number(0.0, FLOAT), c.mul(x, c.builder.map(Op.LOG, y)))
    return c.select(c.builder.map(Op.EQ, y, y), value, y)


RULES: dict[str, Rule] = {
    "aten.addcmul.default": addcmul,
    "aten.addcdiv.default": addcdiv,
    "aten.lerp.Scalar": lerp,
    "aten.lerp.Tensor": lerp,
    "aten.sigmoid.default": sigmoid,
    "aten.sigmoid_backward.default": sigmoid_backward,
    "aten.tanh.default": tanh,
    "aten.tanh_backward.default": tanh_backward,
    "aten.silu.default": silu,
    "aten.silu_backward.default": silu_backward,
    "aten.gelu.default": gelu,
    "aten.gelu_backward.default": gelu_backward,
    "aten.log1p.default": log1p,
    "aten.elu.default": elu,
    "aten.elu_backward.default": elu_backward,
    "aten.hardtanh.default": hardtanh,
    "aten.hardtanh_backward.default": hardtanh_backward,
    "aten.log_sigmoid_forward.default": log_sigmoid,
    "aten.log_sigmoid_backward.default": log_sigmoid_backward,
    "aten.glu.default": glu,
    "aten.xlogy.Tensor": xlogy,
    "aten.softplus.default": softplus,
    "aten.softplus_backward.default": softplus_backward,
}
