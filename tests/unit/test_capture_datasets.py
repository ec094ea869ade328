"""Datasets from files and from PyTorch: the same words whatever they come from, read once and held once."""

from __future__ import annotations

import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch.utils.data import Dataset, TensorDataset

from protocol.errors import GavelError, MalformedError, UnsupportedError, UsageError
from prover.capture import Column, capture, dataset_columns, load_columns
from prover.capture.datasets import CHUNK_BYTES

NOISE = np.random.default_rng(4)
IMAGES = NOISE.standard_normal((11, 2, 3)).astype(np.float32)
IMAGES[0, 0] = [-0.0, np.nan, np.inf]
LABELS = NOISE.integers(-3, 9, 11)
MASKS = NOISE.random((11, 2)) < 0.5


def assert_same(columns: dict[str, Column]) -> None:
    """The columns are images, masks and labels, canonical."""
    assert list(columns) == ["image", "mask", "label"]
    assert [c.shape for c in columns.values()] == [(11, 2, 3), (11, 2), (11,)]
    assert [c.dtype for c in columns.values()] == [torch.float32, torch.bool, torch.int64]
    assert columns["image"].words[:3].tolist() == [0, 0x7FC00000, 0x7F800000]
    np.testing.assert_array_equal(np.asarray(columns["image"]), IMAGES)
    np.testing.assert_array_equal(columns["mask"][2:5], MASKS[2:5])
    np.testing.assert_array_equal(np.asarray(columns["label"]), LABELS)
    assert columns["label"].words.dtype == np.uint32
    assert np.asarray(columns["label"]).dtype == np.int64
    assert columns["label"].rows(np.array([3, 1])).tolist() == [LABELS[3], LABELS[1]]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_in_the_order_in_which_it_was_saved(save: Callable[..., None], tmp_path: Path) -> None:
    path = tmp_path / "train.npz"
    save(path, image=IMAGES, mask=MASKS, label=LABELS)
    seen: list[tuple[int, int]] = []
    assert_same(load_columns(path, progress=lambda done, total: seen.append((done, total))))
    assert seen[-1] == (33, 33)
    picked = load_columns(path, names=["label", "image"])
    assert list(picked) == ["label", "image"]


def test_safetensors_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "train.safetensors"
    save_file({"label": LABELS, "image": IMAGES, "mask": MASKS}, path)
    assert_same(load_columns(path, names=["image", "mask", "label"]))
    with pytest.raises(UsageError, match="no order of its own"):
        load_columns(path)
    with pytest.raises(UsageError, match=r"no array 'x'; it holds .*image"):
        load_columns(path, names=["x"])


def test_npy_is_one_column_of_the_files_name(tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", IMAGES)
    columns = load_columns(tmp_path / "image.npy")
    assert list(columns) == ["image"]
    np.testing.assert_array_equal(np.asarray(columns["image"]), IMAGES)
    np.save(tmp_path / "big.npy", IMAGES.astype(">f4"))
    np.testing.assert_array_equal(np.asarray(load_columns(tmp_path / "big.npy")["big"]), IMAGES)


class Rows(Dataset[Any]):
    """A map-style dataset over what makes a row."""

    def __init__(self, make: Callable[[int], Any], count: int = 11) -> None:
        self.make, self.count, self.read = make, count, 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> Any:
        self.read += 1
        return self.make(row)


def test_map_style_datasets() -> None:
    names = ["image", "mask", "label"]
    tensors = [torch.from_numpy(a) for a in (IMAGES, MASKS, LABELS)]
    assert_same(dataset_columns(TensorDataset(*tensors), names=names))
    assert_same(
        dataset_columns(Rows(lambda i: {"image": IMAGES[i], "mask": MASKS[i], "label": int(LABELS[i])}))
    )
    seen: list[tuple[int, int]] = []
    pairs = Rows(lambda i: (tensors[0][i], int(LABELS[i])))
    columns = dataset_columns(pairs, progress=lambda done, total: seen.append((done, total)))
    assert list(columns) == ["input", "target"]
    assert seen == [(i + 1, 11) for i in range(11)]
    assert pairs.read == 13, "row 0 is read twice more, to see whether it stays the same"
    single = dataset_columns([0.5, 1.5])
    assert np.asarray(single["column0"]).tolist() == [0.5, 1.5]


STRANGE: dict[str, tuple[Any, str]] = {
    "random": (Rows(lambda _: NOISE.random(2).astype(np.float32)), "differently each time"),
    "shapes": (Rows(lambda i: np.zeros(1 + i // 5, np.float32)), r"column0 of row 5 is float32\(2,\)"),
    "dtypes": (Rows(lambda i: 1 if i < 3 else 1.0), "column0 of row 3 is float32"),
    "parts": (Rows(lambda i: (1, 2) if i < 3 else (1, 2, 3)), "row 3 has the parts"),
    "float64": (Rows(lambda _: np.zeros(2)), "is float64; let the dataset give float32"),
    "bfloat16": (Rows(lambda _: torch.zeros(2, dtype=torch.bfloat16)), "bfloat16"),
    "text": (Rows(lambda _: "a"), "is str"),
    "integers": (Rows(lambda _: 1 << 40), "column0 of row 0: integers"),
    "empty": ([], "at least one row"),
    "iterable": (iter([1]), "map-style"),
}


@pytest.mark.parametrize(("rows", "why"), STRANGE.values(), ids=STRANGE)
def test_rows_without_words_are_refused_by_number(rows: Any, why: str) -> None:
    with pytest.raises(UnsupportedError, match=why):
        dataset_columns(rows)


def test_names_that_rows_do_not_have_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="row 0 has no label; it has a"):
        dataset_columns([{"a": 1}], names=["label"])
    with pytest.raises(UnsupportedError, match="row 0 has 2 parts, 1 names"):
        dataset_columns([(1, 2)], names=["label"])


def damaged(path: Path, kind: str) -> None:
    """Write a file that is not a dataset."""
    if kind == "pickled":
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    elif kind == "cut":
        np.save(path, IMAGES)
        path.write_bytes(path.read_bytes()[:-9])
    elif kind == "boasting":
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 7), }".ljust(117) + b"\n"
        path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(100))
    elif kind == "columnwise":
        np.save(path, np.asfortranarray(IMAGES))
    elif kind == "float64":
        np.save(path, IMAGES.astype(np.float64))
    elif kind == "no rows":
        np.save(path, IMAGES[:0])
    elif kind == "number":
        np.save(path, np.float32(1))
    elif kind == "version":
        path.write_bytes(b"\x93NUMPY\x09\x00" + bytes(100))
    else:
        path.write_bytes(b"garbage")


