"""Gas of a whole dispute, transaction by transaction (dispute.md, D-17), on py-evm.

Two disputes: one against lists of 128 children everywhere, with the verifier's part left out; and one of a
small program with the real verifier, played by solver and defence with the model beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

from protocol.game.view import UpdateStatus
from protocol.numerics.accumulator import Accumulator, exact_word
from tests.support.full_lists import full_dispute
from tests.support.game import NEW_MODEL, challenger, defender, one_word, table, with_accumulators
from tests.support.gas_evm import GasEvm
from tests.support.lockstep import GOVERNOR, SCHEDULED_GAS, START, Contracts, Lockstep
from tests.support.programs import floats

LIMIT = 5_000_000
TRANSACTIONS = 13
NINE = int(floats([9.0])[0])


def report(rows: Sequence[tuple[str, int]]) -> int:
    """Print the rows; return their sum."""
    total = sum(gas for _, gas in rows)
    print()
    for name, gas in [*rows, ("together", total)]:
        print(f"{name:>14} {gas:>10,}")
    return total


def test_a_dispute_over_full_lists_stays_below_the_limit() -> None:
    status, rows = full_dispute(GasEvm())
    assert status == "fallen"
    assert len(rows) == TRANSACTIONS
    assert report(rows) < LIMIT


def test_a_dispute_down_to_a_range_with_the_real_verifier_stays_below_the_limit() -> None:
    token = NEW_MODEL.set(lambda: Lockstep(every=10**6))
    try:
        at = table(fanout_log2=7)
    finally:
        NEW_MODEL.reset(token)
    right = at.truth.trace.accumulators(2, 0, 1)
    wrong = Accumulator(*exact_word(NINE))
    lie = at.openings(with_accumulators(one_word(2, 0, 1, value=NINE), 2, 0, 1, len(right) - 1, wrong))
    update = at.post(lie, segments=1)
    at.play([challenger(at, at.truth), defender(at, lie)], until=at.model.now() + 1_000)
    assert at.decided() == {"range": 1, "settle": 1}
    assert at.model.update(update).status == UpdateStatus.FALLEN
    assert isinstance(at.model, Lockstep)
    at.model.compare()
    walk = (
        "Reserve Open Commit SelectStep Commit Select Reveal Select RevealPage SelectWord Commit Prove Settle"
    )
    names = [type(entry.move).__name__ for entry in at.log][-TRANSACTIONS:]
    assert names == walk.split()
    gas = replayed(at.model.contracts)[-TRANSACTIONS:]
    assert report(list(zip(names, gas, strict=True))) < LIMIT


def replayed(contracts: Contracts) -> list[int]:
    """Gas of every transaction of a game, made again on py-evm."""
    evm = GasEvm(timestamp=START)
    token = evm.deploy("OddToken")
    board = evm.deploy("JobBoard", token.address, SCHEDULED_GAS)
    verifier = evm.deploy_judge("StepVerifier")
    court = evm.deploy("Court", board.address, verifier.address)
    availability = evm.deploy("Availability", board.address)
    board.call("bind", court.address, availability.address, GOVERNOR)
    assert court.address == contracts.court.address
    gas = []
    for evm.timestamp, sender, to, data in contracts.tape:
        gas.append(evm.send(to, data, sender=sender)[1])
    return gas
