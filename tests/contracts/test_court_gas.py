"""Gas of a whole dispute, transaction by transaction (dispute.md, D-17), on py-evm.

Two disputes: one against lists of 128 children everywhere, with the verifier's part left out; and one of a
small program with the real verifier, played by solver and defence with the model beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from protocol.commitments.tree import Tree
from protocol.game.view import UpdateStatus
from protocol.numerics.accumulator import Accumulator, exact_word
from tests.support.court import WORD, CourtWorld, page_tree
from tests.support.evm import Handle
from tests.support.game import NEW_MODEL, challenger, defender, one_word, table, with_accumulators
from tests.support.gas_evm import GasEvm
from tests.support.lockstep import SCHEDULED_GAS, START, Contracts, Lockstep
from tests.support.programs import floats

LIMIT = 5_000_000
TRANSACTIONS = 13
NINE = int(floats([9.0])[0])


class Meter:
    """Sends calls and writes down what each costs."""

    def __init__(self, world: CourtWorld) -> None:
        self.world = world
        self.rows: list[tuple[str, int]] = []

    def send(self, function: str, *args: Any, sender: str, to: Handle | None = None) -> Any:
        target = to or self.world.court
        result = target.call(function, *args, sender=sender)
        self.rows.append((function, target.gas))
        return result


def report(rows: Sequence[tuple[str, int]]) -> int:
    """Print the rows; return their sum."""
    total = sum(gas for _, gas in rows)
    print()
    for name, gas in [*rows, ("together", total)]:
        print(f"{name:>14} {gas:>10,}")
    return total


def test_a_dispute_over_full_lists_stays_below_the_limit() -> None:
    world = CourtWorld(
        evm=GasEvm(),
        geometry={
            "n_nodes": 120,
            "n_slots": 100,
            "stride": 120,
            "steps": 240,
            "tensor_height": 7,
            "fanout_log2": 7,
            "max_segments": 63,
        },
    )
    world.verifier.call("set_fold", 1, 120, WORD)
    update = world.post()
    watcher, trainer = world.watcher, world.trainer
    meter = Meter(world)
    dispute = world.digest(update, 0, watcher)
    meter.send("reserve", world.job, dispute, sender=watcher)
    meter.send("open", *world.open_arguments(update), sender=watcher)
    steps = world.steps(update)
    meter.send("commit", *steps.arguments(), sender=trainer)
    leaf, path, before = steps.tree.node(0, 77), steps.tree.path(77), steps.tree.node(0, 76)
    step = [dispute, steps.candidate, 77, leaf, path, before, steps.tree.path(76)]
    meter.send("select_step", *step, sender=watcher)
    page = (bytes([7]) * 28) + WORD.to_bytes(4) + bytes([9]) * 224
    tensor = page_tree(
        [bytes([i]) * 256 for i in range(64)] + [page] + [bytes([i]) * 256 for i in range(63)], 7
    )
    outputs = [bytes([k]) * 32 for k in range(1, 120)] + [tensor.root]
    nodes = world.nodes(steps, 77, outputs=outputs)
    meter.send("commit", *nodes.arguments(), sender=trainer)
    select = [dispute, nodes.candidate, 119, tensor.root, nodes.tree.path(119)]
    meter.send("select", *select, sender=watcher)
    meter.send("reveal", tensor.children(7, 0, 7), sender=trainer)
    select = [dispute, nodes.candidate, 64, tensor.node(0, 64), tensor.path(64)]
    meter.send("select", *select, sender=watcher)
    meter.send("reveal_page", page, sender=trainer)
    opening = bytes([1]) * (1024 + 7 * 32)
    meter.send("select_word", dispute, nodes.candidate, 7, page, opening, sender=watcher)
    fold = world.fold(nodes, 119, 64 * 64 + 7)
    leaves = [fold.tree.node(0, 0), *(bytes([i]) * 32 for i in range(1, 120)), fold.tree.node(0, fold.last)]
    full = type(fold)(
        position=fold.position,
        kind=fold.kind,
        tree=Tree(leaves, 7),
        last=120,
        fanout=7,
        accumulator=fold.accumulator,
    )
    meter.send("commit", *full.arguments(), sender=trainer)
    judge = [world.court.address, dispute, full.candidate, True]
    meter.send("judge", *judge, sender=watcher, to=world.verifier)
    world.at(world.view("position", full.position)["ends_at"] + 10_000)
    meter.send("settle", full.position, sender=watcher)
    assert world.board.call("update_status", update) == "fallen"
    assert len(meter.rows) == TRANSACTIONS
    assert report(meter.rows) < LIMIT


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
    board.call("bind", court.address)
    assert court.address == contracts.court.address
    gas = []
    for evm.timestamp, sender, to, data in contracts.tape:
        gas.append(evm.send(to, data, sender=sender)[1])
    return gas
