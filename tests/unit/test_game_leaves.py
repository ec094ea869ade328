"""Every place at which a trace can be wrong, played to its end from both sides, and decided by the leaf
that it must be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from protocol.errors import MismatchError
from protocol.game.trace import Hooks
from protocol.game.view import DisputeStatus, UpdateStatus
from protocol.numerics.accumulator import FLAG_SEEN, Accumulator, exact_word
from tests.support.game import (
    TRAINER,
    WATCHER,
    Table,
    challenger,
    defender,
    one_word,
    reshaped,
    settled_by,
    slots,
    table,
    with_accumulators,
)
from tests.support.programs import counter, floats

LAST = 3
"""The last step of the first segment, where a wrong value of any node is in the posted state."""
NINE = int(floats([9.0])[0])
NINE_SUM = Accumulator(*exact_word(NINE))
NINE_MAX = Accumulator(FLAG_SEEN, 1 << 32 | NINE)


@dataclass(frozen=True)
class Fault:
    """A lie, the leaf that convicts it, and the leaf at which a challenger who believes it loses."""

    name: str
    hooks: Hooks
    leaf: str
    believed: str | None = None


def wrong_words() -> list[Fault]:
    extents = {1: 3, 2: 130, 4: 1, 5: 2}
    return [
        Fault(f"node {k} word {w}", one_word(LAST, k, w), "word")
        for k, n in extents.items()
        for w in range(n)
    ]


def wrong_steps() -> list[Fault]:
    return [Fault(f"step {s}", one_word(s, 2, 129), "word") for s in range(LAST + 1)]


def wrong_ranges() -> list[Fault]:
    sums = [
        Fault(
            f"sum word {w} range {i}",
            with_accumulators(one_word(LAST, 0, w, value=NINE), LAST, 0, w, i, NINE_SUM),
            "range",
        )
        for w in range(3)
        for i in (1, 2, 3)
    ]
    largest = [
        Fault(
            f"max range {i}",
            with_accumulators(one_word(LAST, 3, 0, value=NINE), LAST, 3, 0, i, NINE_MAX),
            "range",
        )
        for i in (1, 2)
    ]
    return sums + largest


def padded(count: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda words: np.append(words, np.array([0] * (count - words.size) + [7], dtype=np.uint32))


def wrong_padding() -> list[Fault]:
    words = [
        Fault(f"node {k} has word {w}", reshaped(LAST, k, padded(w)), "zero word")
        for k, places in {1: (3, 63), 2: (130, 191), 3: (1, 40)}.items()
        for w in places
    ]
    pages = [
        Fault(f"node {k} has page {p}", reshaped(LAST, k, padded(64 * p + 5)), "zero page")
        for k, places in {0: (1, 2, 3), 1: (1, 2, 3), 2: (3,), 4: (3,)}.items()
        for p in places
    ]
    # The sum's own slot is another node's, so its padding shows in the state only through a slot.
    pages = [fault for fault in pages if not fault.name.startswith("node 0")]
    absent = [
        Fault(f"page {p} is absent", reshaped(LAST, 2, lambda w, p=p: w[: 64 * p]), "absent page", "word")
        for p in (0, 1, 2)
    ]
    return words + pages + absent


def wrong_slots() -> list[Fault]:
    def replaced(slot: int) -> Hooks:
        return slots(LAST, lambda s: [*s[:slot], np.append(s[slot][:-1], s[slot][-1:] ^ 1), *s[slot + 1 :]])

    def added(count: int) -> Hooks:
        more = [np.zeros(0, np.uint32)] * (count - 1) + [np.ones(1, np.uint32)]
        return slots(LAST, lambda s: s + more)

    links = [Fault(f"slot {s} is not as linked", replaced(s), "link") for s in range(6)]
    swapped = Fault("slot 3 is the node of slot 2", slots(LAST, lambda s: [*s[:3], s[2], *s[4:]]), "link")
    return [*links, swapped, *(Fault(f"there is a slot {5 + n}", added(n), "zero slot") for n in (1, 2))]


FAULTS = [*wrong_words(), *wrong_steps(), *wrong_ranges(), *wrong_padding(), *wrong_slots()]


@cache
def first_table() -> Table:
    return table()


def fresh(honest: bytes) -> Table:
    return table(truth=first_table().truth, honest=[honest])


def convicted(at: Table, hooks: Hooks) -> Table:
    """A trainer with the lie against an honest watcher, to the fall."""
    lie = at.openings(hooks)
    update = at.post(lie, segments=1)
    at.play(
        [challenger(at, at.truth), defender(at, lie)],
        until=settled_by(at, update),
        while_=lambda: at.model.board.is_live(update),
    )
    assert at.model.update(update).status == UpdateStatus.FALLEN
    assert [d.status for d in at.model.disputes()] == [DisputeStatus.CLOSED]
    return at


def acquitted(at: Table, hooks: Hooks) -> Table:
    """An honest trainer against a challenger who believes the lie, until that dispute is over."""
    update = at.post(at.truth, segments=1)
    at.play(
        [challenger(at, at.openings(hooks)), defender(at, at.truth)],
        until=settled_by(at, update),
        while_=lambda: not any(d.status == DisputeStatus.LOST for d in at.model.disputes()),
    )
    assert [d.status for d in at.model.disputes()] == [DisputeStatus.LOST]
    assert at.model.update(update).status == UpdateStatus.PENDING
    return at


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_lie_is_convicted_by_its_leaf(fault: Fault) -> None:
    assert convicted(fresh(WATCHER), fault.hooks).decided() == {fault.leaf: 1, "settle": 1}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_who_believes_a_lie_loses_at_its_leaf(fault: Fault) -> None:
    assert acquitted(fresh(TRAINER), fault.hooks).decided() == {fault.believed or fault.leaf: 1}


@pytest.mark.parametrize(("node", "word"), [(0, 0), (0, 2), (3, 0)])
def test_a_lie_in_a_long_fold_without_false_accumulators_cannot_be_committed(node: int, word: int) -> None:
    at = convicted(fresh(WATCHER), one_word(LAST, node, word, value=NINE))
    assert at.decided() == {"settle": 1}


def test_a_challenger_who_finds_no_difference_says_so() -> None:
    at = fresh(TRAINER)
    at.post(at.truth, segments=1)
    players = [challenger(at, at.openings(one_word(LAST, 0, 1, value=NINE))), defender(at, at.truth)]
    with pytest.raises(MismatchError, match="nothing differs below FOLD"):
        at.play(players, until=at.model.now() + 10_000)


SMALL = {
    "word": (counter(), one_word(1, 0, 0), "word"),
    "last word of three": (counter(slots=3), one_word(1, 2, 0), "word"),
    "padding": (counter(), reshaped(1, 0, padded(63)), "zero word"),
    "link": (counter(), slots(1, lambda s: [s[0] ^ np.uint32(1)]), "link"),
}


@pytest.mark.parametrize("name", SMALL)
def test_a_counter_whose_tensors_and_states_are_single_leaves(name: str) -> None:
    example, hooks, leaf = SMALL[name]
    at = table(example, steps=2, stride=2, honest=[WATCHER])
    assert convicted(at, hooks).decided() == {leaf: 1, "settle": 1}
    at = table(example, steps=2, stride=2, honest=[TRAINER])
    assert acquitted(at, hooks).decided() == {leaf: 1}


WRAPS = 0xFFFFFFFF


def test_an_absent_page_is_convicted_though_every_word_of_it_reads_right() -> None:
    """The right page is 64 zero words, and what stands there reads as zeros too."""
    at = table(counter(start=WRAPS), steps=1, stride=1, honest=[WATCHER])
    nothing = reshaped(0, 0, lambda words: words[:0])
    assert convicted(at, nothing).decided() == {"absent page": 1, "settle": 1}


@pytest.mark.parametrize("fanout", [2, 3, 8])
@pytest.mark.parametrize(
    "fault",
    [FAULTS[70], *wrong_ranges()[:2], *wrong_padding()[-4:], *wrong_slots()[-2:]],
    ids=lambda fault: fault.name,
)
def test_leaves_do_not_depend_on_the_fan_out(fault: Fault, fanout: int) -> None:
    at = table(fanout_log2=fanout, honest=[WATCHER])
    assert convicted(at, fault.hooks).decided() == {fault.leaf: 1, "settle": 1}
    at = table(fanout_log2=fanout, honest=[TRAINER])
    assert acquitted(at, fault.hooks).decided() == {fault.believed or fault.leaf: 1}
