"""Capture: an ordinary module, loss and optimizer become a program (lowering.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from protocol.errors import GavelError, UnsupportedError
from protocol.program.descriptor import LeafKind, Source
from protocol.program.program import TensorSpec
from prover.capture.builder import Builder, index_leaf
from prover.capture.emit import Emitted, finish, link_view, slot_dtype
from prover.capture.inspection import DATA_DTYPES, check_state, dataset, words_of
from prover.capture.isolation import (
    AfterBackward,
    Loss,
    OptimizerFactory,
    Training,
    private_copy,
    quiet_torch,
    seed_everything,
)
from prover.capture.lowered import Lowered
from prover.capture.lowering.context import Context, gather_rows
from prover.capture.result import Captured, descriptor_bytes
from prover.capture.scalars import tabulate
from prover.capture.schedules import Schedule, SchedulerFactory, schedule_of
from prover.capture.slots import OptimizerState, optimizer_state
from prover.capture.tracing import forward_loss, trace_step
from prover.capture.views import View

FORMAT = 1


def capture(
    *,
    module: nn.Module,
    loss: Loss,
    optimizer: Optimizer | OptimizerFactory,
    columns: Mapping[str, NDArray[Any] | Tensor],
    batch: int,
    steps: int,
    scheduler: SchedulerFactory | None = None,
    accumulate: int = 1,
    after_backward: AfterBackward | None = None,
    noise_seed: int = 0,
) -> Captured:
    """Turn a training into a program with its inputs and initial state.

    The module is called with all columns but the last, the loss with the module's output and the last column
    (a single column serves as both). Nothing of the caller's is changed: module, optimizer, random states
    and torch's
    switches stay as they are.

    Args:
        module: float32 parameters on the CPU.
        loss: returns one element; ``nn.CrossEntropyLoss()`` or a function of (output, target).
        optimizer: over the module's parameters, or what makes one from them, such as ``torch.optim.Adam``.
        columns: the whole dataset, name -> [N, ...] with one N.
        batch: rows per step (B).
        steps: steps of the job (T), at least 1; sets the rows of the step table.
        scheduler: makes a learning-rate scheduler for the optimizer; its `step()` follows every training
            step.
        accumulate: parts of a batch that run one after the other, their gradients added (L-13).
        after_backward: called with the parameters between backward and the optimizer's step, such as
            ``functools.partial(torch.nn.utils.clip_grad_norm_, max_norm=1.0)``.
        noise_seed: 0 to 2**32 - 1, of the random numbers that the step draws, such as dropout's (L-70).

    Raises:
        UnsupportedError: an operator, dtype or habit that has no meaning here; names it, the line in the
            user's code
            where there is one, and what to do.
    """
    data = dataset(columns)
    if batch < 1 or steps < 1:
        raise UnsupportedError(
            f"a job of {steps} steps of {batch} rows does nothing; give at least 1 of each"
        )
    if accumulate < 1 or batch % accumulate:
        raise UnsupportedError(
            f"a batch of {batch} rows does not fall into {accumulate} equal parts; accumulate over a divisor "
            "of the batch"
        )
    with quiet_torch():
        check_state(module)
        training = private_copy(module, loss, optimizer, accumulate=accumulate, after_backward=after_backward)
        rows = torch.arange(batch) % next(iter(data.values())).shape[0]
        example = {name: column[rows] for name, column in data.items()}
        seed_everything(0)
        state = optimizer_state(training, lambda run: _backward(run, example))
        schedule = schedule_of(training, scheduler, steps)
        source = _Source(
            training=training,
            state=state,
            data=data,
            example=example,
            steps=steps,
            schedule=schedule,
            noise_seed=noise_seed,
        )
        first, second = source.assembled(0), source.assembled(1)
    if not _equal(first, second):
        raise UnsupportedError(
            "two recordings of the step differ, so it depends on something outside the state: Python or "
            "numpy randomness, or a counter in forward. Keep such values in buffers, or make them columns "
            "of the dataset"
        )
    return first


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
class _Source:
    """What is recorded, as often as needed."""

    training: Training
    state: OptimizerState
    data: Mapping[str, Tensor]
    example: Mapping[str, Tensor]
    steps: int
    schedule: Schedule
    noise_seed: int

    def assembled(self, run: int) -> Captured:
        """Record and lower the step; recordings of different `run` must agree (L-9)."""
        slots = self._slots()
        seed_everything(1 + run)
        trace = trace_step(self.training, self.state, self.example, schedule=self.schedule, run=run)
        builder = Builder()
        columns = {
            name: builder.input(name, words_of(f"column {name}", c), c.shape, c.dtype)
            for name, c in self.data.items()
        }
        table = tabulate(trace, [slot.initial for slot in slots], self.steps)
        context = Context(builder, table, self.noise_seed)
        batches: dict[str, View] = {}
        for name, column in columns.items():
            builder.label = f"batch {name}"
            row = index_leaf((1, 0), kind=LeafKind.ROW)
            batches[name] = gather_rows(builder, column, row, (self.example[name].shape[0],))
        operands = [View.dense(Source.STATE, i, slot.spec.shape, slot.dtype) for i, slot in enumerate(slots)]
        values = Lowered(trace, context, [*operands, *batches.values()])
        builder.label = "next state"
        links = []
        for i, (node, slot) in enumerate(zip(trace.after, slots, strict=True)):
            view = values.view(node)
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
