"""Element-wise operators (lowering.md, L-20 to L-28).

A rule takes the context, then the operator's own arguments.
"""

from __future__ import annotations

import math
from typing import Any, Final

import torch

from protocol.numerics.opcodes import Op
from prover.capture.lowering.context import FLOAT, Context, Operand, Rule
from prover.capture.views import View

MOST_PRODUCTS: Final = 64
"""The largest whole exponent that is a chain of products (L-23)."""


def add(c: Context, a: Operand, b: Operand, alpha: float = 1) -> View:
    """round(a + round(alpha * b))."""
    if alpha == -1:
        return sub(c, a, b)
    return c.arithmetic(Op.ADD, Op.IADD, a, b if alpha == 1 else _scaled(c, b, alpha))


def sub(c: Context, a: Operand, b: Operand, alpha: float = 1) -> View:
    """round(a - round(alpha * b))."""
    return c.arithmetic(Op.SUB, Op.ISUB, a, b if alpha == 1 else _scaled(c, b, alpha))


def rsub(c: Context, a: Operand, b: Operand, alpha: float = 1) -> View:
    """round(b - round(alpha * a))."""
    return sub(c, b, a, alpha)


def _scaled(c: Context, b: Operand, alpha: float) -> View:
    return c.arithmetic(Op.MUL, Op.IMUL, b, alpha)


def mul(c: Context, a: Operand, b: Operand) -> View:
    """round(a * b); the logical and of bools."""
    if c.dtype == torch.bool:
        return logical_and(c, a, b)
    return c.arithmetic(Op.MUL, Op.IMUL, a, b)


def div(c: Context, a: Operand, b: Operand) -> View:
    """round(a / b)."""
    return c.div(a, b)


def neg(c: Context, a: View) -> View:
    """-a."""
    if c.dtype.is_floating_point:
        return c.neg(a)
    return c.arithmetic(Op.SUB, Op.ISUB, 0, a)


def unary(op: Op) -> Rule:
    """Return the rule of a float primitive."""

    def rule(c: Context, a: View) -> View:
        if not c.dtype.is_floating_point:
            raise c.unsupported(f"it has no meaning on {c.dtype}; convert the tensor to float32 first")
        return c.builder.map(op, *c.floats(a))

    return rule


def reciprocal(c: Context, a: View) -> View:
    """1 / a."""
    return c.div(1.0, a)


def power(c: Context, a: Operand, exponent: Operand) -> View:
    """a ** exponent: products for whole exponents, roots for halves, else exp(exponent * log(a)) (L-23)."""
    if not c.dtype.is_floating_point:
        raise c.unsupported(f"it has no meaning on {c.dtype}; convert the tensor to float32 first")
    if isinstance(exponent, View):
        if isinstance(a, View) or a <= 0:
            raise c.unsupported(
                "a tensor as exponent has a formula only over a positive number; write exp(b * log(a)) where "
                "a is positive"
            )
        return c.exp(c.mul(exponent, math.log(a)))
    if not isinstance(a, View):
        raise c.unsupported("a number to the power of a number is no tensor")
    return _power(c, c.floats(a)[0], float(exponent))


def _power(c: Context, a: View, exponent: float) -> View:
    size = abs(exponent)
    if size == 0:
        return c.number(1.0, FLOAT).broadcast(a.shape)
    if size == int(size) and size <= MOST_PRODUCTS:
        value = _whole_power(c, a, int(size))
    elif size in (0.5, 1.5):
        if exponent == -0.5:
            return c.unary(Op.RSQRT, a)
        value = c.sqrt(a) if size == 0.5 else c.mul(a, c.sqrt(a))
    elif size == int(size):
        raise c.unsupported(f"whole exponents go up to {MOST_PRODUCTS}; {exponent} has no formula")
    else:
        return c.exp(c.mul(exponent, c.unary(Op.LOG, a)))
    return c.div(1.0, value) if exponent < 0 else value


def _whole_power(c: Context, a: View, exponent: int) -> View:
    """Products of a, a * a, (a * a) * (a * a), ... for the binary digits of the exponent, largest first."""
    squares = [a]
    while 2 ** len(squares) <= exponent:
        squares.append(c.mul(squares[-1], squares[-1]))
    chosen = [square for digit, square in enumerate(squares) if exponent >> digit & 1]
    result = chosen.pop()
    while chosen:
        result = c.mul(result, chosen.pop())
    return result


