"""What is right at every place of a dispute, and how anything there is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from random import Random
from typing import Final

from protocol.errors import GavelError
from protocol.numerics.accumulator import Accumulator
from protocol.program import witness
from protocol.program.descriptor import Source
from protocol.program.leaf import ProofContext
from tests.stateful import ghost_words as w
from tests.stateful.ghost_base import ZERO, Logged, height, sha
from tests.stateful.ghost_court import GhostCourt
from tests.stateful.ghost_program import Node
from tests.stateful.ghost_records import Position
from tests.stateful.ghost_terms import AMOUNTS
from tests.stateful.ghost_verifier import FOLD, NODES_KIND, PAGE, STATES, STEPS_KIND, TENSOR, Context
from tests.stateful.material import STRIDE, Material

DEAREST: Final = 10**12
"""Tokens; more nobody locks for one thing."""


class UnknownError(Exception):
    """Nobody can open this: it was committed without anything beneath it."""


class Truth:
    """Right values for the positions of one court."""

    def __init__(self, material: Material, court: GhostCourt) -> None:
        """Positions come from the court's ghost; values from the material."""
        self.material, self.court = material, court
        self.stock = material.stock
        self._roots: dict[bytes, bytes] = {}
        self._sound: dict[bytes, bool] = {}

    def learn(self, log: list[Logged]) -> None:
        """Keep what was revealed: it need not come from here."""
        for event in log:
            if event.name == "Revealed":
                self.stock.tree(event.args["children"], event.args["levels"])
            elif event.name == "PageRevealed":
                self.stock.pages[event.args["hash"]] = event.args["page"]

    # ---------------------------------------------------------------- updates

    def sound(self, job: bytes) -> bool:
        """Whether a job is about the material and affordable: the honest follow no other (A-1)."""
        if job not in self._sound:
            m, terms = self.material, self.court.board.jobs[job].terms
            shape = (
                terms.n_nodes,
                terms.n_slots,
                terms.n_inputs,
                terms.n_rows,
                terms.batch,
                terms.tensor_height,
                terms.input_height,
                terms.range_log2,
                terms.steps,
                terms.stride,
            )
            roots = terms.program_root, terms.inputs_root, terms.genesis, terms.seed
            mine = m.program_root, m.inputs_root, m.right(0), m.example.seed
            dear = max(getattr(terms, name) for name in AMOUNTS) > DEAREST
            self._sound[job] = (shape, roots) == (m.numbers, mine) and not dear
        return self._sound[job]

    def follows(self, update: bytes) -> bool:
        """Whether an update is one of a sound job."""
        return self.sound(self.court.board.updates[update].job)

    def wrong_segment(self, update: bytes) -> int | None:
        """The first segment that an update posts a wrong end of, None for a right one on a right state."""
        known = self.court.board.updates[update]
        if known.start != self.material.right(known.first_segment * STRIDE):
            return known.first_segment
        ends = self.material.ends(0, range(known.first_segment, known.first_segment + len(known.states)))
        for place, (posted, right) in enumerate(zip(known.states, ends, strict=True)):
            if posted != right:
                return known.first_segment + place
        return None

    def right_chain(self, job: bytes) -> bool:
        """Whether a job is sound and all its live updates are right."""
        return self.sound(job) and all(
            self.wrong_segment(update) is None for update in self.court.board.jobs[job].chain
        )

    # ---------------------------------------------------------------- positions

    def step_of(self, position: bytes) -> int:
        """The absolute step of a NODES or FOLD position; of a STEPS position its first."""
        known, court = self.court.positions[position], self.court
        if known.kind == STEPS_KIND:
            return known.a * STRIDE
        above = court.candidates[known.parent].position
        if known.kind == FOLD:
            return self.step_of(above)
        return court.positions[above].a * STRIDE + known.a - 1

    def right_leaves(self, known: Position, step: int) -> list[bytes]:
        """The leaves that a right candidate has, from a right first state or word on."""
        m = self.material
        if known.kind == STEPS_KIND:
            return [
                m.right(step + j)
                for j in range(self.court.board.terms_of(known.update).steps_of(known.a) + 1)
            ]
        if known.kind == NODES_KIND:
            return [*m.right_nodes(step), m.right(step + 1)]
        return [sha(total) for total in m.fold(step, known.a, known.b)]

    def right_root(self, position: bytes) -> bytes:
        """The root of the right tree at a position; its leaves are in the stock."""
        if position not in self._roots:
            known, step = self.court.positions[position], self.step_of(position)
            if known.kind == FOLD:
                root = self.material.commit_fold(self.material.fold(step, known.a, known.b))
            else:
                root = self.stock.tree(self.right_leaves(known, step), self.court.tree_height(position))
            self._roots[position] = root
        return self._roots[position]

    def is_right(self, position: bytes) -> bool:
        """Whether what is demanded has a right answer: its ends are right, and it hangs under right roots."""
        known, court = self.court.positions[position], self.court
        leaves = self.right_leaves(known, self.step_of(position))
        if known.kind != STEPS_KIND:
            above = court.candidates[known.parent]
            return self.is_right(above.position) and above.root == self.right_root(above.position)
        return known.first == leaves[0] and known.last == leaves[-1]

    def right_from(self, position: bytes) -> bool:
        """Whether an honest challenger can have demanded this: what it starts from is right."""
        known = self.court.positions[position]
        if known.kind == FOLD:
            return self.right_from(self.court.candidates[known.parent].position)
        return known.first == self.material.right(self.step_of(position))

    def right_subtree(self, dispute: bytes, candidate: bytes) -> bytes:
        """What stands, in the right trees, where a branch's cursor is."""
        position = self.court.candidates[candidate].position
        cursor, step = self.court.branch(dispute, candidate).cursor, self.step_of(position)
        if cursor.kind in (TENSOR, PAGE):
            root, tall = self.material.right_nodes(step)[cursor.node], self.material.shapes.tensor
        elif cursor.kind == STATES:
            root, tall = self.material.right(step + 1), self.material.shapes.state
        else:
            root, tall = self.right_root(position), self.court.tree_height(position)
        level = 0 if cursor.kind == PAGE else cursor.height
        found = self.stock.leaf(root, tall - level, cursor.index)
        assert found is not None, "right trees are in the stock"
        return found

    # ---------------------------------------------------------------- choosing and opening

    def children(self, dispute: bytes, candidate: bytes) -> list[bytes]:
        """The list below a branch's cursor. Raises UnknownError."""
        levels = self.court.levels(dispute, candidate)
        found = self.stock.children(self.court.branch(dispute, candidate).cursor.hash, levels)
        if found is None:
            raise UnknownError
        return found

    def page(self, node: bytes) -> bytes:
        """The 256 bytes of a page, zeros for an absent one. Raises UnknownError."""
        if node == ZERO:
            return bytes(256)
        if node not in self.stock.pages:
            raise UnknownError
        return self.stock.pages[node]

    def first_difference(self, dispute: bytes, candidate: bytes) -> int | None:
        """The first child, or word of a page, that is not right; None where all are."""
        cursor, own = self.court.branch(dispute, candidate).cursor, self.right_subtree(dispute, candidate)
        if cursor.kind == PAGE:
            theirs, right = self.page(cursor.hash), self.page(own)
            return next((i for i in range(64) if theirs[4 * i : 4 * i + 4] != right[4 * i : 4 * i + 4]), None)
        shown = self.children(dispute, candidate)
        mine = self.stock.children(own, self.court.levels(dispute, candidate))
        assert mine is not None, "right trees are in the stock"
        return next((i for i, (a, b) in enumerate(zip(shown, mine, strict=True)) if a != b), None)

    def node(self, number: int, position: bytes) -> Node:
        """A descriptor of the program."""
        return Node(self.material.descriptors[number], self.court.terms(position).shape)

    def witness(self, context: Context, index: int) -> bytes:
        """A stream that opens a leaf honestly. Raises UnknownError where nobody can."""
        try:
            return witness.build(_context(context), index, Opener(self.material, context))
        except GavelError:
            raise UnknownError from None

    def path_in_list(self, children: Sequence[bytes], index: int) -> list[bytes]:
        """The siblings of a child of a list."""
        levels = (len(children) - 1).bit_length()
        found = self.stock.path(self.stock.tree(children, levels), levels, index)
        assert found is not None
        return found

    def lying_fold(self, random: Random, position: bytes) -> list[bytes]:
        """Accumulators that end at the word demanded, false from some range on."""
        known = self.court.positions[position]
        fold, ranges = known.fold
        word = int.from_bytes(known.first, "big")
        value = w.read(word)
        if fold == 1:
            exact = 0 if isinstance(value, str) else int(value * (1 << w.UNIT))
            flags = {"nan": w.SEEN_NAN, "+inf": w.SEEN_PLUS, "-inf": w.SEEN_MINUS}.get(str(value), 0)
            last = w.pack(flags, exact)
        else:
            last = w.pack(w.SEEN, (random.randrange(3) << 32 | word) if fold == 2 else word << 32)
        right = self.material.fold(self.step_of(position), known.a, known.b)
        cut = random.randint(1, ranges)
        return [*right[:cut], *[last] * (ranges + 1 - cut)]


