"""Walks a recorded step and lowers every operator by its rule."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import FakeTensor

from protocol.errors import UnsupportedError
from protocol.program.descriptor import Source
from prover.capture.advice import nearest_form
from prover.capture.columns import DATA_DTYPES
from prover.capture.inspection import words_of
from prover.capture.lowering import RULES
from prover.capture.lowering.context import Context, RefusedOperatorError
from prover.capture.noise import draws
from prover.capture.tracing import Trace
from prover.capture.views import View

_EMPTY = re.compile(r"aten\.(new_)?empty(_like|_strided|_permuted)?\.")
_OVERWRITES = re.compile(
    r"aten\.((copy|fill|zero|uniform|normal_functional|exponential|randn?_like)\.|bernoulli\.p)"
)


class Lowered:
    """The values of a recorded step as views."""

    def __init__(
        self,
        trace: Trace,
        context: Context,
        operands: Sequence[View],
        refused: list[UnsupportedError] | None = None,
    ) -> None:
        """Lower every node.

        Args:
            operands: one per placeholder of the trace.
            refused: where refused operators are collected. What they return is then taken as given, and
                operators that only inherit a shape or dtype without meaning are not named again.

        Raises:
            UnsupportedError: an operator without a rule, or used in a way that has none.
        """
        self._trace = trace
        self._context = context
        self._values: dict[fx.Node, Any] = dict(zip(trace.placeholders, operands, strict=True))
        for node in trace.module.graph.nodes:
            if node.op in ("call_function", "get_attr") and isinstance(_first(node), Tensor):
                self._values[node] = self._lower(node) if refused is None else self._tried(node, refused)

    def _tried(self, node: fx.Node, refused: list[UnsupportedError]) -> Any:
        """The node's value, or, where it is refused, stand-ins of its shape and dtype."""
        try:
            return self._lower(node)
        except RefusedOperatorError as error:
            strange = not _has_words(node)
            if not (strange and any(not _has_words(source) for source in node.all_input_nodes)):
                refused.append(error)
        value = node.meta.get("val")
        if isinstance(value, (tuple, list)):
            return [self._stand_in(part) for part in value]
        return self._stand_in(value)

    def _stand_in(self, value: Any) -> View | None:
        """A tensor of which nothing is known; sizes that depend on data count as 1."""
        if not isinstance(value, Tensor):
            return None
        shape = tuple(1 if isinstance(size, torch.SymInt) else size for size in value.shape)
        words = np.broadcast_to(np.zeros(1, np.uint32), (math.prod(shape),))
        return self._context.builder.input("refused", words, shape, value.dtype)

    def view(self, node: fx.Node) -> View:
        """Return where a node's tensor lives. Raises UnsupportedError if it is no tensor."""
        value = self._values.get(node)
        if not isinstance(value, View):
            raise UnsupportedError(f"{node.name} ({node.target}) is not a tensor; state and loss are tensors")
        return value

    def _lower(self, node: fx.Node) -> Any:
        context = self._context
        context.node = node
        target = str(node.target)
        context.builder.label = (
            f"{target.removeprefix('aten.').rpartition('.')[0] or target} {node.stack_trace or ''}".strip()
        )
        first = _first(node)
        if any(isinstance(size, torch.SymInt) for size in first.shape):
            raise context.unsupported(
                "its shape depends on the contents of a tensor; use torch.where or multiply by the mask"
            )
        if isinstance(node.meta.get("val"), Tensor) and 0 in first.shape:
            return View.dense(Source.INPUT, 0, tuple(first.shape), first.dtype)  # no word that could be read
        if node.op == "get_attr":
            return self._constant(node)
        if "getitem" in target:
            source, item = node.args
            return self._values[source][item]  # type: ignore[index]
        if target.startswith("aten.copy_"):
            return None  # the epilogue that writes results back to the inputs; they are outputs already
        _check_dtype(context, first)
        if _EMPTY.match(target):
            return None  # memory that nobody wrote: only operators that overwrite it may take it
        rule = RULES.get(target)
        if rule is None:
            if draws(node.target):
                raise context.unsupported(
                    "it draws random numbers that have no formula; use dropout, bernoulli, rand, randn, "
                    "uniform_, normal_ or exponential_, or make the noise a column of the dataset"
                )
            raise context.unsupported(f"it has no formula in specs/lowering.md; {nearest_form(target)}")
        args = fx.map_arg(node.args, self._value)
        kwargs = {k: v for k, v in fx.map_arg(node.kwargs, self._value).items() if k not in _PLACEMENT}
        context.rebound.clear()
        try:
            value = rule(context, *args, **kwargs)
        except TypeError as error:
            raise context.unsupported(f"used with arguments that have no formula ({error})") from error
        self._values.update(context.rebound)
        return value

    def _value(self, node: fx.Node) -> Any:
        value = self._values[node]
        current = self._context.node
        if value is None and current is not None and not _OVERWRITES.match(str(current.target)):
            raise self._context.unsupported(f"it reads memory that nobody wrote ({node.target}); use zeros")
        return value

    def _constant(self, node: fx.Node) -> View:
        tensor = getattr(self._trace.module, str(node.target))
        if isinstance(tensor, FakeTensor):
            raise self._context.unsupported(
                "it reads a tensor of an earlier step that a Python object kept; only state is carried from "
                "step to step, so register it as a buffer and write it in place"
            )
        if tensor.requires_grad:
            raise self._context.unsupported(
                "a trainable tensor is used that is not a parameter of the module; register it there"
            )
        _check_dtype(self._context, tensor)
        words = words_of(f"the constant at {node.stack_trace}", tensor)
        return self._context.builder.tensor(words, tuple(tensor.shape), tensor.dtype)


_PLACEMENT = frozenset({"layout", "device", "pin_memory", "memory_format", "non_blocking"})


def _first(node: fx.Node) -> Any:
    value = node.meta.get("val")
    if node.op == "get_attr" and not isinstance(value, Tensor):
        return torch.zeros(())
    if isinstance(value, (tuple, list)):
        return next((v for v in value if isinstance(v, Tensor)), None)
    return value


def _has_words(node: fx.Node) -> bool:
    """Whether a node's tensor has a fixed shape and a dtype with words."""
    value = _first(node)
    if not isinstance(value, Tensor):
        return True
    fixed = not any(isinstance(size, torch.SymInt) for size in value.shape)
    return fixed and value.dtype in DATA_DTYPES and value.layout == torch.strided


def _check_dtype(context: Context, tensor: Tensor) -> None:
    if tensor.dtype not in DATA_DTYPES or tensor.layout != torch.strided:
        raise context.unsupported(
            f"it gives a {tensor.layout} tensor of {tensor.dtype}, which has no meaning here; use dense "
            "float32"
        )
