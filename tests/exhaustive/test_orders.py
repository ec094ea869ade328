"""Small games in every order of moves: whoever is faster, the verdict and the bonds are the same."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from protocol.game.model import Model
from protocol.game.view import DisputeStatus, UpdateStatus
from tests.exhaustive.interleavings import Search, every_order
from tests.support.game import (
    OTHER,
    PURSE,
    TICK,
    TRAINER,
    WATCHER,
    Player,
    Table,
    challenger,
    defender,
    machine,
    one_word,
    settled_by,
    table,
)

WORD = one_word(2, 2, 5)
ELSE = one_word(1, 2, 7)


@cache
def first_table() -> Table:
    return table(machine(wide=9))


def fresh(*honest: bytes) -> Table:
    return table(machine(wide=9), truth=first_table().truth, honest=honest)


def wrong(
    at: Table, players: list[Player], update: bytes, honest: set[bytes], unreliable: Sequence[int] = ()
) -> Search:
    """Every order of a game about a wrong update: it falls, and honest bonds come back."""

    def check(model: Model) -> None:
        assert model.update(update).status == UpdateStatus.FALLEN
        assert all(model.tokens_of(party) >= PURSE for party in honest)
        assert all(d.status == DisputeStatus.CLOSED for d in model.disputes() if d.challenger in honest)

    def over(model: Model) -> bool:
        return not model.board.is_live(update) and not any(
            d.status == DisputeStatus.OPEN for d in model.disputes() if d.challenger in honest
        )

    until = settled_by(at, update) + TICK
    return every_order(at, players, over=over, check=check, until=until, unreliable=unreliable)


def right(at: Table, players: list[Player], update: bytes, unreliable: Sequence[int] = ()) -> Search:
    """Every order of a game about a right update: it becomes final, and its trainer has all its tokens."""

    def check(model: Model) -> None:
        assert model.update(update).status == UpdateStatus.FINAL
        assert all(d.status == DisputeStatus.LOST for d in model.disputes())

    def over(model: Model) -> bool:
        return model.update(update).status == UpdateStatus.FINAL

    until = settled_by(at, update) + TICK
    return every_order(at, players, over=over, check=check, until=until, unreliable=unreliable)


def test_a_liar_who_may_fall_silent_and_two_watchers() -> None:
    at = fresh(WATCHER, OTHER)
    lie = at.openings(WORD)
    update = at.post(lie, segments=1)
    players = [challenger(at, at.truth), challenger(at, at.truth, address=OTHER), defender(at, lie)]
    found = wrong(at, players, update, {WATCHER, OTHER}, [2])
    assert found.ends >= 10
    assert found.positions > 500


def test_one_watcher_is_enough_if_the_other_falls_silent() -> None:
    at = fresh(WATCHER)
    lie = at.openings(WORD)
    update = at.post(lie, segments=1)
    players = [challenger(at, at.truth), challenger(at, at.truth, address=OTHER), defender(at, lie)]
    found = wrong(at, players, update, {WATCHER}, [1, 2])
    assert found.ends >= 20
    assert found.positions > 1000


def test_a_liar_a_watcher_and_a_confused_challenger() -> None:
    at = fresh(WATCHER)
    lie = at.openings(WORD)
    update = at.post(lie, segments=1)
    confused = challenger(at, at.openings(ELSE), address=OTHER)
    found = wrong(at, [challenger(at, at.truth), confused, defender(at, lie)], update, {WATCHER}, [1, 2])
    assert found.ends >= 20
    assert found.positions > 1000


def test_an_honest_trainer_and_two_liars_who_may_fall_silent() -> None:
    at = fresh(TRAINER)
    update = at.post(at.truth, segments=1)
    players = [
        defender(at, at.truth),
        challenger(at, at.openings(WORD)),
        challenger(at, at.openings(ELSE), address=OTHER),
    ]
    found = right(at, players, update, [1, 2])
    assert found.ends >= 20
    assert found.positions > 1000
