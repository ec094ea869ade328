"""One small captured training, the same on every machine: a classifier of 12 rows with Adam.

Its trees are those of the `minimal` preset, so a dispute about it has every level that one about a large
model has.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from hashlib import sha256
from typing import Final

import numpy as np
import torch
from torch import nn

from gavel.jobs import capture_job
from gavel.setup import TrainingSetup
from protocol.job import ANYBODY, NO_AUDIT, Audit, load_preset
from protocol.job_folder import JobFolder

ROWS: Final = 12
FEATURES: Final = 8
HIDDEN: Final = 9
CLASSES: Final = 3
BATCH: Final = 5
STRIDE: Final = 3
STEPS: Final = 12
"""Four segments of three steps."""

NOWHERE: Final = bytes(20)
"""The address of a board or a requester that does not exist."""


def small_setup() -> TrainingSetup:
    """The training: 8 features, 9 hidden units, 3 classes, cross-entropy, Adam; 12 random rows."""
    generator = np.random.default_rng(7)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        module = nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES, bias=False))
    return TrainingSetup(
        module=module,
        loss=nn.CrossEntropyLoss(),
        optimizer=torch.optim.Adam,
        columns={
            "features": (generator.integers(-8, 9, (ROWS, FEATURES)) / 8).astype(np.float32),
            "label": generator.integers(0, CLASSES, ROWS),
        },
    )


def small_job(
    *,
    chain_id: int = 0,
    board: bytes = NOWHERE,
    requester: bytes = NOWHERE,
    expiry: int = 0,
    audited: bool = False,
) -> JobFolder:
    """Return the job; what it computes does not depend on the terms given here.

    Args:
        chain_id, board, requester: where it is to be opened and by whom; left out, nowhere: enough to compute
            states and roots.
        expiry: timestamp in seconds.
        audited: whether anybody may demand pages until then, at the terms of the preset.

    Raises:
        UnsupportedError, MismatchError: this machine's PyTorch does not give the program that it should.
    """
    captured = _captured()
    preset, audit = load_preset("minimal"), NO_AUDIT
    if audited:
        audit = Audit(
            auditor=ANYBODY,
            demand_until=expiry,
            answer_time=preset.answer_time,
            demand_fee=preset.demand_fee,
        )
    job = replace(
        captured.job, chain_id=chain_id, board=board, requester=requester, expiry=expiry, audit=audit
    )
    return replace(captured, job=job)


@cache
def _captured() -> JobFolder:
    return capture_job(
        small_setup(),
        chain_id=0,
        board=NOWHERE,
        requester=NOWHERE,
        preset=load_preset("minimal"),
        steps=STEPS,
        stride=STRIDE,
        batch=BATCH,
        seed=sha256(b"gavel small job").digest(),
        salt=bytes(32),
        expiry=0,
    )
