"""What is shown of a job before it is paid for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gavel.scenarios.job import small_job
from gavel.scenarios.plays import play
from gavel.summary import (
    duration,
    identity_rows,
    moment,
    program_rows,
    terms_rows,
)
from protocol.game.bounds import dispute_seconds, longest_of

JOB = small_job(chain_id=5, board=b"\x01" * 20, requester=b"\x02" * 20, expiry=1_800_000_000)


def test_the_longest_dispute_that_is_announced_is_the_one_that_is_played() -> None:
    played = play("partial-sum").transactions
    said = dict(program_rows(JOB))["dispute"]
    assert f", {played - 1} transactions and one to reserve;" in said
    seconds = dispute_seconds(JOB.job.clocks, longest_of(JOB.job.geometry, JOB.program))
    assert f"; over within {duration(seconds)};" in said


def test_a_wider_fan_out_takes_fewer_levels() -> None:
    geometry = JOB.job.geometry
    levels = [longest_of(replace(geometry, fanout_log2=f), JOB.program).levels for f in range(1, 9)]
    assert levels == sorted(levels, reverse=True)
    assert levels[-1] == 5  # STEPS, NODES, TENSOR, PAGE, FOLD: one list each
    # where no fold is bisected there is no such level
    assert longest_of(replace(geometry, fanout_log2=8, range_log2=6), JOB.program).levels == 4


def test_every_figure_is_the_jobs() -> None:
    rows = dict(program_rows(JOB))
    assert rows["nodes"].startswith("71: ")
    assert rows["optimizer"] == "Adam"
    assert rows["model"] == f"{8 * 9 + 9 + 9 * 3} words of parameters and buffers"
    assert rows["state"].startswith(f"{3 * (8 * 9 + 9 + 9 * 3) + 3} words in 12 slots")
    assert rows["data"] == "12 rows, 432 bytes: features [8] f32, label [] i32"
    assert rows["training"] == "12 steps of 5 rows, 5.00 epochs"
    assert rows["segments"] == "4 of 3 steps, up to 7 an update"
    assert "mm" in rows["operators"]


def test_money_and_clocks_in_words() -> None:
    rows = dict(terms_rows(JOB))
    assert rows["you pay"] == "2 x 10^6: 500,000 for each segment"
    assert rows["challenge window"] == "10 minutes, and 10 seconds for each segment"
    assert rows["expires"] == "2027-01-15 08:00 UTC"
    assert dict(terms_rows(JOB, expiry="later"))["expires"] == "later"
    assert dict(identity_rows(JOB))["chain, board"] == "5, 0x" + "01" * 20


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (60, "1 minute"),
        (3_661, "1 hour 1 minute"),
        (172_800, "2 days"),
        (90_061, "1 day 1 hour"),
    ],
)
def test_durations(seconds: int, text: str) -> None:
    assert duration(seconds) == text


def test_times_beyond_the_calendar_are_told_in_seconds() -> None:
    assert moment(0) == "1970-01-01 00:00 UTC"
    assert moment(2**255) == f"{2**255:,} seconds after 1970"
