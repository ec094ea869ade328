"""When a party has to move, and parties that choose their moment: the last second that is left, or the first
that is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from protocol.chain.agent import Agent
from protocol.commitments.tree import Tree
from protocol.game.ids import Kind
from protocol.game.moves import Commit, Move, Prove, Reveal, RevealPage, Select, SelectStep, SelectWord
from protocol.game.view import BranchInfo, CourtView, Turn

Asked = tuple[Kind, Literal["commit", "reveal", "choose"]]
"""What a party has to do: commit at a position, reveal below a cursor, or choose from what was revealed."""


def asked_by(view: CourtView, move: Move) -> tuple[Asked, int] | None:
    """Return what is asked for that a move does, and its last second; None if nobody asks for it."""
    if isinstance(move, Commit):
        here = view.position(move.position)
        return (here.kind, "commit"), here.ends_at
    if isinstance(move, Select | SelectStep | SelectWord | Prove):
        branch = view.branch(move.dispute, move.candidate)
        return (branch.cursor.kind, "choose"), branch.limit
    if isinstance(move, RevealPage):
        shown = sha256(move.page).digest()
    elif isinstance(move, Reveal):
        shown = Tree(move.children, len(move.children).bit_length() - 1).root
    else:
        return None
    awaiting = [branch for branch in _defended(view) if branch.cursor.hash == shown]
    if not awaiting:
        return None
    return (awaiting[0].cursor.kind, "reveal"), min(branch.limit for branch in awaiting)


def _defended(view: CourtView) -> Iterator[BranchInfo]:
    """The branches in which the defence is to move."""
    for dispute in view.disputes():
        for position in view.demands(dispute.dispute):
            for candidate in view.candidates(position):
                branch = view.branch(dispute.dispute, candidate.candidate)
                if branch.turn == Turn.DEFENDER:
                    yield branch


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Which moves a party keeps back, and how long.

    Attributes:
        at: what is kept back; None: every move that has a last second.
        by: seconds after the last second in time; 0: it moves just in time.
    """

    at: Asked | None = None
    by: int = 0


class Timer:
    """Keeps moves of one agent back.

    Attributes:
        wake: when the agent wants to act, seconds; None: it keeps nothing back.
    """

    def __init__(self, wait: Wait | None) -> None:
        """Keep back what `wait` says; None: nothing."""
        self._wait = wait
        self.wake: int | None = None

    def begin(self) -> None:
        """A step of the agent begins, in which everything is decided anew."""
        self.wake = None

    def holds(self, view: CourtView, move: Move) -> bool:
        """Whether a move is to be kept back for now. What is sent now is mined a second later."""
        found = asked_by(view, move) if self._wait is not None else None
        if self._wait is None or found is None or self._wait.at not in (None, found[0]):
            return False
        moment = found[1] - 1 + self._wait.by
        if view.now() >= moment:
            return False
        self.wake = moment if self.wake is None else min(self.wake, moment)
        return True


def wake_of(agent: Agent) -> int | None:
    """When an agent wants to act, in seconds; None if it does so at once, or not at all."""
    timer = getattr(agent, "timer", None)
    return timer.wake if isinstance(timer, Timer) else None
