"""Commands of `gavel` run in this process against a served chain, and what they leave there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from gavel.cli import cli
from protocol.chain.client import Client
from protocol.chain.deployment import Contracts, Deployment, deploy
from protocol.chain.devnet import Devnet
from protocol.chain.embedded import EmbeddedChain

GENESIS = 4_000_000_000
"""In the future, so that the chain's clock is its own."""

PARTIES = ("requester", "trainer", "watcher", "poor")
SMALL = "gavel.scenarios.job:small_setup"
TERMS = ("--steps", "12", "--stride", "3", "--batch", "5", "--preset", "minimal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """A served chain with a deployment, on which all parties but one have tokens."""

    devnet: Devnet
    folder: Path

    @classmethod
    def founded(cls, devnet: Devnet, folder: Path) -> Town:
        """Deploy and hand out tokens."""
        town = cls(devnet=devnet, folder=folder)
        contracts = deploy(town.client("requester"))
        contracts.deployment.save(town.deployment)
        for who in PARTIES[1:-1]:
            contracts.token.send("transfer", town.client(who).address, 10**12)
        return town

    @property
    def deployment(self) -> Path:
        return self.folder / "deployment.json"

    def key(self, who: str) -> bytes:
        return self.devnet.chain.keys[PARTIES.index(who)]

    def client(self, who: str) -> Client:
        return Client.connect(self.devnet.url, key=self.key(who))

    def contracts(self, who: str = "requester") -> Contracts:
        return Contracts.bind(self.client(who), Deployment.load(self.deployment))

    def sent(self, who: str) -> int:
        """How many transactions a party has sent."""
        client = self.client(who)
        return int(client.web3.eth.get_transaction_count(client.address))

    def tokens(self, who: str) -> int:
        return int(self.contracts().token.view("balanceOf", self.client(who).address))

    def pass_time(self, seconds: int) -> None:
        self.devnet.chain.rpc("evm_mine", [self.client("poor").now() + seconds])

    def run(self, who: str, *arguments: Any, chain: bool = True) -> Result:
        """Run a command; the error that it ends with is the result's exception."""
        where = ["--rpc", self.devnet.url, "--deployment", str(self.deployment)] if chain else []
        environment = {
            name: None for name in os.environ if name.startswith("GAVEL_") and name != "GAVEL_CACHE"
        }
        return CliRunner().invoke(
            cli,
            [str(argument) for argument in (*arguments, *where)],
            env={**environment, "GAVEL_KEY": "0x" + self.key(who).hex(), "COLUMNS": "300"},
        )

    def done(self, who: str, *arguments: Any, chain: bool = True) -> str:
        """Run a command that has to succeed, and return its output."""
        result = self.run(who, *arguments, chain=chain)
        assert result.exit_code == 0, (result.exception, result.output)
        return result.output


def served(accounts: int = len(PARTIES)) -> Devnet:
    """A chain, to be entered."""
    return Devnet(EmbeddedChain(accounts=accounts, genesis_time=GENESIS), port=0)
