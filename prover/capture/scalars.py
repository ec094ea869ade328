"""Python numbers that depend on the step alone, as a table (program.md, P-8; lowering.md, L-8).

An optimizer reads its step counter with `.item()` and goes on in Python floats. The trace keeps that
arithmetic; here
it is run for every step, in Python floats, and rounded to binary32 at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from protocol.commitments.canonical import Words
from protocol.errors import UnsupportedError
from prover.capture.builder import f32_words
from prover.capture.tracing import Trace

_ITEM = "aten._local_scalar_dense.default"
_TENSOR_OPS = frozenset(
    {
        "aten.add.Tensor",
        "aten.sub.Tensor",
        "aten.mul.Tensor",
        "aten.div.Tensor",
        "aten.neg.default",
        "aten.detach.default",
        "aten.alias.default",
        "aten.clone.default",
        "aten.scalar_tensor.default",
        "aten.full.default",
        "aten.view.default",
        "aten.select.int",
        "aten.lift_fresh_copy.default",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The step table.

    Attributes:
        words: uint32[T, k].
        columns: column of a number, by its stand-in and whether it is wanted as a float.
    """

    words: NDArray[np.uint32]
    columns: dict[tuple[float, bool], int]


def tabulate(trace: Trace, initial: Sequence[Tensor], steps: int) -> Table:
    """Evaluate every number of the trace for steps 0 .. T - 1.

    Args:
        initial: value of every slot before the first step.

    Raises:
        UnsupportedError: a number depends on more than the step.
    """
    used = {arg for node in trace.module.graph.nodes for arg in _numbers(node)}
    numbers = {stand_in: node for stand_in, node in trace.numbers.items() if stand_in in used}
    values = _run(trace, list(numbers.values()), initial, steps)
    distinct: dict[bytes, int] = {}
    columns: dict[tuple[float, bool], int] = {}
    kept: list[Words] = []
    encoded: dict[tuple[int, bool], Words] = {}  # numbers that are alike share one list
    for stand_in, column in zip(numbers, values, strict=True):
        for as_float in (True, False) if isinstance(column[0], int) else (True,):
            words = encoded.get((id(column), as_float))
            if words is None:
                words = f32_words(column) if as_float else _integer_words(column)
                encoded[id(column), as_float] = words
            number = distinct.setdefault(words.tobytes(), len(kept))
            if number == len(kept):
                kept.append(words)
            columns[stand_in, as_float] = number
    table = np.stack(kept, axis=1) if kept else np.zeros((steps, 0), np.uint32)
    return Table(words=table, columns=columns)


def _integer_words(column: Sequence[int]) -> Words:
    return np.array([int(v) & 0xFFFFFFFF for v in column], dtype=np.uint32)


def _numbers(node: fx.Node) -> list[float]:
    if node.op != "call_function":
        return []
    return [a for a in (*node.args, *node.kwargs.values()) if isinstance(a, (int, float))]


def _run(trace: Trace, wanted: list[fx.Node], initial: Sequence[Tensor], steps: int) -> list[list[Any]]:
    """Values of the wanted nodes, one list of T numbers each."""
    slots = {node: i for i, node in enumerate(trace.placeholders[: len(initial)])}
    order = _needed(trace, wanted, slots)
    alike = _alike(trace, order, initial, slots)
    chosen = [node for node in order if alike[node] is node]
    read = [node for node in chosen if node in slots]
    rest = [node for node in chosen if node not in slots and node not in trace.options]
    current = {node: initial[slots[node]].detach().clone() for node in read}
    columns: dict[fx.Node, list[Any]] = {alike[node]: [] for node in wanted}
    with torch.no_grad():
        for step in range(steps):
            env: dict[fx.Node, Any] = dict(current)
            for option, values in trace.options.items():
                env[option] = torch.tensor(values[step], dtype=torch.float64)
            for node in rest:
                env[node] = _value(trace, node, alike, env)
            for node, column in columns.items():
                column.append(env[node])
            current = {node: env[alike[trace.after[slots[node]]]] for node in read}
    return [columns[alike[node]] for node in wanted]


