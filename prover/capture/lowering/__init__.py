"""Our formula for every operator (specs/lowering.md), by family."""

from __future__ import annotations

from typing import Final

from prover.capture.lowering import (
    composed,
    convolution,
    indexing,
    layout,
    losses,
    normalisation,
    pointwise,
    pooling,
    random,
    reductions,
)
from prover.capture.lowering.context import Rule, merged

RULES: Final[dict[str, Rule]] = merged(
    pointwise.RULES,
    composed.RULES,
    layout.RULES,
    reductions.RULES,
    losses.RULES,
    indexing.RULES,
    normalisation.RULES,
    convolution.RULES,
    pooling.RULES,
    random.RULES,
)
"""Rule of every operator that has a formula, by its full name."""
