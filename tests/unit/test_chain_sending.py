"""Transactions that stay pending, are dropped, offer too little, or come too late (A-12, A-22)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.chain.client import Client
from protocol.chain.contract import Contract, creation_code
from protocol.chain.embedded import EmbeddedChain, EmbeddedProvider
from protocol.chain.fees import GWEI, PRIORITY, Fee, Sending
from protocol.chain.nodes import Nodes
from protocol.errors import AccountError, ChainError, RefusedError
from tests.support.nodes import Fickle
from tests.support.watching import Lines

NOBODY = "0x" + "11" * 20
QUICK = Sending(pending=0.05, give_up=5, poll=0.01)


@pytest.fixture(scope="module")
def chain() -> EmbeddedChain:
    return EmbeddedChain(accounts=3)


@pytest.fixture(scope="module")
def token(chain: EmbeddedChain) -> Contract:
    client = Client(EmbeddedProvider(chain), key=chain.keys[0])
    created = client.send(None, creation_code("BondToken", 10**20), tag="deploy").created
    assert created is not None
    return Contract(client, "BondToken", created)


class Account:
    """An account behind a node of a temper, and what it says."""

    def __init__(self, chain: EmbeddedChain, token: Contract, **sending: Any) -> None:
        self._chain, self._address, self._token = chain, token.address, token
        self.node, self.log = Fickle.of(chain), Lines()
        self.token = self.process(**sending)
        self.address = self.token.client.address

    def process(self, **sending: Any) -> Contract:
        """The token as a process sees it that was just started."""
        patience = {"pending": QUICK.pending, "give_up": QUICK.give_up, "poll": QUICK.poll} | sending
        client = Client(self.node.provider, key=self._chain.keys[1], sending=Sending(**patience))
        client.tell(self.log)
        return Contract(client, "BondToken", self._address)

    def count(self) -> int:
        return int(self._chain.rpc("eth_getTransactionCount", [self.address, "latest"]), 16)

    def allowance(self) -> int:
        return int(self._token.view("allowance", self.address, NOBODY))


@pytest.fixture
def made(chain: EmbeddedChain, token: Contract) -> Callable[..., Account]:
    return lambda **sending: Account(chain, token, **sending)


def _after(node: Fickle, times: int, act: Callable[[], object]) -> None:
    """Do something as soon as a node has taken so many transactions."""
    taken = 0

    def told(method: str, _params: list[Any], result: Any) -> Any:
        nonlocal taken
        if method == "eth_sendRawTransaction":
            taken += 1
            if taken == times:
                act()
        return result

    node.lie = told


def test_a_pending_transaction_is_raised_under_its_number_until_it_is_mined(
    made: Callable[..., Account],
) -> None:
    account = made()
    before, account.node.holding = account.count(), True
    _after(account.node, 4, account.node.release)
    account.token.send("approve", NOBODY, 5)
    assert account.allowance() == 5
    assert account.count() == before + 1
    offers = account.node.offers
    assert len(offers) == 4
    assert all(8 * after >= 9 * first for first, after in pairwise(offers))
    raised = [fields for _, _, fields in account.log.told if fields.get("replaced")]
    assert len(raised) == len(offers) - 1  # each is said
    assert {fields["nonce"] for fields in raised} == {before}
    assert "gwei per gas instead of" in account.log.at("warning")[0]


def test_a_dropped_transaction_is_sent_again(made: Callable[..., Account]) -> None:
    account = made()
    before, account.node.dropping = account.count(), True

    def well() -> None:
        account.node.dropping = False

    _after(account.node, 1, well)
    account.token.send("approve", NOBODY, 6)
    assert account.allowance() == 6
    assert account.count() == before + 1
    assert account.log.saying("was dropped; sends it again")


def test_at_the_limit_an_operator_must_act(made: Callable[..., Account]) -> None:
    account = made(max_fee=4 * GWEI, give_up=0.6)
    before, account.node.holding = account.count(), True
    with pytest.raises(AccountError, match=r"limit of 4 gwei: raise --max-fee"):
        account.token.send("approve", NOBODY, 7)
    [said] = account.log.at("error")
    assert said.startswith(f"the transaction for 'approve' is pending, number {before}, and its fee is at")
    assert said.endswith("limit of 4 gwei: raise --max-fee, or it waits until gas is cheaper")
    # The next one cannot take its place, and is not put behind it either.
    with pytest.raises(AccountError, match="limit of 4 gwei"):
        account.token.send("approve", NOBODY, 8)
    assert list(account.node.held) == [before]
    # A higher limit lets it.
    account.token = account.process(max_fee=50 * GWEI)
    _after(account.node, 1, account.node.release)
    account.token.send("approve", NOBODY, 9)
    assert (account.allowance(), account.count()) == (9, before + 1)


def test_gas_dearer_than_the_limit_is_not_paid(made: Callable[..., Account], chain: EmbeddedChain) -> None:
    base_fee = int(chain.rpc("eth_getBlockByNumber", ["latest"])["baseFeePerGas"], 16)
    account = made(max_fee=base_fee)
    before = account.count()
    with pytest.raises(AccountError, match=r"the chain asks .* nothing can be sent"):
        account.token.send("approve", NOBODY, 1)
    assert (account.count(), account.node.offers) == (before, [])
    assert account.token.client.fee() == base_fee


def test_what_was_to_be_replaced_may_be_mined_instead(made: Callable[..., Account]) -> None:
    account = made(give_up=0.2, pending=60)
    before, account.node.holding = account.count(), True
    with pytest.raises(ChainError, match="what is sent next takes its place"):
        account.token.send("approve", NOBODY, 31)
    first = dict(account.node.held)

    def mined() -> None:
        account.node.held = first
        account.node.release()

    account.token.client._sender._sending = QUICK  # type: ignore[union-attr]
    _after(account.node, 1, mined)
    with pytest.raises(ChainError, match="an earlier one of its number"):
        account.token.send("approve", NOBODY, 32)
    assert (account.allowance(), account.count()) == (31, before + 1)
    account.token.send("approve", NOBODY, 33)
    assert (account.allowance(), account.count()) == (33, before + 2)


def test_two_processes_of_one_account_do_not_wait_for_each_other_for_ever(
    made: Callable[..., Account], chain: EmbeddedChain, token: Contract
) -> None:
    account = made()
    account.node.dropping = True
    other = Contract(Client(EmbeddedProvider(chain), key=chain.keys[1]), "BondToken", token.address)
    _after(account.node, 1, lambda: other.send("approve", NOBODY, 41))
    with pytest.raises(ChainError, match="give each process an account of its own"):
        account.token.send("approve", NOBODY, 42)
    account.node.dropping = False
    account.token.send("approve", NOBODY, 43)
    assert account.allowance() == 43


def test_somebody_who_was_faster_is_a_refusal_and_no_fault_of_the_node(
    made: Callable[..., Account], token: Contract
) -> None:
    account = made()
    token.send("transfer", account.address, 10)
    account.token.send("approve", token.client.address, 10)
    account.node.holding = True

    def faster() -> None:
        token.send("transferFrom", account.address, NOBODY, 10)
        account.node.release()

    _after(account.node, 1, faster)
    with pytest.raises(RefusedError) as refused:
        account.token.send("transfer", NOBODY, 10, tried=True)
    assert refused.value.reason == "erc20: transfer amount exceeds balance"
    account.token.send("approve", NOBODY, 1)  # and the account goes on


def test_a_node_that_keeps_transactions_to_itself_does_not_keep_them_from_the_chain(
    chain: EmbeddedChain, token: Contract
) -> None:
    """The node in use takes everything and passes nothing on; the others are told when it takes long."""
    deaf, other = Fickle.of(chain), Fickle.of(chain)
    deaf.dropping = True
    nodes = Nodes([("node 1", deaf.provider), ("node 2", other.provider)], wall=lambda: 0)
    client = Client(nodes, key=chain.keys[2], sending=QUICK)
    Contract(client, "BondToken", token.address).send("approve", NOBODY, 51)
    assert nodes.current == "node 1"
    assert token.view("allowance", client.address, NOBODY) == 51
    assert "eth_sendRawTransaction" in other.asked


def test_a_node_that_goes_away_while_a_transaction_is_pending_is_followed_by_the_next(
    chain: EmbeddedChain, token: Contract
) -> None:
    first, second = Fickle.of(chain), Fickle.of(chain)
    first.holding = True
    nodes = Nodes([("node 1", first.provider), ("node 2", second.provider)], wall=lambda: 0)
    client = Client(nodes, key=chain.keys[2], sending=QUICK)
    before = int(chain.rpc("eth_getTransactionCount", [client.address, "latest"]), 16)

    def away() -> None:
        first.off = True

    _after(first, 1, away)
    Contract(client, "BondToken", token.address).send("approve", NOBODY, 61)
    assert nodes.current == "node 2"
    assert int(chain.rpc("eth_getTransactionCount", [client.address, "latest"]), 16) == before + 1
    assert token.view("allowance", client.address, NOBODY) == 61


# ---------------------------------------------------------------- offers

WEI = st.integers(0, 10**13)


@given(base_fee=WEI, later=WEI, limit=st.integers(1, 10**13))
def test_offers_rise_enough_and_never_beyond_the_limit(base_fee: int, later: int, limit: int) -> None:
    sending = Sending(max_fee=limit)
    assert sending.offered(base_fee) <= limit
    if base_fee >= limit:
        with pytest.raises(AccountError):
            sending.first(base_fee)
        return
    fee: Fee | None = sending.first(base_fee)
    assert fee is not None
    assert fee.most > base_fee
    assert fee.most <= 2 * base_fee + PRIORITY
    for _ in range(200):
        assert 0 < fee.priority <= fee.most <= limit
        more = sending.raised(fee, later)
        if more is None:
            assert 5 * fee.most > 4 * limit or later >= limit
            return
        assert 8 * more.most >= 9 * fee.most
        assert 8 * more.priority >= 9 * fee.priority
        assert more.most > later
        fee = more
    raise AssertionError("the limit is never reached")
