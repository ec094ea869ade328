"""A chain in this process, a small job on it, and parties made of the shipped agents.

Nothing here follows a clock on the wall or draws a number: the same calls give the same transactions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

from challenger.agent import Watcher
from gavel.demo.parties import TrainingParty
from gavel.jobs import make_executor, open_job
from gavel.scenarios.conduct import FAITHFUL, Conduct, Stalling
from gavel.scenarios.job import small_job
from gavel.scenarios.timing import wake_of
from gavel.scenarios.waiting import next_moment
from protocol.chain.agent import Agent
from protocol.chain.client import Client, SentTransaction
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts, deploy
from protocol.chain.embedded import EmbeddedChain, EmbeddedProvider, frozen_clock
from protocol.chain.moves import send_move
from protocol.errors import MismatchError, UsageError
from protocol.game.ids import Kind
from protocol.game.moves import Cancel, Move, Refund, Release, Withdraw
from protocol.game.trace import HONEST, Hooks
from protocol.game.view import UpdateStatus
from protocol.job_folder import JobFolder

Seated = TypeVar("Seated", bound=Agent)

DEPLOYER: Final = "deployer"
REQUESTER, TRAINER, WATCHER, SECOND, THIRD = ROLES = ("requester", "trainer", "watcher", "second", "third")
"""`second` and `third` are whoever else a scenario needs: another trainer, another challenger, a stranger."""

GENESIS_TIME: Final = 4_000_000_000
"""Seconds; far ahead of any clock, so that blocks follow none."""

LIFETIME: Final = 20_000
"""Seconds from the start of the chain until nothing can be posted."""

PURSE: Final = 10**9
"""Bond tokens that every party begins with."""

MAX_PASSES: Final = 500
BURN: Final = bytes.fromhex("000000000000000000000000000000000000dead")


def new_chain() -> EmbeddedChain:
    """Return a chain as a stage makes it for itself."""
    return EmbeddedChain(accounts=len(ROLES) + 1, genesis_time=GENESIS_TIME, clock=frozen_clock)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A move that was accepted, and who made it."""

    role: str
    move: Move


