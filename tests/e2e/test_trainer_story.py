"""The trainer's story: quote, keystore, one process for all, kill -9, a state from a web server.

What is killed runs in processes of its own; commands that run to their end are called here, which is faster.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from eth_account import Account

from gavel.cli import cli
from protocol.chain.client import Client
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts, Deployment
from protocol.chain.devnet import Devnet
from protocol.chain.embedded import EmbeddedChain
from protocol.game.view import UpdateStatus
from protocol.job_folder import JobFolder

ROOT = Path(__file__).parents[2]
REQUESTER, FIRST, SECOND = EmbeddedChain().keys[:3]
PATIENCE = 120.0


@pytest.fixture
def served() -> Iterator[Devnet]:
    with Devnet(EmbeddedChain(accounts=3), port=0, block_time=0.5) as devnet:
        yield devnet


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The test's folder on a plain web server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


class Shell:
    """Commands in one folder."""

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        self.environment = {name: value for name, value in os.environ.items() if "GAVEL" not in name}
        self.environment |= {"GAVEL_RPC": url, "GAVEL_PASSPHRASE": "a b c", "PYTHONPATH": str(ROOT)}

    def run(self, *arguments: str, key: bytes | None = None) -> str:
        """Run a command to its end; returns what it said."""
        extra = {"GAVEL_KEY": None if key is None else "0x" + key.hex()}
        done = CliRunner().invoke(cli, arguments, env=self.environment | extra, standalone_mode=False)
        assert done.exception is None, f"{arguments}: {done.output}{done.exception}"
        return done.output

    def start(self, log: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command whose output goes to a file."""
        with (self.folder / log).open("wb") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "gavel", *arguments], stdout=file, stderr=subprocess.STDOUT,
                cwd=self.folder, env=self.environment,
            )  # fmt: skip

    def wait_for(self, log: str, pattern: str) -> None:
        until = time.monotonic() + PATIENCE
        while not re.search(pattern, (self.folder / log).read_text()):
            assert time.monotonic() < until, (self.folder / log).read_text()
            time.sleep(0.05)


@pytest.mark.slow
def test_the_trainers_story(
    served: Devnet, web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shell = Shell(served.url, tmp_path)
    addresses = [Account.from_key(key).address for key in (FIRST, SECOND)]
    shell.run("deploy", "--give", addresses[0], "--give", addresses[1], key=REQUESTER)
    shell.run(
        "job", "new", "tests.e2e.small_job:setup", "job", "--steps", "24", "--stride", "4", "--batch", "16",
        "--yes", key=REQUESTER,
    )  # fmt: skip
    shutil.copytree(tmp_path / "job", tmp_path / "first")
    shutil.copytree(tmp_path / "job", tmp_path / "second")
    assert addresses[0] in shell.run("key", "import", "first.keystore", key=FIRST)

    quote = json.loads(shell.run("quote", "first", "--json"))
    assert (quote["segments"], quote["done"]) == (6, 0)
    assert {finding["level"] for finding in quote["findings"]} == {"info"}

    # Killed within the work, whatever it was at; the next one goes on.
    options = ("--keystore", "first.keystore", "--per-update", "2", "--poll", "0.2", "--segments")
    process = shell.start("killed.log", "trainer", "run", "first", *options, "4")
    shell.wait_for("killed.log", "trained segment 1 ")
    process.kill()
    process.wait()
    contracts = Contracts.bind(Client.connect(served.url), Deployment.load(tmp_path / "deployment.json"))
    view, job = ChainView(contracts), JobFolder.load(tmp_path / "job").job
    view.refresh()
    left = 4 - sum(update.segments for update in view.chain(job.job_id))
    assert left > 0
    process = shell.start("first.log", "trainer", "run", "first", *options, str(left))
    shell.wait_for("first.log", "posted segments 3 to 4")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0
    assert "run again to go on" in (tmp_path / "first.log").read_text()

    # Somebody else goes on from the state that the first one serves, without replaying what led to it.
    told = shell.run(
        "train", "second", "--segments", "2", "--state", f"{web}/first/checkpoints", "--no-lease", key=SECOND
    )  # fmt: skip
    assert "not replayed" in told
    assert "replays segment" not in told

    # The first one finishes, and collects when all is final.
    process = shell.start("last.log", "trainer", "run", "first", *options[:-1])
    shell.wait_for("last.log", "posted segments 5 to 6")
    for method, params in (("evm_increaseTime", [400_000]), ("evm_mine", [])):
        contracts.client.web3.provider.make_request(method, params)  # type: ignore[arg-type]
    assert process.wait(timeout=PATIENCE) == 0
    assert "done: all that it posted is final" in (tmp_path / "last.log").read_text()
    view.refresh()
    assert [update.status for update in view.updates(job.job_id)] == [UpdateStatus.FINAL] * 3
    roots = [root for update in view.chain(job.job_id) for root in update.states]
    stored = {path.stem for path in (tmp_path / "second/checkpoints/objects").iterdir()}
    assert stored == {root.hex() for root in roots[4:]}
    assert view.balance(bytes.fromhex(addresses[0][2:])) == 10_000 * 10**18 + 6 * job.money.reward
