"""A training made ready to be recorded, and recorded as often as needed (lowering.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.optim import Optimizer

from protocol.errors import GavelError, UnsupportedError
from protocol.numerics.opcodes import Op
from protocol.program.descriptor import LeafKind, Source
from protocol.program.program import TensorSpec
from prover.capture.builder import Builder, index_leaf
from prover.capture.columns import DATA_DTYPES, Column
from prover.capture.emit import Emitted, finish, link_view, slot_dtype
from prover.capture.inspection import check_state, dataset, words_of
from prover.capture.isolation import (
    AfterBackward,
    Loss,
    OptimizerFactory,
    Training,
    private_copy,
    seed_everything,
)
from prover.capture.lowered import Lowered
from prover.capture.lowering.context import Context, gather_rows
from prover.capture.result import Captured, descriptor_bytes
from prover.capture.scalars import Table, tabulate
from prover.capture.schedules import Schedule, SchedulerFactory, schedule_of
from prover.capture.slots import OptimizerState, optimizer_state
from prover.capture.tracing import Trace, forward_loss, trace_step
from prover.capture.views import View

FORMAT = 1


def prepare(
    *,
    module: nn.Module,
    loss: Loss,
    optimizer: Optimizer | OptimizerFactory,
    columns: Mapping[str, NDArray[Any] | Tensor | Column],
    batch: int,
    steps: int,
    scheduler: SchedulerFactory | None,
    accumulate: int,
    after_backward: AfterBackward | None,
    noise_seed: int,
) -> Prepared:
    """Return a private copy of a training with its state before the first step; arguments as of `capture`.

    To be called under `quiet_torch`.

    Raises:
        UnsupportedError: what is refused before anything is recorded.
    """
    data = dataset(columns)
    if batch < 1 or steps < 1:
        raise UnsupportedError(
            f"a job of {steps} steps of {batch} rows does nothing; give at least 1 of each"
        )
    if not 0 <= noise_seed < 1 << 32:
        raise UnsupportedError(f"noise_seed is {noise_seed}; it is a number from 0 to 2**32 - 1")
    if accumulate < 1 or batch % accumulate:
        raise UnsupportedError(
            f"a batch of {batch} rows does not fall into {accumulate} equal parts; accumulate over a divisor "
            "of the batch"
        )
    check_state(module)
    training = private_copy(module, loss, optimizer, accumulate=accumulate, after_backward=after_backward)
    rows = np.arange(batch) % len(next(iter(data.values())))
    example = {name: column.rows(rows) for name, column in data.items()}
    seed_everything(0)
    state = optimizer_state(training, lambda run: _backward(run, example))
    schedule = schedule_of(training, scheduler, steps)
    return Prepared(
        training=training,
        state=state,
        data=data,
        example=example,
        steps=steps,
        schedule=schedule,
        noise_seed=noise_seed,
    )


def _backward(run: Training, example: Mapping[str, Tensor]) -> None:
    try:
        loss = forward_loss(run, list(example.values()))
        _check_leaves(loss, run)
        torch.autograd.backward(loss)
    except GavelError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise UnsupportedError(f"the training step does not run in plain PyTorch: {error}") from error


def _check_leaves(loss: Tensor, run: Training) -> None:
    """Refuse a loss that trains a tensor outside the module, before a backward pass would write to it."""
    own = {id(p) for p in run.parameters.values()}
    seen: set[Any] = set()
    stack = [loss.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None and id(leaf) not in own:
            raise UnsupportedError(
                f"a trainable tensor of shape {tuple(leaf.shape)} takes part that is not a parameter of the "
                "module; register it there, or detach it"
            )
        stack += [parent for parent, _ in node.next_functions]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slot:
    spec: TensorSpec
    dtype: torch.dtype
    initial: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What is recorded, as often as needed."""

    training: Training
    state: OptimizerState
    data: Mapping[str, Column]
    example: Mapping[str, Tensor]
    steps: int
    schedule: Schedule
    noise_seed: int

    def graph(self, run: int) -> fx.Graph:
        """Return the recorded step as a graph of aten operators."""
        return self._traced(run).module.graph

    def _traced(self, run: int) -> Trace:
        seed_everything(1 + run)
        return trace_step(self.training, self.state, self.example, schedule=self.schedule, run=run)

    def captured(self) -> Captured:
        """Record the step twice and return the program.

        Raises:
            UnsupportedError: an operator is refused, or the recordings differ (L-9).
        """
        first, second = self.assembled(0), self.assembled(1)
        if not _equal(first, second):
            raise UnsupportedError(
                "two recordings of the step differ, so it depends on something outside the state: Python or "
                "numpy randomness, or a counter in forward. Keep such values in buffers, or make them "
                "columns of the dataset"
            )
        return first

    def assembled(self, run: int, refused: list[UnsupportedError] | None = None) -> Captured:
        """Record and lower the step; recordings of different `run` must agree (L-9).

        Args:
            refused: where what is refused within the step is collected; without it the first one is raised.
        """
        slots = self._slots()
        trace = self._traced(run)
        builder = Builder()
        columns = {name: builder.input(name, c.words, c.shape, c.dtype) for name, c in self.data.items()}
        try:
            table = tabulate(trace, [slot.initial for slot in slots], self.steps)
        except UnsupportedError as error:
            if refused is None:
                raise
            refused.append(error)
            table = Table(words=np.zeros((self.steps, 0), np.uint32), columns={})
        context = Context(builder, table, self.noise_seed)
        batches: dict[str, View] = {}
        for name, column in columns.items():
            builder.label = f"batch {name}"
            row = index_leaf((1, 0), kind=LeafKind.ROW)
            batches[name] = gather_rows(builder, column, row, (self.example[name].shape[0],))
        operands = [View.dense(Source.STATE, i, slot.spec.shape, slot.dtype) for i, slot in enumerate(slots)]
        values = Lowered(trace, context, [*operands, *batches.values()], refused)
        after = [values.view(node) for node in trace.after]
        if self.state.first_differs:
            after = self._joined(context, self._first_step(context, run, operands, batches), after)
        builder.label = "next state"
        links = []
        for i, (view, slot) in enumerate(zip(after, slots, strict=True)):
            if view.dtype.is_floating_point != slot.dtype.is_floating_point:
                raise UnsupportedError(
                    f"{slot.spec.name} holds a count of {slot.dtype}, which is a float here; make it float32"
                )
            links.append(link_view(builder, view, i))
        builder.label = "loss"
        loss = values.view(trace.loss)
        if not (loss.is_dense and loss.source is Source.NODE):
            loss = builder.copy(loss)
        gradients = [None if node is None else values.view(node) for node in trace.gradients]
        emitted = finish(
            builder,
            slots=[slot.spec for slot in slots],
            links=links,
            loss=loss.source_id,
            kept_inputs=1 + len(columns),
            keep=[loss, *batches.values(), *gradients],
        )
        return self._captured(slots, emitted)

    def _first_step(
        self, context: Context, run: int, operands: Sequence[View], batches: Mapping[str, View]
    ) -> list[View]:
        """Record the optimizer's first step by itself and return the slots after it (L-6)."""
        seed_everything(1 + run)
        trace = trace_step(
            self.training, self.state, self.example, schedule=self.schedule, run=run, first=True
        )
        if tabulate(trace, [slot.initial for slot in self._slots()], 1).columns:
            raise UnsupportedError(
                f"the first step of {type(self.training.optimizer).__name__} is unlike its later ones and "
                "depends on numbers computed from the step; make it start from a state of its own"
            )
        values = Lowered(trace, context, [*operands, *batches.values()])
        return [values.view(node) for node in trace.after]

    @staticmethod
    def _joined(context: Context, first: Sequence[View], later: Sequence[View]) -> list[View]:
        """The one in step 0, the other in every later step."""
        context.builder.label = "first step"
        step = context.builder.node([0, Op.COPY], [index_leaf((), kind=LeafKind.STEP)], (), dtype=torch.int64)
        is_first = context.negation(step)
        return [a if a == b else context.select(is_first, a, b) for a, b in zip(first, later, strict=True)]

    def _slots(self) -> list[_Slot]:
        training = self.training
        named = [*training.parameters.items(), *training.buffers.items()]
        tensors = [(name, t.detach()) for name, t in named]
        tensors += [(slot.name, slot.initial) for slot in self.state.slots]
        for name, tensor in tensors:
            if tensor.dtype not in DATA_DTYPES:
                raise UnsupportedError(f"{name} is {tensor.dtype}; state is float32 or integers")
        if len({name for name, _ in tensors}) != len(tensors):
            raise UnsupportedError(
                "two tensors of the state have the same name; rename a parameter or buffer"
            )
        return [
            _Slot(
                spec=TensorSpec(name=name, shape=tuple(t.shape), dtype=slot_dtype(t.dtype)),
                dtype=t.dtype,
                initial=t,
            )
            for name, t in tensors
        ]

    def _captured(self, slots: Sequence[_Slot], emitted: Emitted) -> Captured:
        names = list(self.training.parameters)
        loss, views = emitted.views[0], emitted.views[1:]
        if loss is None:
            raise UnsupportedError("the step has no loss")
        batches, gradients = views[: len(self.data)], views[len(self.data) :]
        return Captured(
            program=emitted.program,
            inputs=emitted.inputs,
            state=tuple(words_of(slot.spec.name, slot.initial) for slot in slots),
            manifest=self._manifest(slots),
            gradients={n: g for n, g in zip(names, gradients, strict=True) if g is not None},
            batch={n: b for n, b in zip(self.data, batches, strict=True) if b is not None},
            loss=loss,
            n_parameters=len(names),
            n_buffers=len(self.training.buffers),
        )

    def _manifest(self, slots: Sequence[_Slot]) -> dict[str, Any]:
        batch = next(iter(self.example.values())).shape[0]
        return {
            "format": FORMAT,
            "torch": torch.__version__.partition("+")[0],
            "batch": batch,
            "steps": self.steps,
            "noise_seed": self.noise_seed,
            "optimizer": type(self.training.optimizer).__name__,
            "columns": [
                {"name": name, "shape": list(c.shape), "dtype": str(c.dtype)} for name, c in self.data.items()
            ],
            "slots": [
                {"name": s.spec.name, "shape": list(s.spec.shape), "dtype": str(s.dtype)} for s in slots
            ],
        }


def _equal(first: Captured, second: Captured) -> bool:
    same = descriptor_bytes(first) == descriptor_bytes(second) and len(first.inputs) == len(second.inputs)
    return same and all(np.array_equal(a, b) for a, b in zip(first.inputs, second.inputs, strict=True))
