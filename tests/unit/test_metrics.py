"""Metrics and health: what is served is what the specification lists, and what the chain says."""

from __future__ import annotations

import json
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from challenger.limits import Limits
from gavel.metrics.health import Health
from gavel.metrics.meter import Meter
from gavel.metrics.names import HEAD_BLOCK, LINES, METRICS, Kind, Metrics
from gavel.metrics.server import MetricsServer, read_place
from gavel.watching import Choices, Patrol
from protocol.chain.court_view import ChainView
from protocol.errors import ChainError, UsageError
from protocol.game.view import DisputeStatus, UpdateStatus
from tests.support.watching import PURSE, Cut, Field, Lines

ROOT = Path(__file__).parents[2]
Served = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Field:
    return Field(tmp_path_factory.mktemp("field"), provider=Cut)


@pytest.fixture
def field(opened: Field, tmp_path: Path) -> Iterator[Field]:
    yield from opened.lent(tmp_path)


def _get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  (loopback)
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def _samples(url: str) -> Served:
    _, body = _get(f"{url}/metrics")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def _one(served: Served, name: str, **labels: str) -> float | None:
    return served.get((name, frozenset(labels.items())))


def test_the_specification_lists_what_there_is() -> None:
    rows = re.findall(
        r"^\| (gavel_\w+) \| (\w+) \| (.*) \| (.+) \|$", (ROOT / "specs" / "metrics.md").read_text(), re.M
    )
    assert rows == [(m.name, m.kind.value, ", ".join(m.labels), m.help) for m in METRICS]
    assert all((metric.kind == Kind.COUNTER) == metric.name.endswith("_total") for metric in METRICS)


def test_a_watchers_metrics_are_what_the_chain_says(field: Field) -> None:
    party, health, metrics = field.cheat(), Health(), Metrics()
    party.train(2)
    contracts, job = field.contracts["watcher"], field.folder.job.job_id.hex()
    contracts.client.sent.clear()
    view, lines = ChainView(contracts), Lines()
    meter = Meter(
        contracts=contracts,
        view=view,
        metrics=metrics,
        health=health,
        account=field.account("watcher"),
        log=lines,
    )
    patrol = Patrol(
        Choices(key=field.keys["watcher"], account=field.account("watcher"), limits=Limits(loss=1)),
        contracts=contracts,
        view=view,
        log=lambda of: meter.log(lines, job=of.job.job_id if of else None),
        meter=meter,
    )
    watcher = patrol.follow(field.tmp, field.folder)
    server = MetricsServer(metrics, health, ("127.0.0.1", 0))
    try:
        meter.turn()
        served = _samples(server.url)
        assert _one(served, "gavel_segments_behind", job=job) == 2
        assert _one(served, "gavel_updates_compared", job=job, verdict="unknown") == 1
        left = field.updates()[0].deadline - field.now()
        assert _one(served, "gavel_deadline_left_seconds", job=job) == left
        assert _one(served, "gavel_tokens", kind="balance") == PURSE

        for _ in range(2):
            watcher.step()  # reserve, open
        party.agent.step()
        meter.turn()
        served = _samples(server.url)
        assert _one(served, "gavel_deadline_left_seconds", job=job) is None
        assert _one(served, "gavel_updates_compared", job=job, verdict="wrong") == 1
        assert _one(served, "gavel_disputes", job=job, status="open") == 1
        limit = _one(served, "gavel_move_limit_left_seconds", job=job, side="challenger")
        due = _one(served, "gavel_move_due_left_seconds", job=job, side="challenger")
        assert limit is not None
        assert due is not None
        assert 0 < due < limit
        assert _one(served, "gavel_tokens", kind="locked") == field.folder.job.money.challenge_bond

        field.play(lambda: watcher, party)
        meter.turn()
        served = _samples(server.url)
    finally:
        server.close()
    assert field.updates()[0].status == UpdateStatus.FALLEN
    assert field.disputes() == [DisputeStatus.CLOSED]
    sent = contracts.client.sent
    mined = {key: value for key, value in served.items() if key[0] == "gavel_moves_total"}
    moves = [tx for tx in sent if tx.tag != "approve"]
    assert sum(mined.values()) == len(moves)
    assert _one(served, "gavel_moves_total", move="Prove", result="mined") == 1
    assert _one(served, "gavel_gas_used_total", move="Prove") == next(
        tx.gas for tx in sent if tx.tag == "prove"
    )
    spent = sum(tx.gas * tx.price for tx in sent)
    assert spent > 0
    assert _one(served, "gavel_gas_spent_wei_total") == spent
    assert _one(served, "gavel_disputes", job=job, status="closed") == 1
    assert _one(served, "gavel_updates", job=job, status="fallen") == 1
    assert _one(served, "gavel_segment_seconds_count", job=job) == len(lines.saying(": replayed, state"))
    assert _one(served, "gavel_move_limit_left_seconds", job=job, side="challenger") is None
    earned = _one(served, "gavel_tokens", kind="earned")
    assert earned is not None
    assert earned >= field.folder.job.money.bounty
    assert _one(served, "gavel_log_lines_total", level="error") == 0
    known = {name for metric in METRICS for name in metric.samples()}
    # prometheus_client adds when a counter began.
    assert {name for name, _ in served if not name.endswith("_created")} <= known


