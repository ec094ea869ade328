"""`gavel verify`: stores of checkpoints against a job, without a chain (requester.md, J-7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from gavel.cli import cli
from gavel.jobs import make_executor
from gavel.scenarios.job import small_job
from protocol.checkpoints import CheckpointStore
from protocol.commitments.canonical import Words
from protocol.errors import GavelError, MalformedError, MismatchError, UsageError
from prover.engine.checkpoints import store_of_job
from prover.engine.executor import Executor
from prover.engine.hashing import state_root
from prover.engine.trace import replay_segment

JOB = small_job()
GEOMETRY = JOB.job.geometry
State = Sequence[Words]
Change = Callable[[int, list[Words]], list[Words]]


@cache
def executor() -> Executor:
    return make_executor(JOB)


def _root(state: State) -> bytes:
    return state_root(state, GEOMETRY.tensor_height, GEOMETRY.n_slots)


def _trained(store: CheckpointStore, *, change: Change | None = None, segments: int = 4) -> list[bytes]:
    """Store what a trainer stores who changes the state after some steps; return the roots."""
    state, root, roots = list(JOB.genesis), JOB.job.genesis, []
    for segment in range(segments):
        losses: list[float] = []
        for step in range(segment * GEOMETRY.stride, (segment + 1) * GEOMETRY.stride):
            state, told = replay_segment(executor(), state, step, 1)
            losses += told
            state = list(state) if change is None else change(step, list(state))
        parent, root = root, _root(state)
        store.save(segments=segment + 1, root=root, parent=parent, losses=losses, state=state)
        roots.append(root)
    return roots


def _flip(at: int, slot: int, word: int, bit: int = 20) -> Change:
    def change(step: int, state: list[Words]) -> list[Words]:
        if step == at:
            state[slot] = state[slot].copy()
            state[slot][word] ^= np.uint32(1 << bit)
        return state

    return change


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    JOB.save(tmp_path / "job")
    return tmp_path / "job"


def _store(folder: Path, name: str = "checkpoints") -> CheckpointStore:
    return store_of_job(JOB, folder / name)


def _verify(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(cli, ["verify", str(folder), *options])


def _refused(folder: Path, error: type[GavelError], *options: str) -> str:
    result = _verify(folder, *options)
    assert isinstance(result.exception, error), (result.exception, result.output)
    return str(result.exception)


def test_an_honest_store_is_right(folder: Path) -> None:
    _trained(_store(folder))
    result = _verify(folder)
    assert result.exit_code == 0
    assert "segments 1 to 4 of 4 are right, replayed from the job's genesis state" in result.output
    assert "4 stored states compared, 0 segments without one" in result.output


def test_the_first_wrong_word_is_named_with_the_step(folder: Path) -> None:
    _trained(_store(folder), change=_flip(4, 1, 3))  # the second step of the second segment
    message = _refused(folder, MismatchError)
    assert message.startswith("segment 2 is wrong in the store ")
    assert "The first difference is in slot 0.weight, word" in message
    assert "step 5, so it happened in step 4 or 5" in message


def test_one_bit_in_the_last_step_is_found_to_the_word(folder: Path) -> None:
    _trained(_store(folder), change=_flip(5, 1, 3), segments=2)
    right = _trained(_store(folder, "honest"), segments=2)
    message = _refused(folder, MismatchError)
    stored = _store(folder, "honest").load(2, right[-1])
    assert stored is not None
    word = int(stored[1][3])
    assert f"slot 0.bias, word 3 [3]: 0x{word ^ 1 << 20:08x}" in message
    assert f"0x{word:08x} (" in message
    assert "1 of its 9 words differ" in message
    assert "All recorded losses are right, so it happened in step 5" in message


def test_only_the_first_wrong_segment_is_named(folder: Path) -> None:
    _trained(_store(folder), change=_flip(2, 0, 0))
    message = _refused(folder, MismatchError)
    assert message.startswith("segment 1 is wrong")


def test_the_store_that_is_wrong_is_named_among_several(folder: Path) -> None:
    _trained(_store(folder, "good"))
    _trained(_store(folder, "bad"), change=_flip(9, 0, 0))
    message = _refused(folder, MismatchError, "--store", str(folder / "good"), "--store", str(folder / "bad"))
    assert message.startswith(f"segment 4 is wrong in the store {folder / 'bad'}")


def test_a_state_that_does_not_hash_to_its_name(folder: Path) -> None:
    roots = _trained(_store(folder))
    path = folder / "checkpoints" / "objects" / f"{roots[2].hex()}.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 0x10
    path.write_bytes(data)
    assert "the store lies or is damaged" in _refused(folder, MismatchError)
    path.unlink()
    assert "lists the state after segment 3" in _refused(folder, MismatchError)
    path.write_bytes(bytes(data[:-40]))  # an interrupted download
    _refused(folder, MalformedError)


def test_a_segment_that_nobody_stored_is_replayed_across(folder: Path) -> None:
    roots = _trained(_store(folder, "all"))
    source, store = _store(folder, "all"), _store(folder)
    for number in (1, 4):
        state = source.load(number, roots[number - 1])
        assert state is not None
        store.save(segments=number, root=roots[number - 1], parent=bytes(32), losses=[], state=state)
    result = _verify(folder)
    assert result.exit_code == 0
    assert "segment 3: nobody has stored the state after it" in result.output
    assert "2 stored states compared, 2 segments without one" in result.output


def test_ranges_start_from_what_is_stored(folder: Path) -> None:
    _trained(_store(folder))
    result = _verify(folder, "--segments", "3:4")
    assert "starts from the stored state after segment 2, which is not checked itself" in result.output
    assert "segments 3 to 4 of 4 are right" in result.output
    assert _verify(folder, "--segments", ":1").exit_code == 0
    for wrong in ("0:1", "3:2", "1:5", "2", "a:b", "1:2:3", "-1:2"):
        assert "--segments" in _refused(folder, UsageError, f"--segments={wrong}")


def test_a_range_behind_a_wrong_state_says_that_it_trusts_it(folder: Path) -> None:
    """From a wrong state on, everything follows: only a replay from genesis tells."""
    _trained(_store(folder), change=_flip(2, 0, 0))
    result = _verify(folder, "--segments", "2:4")
    assert result.exit_code == 0
    assert "not checked itself" in result.output
    _refused(folder, MismatchError)


def test_a_range_needs_the_one_state_before_it(folder: Path) -> None:
    source, store = _store(folder, "all"), _store(folder)
    roots = _trained(source, segments=2)
    state = source.load(2, roots[1])
    assert state is not None
    store.save(segments=2, root=roots[1], parent=roots[0], losses=[], state=state)
    assert "0 states after segment 1" in _refused(folder, UsageError, "--segments", "2:2")
    _trained(_store(folder, "bad"), change=_flip(1, 0, 0), segments=1)
    both = ("--store", str(folder / "all"), "--store", str(folder / "bad"))
    assert "2 states after segment 1" in _refused(folder, UsageError, "--segments", "2:2", *both)


def test_an_empty_store_verifies_nothing(folder: Path) -> None:
    assert "no checkpoint is stored there" in _refused(folder, UsageError)


def test_a_range_in_which_nothing_is_stored_is_no_success(folder: Path) -> None:
    _trained(_store(folder), segments=2)
    assert "no checkpoint is stored there" in _refused(folder, UsageError, "--segments", "3:4")


def test_a_list_of_more_segments_than_the_job_has_is_a_lie(folder: Path) -> None:
    store = _store(folder)
    roots = _trained(store)
    state = store.load(4, roots[-1])
    assert state is not None
    store.save(segments=9, root=roots[-1], parent=bytes(32), losses=[], state=state)
    assert "lists a state after segment 9 of a job of 4" in _refused(folder, MismatchError)


def test_losses_that_lie_do_not_change_the_verdict(folder: Path) -> None:
    store = _store(folder)
    roots = _trained(_store(folder, "all"), segments=1)
    state = _store(folder, "all").load(1, roots[0])
    assert state is not None
    store.save(segments=1, root=roots[0], parent=bytes(32), losses=[9.0, float("nan"), 0.0], state=state)
    assert _verify(folder).exit_code == 0
