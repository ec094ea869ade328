"""The timelock of a deployment governs its board: announced, waited for, executed by anybody (B-7)."""

from __future__ import annotations

import pytest

from protocol.chain.client import Client
from protocol.chain.contract import Contract
from protocol.chain.deployment import deploy
from protocol.chain.development import DevelopmentNode
from protocol.chain.embedded import EmbeddedChain, EmbeddedProvider
from protocol.chain.gas_bound import least_scheduled_gas
from protocol.errors import RefusedError

NO_SALT = bytes(32)
DELAY = 1_000
"""Seconds."""


class Governed:
    """A deployment with a short delay, its proposer and a stranger."""

    def __init__(self) -> None:
        chain = EmbeddedChain(accounts=2)
        self.proposer, self.stranger = (Client(EmbeddedProvider(chain), key=key) for key in chain.keys[:2])
        self.contracts = deploy(self.proposer, timelock=DELAY)
        self.node = DevelopmentNode(self.proposer)

    def timelock(self, client: Client) -> Contract:
        return Contract(client, "Timelock", self.contracts.timelock.address)

    def call_of(self, function: str, value: int | str) -> tuple[str, int, bytes, bytes, bytes]:
        """Target, coins, calldata, predecessor and salt of a call of the board."""
        board = self.contracts.board
        data = board._calldata(board._function(function, 1), (value,))
        return board.address, 0, data, NO_SALT, NO_SALT

    def wait(self, seconds: int) -> None:
        self.node.mine(self.proposer.now() + seconds)


@pytest.fixture
def governed() -> Governed:
    return Governed()


def test_a_deployment_hands_the_board_to_its_timelock(governed: Governed) -> None:
    contracts = governed.contracts
    assert contracts.board.view("governor") == contracts.timelock.address_bytes
    assert contracts.timelock.view("get_minimum_delay") == DELAY
    assert contracts.board.view("scheduled_gas") == least_scheduled_gas()
    for client in (governed.proposer, governed.stranger):
        board = Contract(client, "JobBoard", contracts.board.address)
        with pytest.raises(RefusedError, match="not the governor"):
            board.send("set_scheduled_gas", 1)


def test_a_change_is_announced_waited_for_and_made_by_anybody(governed: Governed) -> None:
    call = governed.call_of("set_scheduled_gas", 12_000_000)
    with pytest.raises(RefusedError, match="access_control"):
        governed.timelock(governed.stranger).send("schedule", *call, DELAY)
    with pytest.raises(RefusedError, match="insufficient delay"):
        governed.timelock(governed.proposer).send("schedule", *call, DELAY - 1)
    governed.timelock(governed.proposer).send("schedule", *call, DELAY)
    governed.wait(DELAY - 10)
    with pytest.raises(RefusedError, match="not ready"):
        governed.timelock(governed.stranger).send("execute", *call)
    assert governed.contracts.board.view("scheduled_gas") == least_scheduled_gas()
    governed.wait(10)
    governed.timelock(governed.stranger).send("execute", *call)
    assert governed.contracts.board.view("scheduled_gas") == 12_000_000
    governed.contracts.verify()


def test_a_board_that_was_given_to_another_governor_still_verifies(governed: Governed) -> None:
    """Open jobs keep their terms whoever governs, so nobody who defends them is turned away (B-3)."""
    call = governed.call_of("set_governor", governed.stranger.address)
    governed.timelock(governed.proposer).send("schedule", *call, DELAY)
    governed.wait(DELAY)
    governed.timelock(governed.proposer).send("execute", *call)
    assert governed.contracts.board.view("governor") == bytes.fromhex(governed.stranger.address[2:])
    governed.contracts.verify()


def test_nobody_stands_above_the_delay(governed: Governed) -> None:
    """The deployer has no role but proposer and canceller, and the delay changes only through itself."""
    timelock = governed.timelock(governed.proposer)
    with pytest.raises(RefusedError, match="caller must be timelock"):
        timelock.send("update_delay", 0)
    role = timelock.view("PROPOSER_ROLE")
    with pytest.raises(RefusedError, match="access_control"):
        timelock.send("grantRole", role, governed.stranger.address)