def test_health_says_what_is_wrong(field: Field) -> None:
    client = field.client("watcher")
    provider = client.web3.provider
    assert isinstance(provider, Cut)
    health, metrics = Health(), Metrics()
    contracts = type(field.contracts["watcher"]).bind(client, field.deployment)
    meter = Meter(
        contracts=contracts,
        view=ChainView(contracts),
        metrics=metrics,
        health=health,
        account=None,
        log=Lines(),
    )
    meter.follow(field.folder.job.job_id, 60.0)
    server = MetricsServer(metrics, health, ("127.0.0.1", 0))
    try:
        meter.turn()
        status, body = _get(f"{server.url}/healthz")
        told = json.loads(body)
        assert (status, told["ok"], told["node_reachable"], told["last_error"]) == (200, True, True, None)
        assert told["block"] == contracts.client.block_number()

        provider.off = True
        with pytest.raises(ChainError):
            meter.turn()
        assert _one(_samples(server.url), "gavel_node_up") == 0
        assert _get(f"{server.url}/healthz")[0] == 200  # for a moment that is no harm
        assert health.looked is not None
        health.looked -= 61
        meter.log(Lines())("the node is out of reach", level="error")
        status, body = _get(f"{server.url}/healthz")
        told = json.loads(body)
        assert (status, told["ok"], told["node_reachable"]) == (503, False, False)
        assert told["wrong"] == ["the chain was not read for too long"]
        assert told["last_error"]["text"] == "the node is out of reach"

        provider.off = False
        meter.turn()
        assert _get(f"{server.url}/healthz")[0] == 200
        health.head = int(time.time()) - 61
        assert json.loads(_get(f"{server.url}/healthz")[1])["wrong"] == ["the node's latest block is too old"]
        assert _get(f"{server.url}/else")[0] == 404
    finally:
        provider.off = False
        server.close()


def test_places_are_read_and_bound_or_refused() -> None:
    assert read_place("9464") == ("127.0.0.1", 9464)
    assert read_place("0.0.0.0:80") == ("0.0.0.0", 80)  # noqa: S104
    assert read_place("[::1]:80") == ("::1", 80)
    for wrong in ("", ":", ":80", "host", "host:", "host:x", "1.1.1.1:65536", "80 "):
        with pytest.raises(UsageError, match="no place"):
            read_place(wrong)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="--metrics"):
            MetricsServer(Metrics(), Health(), taken.getsockname()[:2])


def test_slow_clients_keep_nobody_from_the_metrics() -> None:
    server = MetricsServer(Metrics(), Health(), ("127.0.0.1", 0))
    place = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    try:
        slow = [socket.create_connection(place) for _ in range(8)]
        assert _get(f"{server.url}/metrics")[0] == 200
        for one in slow:
            one.close()
    finally:
        server.close()


def test_a_metric_is_used_as_what_it_is() -> None:
    with pytest.raises(UsageError, match="no gauge"):
        Metrics().set(LINES, 1, "error")
    metrics = Metrics()
    metrics.set(HEAD_BLOCK, 3)
    assert metrics.registry.get_sample_value("gavel_head_block") == 3
