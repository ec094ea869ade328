"""The contracts as a solver reads them: `protocol.game.view.CourtView` over a node, and demands for pages.

Ids come from event logs, records from views, all at one block (`refresh`). Nothing is kept that could not be
read again (A-6); child lists and pages are known by their hash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from protocol.chain.contract import Event
from protocol.chain.deployment import Contracts
from protocol.chain.events import LogCursor, Progress
from protocol.chain.logged import Fees, Logged
from protocol.commitments.tree import height
from protocol.errors import UsageError
from protocol.game.demands import DemandInfo
from protocol.game.ids import Kind
from protocol.game.view import (
    BranchInfo,
    CandidateInfo,
    Cursor,
    DisputeInfo,
    DisputeStatus,
    PositionInfo,
    ReservationInfo,
    Turn,
    UpdateInfo,
    UpdateStatus,
)
from protocol.job import Clocks, Geometry

Value = TypeVar("Value")

_TURNS: Final = (
    None,
    Turn.DEFENDER,
    Turn.CHALLENGER,
    Turn.WAITING,
    Turn.DEFENDER_LATE,
    Turn.CHALLENGER_LATE,
    Turn.CLOSED,
)
_DISPUTES: Final = (None, DisputeStatus.OPEN, DisputeStatus.LOST, DisputeStatus.CLOSED)
_FALLEN: Final = 2
_MASK_64: Final = (1 << 64) - 1


class ChainView:
    """A view that stays at one moment until `refresh`.

    Attributes:
        block: number of the block at whose end it looks.
    """

    def __init__(
        self,
        contracts: Contracts,
        *,
        confirmations: int = 0,
        progress: Progress = lambda _last, _latest: None,
    ) -> None:
        """Start at the block of the deployment; the first `refresh` reads all logs since.

        Args:
            contracts: of the deployment.
            confirmations: blocks that must lie above what is looked at (A-10); time is that of the head.
            progress: told how far a long reading of logs has come.
        """
        self._contracts, self._confirmations = contracts, confirmations
        self._board, self._court = contracts.board, contracts.court
        self._cursor = LogCursor(
            contracts.client,
            [self._board, self._court, contracts.availability],
            first_block=contracts.deployment.block,
            progress=progress,
        )
        self._memo: dict[Any, Any] = {}
        self.block, self._now, self._at = 0, 0, b""
        self._logged = Logged()

    def refresh(self) -> list[Event]:
        """Move to the latest block, less the confirmations, and return the events since the last time.

        Raises:
            ChainError: the node failed.
        """
        head, self._now, at = self._contracts.client.latest()
        if at == self._at:
            return []  # the same block: all that was read still holds
        self._memo.clear()
        self._at = b""  # until its logs are read
        self.block = max(head - self._confirmations, 0)
        events = self._cursor.advance(self.block)
        for event in events:
            self._logged.take(event)
        self._at = at
        return events

    def _once(self, key: Any, read: Callable[[], Value]) -> Value:
        if key not in self._memo:
            self._memo[key] = read()
        value: Value = self._memo[key]
        return value

    def _read(self, contract: str, function: str, *args: Any) -> Any:
        bound = getattr(self._contracts, contract)
        key = (contract, function, *args)
        return self._once(key, lambda: bound.view(function, *args, block=self.block))

    # ---------------------------------------------------------------- board

    def now(self) -> int:
        """Timestamp of the latest block, in seconds; a move sent now is judged then or later."""
        return self._now

    def jobs(self) -> Sequence[bytes]:
        """Ids of all jobs ever opened, oldest first."""
        return [job for job in self._logged.jobs if self.terms(job)["board"] == self._board.address_bytes]

    def terms(self, job: bytes) -> dict[str, Any]:
        """The terms of a job as the contract holds them; all zero for an unknown one."""
        return dict(self._read("board", "terms", job))

    def job_state(self, job: bytes) -> dict[str, Any]:
        """What changes in a job: the contract's ``JobState``."""
        return dict(self._read("board", "job_state", job))

    def updates(self, job: bytes) -> Sequence[UpdateInfo]:
        """Every update ever posted to a job, oldest first, fallen and void ones included."""
        return [
            self.update(u)
            for u, event in self._logged.posted.items()
            if event.args["job"] == job and self._exists(u)
        ]

    def chain(self, job: bytes) -> Sequence[UpdateInfo]:
        """See `CourtView`."""
        length = int(self.job_state(job)["chain_length"])
        return [self.update(self._read("board", "chain_at", job, index)) for index in range(length)]

    def _exists(self, update: bytes) -> bool:
        return any(self._read("board", "update_info", update)["job"])

    def update(self, update: bytes) -> UpdateInfo:
        """See `CourtView`."""
        if update not in self._logged.posted or not self._exists(update):
            raise UsageError(
                f"no update {update.hex()} was posted to this board; name one that `status` lists"
            )
        return self._once(("update", update), lambda: self._update(update))

    def _update(self, update: bytes) -> UpdateInfo:
        info = self._read("board", "update_info", update)
        job, index = info["job"], int(info["index"])
        first_state = (
            self.terms(job)["genesis"]
            if index == 0
            else self._read("board", "update_info", info["parent"])["last_state"]
        )
        return UpdateInfo(
            update=update,
            job=job,
            parent=info["parent"],
            trainer=info["trainer"],
            index=index,
            first_segment=int(info["first_segment"]),
            segments=int(info["segments"]),
            first_state=first_state,
            states=tuple(self._logged.posted[update].args["states"]),
            deadline=int(info["deadline"]),
            status=self._status(update, info),
        )

    def _status(self, update: bytes, info: dict[str, Any]) -> UpdateStatus:
        status = UpdateStatus(self._read("board", "update_status", update))
        if status != UpdateStatus.PENDING or info["open_disputes"] or info["open_demands"]:
            return status
        # U-6 by time, whether somebody has recorded it or not.
        opening = Clocks.unpack(int(self.terms(info["job"])["clocks"])).opening
        if self._now <= int(info["deadline"]) + opening:
            return status
        parent = self.update(info["parent"]).status if info["index"] else UpdateStatus.FINAL
        return UpdateStatus.FINAL if parent == UpdateStatus.FINAL else status

    def posted_in(self, update: bytes) -> int:
        """Number of the block that an update was posted in. Raises UsageError if it never was."""
        if update not in self._logged.posted:
            raise UsageError(f"update {update.hex()} was never posted; look it up in the chain of its job")
        return self._logged.posted[update].block

    def is_claimed(self, update: bytes) -> bool:
        """Whether the update's bond is gone: claimed, reclaimed or lost."""
        return bool(self._read("board", "update_info", update)["settled"])

    def credit(self, account: bytes) -> int:
        """What `Withdraw` would pay an account, in the token's smallest unit."""
        return int(self._read("board", "credit", account))

    def balance(self, account: bytes) -> int:
        """Bond tokens of an account, in the smallest unit."""
        return int(self._read("token", "balanceOf", account))

    def withdrawn(self, account: bytes) -> int:
        """What an account has withdrawn from the board so far, in the token's smallest unit."""
        return sum(self._logged.withdrawn.get(account, {}).values())

    def reserved_jobs(self, challenger: bytes) -> Sequence[bytes]:
        """The job of every reservation that a challenger has ever made, cancelled ones included."""
        made = (jobs for (who, _), jobs in self._logged.reserved.items() if who == challenger)
        return [job for jobs in made for job in jobs.values()]

    # ---------------------------------------------------------------- disputes

    def reservations(self, challenger: bytes) -> Sequence[ReservationInfo]:
        """See `CourtView`."""
        found = []
        # Strangers' records are never read: whoever fills the board with them would slow everybody (A-8).
        for who, digest in ((w, d) for w, d in self._logged.reserved if w == challenger):
            record = self._read("court", "reservation", who, digest)
            if record["reserved_at"]:
                found.append(
                    ReservationInfo(
                        challenger=who,
                        digest=digest,
                        job=record["job"],
                        time=int(record["reserved_at"]),
                        opened=bool(record["opened"]),
                    )
                )
        return found

    def dispute(self, dispute: bytes) -> DisputeInfo:
        """See `CourtView`."""
        record = self._read("court", "dispute", dispute)
        status = _DISPUTES[int(record["status"])]
        if status is None:
            raise UsageError(f"no dispute {dispute.hex()} was opened; name one that `status` lists")
        return DisputeInfo(
            dispute=dispute,
            update=record["update"],
            segment=int(record["segment"]),
            challenger=record["challenger"],
            reserved_at=int(record["reserved_at"]),
            status=status,
        )

    def disputes(
        self, *, update: bytes | None = None, challenger: bytes | None = None
    ) -> Sequence[DisputeInfo]:
        """See `CourtView`."""
        # A dispute's id binds update and challenger (D-1), so the log tells whose to leave unread.
        asked = [
            dispute
            for dispute, (of, by) in self._logged.opened.items()
            if update in (None, of) and challenger in (None, by)
        ]
        return [self.dispute(d) for d in asked if self._read("court", "dispute", d)["status"]]

    def positions(self, *, update: bytes) -> Sequence[PositionInfo]:
        """See `CourtView`."""
        return [self.position(p) for p in self._logged.positions.get(update, ()) if self._demanded(p)]

    def _demanded(self, position: bytes) -> bool:
        return bool(self._read("court", "position", position)["kind"])

    def position(self, position: bytes) -> PositionInfo:
        """See `CourtView`."""
        record = self._read("court", "position", position)
        if not record["kind"]:
            raise UsageError(f"position {position.hex()} was not demanded; nothing is owed there")
        kind = Kind(int(record["kind"]))
        update, segment = self._root_of(position)
        last, fold = record["last"], 0
        if kind == Kind.FOLD:
            # The court packs the word, the fold and the number of ranges into `last`.
            fold, last = int.from_bytes(last), b""
        return PositionInfo(
            position=position,
            parent=record["parent"],
            kind=kind,
            a=int(record["a"]),
            b=int(record["b"]),
            update=update,
            segment=segment,
            first=b"" if kind == Kind.FOLD else record["first"],
            last=last,
            word=fold & _MASK_64,
            fold=(fold >> 64) & _MASK_64,
            ranges=fold >> 128,
            demanded_at=int(record["demanded_at"]),
            allowance=int(record["allowance"]),
            ends_at=int(record["ends_at"]),
            reserve=int(record["defence_reserve"]),
            claimant=record["claimant"],
            own_posted=bool(record["covered"]),
        )

    def _root_of(self, position: bytes) -> tuple[bytes, int]:
        """The update that a position is demanded against, and the segment."""
        record = self._read("court", "position", position)
        if record["kind"] == Kind.STEPS:
            return record["parent"], int(record["a"])
        return self._root_of(self._read("court", "candidate", record["parent"])["position"])

    def demands(self, dispute: bytes) -> Sequence[bytes]:
        """See `CourtView`."""
        return [p for p in self._logged.demanded.get(dispute, ()) if self._demanded(p)]

    def candidates(self, position: bytes) -> Sequence[CandidateInfo]:
        """See `CourtView`."""
        count = int(self._read("court", "position", position)["candidates"])
        ids = (self._read("court", "candidates_of", position, place) for place in range(count))
        return [self.candidate(candidate) for candidate in ids]

    def candidate(self, candidate: bytes) -> CandidateInfo:
        """See `CourtView`."""
        record = self._read("court", "candidate", candidate)
        if not record["status"]:
            raise UsageError(f"no candidate {candidate.hex()} was posted")
        position = record["position"]
        return CandidateInfo(
            candidate=candidate,
            position=position,
            root=record["root"],
            height=self._tree_height(position),
            poster=record["poster"],
            posted_at=int(record["posted_at"]),
            bonded=bool(record["bonded"]) and record["status"] == 1,
            fallen=record["status"] == _FALLEN,
            above_standing=self._above_standing(position),
        )

    def _tree_height(self, position: bytes) -> int:
        here = self.position(position)
        geometry = Geometry.unpack(int(self.terms(self.update(here.update).job)["geometry"]))
        if here.kind == Kind.STEPS:
            return geometry.steps_height
        return geometry.nodes_height if here.kind == Kind.NODES else height(here.ranges + 1)

    def _above_standing(self, position: bytes) -> bool:
        here = self.position(position)
        if here.kind == Kind.STEPS:
            return self.update(here.update).status in (UpdateStatus.PENDING, UpdateStatus.FINAL)
        above = self.candidate(here.parent)
        return not above.fallen and above.above_standing

    def branch(self, dispute: bytes, candidate: bytes) -> BranchInfo:
        """See `CourtView`."""
        record = self._read("court", "branch", dispute, candidate)
        status, due, reserve = self._read("court", "classify", dispute, candidate)
        turn = self._turn_now(_TURNS[int(status)], int(due) + int(reserve))
        if turn is None or not record["kind"]:
            raise UsageError(
                f"dispute {dispute.hex()} has no branch under candidate {candidate.hex()}: it has not "
                "demanded that position"
            )
        return BranchInfo(
            dispute=dispute,
            candidate=candidate,
            cursor=Cursor(
                kind=Kind(int(record["kind"])),
                hash=record["hash"],
                height=int(record["height"]),
                index=int(record["index"]),
                node=int(record["node"]),
            ),
            turn=turn,
            due=int(due),
            limit=int(due) + int(reserve),
            challenger_reserve=int(record["challenger_reserve"]),
            defender_reserve=int(record["defence_reserve"]),
            demanded=record["demanded"] if record["waiting"] else None,
        )

    def _turn_now(self, turn: Turn | None, limit: int) -> Turn | None:
        """What the classifier says once the time of the latest block is put in for that of the view's."""
        late = {Turn.DEFENDER: Turn.DEFENDER_LATE, Turn.CHALLENGER: Turn.CHALLENGER_LATE}
        return late.get(turn, turn) if turn is not None and self._now > limit else turn

    def children(self, node: bytes, levels: int) -> Sequence[bytes] | None:
        """See `CourtView`."""
        return self._logged.children.get((node, levels))

    def page(self, page_hash: bytes) -> bytes | None:
        """See `CourtView`."""
        return self._logged.pages.get(page_hash)

    # ---------------------------------------------------------------- demands for pages

    def open_demands(self, update: bytes) -> Sequence[DemandInfo]:
        """The open demands for pages of an update (Y-2), what is due first before the others."""
        if update not in self._logged.of_update:
            return []
        ids = self._read("availability", "open_demands", update)
        return sorted(map(self.demand, ids), key=lambda known: (known.due, known.demand))

    def demand(self, demand: bytes) -> DemandInfo:
        """An open demand. Raises UsageError if it is over, or was never made."""
        known = self._read("availability", "demand_info", demand)
        if not any(known["update"]):
            raise UsageError(
                f"the demand {demand.hex()} is over, or was never made; read the open ones again"
            )
        names = ("update", "asker", "slot", "page", "due", "fee")
        return DemandInfo(demand=demand, **{name: known[name] for name in names})

    def asked(self, update: bytes, asker: bytes) -> set[tuple[int, int]]:
        """Slot and page of what an account, 20 bytes, has ever demanded of an update."""
        made = (self._logged.asked[demand] for demand in self._logged.of_update.get(update, ()))
        return {(known.slot, known.page) for known in made if known.asker == asker}

    def shown(self, update: bytes) -> int:
        """How many demands for pages of an update were ever answered."""
        return sum(demand in self._logged.shown for demand in self._logged.of_update.get(update, ()))

    def fees(self, asker: bytes) -> Fees:
        """What an account, 20 bytes, has paid for demands, and what has become of it (Y-3 to Y-6)."""
        waiting, spent, returned = self._logged.fees(asker)
        held = {d: any(self._read("availability", "demand_info", d)["update"]) for d in waiting}
        locked = sum(fee for demand, fee in waiting.items() if held[demand])
        return Fees(locked=locked, spent=spent, returned=returned)

    def defence_bonds(self, poster: bytes) -> Sequence[bytes]:
        """Candidates that an account, 20 bytes, ever posted with a defence bond, whatever became of it."""
        mine = self._logged.bonded.get(poster, ())
        return [c for c in mine if self._read("court", "candidate", c)["status"]]
