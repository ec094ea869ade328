"""Time control and snapshots of the embedded chain, which replayed fixtures rest on."""

from __future__ import annotations

from typing import Any

import pytest
from web3 import HTTPProvider
from web3.types import RPCEndpoint

from protocol.chain.client import Client
from protocol.chain.contract import Contract, creation_code
from protocol.chain.devnet import Devnet
from protocol.chain.embedded import EmbeddedChain, EmbeddedProvider, frozen_clock
from protocol.chain.rpc_values import RpcError

GENESIS = 4_000_000_000
SOMEBODY = "0x" + "11" * 20


@pytest.fixture
def chain() -> EmbeddedChain:
    return EmbeddedChain(accounts=2, genesis_time=GENESIS, clock=frozen_clock)


def client(chain: EmbeddedChain) -> Client:
    return Client(EmbeddedProvider(chain), key=chain.keys[0])


def pay(sender: Client, wei: int) -> int:
    """Pay somebody; returns the timestamp of the block."""
    sender.send(SOMEBODY, b"", tag="pay", value=wei)  # type: ignore[arg-type]
    return sender.now()


def balance(chain: EmbeddedChain) -> int:
    return int(chain.rpc("eth_getBalance", [SOMEBODY]), 16)


def test_with_a_frozen_clock_the_same_calls_give_the_same_timestamps(chain: EmbeddedChain) -> None:
    sender = client(chain)
    assert pay(sender, 1) == GENESIS + 1
    assert pay(sender, 1) == GENESIS + 2
    chain.rpc("evm_increaseTime", [100])
    assert pay(sender, 1) == GENESIS + 102
    chain.rpc("evm_mine", [GENESIS + 500])
    assert sender.now() == GENESIS + 500
    chain.mine_if_behind()
    assert sender.now() == GENESIS + 500


def test_the_next_block_has_the_timestamp_that_was_set_and_time_goes_on_from_there(
    chain: EmbeddedChain,
) -> None:
    sender = client(chain)
    chain.rpc("evm_setNextBlockTimestamp", [GENESIS + 1000])
    assert pay(sender, 1) == GENESIS + 1000
    assert pay(sender, 1) == GENESIS + 1001
    chain.rpc("evm_setNextBlockTimestamp", [hex(GENESIS + 2000)])
    chain.rpc("evm_mine", [])
    assert sender.now() == GENESIS + 2000
    for early in (GENESIS, GENESIS + 2000):
        with pytest.raises(RpcError, match="not later than"):
            chain.rpc("evm_setNextBlockTimestamp", [early])
    assert pay(sender, 1) == GENESIS + 2001


def test_a_timestamp_set_on_a_chain_that_follows_the_clock_moves_its_clock() -> None:
    now = [GENESIS + 0.0]
    chain = EmbeddedChain(accounts=1, clock=lambda: now[0])
    sender = client(chain)
    chain.rpc("evm_setNextBlockTimestamp", [GENESIS + 1000])
    assert pay(sender, 1) == GENESIS + 1000
    now[0] += 7
    assert pay(sender, 1) == GENESIS + 1007


def test_a_chain_whose_time_is_set_by_hand_mines_no_blocks_of_its_own_until_it_goes_back() -> None:
    now = [GENESIS + 0.0]
    chain = EmbeddedChain(accounts=1, clock=lambda: now[0])
    snapshot = chain.rpc("evm_snapshot", [])
    chain.rpc("evm_setNextBlockTimestamp", [GENESIS + 1000])
    for _ in range(2):
        now[0] += 5000
        chain.mine_if_behind()
    assert int(chain.rpc("eth_blockNumber", []), 16) == 0
    chain.rpc("evm_revert", [snapshot])
    chain.mine_if_behind()
    assert int(chain.rpc("eth_blockNumber", []), 16) == 1


def test_revert_forgets_balances_code_logs_receipts_and_time(chain: EmbeddedChain) -> None:
    sender = client(chain)
    made = sender.send(None, creation_code("BondToken", 100), tag="deploy").created
    assert made is not None
    token = Contract(sender, "BondToken", made)
    token.send("transfer", SOMEBODY, 1)
    head, logs = sender.head(), chain.rpc("eth_getLogs", [{"fromBlock": "0x0", "toBlock": "latest"}])
    snapshot = chain.rpc("evm_snapshot", [])

    chain.rpc("evm_increaseTime", [5000])
    gone = token.send("transfer", SOMEBODY, 2)
    pay(sender, 3)
    assert (token.view("balanceOf", SOMEBODY), balance(chain)) == (3, 3)
    assert chain.rpc("evm_revert", [snapshot]) is True

    assert sender.head() == head
    assert chain.rpc("eth_getLogs", [{"fromBlock": "0x0", "toBlock": "latest"}]) == logs
    assert chain.rpc("eth_getTransactionReceipt", ["0x" + gone.tx_hash.hex()]) is None
    assert (token.view("balanceOf", SOMEBODY), balance(chain)) == (1, 0)
    again = client(chain)
    assert pay(again, 1) == head[1] + 1
    assert balance(chain) == 1
    assert int(chain.rpc("eth_getTransactionCount", [again.address]), 16) == 3


def test_a_snapshot_serves_once_and_later_ones_fall_with_it(chain: EmbeddedChain) -> None:
    sender = client(chain)
    first = chain.rpc("evm_snapshot", [])
    pay(sender, 1)
    second = chain.rpc("evm_snapshot", [])
    third = chain.rpc("evm_snapshot", [])
    pay(sender, 1)
    assert chain.rpc("evm_revert", [second]) is True
    assert balance(chain) == 1
    assert chain.rpc("evm_revert", [second]) is False
    assert chain.rpc("evm_revert", [third]) is False
    assert chain.rpc("evm_revert", [first]) is True
    assert balance(chain) == 0
    assert chain.rpc("evm_revert", [first]) is False
    assert chain.rpc("evm_revert", ["0x63"]) is False
    with pytest.raises(RpcError, match="parameters not understood"):
        chain.rpc("evm_revert", ["snapshot"])


def test_the_devnet_serves_them(chain: EmbeddedChain) -> None:
    def ask(url: str, method: str, *params: Any) -> Any:
        return HTTPProvider(url).make_request(RPCEndpoint(method), params)

    with Devnet(chain, port=0) as devnet:
        snapshot = ask(devnet.url, "evm_snapshot")["result"]
        ask(devnet.url, "evm_setNextBlockTimestamp", GENESIS + 50)
        ask(devnet.url, "evm_mine")
        assert int(ask(devnet.url, "eth_getBlockByNumber", "latest", False)["result"]["timestamp"], 16) == (
            GENESIS + 50
        )
        assert ask(devnet.url, "evm_revert", snapshot)["result"] is True
        assert "not later" in ask(devnet.url, "evm_setNextBlockTimestamp", 1)["error"]["message"]
