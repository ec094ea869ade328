"""Demands for pages in `gavel status`, the metrics and `gavel monitor` (availability.md; A-32)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from challenger.sampling import BEACON_DELAY
from gavel.cli import cli
from gavel.jobs import make_executor
from gavel.metrics.health import Health
from gavel.metrics.meter import Meter
from gavel.metrics.names import Metrics
from gavel.monitor.agent import Monitor
from protocol.amounts import amount
from protocol.chain.court_view import ChainView
from protocol.chain.devnet import Devnet
from protocol.game import demand_moves as d
from protocol.game.view import UpdateStatus
from tests.support.watching import Field, Lines
from tests.unit.test_sampling import ANSWER_TIME, FEE, PAGES, answers, audited, sampler, stored


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Field:
    return Field(tmp_path_factory.mktemp("field"))


@pytest.fixture
def field(opened: Field, tmp_path: Path) -> Iterator[Field]:
    yield from opened.lent(tmp_path)


def asked(field: Field, *, who: str = "trainer", cheat: bool = False) -> tuple[Any, Any]:
    """A job, and its trainer, of whose update some pages are demanded."""
    folder = audited(field)
    party = field.cheat(folder=folder, step=0) if cheat else field.trainer(who, folder=folder)
    party.train(1)
    field.mine(BEACON_DELAY)
    assert len(sampler(field, folder).step()) == PAGES
    return folder, party


def status(field: Field, folder: Any, *arguments: str) -> str:
    where, job = field.tmp / "deployment.json", field.tmp / "job"
    field.deployment.save(where)
    if not job.exists():
        folder.save(job)
    with Devnet(field.chain, port=0) as devnet:
        done = CliRunner().invoke(
            cli,
            ["status", str(job), *arguments, "--deployment", str(where), "--rpc", devnet.url],
            env={"COLUMNS": "300"},
        )
    assert done.exit_code == 0, (done.exception, done.output)
    return done.output


def test_status_says_who_asks_and_by_when(field: Field) -> None:
    folder, party = asked(field)
    [update] = json.loads(status(field, folder, "--json"))["jobs"][0]["updates"]
    asker = "0x" + field.account("watcher").hex()
    assert [(known["asker"], known["fee"]) for known in update["demands"]] == [(asker, str(FEE))] * PAGES
    due = [known["due"] for known in update["demands"]]
    assert due == sorted(due)
    assert due[-1] == field.now() + ANSWER_TIME
    said = status(field, folder, "--account", asker)
    assert f"{asker[:10]} demands {PAGES} pages, the first within" in said
    assert f"{amount(PAGES * FEE)} locked" in said
    field.pass_time(ANSWER_TIME + 1)
    assert f"{asker[:10]} demands {PAGES} pages, the first LATE" in status(field, folder)
    assert sampler(field, folder).step()
    assert len(sampler(field, folder).step()) == PAGES - 1
    assert json.loads(status(field, folder, "--json"))["jobs"][0]["updates"][0]["demands"] == []
    assert answers(field, folder, stored(party)).step() == []


def test_metrics_count_them_and_say_when_the_next_is_due(field: Field) -> None:
    folder, party = asked(field)
    job = folder.job.job_id.hex()

    def served(who: str) -> dict[str, float | None]:
        metrics, contracts = Metrics(), field.contracts[who]
        meter = Meter(
            contracts=contracts,
            view=ChainView(contracts),
            metrics=metrics,
            health=Health(),
            account=field.account(who),
            log=Lines(),
        )
        meter.follow(folder.job.job_id, 60.0)
        meter.turn()
        read = metrics.registry.get_sample_value
        found = {kind: read("gavel_demands", {"job": job, "kind": kind}) for kind in ("open", "own", "shown")}
        found["locked"] = read("gavel_tokens", {"kind": "locked"})
        found["spent"] = read("gavel_tokens", {"kind": "spent"})
        return found | {"due": read("gavel_demand_due_left_seconds", {"job": job})}

    first = field.view.open_demands(field.updates(folder)[0].update)[0]
    left = first.due - field.now()
    assert served("watcher") == {
        "open": PAGES, "own": PAGES, "shown": 0, "locked": PAGES * FEE, "spent": 0, "due": left,
    }  # fmt: skip
    assert served("trainer") == {
        "open": PAGES, "own": 0, "shown": 0, "locked": 0, "spent": 0, "due": left,
    }  # fmt: skip
    assert len(answers(field, folder, stored(party)).step()) == PAGES
    assert served("watcher") == {
        "open": 0, "own": 0, "shown": PAGES, "locked": 0, "spent": PAGES * FEE, "due": None,
    }  # fmt: skip


def _monitor(field: Field, folder: Any, lines: Lines) -> Monitor:
    return Monitor(
        contracts=field.contracts["other"], folder=folder, executor=make_executor(folder), log=lines
    )


def _settled(monitor: Monitor) -> None:
    while monitor.turn():
        pass


def test_the_monitor_says_what_a_right_update_is_about_to_fall_by(field: Field) -> None:
    folder, _ = asked(field)
    lines = Lines()
    monitor = _monitor(field, folder, lines)
    _settled(monitor)
    assert monitor.findings == []
    update = field.updates(folder)[0].update
    first = field.view.open_demands(update)[0]
    field.pass_time(first.due - field.now() - ANSWER_TIME // 5)
    _settled(monitor)
    [warned] = [line for line in lines.at("warning") if line.startswith("MAY GO WRONG")]
    assert f"is right, and page {first.page} of slot {first.slot} is demanded and not shown yet" in warned
    assert lines.at("error") == []
    field.pass_time(first.due - field.now())  # its last second
    _settled(monitor)
    assert lines.at("error") == []
    field.pass_time(1)
    _settled(monitor)
    [said] = lines.at("error")
    assert said.startswith("THE CHAIN DISAGREES")
    assert "was not shown in time" in said
    field.pass_time(PAGES)
    assert [type(move) for move in sampler(field, folder).step()] == [d.Expire]
    assert field.updates(folder)[0].status == UpdateStatus.FALLEN
    _settled(monitor)
    assert any("fell, and every state of it is right" in line for line in lines.at("error"))


def test_what_is_shown_in_time_is_no_matter(field: Field) -> None:
    folder, party = asked(field)
    assert len(answers(field, folder, stored(party)).step()) == PAGES
    lines = Lines()
    field.pass_time(ANSWER_TIME + 1)
    _settled(_monitor(field, folder, lines))
    assert lines.at("error") == []
    assert not [line for line in lines.at("warning") if "WRONG" in line]


def test_a_wrong_update_may_fall_by_its_pages(field: Field) -> None:
    """That it falls is no harm: the monitor says only that nobody disputes it."""
    folder, _ = asked(field, cheat=True)
    lines = Lines()
    field.pass_time(ANSWER_TIME + 1)
    monitor = _monitor(field, folder, lines)
    _settled(monitor)
    assert monitor.findings
    assert all("page" not in finding.text for finding in monitor.findings)
