"""Whole disputes over models of the zoo: one wrong word of its most characteristic node, decided there."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.zoo import TINY
from protocol.game.view import DisputeStatus, UpdateStatus
from tests.support.game import WATCHER, challenger, defender, settled_by
from tests.support.lockstep import Lockstep
from tests.support.training import LIE_AT, training_of, wrong_word
from tests.support.zoo import played


@pytest.mark.parametrize("name", TINY)
def test_the_court_convicts_in_the_characteristic_node(name: str) -> None:
    run = played(name)
    made = training_of(run.captured, rows=run.interpreter.n_rows)
    number = run.characteristic()
    words = made.truth.trace.node_words(LIE_AT, number)
    lie = made.openings(made.trace(wrong_word(number, int(np.argmax(words != 0)))))
    at = made.table(WATCHER)
    update = at.post(lie, segments=1)
    at.play(
        [challenger(at, at.truth), defender(at, lie)],
        until=settled_by(at, update),
        while_=lambda: at.model.board.is_live(update),
    )
    assert at.model.update(update).status == UpdateStatus.FALLEN
    assert [d.status for d in at.model.disputes()] == [DisputeStatus.CLOSED]
    leaf = "range" if made.ranges(number) > 1 else "word"
    assert at.decided() == {leaf: 1, "settle": 1}
    assert isinstance(at.model, Lockstep)
    at.model.compare()
