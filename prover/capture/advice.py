"""The nearest supported form of operators that have no formula."""

from __future__ import annotations

import re
from typing import Final

NEAREST: Final = (
    (
        r"sort|topk|kthvalue|median|unique|searchsorted|bucketize",
        "orders have none; use amax, argmax or masks",
    ),
    (r"floor|ceil|round|trunc|remainder|fmod|frac", "no float is rounded to a whole number; keep it real"),
    (r"prod", "use exp(log(x).sum()) where x is positive, or write few factors as x[:, 0] * x[:, 1]"),
    (r"a?(sinh|cosh)|atanh|asinh|acosh", "use exp: sinh(x) = (exp(x) - exp(-x)) / 2"),
    (r"asin|acos|atan", "inverse angles have none; keep sines and cosines, or learn the angle itself"),
    (r"gamma|digamma|bessel|erfinv|ndtri|zeta", "only exp, log, sqrt, tanh, sigmoid, erf, sin, cos have one"),
    (r"conv.*3d|slow_conv|pool3d", "fold one dimension into the batch and use Conv2d"),
    (r"upsample|grid_sampl|affine_grid", "use F.interpolate(mode='nearest') with a whole factor"),
    (r"(reflection|replication|circular)_pad", "use F.pad with mode='constant', or torch.cat of slices"),
    (r"adaptive_max_pool|fractional", "use MaxPool2d with a fixed window"),
    (
        r"linalg|inverse|svd|cholesky|qr|eig|det|lu_|triangular",
        "decompositions have none; use products and sums",
    ),
    (r"fft|stft|polar|complex", "write sines and cosines as two real tensors"),
    (
        r"ctc|multi_?margin|multilabel",
        "use cross_entropy, nll_loss, margin_ranking_loss or triplet_margin_loss",
    ),
    (r"soft_margin", "use F.softplus(-target * output).mean()"),
    (r"cdist|pdist", "use (x.unsqueeze(1) - y.unsqueeze(0)).norm(dim=2)"),
    (
        r"scatter_reduce|index_reduce|index_copy|masked_scatter|put_",
        "use scatter_add, index_add or torch.where",
    ),
    (r"nan_to_num", "use torch.where(torch.isfinite(x), x, 0.0)"),
    (r"quantize|int_repr", "quantised arithmetic has none; keep float32"),
    (r"bitwise|shift", "bits of integers have none; it is defined on bools"),
    (r"cumprod|logcumsumexp|cummax|cummin", "use cumsum, or exp(log(x).cumsum(dim))"),
    (r"nonzero|masked_select", "masks have no fixed shape; use torch.where or multiply by the mask"),
)


def nearest_form(operator: str) -> str:
    """Return what to write instead of an operator without a formula.

    Args:
        operator: full name, such as ``aten.atan.default``.
    """
    name = operator.removeprefix("aten.").partition(".")[0]
    for pattern, advice in NEAREST:
        if re.search(rf"(^|_)({pattern})", name):
            return advice
    return "write it with the operators listed there, or add a rule"
