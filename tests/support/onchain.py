"""Token, board, verifier and court on one EVM, driven by the moves of the game."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, Final, get_args

from protocol.game import demand_moves as d
from protocol.game import moves as m
from protocol.job import Job
from tests.support.evm import Event, FastEvm, Handle

SCHEDULED_GAS: Final = 10_000_000
GOVERNOR: Final = FastEvm.account(9)
START: Final = 1_700_000_000

_BOARD_MOVES: Final = get_args(m.BoardMove)
_READER: Final = FastEvm.account(0)


def words(*values: int | bytes) -> bytes:
    """Values as an ABI encoder lays out static ones: integers and addresses right-aligned in 32 bytes."""
    return b"".join(v.to_bytes(32) if isinstance(v, int) else v.rjust(32, b"\0") for v in values)


class Contracts:
    """Token, board, verifier, court and availability on an EVM of their own, bound to each other.

    Attributes:
        gas: of the last successful move, with 21,000 and calldata, without the floor price.
    """

    def __init__(self) -> None:
        self.evm = FastEvm(timestamp=START)
        self.token = self.evm.deploy("OddToken")
        self.board = self.evm.deploy("JobBoard", self.token.address, SCHEDULED_GAS)
        self.verifier = self.evm.deploy_judge("StepVerifier")
        self.court = self.evm.deploy("Court", self.board.address, self.verifier.address)
        self.availability = self.evm.deploy("Availability", self.board.address)
        self.board.call("bind", self.court.address, self.availability.address, GOVERNOR)
        self.gas = 0
        self.tape: list[tuple[int, str, str, bytes]] = []
        self._selectors = {
            (handle.address, name.split("(")[0]): bytes.fromhex(selector[2:])
            for handle in (self.token, self.board, self.court, self.availability)
            for name, selector in handle.artifact.method_identifiers.items()
        }

    def send(self, sender: bytes, move: m.Move) -> tuple[Any, list[Event]]:
        """Make a move; returns what the function returns, and the events of court, board and availability.

        Raises:
            Reverted: the contracts refuse.
        """
        function = re.sub(r"(?<!^)(?=[A-Z])", "_", type(move).__name__).lower()
        args = [_argument(getattr(move, field.name)) for field in fields(move)]
        target = self.board if isinstance(move, _BOARD_MOVES) else self.court
        if isinstance(move, d.DemandMove):
            target = self.availability
        if isinstance(move, m.Prove):
            target, args = self.verifier, [self.court.address, *args]
        output, logs = self._keep("0x" + sender.hex(), target.address, target.encode(function, *args))
        events = [event for log in logs for event in self._decoded(log)]
        return target.decode(function, output), events

    def mint(self, owner: bytes, amount: int) -> None:
        """Give a party tokens, all approved."""
        party = "0x" + owner.hex()
        self._keep(party, self.token.address, self.token.encode("mint", party, amount))
        self._keep(party, self.token.address, self.token.encode("approve", self.board.address, 2**255))

    def again(self) -> Contracts:
        """A second chain to which the same has happened."""
        twin = Contracts()
        for twin.evm.timestamp, sender, to, data in self.tape:
            twin._keep(sender, to, data)
        twin.evm.timestamp = self.evm.timestamp
        return twin

    def _keep(self, sender: str, to: str, data: bytes) -> tuple[bytes, list[Any]]:
        output, self.gas, logs = self.evm.send(to, data, sender=sender)
        self.tape.append((self.evm.timestamp, sender, to, data))
        return output, logs

    def _decoded(self, log: Any) -> Iterable[Event]:
        for handle in (self.court, self.board, self.availability):
            if log.address.lower() == handle.address.lower():
                event = handle.event(log)
                if event is not None:
                    yield event

    def read(self, handle: Handle, function: str, *args: int | bytes) -> bytes:
        """What a view with static arguments returns, as bytes.

        Raises:
            Reverted: it refuses.
        """
        data = self._selectors[handle.address, function] + words(*args)
        return self.evm.send(handle.address, data, sender=_READER)[0]


def _argument(value: Any) -> Any:
    return value.terms() if isinstance(value, Job) else value
