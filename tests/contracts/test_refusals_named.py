"""Whatever is called, in whatever way: the contracts refuse with a reason of the list (errors.md, E-3, E-4).

Two games are played again, transaction by transaction, on the contracts that are deployed. Before each, the
same call is made with one argument changed, by other senders, and as bytes that no encoder writes; after it,
once more. Beside them every function is called with arguments of no game.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from eth_utils.crypto import keccak

from protocol.game.ids import Kind, position_id
from protocol.game.reasons import REASONS
from tests.support.court import CourtWorld
from tests.support.demands import demand_game
from tests.support.evm import FastEvm, Handle, Reverted, storage_slot
from tests.support.game import NEW_MODEL, table
from tests.support.hostile import NOBODY, ZERO_ADDRESS, Hostile, decoded, functions
from tests.support.lockstep import Lockstep
from tests.support.onchain import GOVERNOR, SCHEDULED_GAS, START
from tests.support.walk import Walk, traces_of

WALKS: Final = (4, 7)
"""Seeds of two games in which every move of the protocol is made."""

AGAIN: Final = {
    ("BondToken", "mint"),
    ("BondToken", "approve"),
    ("Court", "delegate"),
    ("JobBoard", "finalise"),
    ("JobBoard", "cancel"),
    ("Availability", "demand"),
}
"""Calls that may be repeated: they say what shall be, record what is so anyway (M-10, D-5, U-6, U-9), or ask
for a page once more, for another fee (Y-2).
"""


@dataclass
class Tried:
    """What came of all calls, by contract and function: reasons, and how many succeeded."""

    refused: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    accepted: Counter[tuple[str, str]] = field(default_factory=Counter)
    garbage: Counter[str] = field(default_factory=Counter)
    again: Counter[tuple[str, str, str]] = field(default_factory=Counter)


class Attack:
    """One game, played again on contracts that are called in every wrong way on the way."""

    def __init__(self, seed: int, tried: Tried) -> None:
        self.hostile, self.tried = Hostile(seed), tried
        self.evm = FastEvm(timestamp=START)
        self.minter = self.evm.account(0)
        token = self.evm.deploy("BondToken", 10**30)
        board = self.evm.deploy("JobBoard", token.address, SCHEDULED_GAS)
        verifier = self.evm.deploy_judge("StepVerifier")
        court = self.evm.deploy("Court", board.address, verifier.address)
        availability = self.evm.deploy("Availability", board.address)
        board.call("bind", court.address, availability.address, GOVERNOR)
        self.contracts = {handle.address: handle for handle in (token, board, verifier, court, availability)}

    def play(self, tape: list[tuple[int, str, str, bytes]]) -> None:
        senders = sorted({sender for _, sender, _, _ in tape})
        for self.evm.timestamp, sender, to, data in tape:
            handle = self.contracts[to]
            function, args = decoded(handle, data)
            self.hostile.meet(args)
            for wrong in self.hostile.variants(handle, function, args):
                self.attempt(handle, function, wrong, sender)
            for other in (NOBODY, self.hostile.random.choice(senders)):
                self.attempt(handle, function, args, other)
            for wrong_data in self.hostile.garbage(data):
                self.throw(handle, wrong_data, sender)
            self.pester(sender)
            right = self.minter if function == "mint" else sender
            self.hostile.meet(handle.call(function, *args, sender=right))
            self.attempt(handle, function, args, right, tally=self.tried.again)

    def pester(self, sender: str) -> None:
        """Call everything with arguments of no game."""
        for handle in self.contracts.values():
            for function in functions(handle):
                self.attempt(handle, function, self.hostile.strangers(handle, function), sender)

    def attempt(
        self,
        handle: Handle,
        function: str,
        args: list[Any],
        sender: str,
        *,
        tally: Counter[tuple[str, str, str]] | None = None,
    ) -> None:
        """Make a call and take it back."""
        where = handle.artifact.name, function
        mark = self.evm.snapshot()
        try:
            handle.call(function, *args, sender=sender)
        except Reverted as error:
            self.tried.refused[*where, error.reason] += 1
            if tally is not None:
                tally[*where, error.reason] += 1
        else:
            self.tried.accepted[where] += 1
            if tally is not None:
                tally[*where, ""] += 1
        self.evm.revert_to(mark)

    def throw(self, handle: Handle, data: bytes, sender: str) -> None:
        """Send calldata as it is and take it back."""
        mark = self.evm.snapshot()
        try:
            self.evm.send(handle.address, data, sender=sender)
        except Reverted as error:
            self.tried.garbage[error.reason] += 1
        self.evm.revert_to(mark)


@pytest.fixture(scope="module")
def tried() -> Iterator[Tried]:
    traces = traces_of(table())
    token = NEW_MODEL.set(lambda: Lockstep(every=10**9))
    found = Tried()
    for seed in WALKS:
        walk = Walk(seed, traces)
        walk.run(500)
        model = walk.model
        assert isinstance(model, Lockstep)
        Attack(seed, found).play(model.contracts.tape)
    Attack(len(WALKS), found).play(demand_game().contracts.tape)
    yield found
    NEW_MODEL.reset(token)


def test_every_refusal_has_a_reason_of_the_list(tried: Tried) -> None:
    assert {call for call in tried.refused if call[2] not in REASONS} == set()
    made = sum(tried.refused.values()), sum(tried.accepted.values())
    reasons = {reason for _, _, reason in tried.refused}
    print(f"{made[0]} calls refused for {len(reasons)} reasons, {made[1]} accepted")
    assert min(made) > 10_000


def test_every_function_was_called_rightly_and_wrongly(tried: Tried) -> None:
    """But for views, which answer whatever they are asked."""
    refused = {call[:2] for call in tried.refused}
    for handle in Attack(0, Tried()).contracts.values():
        for entry in handle.artifact.abi:
            if entry["type"] == "function" and entry["stateMutability"] == "nonpayable":
                where = handle.artifact.name, entry["name"]
                assert where in refused or where in AGAIN | {("BondToken", "burn")}, where


def test_no_move_can_be_made_twice(tried: Tried) -> None:
    assert {call[:2] for call in tried.again if not call[2]} == AGAIN
    assert sum(tried.again.values()) > 300


def test_calldata_that_no_encoder_writes_is_refused_or_means_something(tried: Tried) -> None:
    """What the decoder refuses has no reason (E-4); what it lets through is judged like any call."""
    assert tried.garbage[""] > 1_000
    assert set(tried.garbage) - {""} <= set(REASONS)


def test_a_court_that_is_none_refuses_in_its_own_way() -> None:
    """The one refusal without a reason that an ABI-valid call comes to (E-4): another contract's."""
    evm = FastEvm()
    verifier, other = evm.deploy_judge("StepVerifier"), evm.deploy("BondToken", 1)
    for court, reason in ((NOBODY, "verifier: no court"), (other.address, "")):
        with pytest.raises(Reverted) as refusal:
            verifier.call("prove", court, bytes(32), bytes(32), 0, b"")
        assert refusal.value.reason == reason


