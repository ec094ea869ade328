"""`gavel explain --fixture`: the page of a recorded dispute, for a reader without a chain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gavel.cli import cli
from gavel.fixtures.extract import fixture_body, setting_of, steps_on
from gavel.fixtures.format import Fixture
from gavel.fixtures.play import record
from gavel.fixtures.table import ChainSide, embedded
from protocol.errors import MalformedError, MismatchError, UsageError
from tests.support.watching import ROLES, Field


@pytest.fixture(scope="module")
def fixture(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A dispute as it is recorded: a cheat, a watcher, the fall of the update."""
    folder = tmp_path_factory.mktemp("field")
    field = Field(folder)
    party, watcher = field.cheat(), field.watcher()
    party.train(2)
    field.play(lambda: watcher, party)
    accounts = {who: field.account(who) for who in ROLES}
    setting = setting_of(field.chain, field.contracts["deployer"], accounts, by="deployer")
    chain = ChainSide(embedded())
    try:
        steps = record("disputes/test", setting, steps_on(field.chain, setting), chain)
    finally:
        chain.close()
    made = Fixture(
        kind="dispute",
        name="disputes/test",
        about="A cheat and a watcher.",
        rules=("D-1",),
        preset="minimal",
        body=fixture_body(setting, steps),
    )
    found: dict[str, Any] = json.loads(made.text())
    return found


def _explained(data: object, folder: Path, *arguments: str) -> Result:
    path = folder / "fixture.json"
    path.write_text(json.dumps(data))
    options = ["--fixture", str(path), "--out", str(folder / "page.html"), *arguments]
    return CliRunner().invoke(cli, ["explain", *options], env={"GAVEL_RPC": None})


def test_a_page_is_made_without_a_chain(fixture: dict[str, Any], tmp_path: Path) -> None:
    done = _explained(fixture, tmp_path)
    assert done.exit_code == 0, (done.exception, done.output)
    text = (tmp_path / "page.html").read_text()
    for words in ("The number in dispute", "found WRONG", "the update fell", "challenger"):
        assert words in text
    opened = [s for s in fixture["steps"] if s.get("call", "").startswith("open(")]
    [dispute] = [e["arguments"]["dispute"] for e in opened[0]["events"] if e["event"] == "Opened"]
    digits = dispute.removeprefix("0x")
    assert digits in text
    again = _explained(fixture, tmp_path, digits[:12])
    assert isinstance(again.exception, UsageError)
    assert "--force" in str(again.exception)
    assert _explained(fixture, tmp_path, digits[:12], "--force", "--no-replay").exit_code == 0
    assert "The number in dispute" not in (tmp_path / "page.html").read_text()
    assert isinstance(_explained(fixture, tmp_path, "ff" * 32, "--force").exception, UsageError)


def test_what_is_no_dispute_or_does_not_agree_is_refused(fixture: dict[str, Any], tmp_path: Path) -> None:
    place = next(n for n, step in enumerate(fixture["steps"]) if step.get("call", "").startswith("settle("))
    steps = [dict(step) for step in fixture["steps"]]
    steps[place]["events"] = []
    vectors = {key: fixture[key] for key in ("format", "name", "about", "rules", "preset")}
    for data, error in (
        ({"format": "something else"}, MalformedError),
        ({**fixture, "accounts": {}}, MalformedError),
        ({**fixture, "steps": steps}, MismatchError),
        ({**vectors, "kind": "vectors"}, UsageError),
        ({**fixture, "steps": steps[:9]}, UsageError),  # nothing is disputed yet
    ):
        done = _explained(data, tmp_path)
        assert isinstance(done.exception, error), (done.exception, done.output)
        assert done.exception.exit_code == error.exit_code
        assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "or give a --fixture"),
        (["abc"], "or give a --fixture"),
        (["--fixture", "nothing.json"], "does not exist"),
        (["--fixture", "."], "is a folder"),
    ],
)
def test_what_is_missing_is_said(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(cli, ["explain", *arguments], env={"GAVEL_RPC": None})
    assert isinstance(done.exception, UsageError)
    assert said in str(done.exception)
