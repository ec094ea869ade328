"""One dispute from its (direct) opening to the fall of the update, on the contracts as deployed, on py-evm.

The trees are as high as a job's geometry says, whatever their number of leaves: all hashes but those that
somebody opens are made up. The disputed word is a sum of products of a node and a slot; the proof recomputes
one range of it, or all of it where it is short.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

import numpy as np

from benchmarks.sparse_tree import SparseTree
from protocol.commitments.tree import ZERO, Tree, height
from protocol.game.ids import Kind, candidate_id, dispute_id, position_id
from protocol.job import Geometry, Job, load_preset
from protocol.numerics.accumulator import EMPTY, Accumulator, exact_word
from protocol.numerics.opcodes import Fold, Op
from protocol.program.address import flat_address, n_ranges, range_length
from protocol.program.descriptor import Leaf, Node, Source
from tests.support.evm import Handle
from tests.support.gas_evm import GasEvm

SCHEDULED_GAS: Final = 10_000_000
GOVERNOR: Final = GasEvm.account(9)
RICH: Final = 10**25
PRESET: Final = load_preset("full")
INTRINSIC: Final = 21_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One transaction.

    Attributes:
        name: of the function.
        zeros, others: bytes of calldata that are 0, and that are not.
        execution: gas of the code, less what it is given back; without 21,000 and calldata.
        charged: what a receipt says (Prague: with the floor price of calldata).
    """

    name: str
    zeros: int
    others: int
    execution: int
    charged: int

    def at(self, price: int) -> int:
        """Gas at so much for a byte of calldata, a quarter of it for a zero byte."""
        return INTRINSIC + self.execution + price * self.others + price // 4 * self.zeros

    @property
    def at_prague(self) -> int:
        """Gas as Prague charges it: calldata at 16, and never less than calldata alone at 40."""
        return max(self.at(16), INTRINSIC + 40 * self.others + 10 * self.zeros)


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """The disputed word: one of `rows` x `columns` sums of `terms` products.

    Attributes:
        strided: whether both operands are walked across their rows, which opens a page for each term.
    """

    rows: int
    columns: int
    terms: int
    strided: bool

    @property
    def node(self) -> Node:
        """Its node: node 0 times slot 0."""
        m, n, k = self.rows, self.columns, self.terms
        strides = [(1, 0, m), (0, 1, n)] if self.strided else [(k, 0, 1), (0, k, 1)]
        sizes = (m * k, n * k)
        leaves = [
            Leaf(source=source, offsets=(0,), sizes=(size,), divisors=(1,), strides=(row,))
            for source, size, row in zip((Source.NODE, Source.STATE), sizes, strides, strict=True)
        ]
        code = bytes([Op.LEAF0, Op.LEAF1, Op.MUL])
        return Node(fold=Fold.SUM, out=(m, n), reduce=(k,), code=code, leaves=tuple(leaves))

    @property
    def place(self) -> tuple[int, int]:
        """Row and column of the word: in the middle."""
        return self.rows // 2, self.columns // 2


def play(geometry: Geometry, word: Word) -> list[Sent]:
    """Play the dispute about a word of the last node of a step in the middle of the first segment.

    Args:
        geometry: of the job; one segment of `stride` steps.
        word: fits the geometry's tensors.

    Returns:
        Its transactions, in order.
    """
    return _Play(replace(geometry, steps=geometry.stride), word).run()