class Stage:
    """One job, open and funded, and whoever plays about it.

    Attributes:
        chain: that everything is sent to.
        contracts: by role, each bound to an account of its own; the deployer's too.
        folder: the job.
        view: the chain, as of the last `refresh`; `play` ends with one.
        made: moves of the agents, in order.
    """

    def __init__(
        self,
        *,
        chain: EmbeddedChain | None = None,
        audited: bool = False,
        change: Callable[[JobFolder], JobFolder] = lambda folder: folder,
    ) -> None:
        """Deploy contracts, hand out tokens and open the small job.

        Args:
            chain: a fresh one with an account for the deployer and one for each role; else a new one.
            audited: whether anybody may demand pages of the job's states.
            change: makes the job that is opened from the small job.

        Raises:
            UsageError: the chain has too few accounts.
        """
        self._files = TemporaryDirectory(prefix="gavel-stage-")
        self.chain = chain or new_chain()
        if len(self.chain.keys) <= len(ROLES):
            raise UsageError(f"the chain needs {len(ROLES) + 1} accounts, and has {len(self.chain.keys)}")
        self._keys = dict(zip((DEPLOYER, *ROLES), self.chain.keys, strict=False))
        clients = {who: Client(EmbeddedProvider(self.chain), key=key) for who, key in self._keys.items()}
        deployer = deploy(clients[DEPLOYER])
        self.contracts = {who: Contracts.bind(client, deployer.deployment) for who, client in clients.items()}
        for who in ROLES:
            deployer.token.send("transfer", self.address(who), PURSE, tag="hand out tokens")
        self.view = ChainView(deployer)
        self.folder = change(
            small_job(
                chain_id=deployer.client.chain_id,
                board=deployer.board.address_bytes,
                requester=self.address(REQUESTER),
                expiry=self.now() + LIFETIME,
                audited=audited,
            )
        )
        open_job(self.contracts[REQUESTER], self.folder)
        self._opened = [len(contracts.client.sent) for contracts in self.contracts.values()]
        self.made: list[Made] = []
        self._refused: list[tuple[str, str]] = []
        self._agents: dict[str, list[Agent]] = {}

    def close(self) -> None:
        """Remove the parties' files."""
        self._files.cleanup()

    # ---------------------------------------------------------------- parties

    def address(self, role: str) -> bytes:
        """The account of a role, 20 bytes."""
        return self.contracts[role].account

    def path(self, role: str) -> Path:
        """Where a trainer keeps its checkpoints."""
        return Path(self._files.name) / role

    def trainer(
        self, role: str = TRAINER, *, hooks: Hooks = HONEST, conduct: Conduct = FAITHFUL
    ) -> TrainingParty:
        """Seat a trainer."""
        party = TrainingParty(
            name=role,
            contracts=self.contracts[role],
            folder=self.folder,
            path=self.path(role),
            log=partial(self._hear, role),
            hooks=hooks,
            conduct=conduct,
        )
        self.seat(role, party.agent)
        return party

    def watcher(self, role: str = WATCHER, *, hooks: Hooks = HONEST, direct: bool = False) -> Watcher:
        """Seat a watcher; one with hooks accuses whoever follows the program."""
        return self.seat(role, Watcher(**self.watching(role), hooks=hooks, direct=direct))

    def stalling(
        self, role: str = WATCHER, *, hooks: Hooks, stalls_at: Kind | None, direct: bool = False
    ) -> Watcher:
        """Seat a challenger that stops moving, see `Stalling`."""
        agent = Stalling(**self.watching(role), hooks=hooks, stalls_at=stalls_at, direct=direct)
        return self.seat(role, agent)

    def binding(self, role: str) -> dict[str, Any]:
        """What every agent is bound to: contracts, folder, log."""
        return {"contracts": self.contracts[role], "folder": self.folder, "log": partial(self._hear, role)}

    def watching(self, role: str) -> dict[str, Any]:
        """What every watcher is bound to: an executor and the role's key besides."""
        return self.binding(role) | {"executor": make_executor(self.folder), "key": self._keys[role]}

    def seat(self, role: str, agent: Seated) -> Seated:
        """Let an agent act for a role, after those that do already, and return it."""
        self._agents.setdefault(role, []).append(agent)
        return agent

    def leave(self, role: str) -> None:
        """Let a role's agents act no more."""
        del self._agents[role]

    # ---------------------------------------------------------------- time

    def now(self) -> int:
        """Timestamp of the latest block, in seconds."""
        return self.contracts[DEPLOYER].client.now()

    def tick(self, until: int) -> None:
        """Mine a block at a time, in seconds, or a second after the latest one if that is later."""
        self.chain.rpc("evm_mine", [until])

    def _wait(self) -> bool:
        """Let time pass until somebody is late, or acts at a moment of its choice; False when nobody is
        awaited.
        """
        self.view.refresh()
        chosen = [at for agents in self._agents.values() for agent in agents if (at := wake_of(agent))]
        if chosen:
            self.tick(min(chosen))
            return True
        moment = next_moment(
            self.view,
            challengers=[self.address(role) for role in self._agents],
            clocks=self.folder.job.clocks,
        )
        if moment is not None:
            self.tick(moment + 1)
        return moment is not None

    # ---------------------------------------------------------------- playing

    def play(self, *, until: Callable[[], bool] = lambda: False) -> None:
        """Let the seated agents act in turn, and time pass when none does, until nothing is awaited any more.

        Args:
            until: asked after each turn, with a fresh view: whether to stop before that.

        Raises:
            MismatchError: it does not end.
        """
        for _ in range(MAX_PASSES):
            acted = False
            for role, agent in self._seated():
                moves = agent.step()
                self.made += [Made(role=role, move=move) for move in moves]
                acted = acted or bool(moves)
                self.view.refresh()
                if until():
                    return
            if not acted and not self._wait():
                return
        raise MismatchError("the scenario does not come to an end; an agent or a contract is broken")

    def _seated(self) -> list[tuple[str, Agent]]:
        return [(role, agent) for role, agents in self._agents.items() for agent in agents]

    def send(self, role: str, move: Move) -> None:
        """Make a move for a role."""
        send_move(self.contracts[role], move)
        self.made.append(Made(role=role, move=move))

    # ---------------------------------------------------------------- the end

    def finish(self) -> None:
        """Let everything become final, end the job if it is not done, and pay everybody out."""
        job, clocks = self.folder.job, self.folder.job.clocks
        self.view.refresh()
        state = self.view.job_state(job.job_id)
        for role in ROLES:
            if state["leaseholder"] == self.address(role) and self.now() < state["lease_due"]:
                self.send(role, Release(job=job.job_id))
        deadlines = [update.deadline for update in self.view.chain(job.job_id)]
        self.tick(max([self.now(), *deadlines]) + clocks.opening + 1)
        self.play()
        chain = self.view.chain(job.job_id)
        done = sum(update.segments for update in chain if update.status == UpdateStatus.FINAL)
        if done < job.geometry.segments and not state["refunded"]:
            if self.now() <= state["ends_at"]:
                self.send(REQUESTER, Cancel(job=job.job_id))
                self.tick(self.now() + clocks.notice + 1)
            self.send(REQUESTER, Refund(job=job.job_id))
        self.view.refresh()
        for role in ROLES:
            if self.view.credit(self.address(role)):
                self.send(role, Withdraw())
        self.view.refresh()

    def sent(self, *roles: str) -> list[SentTransaction]:
        """Every transaction after the opening of the job, of some roles or of all, in order of the chain."""
        late = [
            tx
            for (who, contracts), n in zip(self.contracts.items(), self._opened, strict=True)
            if not roles or who in roles
            for tx in contracts.client.sent[n:]
        ]
        return sorted(late, key=lambda tx: tx.block)

    def moves(self, *roles: str) -> Sequence[Move]:
        """The moves of some roles, of all unless named."""
        return [made.move for made in self.made if not roles or made.role in roles]

    def refused(self, *roles: str) -> tuple[str, ...]:
        """Why moves of some roles were refused, of all unless named, in order."""
        return tuple(reason for role, reason in self._refused if not roles or role in roles)

    def _hear(self, role: str, _text: str, /, **fields: object) -> None:
        """Of what the agents say only the refusals are kept."""
        if "reason" in fields:
            self._refused.append((role, str(fields["reason"])))
