"""All orders in which parties can move: a search over positions of the game, each looked at once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

from protocol.errors import RefusedError
from protocol.game.model import Model
from tests.support.game import TICK, Player, Table


@dataclass(slots=True)
class Search:
    """What a search has met.

    Attributes:
        positions: different states of the game, and who is silent; moves: edges between them.
        ends: positions in which the game was over; refused: reasons of moves that somebody was faster than.
    """

    positions: int = 0
    moves: int = 0
    ends: int = 0
    refused: frozenset[str] = frozenset()


def every_order(
    at: Table,
    players: Sequence[Player],
    *,
    over: Callable[[Model], bool],
    check: Callable[[Model], None],
    until: int,
    unreliable: Sequence[int] = (),
) -> Search:
    """Play every order of the players' moves; time passes only when nobody has one left.

    Args:
        at: where the game starts; `at.model` is not what it was afterwards.
        players: without memory: what they do follows from the game.
        over: whether the game is over; check: raises unless such an end is right.
        until: a time at which every game is over.
        unreliable: numbers of players who may fall silent for good, at any moment.
    """
    found = Search()
    seen: set[object] = set()
    stack: list[tuple[Model, frozenset[int]]] = [(at.model, frozenset())]
    while stack:
        model, silent = stack.pop()
        key = (frozen(model), silent)
        if key in seen:
            continue
        seen.add(key)
        found.positions += 1
        if over(model):
            found.ends += 1
            check(model)
            continue
        stack += [(model, silent | {number}) for number in unreliable if number not in silent]
        after = []
        for number, player in enumerate(players):
            for sender, move in () if number in silent else player(model):
                made = copy.deepcopy(model)
                at.model = made
                try:
                    at.send(sender, move)
                except RefusedError as error:
                    if error.reason not in at.races:
                        raise
                    found.refused |= {error.reason}
                    continue
                after.append((made, silent))
        found.moves += len(after)
        if not after:
            assert model.now() < until, "the game does not end"
            made = copy.deepcopy(model)
            made.advance(TICK)
            after.append((made, silent))
        stack += after
    return found


def frozen(thing: Any) -> object:
    """A value that is equal for equal games, whatever the order in which they came about."""
    if isinstance(thing, dict):
        return frozenset((key, frozen(value)) for key, value in thing.items())
    if isinstance(thing, set | frozenset):
        return frozenset(thing)
    if isinstance(thing, list | tuple):
        return tuple(frozen(item) for item in thing)
    if is_dataclass(thing) and not isinstance(thing, type):
        return tuple(frozen(getattr(thing, field.name)) for field in fields(thing))
    if isinstance(thing, bytes | int | str | bool | Enum) or thing is None:
        return thing
    return frozen({name: value for name, value in vars(thing).items() if not callable(value)})
