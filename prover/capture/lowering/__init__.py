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

FAMILIES: Final[dict[str, dict[str, Rule]]] = {
    "Element-wise (L-20 to L-29).": pointwise.RULES,
    "Composed (L-22, L-30 to L-39).": composed.RULES,
    "Layout (L-3, L-58, L-59).": layout.RULES,
    "Sums, extremes, products, softmax (L-40 to L-49).": reductions.RULES,
    "Losses (L-50 to L-54).": losses.RULES,
    "Indices (L-55 to L-57).": indexing.RULES,
    "Normalisation and norms (L-49, L-60 to L-63).": normalisation.RULES,
    "Convolution (L-65).": convolution.RULES,
    "Pooling (L-66 to L-68).": pooling.RULES,
    "Random numbers (L-70 to L-72).": random.RULES,
}
"""Rules by family, with where their formulas are."""

RULES: Final[dict[str, Rule]] = merged(*FAMILIES.values())
"""Rule of every operator that has a formula, by its full name."""
