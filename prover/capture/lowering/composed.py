"""Operators that a chain of primitives stands for: activations, optimizer updates (lowering.md, L-30 to
L-39).
"""

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
    "aten.softplus.default": softplus,
    "aten.softplus_backward.default": softplus_backward,
}
