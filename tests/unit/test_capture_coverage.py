"""The coverage report: every operator counted, every refusal named with its line and a way out."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.coverage import PATH, tables
from benchmarks.zoo import TINY
from prover.capture import CoverageReport, coverage
from prover.capture.advice import nearest_form

SGD = functools.partial(torch.optim.SGD, lr=0.1)


class Troubled(nn.Module):
    """A layer, and several things that have no meaning here."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.layer(x)
        h = torch.atan(h) + torch.atan(h * 2)
        h = h + (h.bfloat16() * 2).float()
        h = h * h[h > 0].mean()
        return torch.floor(h) + torch.relu(h)


def reported(module: nn.Module, **changes: Any) -> CoverageReport:
    arguments: dict[str, Any] = {
        "module": module,
        "loss": lambda out, _: out.sum(),
        "optimizer": SGD,
        "columns": {"x": np.ones((3, 4), np.float32)},
        "batch": 2,
    }
    return coverage(**{**arguments, **changes})


def test_every_refusal_is_reported_with_its_line_and_a_way_out() -> None:
    report = reported(Troubled())
    assert not report.supported
    assert report.captured is None
    first = Troubled.forward.__code__.co_firstlineno
    found = {(r.operator, r.line): (r.count, r.reason) for r in report.refusals}

    def line(number: int) -> str:
        return f"test_capture_coverage.py:{first + number}"

    assert found["aten.atan.default", line(2)][0] == 2
    assert "inverse angles" in found["aten.atan.default", line(2)][1]
    assert "bfloat16" in found["aten._to_copy.default", line(3)][1]
    assert "use torch.where" in found["aten.index.Tensor", line(4)][1]
    assert "rounded to a whole number" in found["aten.floor.default", line(5)][1]
    # What only inherits a dtype or a shape is not named: the multiplication in bfloat16.
    assert all(r.operator != "aten.mul.Tensor" for r in report.refusals)
    uses = {use.operator: use for use in report.operators}
    assert uses["aten.atan.default"].count == 2
    assert not uses["aten.atan.default"].supported
    assert uses["aten.relu.default"].supported
    text = "\n".join(report.lines())
    assert f"refused: aten.atan.default at {line(2)} (2 times): " in text
    assert "2 aten.atan.default  (refused)" in text


def test_a_supported_training_comes_with_its_program() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Dropout(0.5))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    report = reported(module, optimizer=torch.optim.Adam, steps=5)
    assert report.supported
    assert report.captured is not None
    assert not report.refusals
    assert report.captured.manifest["steps"] == 5
    assert all(use.supported for use in report.operators)
    assert {"aten.tanh.default", "aten.bernoulli.p", "aten.addcdiv.default"} <= {
        use.operator for use in report.operators
    }
    assert report.lines()[-1].startswith("supported: ")
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


class Branching(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        return out if out.sum() > 0 else -out


WHOLE: dict[str, tuple[dict[str, Any], str]] = {
    "branch": ({"module": Branching(4, 4)}, "depends on the contents"),
    "dtype": ({"module": nn.Linear(4, 4).double()}, "float64"),
    "optimizer": ({"optimizer": torch.optim.RAdam}, "depends on the contents"),
    "loss": ({"loss": lambda out, _: out}, "one element"),
    "batch": ({"accumulate": 3}, "equal parts"),
    "seed": ({"noise_seed": 1 << 32}, "noise_seed"),
    "lazy": ({"module": nn.LazyLinear(3)}, "no shape yet"),
}


@pytest.mark.parametrize(("changes", "why"), WHOLE.values(), ids=WHOLE)
def test_a_step_that_cannot_be_recorded_is_one_refusal(changes: dict[str, Any], why: str) -> None:
    report = reported(**{"module": nn.Linear(4, 4), **changes})
    assert not report.supported
    [refusal] = report.refusals
    assert refusal.operator == ""
    assert why in refusal.reason
    assert report.lines()[-1] == f"refused: {refusal.reason}"


def test_the_table_of_coverage_is_not_stale() -> None:
    text = PATH.read_text()
    assert text.endswith(tables()), "specs/coverage.md is stale: python -m benchmarks.coverage"
    models = text.partition("## Models")[2].partition("## Optimizers")[0]
    named = [line.split("|")[1].strip() for line in models.splitlines() if line.startswith("| ")]
    assert named == ["name", *TINY]


def test_unsupported_operators_have_a_nearest_form() -> None:
    for operator, advice in (
        ("aten.topk.default", "argmax"),
        ("aten.linalg_inv_ex.default", "products"),
        ("aten._fft_r2c.default", "two real tensors"),
        ("aten.upsample_bilinear2d.default", "nearest"),
        ("aten.reflection_pad2d.default", "constant"),
        ("aten._cdist_forward.default", "unsqueeze"),
        ("aten.scatter_reduce.two", "scatter_add"),
    ):
        assert advice in nearest_form(operator)
    assert "listed there" in nearest_form("aten.something_new.default")
    assert "listed there" in nearest_form("aten.dropout.default")
