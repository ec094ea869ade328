"""Moves of the challenger, and what a proof must show (dispute.md, D-7 to D-11; program.md, P-15, P-16)."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.commitments.tree import ZERO, Tree
from protocol.game.ids import Kind, position_id
from tests.support.court import (
    BRANCH_CLOSED,
    CHALLENGER,
    DEFENDER,
    FALLEN,
    LOST,
    RANGES,
    WAITING,
    Commitment,
    CourtWorld,
    made_up,
    page_tree,
    pages,
)


def cursor(world: CourtWorld, dispute: bytes, candidate: bytes) -> tuple[Any, ...]:
    """Kind, hash, height, index, node of a branch's cursor."""
    branch = world.view("branch", dispute, candidate)
    return tuple(branch[name] for name in ("kind", "hash", "height", "index", "node"))


def opened(world: CourtWorld) -> tuple[bytes, bytes, Commitment]:
    """Update, dispute, and its STEPS candidate."""
    update = world.post()
    dispute = world.dispute(update)
    steps = world.steps(update)
    world.commit(steps)
    return update, dispute, steps


def at_nodes(world: CourtWorld, outputs: list[bytes] | None = None) -> tuple[bytes, Commitment, Commitment]:
    """Dispute, STEPS and NODES candidates (of step 2)."""
    _, dispute, steps = opened(world)
    world.select_step(dispute, steps, 2)
    nodes = world.nodes(steps, 2, outputs=outputs)
    world.commit(nodes)
    return dispute, steps, nodes


def at_page(world: CourtWorld, page: int = 2) -> tuple[bytes, Commitment, bytes]:
    """Dispute, NODES candidate and the bytes of a page of node 1 that the cursor is at, revealed."""
    content = pages("tensor")
    tensor = page_tree(content)
    dispute, _, nodes = at_nodes(world, [made_up(0), tensor.root, made_up(2)])
    world.select_leaf(dispute, nodes, 1)
    world.select_page(dispute, nodes, tensor, page)
    world.court.call("reveal_page", content[page])
    return dispute, nodes, content[page]


def test_a_branch_comes_to_be_with_the_candidate(world: CourtWorld) -> None:
    update = world.post()
    dispute = world.dispute(update)
    steps = world.steps(update)
    assert world.court.call("classify", dispute, steps.candidate) == (0, 0, 0)
    assert world.view("branch", dispute, steps.candidate)["kind"] == 0
    world.refused("court: no such branch", "select", dispute, steps.candidate, 0, ZERO, [])
    world.commit(steps)
    assert world.view("branch", dispute, steps.candidate) == {
        "kind": Kind.STEPS,
        "hash": steps.tree.root,
        "height": 2,
        "index": 0,
        "node": 0,
        "word_index": 0,
        "moved_at": 0,
        "waiting": False,
        "demanded": ZERO,
        "challenger_reserve": world.clocks.reserve,
        "defence_reserve": world.clocks.reserve,
    }
    assert world.status(dispute, steps.candidate) == CHALLENGER
    # a dispute over another segment has no branch here
    other = world.dispute(update, segment=1)
    world.refused("court: no such branch", "select", other, steps.candidate, 0, ZERO, [])


def test_only_the_challenger_moves_and_only_in_its_turn(world: CourtWorld) -> None:
    _, dispute, steps = opened(world)
    root_list = steps.tree.children(2, 0, 1)
    move = [dispute, steps.candidate, 0, root_list[0], [root_list[1]]]
    world.refused("court: not the challenger", "select", *move, sender=world.trainer)
    world.refused("court: not the challenger", "select", made_up("dispute"), *move[1:])
    world.court.call("select", *move, sender=world.watcher)
    assert cursor(world, dispute, steps.candidate) == (Kind.STEPS, root_list[0], 1, 0, 0)
    assert world.status(dispute, steps.candidate) == DEFENDER
    world.refused("court: not the challenger's turn", "select", *move)
    world.refused("court: not the challenger's turn", "proof_context", dispute, steps.candidate)