DAMAGED = {
    "pickled": (UnsupportedError, "object"),
    "cut": (MalformedError, "too short"),
    "boasting": (MalformedError, "too short"),
    "columnwise": (UnsupportedError, "ascontiguousarray"),
    "float64": (UnsupportedError, "float64; convert it"),
    "no rows": (UnsupportedError, "at least one row"),
    "number": (UnsupportedError, "at least one row"),
    "version": (MalformedError, "cannot be read|not read"),
    "garbage": (MalformedError, "cannot be read"),
}


@pytest.mark.parametrize(("kind", "expected"), DAMAGED.items(), ids=DAMAGED)
def test_damaged_and_unfit_files_are_refused(
    kind: str, expected: tuple[type[GavelError], str], tmp_path: Path
) -> None:
    path = tmp_path / "x.npy"
    damaged(path, kind)
    with pytest.raises(expected[0], match=expected[1]):
        load_columns(path)
    archive = tmp_path / "x.npz"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(path, "x.npy")
    with pytest.raises(expected[0], match=expected[1]):
        load_columns(archive)


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    for name in ("x.npz", "x.safetensors"):
        (tmp_path / name).write_bytes(b"garbage" * 9)
        with pytest.raises(MalformedError, match="cannot be read"):
            load_columns(tmp_path / name)
    with pytest.raises(UsageError, match=r"'\.csv'; give an \.npz"):
        load_columns(tmp_path / "x.csv")
    with pytest.raises(MalformedError, match="No such file"):
        load_columns(tmp_path / "nowhere.npz")
    save_file({"x": np.zeros((2, 2))}, tmp_path / "wide.safetensors")
    with pytest.raises(UnsupportedError, match="column x is F64"):
        load_columns(tmp_path / "wide.safetensors")


def test_a_large_dataset_is_held_once(tmp_path: Path) -> None:
    rows = 3 * CHUNK_BYTES // 64 + 17
    values = NOISE.integers(0, 100, (rows, 16))
    np.savez(tmp_path / "x.npz", x=values.astype(np.float32), ids=values)
    del values
    tracemalloc.start()
    columns = load_columns(tmp_path / "x.npz")
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    words = sum(c.words.nbytes for c in columns.values())
    assert words == 2 * 4 * 16 * rows
    assert held < 1.01 * words
    assert peak < words + 6 * CHUNK_BYTES
    assert Column.of("x", columns["x"]) is columns["x"]


def test_a_program_is_captured_from_columns_without_a_copy() -> None:
    columns = dataset_columns(Rows(lambda i: (MASKS[i].astype(np.float32), int(LABELS[i]) % 2)))
    captured = capture(
        module=torch.nn.Linear(2, 2),
        loss=torch.nn.CrossEntropyLoss(),
        optimizer=torch.optim.Adam,
        columns=columns,
        batch=4,
        steps=2,
    )
    assert captured.inputs[1] is columns["input"].words
    assert captured.inputs[2] is columns["target"].words
