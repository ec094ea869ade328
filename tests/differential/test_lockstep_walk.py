"""Thousands of random moves, right and wrong ones, on model and contracts side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import get_args

import pytest

from protocol.game import moves as m
from tests.support.game import NEW_MODEL, table
from tests.support.lockstep import Lockstep
from tests.support.walk import Walk, traces_of

WALKS, MOVES, COMPARED_EVERY = 48, 500, 8
KINDS = [kind.__name__ for kind in get_args(m.BoardMove | m.CourtMove)]
ALWAYS = {"Delegate"}
"""What nothing refuses."""


@dataclass
class Walked:
    """What came of all walks: by kind of move and whether it was accepted, and by reason of refusal."""

    meant: Counter[tuple[str, bool]] = field(default_factory=Counter)
    warped: Counter[tuple[str, bool]] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)


@pytest.fixture(scope="module")
def walked() -> Iterator[Walked]:
    traces = traces_of(table())
    token = NEW_MODEL.set(lambda: Lockstep(every=COMPARED_EVERY))
    total = Walked()
    for seed in range(WALKS):
        walk = Walk(seed, traces)
        walk.run(MOVES)
        walk.model.compare()  # type: ignore[attr-defined]
        walk.model.check_conservation()
        total.meant += walk.meant
        total.warped += walk.warped
        total.reasons += walk.reasons
    yield total
    NEW_MODEL.reset(token)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_move_was_mostly_accepted_when_it_was_meant(walked: Walked, kind: str) -> None:
    accepted, refused = walked.meant[kind, True], walked.meant[kind, False]
    assert accepted >= 3
    assert accepted > 4 * refused


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_move_was_refused_when_it_had_gone_wrong(walked: Walked, kind: str) -> None:
    assert (walked.warped[kind, False] >= 3) != (kind in ALWAYS)


def test_moves_were_refused_for_many_reasons_and_by_all_contracts(walked: Walked) -> None:
    by = Counter(reason.split(":")[0] for reason in walked.reasons)
    print(
        f"{sum(walked.meant.values()) + sum(walked.warped.values())} moves, reasons by contract: {dict(by)}"
    )
    assert sum(walked.reasons.values()) > 2000
    assert by["court"] >= 35
    assert by["board"] >= 20
    assert by["verifier"] >= 3
