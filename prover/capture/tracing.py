"""Records one whole training step as a graph of aten operators (lowering.md, L-5).

The live module and optimizer run on fake tensors that stand for the slots and the batch: forward,
    `backward()`,
`step()`. Nothing is decomposed. A second pass makes the graph functional: no operator writes into its
operands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode, ShapeEnv

from protocol.errors import GavelError, UnsupportedError
from prover.capture.isolation import Training
from prover.capture.recorder import StepRecorder, line_of_error
from prover.capture.schedules import Option, Schedule
from prover.capture.slots import OptimizerState


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The recorded step.

    Attributes:
        module: holds the constants that the graph names; graph: functional, dead code removed.
        placeholders: parameters, buffers, optimizer slots, then columns.
        options: scheduled options of the optimizer, with their value at every step.
        loss: node of the loss; gradients: per parameter its gradient's node, or None; after: per slot its
            next value.
        numbers: Python numbers computed from the state, by the stand-in that operators take in their place.
    """

    module: fx.GraphModule
    placeholders: tuple[fx.Node, ...]
    options: dict[fx.Node, list[float]]
    loss: fx.Node
    gradients: tuple[fx.Node | None, ...]
    after: tuple[fx.Node, ...]
    numbers: dict[float, fx.Node]


def forward_loss(training: Training, columns: Sequence[Tensor]) -> Tensor:
    """Run module and loss: all columns but the last go into the module, the last into the loss.

    A single column is both.
    """
    inputs = columns[:-1] if len(columns) > 1 else columns
    loss = training.loss(training.module(*inputs), columns[-1])
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise UnsupportedError(
            "the loss is not a tensor of one element; reduce it (mean or sum) before returning it"
        )
    return loss


def forward_backward(training: Training, columns: Sequence[Tensor]) -> Tensor:
    """Run module, loss, backward pass and what follows it, and return the loss (L-13).

    The gradients are those of the loss; of `accumulate` > 1 parts of the batch each loss is divided by their
    number, and gradients and losses add up.
    """
    parts = training.accumulate
    size = columns[0].shape[0] // parts
    total: Tensor | None = None
    for part in range(parts):
        rows = [column[part * size : (part + 1) * size] if parts > 1 else column for column in columns]
        loss = forward_loss(training, rows)
        loss = loss / parts if parts > 1 else loss
        torch.autograd.backward(loss)
        total = loss.detach() if total is None else total + loss.detach()
    if training.after_backward is not None:
        training.after_backward(list(training.module.parameters()))
    if total is None:
        raise UnsupportedError("a batch of no parts has no loss; accumulate over at least 1 part")
    return total


def trace_step(
    training: Training,
    state: OptimizerState,
    batch: Mapping[str, Tensor],
    *,
    schedule: Schedule,
    run: int = 0,
    first: bool = False,
) -> Trace:
    """Record one training step over a batch of these shapes and dtypes.

    Args:
        training: a private copy; its tensors are put back afterwards, Python attributes are not.
        state: of the optimizer before the first update.
        batch: real tensors [B, ...] by column name; only shapes and dtypes matter.
        schedule: options of the optimizer that change with the step.
        run: number of this recording; recordings of one step must agree whatever it is.
        first: record the first step, which the optimizer takes without any state.

    Raises:
        UnsupportedError: a Python value or branch depends on tensor data, or an operator cannot be recorded.
    """
    mode = FakeTensorMode(shape_env=ShapeEnv(), static_shapes=True, allow_non_fake_inputs=True)
    parameters = list(training.parameters.values())
    buffers = list(training.buffers.values())
    slots = [slot.initial for slot in state.slots]
    options = [torch.zeros((), dtype=torch.float64) for _ in schedule.values]
    fakes = [mode.from_tensor(t) for t in (*parameters, *buffers, *slots, *batch.values(), *options)]
    recorder = StepRecorder(run)
    swap = _Swap(training, state, parameters, buffers, recorder, schedule.values, first=first)
    try:
        recorded = make_fx(swap.traced_step, tracing_mode="fake", _allow_non_fake_inputs=True)(*fakes)
        _drop_profiler(recorded)
        with torch.no_grad(), fx.traceback.preserve_node_meta():
            functional = make_fx(
                functionalize(_interpret(recorded), remove="mutations"),
                tracing_mode="fake",
                _allow_non_fake_inputs=True,
            )(*(fake.detach() for fake in fakes))
    except GavelError:
        raise
    except (GuardOnDataDependentSymNode, DataDependentOutputException, DynamicOutputShapeException) as error:
        raise UnsupportedError(
            f"{_place(error)}a Python value, branch or shape depends on the contents of a tensor; a program "
            "is one fixed graph. Use torch.where or masks, and compute what depends on the step with + - * "
            f"/ ** and torch.sym_min, sym_max, sym_sqrt ({_first_line(error)})"
        ) from error
    except (RuntimeError, NotImplementedError, TypeError, ValueError, AssertionError) as error:
        raise UnsupportedError(f"{_place(error)}the step cannot be recorded: {_first_line(error)}") from error
    finally:
        swap.restore()
    functional.graph.eliminate_dead_code()
    results: Any = functional.graph.output_node().args[0]
    n, k = len(parameters), len(parameters) + len(buffers) + len(slots)
    placeholders = [node for node in functional.graph.nodes if node.op == "placeholder"]
    return Trace(
        module=functional,
        placeholders=tuple(placeholders[: k + len(batch)]),
        options=dict(zip(placeholders[k + len(batch) :], schedule.values.values(), strict=True)),
        loss=results[0],
        gradients=tuple(results[1 : 1 + n]),
        after=tuple(results[1 + n : 1 + n + k]),
        numbers=dict(zip(recorder.numbers, results[1 + n + k :], strict=True)),
    )


