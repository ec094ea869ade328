"""`gavel status`: what it says of a board, before, in and after a dispute."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gavel.awaited import Side, awaited
from gavel.cli import cli
from protocol.chain.devnet import Devnet
from protocol.errors import ChainError, GavelError, MalformedError, UsageError
from protocol.game.view import DisputeStatus
from tests.support.watching import Field


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Field:
    return Field(tmp_path_factory.mktemp("field"))


@pytest.fixture
def field(opened: Field, tmp_path: Path) -> Iterator[Field]:
    yield from opened.lent(tmp_path)


def _status(field: Field, *arguments: str, rpc: str | None = None) -> Result:
    where = field.tmp / "deployment.json"
    field.deployment.save(where)
    with Devnet(field.chain, port=0) as devnet:
        return CliRunner().invoke(
            cli,
            ["status", *arguments, "--deployment", str(where), "--rpc", rpc or devnet.url],
            env={"COLUMNS": "300"},
        )


def _json(field: Field, *arguments: str) -> dict[str, Any]:
    result = _status(field, "--json", *arguments)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.output)
    return found


def test_it_says_whose_move_it_is_and_by_when(field: Field) -> None:
    party, watcher = field.cheat(), field.watcher()
    party.train(2)
    assert _json(field)["jobs"][0]["posted"] == 2
    for _ in range(2):  # reserve, open
        watcher.step()
    seen = _json(field, "--account", "0x" + field.account("watcher").hex())
    [job] = seen["jobs"]
    [update] = job["updates"]
    [dispute] = update["disputes"]
    [move] = dispute["awaited"]
    field.view.refresh()
    [found] = field.view.disputes()
    ends_at = field.view.position(field.view.demands(found.dispute)[0]).ends_at
    assert (move["side"], move["limit"], move["candidate"]) == ("defence", ends_at, None)
    assert "states within the segment" in move["move"]
    assert (job["job"], update["status"], dispute["status"]) == (
        field.folder.job.job_id.hex(), "pending", "open",
    )  # fmt: skip
    bond = field.folder.job.money.challenge_bond
    assert seen["exposure"]["locked"] == str(bond)
    assert seen["account"] == "0x" + field.account("watcher").hex()
    assert "defence: commit to the states within the segment within" in _status(field).output

    party.agent.step()
    [move] = _json(field)["jobs"][0]["updates"][0]["disputes"][0]["awaited"]
    assert move["side"] == "challenger"
    field.pass_time(10**6)
    [move] = _json(field)["jobs"][0]["updates"][0]["disputes"][0]["awaited"]
    assert (move["side"], move["move"], move["limit"]) == ("anyone", "timeout", 0)


def test_every_moment_of_a_dispute_waits_for_somebody(field: Field) -> None:
    party = field.cheat()
    party.train(2)
    sides: list[Side] = []

    def look() -> None:
        field.view.refresh()
        for dispute in field.view.disputes():
            moves = awaited(field.view, dispute)
            assert bool(moves) == (dispute.status == DisputeStatus.OPEN)
            assert [move.limit for move in moves] == sorted(move.limit for move in moves)
            sides.extend(move.side for move in moves)

    watcher = field.watcher()
    field.play(lambda: watcher, party, between=look)
    assert set(sides) == {Side.DEFENCE, Side.CHALLENGER, Side.ANYONE}
    seen = _json(field)
    assert seen["jobs"][0]["falls"] == 1
    assert seen["jobs"][0]["updates"][0]["status"] == "fallen"
    assert seen["jobs"][0]["updates"][0]["disputes"][0]["awaited"] == []


def test_what_cannot_be_read_is_said_with_its_status(field: Field, tmp_path: Path) -> None:
    for arguments, rpc, status in (
        ([str(tmp_path / "none")], None, MalformedError.exit_code),
        ([], "http://127.0.0.1:9", ChainError.exit_code),
        (["--account", "somebody"], None, UsageError.exit_code),
    ):
        error = _status(field, *arguments, rpc=rpc).exception
        assert isinstance(error, GavelError), error
        assert error.exit_code == status
