"""The client: signing, named refusals, chain ids; the devnet over HTTP; deployments and their checks."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from web3.types import RPCEndpoint, RPCResponse

from protocol.chain.client import Client, read_key
from protocol.chain.contract import Contract, creation_code
from protocol.chain.deployment import Contracts, Deployment, deploy
from protocol.chain.devnet import Devnet
from protocol.chain.embedded import EmbeddedChain, EmbeddedProvider
from protocol.chain.events import LogCursor
from protocol.chain.fees import Sending
from protocol.chain.rpc_values import RpcError
from protocol.errors import ChainError, MalformedError, MismatchError, RefusedError, UsageError
from tests.support.nodes import Fickle

NOBODY = "0x" + "11" * 20
SUPPLY = 10**20


@pytest.fixture(scope="module")
def chain() -> EmbeddedChain:
    return EmbeddedChain(accounts=3)


@pytest.fixture(scope="module")
def client(chain: EmbeddedChain) -> Client:
    return Client(EmbeddedProvider(chain), key=chain.keys[0])


@pytest.fixture(scope="module")
def token(client: Client) -> Contract:
    created = client.send(None, creation_code("BondToken", SUPPLY), tag="deploy", gas=3_000_000).created
    assert created is not None
    return Contract(client, "BondToken", created)


@pytest.fixture(scope="module")
def served(chain: EmbeddedChain) -> Iterator[Devnet]:
    with Devnet(chain, port=0, block_time=0.05) as devnet:
        yield devnet


@pytest.fixture(scope="module")
def contracts(client: Client) -> Contracts:
    return deploy(client)


# ---------------------------------------------------------------- client


def test_transfer_is_mined_decoded_and_accounted(client: Client, token: Contract) -> None:
    before = len(client.sent)
    sent = token.send("transfer", NOBODY, 5, tag="gift")
    assert client.sent[before:] == [sent]
    assert (sent.tag, sent.calldata) == ("gift", 68)
    assert 21_000 < sent.gas < 60_000
    [event] = [e for log in sent.logs if (e := token.decode_log(log)) is not None]
    assert (event.name, event.block) == ("Transfer", sent.block)
    assert event.args == {"sender": token.client.account and bytes.fromhex(client.address[2:]),
                          "receiver": bytes.fromhex(NOBODY[2:]), "value": 5}  # fmt: skip
    assert token.view("balanceOf", NOBODY) == 5
    assert token.view("balanceOf", NOBODY, block=sent.block - 1) == 0


def test_a_refusal_carries_the_contract_s_reason(token: Contract) -> None:
    with pytest.raises(RefusedError) as refused:
        token.send("transfer", bytes(20), 5)
    assert refused.value.reason == "erc20: transfer to the zero address"
    with pytest.raises(RefusedError, match="refused: erc20: transfer amount exceeds balance"):
        token.send("transfer", NOBODY, 10**30)


def test_out_of_gas_is_said(token: Contract) -> None:
    with pytest.raises(ChainError, match="ran out of gas"):
        token.send("transfer", NOBODY, 1, gas=23_000)


def test_account_without_coins_is_told_what_to_check(chain: EmbeddedChain, token: Contract) -> None:
    poor = Client(EmbeddedProvider(chain), key=b"\x01" * 32)
    with pytest.raises(ChainError, match=f"{poor.address} holds 0 wei of coin .* send it some"):
        Contract(poor, "BondToken", token.address).send("transfer", NOBODY, 0)


def test_reader_cannot_send(chain: EmbeddedChain, token: Contract) -> None:
    reader = Client(EmbeddedProvider(chain))
    bound = Contract(reader, "BondToken", token.address)
    assert bound.view("totalSupply") == SUPPLY
    with pytest.raises(ChainError, match="GAVEL_KEY"):
        bound.send("transfer", NOBODY, 1)


def test_another_chain_is_refused_before_anything_is_sent(chain: EmbeddedChain) -> None:
    with pytest.raises(ChainError, match="is on chain 31337, not on chain 1 "):
        Client(EmbeddedProvider(chain), chain_id=1)


def test_no_node_is_said() -> None:
    with pytest.raises(ChainError, match="no answer from the node"):
        Client.connect("http://127.0.0.1:9")


def test_a_contract_that_is_not_there_is_said(client: Client) -> None:
    with pytest.raises(ChainError, match="does not answer as BondToken"):
        Contract(client, "BondToken", NOBODY).view("totalSupply")


def test_unknown_functions_and_events_are_named(token: Contract) -> None:
    with pytest.raises(UsageError, match="no function fly of 0"):
        token.view("fly")
    with pytest.raises(UsageError, match="no event Flown"):
        token.topic("Flown")


def test_nonces_follow_when_another_client_has_used_the_account(
    chain: EmbeddedChain, token: Contract
) -> None:
    first, second = (Client(EmbeddedProvider(chain), key=chain.keys[2]) for _ in range(2))
    bound = [Contract(c, "BondToken", token.address) for c in (first, second)]
    bound[0].send("approve", NOBODY, 1)
    bound[1].send("approve", NOBODY, 2)
    with pytest.raises(ChainError, match="was not mined"):
        bound[0].send("approve", NOBODY, 3)
    bound[0].send("approve", NOBODY, 4)
    assert token.view("allowance", first.address, NOBODY) == 4


QUICK = Sending(pending=0.1, give_up=0.3, poll=0.01)


@pytest.fixture
def waiting(chain: EmbeddedChain, token: Contract) -> tuple[Fickle, Callable[[], Contract]]:
    """A node that holds back, and the token as a process that has just been started sees it there."""
    node = Fickle.of(chain)
    node.holding = True

    def process() -> Contract:
        client = Client(node.provider, key=chain.keys[1], sending=QUICK)
        return Contract(client, "BondToken", token.address)

    return node, process


def test_a_pending_transaction_is_not_sent_twice_after_a_restart(
    waiting: tuple[Fickle, Callable[[], Contract]], chain: EmbeddedChain, token: Contract
) -> None:
    node, process = waiting
    who = process().client.address
    count = lambda: int(chain.rpc("eth_getTransactionCount", [who, "latest"]), 16)  # noqa: E731
    before = count()
    with pytest.raises(ChainError, match="was not mined in 0 s"):
        process().send("approve", NOBODY, 11)  # and here the process is killed
    assert len(node.held) == 1
    threading.Timer(0.1, node.release).start()
    # Started again, it waits for what is pending, and asks before it sends: nothing is left to do.
    with pytest.raises(RefusedError, match="zero address"):
        process().send("transfer", bytes(20), 0, tried=True)
    assert token.view("allowance", who, NOBODY) == 11
    assert count() == before + 1


def test_a_stuck_transaction_is_replaced_and_only_one_of_the_two_is_mined(
    waiting: tuple[Fickle, Callable[[], Contract]], chain: EmbeddedChain, token: Contract
) -> None:
    node, process = waiting
    bound = process()
    before = int(chain.rpc("eth_getTransactionCount", [bound.client.address, "latest"]), 16)
    for amount in (21, 22):
        with pytest.raises(ChainError, match="takes its place"):
            bound.send("approve", NOBODY, amount)
    with pytest.raises(ChainError, match="takes its place"):
        process().send("approve", NOBODY, 23)
    assert len(node.held) == 1
    assert node.offers == sorted(set(node.offers))
    node.release()
    assert token.view("allowance", bound.client.address, NOBODY) == 23
    assert int(chain.rpc("eth_getTransactionCount", [bound.client.address, "latest"]), 16) == before + 1
    with pytest.raises(ChainError, match="was not mined"):
        bound.send("approve", NOBODY, 24)  # its number is taken now: it asks for another
    bound.send("approve", NOBODY, 24)


def test_what_would_be_refused_costs_nothing_when_it_is_tried_first(
    client: Client, chain: EmbeddedChain, token: Contract
) -> None:
    before = chain.rpc("eth_getTransactionCount", [client.address, "latest"])
    with pytest.raises(RefusedError, match="zero address"):
        token.send("transfer", bytes(20), 5, tried=True)
    assert chain.rpc("eth_getTransactionCount", [client.address, "latest"]) == before
    token.send("transfer", NOBODY, 5, tried=True)


@pytest.mark.parametrize("text", ["0x" + "ab" * 32, "ab" * 32, " 0x" + "AB" * 32 + "\n"])
def test_keys_are_read(text: str) -> None:
    assert read_key(text) == b"\xab" * 32


@pytest.mark.parametrize("text", ["", "0x12", "ab" * 31, "ab" * 33, "zz" * 32, "0xéé"])
def test_wrong_keys_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ChainError, match="64 hexadecimal digits") as refused:
        read_key(text)
    assert not text or text not in str(refused.value)


def test_cursor_reads_each_log_once(client: Client, token: Contract) -> None:
    cursor = LogCursor(client, [token], first_block=0)
    cursor.advance(client.block_number())
    for amount in (7, 8):
        token.send("transfer", NOBODY, amount)
    events = cursor.advance(client.block_number())
    assert [e.args["value"] for e in events if e.name == "Transfer"] == [7, 8]
    assert cursor.advance(client.block_number()) == []


class Thrifty(EmbeddedProvider):
    """A node that gives the logs of at most five blocks at a time."""

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        if method == "eth_getLogs":
            request = params[0]
            if int(request["toBlock"], 16) - int(request["fromBlock"], 16) >= 5:
                return RPCResponse(jsonrpc="2.0", id=1, error={"code": -32005, "message": "too many blocks"})
        return super().make_request(method, params)


def test_a_node_that_gives_few_blocks_at_a_time_is_asked_for_fewer(
    chain: EmbeddedChain, client: Client, token: Contract
) -> None:
    for _ in range(30):
        chain.rpc("evm_mine", [])
    token.send("transfer", NOBODY, 77)
    thrifty, told = Client(Thrifty(chain)), []
    cursor = LogCursor(
        thrifty, [token], first_block=0, progress=lambda last, latest: told.append((last, latest))
    )
    whole = LogCursor(client, [token], first_block=0)
    latest = client.block_number()
    assert cursor.advance(latest) == whole.advance(latest)
    assert told[0][0] < told[-1][0] < latest
    assert {end for _, end in told} == {latest}


# ---------------------------------------------------------------- devnet


def _post(url: str, body: bytes, host: str | None = None) -> dict[str, object]:
    request = urllib.request.Request(url, data=body, headers={"Host": host} if host else {})  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
        answer: dict[str, object] = json.loads(response.read())
    return answer


def test_devnet_is_the_same_chain_over_http(served: Devnet, client: Client, token: Contract) -> None:
    over_http = Client.connect(served.url, key=served.chain.keys[1], chain_id=client.chain_id)
    bound = Contract(over_http, "BondToken", token.address)
    bound.send("approve", NOBODY, 9)
    assert token.view("allowance", over_http.address, NOBODY) == 9
    with pytest.raises(RefusedError, match="zero address"):
        bound.send("transfer", bytes(20), 0)


def test_devnet_s_clock_goes_on_and_can_be_moved() -> None:
    fresh = EmbeddedChain(accounts=1)
    with Devnet(fresh, port=0, block_time=0.05) as devnet:
        reader = Client.connect(devnet.url)
        until = time.monotonic() + 30
        while reader.block_number() == 0:
            assert time.monotonic() < until
            time.sleep(0.05)
        before = reader.now()
        fresh.rpc("evm_increaseTime", [86_400])
        fresh.rpc("evm_mine", [])
        assert 86_400 <= reader.now() - before < 86_500


def test_a_transaction_is_mined_at_the_moved_time(
    chain: EmbeddedChain, client: Client, token: Contract
) -> None:
    before = client.now()
    chain.rpc("evm_increaseTime", [hex(1000)])
    token.send("approve", NOBODY, 1)
    assert 1000 <= client.now() - before < 1100


def test_devnet_answers_loopback_names_only(served: Devnet) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}).encode()
    assert _post(served.url, body)["result"] == "0x7a69"
    with pytest.raises(urllib.error.HTTPError) as refused:
        _post(served.url, body, host="evil.example:80")
    assert refused.value.code == 403
    refused.value.close()


def test_devnet_says_what_is_wrong_with_a_request(served: Devnet) -> None:
    unknown = json.dumps({"id": 7, "method": "eth_mystery", "params": []}).encode()
    answer = _post(served.url, unknown)
    assert (answer["id"], "error" in answer) == (7, True)
    assert "error" in _post(served.url, b"not json")
    batch = json.dumps([{"id": i, "method": "eth_chainId", "params": []} for i in range(2)]).encode()
    assert [entry["id"] for entry in _post(served.url, batch)] == [0, 1]  # type: ignore[index]


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("eth_mystery", [], -32601),
        ("eth_getBalance", ["not hex"], -32602),
        ("eth_getBlockByNumber", ["0xffffff", False], -32001),
        ("eth_sendRawTransaction", ["0x02c0"], -32003),
    ],
)
def test_rpc_errors_have_their_codes(
    chain: EmbeddedChain, method: str, params: list[object], code: int
) -> None:
    with pytest.raises(RpcError) as error:
        chain.rpc(method, params)
    assert error.value.code == code


def test_a_taken_port_is_said(served: Devnet) -> None:
    port = int(served.url.rsplit(":", 1)[1])
    with pytest.raises(UsageError, match=f"port {port}"):
        Devnet(served.chain, port=port)


# ---------------------------------------------------------------- deployments


def test_deployment_file_comes_back(contracts: Contracts, tmp_path: Path) -> None:
    path = tmp_path / "out" / "deployment.json"
    contracts.deployment.save(path)
    assert Deployment.load(path) == contracts.deployment
    Contracts.bind(contracts.client, Deployment.load(path)).verify()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "gavel deployment 1"}', '{"format": "other"}'])
def test_other_files_are_no_deployments(text: str, tmp_path: Path) -> None:
    path = tmp_path / "deployment.json"
    path.write_text(text)
    with pytest.raises(MalformedError, match="deployment"):
        Deployment.load(path)


@pytest.mark.parametrize("name", ["functions", "verifier", "board", "court"])
def test_other_code_is_refused(contracts: Contracts, name: str) -> None:
    changed = replace(contracts.deployment, **{name: contracts.deployment.token})
    with pytest.raises(MismatchError, match=f"code of the {name}"):
        Contracts.bind(contracts.client, changed).verify()


def test_other_wiring_is_refused(contracts: Contracts) -> None:
    second = deploy(contracts.client)
    for name, what in (
        ("token", "token of the board"),
        ("court", "court of the board"),
        ("functions", "functions of the verifier"),
    ):
        changed = replace(contracts.deployment, **{name: getattr(second.deployment, name)})
        with pytest.raises(MismatchError, match=what):
            Contracts.bind(contracts.client, changed).verify()


def test_a_board_is_bound_once(contracts: Contracts) -> None:
    with pytest.raises(RefusedError, match="board: is bound"):
        contracts.board.send("bind", NOBODY, NOBODY, NOBODY)


def test_a_chain_that_lies_in_the_future_knows_no_wall_clock() -> None:
    start = 4_000_000_000
    fresh = EmbeddedChain(accounts=1, genesis_time=start)
    reader = Client(EmbeddedProvider(fresh))
    fresh.rpc("evm_mine", [])
    assert reader.now() == start + 1
    fresh.rpc("evm_mine", [start + 500])
    assert reader.now() == start + 500
    fresh.rpc("evm_mine", [hex(start + 300)])
    assert reader.now() == start + 501
