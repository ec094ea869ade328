"""`gavel monitor` (A-32): it forecasts every dispute, sends nothing, and says where the chain disagrees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from gavel.awaited import awaited
from gavel.cli import cli
from gavel.jobs import make_executor
from gavel.metrics.names import Metrics
from gavel.monitor.agent import Monitor
from gavel.monitor.forecast import Winner, winner
from gavel.scenarios.cheats import CHEATS
from protocol.chain.devnet import Devnet
from protocol.errors import AttentionError
from protocol.game.trace import HONEST
from protocol.game.view import DisputeInfo, DisputeStatus, UpdateStatus
from tests.support.watching import Field, Lines


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Field:
    return Field(tmp_path_factory.mktemp("field"))


@pytest.fixture
def field(opened: Field, tmp_path: Path) -> Iterator[Field]:
    yield from opened.lent(tmp_path)


def _monitor(field: Field, lines: Lines, metrics: Metrics | None = None) -> Monitor:
    return Monitor(
        metrics=metrics,
        contracts=field.contracts["other"],
        folder=field.folder,
        executor=make_executor(field.folder),
        log=lines,
    )


def _settled(monitor: Monitor) -> None:
    while monitor.turn():
        pass


def test_a_wrong_update_that_nobody_disputes_is_said_in_time(field: Field) -> None:
    field.cheat().train(2)
    lines, metrics = Lines(), Metrics()
    monitor, before = _monitor(field, lines, metrics), field.nonce("other")
    _settled(monitor)
    assert lines.at("error") == []
    [warned] = [line for line in lines.at("warning") if line.startswith("MAY GO WRONG")]
    assert "nobody disputes that segment" in warned
    [update] = field.updates()
    window = field.folder.job.clocks.window
    field.pass_time(update.deadline - field.now() - window // 5)
    _settled(monitor)
    assert any("nobody disputes" in line for line in lines.at("error"))
    field.pass_time(10**4)
    _settled(monitor)
    assert field.updates()[0].status == UpdateStatus.FINAL
    assert any("THE CHAIN DISAGREES" in line and "is final" in line for line in lines.at("error"))
    job = field.folder.job.job_id.hex()
    served = metrics.registry.get_sample_value("gavel_monitor_findings", {"job": job, "level": "error"})
    assert served == 1
    assert field.nonce("other") == before


def test_a_dispute_that_goes_as_it_must_is_forecast_at_every_move(field: Field) -> None:
    party, watcher, lines = field.cheat(), field.watcher(), Lines()
    party.train(2)
    monitor = _monitor(field, lines)
    forecasts: list[Winner] = []

    def look() -> None:
        _settled(monitor)
        forecasts.extend(monitor.forecasts.values())

    field.play(lambda: watcher, party, between=look)
    look()
    assert field.updates()[0].status == UpdateStatus.FALLEN
    assert set(forecasts) == {Winner.CHALLENGER}
    assert len(forecasts) > 10
    assert lines.at("error") == []
    assert lines.saying("it would have selected")
    assert lines.saying("it would have proved")


def test_a_right_update_that_is_not_defended_is_said(field: Field) -> None:
    party, lines = field.trainer("trainer", hooks=HONEST), Lines()
    party.train(2)
    lie = CHEATS["partial-sum"].prepare(field.folder, step=4, seed=0)
    accuser, monitor = field.watcher(hooks=lie.hooks), _monitor(field, lines)
    for _ in range(2):
        assert accuser.step()
    _settled(monitor)
    assert list(monitor.forecasts.values()) == [Winner.DEFENCE]
    assert lines.at("error") == []
    field.view.refresh()
    [dispute] = field.view.disputes()
    [move] = awaited(field.view, dispute)
    field.pass_time(move.limit - field.now() - 1)
    _settled(monitor)
    assert any("has to answer" in line for line in lines.at("warning"))
    field.pass_time(2)
    _settled(monitor)
    assert any("nobody answered" in line for line in lines.at("error"))
    assert accuser.step()  # settles: the right update falls
    _settled(monitor)
    assert any("fell, and every state of it is right" in line for line in lines.at("error"))


def test_a_right_challenger_that_sleeps_is_said(field: Field) -> None:
    party, watcher, lines = field.cheat(), field.watcher(), Lines()
    party.train(2)
    for _ in range(2):
        watcher.step()
    party.agent.step()
    monitor = _monitor(field, lines)
    _settled(monitor)
    field.view.refresh()
    [dispute] = field.view.disputes()
    [move] = awaited(field.view, dispute)
    field.pass_time(move.limit - field.now() - 1)
    _settled(monitor)
    assert any("challenger is right, and has to move" in line for line in lines.at("warning"))
    field.pass_time(2)
    party.agent.step()
    assert field.disputes() == [DisputeStatus.LOST]
    _settled(monitor)
    assert any("is lost, and its challenger was right" in line for line in lines.at("error"))


def test_who_must_win_is_known_only_where_the_states_are() -> None:
    update = b"u" * 32

    def dispute(segment: int) -> DisputeInfo:
        return DisputeInfo(
            dispute=b"d" * 32,
            update=update,
            segment=segment,
            challenger=bytes(20),
            reserved_at=0,
            status=DisputeStatus.OPEN,
        )

    assert winner({}, dispute(3)) == Winner.UNKNOWN
    assert winner({update: None}, dispute(3)) == Winner.DEFENCE
    wrong = {update: 3}
    assert [winner(wrong, dispute(s)) for s in (2, 3, 4)] == [
        Winner.DEFENCE,
        Winner.CHALLENGER,
        Winner.UNKNOWN,
    ]


def test_the_command_ends_with_9_where_the_chain_disagrees(field: Field) -> None:
    field.deployment.save(field.tmp / "deployment.json")
    field.folder.save(field.tmp / "job")
    first = field.trainer("trainer")
    first.train(1)
    first.release()
    with Devnet(field.chain, port=0) as devnet:
        arguments = ["monitor", str(field.tmp / "job"), "--once", "--rpc", devnet.url]
        arguments += ["--deployment", str(field.tmp / "deployment.json"), "--metrics", "0"]
        done = CliRunner().invoke(cli, arguments)
        assert done.exit_code == 0, (done.exception, done.output)
        assert "serves metrics" in done.output
        field.cheat().train(1)
        field.pass_time(10**4)
        done = CliRunner().invoke(cli, arguments)
    assert isinstance(done.exception, AttentionError), done.output
    assert done.exception.exit_code == 9
