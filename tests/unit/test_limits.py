"""Spending limits (A-30): what they hold back, and what they never do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from challenger.agent import Watcher
from challenger.limits import Limits, Purse, begins
from gavel.awaited import awaited
from gavel.cli import cli
from protocol.chain.devnet import Devnet
from protocol.errors import AttentionError
from protocol.game.moves import CancelReservation, Commit, Open, Reserve, Withdraw
from protocol.game.view import DisputeStatus, UpdateStatus
from tests.support.watching import Field, Lines


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Field:
    return Field(tmp_path_factory.mktemp("field"))


@pytest.fixture
def field(opened: Field, tmp_path: Path) -> Iterator[Field]:
    yield from opened.lent(tmp_path)


def _watcher(field: Field, limits: Limits, lines: Lines) -> Watcher:
    contracts = field.contracts["watcher"]
    purse = Purse(limits, contracts, contracts.account)
    return field.watcher(log=lines, purse=purse)


@pytest.mark.parametrize("name", ["exposure", "gas"])
def test_nothing_is_begun_beyond_a_limit_and_it_is_said_once(field: Field, name: str) -> None:
    field.cheat().train(2)
    bond = field.folder.job.money.challenge_bond
    # What was paid for gas before counts, so a limit of nothing is passed already.
    limit = Limits(exposure=bond - 1) if name == "exposure" else Limits(gas=0)
    before, lines = field.nonce(), Lines()
    watcher = _watcher(field, limit, lines)
    for _ in range(3):
        assert watcher.step() == []
    assert field.nonce() == before
    [said] = lines.at("error")
    assert f"--max-{name}" in said
    assert said.startswith("HELD BACK Reserve")
    assert _watcher(field, Limits(exposure=bond, gas=10**18, loss=1), lines).step()


@pytest.mark.parametrize("begun", [1, 2], ids=["reserved", "opened"])
def test_what_is_begun_is_finished_whatever_the_limits(field: Field, begun: int) -> None:
    """They are lowered to nothing in the middle: no bond that is locked already is lost by that."""
    party, lines = field.cheat(), Lines()
    party.train(2)
    first = field.watcher()
    for _ in range(begun):
        assert first.step()
    strict = _watcher(field, Limits(exposure=0, loss=0, gas=0), lines)
    field.play(lambda: strict, party)
    assert field.updates()[0].status == UpdateStatus.FALLEN
    assert field.disputes() == [DisputeStatus.CLOSED]
    assert lines.at("error") == []


def test_after_a_loss_nothing_is_begun_even_after_a_restart(field: Field) -> None:
    party = field.cheat()
    party.train(2)
    idle = field.watcher()
    for _ in range(2):
        idle.step()
    party.agent.step()
    field.view.refresh()
    [dispute] = field.view.disputes()
    [awaiting] = awaited(field.view, dispute)
    field.pass_time(awaiting.limit + 1 - field.now())  # the watcher sleeps through its time
    assert party.agent.step()
    assert field.disputes() == [DisputeStatus.LOST]
    assert field.now() < field.updates()[0].deadline
    bond, lines = field.folder.job.money.challenge_bond, Lines()
    strict = _watcher(field, Limits(loss=bond), lines)
    assert strict.step() == []
    assert any("--max-loss" in line for line in lines.at("error"))
    assert _watcher(field, Limits(loss=bond + 1), Lines()).step()


def test_what_begins_something(field: Field) -> None:
    party = field.cheat()
    party.train(2)
    watcher = field.watcher()
    [reserve] = watcher.step()
    assert isinstance(reserve, Reserve)
    [opening] = watcher.step()
    assert isinstance(opening, Open)
    field.view.refresh()
    view, me, other = field.view, field.account("watcher"), field.account("other")
    assert begins(view, reserve, me)
    assert not begins(view, opening, me)  # reserved: its bond is locked
    assert begins(view, opening, other)  # the same from another account has another digest: none is
    for move in (Withdraw(), CancelReservation(digest=reserve.digest)):
        assert not begins(view, move, me)
    [committed] = party.agent.step()
    assert isinstance(committed, Commit)
    field.view.refresh()
    assert begins(view, committed, other)
    assert not begins(view, committed, field.account("cheat"))  # its own update


def test_a_watcher_that_is_told_to_end_says_by_its_status_that_an_operator_must_act(field: Field) -> None:
    field.cheat().train(2)
    field.deployment.save(field.tmp / "deployment.json")
    field.folder.save(field.tmp / "jobs" / "first")
    options = ["--once", "--no-measure", "--max-exposure", "0", "--metrics", "0"]
    where = ["--jobs", str(field.tmp / "jobs"), "--deployment", str(field.tmp / "deployment.json")]
    with Devnet(field.chain, port=0) as devnet:
        done = CliRunner().invoke(
            cli,
            ["watch", *options, *where, "--rpc", devnet.url],
            env={"GAVEL_KEY": "0x" + field.keys["watcher"].hex()},
        )
    assert isinstance(done.exception, AttentionError), (done.exception, done.output)
    assert "--max-exposure" in str(done.exception)
    assert field.disputes() == []
