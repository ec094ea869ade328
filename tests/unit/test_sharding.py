"""Steps shared by several processes: the plan, sums in parts, and the same bits (trainer.md, K-7 to K-9)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import golden
from benchmarks.zoo.hostile import hostile
from gavel.jobs import capture_job
from protocol.errors import MismatchError, PeerError, UsageError
from protocol.job import load_preset
from protocol.job_folder import JobFolder
from prover.engine.partial_sums import finished
from prover.engine.prepare import executor_of_job
from prover.engine.steps import TIER3
from prover.sharding.executor import SharedExecutor
from prover.sharding.group import Group, Place, free_address
from prover.sharding.plan import Mode, make_plan, share_program
from tests.support.zoo import captured

RECORDED = golden.recorded()
PATIENCE = 60.0


# ------------------------------------------------------------------------------ plans


@pytest.mark.parametrize("name", ["lenet5-max", "resnet20", "vgg11", "mobile-blocks"])
def test_a_convolutional_network_exchanges_nothing_but_parts_of_sums(name: str) -> None:
    _, made = captured(name)
    plan = make_plan(made.program, 2)
    counts = plan.counts()
    assert counts["gathered"] == 0
    assert min(counts["local"], counts["combined"]) >= 12
    convolutions = [
        mode
        for label, mode in zip(made.program.labels, plan.modes, strict=True)
        if label.startswith("convolution")
    ]
    assert {Mode.LOCAL, Mode.COMBINED} <= set(convolutions)


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_shares_are_all_there_is_and_do_not_overlap(world: int) -> None:
    _, made = captured("lenet5-average")
    plan = make_plan(made.program, world)
    shares = [share_program(made.program, plan, rank) for rank in range(world)]
    if not 1 < world <= 3:  # rows in a batch
        assert set(plan.modes) == {Mode.WHOLE}
    numbers = iter(range(10**6))
    for number, node in enumerate(made.program.nodes):
        here = next(numbers)
        own = [share.program.nodes[here] for share in shares]
        if plan.modes[number] is Mode.LOCAL:
            assert sum(part.extent for part in own) == node.extent
            assert all(part.extent for part in own)
        elif plan.modes[number] is Mode.COMBINED:
            assert sum(part.terms for part in own) == node.terms
        else:
            assert {(part.out, part.reduce) for part in own} == {(node.out, node.reduce)}
        if number in plan.gathered:
            next(numbers)


# ------------------------------------------------------------------------------ sums in parts


def _two_sum(terms: list[float]) -> list[float]:
    total = errors = sizes = 0.0
    for x in terms:
        after = total + x
        back = after - total
        error = (total - (after - back)) + (x - back)
        total, errors, sizes = after, errors + error, sizes + abs(error)
    return [total, errors, sizes]


_NUMBERS = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.sampled_from([1.0, -1.0, 2.0**-24, -(2.0**-24), 2.0**-80, 2.0**60, -(2.0**60), 2.0**-149]),
)


@given(st.lists(st.lists(_NUMBERS, max_size=12), min_size=2, max_size=4))
def test_parts_of_a_sum_are_rounded_once_or_left_open(parts: list[list[float]]) -> None:
    terms = [x for part in parts for x in part]
    words, open_ = finished([np.array([_two_sum(part)]) for part in parts], len(terms))
    if open_[0]:
        return
    exact = sum((Fraction(x) for x in terms), Fraction(0))
    word = np.uint32(words[0])
    found = Fraction(float(word.view(np.float32))) if np.isfinite(word.view(np.float32)) else None
    if found is None:
        assert abs(exact) >= Fraction(2) ** 128 - Fraction(2) ** 103
        return
    assert words[0] != 0x80000000
    for other in (int(word) - 1, int(word) + 1):
        near = np.uint32(other % 2**32).view(np.float32)
        if np.isfinite(near):
            assert abs(found - exact) <= abs(Fraction(float(near)) - exact)


def test_infinities_and_nan_of_any_part_are_the_result() -> None:
    inf = float("inf")
    cases = [([inf], [1.0], 0x7F800000), ([inf], [-inf], 0x7FC00000), ([float("nan")], [1.0], 0x7FC00000)]
    for a, b, word in cases:
        with np.errstate(all="ignore"):
            parts = [np.array([_two_sum(a)]), np.array([_two_sum(b)])]
        words, open_ = finished(parts, 2)
        assert (int(words[0]), bool(open_[0])) == (word, False)


# ------------------------------------------------------------------------------ processes


@contextmanager
def _followed(path: Path, address: str, world: int) -> Iterator[list[subprocess.Popen[str]]]:
    """The other processes of a group, as `gavel trainer follow` starts them."""
    others = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "gavel", "trainer", "follow", str(path)),
                *("--share", f"{rank}/{world}", "--rendezvous", address),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2, world + 1)
    ]
    try:
        yield others
    finally:
        for other in others:
            other.kill()
            other.communicate()


@contextmanager
def _shared(path: Path, world: int = 2, *, others_path: Path | None = None) -> Iterator[SharedExecutor]:
    address = free_address()
    with _followed(others_path or path, address, world) as others:
        group = Group(Place(rank=0, world=world, rendezvous=address, patience=PATIENCE))
        try:
            executor = SharedExecutor(JobFolder.load(path), group)
            yield executor
            executor.close()
            assert [other.wait(30) for other in others] == [0] * len(others)
        finally:
            group.close()


@pytest.mark.parametrize(("name", "world"), [("lenet5-max", 3), ("gpt", 2), ("two-tower", 2)])
def test_a_training_shared_by_processes_ends_in_the_recorded_state(
    name: str, world: int, tmp_path: Path
) -> None:
    folder = golden.golden_job(name)
    folder.save(tmp_path / "job")
    with _shared(tmp_path / "job", world) as executor:
        assert set(executor.plan.modes) == set(Mode)
        assert golden.final_root(folder, executor) == RECORDED[name]["final"]
        # Another state than the last one, and a step of which all outputs are wanted.
        once = executor.run(list(folder.genesis), 0, keep_outputs=False)
        alone = executor.run(list(folder.genesis), 0)
        assert all(np.array_equal(a, b) for a, b in zip(once.next_state, alone.next_state, strict=True))
        assert once.loss == alone.loss


def test_what_no_part_can_certify_is_summed_term_by_term(tmp_path: Path) -> None:
    folder = capture_job(
        hostile(width=16, batch=8).setup,
        chain_id=1,
        board=bytes(20),
        requester=bytes(20),
        preset=load_preset("full"),
        steps=2,
        stride=2,
        batch=8,
        seed=bytes(32),
        salt=bytes(32),
        expiry=1 << 33,
    )
    folder.save(tmp_path / "job")
    right = golden.final_root(folder, executor_of_job(folder))
    with _shared(tmp_path / "job") as executor:
        assert golden.final_root(folder, executor) == right
        assert executor._share.flags[:, TIER3].sum() >= 2 * 16 * 16


def test_a_process_that_dies_ends_the_group_and_says_what_to_do(tmp_path: Path) -> None:
    folder = golden.golden_job("lenet5-max")
    folder.save(tmp_path / "job")
    address = free_address()
    with _followed(tmp_path / "job", address, 2) as (other,):
        group = Group(Place(rank=0, world=2, rendezvous=address, patience=PATIENCE))
        try:
            executor = SharedExecutor(folder, group)
            executor.run(folder.genesis, 0, keep_outputs=False)
            other.kill()
            other.wait()
            with pytest.raises(PeerError, match="start all processes again, and training goes on after the"):
                golden.final_root(folder, executor)
            # What a dispute needs is still computed, and leaving waits for nobody.
            assert executor.run(folder.genesis, 0).outputs
            executor.close()
        finally:
            group.close()


def test_followers_of_another_job_are_refused(tmp_path: Path) -> None:
    for name in ("gru", "lenet5-max"):
        golden.golden_job(name).save(tmp_path / name)
    with (
        pytest.raises(MismatchError, match="do not have the same job"),
        _shared(tmp_path / "gru", others_path=tmp_path / "lenet5-max"),
    ):
        pass


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (Place(rank=0, world=1, rendezvous="tcp://127.0.0.1:1"), "at least 2 processes"),
        (Place(rank=2, world=2, rendezvous="tcp://127.0.0.1:1"), "process 3 of 2"),
        (Place(rank=0, world=2, rendezvous="somewhere"), "write tcp://host:port"),
    ],
)
def test_a_place_that_makes_no_sense_is_refused(place: Place, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Group(place)


def test_a_group_that_does_not_meet_says_so() -> None:
    with pytest.raises(PeerError, match="the 2 processes did not all meet at"):
        Group(Place(rank=0, world=2, rendezvous=free_address(), patience=1.0))
