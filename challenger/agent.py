"""The watcher: follows one job, replays what is posted, disputes what is wrong (actors.md, A-1 to A-3, A-6).

What to do is decided by `challenger.solver.solve`; this loads, asks and sends. Everything is read from the
chain again at each step, so a restart at any moment loses nothing.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from challenger.cache import Cache
from challenger.ledger import Ledger
from challenger.limits import Purse
from challenger.pace import Machine, Pace, measure
from challenger.parallel import Pool
from challenger.record import Record
from challenger.replay import Replay, Store
from challenger.solver import Challenger, solve
from protocol.chain.agent import Agent, Log, ids
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts
from protocol.chain.moves import ensure_allowance
from protocol.checkpoints import CheckpointStore
from protocol.errors import UsageError
from protocol.game.ids import dispute_id
from protocol.game.moves import Move, Open, Reserve, Withdraw
from protocol.game.openings import Openings
from protocol.game.trace import HONEST, Hooks
from protocol.game.view import DisputeInfo, DisputeStatus, UpdateInfo, UpdateStatus
from protocol.job_folder import JobFolder
from prover.engine.executor import Executor

NOBODY: Final = bytes(20)


class Watcher(Agent):
    """Follows one job from its start, or from a final state that was found in a store (A-11).

    Attributes:
        view: the chain as of the last step.
        openings: trees over the watcher's own replay.
        pace: what this machine takes for a segment, once it is measured.
    """

    def __init__(
        self,
        *,
        contracts: Contracts,
        folder: JobFolder,
        executor: Executor,
        key: bytes | None,
        log: Log,
        view: ChainView | None = None,
        stores: Sequence[Store] = (),
        cache: Cache | None = None,
        dry_run: bool = False,
        account: bytes | None = None,
        hooks: Hooks = HONEST,
        machine: Machine | None = None,
        ledger: Ledger | None = None,
        purse: Purse | None = None,
        pool: Pool | None = None,
        listed: Sequence[CheckpointStore] = (),
        direct: bool = False,
    ) -> None:
        """Check everything that the watcher relies on before it writes anything (A-1).

        Args:
            contracts: bound to a client with the watcher's key.
            folder: the job, loaded and thereby checked against its id.
            executor: of the job.
            key: the private key, from which salts are derived; None only where nothing is sent.
            log: told everything.
            view: of the chain, shared with other agents; one of its own unless given.
            stores, cache: what may save replaying (A-11).
            dry_run: send nothing (A-13).
            account: 20 bytes, whom to look as without a key.
            hooks: how its replay departs from the program, for drills: it accuses whoever follows it.
            machine: measures the pace at the first turn without an open dispute, and judges it (A-9).
            ledger: told to look after each look at the chain (A-14).
            purse: holds back what would go beyond the operator's limits (A-30).
            pool: of processes that replay segments side by side and share the cache (A-15).
            listed: the stores that these processes know.
            direct: open disputes without reserving them (A-1).

        Raises:
            MismatchError: the contracts' code, their wiring or the job on chain is not what it should be.
            UsageError: there is no key, and it is not a dry run.
        """
        super().__init__(contracts=contracts, folder=folder, log=log, view=view, dry_run=dry_run)
        if key is None and not dry_run:
            raise UsageError("a watcher sends transactions, so it needs a key; without one, run it dry")
        self._key = key or b""
        self._replay = Replay(
            executor, folder, log=self._log, stores=stores, cache=cache, hooks=hooks, pool=pool, listed=listed
        )
        self.openings = Openings(
            geometry=folder.job.geometry, program=folder.program, trace=self._replay.trace
        )
        self.pace: Pace | None = None
        self._executor, self._machine, self._ledger, self._purse = executor, machine, ledger, purse
        self._me = Challenger(
            address=(account or NOBODY) if key is None else contracts.account,
            job=folder.job,
            openings=self.openings,
            salt=self._salt,
            first_difference=lambda update: self.differences.get(update.update),
            ready=lambda dispute: self._replay.ready(dispute.segment) and self._playable(dispute),
            at=self._openings_of,
            playable=self._playable,
            direct=direct,
        )
        self._apart: dict[int, Openings] = {}
        self._record = Record(self.view, folder.job.job_id) if pool is not None else None
        self._told: dict[bytes, object] = {}
        self._pending: set[bytes] = set()

    @property
    def differences(self) -> dict[bytes, int | None]:
        """By update id the first wrong segment (absolute), None for a right one; none while it is unknown."""
        return self._replay.differences

    def confirms(self, update: UpdateInfo) -> bool:
        """Whether the replay has compared an update and found it right."""
        return self.differences.get(update.update, 0) is None

    @property
    def behind(self) -> int:
        """Segments to replay until every update has been compared, as of the last look."""
        return self._replay.left(self.view.chain(self.job_id))

    @property
    def job_id(self) -> bytes:
        """Of the job that is followed."""
        return self._folder.job.job_id

    def approve(self) -> None:
        """Let the board take challenge bonds, so that no dispute waits for an approval."""
        ensure_allowance(self._contracts, self._folder.job.money.challenge_bond)

    def prepare(self, move: Move) -> None:
        """Approve the challenge bond that a reservation locks, or an opening without one."""
        if self.locks(move):
            self.approve()

    def locks(self, move: Move) -> int:
        """The challenge bond, for a reservation or an opening without one."""
        reserving = isinstance(move, Reserve)
        if isinstance(move, Open):
            mine = self.view.reservations(self._me.address)
            digest = dispute_id(
                update=move.update, segment=move.segment, challenger=self._me.address, salt=move.salt
            )
            reserving = all(reservation.digest != digest for reservation in mine)
        return self._folder.job.money.challenge_bond if reserving else 0

    def send(self, move: Move) -> bool:
        """Send a move as an agent does, unless it is held back (A-30): then it is said."""
        locks = self.locks(move)
        why = self._purse.held(self.view, move, locks) if self._purse is not None else None
        if why is None:
            return super().send(move)
        self._log.once(
            f"HELD BACK {type(move).__name__}, so what is wrong may stand: {why}",
            level="error",
            held=True,
            move=type(move).__name__,
            locks=locks,
            **ids(move),
        )
        return False

    def _salt(self, update: bytes, segment: int, losses: int) -> bytes:
        # the same after a restart, and nobody else can guess it.
        place = update + segment.to_bytes(8) + losses.to_bytes(8)
        return hmac.digest(self._key, b"gavel salt" + place, "sha256")

    def step(self) -> list[Move]:
        """Read the chain, decide, send; return the moves that were sent.

        Replays until there is a move to send, or nothing more to replay; it goes back to the chain after each
        segment. A move that is not accepted is said and dropped: somebody else was faster, its time is over,
        or the account cannot pay; what follows is decided from the chain in the next step. So is what the
        solver cannot decide (A-2): the other disputes go on (A-8).

        Raises:
            ChainError: the node cannot be read; nothing is lost, call again.
        """
        while not (sent := self._look()):
            if not self._work():
                return self._collect()
        return sent

    def turn(self) -> bool:
        """Look at the chain; send what is to be sent, or else replay at most one segment.

        Raises:
            ChainError: as `step`.
        """
        return bool(self._look()) or self._measure() or self._work() or bool(self._collect())

    def _measure(self) -> bool:
        """Measure this machine's pace, unless that would keep a dispute waiting; whether it did."""
        if self._machine is None or self.pace is not None or self._open():
            return False
        self.pace = measure(self._executor, self._folder)
        for finding in self._machine.found(self.pace, self._folder.job):
            self._log(finding.text, level=finding.level, **asdict(self.pace))
        return True

    def _look(self) -> list[Move]:
        self.view.refresh()
        self._tell()
        if self._ledger is not None:
            self._ledger.tell(self.view)
        moves = solve(self.view, self._me, report=self.trouble)
        return [move for move in moves if self.send(move)]

    def _work(self) -> bool:
        chain, disputed = self.view.chain(self.job_id), [d.segment for d in self._open()]
        record = {} if self._record is None else self._record.now()
        return self._replay.advance(chain, disputed, now=self.view.now(), record=record)

    def _playable(self, dispute: DisputeInfo) -> bool:
        return self._replay.playable(dispute.segment)

    def _openings_of(self, segment: int) -> Openings:
        """Trees to play a dispute of a segment with (A-16)."""
        trace = self._replay.trace_of(segment)
        if trace is self.openings.trace:
            return self.openings
        if segment not in self._apart or self._apart[segment].trace is not trace:
            self._apart[segment] = Openings(
                geometry=self._folder.job.geometry, program=self._folder.program, trace=trace
            )
        return self._apart[segment]

    def _collect(self) -> list[Move]:
        """Withdraw what was won, once no dispute of this account is open."""
        account = self.view.disputes(challenger=self._me.address)
        if any(d.status == DisputeStatus.OPEN for d in account):
            return []
        if not self.view.credit(self._me.address):
            return []
        return [move for move in (Withdraw(),) if self.send(move)]

    def _disputes(self) -> Sequence[DisputeInfo]:
        """Own disputes in this job."""
        own = self.view.disputes(challenger=self._me.address)
        return [d for d in own if self.view.update(d.update).job == self.job_id]

    def _open(self) -> Sequence[DisputeInfo]:
        return [d for d in self._disputes() if d.status == DisputeStatus.OPEN]

    @property
    def idle(self) -> bool:
        """Whether, as of the last step, every update is right and no own dispute is open."""
        pending = [u for u in self.view.chain(self.job_id) if u.status == UpdateStatus.PENDING]
        return not self._open() and all(self.confirms(u) for u in pending)

    # ---------------------------------------------------------------- telling

    def _tell(self) -> None:
        """Say what has become of updates and own disputes since the last time; at first, what there is."""
        chain = self.view.chain(self.job_id)
        if not self._told:
            final = [update for update in chain if update.status == UpdateStatus.FINAL]
            self._told = {update.update: update.status for update in final}
            done = final[-1].first_segment + final[-1].segments if final else 0
            self._log(f"{done} of {self._folder.job.geometry.segments} segments are final", segments=done)
        live = {update.update for update in chain}
        for update in [*chain, *(self.view.update(u) for u in self._pending - live)]:
            if self._new(update.update, update.status):
                self._tell_update(update)
        self._pending = {update.update for update in chain if update.status == UpdateStatus.PENDING}
        for dispute in self._disputes():
            if self._new(dispute.dispute, dispute.status):
                lost = dispute.status == DisputeStatus.LOST
                self._log(
                    f"own dispute of segment {dispute.segment + 1}: {dispute.status.value}"
                    + (", and its bond with it: find out why" if lost else ""),
                    level="error" if lost else "info",
                    dispute=dispute.dispute,
                    update=dispute.update,
                    segment=dispute.segment,
                )
        for update in chain:
            if update.status == UpdateStatus.PENDING:
                self._tell_late(update, chain)

    def _new(self, of: bytes, what: object) -> bool:
        if self._told.get(of) == what:
            return False
        self._told[of] = what
        return True

    def _tell_update(self, update: UpdateInfo) -> None:
        last = update.first_segment + update.segments
        text = f"update {update.update.hex()[:12]}, segments {update.first_segment + 1} to {last}: "
        told: dict[str, Any] = {"update": update.update, "trainer": "0x" + update.trainer.hex()}
        told["status"] = update.status.value
        if update.status == UpdateStatus.PENDING:
            until = datetime.fromtimestamp(update.deadline, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            self._log(f"{text}posted, can be disputed until {until}", deadline=update.deadline, **told)
        elif update.status == UpdateStatus.FINAL and self.differences.get(update.update) is not None:
            self._log(f"{text}FINAL THOUGH WRONG: nobody felled it in time", level="error", **told)
        else:
            self._log(f"{text}{update.status.value}", **told)

    def _tell_late(self, update: UpdateInfo, chain: Sequence[UpdateInfo]) -> None:
        """Say that an update is or will be over its deadline before it is compared, or disputed (A-9)."""
        told: dict[str, Any] = {"update": update.update, "deadline": update.deadline}
        name, left = f"update {update.update.hex()[:12]}", update.deadline - self.view.now()
        if any(d.update == update.update for d in self._disputes()):
            return  # it was compared, by this process or one before
        if update.update in self.differences:
            wrong = self.differences[update.update] is not None
            if wrong and left < 0:
                self._log.once(f"{name} is wrong and cannot be disputed any more", level="error", **told)
            return
        if left < 0:
            self._log.once(
                f"{name} was not compared before its deadline: watch closer", level="error", **told
            )
        elif self.pace is not None:
            before = self._replay.left([u for u in chain if u.index <= update.index])
            need = before * self.pace.segment(self._folder.job.geometry.steps_of(0))
            if need > left:
                self._log.once(
                    f"{name} cannot be compared before its deadline: {before} segments to replay take "
                    "longer; name a --store that has the last final state, or use a faster machine",
                    level="error",
                    need=round(need),
                    left=left,
                    **told,
                )
