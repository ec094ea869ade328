"""The whole game as one value with a clock: `apply` a move, `advance` the time, look at it through
`CourtView`.

It is the contract's rules without a chain: tests play it exhaustively, and a differential test holds the
contracts to it, move by move and reason by reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from protocol.errors import MismatchError, RefusedError, UsageError
from protocol.game import demand_moves as d
from protocol.game import moves as m
from protocol.game.ids import PAGE_LEVELS
from protocol.game.model_availability import Availability
from protocol.game.model_board import Board
from protocol.game.model_ledger import BURN
from protocol.game.model_play import Play
from protocol.game.view import (
    BranchInfo,
    CandidateInfo,
    DisputeInfo,
    PositionInfo,
    ReservationInfo,
    UpdateInfo,
)

_T = TypeVar("_T")


class Model:
    """Board and court of one token; implements `protocol.game.view.CourtView`."""

    def __init__(
        self,
        *,
        board: bytes = b"\xb0" * 20,
        chain_id: int = 1,
        scheduled_gas: int = 10_000_000,
        now: int = 1_000_000,
        governor: bytes | None = None,
    ) -> None:
        """An empty game.

        Args:
            board: 20-byte address that terms must name.
            scheduled_gas: least gas that a job may schedule (M-1); now: first timestamp, in seconds.
            governor: 20 bytes, who may change that; None: nobody.
        """
        self.board = Board(
            chain_id=chain_id, address=board, scheduled_gas=scheduled_gas, now=now, governor=governor
        )
        self.court = Play(self.board)
        self.availability = Availability(self.board)

    def mint(self, owner: bytes, amount: int) -> None:
        """Give a party tokens to play with."""
        self.board.wallets[owner] = self.board.wallets.get(owner, 0) + amount

    def advance(self, seconds: int) -> None:
        """Let time pass. Raises UsageError if it would run backwards."""
        if seconds < 0:
            raise UsageError(f"time cannot go back by {-seconds} seconds")
        self.board.time += seconds

    def apply(self, sender: bytes, move: m.Move) -> Any:
        """Make a move; returns what the contract's function returns, if anything.

        Raises:
            RefusedError: the rules refuse it, with the contract's reason; nothing has changed.
        """
        return _APPLY[type(move)](self, sender, move)

    def tokens_of(self, party: bytes) -> int:
        """Tokens in a party's wallet and in its credit."""
        return self.board.wallets.get(party, 0) + self.board.credits.get(party, 0)

    def check_conservation(self) -> None:
        """Check I-1: what the board holds is what it owes.

        Raises:
            MismatchError: tokens appeared or vanished.
        """
        owed = sum(self.board.credits.values()) + self.board.locked() + self.court.bonds()
        owed += self.availability.fees()
        if owed != self.board.balance:
            raise MismatchError(
                f"the board holds {self.board.balance} tokens and owes {owed} (I-1): "
                "a rule of money is broken"
            )

    # ---------------------------------------------------------------- CourtView

    def now(self) -> int:
        """Time at which a move sent now would be judged."""
        return self.board.time

    def chain(self, job: bytes) -> Sequence[UpdateInfo]:
        """The live updates of a job in order (U-2)."""
        return [self.board.info(update) for update in _known(self.board.jobs, job, "job").chain]

    def update(self, update: bytes) -> UpdateInfo:
        """Any update ever posted."""
        return self.board.info(update)

    def reservations(self, challenger: bytes) -> Sequence[ReservationInfo]:
        """Reservations of one challenger, opened ones included, oldest first."""
        return [
            ReservationInfo(
                challenger=sender, digest=digest, job=known.job, time=known.time, opened=known.opened
            )
            for (sender, digest), known in self.court.reserved.items()
            if sender == challenger
        ]

    def dispute(self, dispute: bytes) -> DisputeInfo:
        """One dispute."""
        known = _known(self.court.disputes, dispute, "dispute")
        return DisputeInfo(
            dispute=dispute,
            update=known.update,
            segment=known.segment,
            challenger=known.challenger,
            reserved_at=known.reserved_at,
            status=known.status,
        )

    def disputes(
        self, *, update: bytes | None = None, challenger: bytes | None = None
    ) -> Sequence[DisputeInfo]:
        """Disputes ever opened, of an update and/or of a challenger, oldest first."""
        return [
            self.dispute(dispute)
            for dispute, known in self.court.disputes.items()
            if update in (None, known.update) and challenger in (None, known.challenger)
        ]

    def positions(self, *, update: bytes) -> Sequence[PositionInfo]:
        """Positions ever demanded against an update, oldest first."""
        known = self.court.positions.items()
        return [self.position(position) for position, here in known if here.update == update]

    def position(self, position: bytes) -> PositionInfo:
        """One demanded position."""
        known = _known(self.court.positions, position, "position")
        return PositionInfo(
            position=position,
            parent=known.parent,
            kind=known.kind,
            a=known.a,
            b=known.b,
            update=known.update,
            segment=known.segment,
            first=known.first,
            last=known.last,
            word=known.word,
            fold=known.fold,
            ranges=known.ranges,
            demanded_at=known.demanded_at,
            allowance=known.allowance,
            ends_at=known.ends_at,
            reserve=known.reserve,
            claimant=known.claimant,
            own_posted=known.covered is not None,
        )

    def demands(self, dispute: bytes) -> Sequence[bytes]:
        """Ids of the positions that a dispute has demanded, oldest first."""
        return list(_known(self.court.disputes, dispute, "dispute").demands)

    def candidates(self, position: bytes) -> Sequence[CandidateInfo]:
        """Candidates at a position, fallen ones included, oldest first."""
        known = self.court.positions.get(position)
        return [] if known is None else [self.candidate(candidate) for candidate in known.candidates]

    def candidate(self, candidate: bytes) -> CandidateInfo:
        """One candidate."""
        known = _known(self.court.candidates, candidate, "candidate")
        return CandidateInfo(
            candidate=candidate,
            position=known.position,
            root=known.root,
            height=known.height,
            poster=known.poster,
            posted_at=known.posted_at,
            bonded=known.bonded,
            fallen=known.fallen,
            above_standing=self.court.standing_above(known.position),
        )

    def branch(self, dispute: bytes, candidate: bytes) -> BranchInfo:
        """The branch of a dispute under a candidate at a position that it has demanded."""
        try:
            known, judgement = self.court.branch(dispute, candidate), self.court.judge(dispute, candidate)
        except RefusedError as error:
            raise UsageError("the dispute has not demanded the candidate's position") from error
        return BranchInfo(
            dispute=dispute,
            candidate=candidate,
            cursor=replace(known.cursor),
            turn=judgement.turn,
            due=judgement.due,
            limit=judgement.limit,
            challenger_reserve=known.challenger_reserve,
            defender_reserve=known.defender_reserve,
            demanded=known.demanded,
        )

    def children(self, node: bytes, levels: int) -> Sequence[bytes] | None:
        """The 2^levels nodes that many levels below a hash, if revealed or committed by anyone (D-6)."""
        if levels == PAGE_LEVELS:
            raise UsageError("a page has bytes, not children; ask for the page")
        known = self.court.revealed.get((node, levels))
        return None if known is None else known[1]

    def page(self, page_hash: bytes) -> bytes | None:
        """The 256 bytes of a revealed page, or None (D-6)."""
        known = self.court.pages.get(page_hash)
        return None if known is None else known[1]


