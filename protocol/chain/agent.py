"""What watcher and defender have in common: decide from the chain, send, log, go on (actors.md, A-6, A-8)."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import fields
from threading import Event as Flag
from typing import Any, Final, Protocol

from protocol.amounts import amount
from protocol.chain.agreement import disagreements
from protocol.chain.client import SentTransaction
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts
from protocol.chain.log import Log, Said
from protocol.chain.moves import send_move
from protocol.chain.nodes import STALE
from protocol.errors import AccountError, ChainError, GavelError, RefusedError
from protocol.game.demand_moves import Answer, CloseDemand, Demand, Expire
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

__all__ = ["STALE", "Agent", "Log", "Node", "Said", "Turns", "describe", "ids", "run"]


COMPARED: Final = 30.0
"""Seconds between two looks whether several nodes agree about a job."""


class Turns(Protocol):
    """What `run` lets take its turns: an agent, or one that only looks on.

    Attributes:
        view: the chain as of its last turn.
        patience: seconds that a node may be out of reach before an operator must act.
    """

    view: ChainView
    patience: float

    def turn(self) -> bool:
        """Do one piece of what is to be done; False when there is nothing to do for now."""
        ...

    def trouble(self, error: GavelError) -> None:
        """Say what went wrong in a turn, the node's failures excepted."""
        ...


class Agent(ABC):
    """One account that follows one job.

    Attributes:
        view: the chain as of the last step.
        patience: seconds that a node may be out of reach before an operator must act: a quarter of R.
    """

    def __init__(
        self,
        *,
        contracts: Contracts,
        folder: JobFolder,
        log: Log,
        view: ChainView | None = None,
        dry_run: bool = False,
    ) -> None:
        """Check the contracts and bind to a client with the agent's key.

        Args:
            contracts: bound to a client with the agent's key.
            folder: the job.
            log: told everything.
            view: shared with other agents of the process; one of its own unless given.
            dry_run: send nothing, only say what would be sent (A-13).

        Raises:
            MismatchError: the contracts' code or wiring is not what it should be (A-1), or
                the board does not know the job.
        """
        contracts.verify(folder.job)
        self._contracts, self._folder, self._log = contracts, folder, Said(log)
        self._dry_run = dry_run
        self._sent: dict[Move, SentTransaction] = {}
        self._refused: dict[Move, int] = {}
        self._compared = -COMPARED
        contracts.client.tell(self._log)
        self.patience = folder.job.clocks.response / 4
        self.view = view or ChainView(contracts)

    @abstractmethod
    def step(self) -> list[Move]:
        """Read the chain, decide, send; return the moves that were sent.

        Raises:
            ChainError: the node cannot be read; nothing is lost, call again.
        """

    def turn(self) -> bool:
        """Do one piece of what is to be done; False when there is nothing to do for now.

        Raises:
            ChainError: as `step`.
        """
        return bool(self.step())

    def prepare(self, move: Move) -> None:
        """Approve what a move is going to lock; nothing unless overridden."""
        del move

    def locks(self, move: Move) -> int:
        """Return how many tokens a move locks, in the smallest unit; none unless overridden."""
        del move
        return 0

    def trouble(self, error: GavelError) -> None:
        """Say what cannot be decided in one place; it keeps nobody from moving in the others (A-8)."""
        self._log.once(f"CANNOT DECIDE in one place, going on with the others: {error}", level="error")

    def send(self, move: Move) -> bool:
        """Send a move; False, and a line in the log, if it was not accepted, or was sent just now (A-12)."""
        if self._unseen(move):
            return False
        told: dict[str, Any] = {"move": type(move).__name__, **ids(move)}
        if self._dry_run:
            locked = self.locks(move)
            lock = f", which would lock {amount(locked)} tokens" if locked else ""
            self._log.once(f"would send {type(move).__name__}{lock}", dry_run=True, locks=locked, **told)
            return False
        began = time.perf_counter()
        try:
            self.prepare(move)
            sent = send_move(self._contracts, move, tried=True)
        except RefusedError as error:  # the next move may be possible
            self._tell_refusal(move, error, told)
            return False
        except ChainError as error:
            self._log.once(f"{type(move).__name__}: {error}", level="error", **told)
            return False
        self._sent = {known: at for known, at in self._sent.items() if at.block > self.view.block}
        self._sent[move] = sent
        self._log(
            f"{describe(move)} ({sent.gas:,} gas)",
            **told,
            tx="0x" + sent.tx_hash.hex(),
            block=sent.block,
            gas=sent.gas,
            seconds=round(time.perf_counter() - began, 3),
        )
        return True

    def _tell_refusal(self, move: Move, error: RefusedError, told: dict[str, Any]) -> None:
        """Say that a move was refused: no news if somebody else was faster, unless it comes again (A-22)."""
        before = self._refused.get(move)
        self._refused = {known: at for known, at in self._refused.items() if at >= self.view.block - 1_000}
        self._refused.setdefault(move, self.view.block)
        again = before is not None and before < self.view.block
        self._log.once(
            f"{type(move).__name__} {error}" + ("" if again else "; reads the chain again"),
            level="warning" if again else "info",
            reason=error.reason,
            **told,
        )

    def compare_nodes(self) -> None:
        """Say, every so often, where other nodes tell something else of the job (A-21)."""
        now = time.monotonic()
        if now - self._compared < COMPARED:
            return
        self._compared = now
        job = self._folder.job.job_id
        updates = [update.update for update in self.view.chain(job)][-1:]
        for what in disagreements(self._contracts, job, block=self.view.block, updates=updates):
            self._log.once(
                f"NODES DISAGREE: {what}; one of them lies: find out which, and leave it out",
                level="error",
                about="disagreement",
                job=job,
            )

    def _unseen(self, move: Move) -> bool:
        """Whether a move is mined in a block that is too young to be looked at, and still is there."""
        sent = self._sent.get(move)
        return (
            sent is not None
            and sent.block > self.view.block
            and self._contracts.client.is_mined(sent.tx_hash)
        )

    def run(self, *, poll: float, stop: Flag) -> None:
        """Step until told to stop; see `run`."""
        run([self], poll=poll, stop=stop, log=self._log)


