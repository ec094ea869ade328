"""Calls that make sense, of the court and the verifier: for each function one that somebody makes now."""

from __future__ import annotations

from typing import Final

from tests.stateful.calls import HONEST, HOSTILE, Call
from tests.stateful.ghost_base import digest
from tests.stateful.ghost_records import (
    CHALLENGER_LATE,
    DEFENDER,
    DEFENDER_LATE,
    OPEN,
    PAGE_LEVELS,
    Reservation,
)
from tests.stateful.ghost_verifier import FOLD, NODES_KIND, PAGE, STEPS_KIND
from tests.stateful.sensible_moves import Branch, SensibleMoves

MOST_DISPUTES: Final = 5
"""Of the hostile at a time: with more of them none comes to its end."""


class SensibleCourt(SensibleMoves):
    """Each method gives a call of the function of its name, or None where there is no occasion."""

    # ---------------------------------------------------------------- opening

    def targets(self) -> list[bytes]:
        """Updates that can still be disputed."""
        updates = self.board.updates.items()
        live = [u for u, known in updates if self.board.is_live(u) and self.world.now <= known.deadline]
        return [update for update in live if self.truth.follows(update)]

    def reserve(self) -> Call | None:
        """A hostile challenger reserves against anything."""
        targets, court = self.targets(), self.court
        busy = sum(known.status == OPEN and known.challenger in HOSTILE for known in court.disputes.values())
        busy += sum(not known.opened for known in court.reserved.values())
        if not targets or busy >= MOST_DISPUTES:
            return None
        update, who = self.random.choice(targets), self.random.choice(HOSTILE)
        known = self.board.updates[update]
        segment = known.first_segment + self.random.randrange(len(known.states))
        return self.reserve_of(update, segment, who)

    def reserve_of(self, update: bytes, segment: int, who: str) -> Call:
        """A reservation, whose secret is kept for the opening."""
        salt = digest(len(self.salts))
        dispute = digest(update, segment, who, salt)
        self.salts[dispute] = update, segment, salt
        return Call(who, "court", "reserve", (self.board.updates[update].job, dispute))

    def cancel_reservation(self) -> Call | None:
        """What was not opened; mostly what no longer can be."""
        return self.some(
            Call(who, "court", "cancel_reservation", (dispute,))
            for (who, dispute), known in self.court.reserved.items()
            if not known.opened and who in HOSTILE and (self._stale(known) or self.chance(0.1))
        )

    def _stale(self, known: Reservation) -> bool:
        return self.world.now > known.time + self.board.jobs[known.job].terms.opening

    def open(self) -> Call | None:
        """What was reserved, or directly."""
        if self.chance(0.1):
            call = self.reserve()
            if call is not None:
                return self.open_of(call.sender, call.args[1])
        return self.some(
            self.open_of(who, dispute)
            for (who, dispute), known in self.court.reserved.items()
            if not known.opened
            and who in HOSTILE
            and not self._stale(known)
            and dispute in self.salts
            and self.board.is_live(self.salts[dispute][0])
        )

    def open_of(self, who: str, dispute: bytes) -> Call:
        """The opening of a digest whose secret is known here."""
        update, segment, salt = self.salts[dispute]
        known = self.board.updates[update]
        place = segment - known.first_segment
        states = [known.start, *known.states]
        paths = [tuple(self.board.history_path(known, place + i)) for i in (0, 1)]
        args = (update, segment, salt, states[place], paths[0], states[place + 1], paths[1])
        return Call(who, "court", "open", args)

    def delegate(self) -> Call | None:
        """The hostile delegate to each other, and stop it."""
        who, to = self.random.choice(HOSTILE), self.random.choice(HOSTILE)
        return Call(who, "court", "delegate", (to, self.chance(0.7)))

    # ---------------------------------------------------------------- the defence

    def commit(self) -> Call | None:
        """A candidate of any kind, by anybody hostile; a position that can still take one."""
        court, found = self.court, list[bytes]()
        for position, known in court.positions.items():
            live = self.board.is_live(known.update) and not court.fallen_above(position)
            live = live and self.truth.follows(known.update)
            if live and self.world.now <= known.ends_at and len(known.candidates) < 5:
                found.append(position)
        if not found:
            return None
        position = self.random.choice(found)
        trainer = self.board.updates[court.positions[position].update].trainer
        who = self.random.choice([trainer, *HOSTILE])
        if who in HONEST:
            who = self.random.choice(HOSTILE)
        for _ in range(4):
            root = self.some_root(position)
            there = court.candidates.get(digest(position, root))
            if there is None or (there.bonded and not there.fallen):
                return self.commit_of(position, root, who)
        return None

    def some_root(self, position: bytes) -> bytes:
        """The root of a tree that fits the ends of a position: the right one, or one of many others."""
        known, court, m = self.court.positions[position], self.court, self.material
        step, pick = self.truth.step_of(position), self.random
        if known.kind == FOLD:
            right = m.fold(step, known.a, known.b)
            totals = (
                right
                if self.truth.is_right(position) and self.chance(0.4)
                else self.truth.lying_fold(pick, position)
            )
            return m.commit_fold(totals)
        if self.truth.is_right(position) and self.chance(0.4):
            return self.truth.right_root(position)
        count = self.board.terms_of(known.update).steps_of(known.a) if known.kind == STEPS_KIND else 1
        trace = pick.randrange(len(m.traces))
        fitting = [
            number
            for number, states in enumerate(m.states)
            if (states[step], states[step + count]) == (known.first, known.last)
        ]
        if fitting and self.chance(0.7):  # a liar who sticks to its story
            trace = pick.choice(fitting)
        if known.kind == STEPS_KIND:
            inner = [m.states[trace][step + j] for j in range(1, count)]
            if self.chance(0.2):
                inner = [m.some_state(pick, step + j) for j in range(1, count)]
            leaves = [known.first, *inner, known.last]
        else:
            outputs = list(m.nodes[trace][step])
            if self.chance(0.2):
                outputs = [m.some_node(pick, step, k) for k in range(len(outputs))]
            leaves = [*outputs, known.last]
        return m.stock.tree(leaves, court.tree_height(position))

    def commit_of(self, position: bytes, root: bytes, who: str) -> Call:
        """The call that posts a root of the stock."""
        court, stock, known = self.court, self.material.stock, self.court.positions[position]
        terms, tall = court.terms(position), court.tree_height(position)
        levels = terms.levels(tall)
        children = stock.children(root, levels)
        end = {STEPS_KIND: terms.steps_of(known.a), NODES_KIND: terms.n_nodes, FOLD: known.fold[1]}[
            known.kind
        ]
        first, last = stock.path(root, tall, 0), stock.path(root, tall, end)
        assert children is not None
        assert first is not None
        assert last is not None
        first = [] if known.kind == NODES_KIND else first[: tall - levels]
        total = b""
        if known.kind == FOLD:
            leaf = stock.leaf(root, tall, end)
            assert leaf is not None
            total = stock.accumulators[leaf]
        lists = tuple(children), tuple(first), tuple(last[: tall - levels])
        return Call(who, "court", "commit", (position, *lists, total))

    def reveal(self) -> Call | None:
        """What some branch waits for, or something of no use."""
        if self.chance(0.05):
            children = tuple(self.random.randbytes(32) for _ in range(self.random.choice([2, 4, 8])))
            return Call(self.random.choice(HOSTILE), "court", "reveal", (children,))
        return self.some(
            self.reveal_of(branch, self.anybody(), pages=False) for branch in self.branches(DEFENDER)
        )

    def reveal_page(self) -> Call | None:
        """The page that some branch waits for, or one of no use."""
        if self.chance(0.05):
            return Call(self.random.choice(HOSTILE), "court", "reveal_page", (self.random.randbytes(256),))
        return self.some(
            self.reveal_of(branch, self.anybody(), pages=True) for branch in self.branches(DEFENDER)
        )

    def reveal_of(self, branch: Branch, who: str, *, pages: bool | None = None) -> Call | None:
        """What a branch's cursor hides, if it can be opened."""
        cursor, stock = self.court.branch(*branch).cursor, self.material.stock
        if cursor.kind == PAGE:
            page = stock.pages.get(cursor.hash)
            known = page is None or (cursor.hash, PAGE_LEVELS) in self.court.revealed
            return None if known or pages is False else Call(who, "court", "reveal_page", (page,))
        levels = self.court.levels(*branch)
        children = stock.children(cursor.hash, levels)
        if children is None or pages or (cursor.hash, levels) in self.court.revealed:
            return None
        return Call(who, "court", "reveal", (tuple(children),))

    # ---------------------------------------------------------------- ends

    def silence(self) -> Call | None:
        """Where the defence is late."""
        branches = self.branches(DEFENDER_LATE)
        return self.some(Call(self.anybody(), "court", "silence", branch) for branch in branches)

    def timeout(self) -> Call | None:
        """Where the challenger is late."""
        branches = self.branches(CHALLENGER_LATE)
        return self.some(Call(self.anybody(), "court", "timeout", branch) for branch in branches)

    def settle(self) -> Call | None:
        """Where a posting period ended with nothing standing."""
        court = self.court
        return self.some(
            Call(self.anybody(), "court", "settle", (position,))
            for position, known in court.positions.items()
            if court.ended_empty(position)
            and not court.fallen_above(position)
            and self.board.is_live(known.update)
            and not self.board.is_final(known.update)
        )

    def close(self) -> Call | None:
        """Disputes of what is gone."""
        return self.some(
            Call(self.anybody(), "court", "close", (dispute,))
            for dispute, known in self.court.disputes.items()
            if known.status == OPEN and not self.board.is_live(known.update)
        )

    def free(self) -> Call | None:
        """Defence bonds that are no longer needed."""
        court, board = self.court, self.board
        return self.some(
            Call(self.anybody(), "court", "free", (candidate,))
            for candidate, known in court.candidates.items()
            if known.bonded
            and (
                not board.is_live(court.positions[known.position].update)
                or board.is_final(court.positions[known.position].update)
                or court.fallen_above(known.position)
            )
        )
