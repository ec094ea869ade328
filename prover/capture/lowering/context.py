"""What a lowering rule works with: operands as views, numbers as constants, one node after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx

from protocol.errors import UnsupportedError
from protocol.numerics.opcodes import Op
from protocol.program.descriptor import Leaf, LeafKind
from prover.capture.builder import STEP_TABLE, Builder, index_leaf
from prover.capture.recorder import DRAW
from prover.capture.scalars import Table
from prover.capture.views import Shape, View

Operand: TypeAlias = View | float
Rule: TypeAlias = Callable[..., Any]

FLOAT = torch.float32
_ARITHMETIC = (torch.float32, torch.int64, torch.int32, torch.bool)
_DATA = (*_ARITHMETIC, torch.uint8, torch.int8, torch.int16)


class RefusedOperatorError(UnsupportedError):
    """An operator that has no formula, or none for its use.

    Attributes:
        operator: its full name, such as ``aten.atan.default``.
        line: ``file:line`` in the user's code, or ``backward``.
        reason: why, and what can be used instead.
    """

    def __init__(self, operator: str, line: str, reason: str) -> None:
        super().__init__(f"operator {operator} at {line}: {reason}")
        self.operator, self.line, self.reason = operator, line, reason


class Context:
    """Lowers one recorded operator at a time.

    Attributes:
        builder: where nodes go.
        node: the operator at work.
        rebound: operands that the operator at work writes into, with their new values.
        noise_seed: of the random numbers (L-70).
    """

    def __init__(self, builder: Builder, table: Table, noise_seed: int = 0) -> None:
        self.builder = builder
        self.noise_seed = noise_seed
        self.node: fx.Node | None = None
        self.rebound: list[tuple[fx.Node, View]] = []
        self._columns = table.columns
        self._row: View | None = None
        if table.words.shape[1]:
            builder.label = STEP_TABLE
            source = builder.input(STEP_TABLE, table.words.ravel(), table.words.shape, FLOAT)
            self._row = gather_rows(builder, source, index_leaf((0,), kind=LeafKind.STEP), ())

    @property
    def result(self) -> Tensor:
        """The fake tensor that the operator returns (the first one of several)."""
        value = self.node.meta["val"] if self.node is not None else None
        first = value[0] if isinstance(value, (tuple, list)) else value
        if not isinstance(first, Tensor):
            raise self.unsupported("it does not return a tensor")
        return first

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the result."""
        return self.result.dtype

    @property
    def shape(self) -> Shape:
        """Shape of the result."""
        return tuple(self.result.shape)

    @property
    def draw(self) -> int:
        """Number of the draw that the operator is (L-70)."""
        meta = self.node.meta.get("custom", {}) if self.node is not None else {}
        if DRAW not in meta:
            raise self.unsupported("it draws random numbers outside the training step; draw them in forward")
        return int(meta[DRAW])

    def rebind(self, place: int, value: View) -> None:
        """Say that the operator writes a new value into its argument number `place` (batch statistics)."""
        node = self.node.args[place] if self.node is not None else None
        if not isinstance(node, fx.Node) or node.op != "placeholder":
            raise self.unsupported("it writes into a tensor that is not a buffer of the module")
        self.rebound.append((node, value))

    def users(self, item: int) -> list[str]:
        """Return the operators that use one of several results."""
        taken = [user for user in (self.node.users if self.node is not None else ()) if user.args[1] == item]
        return [str(user.target) for getitem in taken for user in getitem.users]

    def unsupported(self, why: str) -> RefusedOperatorError:
        """Return the error that names the operator, the user's line and the reason."""
        target = self.node.target if self.node is not None else "step"
        line = (self.node.stack_trace if self.node is not None else "") or "backward"
        return RefusedOperatorError(str(target), line, why)

    def number(self, value: float, dtype: torch.dtype) -> View:
        """Return the operand for a Python number: a constant, or a word of this step's table row (L-2)."""
        column = self._columns.get((value, dtype.is_floating_point))
        if column is not None and self._row is not None:
            return replace(self._row.select(0, column), dtype=dtype)
        if not dtype.is_floating_point and value != int(value):
            raise self.unsupported(f"the number {value} meets a tensor of {dtype}; use floats")
        return self.builder.constant(value, dtype)

    def operand(self, value: Operand, dtype: torch.dtype) -> View:
        """Return a view or number as an operand of this dtype, converted if need be (L-11)."""
        return self.cast(value, dtype) if isinstance(value, View) else self.number(value, dtype)

    def floats(self, *values: Operand) -> list[View]:
        """Return operands as float32."""
        return [self.operand(value, FLOAT) for value in values]

    def cast(self, view: View, dtype: torch.dtype) -> View:
        """Return a view converted to a dtype (L-11)."""
        if dtype not in _DATA:
            raise self.unsupported(f"{dtype} has no meaning here; use float32")
        if view.dtype == dtype:
            return view
        if dtype.is_floating_point:
            return self.builder.map(Op.I2F, view, dtype=dtype)
        if view.dtype.is_floating_point:
            if dtype != torch.bool:
                raise self.unsupported("floats cannot become integers; keep the tensor float32")
            zero = self.builder.map(Op.EQ, view, self.number(0.0, FLOAT))
            return self.negation(zero)
        if dtype == torch.bool:
            return self.negation(self.negation(view))
        if dtype not in _ARITHMETIC:
            raise self.unsupported(f"narrowing to {dtype} has no meaning here; use int64")
        return replace(view, dtype=dtype)

    def negation(self, view: View) -> View:
        """Return the integer word 1 where a word is 0, else 0."""
        return self.builder.map(Op.IEQ, view, self.number(0, torch.int64), dtype=torch.bool)

    def common(self, *values: Operand) -> torch.dtype:
        """Return the dtype that operands of a comparison are brought to."""
        views = [v.dtype for v in values if isinstance(v, View)]
        real = any(d.is_floating_point for d in views) or any(
            isinstance(v, float) for v in values if not isinstance(v, View)
        )
        return FLOAT if real else torch.int64

    def arithmetic(self, floating: Op, integer: Op | None, *values: Operand) -> View:
        """Return the node of one primitive in the result's dtype."""
        dtype = self.dtype
        if dtype.is_floating_point:
            return self.builder.map(floating, *self.floats(*values))
        if integer is None or dtype not in (torch.int64, torch.int32):
            raise self.unsupported(f"it has no meaning on {dtype}; convert the tensor to float32 first")
        return self.builder.map(integer, *(self.operand(v, dtype) for v in values), dtype=dtype)

    # Float primitives by name, so that the formulas in the rules read like those in lowering.md.

    def add(self, a: Operand, b: Operand) -> View:
        """a + b in float32."""
        return self.builder.map(Op.ADD, *self.floats(a, b))

    def sub(self, a: Operand, b: Operand) -> View:
        """a - b in float32."""
        return self.builder.map(Op.SUB, *self.floats(a, b))

    def mul(self, a: Operand, b: Operand) -> View:
        """a * b in float32; a factor that is the number 1 costs no node."""
        if not isinstance(b, View) and b == 1:
            return self.floats(a)[0]
        if not isinstance(a, View) and a == 1:
            return self.floats(b)[0]
        return self.builder.map(Op.MUL, *self.floats(a, b))

    def div(self, a: Operand, b: Operand) -> View:
        """a / b in float32."""
        return self.builder.map(Op.DIV, *self.floats(a, b))

    def neg(self, a: Operand) -> View:
        """-a in float32."""
        return self.builder.map(Op.NEG, *self.floats(a))

    def unary(self, op: Op, a: Operand) -> View:
        """A primitive of one operand in float32."""
        return self.builder.map(op, *self.floats(a))

    def exp(self, a: Operand) -> View:
        """e ** a in float32."""
        return self.builder.map(Op.EXP, *self.floats(a))

    def sqrt(self, a: Operand) -> View:
        """Square root in float32."""
        return self.builder.map(Op.SQRT, *self.floats(a))

    def select(self, condition: View, a: View, b: View) -> View:
        """a where the condition is not the word 0, else b."""
        return self.builder.map(Op.SELECT, condition, a, b, dtype=b.dtype)


def gather_rows(builder: Builder, source: View, row: Leaf, loops: Shape) -> View:
    """Add the node that copies rows of a dense tensor: [rows, ...] to loops + [...] (P-3, P-4).

    Args:
        row: leaf that gives the row, one stride per loop of `loops` and one for the words of a row.
    """
    rows, width = source.shape[0], source.extent // source.shape[0]
    n = len(loops)
    leaf = Leaf(
        source=source.source,
        source_id=source.source_id,
        gather_dim=0,
        gather_leaf=0,
        offsets=(0, 0),
        sizes=(rows, width),
        divisors=(1, 1),
        strides=((0,) * (n + 1), (*(0,) * n, 1)),
    )
    out = builder.node([1, Op.COPY], [row, leaf], (*loops, width), dtype=source.dtype)
    return out.reshape((*loops, *source.shape[1:])) or out


def merged(*tables: Mapping[str, Rule]) -> dict[str, Rule]:
    """Return one table of rules; an operator named twice is a mistake of the package."""
    rules: dict[str, Rule] = {}
    for table in tables:
        for name, rule in table.items():
            if name in rules:
                raise ValueError(f"two rules for {name}")
            rules[name] = rule
    return rules
