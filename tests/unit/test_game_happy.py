"""A wrong word, found, proven, and paid for."""

from __future__ import annotations

from protocol.game import moves as m
from protocol.game.view import DisputeStatus, UpdateStatus
from tests.support.game import TRAINER, WATCHER, challenger, defender, one_word, settled_by, table


def test_one_wrong_word_is_proven_settled_and_felled() -> None:
    at = table(honest=[WATCHER])
    lie = at.openings(one_word(2, 2, 65))
    update = at.post(lie, segments=2)
    limit = settled_by(at, update)
    at.play([challenger(at, at.truth), defender(at, lie)], until=limit)
    assert at.model.update(update).status == UpdateStatus.FALLEN
    assert at.decided() == {"word": 1, "settle": 1}
    [dispute] = at.model.disputes(update=update)
    assert dispute.status == DisputeStatus.CLOSED
    money = at.job.money
    refund = money.gas_price * money.scheduled_gas
    gain = refund + money.bounty + money.tip
    assert at.model.tokens_of(WATCHER) == 10**12 + gain
    assert at.model.tokens_of(TRAINER) == 10**12 - money.update_bond
    assert len(at.moves(m.Reserve, m.Open, m.Prove, m.Settle)) == 4