def test_a_selection_opens_a_node_of_the_revealed_list(world: CourtWorld) -> None:
    _, dispute, steps = opened(world)
    left, right = steps.tree.children(2, 0, 1)
    for index, leaf, path in (
        (1, left, [right]),
        (0, right, [left]),
        (0, made_up(1), [right]),
        (0, left, []),
    ):
        world.refused("court: not under the cursor", "select", dispute, steps.candidate, index, leaf, path)
    deep = steps.tree.node(0, 0), [steps.tree.node(0, 1), right]
    world.refused("court: not under the cursor", "select", dispute, steps.candidate, 0, *deep)
    world.refused("court: index outside the list", "select", dispute, steps.candidate, 2, left, [right])


def test_a_step_is_selected_with_the_state_before_it(world: CourtWorld) -> None:
    update, dispute, steps = opened(world)
    for step in (1, 2, 3):
        arguments = world.step_arguments(dispute, steps, step)
        world.refused("court: not under the cursor", "select_step", *arguments)
    left, right = steps.tree.children(2, 0, 1)
    arguments = [dispute, steps.candidate, 0, left, [right], ZERO, []]
    world.refused("court: not a step yet", "select_step", *arguments)

    world.select(dispute, steps, steps.tree, 1, 0)
    world.reveal(steps.tree, 1, 0)
    leaf, path = steps.tree.node(0, 1), steps.tree.path_between(0, 1, 1)
    world.refused("court: leaf has its own move", "select", dispute, steps.candidate, 1, leaf, path)
    world.refused("court: not at a last level", "proof_context", dispute, steps.candidate)
    world.refused("court: not at a page", "select_word", dispute, steps.candidate, 0, b"", b"")
    good = world.step_arguments(dispute, steps, 1)
    zero = [dispute, steps.candidate, 0, steps.tree.node(0, 0), steps.tree.path_between(0, 0, 1), ZERO, []]
    world.refused("court: no such step", "select_step", *zero)
    for before in (
        [made_up(1), good[6]],
        [good[5], good[6][:-1]],
        [steps.tree.node(0, 1), steps.tree.path(1)],
    ):
        world.refused("court: state before not committed", "select_step", *good[:5], *before)

    world.wait(3)
    position = world.court.call("select_step", *good, sender=world.watcher)
    assert position == position_id(steps.candidate, Kind.NODES, 1)
    demanded = world.view("position", position)
    assert (demanded["parent"], demanded["a"], demanded["b"]) == (steps.candidate, 1, 0)
    assert (demanded["first"], demanded["last"]) == (steps.tree.node(0, 0), steps.tree.node(0, 1))
    assert demanded["claimant"] == dispute
    # the second trace against the update
    assert demanded["allowance"] == 2 * world.clocks.allowance
    assert world.court.call("traces", update) == 2
    assert (
        demanded["ends_at"]
        == world.now + demanded["allowance"] + world.clocks.response + world.clocks.reserve
    )
    branch = world.view("branch", dispute, steps.candidate)
    assert (branch["waiting"], branch["demanded"], branch["index"], branch["height"]) == (
        True,
        position,
        0,
        1,
    )
    assert world.court.call("classify", dispute, steps.candidate) == (WAITING, 0, 0)
    world.refused("court: not the challenger's turn", "select_step", *good)


def test_leaves_past_the_last_step_are_not_selected(world: CourtWorld) -> None:
    update = world.post(7)
    dispute = world.dispute(update, segment=6, segments=7)
    steps = world.steps(update, segment=6)
    world.commit(steps)
    world.select(dispute, steps, steps.tree, 1, 1)
    world.reveal(steps.tree, 1, 1)
    world.refused("court: no such step", "select_step", *world.step_arguments(dispute, steps, 3))
    arguments = world.step_arguments(dispute, steps, 2)
    assert world.court.call("select_step", *arguments, sender=world.watcher)


