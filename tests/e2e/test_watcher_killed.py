"""A watcher that is killed with SIGKILL after every event of a dispute, and started again with the public job
folder and nothing else (actors.md, A-6, A-12).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gavel.demo.parties import TrainingParty
from gavel.jobs import make_job, open_job
from protocol.chain.client import Client
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts, deploy
from protocol.chain.devnet import Devnet
from protocol.chain.embedded import EmbeddedChain, EmbeddedProvider
from protocol.game.view import UpdateStatus
from protocol.job import load_preset
from tests.e2e.small_job import CHEATED_SEGMENT, cheat, setup

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
PURSE = 10**22
DAY = 86_400

EVENTS = (
    "Reserved",
    "Opened",
    "Demanded",
    "Committed",
    "Revealed",
    "PageRevealed",
    "Selected",
    "CandidateFell",
)
"""Of a dispute up to the proof, both sides'; the watcher is killed at the first of each. It is made anew
before every single step in tests/unit/test_watcher_agent.py.
"""


class Scene:
    """A devnet in this process, a job, a cheat that defends itself, and the watcher's processes."""

    def __init__(self, devnet: Devnet, tmp: Path) -> None:
        self.devnet, self.tmp = devnet, tmp
        self.keys = dict(zip(("deployer", "cheat", "watcher"), devnet.chain.keys, strict=False))
        clients = {w: Client(EmbeddedProvider(devnet.chain), key=key) for w, key in self.keys.items()}
        first = deploy(clients["deployer"])
        first.deployment.save(tmp / "deployment.json")
        self.contracts = {w: Contracts.bind(client, first.deployment) for w, client in clients.items()}
        for who in ("cheat", "watcher"):
            first.token.send("transfer", self.contracts[who].client.address, PURSE)
        self.job = make_job(
            setup(),
            contracts=first,
            preset=load_preset("full"),
            steps=20,
            stride=4,
            batch=16,
            seed=bytes(32),
            salt=bytes(32),
            lifetime=30 * DAY,
        )
        open_job(first, self.job, tmp / "job")
        self.view = ChainView(first)
        self.seen: list[str] = []
        self._waiting: list[str] = []
        self.started = 0
        self.trainer = TrainingParty(
            name="cheat",
            contracts=self.contracts["cheat"],
            folder=self.job,
            path=tmp / "checkpoints",
            log=lambda _, **__: None,
            hooks=cheat(self.job),
        )

    @contextmanager
    def watcher(self) -> Iterator[subprocess.Popen[bytes]]:
        """A process with a fresh copy of the public folder; killed at the end."""
        self.started += 1
        folder = self.tmp / f"watcher-{self.started}"
        shutil.copytree(self.tmp / "job", folder)
        environment = {
            **os.environ,
            "GAVEL_KEY": "0x" + self.keys["watcher"].hex(),
            "GAVEL_RPC": self.devnet.url,
        }
        command = [
            sys.executable, "-m", "gavel", "watch", str(folder), "--poll", "0.05", "--no-measure",
            "--deployment", str(self.tmp / "deployment.json"),
        ]  # fmt: skip
        with (self.tmp / f"{folder.name}.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env=environment)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            assert process.wait(timeout=30) in (-signal.SIGKILL, 0)

    def wait_for(self, *events: str) -> str:
        """Wait for the next of some events; the cheat answers meanwhile."""
        until = time.monotonic() + PATIENCE
        while True:
            self._waiting += [event.name for event in self.view.refresh()]
            while self._waiting:
                self.seen.append(self._waiting.pop(0))
                if self.seen[-1] in events:
                    return self.seen[-1]
            assert time.monotonic() < until, f"none of {events}\n{self.log()}"
            if not self.trainer.agent.step():
                time.sleep(0.02)

    def log(self) -> str:
        return (self.tmp / f"watcher-{self.started}.log").read_text()

    def pass_time(self, seconds: int) -> None:
        self.devnet.chain.rpc("evm_increaseTime", [seconds])
        self.devnet.chain.rpc("evm_mine", [])


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Devnet(EmbeddedChain(accounts=3), port=0, block_time=0.5) as devnet:
        yield Scene(devnet, tmp_path)


@pytest.mark.slow
def test_killed_after_every_event_the_watcher_still_wins_and_pays_once(scene: Scene) -> None:
    scene.trainer.train(CHEATED_SEGMENT + 1)
    account = scene.contracts["watcher"].client.address
    killed: list[str] = []
    while left := set(EVENTS) - set(killed):
        with scene.watcher():
            killed.append(scene.wait_for(*left))
    scene.pass_time(DAY)
    with scene.watcher():
        killed.append(scene.wait_for("Fallen"))
    with scene.watcher():
        killed.append(scene.wait_for("Withdrawn"))
        scene.wait_for("Withdrawn")  # the watcher's, or the cheat's
    assert killed[:3] == ["Reserved", "Opened", "Demanded"]
    assert killed[-3:] == ["CandidateFell", "Fallen", "Withdrawn"]
    assert [scene.seen.count(name) for name in ("Reserved", "Opened", "Fallen", "DisputeLost")] == [
        1,
        1,
        1,
        0,
    ]
    scene.view.refresh()
    [update] = scene.view.updates(scene.job.job.job_id)
    assert update.status == UpdateStatus.FALLEN
    money = scene.job.job.money
    held = int(scene.contracts["deployer"].token.view("balanceOf", account))
    assert held >= PURSE + money.bounty + money.tip
    # It paid for nothing twice: open, selections; approve, reserve, prove, settle, withdraw.
    sent = int(scene.devnet.chain.rpc("eth_getTransactionCount", [account, "latest"]), 16)
    assert sent == scene.seen.count("Demanded") + scene.seen.count("Selected") + 5
