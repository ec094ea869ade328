"""Requester, trainers and watcher as processes with folders of their own, on a chain in one more process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from safetensors.torch import load_file

from protocol.chain.client import Client
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts, Deployment
from protocol.chain.embedded import EmbeddedChain
from protocol.game.view import UpdateStatus
from protocol.job_folder import JobFolder
from tests.e2e.small_job import CHEATED_SEGMENT, setup

ROOT = Path(__file__).parents[2]
CHAINS = ["devnet", *(["anvil"] if shutil.which("anvil") else [])]
KEYS = dict(zip(("deployer", "requester", "honest", "cheat", "watcher"), EmbeddedChain().keys, strict=False))
TWO_DAYS = 2 * 86_400
PATIENCE = 120.0


class Chain:
    """A chain in a process, and what the test reads and does there."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.running: list[subprocess.Popen[str]] = []

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "gavel", *arguments]

    def environment(self, who: str) -> dict[str, str]:
        return {**os.environ, "GAVEL_KEY": "0x" + KEYS[who].hex(), "GAVEL_RPC": self.url}

    def run(self, who: str, *arguments: str) -> str:
        """Run a command to its end as one party."""
        done = subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            cwd=ROOT,
            env=self.environment(who),
        )
        assert done.returncode == 0, f"{who} {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, who: str, *arguments: str) -> subprocess.Popen[str]:
        """Start an agent as one party; its output goes to a file in its folder."""
        with (self.folder / f"{who}.log").open("a") as log:
            process = subprocess.Popen(
                self.command(*arguments),
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=ROOT,
                env=self.environment(who),
            )
        self.running.append(process)
        return process

    def stop(self, process: subprocess.Popen[str]) -> None:
        """Ask an agent to end, which it does with status 0."""
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0

    def pass_time(self, seconds: int) -> None:
        provider: Any = Client.connect(self.url).web3.provider
        provider.make_request("evm_increaseTime", [seconds])
        provider.make_request("evm_mine", [])

    def logs(self) -> str:
        return "\n".join(f"--- {path.name}\n{path.read_text()}" for path in self.folder.glob("*.log"))

    def wait_for(self, what: str, happened: Callable[[], bool]) -> None:
        """Poll until something has happened on chain."""
        until = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < until, f"{what} did not happen\n{self.logs()}"
            time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(params=CHAINS)