def test_a_node_is_selected_and_its_tensor_walked_to_a_page(world: CourtWorld) -> None:
    content = pages("tensor")
    tensor = page_tree(content)
    dispute, _, nodes = at_nodes(world, [made_up(0), tensor.root, made_up(2)])
    world.refused("court: not among steps", "select_step", dispute, nodes.candidate, 0, ZERO, [], ZERO, [])
    world.refused("court: not at a last level", "proof_context", dispute, nodes.candidate)
    world.select_leaf(dispute, nodes, 1)
    assert cursor(world, dispute, nodes.candidate) == (Kind.TENSOR, tensor.root, 2, 0, 1)
    world.reveal(tensor, 2, 0)
    world.refused("court: not at a last level", "proof_context", dispute, nodes.candidate)
    world.select(dispute, nodes, tensor, 1, 1)
    assert cursor(world, dispute, nodes.candidate) == (Kind.TENSOR, tensor.node(1, 1), 1, 1, 1)
    world.reveal(tensor, 1, 1)
    assert world.court.call("proof_context", dispute, nodes.candidate)[7:10] == (Kind.TENSOR, 1, 1)
    world.select(dispute, nodes, tensor, 0, 3)
    assert cursor(world, dispute, nodes.candidate) == (Kind.PAGE, tensor.node(0, 3), 6, 3, 1)
    assert world.status(dispute, nodes.candidate) == DEFENDER
    world.court.call("reveal_page", content[3])
    assert world.status(dispute, nodes.candidate) == CHALLENGER
    world.refused("court: word has its own move", "select", dispute, nodes.candidate, 0, ZERO, [])


def test_an_absent_page_needs_no_reveal_and_is_only_proven(world: CourtWorld) -> None:
    tensor = page_tree(pages("tensor", absent=(3,)))
    dispute, _, nodes = at_nodes(world, [made_up(0), tensor.root, made_up(2)])
    world.select_leaf(dispute, nodes, 1)
    world.select_page(dispute, nodes, tensor, 3)
    assert cursor(world, dispute, nodes.candidate) == (Kind.TENSOR, ZERO, 0, 3, 1)
    assert world.status(dispute, nodes.candidate) == CHALLENGER
    world.refused("court: nothing below the cursor", "select", dispute, nodes.candidate, 0, ZERO, [])
    assert world.court.call("proof_context", dispute, nodes.candidate)[6:10] == (ZERO, Kind.TENSOR, 0, 3)
    world.judge(dispute, nodes.candidate, False)
    assert world.view("dispute", dispute)["status"] == LOST


def test_the_last_leaf_of_nodes_is_a_state_and_leaves_past_it_are_nothing(world: CourtWorld) -> None:
    _, dispute, steps = opened(world)
    slots = Tree([made_up("slot", i) for i in range(2)], 1)
    # a STEPS tree whose step 2 ends in a state that can be revealed
    leaves = [steps.tree.node(0, 0), steps.tree.node(0, 1), slots.root, steps.tree.node(0, 3)]
    again = Commitment(position=steps.position, kind=Kind.STEPS, tree=Tree(leaves, 2), last=3)
    world.commit(again)
    world.select_step(dispute, again, 2)
    nodes = world.nodes(again, 2)
    world.commit(nodes)
    world.select_leaf(dispute, nodes, 3)
    assert cursor(world, dispute, nodes.candidate) == (Kind.STATE, slots.root, 1, 0, 0)
    world.reveal(slots, 1, 0)
    leaf, path = slots.node(0, 1), slots.path(1)
    world.refused("court: leaf has its own move", "select", dispute, nodes.candidate, 1, leaf, path)
    context = world.court.call("proof_context", dispute, nodes.candidate)
    assert context[3:10] == (nodes.tree.root, again.tree.node(0, 1), ZERO, slots.root, Kind.STATE, 1, 0)


def test_nodes_past_the_last_are_not_selected() -> None:
    world = CourtWorld(geometry={"n_nodes": 4})
    dispute, _, nodes = at_nodes(world)
    assert nodes.tree.height == 3
    world.select(dispute, nodes, nodes.tree, 2, 1)
    world.reveal(nodes.tree, 2, 1)
    world.select(dispute, nodes, nodes.tree, 1, 2)
    world.reveal(nodes.tree, 1, 2)
    leaf, path = nodes.tree.node(0, 5), nodes.tree.path_between(0, 5, 1)
    world.refused("court: no such node", "select", dispute, nodes.candidate, 1, leaf, path)
    world.select(dispute, nodes, nodes.tree, 0, 4)
    assert cursor(world, dispute, nodes.candidate)[0] == Kind.STATE


