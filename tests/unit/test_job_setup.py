"""What a requester hands over: functions that fail, warm starts, datasets that are wrong (J-1, J-2)."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gavel.data_checks import check_data
from gavel.jobs import capture_job
from gavel.setup import TrainingSetup, load_setup, warm_start
from protocol.errors import GavelError, MalformedError, MismatchError, UnsupportedError, UsageError
from protocol.job import load_preset

ROWS, FEATURES, CLASSES = 10, 4, 3


def _setup(**columns: Any) -> TrainingSetup:
    rng = np.random.default_rng(3)
    data: dict[str, Any] = {
        "features": rng.normal(size=(ROWS, FEATURES)).astype(np.float32),
        "label": rng.integers(0, CLASSES, ROWS),
    }
    torch.manual_seed(3)
    return TrainingSetup(
        module=nn.Sequential(nn.Linear(FEATURES, CLASSES)),
        loss=nn.CrossEntropyLoss(),
        optimizer=torch.optim.SGD,
        columns=data | columns,
    )


def test_good_data_passes_and_every_row_is_run() -> None:
    told: list[tuple[int, int]] = []
    check_data(_setup(), 4, progress=lambda done, total: told.append((done, total)))
    assert told == [(4, ROWS), (8, ROWS), (ROWS, ROWS)]


def test_nothing_of_the_setup_changes() -> None:
    setup = replace(_setup(), module=nn.Sequential(nn.Linear(FEATURES, CLASSES), nn.BatchNorm1d(CLASSES)))
    before = {name: tensor.clone() for name, tensor in setup.module.state_dict().items()}
    state = torch.get_rng_state()
    check_data(setup, 5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in setup.module.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


FLOATS = np.zeros((ROWS, FEATURES), np.float32)


def _with(array: np.ndarray[Any, Any], place: Any, value: Any) -> np.ndarray[Any, Any]:
    changed = array.copy()
    changed[place] = value
    return changed


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"features": FLOATS[:7]}, "features has 7, label has 10"),
        ({"features": FLOATS.astype(np.float64)}, "features is float64"),
        ({"features": FLOATS.astype(np.float16)}, "features is float16"),
        ({"features": torch.zeros(ROWS, FEATURES, dtype=torch.bfloat16)}, "features is torch.bfloat16"),
        ({"features": FLOATS.astype(np.complex64)}, "features is complex64"),
        ({"features": FLOATS.astype(object)}, "features is object"),
        ({"features": np.array(["a"] * ROWS)}, "features is <U1"),
        ({"features": [[1.0], [1.0, 2.0]] * 5}, "features is no array"),
        ({"features": np.float32(1)}, "features has shape"),
        ({"features": np.zeros((ROWS, 0), np.float32)}, "features has shape"),
        ({"features": _with(FLOATS, (6, 1), np.nan)}, r"features holds NaN in row 6 \(1 in all\)"),
        ({"features": FLOATS[:, :3]}, "do not run through the model"),
        ({"label": np.arange(ROWS) % 3 + 2**31}, "label holds an integer outside 32 bits in row 0"),
        ({"label": _with(np.zeros(ROWS, np.int64), 8, 3)}, "label holds class 3 in row 8, the model has 3"),
        ({"label": _with(np.zeros(ROWS, np.int64), 2, -1)}, "label holds class -1 in row 2"),
        ({"label": np.zeros((ROWS, 2, 2), np.int64)}, "do not run through the model"),
    ],
)
def test_each_wrong_column_is_named(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        check_data(_setup(**columns), 4)


def test_an_index_out_of_range_is_found_wherever_it_stands() -> None:
    class Embedded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(5, CLASSES)

        def forward(self, token: Tensor) -> Tensor:
            found: Tensor = self.table(token)
            return found

    tokens = _with(np.zeros(ROWS, np.int64), 9, 5)
    setup = _setup()
    setup = replace(setup, module=Embedded(), columns={"token": tokens, "label": setup.columns["label"]})
    with pytest.raises(UnsupportedError, match="rows 6 to 9 do not run"):
        check_data(setup, 4)


def test_ignored_classes_are_allowed() -> None:
    check_data(_setup(label=_with(np.zeros(ROWS, np.int64), 2, -100)), 4)


def test_a_dataset_smaller_than_a_step_and_none_at_all() -> None:
    with pytest.raises(UnsupportedError, match="takes 11 rows, the dataset has 10"):
        check_data(_setup(), 11)
    with pytest.raises(UnsupportedError, match="no column"):
        check_data(replace(_setup(), columns={}), 1)


def fails() -> TrainingSetup:
    raise ZeroDivisionError("the user's own mistake")


def test_what_the_users_function_does_wrong_is_told_with_its_line() -> None:
    with pytest.raises(
        UsageError, match=r"ZeroDivisionError: the user's own mistake \(.*test_job_setup.py, line"
    ):
        load_setup(f"{__name__}:fails")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def setup(:", "SyntaxError: .* line"),
        ("1 / 0", "ZeroDivisionError: division by zero .*users_own.py, line 1"),
        ("import sys; sys.exit(3)", "SystemExit: 3 .*users_own.py, line 1"),
        ("def setup(): raise SystemExit(0)", "SystemExit: 0 .*users_own.py, line 1"),
        ("import no_such_package", "No module named 'no_such_package'"),
    ],
)
def test_what_the_users_module_does_wrong_is_no_bug_and_no_end(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "users_own.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "users_own", raising=False)
    importlib.invalidate_caches()
    with pytest.raises(UsageError, match=said):
        load_setup("users_own:setup")


# ------------------------------------------------------------------ warm start


def _weights(setup: TrainingSetup) -> dict[str, Tensor]:
    return {name: torch.full_like(t, 0.25) for name, t in setup.module.named_parameters()}


def test_a_warm_start_sets_the_genesis_state(tmp_path: Path) -> None:
    setup = _setup()
    save_file(_weights(setup), tmp_path / "start.safetensors")
    warm_start(setup, tmp_path / "start.safetensors")
    folder = capture_job(
        setup, chain_id=0, board=bytes(20), requester=bytes(20), preset=load_preset("minimal"), steps=2,
        stride=1, batch=4, seed=bytes(32), salt=bytes(32), expiry=0,
    )  # fmt: skip
    assert [float(words.view(np.float32)[0]) for words in folder.genesis[:2]] == [0.25, 0.25]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"0.bias": None}, MismatchError, "lacks 0.bias"),
        ({"1.bias": torch.zeros(1)}, MismatchError, "has beside them 1.bias"),
        ({"0.bias": torch.zeros(CLASSES + 1)}, MismatchError, r"0.bias as torch.float32\(4,\)"),
        ({"0.bias": torch.zeros(CLASSES, dtype=torch.float64)}, MismatchError, "0.bias as torch.float64"),
        ({"0.bias": torch.full((CLASSES,), float("nan"))}, MalformedError, "NaN in 0.bias"),
    ],
)
def test_weights_of_another_model_change_nothing(
    change: dict[str, Tensor | None], error: type[GavelError], message: str, tmp_path: Path
) -> None:
    setup = _setup()
    before = [t.clone() for t in setup.module.parameters()]
    wrong = {name: t for name, t in (_weights(setup) | change).items() if t is not None}
    save_file(wrong, tmp_path / "start.safetensors")
    with pytest.raises(error, match=message):
        warm_start(setup, tmp_path / "start.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(before, setup.module.parameters(), strict=True))


@pytest.mark.parametrize("data", [b"", b"\xff" * 100, b"\x10\x00\x00\x00\x00\x00\x00\x00{}"])
def test_other_files_are_no_weights(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "start.safetensors").write_bytes(data)
    with pytest.raises(MalformedError, match="cannot be read"):
        warm_start(_setup(), tmp_path / "start.safetensors")


def test_a_module_whose_names_would_be_taken_for_the_optimizers() -> None:
    setup = _setup()
    setup.module.optimizer = nn.Linear(1, 1)
    with pytest.raises(UnsupportedError, match=r"optimizer.weight of the module"):
        capture_job(
            setup, chain_id=0, board=bytes(20), requester=bytes(20), preset=load_preset("minimal"), steps=2,
            stride=1, batch=4, seed=bytes(32), salt=bytes(32), expiry=0,
        )  # fmt: skip
