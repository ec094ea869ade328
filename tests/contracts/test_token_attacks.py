"""A bond token that calls back into the contracts while it moves (M-10, I-1): all of it is refused by the
lock of the contract that moves it, and nothing is paid twice.

What keeps a fee, reports false or reverts is in test_board.py and, for fees of demands, in
test_availability.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.board import BURN, RICH, BoardWorld, refuses
from tests.support.court import CourtWorld
from tests.support.evm import Handle, abi_types

CALLS_BACK = 4
NOTHING: dict[str, Any] = {"bool": False, "string": "", "bytes": b""}


def calls_of(contract: Handle) -> dict[str, bytes]:
    """Calldata of every function that can change something, with arguments of nothing."""
    found = {}
    for entry in contract.artifact.abi:
        if entry["type"] == "function" and entry["stateMutability"] not in ("view", "pure"):
            arguments = [nothing(kind) for kind in abi_types(entry["inputs"])]
            found[entry["name"]] = contract.encode(entry["name"], *arguments)
    return found


def nothing(kind: str) -> Any:
    """The value of an ABI type that says nothing."""
    if kind.endswith("[]"):
        return []
    if kind.startswith("("):
        return tuple(nothing(part) for part in kind[1:-1].split(","))
    if kind.startswith("bytes") and kind != "bytes":
        return bytes(int(kind[5:]))
    if kind == "address":
        return "0x" + "00" * 20
    return NOTHING.get(kind, 0)


def held_is_owed(world: BoardWorld, locked: int) -> bool:
    """I-1, where so much is locked or unspent."""
    return world.held() == world.credits() + world.credit(world.token.address) + locked


@pytest.mark.parametrize("name", calls_of(BoardWorld().board))
def test_no_function_of_the_board_is_entered_while_tokens_come_in(name: str) -> None:
    world = BoardWorld()
    job = world.job()
    world.token.call("strike", world.board.address, calls_of(world.board)[name])
    world.token.call("behave", CALLS_BACK)
    opened = world.open(job)
    assert world.token.call("struck") == 1
    assert (world.token.call("accepted"), world.token.call("said")) == (0, b"")  # the lock gives no reason
    assert opened == job.job_id
    assert held_is_owed(world, job.money.reward * job.geometry.segments)


def test_a_token_that_is_a_party_withdraws_its_credit_once() -> None:
    world = BoardWorld()
    token, board = world.token, world.board
    job = replace(world.job(), requester=bytes.fromhex(token.address[2:]))
    funds = job.money.reward * job.geometry.segments
    token.call("mint", token.address, funds)
    token.call("poke", token.address, token.encode("approve", board.address, funds))
    token.call("poke", board.address, board.encode("open_job", job.terms()))
    world.token.call("mint", board.address, RICH)  # what others have locked
    token.call("poke", board.address, board.encode("cancel", job.job_id))
    world.evm.timestamp += job.clocks.notice + 1
    board.call("refund", job.job_id)
    assert world.credit(token.address) == funds

    token.call("strike", board.address, board.encode("withdraw"))
    token.call("behave", CALLS_BACK)
    token.call("poke", board.address, board.encode("withdraw"))
    assert (token.call("struck"), token.call("accepted"), token.call("said")) == (1, 0, b"")
    assert token.call("balanceOf", token.address) == funds
    assert (world.credit(token.address), world.held()) == (0, RICH)
    with refuses("board: nothing to withdraw"):
        token.call("poke", board.address, board.encode("withdraw"))


def test_nobody_else_is_paid_twice_either() -> None:
    world = BoardWorld()
    job = world.open()
    world.board.call("lease", job, sender=world.alice)
    world.board.call("release", job, sender=world.alice)  # nothing was posted: the deposit is lost (M-6)
    burned = world.credit(BURN)
    assert burned > 0
    for payee, again in ((world.requester, "withdraw_burned"), (BURN, "withdraw")):
        before, owed = world.held(), world.credit(payee)
        world.token.call("strike", world.board.address, world.board.encode(again))
        world.token.call("behave", CALLS_BACK)
        world.board.call("withdraw" if payee != BURN else "withdraw_burned", sender=world.requester)
        assert world.token.call("accepted") == 0
        assert world.held() == before - owed
        world.token.call("behave", 0)


@pytest.mark.parametrize("name", calls_of(CourtWorld().court))
def test_no_function_of_the_court_is_entered_while_it_takes_a_bond(name: str) -> None:
    world = CourtWorld()
    before = world.token.call("balanceOf", world.board.address)
    world.token.call("strike", world.court.address, calls_of(world.court)[name])
    world.token.call("behave", CALLS_BACK)
    world.court.call("reserve", world.job, bytes(range(32)), sender=world.watcher)
    assert world.token.call("struck") == 1
    assert (world.token.call("accepted"), world.token.call("said")) == (0, b"")
    bond = world.money.challenge_bond
    assert world.token.call("balanceOf", world.board.address) == before + bond
    world.token.call("behave", 0)
    world.court.call("cancel_reservation", bytes(range(32)), sender=world.watcher)
    world.board.call("withdraw", sender=world.watcher)
    assert world.token.call("balanceOf", world.board.address) == before


def test_what_is_revealed_from_within_a_transfer_is_revealed_and_no_more() -> None:
    """The court is not locked while the board moves tokens for itself; what moves money is, through the
    board.
    """
    world = CourtWorld()
    leaves = [bytes([n]) * 32 for n in range(2)]
    for data, accepted in (
        (world.court.encode("reveal", leaves), 1),
        (world.court.encode("reserve", world.job, bytes(32)), 0),
    ):
        world.token.call("strike", world.court.address, data)
        world.token.call("behave", CALLS_BACK)
        held = world.token.call("balanceOf", world.board.address)
        world.board.call("lease", world.job, sender=world.trainer)
        assert world.token.call("accepted") == accepted
        assert world.token.call("balanceOf", world.board.address) == held + world.money.lease_deposit
        world.token.call("behave", 0)
        world.board.call("release", world.job, sender=world.trainer)
        world.board.call("withdraw_burned")
        world.board.call("withdraw", sender=world.requester)