class _Play:
    """The parties' contracts, trees and moves."""

    def __init__(self, geometry: Geometry, word: Word) -> None:
        self.geometry, self.word, self.sent = geometry, word, list[Sent]()
        self.evm = GasEvm()
        self.requester, self.trainer, self.watcher = (self.evm.account(i) for i in (1, 2, 3))
        self.token = self.evm.deploy("BondToken", RICH * 10)
        self.board = self.evm.deploy("JobBoard", self.token.address, SCHEDULED_GAS)
        self.verifier = self.evm.deploy_judge("StepVerifier")
        self.court = self.evm.deploy("Court", self.board.address, self.verifier.address)
        self.availability = self.evm.deploy("Availability", self.board.address)
        self.board.call("bind", self.court.address, self.availability.address, GOVERNOR)
        for who in (self.requester, self.trainer, self.watcher):
            self.token.call("transfer", who, RICH)
            self.token.call("approve", self.board.address, 2**255, sender=who)
        self._grow()

    def _grow(self) -> None:
        """The trees of what is opened."""
        g, word, node = self.geometry, self.word, self.word.node
        m, n = word.place
        lists = g.fanout_log2
        self.number, self.ranges = g.n_nodes - 1, n_ranges(node, g.range_log2)
        self.length = range_length(node, g.range_log2)
        self.bisected = node.terms > self.length
        self.range = self.ranges // 2 + 1 if self.bisected else 1
        first = (self.range - 1) * self.length
        self.flats = [
            [flat_address(leaf, (m, n, r), 0) or 0 for leaf in node.leaves]
            for r in range(first, min(first + self.length, node.terms))
        ]
        pages: list[dict[int, bytes]] = [
            {flats[i] // 64: _page(i, flats[i] // 64) for flats in self.flats} for i in (0, 1)
        ]
        self.pages = pages
        self.operands = [
            SparseTree(
                {number: sha256(page).digest() for number, page in opened.items()},
                g.tensor_height,
                f"operand {i}",
            )
            for i, opened in enumerate(pages)
        ]
        self.index = m * word.columns + n
        self.total = Accumulator(*exact_word(0x3F800000))
        committed = bytearray(_page(2, self.index // 64))
        place = 4 * (self.index % 64)
        committed[place : place + 4] = self.total.finish(Fold.SUM).to_bytes(4)
        self.committed = bytes(committed)
        tensor = {self.index // 64: sha256(self.committed).digest()}
        self.tensor = SparseTree(tensor, g.tensor_height, "tensor", lists)
        self.before = SparseTree({0: self.operands[1].root}, g.state_height, "state")
        self.step = g.stride // 2 + 1
        genesis = self.before.root if self.step == 1 else sha256(b"genesis").digest()
        steps = {0: genesis, self.step: sha256(b"after").digest(), g.stride: sha256(b"last").digest()}
        steps[self.step - 1] = self.before.root
        self.steps = SparseTree(steps, g.steps_height, "steps", lists)
        nodes = {0: self.operands[0].root, self.number: self.tensor.root, g.n_nodes: steps[self.step]}
        self.nodes = SparseTree(nodes, g.nodes_height, "nodes", lists)
        program = {self.number: sha256(node.encode()).digest()}
        self.program = SparseTree(program, g.nodes_height, "program")
        ends = {0: EMPTY, self.ranges: self.total}
        sums = {**ends, self.range - 1: ends.get(self.range - 1, Accumulator(*exact_word(0x40000000)))}
        self.sums = sums
        hashes = {i: sha256(total.to_bytes()).digest() for i, total in sums.items()}
        self.fold = SparseTree(hashes, height(self.ranges + 1), "fold", lists)
        self.history = Tree([genesis, steps[g.stride]], g.history_height)

    # ---------------------------------------------------------------- moves

    def run(self) -> list[Sent]:
        update = self._posted()
        salt = bytes(32)
        challenger = bytes.fromhex(self.watcher[2:])
        self.dispute = dispute_id(update=update, segment=0, challenger=challenger, salt=salt)
        ends = [(self.history.node(0, i), self.history.path(i)) for i in (0, 1)]
        self._send("open", update, 0, salt, *ends[0], *ends[1], sender=self.watcher)
        position = position_id(update, Kind.STEPS, 0)
        candidate = self._commit(position, self.steps, last=self.geometry.stride, first=True)
        self._select_step(candidate)
        position = position_id(candidate, Kind.NODES, self.step)
        candidate = self._commit(position, self.nodes, last=self.geometry.n_nodes, first=False)
        self._down(candidate, self.nodes, self.number, revealed=True)
        self._down(candidate, self.tensor, self.index // 64, revealed=False)
        self._send("reveal_page", self.committed, sender=self.trainer)
        opening = self.word.node.encode() + b"".join(self.program.path(self.number))
        if self.bisected:
            page = [self.index % 64, self.committed, opening]
            self._send("select_word", self.dispute, candidate, *page, sender=self.watcher)
            position = position_id(candidate, Kind.FOLD, self.number, self.index)
            total = self.total.to_bytes()
            candidate = self._commit(position, self.fold, last=self.ranges, first=True, accumulator=total)
            left = self._down(candidate, self.fold, self.range, revealed=True, stop=True)
            self._prove(candidate, self.range & (1 << left) - 1, opening + self._before(left) + self._terms())
        else:
            self._prove(candidate, self.index % 64, opening + self.committed + self._terms())
        self.evm.timestamp += 20 * 86_400
        self._send("settle", position, sender=self.watcher)
        assert self.board.call("update_status", update) == "fallen"
        return self.sent

    def _posted(self) -> bytes:
        terms = Job(
            chain_id=1,
            board=bytes.fromhex(self.board.address[2:]),
            requester=bytes.fromhex(self.requester[2:]),
            salt=bytes(32),
            manifest=ZERO,
            program_root=self.program.root,
            inputs_root=sha256(b"inputs").digest(),
            genesis=self.history.node(0, 0),
            seed=bytes(32),
            geometry=self.geometry,
            clocks=PRESET.clocks,
            expiry=self.evm.timestamp + 10**7,
            money=PRESET.money,
        )
        self.job = bytes(self.board.call("open_job", terms.terms(), sender=self.requester))
        self.board.call("lease", self.job, sender=self.trainer)
        states = [self.history.node(0, 1)]
        return bytes(self.board.call("post", self.job, self.job, states, sender=self.trainer))

    def _commit(
        self, position: bytes, tree: SparseTree, *, last: int, first: bool, accumulator: bytes = b""
    ) -> bytes:
        levels = self.geometry.levels(tree.height)
        below = tree.height - levels
        paths = [tree.path(0, below) if first else [], tree.path(last, below)]
        children = tree.children(tree.height, 0, levels)
        self._send("commit", position, children, *paths, accumulator, sender=self.trainer)
        return candidate_id(position, tree.root)

    def _down(
        self, candidate: bytes, tree: SparseTree, leaf: int, *, revealed: bool, stop: bool = False
    ) -> int:
        """Go down to a leaf, or, to stop, to the list that it stands in; returns the height reached."""
        level = tree.height
        while levels := self.geometry.levels(level):
            if not revealed:
                self._send("reveal", tree.children(level, leaf >> level, levels), sender=self.trainer)
            revealed = False
            if stop and level == levels:
                break
            self._send(
                "select", self.dispute, candidate, *_selected(tree, leaf, level, levels), sender=self.watcher
            )
            level -= levels
        return level

    def _select_step(self, candidate: bytes) -> None:
        level = self._down(candidate, self.steps, self.step, revealed=True, stop=True)
        before = self.steps.node(0, self.step - 1), self.steps.path(self.step - 1)
        chosen = _selected(self.steps, self.step, level, level)
        self._send("select_step", self.dispute, candidate, *chosen, *before, sender=self.watcher)

    def _prove(self, candidate: bytes, index: int, witness: bytes) -> None:
        arguments = [self.court.address, self.dispute, candidate, index, witness]
        self._send("prove", *arguments, sender=self.watcher, to=self.verifier)

    def _before(self, level: int) -> bytes:
        """The committed range and the accumulator before it (P-15)."""
        committed = [self.fold.node(0, self.range), *self.fold.path(self.range, level)]
        before = [self.sums[self.range - 1].to_bytes(), *self.fold.path(self.range - 1)]
        return b"".join(committed + before)

    def _terms(self) -> bytes:
        """The operands of the range (P-13)."""
        stream, last = list[bytes](), [-1, -1]
        roots = [(self.operands[0].root, self.nodes.path(0)), (self.operands[1].root, self.before.path(0))]
        for flats in self.flats:
            for i, flat in enumerate(flats):
                if last[i] == -1:
                    stream += [roots[i][0], *roots[i][1]]
                if last[i] != flat // 64:
                    last[i] = flat // 64
                    stream += [b"\1", self.pages[i][last[i]], *self.operands[i].path(last[i])]
        return b"".join(stream)

    def _send(self, function: str, *args: Any, sender: str, to: Handle | None = None) -> None:
        target = to or self.court
        data = target.encode(function, *args)
        target.call(function, *args, sender=sender)
        own, back = self.evm.execution
        whole = INTRINSIC + own + 16 * (len(data) - data.count(0)) + 4 * data.count(0)
        self.sent.append(
            Sent(
                name=function,
                zeros=data.count(0),
                others=len(data) - data.count(0),
                execution=own - min(back, whole // 5),
                charged=target.gas,
            )
        )


def _selected(tree: SparseTree, leaf: int, level: int, levels: int) -> Sequence[Any]:
    """Index, node and path of what is selected below node (level, leaf >> level)."""
    bottom = level - levels
    index = leaf >> bottom
    return index & (1 << levels) - 1, tree.node(bottom, index), tree.path(index, level, bottom)


def _page(operand: int, number: int) -> bytes:
    """64 words of numbers like those of a training."""
    return np.random.default_rng([operand, number]).normal(size=64).astype(">f4").tobytes()
