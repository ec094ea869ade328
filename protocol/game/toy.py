"""A trace on the reference interpreter: the game without torch, for small programs."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.commitments.canonical import Words
from protocol.commitments.tensor import tensor_root
from protocol.commitments.tree import Tree, height
from protocol.game.trace import HONEST, Hooks
from protocol.numerics.accumulator import Accumulator
from protocol.program.interpreter import Interpreter


class ToyTrace:
    """Implements `protocol.game.trace.Trace`; keeps everything that it has computed."""

    def __init__(self, interpreter: Interpreter, state: Sequence[Words], *, hooks: Hooks = HONEST) -> None:
        """Start at step 0.

        Args:
            state: slots before step 0, each flat uint32.
            hooks: how this party deviates.
        """
        self._interpreter = interpreter
        self._hooks = hooks
        self._states: list[list[Words]] = [list(state)]
        self._nodes: list[list[Words]] = []
        self._height = interpreter.tensor_height
        self._state_height = height(len(interpreter.program.slots))
        self._roots: dict[tuple[int, int], bytes] = {}

    def state_words(self, step: int) -> Sequence[Words]:
        """The slots of the state before ``step``."""
        self._run_to(step)
        return self._states[step]

    def state_root(self, step: int) -> bytes:
        """Root of the state before ``step`` (C-6)."""
        return self._root(step, -1)

    def node_words(self, step: int, node: int) -> Words:
        """Output of one node in ``step``."""
        self._run_to(step + 1)
        return self._nodes[step][node]

    def node_roots(self, step: int) -> Sequence[bytes]:
        """Leaves of the nodes tree of ``step`` (C-11)."""
        nodes = range(len(self._interpreter.program.nodes))
        return [*(self._root(step, node) for node in nodes), self.state_root(step + 1)]

    def accumulators(self, step: int, node: int, word: int) -> Sequence[Accumulator]:
        """Leaves of the fold tree of one word before hashing (C-12)."""
        self._run_to(step + 1)
        state, nodes = self._states[step], self._nodes[step]
        honest = self._interpreter.accumulators(step, node, word, state=state, nodes=nodes)
        return self._hooks.accumulators(step, node, word, honest)

    def input_words(self, input_id: int) -> Words:
        """One input of the job (C-7)."""
        return self._interpreter.inputs[input_id]

    def _root(self, step: int, node: int) -> bytes:
        """Root of a node's output, or of the state before the step for node -1."""
        if (step, node) not in self._roots:
            if node >= 0:
                root = tensor_root(self.node_words(step, node), self._height)
            else:
                slots = [tensor_root(words, self._height) for words in self.state_words(step)]
                root = Tree(slots, self._state_height).root
            self._roots[step, node] = root
        return self._roots[step, node]

    def _run_to(self, step: int) -> None:
        program = self._interpreter.program
        for now in range(len(self._nodes), step):
            state, nodes = self._states[now], list[Words]()
            for number in range(len(program.nodes)):
                words = self._interpreter.node_words(now, number, state=state, nodes=nodes)
                nodes.append(self._hooks.output(now, number, words))
            after = [
                nodes[link] if link < len(nodes) else state[slot] for slot, link in enumerate(program.links)
            ]
            self._nodes.append(nodes)
            self._states.append(self._hooks.next_state(now, state, after))
