"""Whole disputes on anvil while the last blocks are taken back, with what both sides have sent in them, or
come again otherwise (A-6, A-10, A-12): nobody honest loses a bond, and no move counts twice.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from web3 import HTTPProvider
from web3.types import RPCEndpoint, RPCResponse

from gavel.scenarios.cheats import CHEATS
from protocol.chain.court_view import ChainView
from protocol.game.view import DisputeStatus, UpdateStatus
from tests.support.anvil import Anvil, anvil
from tests.support.watching import PURSE, Field

GENESIS = "4000000000"


class Recorder(HTTPProvider):
    """A node whose transactions are noted as they are sent."""

    sent: dict[str, str]

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        response = super().make_request(method, params)
        if method == "eth_sendRawTransaction" and "error" not in response:
            self.sent[str(response["result"])] = str(params[0])
        return response


class Reorganised(Field):
    """The small job on anvil, whose last blocks may go."""

    def __init__(self, tmp: Path, node: Anvil) -> None:
        self.node, self.raw, self.undone, self.moved = node, dict[str, str](), 0, 0
        super().__init__(tmp, chain=node.chain, provider=self._recorder)

    def _recorder(self, _chain: object) -> Recorder:
        provider = Recorder(self.node.url)
        provider.sent = self.raw
        return provider

    def transactions(self, first: int) -> list[tuple[str, int]]:
        """Hash, and whether it was accepted, of every transaction from a block on."""
        blocks = (
            self.node.rpc("eth_getBlockByNumber", hex(number), False)
            for number in range(first, self.node.head() + 1)
        )
        return [
            (tx, int(self.node.rpc("eth_getTransactionReceipt", tx)["status"], 16))
            for block in blocks
            for tx in block["transactions"]
        ]

    def take_back(self, depth: int, *, again: bool) -> None:
        """Undo the last blocks; `again`: what was in them comes in other blocks, earlier than before."""
        gone = [tx for tx, _ in self.transactions(self.node.head() - depth + 1)]
        if again:
            self.node.rpc("anvil_reorg", depth, [[self.raw[tx], 0] for tx in gone])
            self.moved += len(gone)
        else:
            self.node.rpc("anvil_rollback", depth)
            self.undone += len(gone)


@pytest.fixture
def field(tmp_path: Path) -> Iterator[Reorganised]:
    with anvil("--timestamp", GENESIS) as node:
        yield Reorganised(tmp_path, node)


@pytest.mark.slow
@pytest.mark.parametrize(("who", "confirmations"), [("cheat", 0), ("cheat", 2), ("accuser", 0)])
def test_a_dispute_while_blocks_are_taken_back(field: Reorganised, who: str, confirmations: int) -> None:
    """A cheat who is disputed, or an honest trainer who is accused falsely, by the shipped agents."""
    lie = CHEATS["partial-sum"].prepare(field.folder, step=4, seed=0).hooks
    trainer = field.cheat() if who == "cheat" else field.trainer("trainer")
    trainer.train(2)
    field.mine(4)
    floor, draw = field.node.head(), random.Random(confirmations)
    view = ChainView(field.contracts["watcher"], confirmations=confirmations)
    watcher = field.watcher(view=view, **({} if who == "cheat" else {"hooks": lie}))

    idle = 0
    while idle < 6:
        moves = watcher.step() + trainer.agent.step()
        depth = min(draw.choice([0, 0, 0, 1, 1, 2, 3]), field.node.head() - floor)
        if depth:
            field.take_back(depth, again=draw.random() < 0.3)
            moves += [*watcher.step(), *trainer.agent.step()]
        field.mine(1)
        idle = 0 if moves else idle + 1
        if idle == 5 and field.wait_for_ends():
            idle = 0
    field.pass_time(3_000)
    while trainer.agent.step():
        pass
    assert field.undone > 5
    assert field.moved > 0

    [update] = field.updates()
    money = field.folder.job.money
    events = Counter(event.name for event in ChainView(field.contracts["deployer"]).refresh())
    tries = 1 if who == "cheat" else 2  # who is wrong loses twice before it gives up
    assert events["Reserved"] == events["Opened"] == tries  # one bond for each, whatever was sent again
    tokens = {name: field.view.balance(field.account(name)) for name in ("watcher", "trainer")}
    if who == "cheat":
        assert update.status == UpdateStatus.FALLEN
        assert field.disputes() == [DisputeStatus.CLOSED]
        assert tokens["watcher"] >= PURSE + money.bounty
    else:
        assert update.status == UpdateStatus.FINAL
        assert field.disputes() == [DisputeStatus.LOST] * tries
        assert field.view.is_claimed(update.update)
        assert tokens["trainer"] >= PURSE + 2 * money.reward
        assert tokens["watcher"] == PURSE - tries * money.challenge_bond
    # Of what is on the chain in the end nothing was for nothing.
    refused = [tx for tx, accepted in field.transactions(floor) if not accepted]
    assert len(refused) <= field.moved