class Opener:
    """Opens everything under the roots of a context, from the stock (`protocol.program.witness.Opener`)."""

    def __init__(self, material: Material, context: Context) -> None:
        """An opener for one proof."""
        self._m, self._c = material, context

    def _known(self, found: bytes | None) -> bytes:
        if found is None:
            raise UnknownError
        return found

    def _tree(self, source: Source) -> tuple[bytes, int]:
        shapes, context = self._m.shapes, self._c
        return {
            Source.NODE: (context.nodes_root, shapes.nodes),
            Source.STATE: (context.pre_state, shapes.state),
            Source.INPUT: (context.inputs_root, shapes.inputs),
        }[source]

    def _path(self, root: bytes, levels: int, index: int) -> list[bytes]:
        found = self._m.stock.path(root, levels, index)
        if found is None:
            raise UnknownError
        return found

    def descriptor(self, node: int, /) -> tuple[bytes, Sequence[bytes]]:
        """See `witness.Opener`."""
        return self._m.descriptors[node], self._path(self._c.program_root, self._m.shapes.nodes, node)

    def tensor_root(self, source: Source, source_id: int, /) -> bytes:
        """See `witness.Opener`."""
        return self._known(self._m.stock.leaf(*self._tree(source), source_id))

    def source_path(self, source: Source, source_id: int, /) -> Sequence[bytes]:
        """See `witness.Opener`."""
        return self._path(*self._tree(source), source_id)

    def page(self, source: Source, source_id: int, page: int, /) -> tuple[bytes | None, Sequence[bytes]]:
        """See `witness.Opener`."""
        levels = self._m.shapes.inputs_tensor if source == Source.INPUT else self._m.shapes.tensor
        root = self.tensor_root(source, source_id)
        leaf = self._known(self._m.stock.leaf(root, levels, page))
        content = None if leaf == ZERO else self._known(self._m.stock.pages.get(leaf))
        return content, self._path(root, levels, page)

    def committed_leaf(self, index: int, /) -> tuple[bytes, Sequence[bytes]]:
        """See `witness.Opener`."""
        levels = self._c.cursor_height
        leaf = self._known(self._m.stock.leaf(self._c.cursor, levels, index))
        return leaf, self._path(self._c.cursor, levels, index)

    def committed_page(self) -> bytes:
        """See `witness.Opener`."""
        return self._known(self._m.stock.pages.get(self._c.cursor))

    def accumulator(self, number: int, /) -> tuple[Accumulator, Sequence[bytes]]:
        """See `witness.Opener`."""
        levels = height(self.ranges() + 1)
        leaf = self._known(self._m.stock.leaf(self._c.fold_root, levels, number))
        total = self._known(self._m.stock.accumulators.get(leaf))
        return Accumulator.from_bytes(total), self._path(self._c.fold_root, levels, number)

    def ranges(self) -> int:
        """R of the node in dispute."""
        return Node(self._m.descriptors[self._c.node], self._c.shape).ranges


def _context(context: Context) -> ProofContext:
    plain = {f.name: getattr(context, f.name) for f in fields(context) if f.name != "shape"}
    return ProofContext(**plain, **{f.name: getattr(context.shape, f.name) for f in fields(context.shape)})