class _Swap:
    """The training step as a function of its slots and batch, run by the user's own module and optimizer."""

    def __init__(
        self,
        training: Training,
        state: OptimizerState,
        parameters: list[nn.Parameter],
        buffers: list[Tensor],
        recorder: StepRecorder,
        options: Mapping[Option, Sequence[float]],
        *,
        first: bool,
    ) -> None:
        self._training = training
        self._first = first
        self._recorder = recorder
        self._scheduled = list(options)
        self._values = options
        self._state = state
        numbers = {id(t): i for i, t in enumerate((*parameters, *buffers))}
        self._n_parameters = len(parameters)
        self._homes: list[tuple[dict[str, Any], str, int]] = [
            (entries, name, numbers[id(tensor)])
            for module in training.module.modules()
            for entries in _tensors(module)
            for name, tensor in entries.items()
            if tensor is not None
        ]
        self._groups = [
            (group, [numbers[id(p)] for p in group["params"]]) for group in training.optimizer.param_groups
        ]

        self._own = [*parameters, *buffers]
        self._options = [dict(group) for group, _ in self._groups]
        self._entries = {p: dict(entries) for p, entries in training.optimizer.state.items()}

    def restore(self) -> None:
        """Give module and optimizer their own tensors back."""
        for entries, name, number in self._homes:
            entries[name] = self._own[number]
        for (group, _), options in zip(self._groups, self._options, strict=True):
            group.clear()
            group.update(options)
        self._training.optimizer.state.clear()
        self._training.optimizer.state.update(self._entries)

    def traced_step(self, *flat: Tensor) -> list[Any]:
        """Return loss, gradients (or None), next values of the slots, numbers with stand-ins."""
        training, n = self._training, self._n_parameters
        n_model = 1 + max((number for _, _, number in self._homes), default=-1)
        model = flat[:n_model]
        slots = flat[n_model : n_model + len(self._state.slots)]
        columns = flat[n_model + len(slots) : len(flat) - len(self._scheduled)]
        parameters = model[:n]
        for entries, name, number in self._homes:
            entries[name] = model[number]
        for group, members in self._groups:
            group["params"] = [parameters[i] for i in members]
        with self._recorder:
            if self._first:
                self._state.install_nothing(training)
            else:
                held = [
                    tensor.item() if slot.is_number else tensor
                    for slot, tensor in zip(self._state.slots, slots, strict=True)
                ]
                self._state.install(training, parameters, held)
            for (number, key, place), option in zip(
                self._scheduled, flat[len(flat) - len(self._scheduled) :], strict=True
            ):
                group = training.optimizer.param_groups[number]
                value: Any = option.item()
                if all(self._values[number, key, place]):  # `if momentum != 0` has one answer then
                    torch._check(value != 0)  # type: ignore[no-untyped-call]
                if place is not None:
                    value = (*group[key][:place], value, *group[key][place + 1 :])
                group[key] = value
            for parameter in parameters:
                parameter.grad = None
            loss = forward_backward(training, columns)
            gradients = [p.grad for p in parameters]
            training.optimizer.step()
            carried = [slot.load(training, parameters) for slot in self._state.slots]
            numbers = [
                torch.scalar_tensor(value, dtype=torch.int64) if slot.is_number else value
                for slot, value in zip(self._state.slots, carried, strict=True)
            ]
        after = {number: entries[name] for entries, name, number in self._homes}
        ends = [after[i].detach() for i in range(n_model)] + [t.detach() for t in numbers]
        for begin, end in zip(flat, ends, strict=False):
            if begin.shape != end.shape or begin.dtype != end.dtype:
                raise UnsupportedError(
                    f"a tensor of the state goes from {tuple(begin.shape)} {begin.dtype} to "
                    f"{tuple(end.shape)} {end.dtype} in one step; state must keep its shape and dtype"
                )
        return [loss.detach(), *gradients, *ends, *self._recorder.numbers.values()]


def _tensors(module: nn.Module) -> tuple[dict[str, Any], dict[str, Any]]:
    return module._parameters, module._buffers


def _interpret(recorded: fx.GraphModule) -> Callable[..., Any]:
    def run(*flat: Tensor) -> Any:
        return fx.Interpreter(recorded).run(*flat)

    return run


def _drop_profiler(recorded: fx.GraphModule) -> None:
    """Take out the profiler marks that every optimizer step records."""
    for node in reversed(recorded.graph.nodes):
        if str(node.target).startswith("profiler."):
            node.replace_all_uses_with(None)
            recorded.graph.erase_node(node)
    recorded.recompile()


def _place(error: BaseException) -> str:
    line = line_of_error(error.__traceback__)
    return f"{line}: " if line else ""


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
