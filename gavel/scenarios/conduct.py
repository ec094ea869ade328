"""How a party behaves on the chain other than an honest one does: the shipped agents, with some moves kept
back or replaced. What a party computes otherwise is not here but in hooks (lies.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

from challenger.agent import Watcher
from gavel.scenarios.timing import Asked, Timer, Wait, asked_by
from protocol.game.ids import Kind
from protocol.game.moves import (
    CancelReservation,
    Close,
    Commit,
    Move,
    Open,
    Prove,
    Reveal,
    RevealPage,
    Select,
    SelectStep,
    SelectWord,
    Timeout,
    Withdraw,
)
from prover.agent import DefenderAgent


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """How a trainer answers.

    Attributes:
        silent_at: it answers nothing from when this is asked on.
        garbage_at: instead of this answer it sends hashes, or a page, of nothing.
        posts_wrong_last: it posts another last state than it has trained.
        waits: it keeps answers back until a moment of its choice.
        spares: it times no challenger out, since they may be its own.
    """

    silent_at: Asked | None = None
    garbage_at: Asked | None = None
    posts_wrong_last: bool = False
    waits: Wait | None = None
    spares: bool = False

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
        self.timer = Timer(conduct.waits)

    def step(self) -> list[Move]:
        """Answer as the conduct says; return the moves that were sent."""
        self.timer.begin()
        return super().step()

    def send(self, move: Move) -> bool:
        """Send a move, or what the conduct makes of it."""
        asked = None
        if self._conduct != FAITHFUL:
            found = asked_by(self.view, move)
            asked = found[0] if found else None
        spared = self._conduct.spares and isinstance(move, Timeout)
        if spared or self.timer.holds(self.view, move):
            return False
        if asked is not None:
            self._gone = self._gone or asked == self._conduct.silent_at
            if self._gone:
                return False
            if asked == self._conduct.garbage_at:
                return super().send(spoiled(move))
        return super().send(move)


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
        if self._gone and not isinstance(move, CancelReservation | Close | Withdraw):
            return False
        return super().send(move)


class Waiting(Watcher):
    """A challenger that keeps moves back until a moment of its choice."""

    def __init__(self, *, waits: Wait, **agent: Any) -> None:
        """Bind as `Watcher` does.

        Args:
            waits: what it keeps back, and how long.
            agent: arguments of `Watcher`.
        """
        super().__init__(**agent)
        self.timer = Timer(waits)

    def step(self) -> list[Move]:
        """Move, or wait; return the moves that were sent."""
        self.timer.begin()
        return super().step()

    def send(self, move: Move) -> bool:
        """Send a move unless it is kept back."""
        return not self.timer.holds(self.view, move) and super().send(move)
