"""The parties of a job as processes of `gavel`, each with a folder and a key of its own, at some nodes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from eth_account import Account

from protocol.chain.client import Client
from protocol.chain.deployment import Contracts, Deployment
from protocol.chain.embedded import development_keys

ROOT = Path(__file__).parents[2]
PATIENCE = 150.0
SETTLED = 20_000
"""Seconds after which every window, and every position of a dispute, is over under these clocks."""

SHORT_CLOCKS = """[clocks] # seconds
window = 7_200
replay = 60
response = 900
allowance = 900
reserve = 1_800
opening = 900
lease = 1_000_000
notice = 900
"""


class Processes:
    """What runs in one folder against one or several nodes.

    Attributes:
        folder: holds the deployment file, a folder per party, and a log per process.
        url: of the node that all use who are not in `nodes`.
        nodes: by party, URLs of several nodes with spaces between them.
        keys: by party.
    """

    def __init__(self, folder: Path, url: str, parties: tuple[str, ...]) -> None:
        self.folder, self.url, self.nodes = folder, url, dict[str, str]()
        self.keys = dict(zip(parties, development_keys(len(parties)), strict=True))
        self.deployment = folder / "deployment.json"
        self._running: list[subprocess.Popen[bytes]] = []

    def address(self, who: str) -> str:
        return str(Account.from_key(self.keys[who]).address)

    def contracts(self) -> Contracts:
        """Of the deployment, for reading."""
        return Contracts.bind(Client.connect(self.url), Deployment.load(self.deployment))

    def short_preset(self) -> Path:
        """The full preset with clocks that a slow machine can meet too."""
        text = (ROOT / "specs/presets/full.toml").read_text()
        path = self.folder / "short.toml"
        path.write_text(re.sub(r"\[clocks\].*?\n(?=\[)", SHORT_CLOCKS + "\n", text, flags=re.DOTALL))
        return path

    def _start(self, who: str, log: str, arguments: tuple[object, ...]) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GAVEL_")}
        environment |= {"GAVEL_KEY": "0x" + self.keys[who].hex(), "GAVEL_RPC": self.nodes.get(who, self.url)}
        command = [sys.executable, "-m", "gavel", *(str(argument) for argument in arguments)]
        with (self.folder / f"{log}.log").open("ab") as file:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=ROOT, env=environment
            )
        self._running.append(process)
        return process

    def run(self, who: str, *arguments: object) -> str:
        """Run a command of one party, with the deployment, to its end; return what it printed."""
        process = self._start(who, f"{who}-commands", (*arguments, "--deployment", self.deployment))
        self.ended(process)
        return self.said(f"{who}-commands")

    def deploy(self) -> None:
        """As the first party, with tokens for the others."""
        deployer, *others = self.keys
        gifts = [part for who in others for part in ("--give", self.address(who))]
        process = self._start(deployer, "deploy", ("deploy", "--out", self.deployment, *gifts))
        self.ended(process)

    def open_job(self, who: str, name: str, setup: str, *options: object) -> None:
        """Open a job; every party gets a copy of its folder."""
        self.run(who, "job", "new", setup, self.folder / who / name, *options, "--yes")
        for other in self.keys:
            if other != who:
                shutil.copytree(self.folder / who / name, self.folder / other / name)

    def start(self, who: str, *arguments: object, log: str | None = None) -> subprocess.Popen[bytes]:
        """Start what runs for long, with the deployment; `log` is the party's name unless given."""
        return self._start(who, log or who, (*arguments, "--deployment", self.deployment))

    @contextmanager
    def killed_after(self, who: str, *arguments: object, log: str) -> Iterator[subprocess.Popen[bytes]]:
        """The same; ended with SIGKILL."""
        process = self.start(who, *arguments, log=log)
        try:
            yield process
        finally:
            process.kill()
            assert process.wait(timeout=30) in (-signal.SIGKILL, 0), self.said(log)

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Ask for the end, which comes with status 0."""
        process.send_signal(signal.SIGTERM)
        self.ended(process)

    def ended(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the end, which comes with status 0."""
        assert process.wait(timeout=PATIENCE) == 0, self.all_said()

    def said(self, log: str) -> str:
        path = self.folder / f"{log}.log"
        return path.read_text() if path.exists() else ""

    def all_said(self) -> str:
        return "\n".join(f"--- {p.name}\n{p.read_text()[-6000:]}" for p in sorted(self.folder.glob("*.log")))

    def wait_for(self, what: str, happened: Callable[[], object]) -> None:
        """Poll until something has happened."""
        until = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < until, f"{what} did not happen\n{self.all_said()}"
            time.sleep(0.1)

    def close(self) -> None:
        """End whatever still runs."""
        for process in self._running:
            if process.poll() is None:
                process.kill()
                process.wait(timeout=30)
