"""A deployment on an EVM and its ghost, held to each other call by call."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from tests.stateful.calls import DEPLOYER, GOVERNOR, PEOPLE, PURSE, Call
from tests.stateful.ghost import Addresses, Ghost
from tests.stateful.ghost_base import Logged, Refused
from tests.stateful.ghost_token import UNLIMITED
from tests.stateful.views import Views
from tests.support.evm import FastEvm, Handle, Reverted

START: Final = 1_700_000_000
LEAST_GAS: Final = 5_000_000
CONTRACTS: Final = {
    "token": "BondToken",
    "board": "JobBoard",
    "court": "Court",
    "verifier": "StepVerifier",
    "availability": "Availability",
}

FOLLOWS: Final = (
    ("board.LeaseEnded", "board.Leased"),
    ("court.Reserved", "court.Opened"),
    ("court.Opened", "court.Demanded"),
    ("court.CandidateFell", "board.BondLost"),
    ("court.DisputeLost", "board.BondLost"),
    ("court.UpdateFell", "board.Fallen"),
)
"""Which event comes first where both are logged (events.md); other orders are left open."""


class DivergedError(AssertionError):
    """Ghost and contracts disagree: one of them breaks the specification, or that is not clear."""


@dataclass(slots=True)
class Tally:
    """What became of calls, by contract.function.

    Attributes:
        made, succeeded: calls and successes.
        refused: by reason.
        single: refusals of which the specification knew exactly one condition.
    """

    made: Counter[str] = field(default_factory=Counter)
    succeeded: Counter[str] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    single: int = 0
    events: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Add another tally to this one."""
        self.made += other.made
        self.succeeded += other.succeeded
        self.refused += other.refused
        self.single += other.single
        self.events += other.events


class World:
    """Contracts and ghost, in step.

    Attributes:
        tally: of all calls so far.
        tape: the calls so far with their times, so that a world can be played again.
    """

    def __init__(self, evm: FastEvm | None = None, *, every: int = 1) -> None:
        """Deploy all contracts, bind them, and give every party a purse that the board may take from.

        Args:
            every: views are compared after each so many calls; outcomes, events and reasons after every one.
        """
        self.every = every
        self.evm = evm or FastEvm(timestamp=START)
        token = self.evm.deploy("BondToken", 0, sender=DEPLOYER)
        board = self.evm.deploy("JobBoard", token.address, LEAST_GAS, sender=DEPLOYER)
        verifier = self.evm.deploy_judge("StepVerifier")
        court = self.evm.deploy("Court", board.address, verifier.address)
        availability = self.evm.deploy("Availability", board.address)
        self.handles: dict[str, Handle] = {
            "token": token,
            "board": board,
            "court": court,
            "verifier": verifier,
            "availability": availability,
        }
        self._names = {handle.address.lower(): name for name, handle in self.handles.items()}
        self.at = Addresses(**{name: handle.address.lower() for name, handle in self.handles.items()})
        self.ghost = Ghost(self.at, deployer=DEPLOYER, governor=GOVERNOR, chain_id=1, least_gas=LEAST_GAS)
        self.ghost.board.now = START
        self.tally = Tally()
        self.tape: list[tuple[int, Call]] = []
        self.views = Views(self.ghost, self.handles)
        board.call("bind", court.address, availability.address, GOVERNOR, sender=DEPLOYER)
        for who in PEOPLE:
            self.call(Call(DEPLOYER, "token", "mint", (who, PURSE)))
            self.call(Call(who, "token", "approve", (board.address.lower(), UNLIMITED)))
        self.tally = Tally()

    @property
    def now(self) -> int:
        """Seconds of the block that the next call sees."""
        return self.ghost.board.now

    def wait(self, until: int) -> None:
        """Let time pass to a moment that is not before now."""
        assert until >= self.now
        self.ghost.board.now = self.evm.timestamp = until

    def call(self, call: Call, *, shown: bool = True) -> Any:
        """Make a call on both sides and compare what comes of it.

        Args:
            shown: whether views are compared as well.

        Returns:
            what the contract returned, or the reason (a `Refused`) for which it refused.

        Raises:
            DivergedError: the two disagree.
        """
        self.tape.append((self.now, call))
        expected, allowed = self._on_ghost(call)
        found, reason, events = self._on_chain(call)
        name = f"{call.contract}.{call.function}"
        self.tally.made[name] += 1
        if allowed:
            if reason is None or reason not in allowed:
                raise DivergedError(
                    self._story(call, f"spec forbids: {sorted(allowed)}, contract: {reason!r}")
                )
            self.tally.refused[name, reason] += 1
            self.tally.single += len(allowed) == 1
            self.ghost.log.clear()
            outcome: Any = Refused(reason)
        else:
            if reason is not None:
                raise DivergedError(self._story(call, f"spec allows it, contract: {reason!r}"))
            self._same_events(call, events)
            if found != expected:
                raise DivergedError(self._story(call, f"returned: spec {expected!r}, contract {found!r}"))
            self.tally.succeeded[name] += 1
            self.tally.events.update(f"{event.contract}.{event.name}" for event in events)
            outcome = found
        shown = shown and len(self.tape) % self.every == 0
        differing = self.views.touched(call) if shown else []
        if differing:
            raise DivergedError(self._story(call, "\n  ".join(differing)))
        return outcome

    def compare(self) -> None:
        """Compare everything there is.

        Raises:
            DivergedError: something differs.
        """
        differing = self.views.everything()
        if differing:
            raise DivergedError(f"at {self.now}:\n  " + "\n  ".join(differing))

    def _on_ghost(self, call: Call) -> tuple[Any, frozenset[str]]:
        if call.value:  # E-4: no function takes coins
            return None, frozenset([""])
        try:
            return self.ghost.call(
                self.now, call.sender, call.contract, call.function, call.args
            ), frozenset()
        except Refused as refusal:
            return None, refusal.reasons

    def _on_chain(self, call: Call) -> tuple[Any, str | None, list[Logged]]:
        handle = self.handles[call.contract]
        data = handle.encode(call.function, *call.args)
        try:
            output, _, logs = self.evm.send(handle.address, data, sender=call.sender, value=call.value)
        except Reverted as error:
            return None, error.reason, []
        return handle.decode(call.function, output, len(call.args)), None, [self._logged(log) for log in logs]

    def _logged(self, log: Any) -> Logged:
        name = self._names[log.address.lower()]
        event = self.handles[name].event(log)
        assert event is not None, f"{name} logs what its ABI does not know"
        return Logged(name, event.name, event.args)

    def _same_events(self, call: Call, found: list[Logged]) -> None:
        left = list(self.ghost.log)
        extra = []
        for event in found:
            if event in left:
                left.remove(event)
            else:
                extra.append(event)
        if left or extra:
            raise DivergedError(self._story(call, f"events: only spec {left}\n  only contract {extra}"))
        names = [f"{event.contract}.{event.name}" for event in found]
        for first, then in FOLLOWS:
            if first in names and then in names and names.index(then) < names.index(first):
                raise DivergedError(self._story(call, f"events: {then} does not follow {first}"))

    def _story(self, call: Call, what: str) -> str:
        shown = ", ".join(arg.hex() if isinstance(arg, bytes) else str(arg) for arg in call.args)
        return f"{call.sender} {call.contract}.{call.function}({shown[:600]}) at {self.now}:\n  {what}"
