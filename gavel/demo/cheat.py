"""A cheat for drills: an honest party but for one partial sum of one element of a matmul, in one step.

It is the honest code with one change (protocol.game.trace.Hooks), and it stands by its lie: the trace that it
defends with has the same wrong partial sum, and everything after it follows from it honestly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol.commitments.canonical import Words
from protocol.errors import UsageError
from protocol.game.trace import Hooks
from protocol.job_folder import JobFolder
from protocol.numerics.accumulator import Accumulator, exact_word
from protocol.numerics.opcodes import Fold
from protocol.program.address import n_ranges

FLIPPED_BIT: Final = 1 << 12
"""A bit in the middle of the mantissa: an error of about a thousandth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialSum:
    """One partial sum of one word, and the lie about it: the word comes out with one bit flipped.

    Attributes:
        step, node, word: where, step from the start of the job.
        range: the first wrong leaf of the word's fold tree (C-12), from 1.
    """

    step: int
    node: int
    word: int
    range: int

    def output(self, step: int, node: int, words: Words) -> Words:
        """The node's words with the one bit flipped."""
        if (step, node) != (self.step, self.node):
            return words
        wrong = words.copy()
        wrong[self.word] ^= FLIPPED_BIT
        return wrong

    def accumulators(
        self, step: int, node: int, word: int, accumulators: list[Accumulator]
    ) -> list[Accumulator]:
        """The prefix accumulators, shifted from the wrong range on so that they end at the flipped word."""
        if (step, node, word) != (self.step, self.node, self.word):
            return accumulators
        total = accumulators[-1]
        flags, wanted = exact_word(total.finish(Fold.SUM) ^ FLIPPED_BIT)
        error = wanted - total.value
        return [a if i < self.range else a.add(flags, error) for i, a in enumerate(accumulators)]

    @property
    def hooks(self) -> Hooks:
        """The lie as a trace tells it."""
        return Hooks(output=self.output, accumulators=self.accumulators)


def corrupt_logits(folder: JobFolder, *, segment: int = 7, word: int = 321) -> Hooks:
    """Corrupt the last range of one logit in the eighth step of a segment (counted from 0).

    Usable as ``--hooks gavel.demo.cheat:corrupt_logits`` for drills on a development chain.

    Raises:
        UsageError: the job's program has no matmul that is long enough to be bisected.
    """
    program, geometry = folder.program, folder.job.geometry
    matmuls = [
        number
        for number, (node, label) in enumerate(zip(program.nodes, program.labels, strict=True))
        if label.startswith("addmm")
        and node.fold == Fold.SUM
        and n_ranges(node, geometry.range_log2) > 1
        and node.extent > word
    ]
    if not matmuls:
        raise UsageError(
            "no linear layer of this job has a fold to bisect and enough outputs; drill on another job"
        )
    step = segment * geometry.stride + min(7, geometry.steps_of(segment) - 1)
    node = matmuls[-1]
    ranges = n_ranges(program.nodes[node], geometry.range_log2)
    return PartialSum(step=step, node=node, word=word, range=ranges).hooks
