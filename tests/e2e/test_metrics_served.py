"""--metrics of commands that tests/unit/test_metrics.py does not start: what they serve while they work."""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from protocol.errors import UsageError
from protocol.job_folder import JobFolder
from tests.support.commands import SMALL, TERMS, Town, served


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A chain with an open job that nobody has trained yet."""
    with served() as devnet:
        town = Town.founded(devnet, tmp_path_factory.mktemp("town"))
        town.done("requester", "job", "new", SMALL, town.folder / "job", *TERMS, "--yes")
        yield town


class Scraper(threading.Thread):
    """Reads /metrics and /healthz again and again while a command runs; lets time pass once all is posted.

    Attributes:
        told: by sample name and labels the values in the order in which they were served first.
        health: status and body of each look.
    """

    def __init__(self, town: Town, job: str) -> None:
        super().__init__(daemon=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._town, self._job, self._over = town, job, threading.Event()
        self.told: dict[str, list[float]] = {}
        self.health: list[tuple[int, dict[str, Any]]] = []

    def run(self) -> None:
        while not self._over.wait(0.05):
            try:
                self._look()
            except (urllib.error.URLError, ConnectionError):
                continue  # not there yet, or no more

    def _look(self) -> None:
        place = f"http://127.0.0.1:{self.port}"
        with urllib.request.urlopen(f"{place}/metrics", timeout=10) as answer:  # noqa: S310  (loopback)
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = [value for name, value in sorted(sample.labels.items()) if name != "job"]
                values = self.told.setdefault(" ".join([sample.name, *labels]), [])
                if not values or values[-1] != sample.value:
                    values.append(sample.value)
        with urllib.request.urlopen(f"{place}/healthz", timeout=10) as answer:  # noqa: S310  (loopback)
            self.health.append((answer.status, json.loads(answer.read())))
        if self.told.get("gavel_updates pending", [0])[-1] == 1:
            self._town.pass_time(100)

    def end(self) -> None:
        self._over.set()
        self.join()


def test_a_trainer_says_how_it_gets_on_while_it_trains(town: Town) -> None:
    folder = town.folder / "job"
    scraper = Scraper(town, JobFolder.load(folder).job.job_id.hex())
    scraper.start()
    said = town.done(
        "trainer", "trainer", "run", folder, "--per-update", "4", "--poll", "0.1", "--metrics", scraper.port
    )
    scraper.end()
    assert "done: all that it posted is final and collected" in said
    told = scraper.told
    assert set(told["gavel_node_up"]) == {1}
    assert told["gavel_updates pending"][0] == 0
    assert {0, 1} <= set(told["gavel_updates pending"])
    assert told["gavel_updates final"][-1] == 1
    for move in ("Lease", "Post", "Claim"):
        assert told[f"gavel_moves_total {move} mined"] == [1]
    spent = told["gavel_gas_spent_wei_total"]
    assert spent == sorted(spent)
    assert told["gavel_coins_wei"] == sorted(told["gavel_coins_wei"], reverse=True)
    assert told["gavel_log_lines_total error"] == [0]
    assert len(told["gavel_head_block"]) > 1
    assert {status for status, _ in scraper.health} == {200}
    assert all(body["ok"] for _, body in scraper.health)
    assert {body["node_reachable"] for _, body in scraper.health} <= {None, True}
    with pytest.raises(urllib.error.URLError):  # it ends with the command
        urllib.request.urlopen(f"http://127.0.0.1:{scraper.port}/metrics", timeout=10)


def test_a_defender_serves_them_too(town: Town) -> None:
    said = town.done("trainer", "defend", town.folder / "job", "--once", "--metrics", "0")
    assert "serves metrics at http://127.0.0.1:" in said
    wrong = town.run("trainer", "defend", town.folder / "job", "--once", "--metrics", "nowhere:x")
    assert isinstance(wrong.exception, UsageError)
    assert "write PORT, or HOST:PORT" in str(wrong.exception)
