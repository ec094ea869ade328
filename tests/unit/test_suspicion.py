"""What is replayed first (A-18), and caches within their limit (A-19)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from challenger.cache import FEWEST, Cache
from challenger.suspicion import Change, Evidence, change_of, scores
from gavel.scenarios.job import small_job
from protocol.chain.agent import Said
from protocol.commitments.canonical import Words
from prover.engine.checkpoints import store_of_job
from prover.engine.hashing import state_root
from prover.engine.prepare import executor_of_job
from prover.engine.trace import replay_segment
from tests.support.watching import Lines


def _first(claims: Sequence[Evidence]) -> int:
    found = scores(claims)
    return found.index(max(found))


def _trained(steps: int) -> list[list[Words]]:
    """States of the small job, one after each step."""
    folder = small_job()
    executor, states = executor_of_job(folder), [list(folder.genesis)]
    for step in range(steps):
        states.append(replay_segment(executor, states[-1], step, 1)[0])
    return states


@pytest.mark.parametrize("scale", [0.0, 0.3, 1.7, -1.0])
@pytest.mark.parametrize("tampered", [3, 6, 9])
def test_a_tampered_checkpoint_is_among_the_first(tampered: int, scale: float) -> None:
    """One weight matrix is scaled; the changes to it and back from it are not what is usual."""
    states = _trained(12)
    largest = max(range(len(states[0])), key=lambda slot: states[0][slot].size)
    words = states[tampered][largest].view(np.float32) * np.float32(scale)
    states[tampered][largest] = words.view(np.uint32)
    claims = [
        Evidence(segment=at, change=change_of(states[at], states[at + 1])) for at in range(len(states) - 1)
    ]
    ranked = sorted(range(len(claims)), key=lambda at: -scores(claims)[at])
    assert tampered - 1 in ranked[:2]


def test_lost_numbers_lost_progress_and_records_come_first() -> None:
    usual = [Change(relative=(0.01, 0.1), broken=0)] * 8
    claims = [Evidence(segment=at, change=change) for at, change in enumerate(usual)]
    assert scores(claims) == [0.0] * 8
    broken = Evidence(segment=5, change=Change(relative=(0.01, 0.1), broken=1))
    assert _first([*claims[:5], broken, *claims[6:]]) == 5
    lazy = Evidence(segment=2, change=Change(relative=(0.0, 0.1), broken=0))
    assert _first([*claims[:2], lazy, *claims[3:]]) == 2
    known = Evidence(segment=3, change=usual[0], record=1)
    assert _first([*claims[:3], known, *claims[4:]]) == 3


def test_a_loss_off_its_trend_comes_first_and_what_is_no_loss_before_it() -> None:
    losses = [2.0 - at / 10 for at in range(10)]
    losses[6] = 1.9
    claims = [Evidence(segment=at, loss=loss) for at, loss in enumerate(losses)]
    assert _first(claims) == 6
    losses[3] = float("nan")
    assert _first([Evidence(segment=at, loss=loss) for at, loss in enumerate(losses)]) == 3


def test_a_change_counts_words_that_were_lost_and_not_those_that_never_were() -> None:
    before = [np.array([1.0, 2.0, np.inf, np.nan], np.float32).view(np.uint32)]
    after = [np.array([1.0, np.nan, 1.0, np.nan], np.float32).view(np.uint32)]
    assert change_of(before, after) == Change(relative=(0.0,), broken=1)
    empty = [np.empty(0, np.uint32)]
    assert change_of(empty, empty) == Change(relative=(0.0,), broken=0)


_EVIDENCE = st.builds(
    Evidence,
    segment=st.integers(0, 9),
    change=st.none()
    | st.builds(
        Change,
        relative=st.tuples(*[st.floats(0, 2.0**1000)] * 2),
        broken=st.integers(0, 3),
    ),
    loss=st.none() | st.floats(),
    record=st.integers(0, 9),
)


@given(st.lists(_EVIDENCE, max_size=12))
def test_whatever_a_manifest_says_there_is_an_order(claims: list[Evidence]) -> None:
    found = scores(claims)
    assert len(found) == len(claims)
    assert not any(np.isnan(score) for score in found)
    assert scores(claims) == found


# -------------------------------------------------------------------- caches


def _cache(tmp_path: Path, limit: int) -> Cache:
    return Cache(tmp_path, store_of_job(small_job(), tmp_path), log=Said(Lines()), limit=limit)


def _kept(tmp_path: Path) -> set[str]:
    return {path.stem for path in (tmp_path / "objects").iterdir()}


def test_a_cache_stays_within_its_limit_and_forgets_what_was_used_longest_ago(tmp_path: Path) -> None:
    states, height = _trained(5), small_job().job.geometry.tensor_height
    roots = [state_root(state, height, len(state)) for state in states]
    cache = _cache(tmp_path, limit=1 << 30)
    for place in range(3):
        cache.keep(roots[place], states[place])
    size = sum(path.stat().st_size for path in (tmp_path / "objects").iterdir())
    cache = _cache(tmp_path, limit=size)  # three states
    for age, place in enumerate(range(3)):
        path = tmp_path / "objects" / f"{roots[place].hex()}.safetensors"
        os.utime(path, ns=(age, age))
    assert cache.load(0, roots[0]) is not None  # used now
    cache.keep(roots[3], states[3])
    assert _kept(tmp_path) == {roots[at].hex() for at in (0, 2, 3)}
    cache.pin([roots[2]])
    cache.keep(roots[4], states[4])
    assert roots[2].hex() in _kept(tmp_path)
    small = _cache(tmp_path, limit=1)
    small.trim()
    assert len(_kept(tmp_path)) == FEWEST
    cache.pin([])
    (tmp_path / "objects" / f"{roots[4].hex()}.safetensors").write_bytes(b"damaged")
    assert cache.load(5, roots[4]) is None
    assert not cache.has(roots[4])


def test_a_note_that_was_cut_off_says_nothing(tmp_path: Path) -> None:
    cache = _cache(tmp_path, limit=1)
    cache.note_claim(7, b"\x01" * 32, b"\x02" * 32)
    assert _cache(tmp_path, limit=1).claims == {(7, b"\x01" * 32): b"\x02" * 32}
    notes = tmp_path / "roots.txt"
    whole = notes.read_bytes()
    for end in range(len(whole) - 1):
        notes.write_bytes(whole[:end])
        read = _cache(tmp_path, limit=1)
        assert (read.claims, read.roots) == ({}, {})
