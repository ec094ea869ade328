"""Watchers and trainers, the shipped ones, on an embedded chain whose clock only the test moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from web3.types import RPCEndpoint, RPCResponse

from challenger.agent import Watcher
from gavel.demo.parties import TrainingParty
from gavel.jobs import make_executor, open_job
from gavel.scenarios.cheats import CHEATS
from gavel.scenarios.job import small_job
from protocol.chain.client import Client
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts, deploy
from protocol.chain.embedded import EmbeddedChain, EmbeddedProvider, frozen_clock
from protocol.game.moves import Move
from protocol.game.trace import HONEST, Hooks
from protocol.game.view import DisputeStatus, UpdateInfo


class Cut(EmbeddedProvider):
    """A node that can be cut off."""

    off = False

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        if self.off:
            raise ConnectionError("no route to the node")
        return super().make_request(method, params)


ROLES = ("deployer", "requester", "trainer", "cheat", "watcher", "other")
PURSE = 10**9


class Lines:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, dict[str, object]]] = []

    def __call__(self, text: str, /, *, level: str = "info", **fields: object) -> None:
        self.told.append((level, text, fields))

    def at(self, level: str) -> list[str]:
        """Texts of one level."""
        return [text for found, text, _ in self.told if found == level]

    def saying(self, words: str) -> list[str]:
        """Texts that hold these words."""
        return [text for _, text, _ in self.told if words in text]


class Field:
    """The small job, open and funded, and its parties.

    Attributes:
        chain, contracts (by role), folder, view.
    """

    def __init__(
        self, tmp: Path, *, provider: Callable[[Any], Any] = EmbeddedProvider, chain: Any = None
    ) -> None:
        """Args: chain: with the keys and requests of an `EmbeddedChain`; a fresh one unless given."""
        self.tmp, self._provider = tmp, provider
        self.chain = chain or EmbeddedChain(
            accounts=len(ROLES), genesis_time=4_000_000_000, clock=frozen_clock
        )
        self.keys = dict(zip(ROLES, self.chain.keys, strict=False))
        first = deploy(self.client("deployer"))
        self.deployment = first.deployment
        self.contracts = {who: Contracts.bind(self.client(who), self.deployment) for who in ROLES}
        for who in ROLES[1:]:
            first.token.send("transfer", self.contracts[who].client.address, PURSE)
        self.view = ChainView(first)
        self.folder = self.open("requester")
        self._executor = make_executor(self.folder)  # compiled code, not knowledge: shared by all watchers

    def lent(self, tmp: Path) -> Iterator[Field]:
        """Lend the field to one test, and undo what it does to the chain; clients notice by themselves."""
        snapshot, self.tmp = self.chain.rpc("evm_snapshot", []), tmp
        yield self
        assert self.chain.rpc("evm_revert", [snapshot])
        self.view = ChainView(self.contracts["deployer"])

    def client(self, who: str) -> Client:
        return Client(self._provider(self.chain), key=self.keys[who])

    def open(self, who: str, *, later: int = 10**6) -> Any:
        """Open the small job once more, expiring at another time."""
        contracts = self.contracts[who]
        folder = small_job(
            chain_id=self.chain.chain_id,
            board=contracts.board.address_bytes,
            requester=contracts.account,
            expiry=contracts.client.now() + later,
        )
        open_job(contracts, folder)
        return folder

    def account(self, who: str) -> bytes:
        return self.contracts[who].account

    def trainer(self, who: str, *, hooks: Hooks = HONEST, folder: Any = None) -> TrainingParty:
        folder = folder or self.folder
        path = self.tmp / who / folder.job.job_id.hex()[:8]
        return TrainingParty(
            name=who, contracts=self.contracts[who], folder=folder, path=path, log=Lines(), hooks=hooks
        )

    def cheat(self, *, step: int = 4, folder: Any = None) -> TrainingParty:
        """A trainer with a wrong partial sum in one step."""
        folder = folder or self.folder
        lie = CHEATS["partial-sum"].prepare(folder, step=step, seed=0)
        return self.trainer("cheat", hooks=lie.hooks, folder=folder)

    def watcher(
        self, *, who: str = "watcher", folder: Any = None, fresh: bool = False, **options: Any
    ) -> Watcher:
        """A watcher; `fresh` with a client of its own, as a process that has just been started."""
        folder = folder or self.folder
        contracts = Contracts.bind(self.client(who), self.deployment) if fresh else self.contracts[who]
        options = {"log": Lines(), "key": self.keys[who]} | options
        return Watcher(contracts=contracts, folder=folder, executor=self._executor, **options)

    def pass_time(self, seconds: int) -> None:
        self.chain.rpc("evm_mine", [self.now() + seconds])

    def mine(self, blocks: int) -> None:
        for _ in range(blocks):
            self.chain.rpc("evm_mine", [])

    def now(self) -> int:
        return self.contracts["deployer"].client.now()

    def nonce(self, who: str = "watcher") -> int:
        return int(
            self.chain.rpc("eth_getTransactionCount", [self.contracts[who].client.address, "latest"]), 16
        )

    def updates(self, folder: Any = None) -> Sequence[UpdateInfo]:
        self.view.refresh()
        return self.view.updates((folder or self.folder).job.job_id)

    def disputes(self) -> list[DisputeStatus]:
        self.view.refresh()
        return [d.status for d in self.view.disputes(challenger=self.account("watcher"))]

    def wait_for_ends(self) -> bool:
        """Move the clock beyond the end of every position of an open dispute; False when there is none."""
        self.view.refresh()
        ends = [
            self.view.position(position).ends_at
            for dispute in self.view.disputes()
            if dispute.status == DisputeStatus.OPEN
            for position in self.view.demands(dispute.dispute)
        ]
        if ends:
            self.pass_time(max(max(ends) + 1 - self.now(), 1))
        return bool(ends)

    def play(
        self,
        watcher: Callable[[], Watcher],
        trainer: TrainingParty,
        *,
        between: Callable[[], object] = lambda: None,
    ) -> list[Move]:
        """Let both sides move until nothing is left to do; the watcher may be another one at each step."""
        moves: list[Move] = []
        for _ in range(500):
            between()
            made = watcher().step()
            moves += made
            between()
            if not made and not trainer.agent.step() and not self.wait_for_ends():
                return moves
        raise AssertionError("the dispute does not end")
