"""What is refused before anything is traced: dtypes, shared memory, empty data (lowering.md, L-1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from protocol.commitments.canonical import Words
from protocol.errors import UnsupportedError
from prover.capture.builder import STEP_TABLE
from prover.capture.columns import DATA_DTYPES, Column, row_words


def dataset(columns: Mapping[str, NDArray[Any] | Tensor | Column]) -> dict[str, Column]:
    """Return the columns [N, ...] as words.

    Raises:
        UnsupportedError: no column, no rows, unequal numbers of rows, or a dtype or number without words.
    """
    data = {name: Column.of(name, values) for name, values in columns.items()}
    counts = {c.shape[:1] for c in data.values()}
    if len(counts) != 1 or not all(c.shape and c.words.size for c in data.values()):
        raise UnsupportedError(
            "a dataset has at least one column, and all columns the same number of rows, at least 1"
        )
    for name in data:
        if name in ("links", STEP_TABLE) or name.startswith("constant."):
            raise UnsupportedError(f"{name} is the name of another input of a program; rename the column")
    return data


def check_state(module: nn.Module) -> None:
    """Refuse parameters and buffers that have no words.

    Raises:
        UnsupportedError: naming the tensor and what to do.
    """
    storages: dict[int, str] = {}
    parameters = dict(module.named_parameters())
    for name, tensor in {**parameters, **dict(module.named_buffers())}.items():
        is_parameter = name in parameters
        if isinstance(tensor, (nn.UninitializedParameter, nn.UninitializedBuffer)):
            raise UnsupportedError(
                f"{name} has no shape yet; call the module once on a batch before it is captured"
            )
        if tensor.dtype not in DATA_DTYPES or (is_parameter and tensor.dtype != torch.float32):
            raise UnsupportedError(
                f"{name} is {tensor.dtype}; parameters are float32, buffers float32 or integers"
            )
        if tensor.device.type != "cpu" or tensor.layout != torch.strided or tensor.numel() == 0:
            raise UnsupportedError(
                f"{name} is {tensor.layout} on {tensor.device} with {tensor.numel()} elements; it has to be "
                "dense, on the CPU and not empty"
            )
        other = storages.setdefault(tensor.untyped_storage().data_ptr(), name)
        if other != name:
            raise UnsupportedError(
                f"{name} and {other} share memory without being one tensor; clone one of them"
            )


def words_of(name: str, tensor: Tensor) -> Words:
    """Return the canonical words of a tensor (C-1). Raises UnsupportedError if it has none."""
    return row_words(name, tensor.detach().contiguous().numpy())
