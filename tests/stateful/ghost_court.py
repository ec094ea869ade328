"""What the ghost knows of the court's functions (dispute.md)."""

from __future__ import annotations

from dataclasses import replace

from tests.stateful.ghost_base import ZERO, Conditions, Refused, climb, digest, height, leads, root_of, sha
from tests.stateful.ghost_ends import Ends
from tests.stateful.ghost_records import (
    CHALLENGER,
    CHALLENGER_LATE,
    CLOSED,
    MOST_CANDIDATES,
    PAGE_LEVELS,
    Candidate,
    Cursor,
    Dispute,
    Position,
    Reservation,
    down,
)
from tests.stateful.ghost_verifier import (
    FOLD,
    NODES_KIND,
    PAGE,
    STATES,
    STEPS_KIND,
    TENSOR,
    Context,
    faulty,
    fold_shape,
)
from tests.stateful.ghost_words import EMPTY, finished


class GhostCourt(Ends):
    """The court, and the verifier that judges for it."""

    # ---------------------------------------------------------------- opening (D-1, D-2)

    def reserve(self, sender: str, job: bytes, digest_: bytes) -> None:
        """Lock a challenge bond."""
        if_, known = Conditions(), self.board.jobs.get(job)
        if_(known is None, "board: unknown job")
        if_((sender, digest_) in self.reserved, "court: reserved before")
        if known is not None:
            self.board.short(if_, sender, known.terms.challenge_bond)
        if_.refuse()
        self._reserve(sender, job, digest_)

    def _reserve(self, sender: str, job: bytes, digest_: bytes) -> None:
        self.board.take(sender, self.board.jobs[job].terms.challenge_bond)
        self.reserved[sender, digest_] = Reservation(job, self.now)
        self.say("Reserved", challenger=sender, digest=digest_, job=job)

    def cancel_reservation(self, sender: str, digest_: bytes) -> None:
        """Take back what was not opened (D-2)."""
        known = self.reserved.get((sender, digest_))
        if known is None:
            raise Refused("court: nothing reserved")
        terms = self.board.jobs[known.job].terms
        if known.opened:
            raise Refused("court: reservation was opened")
        del self.reserved[sender, digest_]
        self.board.owe(sender, terms.challenge_bond)
        self.say("ReservationCancelled", challenger=sender, digest=digest_)

    def open(
        self,
        sender: str,
        update: bytes,
        segment: int,
        salt: bytes,
        first: bytes,
        first_path: list[bytes],
        last: bytes,
        last_path: list[bytes],
    ) -> bytes:
        """Open a dispute, reserved before or not."""
        known, if_ = self.board.updates.get(update), Conditions()
        dispute = digest(update, segment, sender, salt)
        reserved = self.reserved.get((sender, dispute))
        if_(dispute in self.disputes, "court: opened before")
        if_(not self.board.is_live(update), "court: update is not live")
        if_(self.board.is_final(update), "court: update is final")
        if known is None:
            raise Refused(*if_.reasons)
        terms, place = self.board.jobs[known.job].terms, segment - known.first_segment
        if_(not 0 <= place < len(known.states), "court: not a segment of it")
        levels = height(terms.max_segments + 1)
        if place >= 0:
            wrong = not leads(first, place, first_path, levels, known.history_root)
            if_(wrong, "court: first state not in history")
            wrong = not leads(last, place + 1, last_path, levels, known.history_root)
            if_(wrong, "court: last state not in history")
        if reserved is None:
            if_(self.now > known.deadline, "court: reserved too late")
            self.board.short(if_, sender, terms.challenge_bond)
        else:
            if_(self.now > reserved.time + terms.opening, "court: opening is over")
            if_(reserved.time > known.deadline, "court: reserved too late")
            if_(reserved.job != known.job, "court: reserved for another job")
        if_.refuse()
        if reserved is None:
            self._reserve(sender, known.job, dispute)
            reserved = self.reserved[sender, dispute]
        reserved.opened = True
        self.disputes[dispute] = Dispute(update, segment, sender, reserved.time, self.now)
        known.open_disputes += 1
        self.say("Opened", dispute=dispute, update=update, challenger=sender, segment=segment)
        self.demand(dispute, STEPS_KIND, update, segment, 0, first=first, last=last, reserve=terms.reserve)
        return dispute

    def delegate(self, sender: str, who: str, allowed: bool) -> None:
        """D-5."""
        (self.delegates.add if allowed else self.delegates.discard)((sender, who))
        self.say("Delegated", trainer=sender, delegate=who, allowed=allowed)

    # ---------------------------------------------------------------- the defence (D-5, D-6)

    def commit(
        self,
        sender: str,
        position: bytes,
        children: list[bytes],
        first_path: list[bytes],
        last_path: list[bytes],
        accumulator: bytes,
    ) -> bytes:
        """Post a candidate, or take one over."""
        known = self.positions.get(position)
        if known is None:
            raise Refused("court: no such position")
        if_, terms, update = Conditions(), self.terms(position), self.board.updates[known.update]
        if_(not self.board.is_live(known.update), "court: update is not live")
        if_(self.now > known.ends_at, "court: posting period is over")
        if_(self.fallen_above(position), "court: fallen above")
        tall = self.tree_height(position)
        levels = terms.levels(tall)
        if len(children) != 1 << levels:
            if_(True, "court: wrong number of children")
        else:
            self._end_points(if_, known, children, tall - levels, first_path, last_path, accumulator)
        if_(known.kind == NODES_KIND and bool(first_path), "court: first path not asked for")
        if_(known.kind != FOLD and bool(accumulator), "court: accumulator not asked for")
        if_(known.kind == FOLD and len(accumulator) != 97, "court: accumulator of 97 bytes")
        if known.kind == FOLD and len(accumulator) == 97:
            word = finished(known.fold[0], accumulator).to_bytes(32, "big")
            if_(word != known.first, "court: accumulator not the word's")

        own = sender == update.trainer or (update.trainer, sender) in self.delegates
        covered = own and known.covered is None
        root = root_of(children, (len(children) - 1).bit_length()) if children else ZERO
        candidate = digest(position, root)
        there = self.candidates.get(candidate)
        taken = there is not None and there.bonded and not there.fallen and covered
        if_(there is not None and not taken, "court: candidate exists")
        if there is None:
            kept = 0 if covered or known.covered is not None else 1
            if_(len(known.candidates) + kept >= MOST_CANDIDATES, "court: no place left")
        if not covered:
            self.board.short(if_, sender, terms.defence_bond)
        if_.refuse()

        if there is not None:
            self.board.owe(there.poster, terms.defence_bond)
            there.poster, there.bonded = sender, False
        else:
            if not covered:
                self.board.take(sender, terms.defence_bond)
            self.candidates[candidate] = Candidate(position, root, sender, self.now, bonded=not covered)
            known.candidates.append(candidate)
        if covered:
            known.covered = candidate
        args = {"position": position, "candidate": candidate, "poster": sender}
        self.say("Committed", **args, root=root, bonded=not covered)
        if (root, levels) not in self.revealed:
            self._keep(root, levels, children)
        return candidate

    def _end_points(
        self,
        if_: Conditions,
        known: Position,
        children: list[bytes],
        below: int,
        first_path: list[bytes],
        last_path: list[bytes],
        accumulator: bytes,
    ) -> None:
        """D-5: the first and the last leaf, with their paths to the children above them."""
        terms = self.board.terms_of(known.update)
        at = {STEPS_KIND: terms.steps_of(known.a), NODES_KIND: terms.n_nodes, FOLD: known.fold[1]}[known.kind]
        first, last = known.first, known.last
        if known.kind == FOLD:
            first, last = sha(EMPTY), sha(accumulator)
        wrong = len(first_path) != below or climb(first, 0, first_path) != children[0]
        if_(known.kind != NODES_KIND and wrong, "court: wrong first end point")
        wrong = len(last_path) != below or climb(last, at, last_path) != children[at >> below]
        if_(wrong, "court: wrong last end point")

    def _keep(self, node: bytes, levels: int, children: list[bytes]) -> None:
        self.revealed[node, levels] = self.now
        self.say("Revealed", hash=node, levels=levels, children=tuple(children))

    def reveal(self, _sender: str, children: list[bytes]) -> bytes:
        """D-6."""
        levels = (len(children) - 1).bit_length() if children else 0
        if not 2 <= len(children) <= 1024 or len(children) != 1 << levels:
            raise Refused("court: children not 2^n")
        node = root_of(children, levels)
        if (node, levels) in self.revealed:
            raise Refused("court: revealed before")
        self._keep(node, levels, children)
        return node

    def reveal_page(self, _sender: str, page: bytes) -> bytes:
        """D-6."""
        node, if_ = sha(page), Conditions()
        if_(len(page) != 256, "court: a page has 256 bytes")
        if_((node, PAGE_LEVELS) in self.revealed, "court: page revealed before")
        if_.refuse()
        self.revealed[node, PAGE_LEVELS] = self.now
        self.say("PageRevealed", hash=node, page=page)
        return node

    # ---------------------------------------------------------------- the challenger (D-8 to D-11)

    def _turn(self, if_: Conditions, sender: str | None, dispute: bytes, candidate: bytes) -> None:
        """Note what keeps a sender from moving in a branch; refuse at once where there is none."""
        known = self.disputes.get(dispute)
        if_(sender is not None and (known is None or known.challenger != sender), "court: not the challenger")
        if not self.exists(dispute, candidate):
            if_(True, "court: no such branch")
            if_.refuse()
        turn = self.classify(dispute, candidate)[0]
        if_(turn == CLOSED, "court: branch is closed")
        if_(turn == CHALLENGER_LATE, "court: challenger is late")
        if_(turn not in (CLOSED, CHALLENGER, CHALLENGER_LATE), "court: not the challenger's turn")

    def _under(
        self, if_: Conditions, dispute: bytes, candidate: bytes, index: int, leaf: bytes, path: list[bytes]
    ) -> int:
        """Note what is wrong with a child of the cursor; returns the levels of the list."""
        cursor, levels = self.branch(dispute, candidate).cursor, self.levels(dispute, candidate)
        if not if_(index >= 1 << levels, "court: index outside the list"):
            if_(len(path) != levels or climb(leaf, index, path) != cursor.hash, "court: not under the cursor")
        else:
            if_(len(path) != levels, "court: not under the cursor")
        return levels

    def select(
        self, sender: str, dispute: bytes, candidate: bytes, index: int, leaf: bytes, path: list[bytes]
    ) -> None:
        """D-8."""
        if_ = Conditions()
        self._turn(if_, sender, dispute, candidate)
        cursor, terms = (
            self.branch(dispute, candidate).cursor,
            self.terms(self.candidates[candidate].position),
        )
        if cursor.kind == PAGE:
            if_(True, "court: word has its own move")
            if_.refuse()
        levels = self._under(if_, dispute, candidate, index, leaf, path)
        if_(cursor.height == 0, "court: nothing below the cursor")
        ends, at = levels == cursor.height, (cursor.index << levels) + index
        if_(ends and cursor.kind in (STEPS_KIND, STATES, FOLD), "court: leaf has its own move")
        if_(ends and cursor.kind == NODES_KIND and at > terms.n_nodes, "court: no such node")
        if_.refuse()
        below = down(cursor, levels, index, leaf)
        if ends and cursor.kind == NODES_KIND:
            below = Cursor(STATES, leaf, height(terms.n_slots), 0)
            if at < terms.n_nodes:
                below = Cursor(TENSOR, leaf, terms.tensor_height, 0, at)
        if below.kind == TENSOR and below.height == 0 and below.hash != ZERO:
            below = replace(below, kind=PAGE, height=6)
        self.moved(dispute, candidate, below)
        shown = {"kind": below.kind, "hash": below.hash, "height": below.height, "index": below.index}
        self.say("Selected", dispute=dispute, candidate=candidate, **shown, node=below.node)

    def select_step(
        self,
        sender: str,
        dispute: bytes,
        candidate: bytes,
        index: int,
        leaf: bytes,
        path: list[bytes],
        before: bytes,
        before_path: list[bytes],
    ) -> bytes:
        """D-9."""
        if_ = Conditions()
        self._turn(if_, sender, dispute, candidate)
        cursor, posted = self.branch(dispute, candidate).cursor, self.candidates[candidate]
        if cursor.kind != STEPS_KIND:
            if_(True, "court: not among steps")
            if_.refuse()
        terms, levels = self.terms(posted.position), self._under(if_, dispute, candidate, index, leaf, path)
        if_(levels != cursor.height, "court: not a step yet")
        step = (cursor.index << levels) + index
        if_(not 1 <= step <= terms.steps_of(self.positions[posted.position].a), "court: no such step")
        tall = self.tree_height(posted.position)
        if step:
            wrong = not leads(before, step - 1, before_path, tall, posted.root)
            if_(wrong, "court: state before not committed")
        if_.refuse()
        self.moved(dispute, candidate)
        branch = self.branch(dispute, candidate)
        branch.demanded = self.demand(
            dispute, NODES_KIND, candidate, step, 0, first=before, last=leaf, reserve=branch.defence_reserve
        )
        return branch.demanded

    def select_word(
        self, sender: str, dispute: bytes, candidate: bytes, index: int, page: bytes, opening: bytes
    ) -> bytes:
        """D-10."""
        if_ = Conditions()
        self._turn(if_, sender, dispute, candidate)
        cursor = self.branch(dispute, candidate).cursor
        if cursor.kind != PAGE:
            if_(True, "court: not at a page")
            if_.refuse()
        terms, word = self.terms(self.candidates[candidate].position), cursor.index * 64 + index
        if_(index >= 64, "court: a page has 64 words")
        if_(sha(page) != cursor.hash, "court: page is not at the cursor")
        fold = 0, 0
        try:
            fold = fold_shape(terms.program_root, cursor.node, terms.shape, word, opening)
        except Refused as refusal:
            if_(True, *refusal.reasons)
        if_.refuse()
        self.moved(dispute, candidate)
        branch, value = self.branch(dispute, candidate), page[4 * index : 4 * index + 4].rjust(32, b"\0")
        branch.demanded = self.demand(
            dispute,
            FOLD,
            candidate,
            cursor.node,
            word,
            first=value,
            fold=fold,
            reserve=branch.defence_reserve,
        )
        return branch.demanded

    def proof_context(self, dispute: bytes, candidate: bytes) -> Context:
        """P-15.

        Raises:
            Refused: there is nothing to prove there now.
        """
        if_ = Conditions()
        self._turn(if_, None, dispute, candidate)
        cursor, posted = self.branch(dispute, candidate).cursor, self.candidates[candidate]
        position, terms = self.positions[posted.position], self.terms(posted.position)
        early = cursor.kind in (TENSOR, STATES, FOLD) and cursor.height > terms.fanout_log2
        if_(early, "court: not at a last level")
        # no leaf stands below these: the court or the verifier may say so
        among = cursor.kind in (STEPS_KIND, NODES_KIND)
        if_(among, "court: not at a last level", "verifier: cursor kind")
        if_.refuse()
        nodes = self.candidates[position.parent] if cursor.kind == FOLD else posted
        of_step = self.positions[nodes.position]
        segment = self.positions[self.candidates[of_step.parent].position].a
        folding = cursor.kind == FOLD
        return Context(
            program_root=terms.program_root,
            inputs_root=terms.inputs_root,
            seed=terms.seed,
            nodes_root=nodes.root,
            pre_state=of_step.first,
            fold_root=posted.root if folding else ZERO,
            cursor=cursor.hash,
            kind=cursor.kind,
            cursor_height=cursor.height,
            cursor_index=cursor.index,
            node=cursor.node,
            word_index=position.b if folding else 0,
            step=segment * terms.stride + of_step.a - 1,
            shape=terms.shape,
        )

    def prove(self, sender: str, dispute: bytes, candidate: bytes, index: int, witness: bytes) -> None:
        """D-11."""
        if_, known = Conditions(), self.disputes.get(dispute)
        if_(known is None or known.challenger != sender, "court: not the challenger")
        fault = False
        try:
            fault = faulty(self.proof_context(dispute, candidate), index, witness)
        except Refused as refusal:
            if_(True, *refusal.reasons)
        if_.refuse()
        if fault:
            self.fall(candidate, self.credited(self.candidates[candidate].position, dispute), feller=dispute)
        else:
            self.lose(dispute, candidate, None)