@pytest.mark.parametrize(("slots", "tensor_height"), [(1, 0), (2, 0)])
def test_trees_of_height_zero_are_their_leaf(slots: int, tensor_height: int) -> None:
    world = CourtWorld(geometry={"n_slots": slots, "tensor_height": tensor_height})
    page = pages("only")[0]
    outputs = [page_tree([page], 0).root, ZERO, made_up(2)]
    dispute, _, nodes = at_nodes(world, outputs)
    second = world.dispute(world.view("dispute", dispute)["update"], sender=world.other)
    third = world.dispute(world.view("dispute", dispute)["update"], sender=world.third)
    steps = world.steps(world.view("dispute", dispute)["update"])
    for who, sender in ((second, world.other), (third, world.third)):
        world.select_step(who, steps, 2, sender=sender)
    # a tensor of one page is a PAGE cursor at once, and an absent one stays a TENSOR cursor
    world.select_leaf(dispute, nodes, 0)
    assert cursor(world, dispute, nodes.candidate) == (Kind.PAGE, outputs[0], 6, 0, 0)
    assert world.status(dispute, nodes.candidate) == DEFENDER
    world.select_leaf(second, nodes, 1, sender=world.other)
    assert cursor(world, second, nodes.candidate) == (Kind.TENSOR, ZERO, 0, 0, 1)
    assert world.status(second, nodes.candidate) == CHALLENGER
    # a state of one slot is that slot's root
    world.select_leaf(third, nodes, 3, sender=world.third)
    assert cursor(world, third, nodes.candidate)[2] == slots - 1
    if slots == 1:
        assert world.status(third, nodes.candidate) == CHALLENGER
        world.refused(
            "court: nothing below the cursor",
            "select",
            third,
            nodes.candidate,
            0,
            ZERO,
            [],
            sender=world.third,
        )
        world.judge(third, nodes.candidate, True, sender=world.third)
        assert world.view("candidate", nodes.candidate)["status"] == FALLEN


def test_a_word_is_selected_from_the_page_at_the_cursor(world: CourtWorld) -> None:
    dispute, nodes, page = at_page(world)
    world.refused("court: a page has 64 words", "select_word", dispute, nodes.candidate, 64, page, b"")
    for wrong in (page[:-1] + b"\x00", page[:-4], b""):
        world.refused(
            "court: page is not at the cursor", "select_word", dispute, nodes.candidate, 0, wrong, b""
        )
    position = world.court.call("select_word", dispute, nodes.candidate, 63, page, b"", sender=world.watcher)
    assert position == position_id(nodes.candidate, Kind.FOLD, 1, 2 * 64 + 63)
    demanded = world.view("position", position)
    assert (demanded["kind"], demanded["a"], demanded["b"]) == (6, 1, 2 * 64 + 63)
    assert int.from_bytes(demanded["last"]) == int.from_bytes(page[-4:]) | 1 << 64 | RANGES << 128
    # no trace has to be built for a fold
    assert demanded["allowance"] == 0
    assert demanded["ends_at"] == world.now + world.clocks.response + world.clocks.reserve
    branch = world.view("branch", dispute, nodes.candidate)
    assert (branch["kind"], branch["index"], branch["demanded"]) == (Kind.PAGE, 2, position)
    assert world.status(dispute, nodes.candidate) == WAITING


def test_a_fold_is_walked_and_proven_at_its_last_level(world: CourtWorld) -> None:
    dispute, nodes, page = at_page(world)
    world.verifier.call("set_fold", 1, RANGES, int.from_bytes(page[28:32]))
    world.court.call("select_word", dispute, nodes.candidate, 7, page, b"", sender=world.watcher)
    fold = world.fold(nodes, 1, 2 * 64 + 7)
    world.commit(fold)
    assert cursor(world, dispute, fold.candidate) == (Kind.FOLD, fold.tree.root, 3, 0, 1)
    assert world.view("branch", dispute, fold.candidate)["word_index"] == 2 * 64 + 7
    for level, index in ((2, 1), (1, 2)):
        world.select(dispute, fold, fold.tree, level, index)
        world.refused("court: not the challenger's turn", "proof_context", dispute, fold.candidate)
        world.reveal(fold.tree, level, index)
    leaf, path = fold.tree.node(0, 5), fold.tree.path_between(0, 5, 1)
    world.refused("court: leaf has its own move", "select", dispute, fold.candidate, 1, leaf, path)
    g, terms = world.terms.geometry, world.terms
    assert world.court.call("proof_context", dispute, fold.candidate) == (
        terms.program_root,
        terms.inputs_root,
        terms.seed,
        nodes.tree.root,
        world.view("position", nodes.position)["first"],
        fold.tree.root,
        fold.tree.node(1, 2),
        Kind.FOLD,
        1,
        2,
        1,
        2 * 64 + 7,
        1,  # step 2 of segment 0 leads from state 1 to state 2
        g.n_nodes,
        g.n_slots,
        g.n_inputs,
        g.n_rows,
        g.batch,
        g.tensor_height,
        g.input_height,
        g.range_log2,
    )


