"""The README's guide, typed as it stands: each terminal with processes of its own, on a devnet."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from protocol.wire import read_json

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```sh\n# terminal: (\w+)\n(.*?)```", re.DOTALL)
PATIENCE = 180.0
STAYS = ("gavel devnet", "gavel defend", "gavel watch watcher --key-file", "gavel trainer run")
"""What goes on running in its terminal."""

AWAITED = {
    "gavel tick 24": ("watcher", "proved: witness"),
    "gavel status job": ("watcher", "withdrew its credit"),
    "gavel tick 60": ("trainer", "posted segments 4 to 6"),
}
"""What the text says to wait for before a command."""


class Terminal:
    """A folder, an environment, and what was printed."""

    def __init__(self, name: str, folder: Path, environment: dict[str, str]) -> None:
        self.name, self.environment = name, environment
        self._folder, self._log = folder, folder / f"{name}.log"
        self._log.touch()
        self._setting = "set -e\n"
        self.running: subprocess.Popen[bytes] | None = None

    def type(self, command: str) -> None:
        """Type a command and wait for its end, if it is one that ends."""
        if command.startswith(("export ", "give()")):
            self._setting += command + "\n"
            return
        stays = command.startswith(STAYS)
        script = self._setting + ("exec " if stays else "") + command
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                ["bash", "-c", script],
                cwd=self._folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        if stays:
            self.running = process
        else:
            assert process.wait(timeout=PATIENCE) == 0, f"{command}\n{self.printed}"

    @property
    def printed(self) -> str:
        return self._log.read_text()

    def stop(self) -> None:
        if self.running is not None and self.running.poll() is None:
            self.running.send_signal(signal.SIGTERM)
            self.running.wait(timeout=30)


def _commands(text: str) -> Iterator[tuple[str, str]]:
    """Terminal and command, in the order of the text; a here-document belongs to its command."""
    for terminal, block in BLOCK.findall(text):
        lines = iter(block.splitlines())
        for line in lines:
            command = line
            if "<<END" in line:
                for more in lines:
                    command += "\n" + more
                    if more == "END":
                        break
            yield terminal, command


def _wait(what: str, happened: Callable[[], bool], said: Callable[[], str]) -> None:
    until = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < until, f"{what} did not happen\n{said()}"
        time.sleep(0.1)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[dict[str, Terminal]]:
    binaries = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "SPECS": str(ROOT / "specs"),
        "COLUMNS": "100",
    }
    environment.pop("GAVEL_KEY", None)
    made = {
        name: Terminal(name, tmp_path, environment)
        for name, _ in BLOCK.findall((ROOT / "README.md").read_text())
    }
    yield made
    for terminal in reversed(made.values()):
        terminal.stop()


@pytest.mark.slow
def test_the_guide_does_what_it_says(terminals: dict[str, Terminal], tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])

    def logs() -> str:
        return "\n".join(f"--- {name}\n{terminal.printed}" for name, terminal in terminals.items())

    for name, command in _commands((ROOT / "README.md").read_text()):
        if command in AWAITED:
            who, line = AWAITED[command]
            _wait(line, lambda who=who, line=line: line in terminals[who].printed, logs)  # type: ignore[misc]
        # Port 8545 may be somebody else's on the machine that runs the tests.
        typed = command.replace("127.0.0.1:8545", f"127.0.0.1:{port}")
        if command.startswith("gavel devnet"):
            terminals[name].type(f"{typed} --port {port} --block-time 0.5")
            _wait("start of the chain", lambda: _listens(port), logs)
        elif command == "gavel tick 60":
            terminals[name].type(typed)
            trainer = terminals["trainer"].running
            assert trainer is not None
            assert trainer.wait(timeout=PATIENCE) == 0, logs()
        else:
            terminals[name].type(typed)
    assert "would send Reserve" in terminals["watcher"].printed
    assert "withdrew its credit" in terminals["watcher"].printed
    assert "done: all that it posted is final and collected" in terminals["trainer"].printed
    assert "leased by nobody, 1 updates fell" in " ".join(terminals["requester"].printed.split())
    assert "segments 1 to 6 of 6 are right" in terminals["requester"].printed
    receipt = read_json((tmp_path / "model.receipt.json").read_bytes(), what="the receipt", limit=1 << 20)
    assert sum(update["status"] == "final" for update in receipt["updates"]) == 2
    assert load_file(tmp_path / "model.safetensors")
    assert '"operation":"SUM' in (tmp_path / "trace.jsonl").read_text()
