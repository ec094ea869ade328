"""A random walk over a game: players with right and wrong traces, chores, and moves gone wrong.

Every choice comes from one seed. A move is *meant* when somebody had reason to think it legal, and *warped*
when one field, the sender or the moment was changed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np

from protocol.errors import MismatchError, RefusedError
from protocol.game import moves as m
from protocol.game.ids import Kind
from protocol.game.model import Model
from protocol.game.model_ledger import BURN
from protocol.game.openings import Openings, path_in_list
from protocol.game.trace import HONEST, Hooks
from protocol.game.view import DisputeStatus, Turn, UpdateStatus
from protocol.numerics.accumulator import FLAG_SEEN, Accumulator, exact_word
from tests.support.game import (
    OTHER,
    PARTIES,
    PURSE,
    REQUESTER,
    TRAINER,
    WATCHER,
    Player,
    Table,
    challenger,
    defender,
    one_word,
    reshaped,
    segment_end,
    slots,
    table,
    with_accumulators,
)
from tests.support.programs import floats
from tests.support.warp import Warp

Sent = tuple[bytes, m.Move]
RIVAL = b"\xc1" * 20
NINE = int(floats([9.0])[0])
LAST = 3


def liars() -> list[Hooks]:
    """One lie of each kind of leaf, at the end of the first segment or within it."""
    total, largest = Accumulator(*exact_word(NINE)), Accumulator(FLAG_SEEN, 1 << 32 | NINE)
    return [
        one_word(LAST, 2, 65),
        one_word(1, 2, 129),
        with_accumulators(one_word(LAST, 0, 1, value=NINE), LAST, 0, 1, 2, total),
        with_accumulators(one_word(LAST, 3, 0, value=NINE), LAST, 3, 0, 1, largest),
        slots(LAST, lambda s: [*s[:4], s[4] ^ np.uint32(1), s[5]]),
        slots(LAST, lambda s: [*s, np.ones(1, np.uint32)]),
        reshaped(LAST, 2, lambda w: w[:64]),
        reshaped(LAST, 1, lambda w: np.append(w, np.array([0] * 61 + [7], np.uint32))),
        one_word(5, 2, 3),
    ]


def disguised(lie: Hooks, after: list[np.ndarray]) -> Hooks:
    """The lie on the way, and the right state at the end: a false candidate for a right update."""
    return replace(lie, next_state=lambda step, _, state: after if step == LAST else state)


class Walk:
    """One game on its way.

    Attributes:
        meant, warped: for each kind of move how many were accepted (True) and refused (False).
        reasons: of all refusals.
    """

    def __init__(self, seed: int, traces: list[Openings]) -> None:
        """`traces`: the right one first; all of one shape."""
        self.random = random.Random(seed)
        self.at: Table = table(truth=traces[0])
        self.model: Model = self.at.model
        self.model.mint(RIVAL, PURSE)
        self.traces = traces
        self.meant: Counter[tuple[str, bool]] = Counter()
        self.warped: Counter[tuple[str, bool]] = Counter()
        self.reasons: Counter[str] = Counter()
        self.sent: list[Sent] = []
        self.ending = False
        self.players = list(self._players())

    def _players(self) -> Iterator[Player]:
        for address in (WATCHER, RIVAL):
            for trace in (self.traces[0], self.random.choice(self.traces)):
                yield challenger(self.at, trace, address=address)
        for address in (TRAINER, OTHER):
            yield defender(self.at, self.random.choice(self.traces), address=address)
            yield defender(self.at, self.traces[0], address=address)
        stand_in = defender(self.at, self.random.choice(self.traces), address=RIVAL, trainer=TRAINER)
        delegates = self.model.court.delegates
        yield lambda model: stand_in(model) if (TRAINER, RIVAL) in delegates else []

    # ---------------------------------------------------------------- steps

    def run(self, moves: int) -> None:
        """Make so many attempts at a move, letting time pass now and then."""
        for made in range(moves):
            self.ending = made > 0.8 * moves
            roll = self.random.random()
            if roll < 0.6:
                self._try(self._play() or self._perhaps(self._chore), self.meant)
            elif roll < 0.67:
                self._try(self._chore(), self.meant)
            elif roll < 0.8:
                self._try(self._warp(self._play() or self._chore()), self.warped)
            elif roll < 0.92:
                self._try(self._stray(), self.warped)
            elif roll < 0.97 and self.sent:
                self._try(self.random.choice(self.sent[-40:]), self.warped)
            else:
                self._wait()

    def _try(self, sent: Sent | None, tally: Counter[tuple[str, bool]]) -> None:
        if sent is None:
            self._wait()
            return
        accepted = True
        try:
            self.model.apply(*sent)
        except RefusedError as error:
            accepted = False
            self.reasons[error.reason] += 1
        tally[type(sent[1]).__name__, accepted] += 1
        self.sent.append(sent)

    def _wait(self) -> None:
        """Let time pass, by a little or to a moment that matters or the one after it."""
        now = self.model.now()
        moments = [now + self.random.choice([1, 15, 60])] * 3
        for dispute in self.model.disputes():
            for position in self.model.demands(dispute.dispute):
                moments.append(self.model.position(position).ends_at)
                for candidate in self.model.candidates(position):
                    branch = self.model.branch(dispute.dispute, candidate.candidate)
                    moments += [branch.due, branch.limit]
        for record in self.model.board.jobs.values():
            moments += [record.lease_due, record.ends_at] * (self.random.random() < 0.1)
        for update in self.model.board.updates.values():
            moments += [update.deadline, update.deadline + 120] * (self.random.random() < 0.2)
        ahead = [at - now + self.random.choice([0, 0, 1]) for at in moments if now <= at < now + 5000]
        self.model.advance(self.random.choice(ahead))

    # ---------------------------------------------------------------- meant moves

    def _play(self) -> Sent | None:
        """What one of the players wants to do."""
        for player in self.random.sample(self.players, len(self.players)):
            try:
                moves = list(player(self.model))
            except MismatchError:  # a trace that contradicts itself leaves its believer at a loss
                continue
            if moves:
                return self.random.choice(moves)
        return None

    def _perhaps(self, choose: Callable[[], Sent | None]) -> Sent | None:
        return choose() if self.random.random() < 0.6 else None

    def _chore(self) -> Sent | None:
        """Something that is due, by anybody whom it is open to; each kind of move as likely as another."""
        chores = [*self._of_jobs(), *self._of_updates(), *self._of_disputes(), *self._of_parties()]
        if not chores:
            return None
        kind = self.random.choice(sorted({type(move).__name__ for _, move in chores}))
        return self.random.choice([sent for sent in chores if type(sent[1]).__name__ == kind])

    def _anybody(self) -> bytes:
        return self.random.choice([*PARTIES, RIVAL])

    def _of_jobs(self) -> Iterator[Sent]:
        if len(self.model.board.jobs) < 3:
            salt = bytes([len(self.model.board.jobs)]) * 32
            yield REQUESTER, m.OpenJob(terms=replace(self.at.job, salt=salt))
        for job, known in self.model.board.jobs.items():
            yield from self._of_lease(job)
            if self.ending and self.random.random() < 0.05:
                yield REQUESTER, m.Cancel(job=job)
            pending = any(u.status == UpdateStatus.PENDING for u in self.model.chain(job))
            if self.model.now() > known.ends_at and not known.refunded and not pending:
                yield self._anybody(), m.Refund(job=job)
            if self.random.random() < 0.05:
                yield self._anybody(), m.Finalise(job=job)

    def _of_lease(self, job: bytes) -> Iterator[Sent]:
        known, now = self.model.board.jobs[job], self.model.now()
        open_ = now <= known.ends_at
        open_ &= self.model.board.next_segment(job) < known.terms.geometry.segments
        if known.leaseholder is None:
            if open_:
                yield self.random.choice([TRAINER, OTHER]), m.Lease(job=job)
        elif now > known.lease_due:
            yield self._anybody(), m.Evict(job=job)
            if open_:
                yield OTHER, m.Lease(job=job)
        else:
            if open_:
                yield self._post(job, known.leaseholder)
            if self.random.random() < 0.1:
                yield known.leaseholder, m.Release(job=job)

    def _post(self, job: bytes, holder: bytes) -> Sent:
        left = self.at.job.geometry.segments - self.model.board.next_segment(job)
        first = self.model.board.next_segment(job)
        trace = self.random.choice(self.traces)
        count = self.random.randint(1, left)
        states = tuple(segment_end(trace, first + i) for i in range(count))
        parent = self.model.board.parent(job)
        return holder, m.Post(job=job, parent=parent, states=states)

    def _of_updates(self) -> Iterator[Sent]:
        for update, known in self.model.board.updates.items():
            status = self.model.update(update).status
            if status == UpdateStatus.FINAL and not known.settled:
                yield self._anybody(), m.Claim(update=update)
            if status == UpdateStatus.VOID and not known.settled:
                yield self._anybody(), m.Reclaim(update=update)

    def _of_disputes(self) -> Iterator[Sent]:
        court = self.model.court
        for dispute, known in court.disputes.items():
            gone = not self.model.board.is_live(known.update)
            if gone and known.status == DisputeStatus.OPEN:
                yield self._anybody(), m.Close(dispute=dispute)
        for dispute, candidate in self._branches():
            turn = court.judge(dispute, candidate).turn
            if turn == Turn.DEFENDER_LATE:
                yield self._anybody(), m.Silence(dispute=dispute, candidate=candidate)
            if turn == Turn.CHALLENGER_LATE:
                yield self._anybody(), m.Timeout(dispute=dispute, candidate=candidate)
        for position in court.positions:
            here = self.model.position(position)
            late = self.model.now() > here.ends_at and not court.standing(position)
            status = self.model.update(here.update).status
            if late and court.standing_above(position) and status == UpdateStatus.PENDING:
                yield self._anybody(), m.Settle(position=position)
        for candidate, posted in court.candidates.items():
            info = self.model.candidate(candidate)
            if posted.bonded and not (info.above_standing or info.fallen):
                yield self._anybody(), m.Free(candidate=candidate)

    def _of_parties(self) -> Iterator[Sent]:
        job = self.random.choice(list(self.model.board.jobs))
        for party in (*PARTIES, RIVAL):
            if self.model.board.credits.get(party, 0):
                yield party, m.Withdraw()
        if self.model.board.credits.get(BURN, 0):
            yield self._anybody(), m.WithdrawBurned()
        if self.random.random() < 0.05:
            yield TRAINER, m.Delegate(who=RIVAL, allowed=self.random.random() < 0.7)
        for (sender, digest), known in self.model.court.reserved.items():
            if not known.opened and self.model.now() > known.time + 120:
                yield sender, m.CancelReservation(digest=digest)
        if self.random.random() < 0.1:
            yield RIVAL, m.Reserve(job=job, digest=self.random.randbytes(32))
        if self.random.random() < 0.1:
            yield self._anybody(), m.Reveal(children=(self.random.randbytes(32), bytes(32)))
            yield self._anybody(), m.RevealPage(page=self.random.randbytes(256))

    # ---------------------------------------------------------------- moves astray

    def _stray(self) -> Sent:
        """A move about things that exist, wherever they have come to."""
        branches = list(self._branches())
        if branches and self.random.random() < 0.6:
            return self._astray_in(*self.random.choice(branches))
        job, other = self.random.choice(list(self.model.board.jobs)), self.random.choice(self._ids())
        about: list[m.Move] = [
            m.Lease(job=job),
            m.Release(job=job),
            m.Evict(job=job),
            m.Refund(job=job),
            m.Claim(update=other),
            m.Reclaim(update=other),
            m.Settle(position=other),
            m.Close(dispute=other),
            m.Free(candidate=other),
        ]
        court = self.model.court
        about += [m.Settle(position=position) for position in court.positions]
        about += [m.Close(dispute=dispute) for dispute in court.disputes]
        about += [m.Free(candidate=candidate) for candidate in court.candidates]
        about += [m.Reclaim(update=update) for update in self.model.board.updates]
        return self._anybody(), self.random.choice(about)

    def _branches(self) -> Iterator[tuple[bytes, bytes]]:
        for dispute, known in self.model.court.disputes.items():
            for position in known.demands:
                for candidate in self.model.court.positions[position].candidates:
                    yield dispute, candidate

    def _astray_in(self, dispute: bytes, candidate: bytes) -> Sent:
        """Any move of the branch's challenger, to any child of the cursor."""
        cursor = self.model.branch(dispute, candidate).cursor
        levels = self.at.job.geometry.levels(cursor.height)
        page = cursor.kind == Kind.PAGE
        children = None if page or not levels else self.model.children(cursor.hash, levels)
        index = self.random.randrange(1 << levels)
        leaf, path = bytes(32), tuple[bytes, ...]()
        if children is not None:
            leaf, path = children[index], path_in_list(children, index)
        here: dict[str, Any] = {"dispute": dispute, "candidate": candidate}
        bytes_ = self.model.page(cursor.hash) if page else None
        word = self.random.choice([0, 1, 63, 64])
        moves: list[m.Move] = [
            m.Select(**here, index=index, leaf=leaf, path=path),
            m.Select(**here, index=index, leaf=leaf, path=path),
            m.SelectStep(**here, index=index, leaf=leaf, path=path, before=leaf, before_path=path),
            m.SelectWord(**here, index=word, page=bytes_ or bytes(256), opening=b""),
            m.Prove(**here, index=word, witness=self.random.randbytes(40)),
            m.Silence(**here),
            m.Timeout(**here),
        ]
        return self.model.dispute(dispute).challenger, self.random.choice(moves)

    # ---------------------------------------------------------------- warped moves

    def _warp(self, sent: Sent | None) -> Sent | None:
        """The move with one thing wrong: its sender or one of its fields."""
        if sent is None:
            return None
        sender, move = sent
        names = [field.name for field in fields(move)]
        if not names or self.random.random() < 0.2:
            return self._anybody(), move
        name = self.random.choice(names)
        warp = Warp(self.random, ids=self._ids(), parties=[*PARTIES, RIVAL], now=self.model.now())
        return sender, replace(move, **{name: warp.other(getattr(move, name))})

    def _ids(self) -> list[bytes]:
        """Everything that exists."""
        court, board = self.model.court, self.model.board
        return [*board.jobs, *board.updates, *court.disputes, *court.positions, *court.candidates]


def traces_of(at: Table) -> list[Openings]:
    """The right trace, every liar's, and two that end right."""
    after = list(at.truth.trace.state_words(LAST + 1))
    lies = liars()
    hooks = [HONEST, *lies, disguised(lies[0], after), disguised(lies[2], after)]
    return [at.openings(lie) for lie in hooks]
