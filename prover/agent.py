"""The trainer's side on the chain: lease, post, defend, claim (actors.md, A-4 to A-7).

What to do in a dispute is decided by `prover.defence.defend`; this loads, asks and sends.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from protocol.chain.agent import Agent, Log
from protocol.chain.client import SentTransaction
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts
from protocol.chain.moves import ensure_allowance, send_move
from protocol.checkpoints import CheckpointStore
from protocol.errors import MismatchError
from protocol.game.isolation import isolated
from protocol.game.moves import Claim, Commit, Lease, Move, Post, Reclaim, Withdraw
from protocol.game.openings import Openings
from protocol.game.trace import HONEST, Hooks
from protocol.game.view import DisputeStatus, UpdateInfo, UpdateStatus
from protocol.job_folder import JobFolder
from prover.defence import Defender, answers, freed
from prover.engine.executor import Executor
from prover.engine.trace import trace_of_job

FRESH: Final = 30.0
"""Seconds after which a defender looks at the chain again before it goes on."""


class TrainerAccount:
    """What a trainer does on the job board."""

    def __init__(
        self, *, contracts: Contracts, folder: JobFolder, log: Log, view: ChainView | None = None
    ) -> None:
        """Bind to a client with the trainer's key; nothing is sent.

        Args:
            view: shared with others of the process; one of its own unless given.
        """
        self._contracts, self._folder, self._log = contracts, folder, log
        self.view = view or ChainView(contracts)
        self._parent: bytes | None = None
        self._first = 0

    def tip(self) -> tuple[int, bytes]:
        """Return the number of the next segment, and the state root that it starts from.

        The next `post` builds on this tip and no other.
        """
        self._parent, self._first, root = self._read_tip()
        return self._first, root

    def _read_tip(self) -> tuple[bytes, int, bytes]:
        job = self._folder.job.job_id
        tip, segment, root = self._contracts.board.view("tip", job)
        return (bytes(tip) if any(tip) else job), int(segment), bytes(root)

    def moved(self) -> bool:
        """Whether the tip is no longer the one that `tip` told last."""
        return self._parent is not None and self._read_tip()[0] != self._parent

    def lease(self) -> bool:
        """Take the lease unless it is held already; return whether a transaction was sent.

        Call it when the tip has been replayed: a lease given back unused costs its deposit (A-7, U-3).

        Raises:
            MismatchError: the tip is not the one that `tip` told last, so it was not replayed; nothing
                is sent.
            RefusedError: somebody else holds it, or nothing is left to post.
            ChainError: the account cannot pay the deposit and the bond of an update.
        """
        if self.moved():
            raise MismatchError(
                "the job's tip is another one now: what was replayed is not what would be built on; train "
                "again, which replays the new tip before it leases"
            )
        self.view.refresh()
        state = self.view.job_state(self._folder.job.job_id)
        money = self._folder.job.money
        if state["leaseholder"] == self._contracts.account and self.view.now() <= state["lease_due"]:
            ensure_allowance(self._contracts, money.update_bond)
            return False
        ensure_allowance(self._contracts, money.lease_deposit + money.update_bond)
        move = Lease(job=self._folder.job.job_id)
        self._told("leased the job", move, send_move(self._contracts, move))
        return True

    def post(self, states: Sequence[bytes]) -> Post:
        """Post the state roots of further segments (U-4); return the move.

        Raises:
            RefusedError: no lease, too many segments, past the end, or the tip is not the one that `tip`
                told last (I-9): train again from what it is now.
        """
        ensure_allowance(self._contracts, self._folder.job.money.update_bond)
        if self._parent is None:
            self.tip()
        parent, self._parent = self._parent or self._folder.job.job_id, None
        move = Post(job=self._folder.job.job_id, parent=parent, states=tuple(states))
        sent = send_move(self._contracts, move)
        self._told(f"posted segments {self._first + 1} to {self._first + len(states)}", move, sent)
        return move

    def _told(self, what: str, move: Move, sent: SentTransaction) -> None:
        self._log(
            f"{what} ({sent.gas:,} gas)",
            move=type(move).__name__,
            tx="0x" + sent.tx_hash.hex(),
            block=sent.block,
            gas=sent.gas,
        )


def answered(agent: Agent, me: Defender) -> list[Move]:
    """Send what a defender has to answer now, the most urgent first; return the moves that were sent.

    After `FRESH` seconds what is left is decided anew, from what the chain then says.
    """
    began, sent = time.monotonic(), list[Move]()
    for move in answers(agent.view, me, report=agent.trouble):
        if agent.send(move):
            sent.append(move)
        if time.monotonic() - began > FRESH and sent:
            break
    return sent


class DefenderAgent(Agent):
    """Defends the updates of one trainer, and collects what it has earned.

    Attributes:
        view: the chain as of the last step.
        openings: trees over the trainer's own trace.
    """

    def __init__(
        self,
        *,
        contracts: Contracts,
        folder: JobFolder,
        executor: Executor,
        store: CheckpointStore,
        log: Log,
        trainer: bytes | None = None,
        hooks: Hooks = HONEST,
    ) -> None:
        """Check the contracts and bind to a client with the defender's key.

        Args:
            store: checkpoints save replaying what leads to a disputed segment.
            trainer: whom to speak for, 20 bytes; the account itself unless given (D-5).
            hooks: must be those that the updates were trained with, for drills.

        Raises:
            MismatchError: the contracts' code or wiring is not what it should be.
        """
        super().__init__(contracts=contracts, folder=folder, log=log)
        self._store, self._executor, self._hooks = store, executor, hooks
        self._trainer = trainer or contracts.account
        self._start_over()

    def _start_over(self) -> None:
        """Know the job alone, as after a restart (A-6)."""
        folder = self._folder
        self._trace = trace_of_job(self._executor, folder, hooks=self._hooks)
        self.openings = Openings(geometry=folder.job.geometry, program=folder.program, trace=self._trace)
        # Segments and root of each stored state asked for, with the update that it was asked for.
        self._remembered: dict[tuple[int, bytes], bytes] = {}
        self._me = Defender(
            address=self._contracts.account, trainer=self._trainer, job=folder.job, openings=self.openings
        )

    def step(self) -> list[Move]:
        """Read the chain, decide, send; return the moves that were sent.

        Moves that are not accepted are logged, and so is what cannot be decided: neither keeps others from
        being made (A-8). After `FRESH` seconds what is left is decided anew, from what the chain then says.

        Raises:
            ChainError: the node cannot be read; nothing is lost, call again.
        """
        self.view.refresh()
        self._remember()
        sent = answered(self, self._me)
        return sent or [move for move in self._collect() if self.send(move)]

    def _remember(self) -> None:
        """Hand the trace the stored states that disputed segments of own updates start from, and no others:
        a state may fill a good part of the memory, and reading it costs time that the answer waits for.

        Once an update that it was given states of is gone, these and all that was computed from them are
        dropped: what is posted in its place may start from others.
        """
        geometry = self._folder.job.geometry
        chain = self.view.chain(self._folder.job.job_id)
        if not {update.update for update in chain}.issuperset(self._remembered.values()):
            self._start_over()
        for update in chain:
            if update.trainer != self._me.trainer or update.status != UpdateStatus.PENDING:
                continue
            before = (update.first_state, *update.states)
            for segment in self._disputed(update):
                root = before[segment - update.first_segment]
                if (segment, root) in self._remembered:
                    continue
                self._remembered[segment, root] = update.update
                with isolated(self.trouble):  # a damaged file costs a replay, not the defence
                    state = self._store.load(segment, root)
                    if state is not None:
                        self._trace.remember(segment * geometry.stride, state)

    def _disputed(self, update: UpdateInfo) -> set[int]:
        """The segments of an update under dispute, counted from the start of the job."""
        disputes = self.view.disputes(update=update.update)
        return {dispute.segment for dispute in disputes if dispute.status == DisputeStatus.OPEN}

    def _collect(self) -> list[Move]:
        """Claims, reclaims, defence bonds and the withdrawal of what they credited."""
        moves: list[Move] = []
        for update in self.view.updates(self._folder.job.job_id):
            if update.trainer == self._me.address:
                moves += self._due(update)
            moves += freed(self.view, self._me, update)
        if not moves and self.view.credit(self._me.address):
            moves.append(Withdraw())
        return moves

    def _due(self, update: UpdateInfo) -> list[Move]:
        if self.view.is_claimed(update.update):
            return []
        if update.status == UpdateStatus.FINAL:
            return [Claim(update=update.update)]
        return [Reclaim(update=update.update)] if update.status == UpdateStatus.VOID else []

    def prepare(self, move: Move) -> None:
        """Approve the defence bond where a candidate needs one (D-5)."""
        if not isinstance(move, Commit):
            return
        here = self.view.position(move.position)
        if here.own_posted or self.view.update(here.update).trainer != self._me.trainer:
            ensure_allowance(self._contracts, self._folder.job.money.defence_bond)
