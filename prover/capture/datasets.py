"""Datasets from files and from PyTorch, as columns held once, whatever their size.

    from prover.capture import load_columns, dataset_columns

    columns = load_columns("train.npz")
    columns = load_columns("train.safetensors", names=["image", "label"])
    columns = dataset_columns(torchvision.datasets.MNIST(..., transform=ToTensor()), names=["image", "label"])

Files are read a few megabytes at a time, straight into the words that are committed.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from protocol.errors import MalformedError, UnsupportedError, UsageError
from prover.capture.columns import DATA_DTYPES, Column, empty_column, row_words

Progress: TypeAlias = Callable[[int, int], None]
"""Told the rows read so far and all rows, over all columns."""

CHUNK_BYTES: Final = 1 << 22
_Chunks: TypeAlias = Iterator[NDArray[Any]]
_Reader: TypeAlias = tuple[tuple[int, ...], str, Callable[[], _Chunks]]
_SAFETENSORS: Final = {
    "F32": "float32",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


def load_columns(
    path: str | Path, *, names: Sequence[str] | None = None, progress: Progress | None = None
) -> dict[str, Column]:
    """Read a dataset from a `.npz`, `.npy` or `.safetensors` file.

    Args:
        names: which arrays, in which order; the last one is the target. By default those of an `.npz` in the
            order in which they were saved, the one of an `.npy` under the file's name.
        progress: see `Progress`.

    Raises:
        MalformedError: the file cannot be read, or is not what its ending says.
        UnsupportedError: an array has a dtype or numbers without words.
        UsageError: no such name, or an order is needed and not given.
    """
    path = Path(path)
    kinds = {".npz": _npz, ".npy": _npy, ".safetensors": _safetensors}
    if path.suffix not in kinds:
        raise UsageError(f"{path} ends in {path.suffix!r}; give an .npz, .npy or .safetensors file")
    try:
        readers = kinds[path.suffix](path)
        if names is None and path.suffix == ".safetensors" and len(readers) > 1:
            raise UsageError(
                f"{path} holds {', '.join(readers)} in no order of its own; say names=[...], the target last"
            )
        chosen = {name: readers[name] for name in names or readers}
        return _filled(chosen, progress)
    except KeyError as error:
        raise UsageError(f"{path} has no array {error}; it holds {', '.join(readers)}") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise MalformedError(f"the dataset {path} cannot be read: {error}") from error


def dataset_columns(
    dataset: Any, *, names: Sequence[str] | None = None, progress: Progress | None = None
) -> dict[str, Column]:
    """Read every row of a map-style `torch.utils.data.Dataset` once.

    A row is a tensor, number or array, a tuple of them, or a dict of them. What a dataset does at random
    (augmentation) would be frozen as it comes, so one that gives its first row differently twice is refused.

    Args:
        names: of the parts of a row, in order; the last one is the target. By default the keys of a dict,
            else ``input`` and ``target``, or ``column0``, ``column1`` and so on.
        progress: see `Progress`.

    Raises:
        UnsupportedError: rows differ in shape or dtype, have no words, or change from reading to reading.
    """
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__") or len(dataset) == 0:
        raise UnsupportedError(
            f"{type(dataset).__name__} has no rows that can be counted and picked; give a map-style dataset "
            "with at least one row, such as list(iterable)"
        )
    count = len(dataset)
    first = _parts(dataset[0], names, 0)
    if not _same(first, _parts(dataset[0], names, 0)):
        raise UnsupportedError(
            "the dataset gives row 0 differently each time; take out the random transform, and draw at "
            "random in the module's forward instead"
        )
    columns = {
        name: empty_column((count, *part.shape), torch.from_numpy(part).dtype) for name, part in first.items()
    }
    for row in range(count):
        parts = _parts(dataset[row], names, row)
        if parts.keys() != first.keys():
            raise UnsupportedError(f"row {row} has the parts {list(parts)}, row 0 has {list(first)}")
        for name, part in parts.items():
            if (part.shape, part.dtype) != (first[name].shape, first[name].dtype):
                raise UnsupportedError(
                    f"{name} of row {row} is {part.dtype}{part.shape}, that of row 0 "
                    f"{first[name].dtype}{first[name].shape}; pad or convert rows to one shape and dtype"
                )
            size = part.size
            columns[name].words[row * size : (row + 1) * size] = row_words(f"{name} of row {row}", part)
        if progress is not None:
            progress(row + 1, count)
    return columns


def _parts(row: Any, names: Sequence[str] | None, number: int) -> dict[str, NDArray[Any]]:
    if isinstance(row, Mapping):
        missing = [name for name in names or () if name not in row]
        if missing:
            raise UnsupportedError(f"row {number} has no {', '.join(missing)}; it has {', '.join(row)}")
        chosen = {name: row[name] for name in names} if names else dict(row)
    else:
        values = list(row) if isinstance(row, (tuple, list)) else [row]
        default = ["input", "target"] if len(values) == 2 else [f"column{i}" for i in range(len(values))]
        if names is not None and len(names) != len(values):
            raise UnsupportedError(f"row {number} has {len(values)} parts, {len(names)} names were given")
        chosen = dict(zip(names or default, values, strict=True))
    return {name: _array(name, value, number) for name, value in chosen.items()}


def _array(name: str, value: Any, row: int) -> NDArray[Any]:
    """One part of a row as a numpy array of a dtype that a column may have."""
    if isinstance(value, Tensor) and value.layout == torch.strided and value.dtype in DATA_DTYPES:
        return value.detach().cpu().numpy()
    if isinstance(value, bool):
        return np.array(value)
    if isinstance(value, int):
        return np.array(value, np.int64)
    if isinstance(value, float):
        return np.array(value, np.float32)
    if isinstance(value, (np.ndarray, np.generic)) and str(value.dtype) in _SAFETENSORS.values():
        return np.asarray(value)
    kind = getattr(value, "dtype", type(value).__name__)
    raise UnsupportedError(
        f"{name} of row {row} is {kind}; let the dataset give float32 or integers (a transform such as "
        "ToTensor for images, .float() for float64)"
    )


def _same(first: Mapping[str, NDArray[Any]], second: Mapping[str, NDArray[Any]]) -> bool:
    return first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name], equal_nan=first[name].dtype.kind == "f") for name in first
    )


def _filled(readers: Mapping[str, _Reader], progress: Progress | None) -> dict[str, Column]:
    total = sum(shape[0] if shape else 0 for shape, _, _ in readers.values())
    done = 0
    columns = {}
    for name, (shape, dtype, chunks) in readers.items():
        if dtype not in _SAFETENSORS.values():
            raise UnsupportedError(f"column {name} is {dtype}; convert it to float32 or integers")
        if not shape or 0 in shape:
            raise UnsupportedError(
                f"column {name} has shape {shape}; a column has at least one row and element"
            )
        columns[name] = empty_column(shape, getattr(torch, dtype))
        width = math.prod(shape[1:])
        row = 0
        for chunk in chunks():
            words = row_words(f"column {name}", chunk)
            columns[name].words[row * width : row * width + words.size] = words
            row += len(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, total)
        if row != shape[0]:
            raise MalformedError(f"column {name} ends after {row} of its {shape[0]} rows; save it again")
    return columns


def _rows_at_once(shape: tuple[int, ...], itemsize: int) -> int:
    return max(1, CHUNK_BYTES // max(math.prod(shape[1:]) * itemsize, 1))


def _npy(path: Path) -> dict[str, _Reader]:
    return {path.stem: _stream(path.stem, lambda: path.open("rb"), path.stat().st_size)}


def _npz(path: Path) -> dict[str, _Reader]:
    archive = zipfile.ZipFile(path)

    def reader(member: zipfile.ZipInfo) -> tuple[str, _Reader]:
        name = member.filename.removesuffix(".npy")
        return name, _stream(name, lambda: archive.open(member), member.file_size)

    return dict(reader(member) for member in archive.infolist() if member.filename.endswith(".npy"))


def _stream(name: str, opened: Callable[[], IO[bytes]], size: int) -> _Reader:
    """Shape and dtype of an array in numpy's format, and its rows a chunk at a time. Never unpickles."""
    with opened() as file:
        shape, columnwise, dtype = _header(file)
    if columnwise and len(shape) > 1:
        raise UnsupportedError(f"column {name} is saved column by column; save np.ascontiguousarray of it")
    if math.prod(shape) * dtype.itemsize > size:
        raise MalformedError(f"column {name} of shape {shape}: the file is too short for it; save it again")

    def chunks() -> _Chunks:
        with opened() as file:
            _header(file)
            width = math.prod(shape[1:]) * dtype.itemsize
            at_once = _rows_at_once(shape, dtype.itemsize)
            for first in range(0, shape[0], at_once):
                rows = min(at_once, shape[0] - first)
                data = file.read(rows * width)
                if len(data) != rows * width:
                    raise MalformedError(f"column {name} the file is too short; save it again")
                yield np.frombuffer(data, dtype).reshape((rows, *shape[1:]))

    return shape, str(dtype.newbyteorder("=")), chunks


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(
        version
    )
    if read is None:
        raise MalformedError(f"numpy's format {version} is not read; save the array with np.save")
    shape, columnwise, dtype = read(file)
    return tuple(shape), bool(columnwise), dtype


def _safetensors(path: Path) -> dict[str, _Reader]:
    from safetensors import SafetensorError, safe_open

    try:
        opened = safe_open(path, framework="np")
        names: list[str] = opened.keys()  # type: ignore[no-untyped-call]
        return {name: _sliced(name, opened) for name in names}
    except SafetensorError as error:
        raise MalformedError(f"the dataset {path} cannot be read: {error}") from error


def _sliced(name: str, opened: Any) -> _Reader:
    part = opened.get_slice(name)
    shape, kind = tuple(part.get_shape()), str(part.get_dtype())
    dtype = _SAFETENSORS.get(kind, kind)

    def chunks() -> _Chunks:
        at_once = _rows_at_once(shape, np.dtype(dtype).itemsize)
        for first in range(0, shape[0], at_once):
            yield np.asarray(part[first : min(first + at_once, shape[0])])

    return shape, dtype, chunks