def run(agents: Sequence[Turns], *, poll: float, stop: Flag, log: Log, once: bool = False) -> None:
    """Let several agents take turns until told to stop, every `poll` seconds while none has anything to do.

    Whatever goes wrong is said, and tried again from what the chain then says (A-8).

    Args:
        agents: at least one; a list may grow while it runs.
        once: stop as soon as there is nothing to do.

    Raises:
        GavelError: with `once`, whatever goes wrong.
    """
    node = Node(Said(log), patience=min(agent.patience for agent in agents))
    while not stop.is_set():
        busy = False
        for agent in agents:
            try:
                busy = agent.turn() or busy
                node.answered(agent.view.now())
                if isinstance(agent, Agent):
                    agent.compare_nodes()
            except GavelError as error:
                if once:
                    raise
                if isinstance(error, ChainError) and not isinstance(error, AccountError):
                    node.failed(error)
                else:
                    agent.trouble(error)
            if stop.is_set():
                return
        if not busy and once:
            return
        if not busy:
            stop.wait(poll)


class Node:
    """What is said of a node that does not answer, or that has fallen behind its chain."""

    def __init__(self, log: Said, *, patience: float) -> None:
        """Args: patience: seconds after which an operator must act."""
        self._log, self._patience = log, patience
        self._since: float | None = None

    def failed(self, error: ChainError) -> None:
        """The node could not be read."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        out = now - self._since
        level = "error" if out > self._patience else "warning"
        self._log.once(f"{error}; trying again; nothing is lost so far", level=level)

    def answered(self, head: int) -> None:
        """The node was read; `head` is the timestamp of its latest block, in seconds."""
        if self._since is not None:
            self._log("the node answers again", seconds=round(time.monotonic() - self._since))
            self._since = None
        behind = int(time.time()) - head
        if behind > min(STALE, self._patience):
            self._log.once(
                "STALE NODE: its latest block is older than it should be; moves decided from it may come too "
                "late: check that it is in step with its network, and this machine's clock, or use another "
                "--rpc",
                level="error" if behind > self._patience else "warning",
                behind=behind,
            )


def ids(move: Move) -> dict[str, object]:
    """Return the fields of a move that say where it is made."""
    return {field.name: getattr(move, field.name) for field in fields(move) if field.name in _PLACES}


_PLACES = {
    "job",
    "update",
    "segment",
    "dispute",
    "position",
    "candidate",
    "digest",
    "index",
    "demand",
    "slot",
}


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
        case Demand():
            return f"demanded page {move.page} of slot {move.slot}"
        case Prove():
            return f"proved: witness of {len(move.witness):,} bytes"
        case _:
            return _WORDS.get(type(move), type(move).__name__)


_WORDS: dict[type, str] = {
    Answer: "showed a page that was demanded",
    Expire: "felled an update: a page of it was not shown in time",
    CloseDemand: "took back the fee of a demand, its update is gone",
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
