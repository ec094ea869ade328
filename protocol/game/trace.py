"""What a party can compute about one job: the only thing a solver needs besides the chain.

`Trace` is implemented by the fast replay (prover.engine) and by the toy trace (protocol.game.toy), which
evaluates the same descriptors with the reference interpreter and needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from protocol.commitments.canonical import Words
from protocol.numerics.accumulator import Accumulator


class Trace(Protocol):
    """Values of one party's execution. Steps are absolute, from 0; step t leads from state t to t + 1."""

    def state_words(self, step: int) -> Sequence[Words]:
        """The slots of the state before ``step``, each flat uint32, in slot order."""
        ...

    def state_root(self, step: int) -> bytes:
        """Root of the state before ``step`` (C-6), 32 bytes."""
        ...

    def node_words(self, step: int, node: int) -> Words:
        """Output of one node in ``step``, flat uint32."""
        ...

    def node_roots(self, step: int) -> Sequence[bytes]:
        """Leaves of the nodes tree of ``step`` (C-11): a tensor root per node, then the next state root."""
        ...

    def accumulators(self, step: int, node: int, word: int) -> Sequence[Accumulator]:
        """Leaves of the fold tree of one word before hashing (C-12): R + 1 accumulators, the first empty."""
        ...

    def input_words(self, input_id: int) -> Words:
        """One input of the job (C-7), flat uint32."""
        ...


OutputHook = Callable[[int, int, Words], Words]
NextStateHook = Callable[[int, list[Words], list[Words]], list[Words]]
AccumulatorsHook = Callable[[int, int, int, list[Accumulator]], list[Accumulator]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """How a trace deviates from the honest one: an adversary is honest code with a hook.

    Whatever is computed later is computed from what a hook returned, so a liar is consistent. Hooks must not
    write into what they are given, and must give the same answer whenever they are asked.

    Attributes (left out, one changes nothing):
        output: (step, node, its words) -> its words. A longer or shorter array makes false padding or absent
            pages: it is committed as it is, and read as the program says.
        next_state: (step, slots before it, slots after it) -> slots after it. More slots than n_slots, and
            slots of another length, make false padding likewise.
        accumulators: (step, node, word, R + 1 accumulators) -> the same number of accumulators.
    """

    output: OutputHook = lambda _step, _node, words: words
    next_state: NextStateHook = lambda _step, _before, after: after
    accumulators: AccumulatorsHook = lambda _step, _node, _word, accumulators: accumulators


HONEST: Final = Hooks()
