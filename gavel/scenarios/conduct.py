"""How a party behaves on the chain other than an honest one does: the shipped agents, with some moves kept
back or replaced. What a party computes otherwise is not here but in hooks (lies.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final, Literal

from challenger.agent import Watcher
from protocol.commitments.tree import Tree
from protocol.game.ids import Kind
from protocol.game.moves import (
    CancelReservation,
    Commit,
    Move,
    Open,
    Prove,
    Reveal,
    RevealPage,
    Select,
    SelectStep,
    SelectWord,
    Withdraw,
)
from prover.agent import DefenderAgent

Asked = tuple[Kind, Literal["commit", "reveal"]]
"""What a trainer has to answer: a commitment at a position, or a reveal below a cursor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """How a trainer answers.

    Attributes:
        silent_at: it answers nothing from when this is asked on.
        garbage_at: instead of this answer it sends hashes, or a page, of nothing.
        posts_wrong_last: it posts another last state than it has trained.
    """

    silent_at: Asked | None = None
    garbage_at: Asked | None = None
    posts_wrong_last: bool = False

    def posted(self, roots: list[bytes]) -> list[bytes]:
        """Return the state roots that it posts for those that it has trained."""
        return [*roots[:-1], garbage(roots[-1])] if self.posts_wrong_last else roots


FAITHFUL: Final = Conduct()


class Answering(DefenderAgent):
    """The defence of a trainer with such a conduct."""

    def __init__(self, *, conduct: Conduct, **agent: Any) -> None:
        """Bind as `DefenderAgent` does.

        Args:
            conduct: how it answers.
            agent: arguments of `DefenderAgent`.
        """
        super().__init__(**agent)
        self._conduct = conduct
        self._gone = False

    def send(self, move: Move) -> bool:
        """Send a move, or what the conduct makes of it."""
        asked = None if self._conduct == FAITHFUL else self._asked(move)
        if asked is not None:
            self._gone = self._gone or asked == self._conduct.silent_at
            if self._gone:
                return False
            if asked == self._conduct.garbage_at:
                return super().send(spoiled(move))
        return super().send(move)

    def _asked(self, move: Move) -> Asked | None:
        """What a move answers; None for a move that answers nothing."""
        if isinstance(move, Commit):
            return self.view.position(move.position).kind, "commit"
        if isinstance(move, RevealPage):
            return Kind.PAGE, "reveal"
        if not isinstance(move, Reveal):
            return None
        root = Tree(move.children, len(move.children).bit_length() - 1).root
        for dispute in self.view.disputes():
            for position in self.view.demands(dispute.dispute):
                for candidate in self.view.candidates(position):
                    cursor = self.view.branch(dispute.dispute, candidate.candidate).cursor
                    if cursor.hash == root:
                        return cursor.kind, "reveal"
        return None


def garbage(value: bytes) -> bytes:
    """32 bytes that are the hash of nothing in any tree."""
    return sha256(b"garbage" + value).digest()


def spoiled(move: Move) -> Move:
    """An answer with garbage in it: of a commitment the first child, of a reveal everything."""
    if isinstance(move, Commit):
        return replace(move, children=(garbage(move.children[0]), *move.children[1:]))
    if isinstance(move, Reveal):
        return Reveal(children=tuple(garbage(child) for child in move.children))
    if isinstance(move, RevealPage):
        return RevealPage(page=bytes(byte ^ 0xFF for byte in move.page))
    return move


class Stalling(Watcher):
    """A challenger that makes no move any more once it is to move at one kind of cursor."""

    def __init__(self, *, stalls_at: Kind | None, **agent: Any) -> None:
        """Bind as `Watcher` does.

        Args:
            stalls_at: the kind of cursor; None: it reserves, and does not open.
            agent: arguments of `Watcher`.
        """
        super().__init__(**agent)
        self._stalls_at = stalls_at
        self._gone = False

    def send(self, move: Move) -> bool:
        """Send a move unless it has stopped."""
        if isinstance(move, Open):
            self._gone = self._stalls_at is None
        elif isinstance(move, Select | SelectStep | SelectWord | Prove):
            at = self.view.branch(move.dispute, move.candidate).cursor.kind
            self._gone = self._gone or at == self._stalls_at
        if self._gone and not isinstance(move, CancelReservation | Withdraw):
            return False
        return super().send(move)
