"""Games in which pages are demanded (availability.md), on the model or on what follows it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from protocol.game import demand_moves as d
from protocol.game import moves as m
from protocol.game.demands import PageOpener
from protocol.job import ANYBODY, Audit
from tests.support.game import NEW_MODEL, OTHER, REQUESTER, TRAINER, WATCHER, Table, table
from tests.support.lockstep import Lockstep

ANSWER_TIME: Final = 100
FEE: Final = 1_000_000
WIDE: Final = 1
"""The slot with three pages of four."""


def audited(
    auditor: bytes = ANYBODY, *, until: int = 10**6, fee: int = FEE, answer_time: int = ANSWER_TIME
) -> Table:
    """A table at which a job is open of which pages may be demanded; the table's own job stands beside it."""
    at = table()
    audit = Audit(
        auditor=auditor, demand_until=at.model.now() + until, answer_time=answer_time, demand_fee=fee
    )
    at.job = replace(at.job, audit=audit)
    at.send(REQUESTER, m.OpenJob(terms=at.job))
    return at


def ask(at: Table, update: bytes, *, slot: int = WIDE, page: int = 0, sender: bytes = WATCHER) -> bytes:
    demand = at.model.apply(sender, d.Demand(update=update, slot=slot, page=page))
    assert isinstance(demand, bytes)
    at.model.check_conservation()
    return demand


def opener(at: Table, update: bytes) -> PageOpener:
    """Of the state that an update of the truth ends with."""
    known = at.model.update(update)
    geometry, last = at.job.geometry, known.first_segment + known.segments - 1
    step = last * geometry.stride + geometry.steps_of(last)
    return PageOpener(at.truth.trace.state_words(step), geometry, known.states[-1])


def demand_game() -> Lockstep:
    """A game on the contracts with each move about pages, and two updates that fall by them."""
    token = NEW_MODEL.set(lambda: Lockstep(every=10**9))
    try:
        at = audited()
    finally:
        NEW_MODEL.reset(token)
    for _ in range(2):
        update, built = at.post(at.truth, segments=1), at.post(at.truth, segments=1)
        demands = [ask(at, update, page=page) for page in range(4)]
        above = ask(at, built, slot=0, sender=OTHER)
        for demand in demands[:2]:
            known = at.model.availability.demands[demand]
            at.model.apply(TRAINER, opener(at, update).answer(known))
        at.model.advance(ANSWER_TIME + 1)
        at.model.apply(OTHER, d.Expire(demand=demands[2]))
        for demand in (demands[3], above):
            at.model.apply(WATCHER, d.CloseDemand(demand=demand))
    model = at.model
    assert isinstance(model, Lockstep)
    model.compare()
    return model
