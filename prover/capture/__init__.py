"""From an ordinary `nn.Module`, loss and `torch.optim` optimizer to a program (specs/lowering.md)."""

from prover.capture.check import check_against_eager
from prover.capture.columns import Column
from prover.capture.coverage import CoverageReport, coverage
from prover.capture.datasets import dataset_columns, load_columns
from prover.capture.program import capture
from prover.capture.result import Captured, descriptor_bytes, load_state, next_state, summary

__all__ = [
    "Captured",
    "Column",
    "CoverageReport",
    "capture",
    "check_against_eager",
    "coverage",
    "dataset_columns",
    "descriptor_bytes",
    "load_columns",
    "load_state",
    "next_state",
    "summary",
]
