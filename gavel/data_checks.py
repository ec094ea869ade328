"""A dataset is looked at before anything is captured: one clear error for each wrong thing (J-2)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gavel.setup import TrainingSetup
from protocol.errors import UnsupportedError

MAX_ROWS: Final = (1 << 32) - 1
"""Rows that the geometry of a job can count (U-1)."""

_WORD: Final = 1 << 31


def check_data(setup: TrainingSetup, batch: int, progress: Callable[[int, int], None] | None = None) -> None:
    """Check a dataset, and that module and loss can take every row of it.

    Args:
        setup: module, loss and columns; nothing of it is changed.
        batch: rows of a step.
        progress: told the rows done and all rows, where they are run through the module.

    Raises:
        UnsupportedError: naming the column, the row, what is wrong with it and what to do.
    """
    if not setup.columns:
        raise UnsupportedError("the dataset has no column; give the inputs, and the target as the last one")
    columns = {name: _array(name, column) for name, column in setup.columns.items()}
    rows = {name: len(column) for name, column in columns.items()}
    count = next(iter(rows.values()))
    if len(set(rows.values())) > 1:
        counts = ", ".join(f"{name} has {n:,}" for name, n in rows.items())
        raise UnsupportedError(
            f"the columns have different numbers of rows: {counts}; give one row each per example"
        )
    if not batch <= count <= MAX_ROWS:
        raise UnsupportedError(
            f"a step takes {batch} rows, the dataset has {count:,}; give a smaller batch"
            if count < batch
            else f"the dataset has {count:,} rows, more than {MAX_ROWS:,}; make several jobs of it"
        )
    for name, column in columns.items():
        _check_values(name, column)
    if any(column.dtype.kind != "f" for column in columns.values()):
        runner = _Runner(setup, columns)
        runner.check_classes(batch)
        runner.check_rows(batch, progress)


def _array(name: str, column: Any) -> NDArray[Any]:
    if isinstance(column, Tensor):
        if (
            column.dtype in (torch.bfloat16, torch.complex64, torch.complex128)
            or column.layout != torch.strided
        ):
            raise UnsupportedError(_no_words(name, f"{column.dtype}, {column.layout}"))
        column = column.detach().cpu().numpy()
    try:
        array = np.asarray(column)
    except ValueError as error:
        raise UnsupportedError(
            f"column {name} is no array: {error}; give every row the same shape"
        ) from error
    if array.dtype.kind not in "fiub":
        raise UnsupportedError(_no_words(name, str(array.dtype)))
    if array.dtype.kind == "f" and array.dtype.itemsize != 4:
        raise UnsupportedError(
            f"column {name} is {array.dtype}; say how it becomes float32, as .astype(np.float32) does"
        )
    if array.ndim == 0 or array.size == 0:
        raise UnsupportedError(
            f"column {name} has shape {array.shape}; it needs rows and at least one word a row"
        )
    return array


def _no_words(name: str, dtype: str) -> str:
    return f"column {name} is {dtype}, which has no 32-bit words; convert it to float32, integers or bool"


def _check_values(name: str, column: NDArray[Any]) -> None:
    if column.dtype.kind == "f":
        wrong, what, remedy = (
            np.isnan(column),
            "NaN",
            "replace it: a NaN has only one bit pattern here, and spreads to every weight that it meets",
        )
    elif column.dtype.kind in "iu":
        wrong = (column < -_WORD) | (column >= _WORD)
        what, remedy = "an integer outside 32 bits", "renumber the column"
    else:
        return
    if wrong.any():
        row = int(np.argwhere(wrong)[0][0])
        raise UnsupportedError(
            f"column {name} holds {what} in row {row:,} ({int(wrong.sum()):,} in all); {remedy}"
        )


class _Runner:
    """Runs rows of a dataset through a copy of the module, in plain PyTorch."""

    def __init__(self, setup: TrainingSetup, columns: Mapping[str, NDArray[Any]]) -> None:
        self._module, self._loss, self._columns = copy.deepcopy(setup.module), setup.loss, columns

    def check_classes(self, batch: int) -> None:
        """Refuse a class that the model does not have, where the loss tells what a class is."""
        name, target = list(self._columns.items())[-1]
        if not isinstance(self._loss, nn.CrossEntropyLoss | nn.NLLLoss) or target.dtype.kind not in "iu":
            return
        output = self._run(slice(0, batch), with_loss=False)
        if not isinstance(output, Tensor) or output.dim() < 2:
            return
        classes = output.shape[1]
        wrong = ((target < 0) | (target >= classes)) & (target != self._loss.ignore_index)
        if wrong.any():
            place = tuple(np.argwhere(wrong)[0])
            raise UnsupportedError(
                f"column {name} holds class {int(target[place])} in row {int(place[0]):,}, the model has "
                f"{classes} classes, 0 to {classes - 1}; correct the target or the model"
            )

    def check_rows(self, batch: int, progress: Callable[[int, int], None] | None) -> None:
        """Run every row once: an index out of range is an error in PyTorch, and none in a program (P-6)."""
        count = len(next(iter(self._columns.values())))
        for first in range(0, count, batch):
            # The last batch is filled up from before it: a module may know but one size.
            last = min(first + batch, count)
            self._run(slice(last - batch, last), with_loss=True)
            if progress is not None:
                progress(last, count)

    def _run(self, rows: slice, *, with_loss: bool) -> Any:
        tensors = [torch.from_numpy(np.array(column[rows], order="C")) for column in self._columns.values()]
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                output = self._module(*(tensors[:-1] or tensors))
                return self._loss(output, tensors[-1]) if with_loss else output
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise UnsupportedError(
                f"rows {rows.start:,} to {rows.stop - 1:,} do not run through the model in plain PyTorch: "
                f"{error}; correct them or the model"
            ) from error