def chain(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Chain]:
    port = _free_port()
    commands = {
        "devnet": [sys.executable, "-m", "gavel", "devnet", "--port", str(port), "--block-time", "0.5"],
        "anvil": ["anvil", "--port", str(port), "--silent"],
    }
    with (tmp_path / "chain.log").open("w") as log:
        server = subprocess.Popen(commands[request.param], stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
    served = Chain(f"http://127.0.0.1:{port}", tmp_path)

    def listens() -> bool:
        assert server.poll() is None, served.logs()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        served.wait_for("start of the chain", listens)
        yield served
    finally:
        for process in [*served.running, server]:
            if process.poll() is None:
                process.terminate()
                process.wait(timeout=30)


@pytest.mark.slow
def test_cheat_is_slashed_and_honest_parties_are_paid(chain: Chain) -> None:
    deployment = chain.folder / "deployment.json"
    addresses = {who: Account.from_key(key).address for who, key in KEYS.items()}
    gifts = [part for who in addresses if who != "deployer" for part in ("--give", addresses[who])]
    chain.run("deployer", "deploy", "--out", str(deployment), *gifts)
    where = ["--deployment", str(deployment)]
    jobs = {who: chain.folder / who / "job" for who in KEYS if who != "deployer"}
    chain.run(
        "requester", "job", "new", "tests.e2e.small_job:setup", str(jobs["requester"]), *where,
        "--steps", "24", "--stride", "4", "--batch", "16", "--preset", "full", "--yes",
    )  # fmt: skip
    for who in ("honest", "cheat", "watcher"):
        shutil.copytree(jobs["requester"], jobs[who])

    contracts = Contracts.bind(Client.connect(chain.url), Deployment.load(deployment))
    view, job = ChainView(contracts), JobFolder.load(jobs["watcher"]).job
    seen: list[str] = []

    def happened(name: str) -> bool:
        seen.extend(event.name for event in view.refresh())
        return name in seen

    def balance(who: str) -> int:
        return int(contracts.token.view("balanceOf", addresses[who]))

    before = {who: balance(who) for who in jobs}

    # Two right segments, by a trainer who gives the lease back.
    chain.run("honest", "train", str(jobs["honest"]), *where, "--segments", "2")
    chain.run("honest", "submit", str(jobs["honest"]), *where, "--release")
    # Three more by a cheat, the second of them wrong.
    chain.run(
        "cheat",
        "train",
        str(jobs["cheat"]),
        *where,
        "--segments",
        "3",
        "--hooks",
        "tests.e2e.small_job:cheat",
    )
    chain.run("cheat", "submit", str(jobs["cheat"]), *where)
    chain.start(
        "cheat", "defend", str(jobs["cheat"]), *where, "--poll", "0.2", "--hooks", "tests.e2e.small_job:cheat"
    )
    watch = ("watch", str(jobs["watcher"]), *where, "--poll", "0.2")
    watcher = chain.start("watcher", *watch)
    # the watcher is stopped in the middle of the dispute, and goes on after a restart.
    chain.wait_for("the opening of a dispute", lambda: happened("Selected"))
    chain.stop(watcher)
    watcher = chain.start("watcher", *watch)

    chain.wait_for("the fall of a candidate", lambda: happened("CandidateFell"))
    assert view.disputes()[0].segment == CHEATED_SEGMENT
    chain.pass_time(TWO_DAYS)
    chain.wait_for("the fall of the update", lambda: happened("Fallen"))
    assert "DisputeLost" not in seen

    # The honest trainer resumes from its own segment 2 and finishes.
    chain.run("honest", "train", str(jobs["honest"]), *where, "--segments", "4")
    chain.run("honest", "submit", str(jobs["honest"]), *where)
    chain.pass_time(2 * TWO_DAYS)
    chain.run("honest", "defend", str(jobs["honest"]), *where, "--once")
    chain.stop(watcher)
    chain.run("watcher", "watch", str(jobs["watcher"]), *where, "--once")
    view.refresh()

    statuses = [update.status for update in view.updates(job.job_id)]
    assert statuses == [UpdateStatus.FINAL, UpdateStatus.FALLEN, UpdateStatus.FINAL]
    assert [update.segments for update in view.chain(job.job_id)] == [2, 4]
    assert seen.count("Fallen") == 1
    change = {who: balance(who) - before[who] for who in jobs}
    assert change["cheat"] + view.credit(bytes.fromhex(addresses["cheat"][2:])) == -job.money.update_bond
    assert change["honest"] == 6 * job.money.reward
    assert change["watcher"] >= job.money.bounty + job.money.tip
    told = chain.run("requester", "status", str(jobs["requester"]), *where)
    assert [word for word in ("final", "fallen", "void") if word in told] == ["final", "fallen"]

    # Anybody who has the job can get the finished model, with names as in the module.
    out = chain.folder / "model.safetensors"
    chain.run("requester", "job", "fetch", str(jobs["requester"]), str(out), *where)
    setup().module.load_state_dict(load_file(out))
    receipt = json.loads((chain.folder / "model.receipt.json").read_text())
    assert [update["status"] for update in receipt["updates"]] == ["final", "fallen", "final"]
    assert all(update["transactions"]["posted"] for update in receipt["updates"])
    assert [bool(update["transactions"]["claimed"]) for update in receipt["updates"]] == [True, False, True]
    assert receipt["updates"][1]["transactions"]["fallen"]["time"] > receipt["opened"]["time"]
    assert [(d["segment"], d["status"]) for d in receipt["disputes"]] == [(CHEATED_SEGMENT, "closed")]
    assert receipt["disputes"][0]["transactions"]["lost"] is None
