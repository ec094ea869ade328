"""Moves of challengers that make sense: to the first difference, or to any child that there is."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from tests.stateful.calls import HONEST, HOSTILE, PEOPLE, Call
from tests.stateful.ghost_base import ZERO
from tests.stateful.ghost_records import CHALLENGER, OPEN
from tests.stateful.ghost_verifier import FOLD, NODES_KIND, PAGE, STATES, STEPS_KIND, TENSOR
from tests.stateful.material import Material
from tests.stateful.truth import Truth, UnknownError
from tests.stateful.world import World

Branch = tuple[bytes, bytes]


class SensibleMoves:
    """Each method gives a call of the function of its name, or None where there is no occasion."""

    def __init__(self, world: World, truth: Truth, random: Random) -> None:
        """Calls for a world."""
        self.world, self.truth, self.random = world, truth, random
        self.court, self.board = world.ghost.court, world.ghost.board
        self.salts: dict[bytes, tuple[bytes, int, bytes]] = {}

    @property
    def material(self) -> Material:
        """What it is all about."""
        return self.truth.material

    def some(self, found: Iterator[Call | None]) -> Call | None:
        """Any of some calls."""
        calls = [call for call in found if call is not None]
        return self.random.choice(calls) if calls else None

    def chance(self, share: float) -> bool:
        """Now and then."""
        return self.random.random() < share

    def anybody(self) -> str:
        """Any of the people: for calls that harm nobody."""
        return self.random.choice(PEOPLE)

    def branches(self, turn: int) -> list[Branch]:
        """All branches in which it is somebody's turn."""
        court = self.court
        return [
            (dispute, candidate)
            for dispute, known in court.disputes.items()
            if known.status == OPEN and self.board.is_live(known.update) and self.truth.follows(known.update)
            for position in known.demands
            for candidate in court.positions[position].candidates
            if court.classify(dispute, candidate)[0] == turn
        ]

    # ---------------------------------------------------------------- the challenger

    def move_of(self, branch: Branch, function: str | None = None) -> Call | None:
        """What the branch's challenger does next: an honest one always the first difference, others mostly.

        Args:
            function: only if it is this one.
        """
        court = self.court
        who = court.disputes[branch[0]].challenger
        cursor = court.branch(*branch).cursor
        try:
            index = self.truth.first_difference(*branch)
        except UnknownError:
            return None
        size = 64 if cursor.kind == PAGE else 1 << court.levels(*branch)
        if who not in HONEST and (index is None or self.chance(0.3)):
            index = self.some_index(branch, size)
        if index is None:
            return None
        call = self._move(branch, who, index)
        return call if call and function in (None, call.function) else None

    def some_index(self, branch: Branch, size: int) -> int:
        """Any child that may be selected, the later ones of short lists included."""
        court, position = self.court, self.court.candidates[branch[1]].position
        cursor, known = court.branch(*branch).cursor, court.positions[position]
        levels = court.levels(*branch)
        terms = court.terms(position)
        last = {
            STEPS_KIND: terms.steps_of(known.a) if known.kind == STEPS_KIND else 0,
            NODES_KIND: terms.n_nodes,
        }
        if cursor.kind in last:
            below = cursor.height - levels
            first = cursor.index << levels
            highest = (last[cursor.kind] >> below) - first
            size = max(1, min(size, highest + 1))
        if cursor.kind == PAGE:  # mostly a word that the node writes
            written = self.truth.node(cursor.node, position).extent - cursor.index * 64
            size = min(64, written) if written > 0 and self.chance(0.8) else 64
        if cursor.kind == NODES_KIND and self.chance(0.4):  # a node whose fold is bisected
            return min(self.random.choice([0, 3]) >> (cursor.height - levels), size - 1)
        lowest = int(cursor.kind in (STEPS_KIND, FOLD) and cursor.index == 0 and levels == cursor.height)
        return self.random.randrange(min(lowest, size - 1), size)

    def _move(self, branch: Branch, who: str, index: int) -> Call | None:
        court, stock = self.court, self.material.stock
        cursor, levels = court.branch(*branch).cursor, court.levels(*branch)
        if cursor.kind == PAGE:
            return self._at_page(branch, who, index)
        children = self.truth.children(*branch)
        leaf, path = children[index], tuple(self.truth.path_in_list(children, index))
        ends, last = levels == cursor.height, cursor.height <= court.terms(self._position(branch)).fanout_log2
        if cursor.kind == STEPS_KIND and ends:
            posted = court.candidates[branch[1]]
            tall, step = court.tree_height(posted.position), (cursor.index << levels) + index
            before = stock.leaf(posted.root, tall, max(0, step - 1))
            before_path = stock.path(posted.root, tall, max(0, step - 1))
            assert before is not None
            assert before_path is not None
            args = (*branch, index, leaf, path, before, tuple(before_path))
            return Call(who, "court", "select_step", args)
        if last and self._provable(branch, index, leaf):
            return self._prove(branch, who, index)
        if cursor.height == 0 or (ends and cursor.kind in (STATES, FOLD)):
            return self._prove(branch, who, index)
        return Call(who, "court", "select", (*branch, index, leaf, path))

    def _position(self, branch: Branch) -> bytes:
        return self.court.candidates[branch[1]].position

    def _provable(self, branch: Branch, index: int, leaf: bytes) -> bool:
        """Whether a last level of a tensor can be proven at: false padding, or an absent page."""
        cursor = self.court.branch(*branch).cursor
        if cursor.kind != TENSOR:
            return cursor.kind in (STATES, FOLD)
        place = (cursor.index << cursor.height) + index
        within = 64 * place < self.truth.node(cursor.node, self._position(branch)).extent
        return (leaf == ZERO) == within

    def _at_page(self, branch: Branch, who: str, index: int) -> Call | None:
        cursor = self.court.branch(*branch).cursor
        node, word = self.truth.node(cursor.node, self._position(branch)), cursor.index * 64 + index
        if word < node.extent and node.terms > node.range:
            m = self.material
            path = m.stock.path(m.program_root, m.shapes.nodes, cursor.node)
            assert path is not None
            opening = m.descriptors[cursor.node] + b"".join(path)
            return Call(who, "court", "select_word", (*branch, index, m.stock.pages[cursor.hash], opening))
        return self._prove(branch, who, index)

    def _prove(self, branch: Branch, who: str, index: int) -> Call | None:
        context = self.court.proof_context(*branch)
        if context.kind == FOLD and (context.cursor_index << context.cursor_height) + index == 0:
            return None
        try:
            stream = self.truth.witness(context, index)
        except UnknownError:
            return None
        args = (self.world.at.court, *branch, index, stream)
        return Call(who, "verifier", "prove", args)

    def _moves(self, function: str) -> Call | None:
        branches = [b for b in self.branches(CHALLENGER) if self.court.disputes[b[0]].challenger in HOSTILE]
        self.random.shuffle(branches)
        return next((call for branch in branches if (call := self.move_of(branch, function))), None)

    def select(self) -> Call | None:
        """Down by one list."""
        return self._moves("select")

    def select_step(self) -> Call | None:
        """A step."""
        return self._moves("select_step")

    def select_word(self) -> Call | None:
        """A word whose fold is long."""
        return self._moves("select_word")

    def prove(self) -> Call | None:
        """A leaf, wrong or right."""
        return self._moves("prove")