def _known(table: dict[bytes, _T], key: bytes, what: str) -> _T:
    if key not in table:
        raise UsageError(f"{what} {key.hex()} is not known; read its id from the chain again")
    return table[key]


def _speak(model: Model, sender: bytes, move: m.Delegate) -> None:
    change = model.court.delegates.add if move.allowed else model.court.delegates.discard
    change((sender, move.who))


_APPLY: Final[dict[type, Callable[[Model, bytes, Any], Any]]] = {
    m.OpenJob: lambda g, sender, move: g.board.open_job(sender, move.terms),
    m.Cancel: lambda g, sender, move: g.board.cancel(sender, move.job),
    m.Refund: lambda g, _, move: g.board.refund(move.job),
    m.Lease: lambda g, sender, move: g.board.lease(sender, move.job),
    m.Release: lambda g, sender, move: g.board.release(sender, move.job),
    m.Evict: lambda g, sender, move: g.board.evict(sender, move.job),
    m.Post: lambda g, sender, move: g.board.post(sender, move.job, move.parent, move.states),
    m.Finalise: lambda g, _, move: g.board.finalise(move.job),
    m.Claim: lambda g, _, move: g.board.claim(move.update),
    m.Reclaim: lambda g, _, move: g.board.reclaim(move.update),
    m.Withdraw: lambda g, sender, _: g.board.withdraw(sender),
    m.WithdrawBurned: lambda g, *_: g.board.withdraw(BURN),
    m.Reserve: lambda g, sender, move: g.court.reserve(sender, move),
    m.CancelReservation: lambda g, sender, move: g.court.cancel_reservation(sender, move.digest),
    m.Open: lambda g, sender, move: g.court.open(sender, move),
    m.Delegate: _speak,
    m.Commit: lambda g, sender, move: g.court.commit(sender, move),
    m.Reveal: lambda g, _, move: g.court.reveal(move.children),
    m.RevealPage: lambda g, _, move: g.court.reveal_page(move.page),
    m.Select: lambda g, sender, move: g.court.select(sender, move),
    m.SelectStep: lambda g, sender, move: g.court.select_step(sender, move),
    m.SelectWord: lambda g, sender, move: g.court.select_word(sender, move),
    m.Prove: lambda g, sender, move: g.court.prove(sender, move),
    m.Silence: lambda g, _, move: g.court.silence(move.dispute, move.candidate),
    m.Timeout: lambda g, sender, move: g.court.timeout(sender, move.dispute, move.candidate),
    m.Settle: lambda g, sender, move: g.court.settle(sender, move.position),
    m.Close: lambda g, _, move: g.court.close(move.dispute),
    d.Demand: lambda g, sender, move: g.availability.demand(sender, move),
    d.Answer: lambda g, sender, move: g.availability.answer(sender, move),
    d.Expire: lambda g, sender, move: g.availability.expire(sender, move.demand),
    d.CloseDemand: lambda g, _, move: g.availability.close(move.demand),
    m.Free: lambda g, _, move: g.court.free(move.candidate),
}
