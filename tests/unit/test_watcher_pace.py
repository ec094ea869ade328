"""Whether a machine keeps up (A-9), what confirmations cost (A-10), exposure (A-14), and how it is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from challenger.ledger import Ledger, exposure
from challenger.pace import Machine, Pace, block_time, check_confirmations, judge, judge_together, measure
from gavel import cli
from gavel.commands.logs import line_log
from gavel.jobs import make_executor
from gavel.scenarios.job import small_job
from protocol.chain.court_view import ChainView
from protocol.chain.moves import send_move
from protocol.errors import UsageError
from protocol.game import moves as m
from protocol.job import Job
from tests.support.watching import PURSE, Field, Lines


@pytest.fixture(scope="module")
def job() -> Job:
    """Segments of 3 steps; r 10 s, W 600 s, R 60 s, A 30 s, up to 7 segments an update."""
    return small_job().job


def _pace(segment: float) -> Pace:
    return Pace(step=segment / 3, state=0.0, outputs=0.0)


def test_what_is_measured_is_what_a_replay_takes() -> None:
    folder = small_job()
    pace = measure(make_executor(folder), folder)
    assert 0 < pace.step < 1
    assert 0 < pace.state < 1
    assert 0 < pace.outputs < 1
    assert pace.segment(3) == 3 * pace.step + pace.state
    assert pace.trace(3) > pace.segment(3)


@pytest.mark.parametrize(
    ("seconds", "level", "words"),
    [
        (0.1, "info", "keeps up: 0.1 s for a segment of 3 steps, the job allows 10 s: 100 times to spare"),
        (9.0, "warning", "with little to spare"),
        (80.0, "warning", "Updates of up to 7 segments can still be checked"),
        (130.0, "warning", "Updates of up to 5 segments can still be checked"),
        (700.0, "error", "Not even an update of one segment"),
    ],
)
def test_the_pace_is_judged_by_the_clocks(job: Job, seconds: float, level: str, words: str) -> None:
    found = judge(_pace(seconds), job)[0]
    assert found.level == level
    assert words in found.text
    if "up to" in words:
        most = int(words.split()[4])
        clocks = job.clocks
        assert most * seconds <= clocks.window + most * clocks.replay
        longer = most + 1
        assert most == job.geometry.max_segments or longer * seconds > clocks.window + longer * clocks.replay


def test_a_trace_that_takes_longer_than_a_and_r_is_an_error(job: Job) -> None:
    slow = Pace(step=0.01, state=30.0, outputs=0.0)
    assert judge(slow, job)[1].level == "error"
    assert "a dispute would be lost" in judge(slow, job)[1].text
    assert judge(_pace(0.1), job)[1].level == "info"


def test_several_jobs_add_up(job: Job) -> None:
    assert judge_together([(_pace(4), job)]) is None
    few = judge_together([(_pace(2), job), (_pace(4), job)])
    assert few is not None
    assert (few.level, "1.67 times to spare" in few.text) == ("info", True)
    many = judge_together([(_pace(6), job)] * 2)
    assert many is not None
    assert (many.level, "1.2 times" in many.text) == ("warning", True)
    machine = Machine()
    assert len(machine.found(_pace(1), job)) == 2
    assert len(machine.found(_pace(1), job)) == 3


def test_confirmations_that_no_clock_allows_are_refused(job: Job) -> None:
    assert check_confirmations(0, 12.0, job.clocks) is None
    for blocks, level in ((1, "info"), (2, "warning"), (4, "warning")):
        found = check_confirmations(blocks, 12.0, job.clocks)
        assert found is not None
        assert found.level == level
    with pytest.raises(UsageError, match=r"5 confirmations take 60 s.*use --confirmations 1 or fewer"):
        check_confirmations(5, 12.0, job.clocks)


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Field:
    return Field(tmp_path_factory.mktemp("field"))


def test_a_pause_does_not_change_the_block_time(field: Field) -> None:
    field.mine(20)
    field.pass_time(10**5)
    assert block_time(field.contracts["other"].client) == 1.0


def test_exposure_is_read_from_the_chain_alone(field: Field) -> None:
    money, job_id = field.folder.job.money, field.folder.job.job_id
    account = field.account("watcher")

    def now() -> object:
        view = ChainView(field.contracts["other"])
        view.refresh()
        found = exposure(view, account)
        assert found.balance + found.locked == PURSE + found.earned - found.forfeited - found.credit
        return found.open, found.won, found.lost, found.locked, found.forfeited, found.earned > 0

    assert now() == (0, 0, 0, 0, 0, False)
    watcher = field.watcher()
    watcher.approve()
    cancelled = m.Reserve(job=job_id, digest=bytes(32))
    send_move(field.contracts["watcher"], cancelled)
    assert now() == (0, 0, 0, money.challenge_bond, 0, False)
    field.pass_time(field.folder.job.clocks.opening + 1)
    send_move(field.contracts["watcher"], m.CancelReservation(digest=bytes(32)))
    assert now() == (0, 0, 0, 0, 0, False)
    cheat = field.cheat()
    cheat.train(2)
    log = Lines()
    ledger = Ledger(field.contracts["watcher"], account, log=log)
    told = field.watcher(ledger=ledger)
    while not any(isinstance(move, m.Open) for move in told.step()):
        pass
    assert now() == (1, 0, 0, money.challenge_bond, 0, False)
    field.pass_time(10_000)  # the cheat is silent
    while told.step():
        pass
    assert now() == (0, 1, 0, 0, 0, True)
    lines = log.saying("disputes:")
    assert len(lines) == len(set(lines)) >= 4
    told.step()
    assert log.saying("disputes:") == lines


def test_means_are_checked_before_they_are_needed(field: Field) -> None:
    log = Lines()
    Ledger(field.contracts["watcher"], field.account("watcher"), log=log).check_means(field.folder.job)
    assert log.told == []
    dear = replace(field.folder.job, money=replace(field.folder.job.money, challenge_bond=10**30))
    Ledger(field.contracts["watcher"], field.account("watcher"), log=log).check_means(dear)
    [said] = log.at("error")
    assert "could not dispute" in said


def test_lines_for_people_and_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "no\n2026-01-01 ERROR watcher: all is well\x1b[2J"
    told = {"update": b"\xab" * 32, "account": b"\x01" * 20, "gas": 7, "why": "a b", "segment": 3, "s": 1 / 3}
    line_log("watcher", job=bytes(32))(hostile, level="error", **told)
    line_log("watcher", form="json", job=bytes(32))(hostile, level="error", **told)
    text, data, *rest = capsys.readouterr().out.split("\n")
    assert rest == [""]
    assert "\x1b" not in text
    assert text[21:].startswith(
        "ERROR   watcher: no\\n2026-01-01 ERROR watcher: all is well\\x1b[2J job=000000000000"
    )
    assert text.endswith('update=abababababab account=0x010101010101 gas=7 why="a b" s=0.3333')
    parsed = json.loads(data)
    assert parsed["text"] == hostile
    assert parsed["update"] == "ab" * 32
    assert (parsed["level"], parsed["actor"], parsed["gas"], parsed["segment"]) == ("error", "watcher", 7, 3)
    assert parsed["account"] == "0x" + "01" * 20


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--account", "0x" + "11" * 20], "use it with --dry-run"),
        (["--dry-run", "--account", "0x11"], "is not an address"),
        ([], "no private key"),
    ],
)
def test_wrong_options_are_refused_before_anything_else(
    options: list[str], words: str, tmp_path: Path
) -> None:
    small_job().save(tmp_path / "job")
    result = CliRunner().invoke(
        cli.cli,
        ["watch", str(tmp_path / "job"), "--rpc", "http://127.0.0.1:9", *options],
        env={"GAVEL_KEY": None},
    )
    assert isinstance(result.exception, UsageError)
    assert words in str(result.exception)


def test_one_job_twice_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        small_job().save(tmp_path / name)
    folders = [str(tmp_path / name) for name in ("a", "b")]
    arguments = ["watch", *folders, "--rpc", "http://127.0.0.1:9", "--dry-run"]
    result = CliRunner().invoke(cli.cli, arguments, env={"GAVEL_KEY": None})
    assert isinstance(result.exception, UsageError)
    assert "hold the same job" in str(result.exception)
