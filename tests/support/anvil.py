"""anvil, the development node of Foundry, from the npm package that carries its binary.

It is put into the virtual environment's folder at the first use, without running anything of the package, and
checked against the hashes of the lock file beside this module. Where that cannot be done, and only then, the
tests that need it are reported as skipped, with the reason.
"""

from __future__ import annotations

import fcntl
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from web3 import HTTPProvider
from web3.types import RPCEndpoint

from protocol.chain.embedded import CHAIN_ID, development_keys

LOCKED = Path(__file__).parent / "anvil_npm"
FOLDER = Path(sys.prefix) / "anvil"
PATIENCE = 240.0
DONE = FOLDER / "installed"
"""The lock file that was installed from; npm completes its own copy for machines that the file leaves out."""


@cache
def binary() -> Path:
    """Where anvil is; installed if it is not. Skips the test where that is not possible."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the tests run in several processes
        if (found := _found()) is None:
            _install()
            found = _found()
    if found is None:
        pytest.skip("anvil is not here: its npm package has no binary for this machine")
    return found


def _found() -> Path | None:
    if not DONE.exists() or DONE.read_bytes() != (LOCKED / "package-lock.json").read_bytes():
        return None
    return next(FOLDER.glob("node_modules/@foundry-rs/anvil-*/bin/anvil"), None)


def _install() -> None:
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("anvil is not here: there is no npm or node to get it with")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(LOCKED / name, FOLDER / name)
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0"]
    try:
        done = subprocess.run(
            command, cwd=FOLDER, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"anvil is not here: npm did not get it in {PATIENCE:.0f} s")
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if "npm error" in line]
        pytest.skip(f"anvil is not here: npm could not get it ({said[0] if said else done.stderr[-200:]})")
    shutil.copy(LOCKED / "package-lock.json", DONE)


class Anvil:
    """A running anvil.

    Attributes:
        url: where it answers.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._provider = HTTPProvider(self.url)

    def rpc(self, method: str, *params: Any) -> Any:
        """The result of a request, which must have one."""
        response: Any = self._provider.make_request(RPCEndpoint(method), list(params))
        assert "error" not in response, (method, response["error"])
        return response["result"]

    @property
    def chain(self) -> AnvilChain:
        """It in the manner of an `EmbeddedChain`."""
        return AnvilChain(self)

    def pass_time(self, seconds: int) -> None:
        """Move the clock on, and mine a block there."""
        self.rpc("evm_increaseTime", seconds)
        self.rpc("evm_mine")

    def head(self) -> int:
        """Number of the latest block."""
        return int(self.rpc("eth_blockNumber"), 16)


class AnvilChain:
    """An anvil where a test has been written for an `EmbeddedChain`."""

    chain_id = CHAIN_ID

    def __init__(self, node: Anvil) -> None:
        self.node, self.keys = node, development_keys(10)

    def rpc(self, method: str, params: list[Any]) -> Any:
        """As `EmbeddedChain.rpc`; the request must have a result."""
        return self.node.rpc(method, *params)


@contextmanager
def anvil(*options: str) -> Iterator[Anvil]:
    """Run one, with ten accounts of the customary mnemonic, until the end of the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen([binary(), "--port", str(port), "--silent", *options])
    try:
        _wait(process, port)
        yield Anvil(port)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + 60
    while True:
        assert process.poll() is None, "anvil ended"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < until, "anvil does not listen"
        time.sleep(0.05)