def test_the_step_of_a_proof_counts_from_the_start_of_the_job(world: CourtWorld) -> None:
    update = world.post()
    dispute = world.dispute(update, segment=1)
    steps = world.steps(update, segment=1)
    world.commit(steps)
    world.select_step(dispute, steps, 3)
    tensor = page_tree(pages("t"))
    nodes = world.nodes(steps, 3, outputs=[tensor.root, made_up(1), made_up(2)])
    world.commit(nodes)
    world.select_leaf(dispute, nodes, 0)
    world.reveal(tensor, 2, 0)
    world.select(dispute, nodes, tensor, 1, 0)
    world.reveal(tensor, 1, 0)
    context = world.court.call("proof_context", dispute, nodes.candidate)
    assert context[4] == steps.tree.node(0, 2)
    assert context[12] == world.terms.geometry.stride + 2


def test_a_verdict_comes_from_the_verifier_for_the_challenger(world: CourtWorld) -> None:
    dispute, nodes, _ = at_page(world)
    world.refused("court: not the verifier", "verdict", dispute, nodes.candidate, world.watcher, True)
    # somebody else's proof, however right
    world.tell("court: not the challenger", dispute, nodes.candidate, world.other, True)
    world.judge(dispute, nodes.candidate, True)
    assert world.view("candidate", nodes.candidate)["status"] == FALLEN
    world.tell("court: branch is closed", dispute, nodes.candidate, world.watcher, True)
    assert world.status(dispute, nodes.candidate) == BRANCH_CLOSED


def test_a_verdict_waits_for_a_last_level(world: CourtWorld) -> None:
    dispute, steps, nodes = at_nodes(world)
    world.tell("court: not the challenger's turn", dispute, steps.candidate, world.watcher, False)
    world.tell("court: not at a last level", dispute, nodes.candidate, world.watcher, False)
    world.tell("court: no such branch", dispute, made_up("candidate"), world.watcher, False)


def test_a_reveal_serves_every_branch_that_comes_to_it(world: CourtWorld) -> None:
    update, dispute, steps = opened(world)
    other = world.dispute(update, sender=world.other)
    world.select(dispute, steps, steps.tree, 1, 1)
    world.wait(2)
    world.reveal(steps.tree, 1, 1)
    world.wait(2)
    world.select(other, steps, steps.tree, 1, 1, sender=world.other)
    assert world.status(dispute, steps.candidate) == world.status(other, steps.candidate) == CHALLENGER
    # due R after the reveal for the one, R after its own move for the other, which came later
    assert world.court.call("classify", dispute, steps.candidate)[1] == world.now - 2 + world.clocks.response
    assert world.court.call("classify", other, steps.candidate)[1] == world.now + world.clocks.response
    # each demands a step of its own under the one candidate
    world.court.call("select_step", *world.step_arguments(dispute, steps, 2), sender=world.watcher)
    world.court.call("select_step", *world.step_arguments(other, steps, 3), sender=world.other)
    for who, step in ((dispute, 2), (other, 3)):
        position = position_id(steps.candidate, Kind.NODES, step)
        assert world.view("branch", who, steps.candidate)["demanded"] == position
    nodes = world.nodes(steps, 3)
    world.commit(nodes)
    assert world.view("branch", dispute, nodes.candidate)["kind"] == 0
    assert world.view("branch", other, nodes.candidate)["kind"] == Kind.NODES
    world.refused("court: no such branch", "select", dispute, nodes.candidate, 0, ZERO, [])
