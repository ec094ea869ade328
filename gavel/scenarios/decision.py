"""Where a dispute was decided, read from the chain and from the moves that were made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from protocol.game.ids import Kind
from protocol.game.moves import Move, Prove, Settle, Silence, Timeout
from protocol.game.proofs import site
from protocol.game.view import CourtView
from protocol.job_folder import JobFolder
from protocol.program.address import extent


class Leaf(StrEnum):
    """What decided: a leaf that the contract judged (P-14), or somebody who did not answer."""

    WORD = "word"
    RANGE = "range"
    LINK = "link"
    ZERO_WORD = "zero word"
    ZERO_PAGE = "zero page"
    ABSENT_PAGE = "absent page"
    ZERO_SLOT = "zero slot"
    SILENCE = "silence"
    """A list or a page was not revealed in time (D-14)."""
    NO_COMMITMENT = "no commitment"
    """Nobody committed at a demanded position in time (D-14)."""
    TIMEOUT = "timeout"
    """The challenger did not move in time (D-15)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What ended a dispute.

    Attributes:
        level: of the cursor, or of the empty position.
        leaf: what decided.
        step: from the start of the job; None above NODES.
        node: whose output was wrong; None for a slot, and where nothing was proven.
        index: the word, page or slot that was proven; None where nothing was.
        range: of the fold, from 1; 0 for other leaves.
    """

    level: Kind
    leaf: Leaf
    step: int | None = None
    node: int | None = None
    index: int | None = None
    range: int = 0

    @property
    def proven(self) -> bool:
        """Whether arithmetic decided, and not a clock."""
        return self.leaf not in (Leaf.SILENCE, Leaf.NO_COMMITMENT, Leaf.TIMEOUT)


def decision(view: CourtView, folder: JobFolder, moves: Iterable[Move]) -> Decision | None:
    """Return what decided first among some moves that were made, or None if nothing did.

    Args:
        view: the chain afterwards.
        folder: the job.
    """
    for move in moves:
        if isinstance(move, Prove):
            return _proven(view, folder, move)
        if isinstance(move, Silence | Timeout):
            leaf = Leaf.SILENCE if isinstance(move, Silence) else Leaf.TIMEOUT
            place = site(view, folder.job, view.candidate(move.candidate))
            step = None if place.nodes is None else place.step
            return Decision(level=view.branch(move.dispute, move.candidate).cursor.kind, leaf=leaf, step=step)
        if isinstance(move, Settle):
            here = view.position(move.position)
            step = None
            if here.kind == Kind.NODES:
                step = here.segment * folder.job.geometry.stride + here.a - 1
            elif here.kind == Kind.FOLD:
                step = site(view, folder.job, view.candidate(here.parent)).step
            return Decision(level=here.kind, leaf=Leaf.NO_COMMITMENT, step=step)
    return None


def _proven(view: CourtView, folder: JobFolder, move: Prove) -> Decision:
    cursor = view.branch(move.dispute, move.candidate).cursor
    place = site(view, folder.job, view.candidate(move.candidate))
    step, node = place.step, cursor.node
    below = 6 if cursor.kind == Kind.PAGE else cursor.height
    index = (cursor.index << below) + move.index
    if cursor.kind == Kind.FOLD:
        here = place.position
        return Decision(level=Kind.FOLD, leaf=Leaf.RANGE, step=step, node=here.a, index=here.b, range=index)
    if cursor.kind == Kind.STATE:
        leaf = Leaf.LINK if index < folder.job.geometry.n_slots else Leaf.ZERO_SLOT
        return Decision(level=Kind.STATE, leaf=leaf, step=step, index=index)
    words = extent(folder.program.nodes[node], folder.job.geometry.tensor_height)
    if cursor.kind == Kind.TENSOR:
        leaf = Leaf.ABSENT_PAGE if 64 * index < words else Leaf.ZERO_PAGE
    else:
        leaf = Leaf.WORD if index < words else Leaf.ZERO_WORD
    return Decision(level=cursor.kind, leaf=leaf, step=step, node=node, index=index)
