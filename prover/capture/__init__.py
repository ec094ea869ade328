"""From an ordinary `nn.Module`, loss and `torch.optim` optimizer to a program (specs/lowering.md)."""

from prover.capture.check import check_against_eager
from prover.capture.coverage import CoverageReport, coverage
from prover.capture.program import capture
from prover.capture.result import Captured, descriptor_bytes, load_state, next_state, summary

__all__ = [
    "Captured",
    "CoverageReport",
    "capture",
    "check_against_eager",
    "coverage",
    "descriptor_bytes",
    "load_state",
    "next_state",
    "summary",
]