def maximum(c: Context, a: Operand, b: Operand) -> View:
    """The larger; NaN wins."""
    return _extreme(c, Op.MAX, a, b)


def minimum(c: Context, a: Operand, b: Operand) -> View:
    """The smaller; NaN wins."""
    return _extreme(c, Op.MIN, a, b)


def _extreme(c: Context, op: Op, a: Operand, b: Operand) -> View:
    if c.dtype.is_floating_point:
        return c.builder.map(op, *c.floats(a, b))
    x, y = c.operand(a, c.dtype), c.operand(b, c.dtype)
    low, high = (y, x) if op is Op.MAX else (x, y)
    return c.select(c.builder.map(Op.ILT, low, high), x, y)


def clamp(c: Context, a: View, low: Operand | None = None, high: Operand | None = None) -> View:
    """min(max(a, low), high)."""
    value: View = a
    if low is not None:
        value = _extreme(c, Op.MAX, value, low)
    if high is not None:
        value = _extreme(c, Op.MIN, value, high)
    return value


def clamp_max(c: Context, a: View, high: Operand) -> View:
    """min(a, high)."""
    return _extreme(c, Op.MIN, a, high)


def relu(c: Context, a: View) -> View:
    """max(a, 0)."""
    return _extreme(c, Op.MAX, a, 0)


def threshold_backward(c: Context, grad: View, a: View, threshold: float) -> View:
    """0 where a <= threshold, else grad."""
    below = c.builder.map(Op.LE, a, c.number(threshold, FLOAT))
    return c.select(below, c.number(0.0, FLOAT), grad)


def threshold(c: Context, a: View, limit: float, value: float) -> View:
    """value where a <= limit, else a."""
    below = c.builder.map(Op.LE, a, c.number(limit, FLOAT))
    return c.select(below, c.number(value, FLOAT), a)


def leaky_relu(c: Context, a: View, slope: float = 0.01) -> View:
    """a where 0 < a, else round(a * slope)."""
    return c.select(c.builder.map(Op.LT, c.number(0.0, FLOAT), a), a, c.mul(a, slope))


def leaky_relu_backward(c: Context, grad: View, a: View, slope: float, is_result: bool) -> View:
    """grad where 0 < a, else round(grad * slope)."""
    del is_result  # the sign of the result is the sign of a for the slopes that torch allows here
    return c.select(c.builder.map(Op.LT, c.number(0.0, FLOAT), a), grad, c.mul(grad, slope))


def where(c: Context, condition: View, a: Operand, b: Operand) -> View:
    """a where the condition holds, else b."""
    return c.select(condition, c.operand(a, c.dtype), c.operand(b, c.dtype))


def masked_fill(c: Context, a: View, mask: View, value: Operand) -> View:
    """value where the mask holds, else a."""
    return c.select(mask, c.operand(value, c.dtype), a)


def compare(floating: Op, integer: Op, *, swap: bool = False, negate: bool = False) -> Rule:
    """Return the rule of a comparison; `swap` exchanges the operands, `negate` the answer of equality."""

    def rule(c: Context, a: Operand, b: Operand) -> View:
        dtype = c.common(a, b)
        x, y = c.operand(a, dtype), c.operand(b, dtype)
        if swap:
            x, y = y, x
        if dtype.is_floating_point:
            answer = c.builder.map(floating, x, y)
        elif integer is Op.IEQ:
            answer = c.builder.map(Op.IEQ, x, y)
        elif floating is Op.LT:
            answer = c.builder.map(Op.ILT, x, y)
        else:  # x <= y is not y < x
            answer = c.negation(c.builder.map(Op.ILT, y, x))
        return c.negation(answer) if negate else answer

    return rule


def logical_not(c: Context, a: View) -> View:
    """1 where a is zero, else 0."""
    return c.negation(c.cast(a, torch.bool))