def _alike(
    trace: Trace, order: Sequence[fx.Node], initial: Sequence[Tensor], slots: dict[fx.Node, int]
) -> dict[fx.Node, fx.Node]:
    """For every node the first one that has the same value at every step.

    Slots count as alike while they start with the same bits and go on by the same expression of alike slots.
    """
    starts = {node: initial[slots[node]] for node in order if node in slots}
    label: dict[fx.Node, Any] = {
        node: (str(t.dtype), t.shape, t.numpy().tobytes()) for node, t in starts.items()
    }
    while True:
        numbers: dict[fx.Node, int] = {}
        known: dict[Any, int] = {}
        for node in order:
            key = label[node] if node in label else _expression(trace, node, numbers)
            numbers[node] = known.setdefault(key, len(known))
        finer = {node: (label[node], numbers[trace.after[slots[node]]]) for node in label}
        if len(set(finer.values())) == len(set(label.values())):
            first = {numbers[node]: node for node in reversed(order)}
            return {node: first[numbers[node]] for node in order}
        label = dict(finer)


def _expression(trace: Trace, node: fx.Node, numbers: dict[fx.Node, int]) -> tuple[str, ...]:
    """What a node computes, its operands by number."""
    if node in trace.options:
        return (node.name,)

    def marked(value: Any) -> Any:
        source = trace.numbers.get(value) if isinstance(value, (int, float)) else None
        return value if source is None else f"%{numbers[source]}"

    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda operand: f"%{numbers[operand]}")
    plain = [marked(a) for a in args], {k: marked(v) for k, v in kwargs.items()}
    return (node.op, str(node.target), repr(plain))


def _value(trace: Trace, node: fx.Node, alike: dict[fx.Node, fx.Node], env: dict[fx.Node, Any]) -> Any:
    if node.op == "get_attr":
        return getattr(trace.module, str(node.target)).detach()

    def known(value: Any) -> Any:
        source = trace.numbers.get(value) if isinstance(value, (int, float)) else None
        return value if source is None else env[alike[source]]

    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda operand: env[alike[operand]])
    operands = [known(a) for a in args]
    try:
        return node.target(*operands, **{k: known(v) for k, v in kwargs.items()})  # type: ignore[operator]
    except (ArithmeticError, ValueError, TypeError) as error:
        raise UnsupportedError(
            f"the number {node.name} = {node.target}{tuple(operands)} cannot be computed for some step: "
            f"{error}; it must be a number at every step of the job"
        ) from error


def _needed(trace: Trace, wanted: Sequence[fx.Node], slots: dict[fx.Node, int]) -> list[fx.Node]:
    """Everything that the numbers depend on over all steps, in graph order."""
    found: set[fx.Node] = set()
    stack = list(wanted)
    while stack:
        node = stack.pop()
        if node in found:
            continue
        found.add(node)
        if node in slots:
            stack.append(trace.after[slots[node]])
            continue
        if node in trace.options:
            continue
        _check(node)
        stack.extend(node.all_input_nodes)
        stack.extend(trace.numbers[a] for a in _numbers(node) if a in trace.numbers)
    return [node for node in trace.module.graph.nodes if node in found]


def _check(node: fx.Node) -> None:
    target = str(node.target)
    if node.op == "get_attr" or target == _ITEM or not target.startswith("aten."):
        if node.op == "placeholder":
            raise _depends(node)
        return
    value = node.meta.get("val")
    alpha = node.kwargs.get("alpha", 1)
    if target not in _TENSOR_OPS or alpha != 1 or (isinstance(value, Tensor) and value.numel() > 64):
        raise _depends(node)


def _depends(node: fx.Node) -> UnsupportedError:
    return UnsupportedError(
        f"{node.stack_trace or 'step'}: a Python number comes from the tensor {node.name} ({node.target}), "
        "which is not a step counter; only numbers that depend on the step alone can be Python numbers. "
        "Keep it a tensor"
    )
