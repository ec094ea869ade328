"""A job board on a fast EVM with an odd token, a funded cast and terms to vary."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from protocol.job import Geometry, Job, load_preset
from tests.support.evm import FastEvm, Handle, Reverted

SCHEDULED_GAS = 5_000_000
RICH = 10**12
BURN = "0x000000000000000000000000000000000000dEaD"


def state(n: int) -> bytes:
    """A made-up state root."""
    return hashlib.sha256(b"state" + n.to_bytes(8)).digest()


def refuses(reason: str) -> Any:
    """A context in which a contract refuses for exactly this reason."""
    return pytest.raises(Reverted, match=f"^{re.escape(reason)}$")


@dataclass
class BoardWorld:
    """Board, token, and people; ``court`` and ``availability`` are accounts that play those contracts."""

    evm: FastEvm = field(default_factory=FastEvm)
    token: Handle = field(init=False)
    board: Handle = field(init=False)
    requester: str = FastEvm.account(1)
    alice: str = FastEvm.account(2)
    bob: str = FastEvm.account(3)
    court: str = FastEvm.account(4)
    watcher: str = FastEvm.account(5)
    deployer: str = FastEvm.account(6)
    availability: str = FastEvm.account(7)
    governor: str = FastEvm.account(8)

    def __post_init__(self) -> None:
        self.token = self.evm.deploy("OddToken")
        self.board = self.evm.deploy("JobBoard", self.token.address, SCHEDULED_GAS, sender=self.deployer)
        self.board.call("bind", self.court, self.availability, self.governor, sender=self.deployer)
        for who in self.people:
            self.token.call("mint", who, RICH)
            self.token.call("approve", self.board.address, 2**255, sender=who)

    @property
    def people(self) -> tuple[str, ...]:
        return (self.requester, self.alice, self.bob, self.watcher)

    def job(self, **changes: Any) -> Job:
        """Terms of a job of 7 segments (20 steps, stride 3) on the minimal preset."""
        preset = load_preset("minimal")
        geometry = Geometry(
            n_nodes=3,
            n_slots=2,
            n_inputs=2,
            input_height=1,
            n_rows=10,
            batch=2,
            steps=20,
            stride=3,
            max_segments=preset.max_segments,
            tensor_height=1,
            fanout_log2=preset.fanout_log2,
            range_log2=preset.range_log2,
        )
        job = Job(
            chain_id=int(self.evm_chain_id),
            board=bytes.fromhex(self.board.address[2:]),
            requester=bytes.fromhex(self.requester[2:]),
            salt=bytes(32),
            manifest=state(100),
            program_root=state(101),
            inputs_root=state(102),
            genesis=state(0),
            seed=state(103),
            geometry=geometry,
            clocks=preset.clocks,
            expiry=self.evm.timestamp + 1_000_000,
            money=preset.money,
        )
        return replace(job, **changes)

    evm_chain_id: int = 1

    def open(self, job: Job | None = None) -> bytes:
        """Open the job as the requester; returns its id."""
        job = job or self.job()
        return bytes(self.board.call("open_job", job.terms(), sender=self.requester))

    def post(self, who: str, job: bytes, *states: int) -> bytes:
        """Post made-up states."""
        tip, _, _ = self.board.call("tip", job)
        parent = tip if any(tip) else job
        return bytes(self.board.call("post", job, parent, [state(n) for n in states], sender=who))

    def held(self) -> int:
        """Tokens that the board holds."""
        return int(self.token.call("balanceOf", self.board.address))

    def credit(self, who: str) -> int:
        """Credit of an account in the board's ledger."""
        return int(self.board.call("credit", who))

    def credits(self) -> int:
        """Credits of everybody, burned ones included."""
        return sum(
            self.credit(who) for who in (*self.people, self.court, self.availability, self.deployer, BURN)
        )
