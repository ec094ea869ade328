"""A column of a dataset as the words that are committed, held once (lowering.md, L-12)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from protocol.commitments.canonical import Words, canonical_words
from protocol.errors import MalformedError, UnsupportedError

DATA_DTYPES = (
    torch.float32,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
)
"""What a column or a buffer may be; its words are 32 bits wide whatever the dtype."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Column:
    """A column: one tensor of one shape per row.

    It behaves like a numpy array of its dtype where rows are read: ``column[rows]``, ``len(column)``,
    ``np.asarray(column)`` (which copies integers, and shares memory for float32).

    Attributes:
        words: flat uint32, canonical (C-1).
        shape: [N, ...].
        dtype: as PyTorch sees the column; one of `DATA_DTYPES`.
    """

    words: Words
    shape: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, name: str, values: NDArray[Any] | Tensor | Column) -> Column:
        """Return values as a column, converted in one copy; a column as it is.

        Raises:
            UnsupportedError: a dtype or integer that has no words.
        """
        if isinstance(values, Column):
            return values
        if not isinstance(values, Tensor):
            values = _tensor(name, values)
        if values.dtype not in DATA_DTYPES or values.layout != torch.strided:
            raise UnsupportedError(
                f"column {name} is {values.dtype}; convert it to float32 or integers, and make it dense"
            )
        words = row_words(f"column {name}", values.detach().cpu().numpy())
        return cls(words=words, shape=tuple(values.shape), dtype=values.dtype)

    def __len__(self) -> int:
        """Rows."""
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        """Rows as a numpy array of the column's dtype."""
        return np.asarray(self._viewed()[rows]).astype(_numpy(self.dtype), copy=False)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All rows, as numpy asks for them."""
        array = self._viewed().astype(dtype or _numpy(self.dtype), copy=False)
        return array.copy() if copy else array

    def rows(self, rows: NDArray[np.int64]) -> Tensor:
        """Return some rows as a tensor of the column's dtype."""
        return torch.from_numpy(np.array(self[rows], order="C"))

    def _viewed(self) -> NDArray[Any]:
        kind = np.float32 if self.dtype == torch.float32 else np.int32
        return self.words.view(kind).reshape(self.shape)


def row_words(what: str, array: NDArray[Any]) -> Words:
    """Return the canonical words of some rows. Raises UnsupportedError, naming `what`, if they have none."""
    try:
        return canonical_words(array)
    except MalformedError as error:
        raise UnsupportedError(f"{what}: {error}") from error


def empty_column(shape: tuple[int, ...], dtype: torch.dtype) -> Column:
    """Return a column whose words are still to be written."""
    return Column(words=np.empty(math.prod(shape), np.uint32), shape=shape, dtype=dtype)


def _numpy(dtype: torch.dtype) -> np.dtype[Any]:
    return np.dtype(str(dtype).removeprefix("torch."))


def _tensor(name: str, values: Any) -> Tensor:
    array = np.asarray(values)
    try:
        writable = array if array.flags.writeable and min(array.strides, default=0) >= 0 else array.copy()
        return torch.from_numpy(writable)
    except TypeError as error:
        raise UnsupportedError(
            f"column {name} is {array.dtype}; convert it to float32 or integers"
        ) from error