def logical_and(c: Context, a: Operand, b: Operand) -> View:
    """Both are not zero."""
    return c.builder.map(Op.IAND, c.operand(a, torch.bool), c.operand(b, torch.bool), dtype=torch.bool)


def logical_or(c: Context, a: Operand, b: Operand) -> View:
    """One is not zero."""
    return c.builder.map(Op.IOR, c.operand(a, torch.bool), c.operand(b, torch.bool), dtype=torch.bool)


def bitwise(logical: Rule) -> Rule:
    """Return the logical rule, for bools only."""

    def rule(c: Context, *operands: Operand) -> View:
        if c.dtype != torch.bool:
            raise c.unsupported("bits of integers have no formula; it is defined on bools")
        return logical(c, *operands)  # type: ignore[no-any-return]

    return rule


def convert(c: Context, a: View, **options: Any) -> View:
    """The tensor in the result's dtype."""
    del options
    return c.cast(a, c.dtype)


def sign(c: Context, a: View) -> View:
    """(0 < a) - (a < 0)."""
    zero = c.number(0.0, FLOAT)
    positive, negative = c.builder.map(Op.LT, zero, a), c.builder.map(Op.LT, a, zero)
    difference = c.builder.map(Op.ISUB, positive, negative, dtype=torch.int64)
    return c.cast(difference, FLOAT)


def abs_(c: Context, a: View) -> View:
    """|a|."""
    return unary(Op.ABS)(c, a)  # type: ignore[no-any-return]


_OVERLOADS: dict[str, Rule] = {
    "add.Tensor add.Scalar": add,
    "sub.Tensor sub.Scalar": sub,
    "rsub.Tensor rsub.Scalar": rsub,
    "mul.Tensor mul.Scalar": mul,
    "div.Tensor div.Scalar": div,
    "neg.default": neg,
    "abs.default": abs_,
    "sqrt.default": unary(Op.SQRT),
    "exp.default": unary(Op.EXP),
    "log.default": unary(Op.LOG),
    "reciprocal.default": reciprocal,
    "rsqrt.default": unary(Op.RSQRT),
    "expm1.default": unary(Op.EXPM1),
    "log1p.default": unary(Op.LOG1P),
    "tanh.default": unary(Op.TANH),
    "sigmoid.default": unary(Op.SIGMOID),
    "erf.default": unary(Op.ERF),
    "sin.default": unary(Op.SIN),
    "cos.default": unary(Op.COS),
    "pow.Tensor_Scalar pow.Scalar pow.Tensor_Tensor": power,
    "maximum.default": maximum,
    "minimum.default": minimum,
    "clamp.default clamp.Tensor": clamp,
    "clamp_min.default clamp_min.Tensor": maximum,
    "clamp_max.default clamp_max.Tensor": clamp_max,
    "relu.default": relu,
    "threshold.default": threshold,
    "threshold_backward.default": threshold_backward,
    "leaky_relu.default": leaky_relu,
    "leaky_relu_backward.default": leaky_relu_backward,
    "where.self where.ScalarSelf where.ScalarOther where.Scalar": where,
    "masked_fill.Scalar masked_fill.Tensor": masked_fill,
    "eq.Tensor eq.Scalar": compare(Op.EQ, Op.IEQ),
    "ne.Tensor ne.Scalar": compare(Op.EQ, Op.IEQ, negate=True),
    "lt.Tensor lt.Scalar": compare(Op.LT, Op.ILT),
    "le.Tensor le.Scalar": compare(Op.LE, Op.ILT),
    "gt.Tensor gt.Scalar": compare(Op.LT, Op.ILT, swap=True),
    "ge.Tensor ge.Scalar": compare(Op.LE, Op.ILT, swap=True),
    "logical_not.default": logical_not,
    "logical_and.default": logical_and,
    "logical_or.default": logical_or,
    "bitwise_not.default": bitwise(logical_not),
    "bitwise_and.Tensor bitwise_and.Scalar": bitwise(logical_and),
    "bitwise_or.Tensor bitwise_or.Scalar": bitwise(logical_or),
    "_to_copy.default": convert,
    "sign.default sgn.default": sign,
}

RULES: dict[str, Rule] = {
    f"aten.{name}": rule for names, rule in _OVERLOADS.items() for name in names.split()
}