def test_bytes_that_do_not_lie_where_an_encoder_puts_them_are_refused() -> None:
    """Or the witness that is judged could be another one than the argument."""
    evm = FastEvm()
    court, verifier = evm.deploy("CourtMock"), evm.deploy_judge("StepVerifier")
    data = verifier.encode("prove", court.address, bytes(32), bytes(32), 0, bytes(64))
    moved = data[:132] + (192).to_bytes(32) + bytes(32) + data[164:]
    with pytest.raises(Reverted) as refusal:
        evm.send(verifier.address, moved)
    assert refusal.value.reason == "verifier: encoding"


def test_numbers_of_disputes_run_out_for_one_update_alone(world: CourtWorld) -> None:
    """D-2: who opens 67 million disputes against an update of its own keeps nobody from disputing another."""
    update, other = world.post(), world.post(lease=False)
    first = world.dispute(update)
    case = keccak(storage_slot(world.court, "cases").to_bytes(32) + update)
    world.evm.write(world.court.address, int.from_bytes(case) + 2, 2**26 - 2)
    last = world.dispute(update, salt=1)
    world.refused("court: too many disputes", "open", *world.open_arguments(update, salt=2))
    elsewhere = world.dispute(other, segment=2, first=2)
    assert world.view("dispute", last)["update"] == update
    claimants = [
        world.view("position", position_id(of, Kind.STEPS, segment))["claimant"]
        for of, segment in ((update, 0), (other, 2))
    ]
    assert claimants == [first, elsewhere]


def test_a_board_needs_a_token() -> None:
    evm = FastEvm()
    for nothing in (ZERO_ADDRESS, NOBODY):
        with pytest.raises(Reverted) as refusal:
            evm.deploy("JobBoard", nothing, SCHEDULED_GAS)
        assert refusal.value.reason == "board: no token"
