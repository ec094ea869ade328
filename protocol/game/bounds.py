"""How long a dispute can take, and by when an update is final or gone (dispute.md, D-17, D-19).

Formulas in a job's clocks and geometry, whoever plays and however many attack.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol.commitments.tree import height
from protocol.game.clock import MOST_TRACES
from protocol.job import Clocks, Geometry
from protocol.program.address import n_ranges
from protocol.program.program import Program

MOST_RANGES: Final = 1 << 20
"""Of a fold that parties accept (U-12)."""

_PAGE: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """Lists on the longest way of a dispute; each is one move of the defence and one of the challenger.

    Attributes:
        steps: of STEPS; below: of NODES and what hangs there, the page included; fold: of FOLD, 0 where no
            fold is long enough.
    """

    steps: int
    below: int
    fold: int

    @property
    def levels(self) -> int:
        """L of D-17."""
        return self.steps + self.below + self.fold

    @property
    def transactions(self) -> int:
        """From a direct opening to the fall of the update: 2L + 2 (D-17)."""
        return 2 * self.levels + 2


def longest(geometry: Geometry, *, ranges: int = MOST_RANGES) -> Lists:
    """Return the lists of the longest dispute about a job.

    Args:
        ranges: of its longest fold (P-12); 1 where none is longer than a range.
    """

    def lists(tree: int) -> int:
        return -(-tree // geometry.fanout_log2)

    fold = lists(height(ranges + 1)) if ranges > 1 else 0
    word, state = lists(geometry.tensor_height) + _PAGE, lists(geometry.state_height)
    nodes = lists(geometry.nodes_height)
    if state > word + fold:
        return Lists(steps=lists(geometry.steps_height), below=nodes + state, fold=0)
    return Lists(steps=lists(geometry.steps_height), below=nodes + word, fold=fold)


def longest_of(geometry: Geometry, program: Program) -> Lists:
    """Return the lists of the longest dispute about a program."""
    return longest(geometry, ranges=max(n_ranges(node, geometry.range_log2) for node in program.nodes))


def dispute_seconds(clocks: Clocks, lists: Lists) -> int:
    """Return the most seconds from the opening of a dispute to the move that ends it (D-19).

    Each list takes a commitment or a reveal, and a choice, R each; STEPS and NODES the allowance too. The
    challenger's reserve is spent once. The defence's is spent once by one dispute, and once more for each
    further position that an accomplice can be the first to demand with a reserve that is whole: it plays
    beside the dispute, and answers that are late for the one are in time for the other.
    """
    whole = 1 + (lists.steps > 1) + (lists.fold > 0)
    allowances = 2 * MOST_TRACES * clocks.allowance
    return 2 * lists.levels * clocks.response + allowances + (1 + whole) * clocks.reserve


def decided_by(deadline: int, clocks: Clocks, lists: Lists) -> int:
    """Return the last second at which the ending move of a dispute against an update can come (D-19).

    Args:
        deadline: of the update; what builds on it has a later one.

    A wrong update that is disputed honestly falls by then (I-7). A right one that is defended is final once
    its last dispute is over: from the next second on that can be timed out by anybody.
    """
    return deadline + clocks.opening + dispute_seconds(clocks, lists)
