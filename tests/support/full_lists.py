"""A dispute against lists of 128 children everywhere, as the `full` preset has them, with a verifier mock."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from protocol.commitments.tree import Tree
from tests.support.court import WORD, CourtWorld, page_tree
from tests.support.evm import FastEvm, Handle


class Meter:
    """Sends calls and writes down what each costs."""

    def __init__(self, world: CourtWorld) -> None:
        self.world = world
        self.rows: list[tuple[str, int]] = []

    def send(self, function: str, *args: Any, sender: str, to: Handle | None = None) -> Any:
        """Call the court, or another contract."""
        target = to or self.world.court
        result = target.call(function, *args, sender=sender)
        self.rows.append((function, target.gas))
        return result


def full_dispute(evm: FastEvm) -> tuple[str, list[tuple[str, int]]]:
    """Play it from the reservation to the fall.

    Returns:
        The update's status at the end, and function and gas of each transaction.
    """
    world = CourtWorld(
        evm=evm,
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
    full = replace(fold, tree=Tree(leaves, 7), last=120, fanout=7)
    meter.send("commit", *full.arguments(), sender=trainer)
    judge = [world.court.address, dispute, full.candidate, True]
    meter.send("judge", *judge, sender=watcher, to=world.verifier)
    world.at(world.view("position", full.position)["ends_at"] + 10_000)
    meter.send("settle", full.position, sender=watcher)
    return str(world.board.call("update_status", update)), meter.rows
