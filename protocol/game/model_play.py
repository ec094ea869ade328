"""The moves of a branch, and how candidates, disputes and updates end (dispute.md, D-8 to D-16)."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Final

from protocol.commitments.tree import ZERO, verify
from protocol.errors import RefusedError
from protocol.game.ids import Kind
from protocol.game.model_court import PAGE_BYTES, Court
from protocol.game.model_ledger import require
from protocol.game.model_records import Branch, Candidate, Position
from protocol.game.moves import Prove, Select, SelectStep, SelectWord
from protocol.game.proofs import context_of
from protocol.game.view import Cursor, DisputeStatus, Turn
from protocol.program import leaf as leaves
from protocol.program.leaf import ProofContext

PAGE_HEIGHT: Final = 6


class Play(Court):
    """The court, with the moves below the candidates."""

    # ---------------------------------------------------------------- moves of the challenger

    def _turn(self, sender: bytes | None, dispute: bytes, candidate: bytes) -> tuple[Branch, int]:
        """Refuse unless it is the challenger's turn; return the branch and the levels of its list (D-12).

        Args:
            sender: who moves; None asks for the turn alone.
        """
        challenger = self.disputes[dispute].challenger if dispute in self.disputes else None
        # INVARIANT: I-5, only the challenger moves in its dispute.
        require(sender is None or sender == challenger, "court: not the challenger")
        branch = self.branch(dispute, candidate)
        turn = self.judge(dispute, candidate).turn
        require(turn != Turn.CLOSED, "court: branch is closed")
        # INVARIANT: I-7, a late challenger holds nothing up.
        require(turn != Turn.CHALLENGER_LATE, "court: challenger is late")
        require(turn == Turn.CHALLENGER, "court: not the challenger's turn")
        return branch, self.levels(dispute, branch.cursor)

    @staticmethod
    def _descend(cursor: Cursor, levels: int, move: Select | SelectStep) -> Cursor:
        """Return the cursor moved to a node of the revealed list (D-8)."""
        require(0 <= move.index < 1 << levels, "court: index outside the list")
        # INVARIANT: I-4, only what the defence has committed to can be selected.
        under = verify(move.leaf, move.index, move.path, cursor.hash, height=levels)
        require(under, "court: not under the cursor")
        index = (cursor.index << levels) + move.index
        return replace(cursor, hash=move.leaf, height=cursor.height - levels, index=index)

    def _moved(self, dispute: bytes, candidate: bytes, cursor: Cursor) -> Branch:
        """Record a move: both reserves pay for what was late (D-13)."""
        judgement = self.judge(dispute, candidate)
        branch = self.branch(dispute, candidate)
        late = max(0, self.board.time - judgement.due)
        moved = Branch(
            cursor=cursor,
            challenger_reserve=branch.challenger_reserve - late,
            defender_reserve=branch.defender_reserve - judgement.defender_overrun,
            moved_at=self.board.time,
        )
        self.branches[dispute, candidate] = moved
        return moved

    def select(self, sender: bytes, move: Select) -> None:
        """Move the cursor down (D-8)."""
        branch, levels = self._turn(sender, move.dispute, move.candidate)
        require(branch.cursor.kind != Kind.PAGE, "court: word has its own move")
        require(levels > 0, "court: nothing below the cursor")
        below = self._descend(branch.cursor, levels, move)
        if below.height == 0 and below.kind == Kind.NODES:
            geometry = self.terms(self.disputes[move.dispute].update).geometry
            require(below.index <= geometry.n_nodes, "court: no such node")
            if below.index < geometry.n_nodes:
                tensor, node = geometry.tensor_height, below.index
                below = replace(below, kind=Kind.TENSOR, height=tensor, index=0, node=node)
            else:
                below = replace(below, kind=Kind.STATE, height=geometry.state_height, index=0)
        elif below.height == 0:
            require(below.kind == Kind.TENSOR, "court: leaf has its own move")
        # INVARIANT: I-4, nobody can be asked to reveal what 32 zero bytes are the hash of.
        if below.kind == Kind.TENSOR and below.height == 0 and below.hash != ZERO:
            below = replace(below, kind=Kind.PAGE, height=PAGE_HEIGHT)
        self._moved(move.dispute, move.candidate, below)

    def select_step(self, sender: bytes, move: SelectStep) -> bytes:
        """Select the first wrong step; demands NODES (D-9)."""
        branch, levels = self._turn(sender, move.dispute, move.candidate)
        cursor = branch.cursor
        require(cursor.kind == Kind.STEPS, "court: not among steps")
        below = self._descend(cursor, levels, move)
        require(below.height == 0, "court: not a step yet")
        step = below.index
        mine = self.disputes[move.dispute]
        steps = self.terms(mine.update).geometry.steps_of(mine.segment)
        require(1 <= step <= steps, "court: no such step")
        posted = self.candidates[move.candidate]
        before_stands = verify(move.before, step - 1, move.before_path, posted.root, height=posted.height)
        require(before_stands, "court: state before not committed")
        moved = self._moved(move.dispute, move.candidate, cursor)
        moved.demanded = self.demand(
            move.dispute,
            parent=move.candidate,
            kind=Kind.NODES,
            a=step,
            first=move.before,
            last=move.leaf,
            reserve=moved.defender_reserve,
        )
        return moved.demanded

    def select_word(self, sender: bytes, move: SelectWord) -> bytes:
        """Select the first wrong word of a long fold; demands FOLD (D-10)."""
        branch, _ = self._turn(sender, move.dispute, move.candidate)
        cursor = branch.cursor
        require(cursor.kind == Kind.PAGE, "court: not at a page")
        require(0 <= move.index < 1 << PAGE_HEIGHT, "court: a page has 64 words")
        page_fits = len(move.page) == PAGE_BYTES and sha256(move.page).digest() == cursor.hash
        require(page_fits, "court: page is not at the cursor")
        terms = self.terms(self.disputes[move.dispute].update)
        word_index = (cursor.index << PAGE_HEIGHT) + move.index
        fold, ranges = leaves.fold_shape(
            program_root=terms.program_root,
            n_nodes=terms.geometry.n_nodes,
            node=cursor.node,
            range_log2=terms.geometry.range_log2,
            tensor_height=terms.geometry.tensor_height,
            word_index=word_index,
            opening=move.opening,
        )
        moved = self._moved(move.dispute, move.candidate, cursor)
        moved.demanded = self.demand(
            move.dispute,
            parent=move.candidate,
            kind=Kind.FOLD,
            a=cursor.node,
            b=word_index,
            word=int.from_bytes(move.page[4 * move.index : 4 * move.index + 4], "big"),
            fold=fold,
            ranges=ranges,
            reserve=moved.defender_reserve,
        )
        return moved.demanded

    def proof_context(self, dispute: bytes, candidate: bytes) -> ProofContext:
        """Return what a proof at the cursor of a branch must show (P-15).

        Raises:
            RefusedError: it is not the challenger's turn, or no leaf stands directly below the cursor.
        """
        branch, levels = self._turn(None, dispute, candidate)
        cursor = branch.cursor
        provable = cursor.kind == Kind.PAGE or (
            cursor.kind in (Kind.TENSOR, Kind.STATE, Kind.FOLD) and cursor.height == levels
        )
        require(provable, "court: not at a last level")
        posted = self.candidates[candidate]
        here = self.positions[posted.position]
        nodes, fold = posted, None
        if here.kind == Kind.FOLD:
            nodes, fold = self.candidates[here.parent], (posted.root, here.a, here.b)
        above = self.positions[nodes.position]
        job = self.terms(here.update)
        step = above.segment * job.geometry.stride + above.a - 1
        return context_of(job, cursor, nodes_root=nodes.root, pre_state=above.first, step=step, fold=fold)

    def prove(self, sender: bytes, move: Prove) -> bool:
        """Judge a leaf; True if the candidate fell, False if the dispute is lost (D-11)."""
        context = self.proof_context(move.dispute, move.candidate)
        fault = leaves.verdict(context, move.index, move.witness)
        self._turn(sender, move.dispute, move.candidate)
        if fault:
            posted = self.candidates[move.candidate]
            self._fall(move.candidate, self._credit_at(posted.position, move.dispute), move.dispute)
        else:
            self._lose(move.dispute, move.candidate, resolver=None)
        return fault

    # ---------------------------------------------------------------- ends

    def _open(self, dispute: bytes) -> bool:
        return self.disputes[dispute].status == DisputeStatus.OPEN

    def _credit_at(self, position: bytes, shown_by: bytes | None) -> bytes:
        """Return the dispute credited with a fall decided at a position (D-14)."""
        here = self.positions[position]
        if self._open(here.claimant):
            return here.claimant
        return shown_by or here.credit or here.claimant

    def _fall(self, candidate: bytes, credit: bytes, feller: bytes) -> None:
        posted: Candidate = self.candidates[candidate]
        here: Position = self.positions[posted.position]
        posted.fallen = True
        here.credit = credit
        if posted.bonded:
            posted.bonded = False
            job = self.board.updates[here.update].job
            paid = self.disputes[credit].challenger, self.disputes[feller].challenger
            self.board.lose_defence_bond(job, *paid)

    def _lose(self, dispute: bytes, candidate: bytes, resolver: bytes | None) -> None:
        lost = self.disputes[dispute]
        lost.status = DisputeStatus.LOST
        update = self.board.updates[lost.update]
        update.open_disputes -= 1
        self.board.lose_challenge_bond(update.job, resolver, self._saved_by(candidate, update.trainer))

    def _saved_by(self, candidate: bytes, trainer: bytes) -> bytes:
        """Return whom a challenger pays that loses in a branch (D-15)."""
        # INVARIANT: I-8, a challenger that posts below its own dispute, and loses there, does not pay itself.
        posted = self.candidates[candidate]
        here = self.positions[posted.position]
        if here.kind != Kind.STEPS:
            return self._saved_by(here.parent, trainer)
        covered = here.covered is not None and not self.candidates[here.covered].fallen
        return trainer if covered else posted.poster

    def _is(self, turn: Turn, dispute: bytes, candidate: bytes) -> bool:
        known = self.exists(dispute, candidate)
        return known and self.judge(dispute, candidate).turn == turn

    def silence(self, dispute: bytes, candidate: bytes) -> None:
        """Fell a candidate whose defence is late (D-14)."""
        # INVARIANT: I-4, a defence in time never falls silent.
        require(self._is(Turn.DEFENDER_LATE, dispute, candidate), "court: defence is not late")
        self._fall(candidate, self._credit_at(self.candidates[candidate].position, dispute), dispute)

    def timeout(self, sender: bytes, dispute: bytes, candidate: bytes) -> None:
        """End a dispute whose challenger is late (D-15)."""
        # INVARIANT: I-5, a challenger in time is never timed out.
        require(self._is(Turn.CHALLENGER_LATE, dispute, candidate), "court: challenger is not late")
        self._lose(dispute, candidate, resolver=sender)

    def _empty(self, position: bytes) -> bool:
        """Whether a position has ended and no candidate stands there (D-14)."""
        return self.board.time > self.positions[position].ends_at and not self.standing(position)

    def settle(self, sender: bytes, position: bytes) -> None:
        """Fell what hangs above an ended and empty position, upward (D-14)."""
        update = self.undecided(position).update
        # INVARIANT: I-3, what is final stays.
        require(not self.board.is_final(update), "court: update is final")
        # INVARIANT: I-6, only silence to the end of the posting, or proof against all that was posted, fells.
        require(self._empty(position), "court: not ended and empty")
        credit = self._credit_at(position, None)
        while self._empty(position):
            here = self.positions[position]
            if here.kind == Kind.STEPS:
                self._fell(sender, update, credit)
                return
            self._fall(here.parent, credit, credit)
            position = self.candidates[here.parent].position

    def _fell(self, resolver: bytes, update: bytes, credit: bytes) -> None:
        credited = self.disputes[credit]
        record = self.board.updates[update]
        if self._open(credit):
            credited.status = DisputeStatus.CLOSED
            record.open_disputes -= 1
            bond = self.terms(update).money.challenge_bond
            self.board.credit(credited.challenger, bond)
        self.board.fell(update, resolver, credited.challenger)

    def close(self, dispute: bytes) -> None:
        """Give an open dispute of an update that is gone its bond back, and its share (D-16)."""
        if dispute not in self.disputes or not self._open(dispute):
            raise RefusedError("court: dispute is not open")
        closed = self.disputes[dispute]
        require(not self.board.is_live(closed.update), "court: update is live")
        closed.status = DisputeStatus.CLOSED
        record = self.board.updates[closed.update]
        record.open_disputes -= 1
        bond = self.terms(closed.update).money.challenge_bond
        self.board.credit(closed.challenger, bond + record.moot_share)

    def free(self, candidate: bytes) -> None:
        """Give the defence bond of a surviving candidate back (D-16)."""
        posted = self.candidates.get(candidate)
        if posted is None or not posted.bonded:
            raise RefusedError("court: no defence bond held")
        update = self.positions[posted.position].update
        over = self.board.is_final(update) or not self.standing_above(posted.position)
        require(over, "court: candidate is still needed")
        posted.bonded = False
        self.board.credit(posted.poster, self.terms(update).money.defence_bond)

    def bonds(self) -> int:
        """Return the challenge and defence bonds that the board holds for the court (I-1)."""
        total = 0
        for reservation in self.reserved.values():
            if not reservation.opened:
                total += self.board.jobs[reservation.job].terms.money.challenge_bond
        for dispute in self.disputes.values():
            if dispute.status == DisputeStatus.OPEN:
                total += self.terms(dispute.update).money.challenge_bond
        for posted in self.candidates.values():
            if posted.bonded:
                total += self.terms(self.positions[posted.position].update).money.defence_bond
        return total
