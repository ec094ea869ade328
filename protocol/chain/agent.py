"""What watcher and defender have in common: decide from the chain, send, log, go on (actors.md, A-6, A-8)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from threading import Event as Flag
from typing import Protocol

from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts
from protocol.chain.moves import send_move
from protocol.errors import ChainError, GavelError, RefusedError
from protocol.game.moves import (
    Claim,
    Close,
    Commit,
    Free,
    Move,
    Open,
    Prove,
    Reclaim,
    Reserve,
    Reveal,
    RevealPage,
    Select,
    SelectStep,
    SelectWord,
    Settle,
    Silence,
    Timeout,
    Withdraw,
)
from protocol.job_folder import JobFolder


class Log(Protocol):
    """Gets what an agent has to say, one line at a time."""

    def __call__(self, text: str, /, *, level: str = "info", **fields: object) -> None:
        """Tell one thing.

        Args:
            text: a short line for people.
            level: debug, info, warning, or error where an operator must act.
            fields: the same for programs: numbers, strings, and ids as bytes.
        """


class Agent(ABC):
    """One account that follows one job.

    Attributes:
        view: the chain as of the last step.
    """

    def __init__(self, *, contracts: Contracts, folder: JobFolder, log: Log) -> None:
        """Check the contracts and bind to a client with the agent's key.

        Raises:
            MismatchError: the contracts' code or wiring is not what it should be (A-1).
        """
        contracts.verify()
        self._contracts, self._folder, self._log = contracts, folder, log
        self.view = ChainView(contracts)

    @abstractmethod
    def step(self) -> list[Move]:
        """Read the chain, decide, send; return the moves that were sent.

        Raises:
            ChainError: the node cannot be read; nothing is lost, call again.
        """

    def prepare(self, move: Move) -> None:
        """Approve what a move is going to lock; nothing unless overridden."""
        del move

    def trouble(self, error: GavelError) -> None:
        """Say what cannot be decided in one place; it keeps nobody from moving in the others (A-8)."""
        self._log(f"CANNOT DECIDE in one place, going on with the others: {error}")

    def send(self, move: Move) -> bool:
        """Send a move; False, and a line in the log, if it was not accepted."""
        try:
            self.prepare(move)
            sent = send_move(self._contracts, move)
        except (RefusedError, ChainError) as error:  # the next move may be possible
            self._log(f"{type(move).__name__} {error}")
            return False
        self._log(f"{describe(move)} ({sent.gas:,} gas)")
        return True

    def run(self, *, poll: float, stop: Flag) -> None:
        """Step until told to stop, every `poll` seconds while there is nothing to send.

        Whatever goes wrong is logged, and tried again from what the chain then says (A-8).
        """
        while not stop.is_set():
            try:
                sent = self.step()
            except GavelError as error:
                self._log(f"{error}; trying again")
                sent = []
            if not sent:
                stop.wait(poll)


def describe(move: Move) -> str:
    """One short line for people."""
    match move:
        case Open():
            return f"opened the dispute against segment {move.segment + 1}"
        case Commit():
            what = "running sums of the word" if move.accumulator else "states or outputs"
            return f"committed to {what}: {len(move.children)} hashes"
        case Reveal():
            return f"revealed {len(move.children)} hashes below the selected one"
        case SelectStep():
            return f"selected the state after step {move.index} of the list: the first that differs"
        case Select():
            return f"selected hash {move.index} of the list: the first that differs"
        case SelectWord():
            return f"selected word {move.index} of the page: the first that differs"
        case Prove():
            return f"proved: witness of {len(move.witness):,} bytes"
        case _:
            return _WORDS.get(type(move), type(move).__name__)


_WORDS: dict[type, str] = {
    Reserve: "reserved a dispute, bond locked",
    RevealPage: "revealed the 64 words of the selected page",
    Silence: "showed that the other side's time is over",
    Timeout: "showed that the challenger's time is over",
    Settle: "settled: what stood on the fallen commitment falls",
    Close: "closed its dispute of an update that is gone",
    Free: "freed a defence bond",
    Claim: "claimed rewards and bond of a final update",
    Reclaim: "reclaimed the bond of a void update",
    Withdraw: "withdrew its credit",
}
