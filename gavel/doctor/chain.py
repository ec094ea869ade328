"""The node, the key and the contracts that a deployment names."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from eth_account import Account
from eth_utils.currency import from_wei

from gavel.doctor.findings import Finding, Level, attempted, failure, good, warning
from gavel.preflight import STALE
from protocol.chain.client import Client
from protocol.chain.deployment import NAMES, Contracts, Deployment
from protocol.errors import ChainError, GavelError, UsageError

NODE: Final = "node"
KEY: Final = "key"
CONTRACTS: Final = "contracts"

SKEW: Final = 60
"""Seconds that a node's latest block may lie ahead of this machine's clock."""

ENOUGH_GAS: Final = 20_000_000
"""What a dispute takes at most, with room: fewer coins are worth a warning."""

_LOG_BLOCKS: Final = 2_000


def check_chain(rpc: str, deployment: Path, key: Callable[[], bytes]) -> Iterator[Finding]:
    """Look at a node, a key and a deployment.

    Args:
        rpc: URL, or several with spaces between them.
        deployment: of the file.
        key: returns the private key; what it raises is told, the key never.
    """
    answering = []
    for url in rpc.split():
        try:
            Client.connect(url)
            answering.append(url)
            yield good(NODE, "reachable", _host(url))
        except ChainError:
            detail = f"no answer from {_host(url)}"
            yield failure(NODE, "reachable", detail, "start it, or name another with --rpc", ChainError)
    where = None
    try:
        where = Deployment.load(deployment)
        yield good(CONTRACTS, "deployment", str(deployment))
    except GavelError as error:
        yield failure(CONTRACTS, "deployment", str(error), "name the file with --deployment", type(error))
    private, found = _key(key)
    yield found
    if not answering:
        return
    rpc = " ".join(answering)
    reading = Client.connect(rpc)
    yield from _node(reading, where)
    if where is None or where.chain_id != reading.chain_id:
        return
    contracts = Contracts.bind(Client.connect(rpc, key=private), where)
    code = attempted(CONTRACTS, "code and wiring", lambda: _verified(contracts))
    yield code
    if code.level is Level.OK:
        yield attempted(CONTRACTS, "governor", lambda: _governor(contracts))
    if private is not None and code.level is Level.OK:
        yield from _balances(contracts)


def _host(rpc: str) -> str:
    """What of a URL can be shown: user, path and query may hold a key of a node's operator."""
    parts = urlsplit(rpc)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _key(key: Callable[[], bytes]) -> tuple[bytes | None, Finding]:
    try:
        private = key()
    except UsageError as error:
        return None, warning(KEY, "present", str(error), "without a key, gavel can only read")
    except GavelError as error:
        return None, failure(KEY, "present", str(error), "correct it; it is never printed", type(error))
    return private, good(KEY, "present", f"of the account {Account.from_key(private).address}")


def _node(client: Client, where: Deployment | None) -> Iterator[Finding]:
    if where is not None and where.chain_id != client.chain_id:
        yield failure(
            NODE,
            "chain id",
            f"{client.chain_id}, the deployment is on {where.chain_id}",
            "use the node of the deployment's chain, or its deployment file",
            ChainError,
        )
    else:
        yield good(NODE, "chain id", str(client.chain_id))
    yield attempted(NODE, "latest block", lambda: _latest(client))
    yield attempted(NODE, "methods", lambda: _methods(client, where))
    for name, state in client.nodes.describe() if client.nodes is not None else ():
        if state not in ("in use", "fit"):
            yield warning(NODE, name, state, "mend it, or leave it out: it would not be used (A-20)")


def _latest(client: Client) -> Finding | str:
    number, timestamp = client.head()
    age = int(time.time()) - timestamp
    if age > STALE:
        return failure(
            NODE,
            "latest block",
            f"{number}, {age:,} s old",
            "wait until the node has caught up; if it has, set this machine's clock",
            ChainError,
        )
    if age < -SKEW:
        return warning(
            NODE,
            "latest block",
            f"{number}, {-age:,} s ahead of this machine",
            "set this machine's clock, unless this is a development chain whose time was moved",
        )
    return f"{number}, {max(age, 0)} s old"


def _methods(client: Client, where: Deployment | None) -> Finding | str:
    """Ask for everything that actors ask for, as they do."""
    latest = client.block_number()
    first = min(where.block if where is not None else latest, latest)
    last = min(latest, first + _LOG_BLOCKS - 1)
    addresses = [Contracts.bind(client, where).board.address] if where is not None else []
    client.logs(addresses, [], first, last)
    client.block(first)
    client.fee()
    return f"logs of blocks {first} to {last}, blocks, fees"


def _verified(contracts: Contracts) -> str:
    contracts.verify()
    return f"{', '.join(NAMES)}: as this version of gavel compiles them, and as the file says"


def _governor(contracts: Contracts) -> Finding | str:
    governor, gas = contracts.board.view("governor"), int(contracts.board.view("scheduled_gas"))
    least = f"a job schedules at least {gas:,} gas for a side of a dispute"
    if not any(governor):
        return f"nobody, for ever; {least}"
    if governor != contracts.timelock.address_bytes:
        return warning(
            CONTRACTS,
            "governor",
            f"0x{governor.hex()}, which is not the timelock of the file; {least}",
            "it can change that for jobs opened later, maybe at once; open jobs keep their terms",
        )
    delay = int(contracts.timelock.view("get_minimum_delay"))
    return f"the timelock, {delay:,} s from announcing a change to making it; {least}"


def _balances(contracts: Contracts) -> Iterator[Finding]:
    client = contracts.client
    coins, needed = client.coins(), ENOUGH_GAS * client.fee()
    text = f"{from_wei(coins, 'ether')}"
    if coins < needed:
        advice = f"a dispute may take up to {from_wei(needed, 'ether')} for gas; send {client.address} some"
        yield warning(KEY, "coins", text, advice)
    else:
        yield good(KEY, "coins", text)
    tokens = int(contracts.token.view("balanceOf", client.address))
    credit = int(contracts.board.view("credit", contracts.account))
    text = f"{tokens:,}, and {credit:,} of credit with the board (smallest unit)"
    if not tokens:
        advice = "bonds and rewards are paid in it; get some, or `gavel job withdraw` a credit"
        yield warning(KEY, "bond tokens", text, advice)
    else:
        yield good(KEY, "bond tokens", text)
