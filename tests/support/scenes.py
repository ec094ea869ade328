"""The last leaf of a dispute, without the dispute: one step's values, its trees, and a cursor to attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from protocol.commitments.canonical import Words
from protocol.commitments.tensor import page_bytes, page_count, tensor_root, tensor_tree
from protocol.commitments.tree import ZERO, Tree, height
from protocol.numerics.accumulator import Accumulator
from protocol.program.descriptor import Source
from protocol.program.leaf import CursorKind, ProofContext
from protocol.program.witness import build
from tests.support.openers import ValuesOpener
from tests.support.programs import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A leaf ready to be judged."""

    context: ProofContext
    index: int
    opener: ValuesOpener

    def witness(self) -> bytes:
        """The honest stream."""
        return build(self.context, self.index, self.opener)


class Scene:
    """One step: descriptors and the tensors of all three sources, whatever they hold.

    Args:
        after: slots of the state after the step.
        input_height: of the trees of inputs; left out, another one than that of the other tensors.
    """

    def __init__(
        self,
        *,
        descriptors: Sequence[bytes],
        nodes: Sequence[Words],
        state: Sequence[Words],
        inputs: Sequence[Words],
        after: Sequence[Words],
        tensor_height: int,
        input_height: int | None = None,
        range_log2: int = 1,
        seed: bytes = bytes(range(32)),
        n_rows: int = 7,
        batch: int = 2,
        step: int = 0,
    ) -> None:
        self.descriptors, self.tensor_height = list(descriptors), tensor_height
        self.input_height = tensor_height + 1 if input_height is None else input_height
        self.nodes, self.inputs = list(nodes), list(inputs)
        self._sources = {Source.NODE: self.nodes, Source.STATE: list(state), Source.INPUT: self.inputs}
        roots = {
            source: [tensor_root(words, self.height_of(source)) for words in tensors]
            for source, tensors in self._sources.items()
        }
        self.after_tree = Tree([tensor_root(words, tensor_height) for words in after], height(len(after)))
        roots[Source.NODE].append(self.after_tree.root)
        self.trees = {source: Tree(leaves, height(len(leaves))) for source, leaves in roots.items()}
        n_nodes = len(self.descriptors)
        self.program_tree = Tree([sha256(d).digest() for d in self.descriptors], height(n_nodes + 1))
        self.base = ProofContext(
            program_root=self.program_tree.root,
            inputs_root=self.trees[Source.INPUT].root,
            seed=seed,
            nodes_root=self.trees[Source.NODE].root,
            pre_state=self.trees[Source.STATE].root,
            fold_root=ZERO,
            cursor=ZERO,
            kind=0,
            cursor_height=0,
            cursor_index=0,
            node=0,
            word_index=0,
            step=step,
            n_nodes=n_nodes,
            n_slots=len(state),
            n_inputs=len(inputs),
            n_rows=n_rows,
            batch=batch,
            tensor_height=tensor_height,
            input_height=self.input_height,
            range_log2=range_log2,
        )

    @classmethod
    def of(cls, example: Example, steps: int = 0) -> Scene:
        """The honest step after `steps` honest ones."""
        interpreter = example.interpreter()
        before = list(example.state)
        for step in range(steps):
            before = interpreter.run_step(before, step)[1]
        nodes, after = interpreter.run_step(before, steps)
        return cls(
            descriptors=[node.encode() for node in example.program.nodes],
            nodes=nodes,
            state=before,
            inputs=example.inputs,
            after=after,
            tensor_height=interpreter.tensor_height,
            input_height=interpreter.input_height + 1,
            range_log2=example.range_log2,
            seed=example.seed,
            n_rows=example.n_rows,
            batch=example.batch,
            step=steps,
        )

    def height_of(self, source: Source) -> int:
        """Of the page trees of a source."""
        return self.input_height if source == Source.INPUT else self.tensor_height

    def tensor(self, source: Source, source_id: int) -> Words:
        """The words of one tensor."""
        return self._sources[source][source_id]

    def tensors(self, source: Source) -> list[Words]:
        """All tensors of a source."""
        return list(self._sources[source])

    def _challenge(
        self,
        context: ProofContext,
        index: int,
        *,
        tree: Tree | None = None,
        page: bytes | None = None,
        accumulators: Sequence[Accumulator] = (),
        fold_tree: Tree | None = None,
    ) -> Challenge:
        below = (context.cursor_index << context.cursor_height) + index

        def committed_leaf(index: int) -> tuple[bytes, Sequence[bytes]]:
            del index
            assert tree is not None
            return tree.node(0, below), tree.path_between(0, below, context.cursor_height)

        opener = ValuesOpener(
            descriptors=self.descriptors,
            program_tree=self.program_tree,
            source_trees=self.trees,
            tensor=self.tensor,
            height_of=self.height_of,
            committed_leaf=committed_leaf,
            committed_page=page,
            accumulators=accumulators,
            fold_tree=fold_tree,
        )
        return Challenge(context=context, index=index, opener=opener)

    def word(self, node: int, word: int, *, committed: int | None = None) -> Challenge:
        """The page of an output word; `committed` is written in its place first."""
        page_number, place = divmod(word, 64)
        words = self.nodes[node]
        page = bytearray(
            page_bytes(words, page_number) if page_number < page_count(words.size) else bytes(256)
        )
        if committed is not None:
            page[4 * place : 4 * place + 4] = committed.to_bytes(4, "big")
        context = replace(
            self.base,
            node=node,
            kind=CursorKind.PAGE,
            cursor=sha256(page).digest(),
            cursor_height=6,
            cursor_index=page_number,
        )
        return self._challenge(context, place, page=bytes(page))

    def _at(self, tree: Tree, leaf: int, up: int, **fields: object) -> ProofContext:
        up = min(up, tree.height)
        cursor = {"cursor": tree.node(up, leaf >> up), "cursor_height": up, "cursor_index": leaf >> up}
        return replace(self.base, **{**cursor, **fields})  # type: ignore[arg-type]

    def zero_page(self, node: int, page: int, *, committed: bytes | None = None, up: int = 1) -> Challenge:
        """Page `page` of a node's tensor with the leaf hash `committed`, the cursor `up` levels above it."""
        honest = tensor_tree(self.nodes[node], self.tensor_height)
        leaves = [honest.node(0, i) for i in range(1 << self.tensor_height)]
        leaves[page] = leaves[page] if committed is None else committed
        tree = Tree(leaves, self.tensor_height)
        context = self._at(tree, page, up, kind=CursorKind.TENSOR, node=node)
        return self._challenge(context, page - (context.cursor_index << context.cursor_height), tree=tree)

    def slot(self, slot: int, *, committed: bytes | None = None, up: int = 1) -> Challenge:
        """Slot `slot` of the state after the step, with the root `committed`."""
        leaves = [self.after_tree.node(0, i) for i in range(1 << self.after_tree.height)]
        leaves[slot] = leaves[slot] if committed is None else committed
        tree = Tree(leaves, self.after_tree.height)
        context = self._at(tree, slot, up, kind=CursorKind.STATE, node=self.base.n_nodes)
        return self._challenge(context, slot - (context.cursor_index << context.cursor_height), tree=tree)

    def range(
        self,
        node: int,
        word: int,
        number: int,
        accumulators: Sequence[Accumulator],
        *,
        committed: bytes | None = None,
        up: int = 1,
    ) -> Challenge:
        """Range `number` of a word's fold, committed as these accumulators but for the hash `committed`."""
        leaves = [sha256(total.to_bytes()).digest() for total in accumulators]
        leaves[number] = leaves[number] if committed is None else committed
        tree = Tree(leaves, height(len(leaves)))
        context = self._at(
            tree, number, up, kind=CursorKind.FOLD, node=node, word_index=word, fold_root=tree.root
        )
        return self._challenge(
            context,
            number - (context.cursor_index << context.cursor_height),
            tree=tree,
            accumulators=accumulators,
            fold_tree=tree,
        )
