"""What the ghost keeps of disputes, and how it judges a branch (dispute.md, D-1 to D-7, D-12, D-13)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.stateful.ghost_base import ZERO, Logged, digest, height
from tests.stateful.ghost_board import GhostBoard
from tests.stateful.ghost_terms import GhostTerms
from tests.stateful.ghost_verifier import FOLD, NODES_KIND, PAGE, STEPS_KIND

NONE, DEFENDER, CHALLENGER, WAITING, DEFENDER_LATE, CHALLENGER_LATE, CLOSED = range(7)
OPEN, LOST, OVER = 1, 2, 3
PAGE_LEVELS: Final = 255
MOST_CANDIDATES: Final = 1_023


@dataclass(slots=True)
class Reservation:
    """D-1."""

    job: bytes
    time: int
    opened: bool = False


@dataclass(slots=True)
class Dispute:
    """D-2. `demands`: the positions that it demanded, each with the time."""

    update: bytes
    segment: int
    challenger: str
    reserved_at: int
    opened_at: int
    status: int = OPEN
    demands: dict[bytes, int] = field(default_factory=dict)


@dataclass(slots=True)
class Position:
    """D-3, D-4. `fold`: the fold and its ranges, at a FOLD position."""

    update: bytes
    kind: int
    parent: bytes
    a: int
    b: int
    first: bytes
    last: bytes
    fold: tuple[int, int]
    demanded_at: int
    ends_at: int
    allowance: int
    reserve: int
    claimant: bytes
    candidates: list[bytes] = field(default_factory=list)
    covered: bytes | None = None
    credit: bytes | None = None


@dataclass(slots=True)
class Candidate:
    """D-5. `bonded`: a defence bond is locked for it."""

    position: bytes
    root: bytes
    poster: str
    posted_at: int
    bonded: bool
    fallen: bool = False


@dataclass(frozen=True, slots=True)
class Cursor:
    """D-7: a subtree."""

    kind: int
    hash: bytes
    height: int
    index: int
    node: int = 0


@dataclass(slots=True)
class Branch:
    """D-7, D-13."""

    cursor: Cursor
    challenger_reserve: int
    defence_reserve: int
    moved_at: int | None = None
    demanded: bytes | None = None


class Records:
    """The court's memory, and the classifier."""

    def __init__(self, board: GhostBoard, address: str, log: list[Logged]) -> None:
        """The court of a board."""
        self.board, self.address, self.log = board, address, log
        self.reserved: dict[tuple[str, bytes], Reservation] = {}
        self.disputes: dict[bytes, Dispute] = {}
        self.positions: dict[bytes, Position] = {}
        self.candidates: dict[bytes, Candidate] = {}
        self.branches: dict[tuple[bytes, bytes], Branch] = {}
        self.delegates: set[tuple[str, str]] = set()
        self.revealed: dict[tuple[bytes, int], int] = {}
        self.traces: Counter[bytes] = Counter()

    @property
    def now(self) -> int:
        """Seconds of the block."""
        return self.board.now

    def say(self, name: str, **args: Any) -> None:
        """Log an event of the court."""
        self.log.append(Logged("court", name, args))

    # ---------------------------------------------------------------- what hangs where

    def terms(self, position: bytes) -> GhostTerms:
        """The terms of the job that a position belongs to."""
        return self.board.terms_of(self.positions[position].update)

    def upward(self, position: bytes) -> Iterator[bytes]:
        """The candidates that a position hangs under, from the nearest up."""
        known = self.positions[position]
        while known.kind != STEPS_KIND:
            yield known.parent
            known = self.positions[self.candidates[known.parent].position]

    def fallen_above(self, position: bytes) -> bool:
        """Whether a candidate that a position hangs under has fallen (the update is another question)."""
        return any(self.candidates[above].fallen for above in self.upward(position))

    def standing(self, position: bytes) -> list[bytes]:
        """The candidates of a position that have not fallen."""
        return [c for c in self.positions[position].candidates if not self.candidates[c].fallen]

    def tree_height(self, position: bytes) -> int:
        """The height of the trees at a position (C-10, C-11, C-12)."""
        known = self.positions[position]
        return (
            height(known.fold[1] + 1) if known.kind == FOLD else self.terms(position).tree_height(known.kind)
        )

    def ended_empty(self, position: bytes) -> bool:
        """Whether a posting period is over with no candidate standing."""
        return self.now > self.positions[position].ends_at and not self.standing(position)

    # ---------------------------------------------------------------- branches

    def exists(self, dispute: bytes, candidate: bytes) -> bool:
        """Whether there is such a branch (D-7)."""
        known = self.candidates.get(candidate)
        return (
            known is not None
            and dispute in self.disputes
            and known.position in self.disputes[dispute].demands
        )

    def branch(self, dispute: bytes, candidate: bytes) -> Branch:
        """A branch that exists; it comes to be without a transaction."""
        key = dispute, candidate
        if key not in self.branches:
            posted = self.candidates[candidate]
            position, terms = self.positions[posted.position], self.terms(posted.position)
            node = position.a if position.kind == FOLD else 0
            cursor = Cursor(position.kind, posted.root, self.tree_height(posted.position), 0, node)
            late = max(0, posted.posted_at - (position.demanded_at + position.allowance + terms.response))
            reserve = terms.reserve
            if position.kind != STEPS_KIND:
                reserve = self.branch(dispute, position.parent).challenger_reserve
            self.branches[key] = Branch(cursor, reserve, position.reserve - late)
        return self.branches[key]

    def levels(self, dispute: bytes, candidate: bytes) -> int:
        """How many levels the next list of a branch spans (D-6)."""
        terms = self.terms(self.candidates[candidate].position)
        return terms.levels(self.branch(dispute, candidate).cursor.height)

    def revealed_at(self, dispute: bytes, candidate: bytes) -> int | None:
        """When a branch's cursor was revealed, None if it was not; a tree of height 0 needs none."""
        cursor = self.branch(dispute, candidate).cursor
        if cursor.kind == PAGE:
            return self.revealed.get((cursor.hash, PAGE_LEVELS))
        if cursor.height == 0:
            return 0
        return self.revealed.get((cursor.hash, self.levels(dispute, candidate)))

    def owed(self, dispute: bytes, candidate: bytes) -> tuple[int, int]:
        """When the branch last moved, and when the defence owes the reveal (D-12: s and t)."""
        posted, branch = self.candidates[candidate], self.branch(dispute, candidate)
        position, terms = self.positions[posted.position], self.terms(posted.position)
        s = branch.moved_at
        if s is None:
            s = max(posted.posted_at, self.disputes[dispute].demands[posted.position])
        return s, max(s, position.demanded_at + position.allowance) + terms.response

    def challenger_due(self, dispute: bytes, candidate: bytes, revealed: int) -> int:
        """When the challenger's move is due (D-12)."""
        posted, branch = self.candidates[candidate], self.branch(dispute, candidate)
        position, terms = self.positions[posted.position], self.terms(posted.position)
        if branch.moved_at is None:
            demand = self.disputes[dispute].demands[posted.position]
            return max(posted.posted_at, demand + position.allowance) + terms.response
        return max(branch.moved_at, revealed) + terms.response

    def classify(self, dispute: bytes, candidate: bytes) -> tuple[int, int, int]:
        """D-12: whose turn, when it is due, and the reserve of that side; zeros where nobody is to move."""
        if not self.exists(dispute, candidate):
            return NONE, 0, 0
        known, posted = self.disputes[dispute], self.candidates[candidate]
        gone = posted.fallen or self.fallen_above(posted.position)
        if gone or known.status != OPEN or not self.board.is_live(known.update):
            return CLOSED, 0, 0
        branch = self.branch(dispute, candidate)
        if branch.demanded is not None:
            return WAITING, 0, 0
        _, t = self.owed(dispute, candidate)
        v = self.revealed_at(dispute, candidate)
        if (self.now if v is None else v) > t + branch.defence_reserve:
            return DEFENDER_LATE, t, branch.defence_reserve
        if v is None:
            return DEFENDER, t, branch.defence_reserve
        due = self.challenger_due(dispute, candidate, v)
        late = self.now > due + branch.challenger_reserve
        return CHALLENGER_LATE if late else CHALLENGER, due, branch.challenger_reserve

    def moved(self, dispute: bytes, candidate: bytes, cursor: Cursor | None = None) -> None:
        """The challenger has moved in a branch: both sides' overruns leave their reserves (D-13)."""
        branch = self.branch(dispute, candidate)
        v = self.revealed_at(dispute, candidate)
        assert v is not None, "a move on a cursor that is not revealed"
        _, t = self.owed(dispute, candidate)
        branch.challenger_reserve -= max(0, self.now - self.challenger_due(dispute, candidate, v))
        branch.defence_reserve -= max(0, v - t)
        branch.moved_at = self.now
        branch.cursor = cursor or branch.cursor

    # ---------------------------------------------------------------- demands (D-4)

    def demand(
        self,
        dispute: bytes,
        kind: int,
        parent: bytes,
        a: int,
        b: int,
        *,
        first: bytes,
        last: bytes = ZERO,
        fold: tuple[int, int] = (0, 0),
        reserve: int,
    ) -> bytes:
        """A dispute demands a position; returns its id."""
        position, known = digest(parent, kind, a, b), self.disputes[dispute]
        terms = self.board.terms_of(known.update)
        there = self.positions.get(position)
        if there is None:
            allowance = 0
            if kind in (STEPS_KIND, NODES_KIND):
                self.traces[known.update] += 1
                allowance = terms.allowance * min(self.traces[known.update], 4)
            there = Position(
                update=known.update,
                kind=kind,
                parent=parent,
                a=a,
                b=b,
                first=first,
                last=last,
                fold=fold,
                demanded_at=self.now,
                ends_at=self.now + allowance + terms.response + reserve,
                allowance=allowance,
                reserve=reserve,
                claimant=dispute,
            )
            self.positions[position] = there
        elif known.reserved_at < self.disputes[there.claimant].reserved_at:
            there.claimant = dispute
        known.demands[position] = self.now
        args = {"position": position, "dispute": dispute, "update": known.update}
        self.say("Demanded", **args, ends_at=there.ends_at)
        return position


def down(cursor: Cursor, levels: int, index: int, leaf: bytes) -> Cursor:
    """The subtree so many levels below, at an index of the list."""
    return replace(cursor, hash=leaf, height=cursor.height - levels, index=(cursor.index << levels) + index)
