"""Candidates: who may post, what they show, bonds, places, posting periods (dispute.md, D-5, D-6, D-16)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.commitments.tree import Tree
from protocol.game.ids import MOST_CANDIDATES
from tests.support.court import (
    ACCUMULATOR,
    FALLEN,
    STANDING,
    WORD,
    Commitment,
    CourtWorld,
    made_up,
    page_tree,
    pages,
    state,
)
from tests.support.evm import Reverted


def refused_commit(world: CourtWorld, reason: str, what: Commitment, *, sender: str | None = None) -> None:
    world.refused(reason, "commit", *what.arguments(), sender=sender or world.trainer)


def down_to_fold(world: CourtWorld) -> tuple[bytes, Commitment, Commitment, Tree, Commitment]:
    """Update, STEPS, NODES, the tensor of node 1, and the FOLD that was demanded and nobody has posted."""
    update = world.post()
    dispute = world.dispute(update)
    steps = world.steps(update)
    world.commit(steps)
    world.select_step(dispute, steps, 2)
    page = bytes(4) + WORD.to_bytes(4) + bytes(248)
    tensor = page_tree([page, *pages("rest")[1:]])
    nodes = world.nodes(steps, 2, outputs=[made_up(0), tensor.root, made_up(2)])
    world.commit(nodes)
    world.select_leaf(dispute, nodes, 1)
    world.select_page(dispute, nodes, tensor, 0)
    world.court.call("reveal_page", page)
    world.court.call("select_word", dispute, nodes.candidate, 1, page, b"opening", sender=world.watcher)
    return update, steps, nodes, tensor, world.fold(nodes, 1, 1)


def test_a_candidate_is_recorded_and_covered_by_the_updates_bond(world: CourtWorld) -> None:
    update = world.post()
    world.dispute(update)
    steps = world.steps(update)
    before = world.token.call("balanceOf", world.trainer)
    world.wait(5)
    assert world.commit(steps) == steps.candidate
    assert world.token.call("balanceOf", world.trainer) == before
    assert world.view("candidate", steps.candidate) == {
        "position": steps.position,
        "root": steps.tree.root,
        "poster": world.trainer.lower(),
        "posted_at": world.now,
        "status": STANDING,
        "bonded": False,
    }
    position = world.view("position", steps.position)
    assert (position["standing"], position["candidates"], position["covered"]) == (1, 1, True)
    assert world.court.call("candidates_of", steps.position, 0) == steps.candidate
    # the first list counts as revealed, and its log carries it
    assert world.court.call("revealed_at", steps.tree.root, 1) == world.now
    world.refused("court: revealed before", "reveal", steps.tree.children(2, 0, 1))
    refused_commit(world, "court: candidate exists", steps)


def test_the_trainers_second_candidate_takes_a_defence_bond(world: CourtWorld) -> None:
    update = world.post()
    world.dispute(update)
    world.commit(world.steps(update))
    before = world.token.call("balanceOf", world.trainer)
    second = world.steps(update, tag="second")
    world.commit(second)
    assert world.token.call("balanceOf", world.trainer) == before - world.money.defence_bond
    assert world.view("candidate", second.candidate)["bonded"]


def test_a_delegates_candidate_is_covered(world: CourtWorld) -> None:
    update = world.post()
    world.dispute(update)
    steps, dismissed = world.steps(update), world.steps(update, tag="dismissed")
    world.court.call("delegate", world.other, True, sender=world.second)
    world.court.call("delegate", world.other, True, sender=world.trainer)
    assert world.court.call("is_delegate", world.trainer, world.other)
    world.court.call("delegate", world.other, False, sender=world.trainer)
    world.commit(dismissed, sender=world.other)
    assert world.view("candidate", dismissed.candidate)["bonded"]
    world.court.call("delegate", world.other, True, sender=world.trainer)
    world.commit(steps, sender=world.other)
    assert world.view("position", steps.position)["covered"]
    assert not world.view("candidate", steps.candidate)["bonded"]


def test_anyone_posts_with_a_bond(world: CourtWorld) -> None:
    update = world.post()
    world.dispute(update)
    steps, wrong = world.steps(update), world.steps(update, tag="wrong")
    for what, sender in ((steps, world.second), (wrong, world.watcher)):
        before = world.token.call("balanceOf", sender)
        world.commit(what, sender=sender)
        assert world.token.call("balanceOf", sender) == before - world.money.defence_bond
    position = world.view("position", steps.position)
    assert (position["standing"], position["covered"]) == (2, False)
    # the trainer's own candidate is still covered
    world.commit(world.steps(update, tag="own"))
    assert world.view("position", steps.position)["covered"]


def test_the_trainers_side_takes_its_root_over_from_whoever_posted_it_first(world: CourtWorld) -> None:
    update = world.post()
    dispute = world.dispute(update)
    steps = world.steps(update)
    world.commit(steps, sender=world.other)
    world.commit(world.steps(update, tag="false"), sender=world.other)
    before, clock = (
        world.view("candidate", steps.candidate),
        world.court.call("classify", dispute, steps.candidate),
    )
    world.wait(7)
    refused_commit(world, "court: candidate exists", steps, sender=world.watcher)
    refused_commit(world, "court: candidate exists", steps, sender=world.other)
    tokens = world.token.call("balanceOf", world.trainer)
    world.commit(steps)
    assert world.view("candidate", steps.candidate) == {
        **before,
        "poster": world.trainer.lower(),
        "bonded": False,
    }
    # D-5: neither its place nor a clock moves, one bond has come back, none was taken
    assert world.court.call("classify", dispute, steps.candidate) == clock
    assert world.court.call("candidates_of", steps.position, 0) == steps.candidate
    position = world.view("position", steps.position)
    assert (position["standing"], position["candidates"], position["covered"]) == (2, 2, True)
    assert world.credit(world.other) == world.money.defence_bond
    assert world.token.call("balanceOf", world.trainer) == tokens
    # once: the next one of the trainer's side takes a bond, and what stands under one stays its poster's
    refused_commit(world, "court: candidate exists", steps)
    refused_commit(world, "court: candidate exists", world.steps(update, tag="false"))
    world.refused("court: no defence bond held", "free", steps.candidate)


def test_what_has_fallen_or_is_covered_is_not_taken_over(world: CourtWorld) -> None:
    update = world.post()
    world.dispute(update)
    own = world.steps(update, tag="own")
    world.commit(own)
    world.commit(world.steps(update), sender=world.other)
    # the cover is used, so the trainer takes over nothing more
    refused_commit(world, "court: candidate exists", world.steps(update))
    refused_commit(world, "court: candidate exists", own, sender=world.other)


def test_a_fallen_root_is_not_taken_over(world: CourtWorld) -> None:
    update = world.post()
    dispute = world.dispute(update)
    steps = world.steps(update)
    world.commit(steps, sender=world.other)
    position = world.select_step(dispute, steps, 2)
    nodes = world.nodes(steps, 2)
    world.commit(nodes, sender=world.other)
    world.select_leaf(dispute, nodes, 0)
    world.at(world.court.call("classify", dispute, nodes.candidate)[1] + world.clocks.reserve + 1)
    world.court.call("silence", dispute, nodes.candidate)
    assert world.view("position", position)["standing"] == 0
    if world.now <= world.view("position", position)["ends_at"]:
        refused_commit(world, "court: candidate exists", nodes)
    else:
        refused_commit(world, "court: posting period is over", nodes)


def test_one_place_of_1023_is_kept_for_the_covered_candidate(world: CourtWorld) -> None:
    update = world.post()
    world.dispute(update)
    for i in range(MOST_CANDIDATES - 1):
        world.commit(world.steps(update, tag=i), sender=world.second)
    full = world.steps(update, tag=MOST_CANDIDATES)
    refused_commit(world, "court: no place left", full, sender=world.second)
    world.commit(world.steps(update, tag="own"))
    refused_commit(world, "court: no place left", full)
    position = world.view("position", full.position)
    assert (position["candidates"], position["standing"]) == (MOST_CANDIDATES, MOST_CANDIDATES)
    last = world.steps(update, tag="own").candidate
    assert world.court.call("candidates_of", full.position, MOST_CANDIDATES - 1) == last
    assert world.court.call("candidates_of", full.position, MOST_CANDIDATES) == bytes(32)


def test_all_places_are_free_once_the_covered_candidate_stands(world: CourtWorld) -> None:
    update = world.post()
    world.dispute(update)
    for i in range(MOST_CANDIDATES):
        world.commit(world.steps(update, tag=i))
    refused_commit(world, "court: no place left", world.steps(update, tag=MOST_CANDIDATES))


@pytest.mark.parametrize(("late", "accepted"), [(-1, True), (0, True), (1, False)])
def test_the_posting_period_ends(world: CourtWorld, late: int, accepted: bool) -> None:
    update = world.post()
    world.dispute(update)
    steps = world.steps(update)
    world.at(world.view("position", steps.position)["ends_at"] + late)
    if accepted:
        world.commit(steps)
    else:
        refused_commit(world, "court: posting period is over", steps)


def test_the_end_points_of_steps_are_the_segments(world: CourtWorld) -> None:
    update = world.post()
    world.dispute(update)
    steps = world.steps(update)
    refused_commit(world, "court: no such position", replace(steps, position=made_up("position")))
    leaves = [steps.tree.node(0, i) for i in range(4)]

    def with_leaves(*leaves: bytes) -> Commitment:
        return replace(steps, tree=Tree(leaves, 2))

    refused_commit(world, "court: wrong first end point", with_leaves(made_up(0), *leaves[1:]))
    refused_commit(world, "court: wrong last end point", with_leaves(*leaves[:3], made_up(3)))
    refused_commit(world, "court: wrong number of children", replace(steps, fanout=2))
    refused_commit(world, "court: accumulator not asked for", replace(steps, accumulator=ACCUMULATOR))
    position, children, first, last, empty = steps.arguments()
    for path in ([], [*first, made_up(1)], last):
        arguments = position, children, path, last, empty
        world.refused("court: wrong first end point", "commit", *arguments, sender=world.trainer)
        arguments = position, children, first, path if path != last else first, empty
        world.refused("court: wrong last end point", "commit", *arguments, sender=world.trainer)


def test_the_last_segment_ends_where_its_steps_end(world: CourtWorld) -> None:
    # 20 steps in segments of 3: the seventh has two
    update = world.post(7)
    world.dispute(update, segment=6, segments=7)
    steps = world.steps(update, segment=6)
    assert steps.last == 2
    too_long = Tree([state(6), made_up(1), made_up(2), state(7)], 2)
    refused_commit(world, "court: wrong last end point", replace(steps, tree=too_long, last=3))
    # what stands past the last step means nothing
    padded = Tree([state(6), made_up(1), state(7), made_up("beyond")], 2)
    world.commit(replace(steps, tree=padded))


def test_the_end_point_of_nodes_is_the_state_after_the_step(world: CourtWorld) -> None:
    update = world.post()
    dispute = world.dispute(update)
    steps = world.steps(update)
    world.commit(steps)
    world.select_step(dispute, steps, 1)
    nodes = world.nodes(steps, 1)
    outputs = [nodes.tree.node(0, i) for i in range(3)]
    wrong = replace(nodes, tree=Tree([*outputs, made_up("state")], 2))
    refused_commit(world, "court: wrong last end point", wrong)
    arguments = nodes.arguments()
    with_first = (*arguments[:2], nodes.tree.path_between(0, 0, 1), *arguments[3:])
    world.refused("court: first path not asked for", "commit", *with_first, sender=world.trainer)
    world.commit(nodes)


def test_the_end_points_of_a_fold_are_the_empty_and_the_whole_accumulator(world: CourtWorld) -> None:
    *_, fold = down_to_fold(world)
    leaves = [fold.tree.node(0, i) for i in range(6)]
    refused_commit(world, "court: accumulator of 97 bytes", replace(fold, accumulator=ACCUMULATOR[:-1]))
    other = replace(fold, accumulator=bytes([2]) + ACCUMULATOR[1:])
    refused_commit(world, "court: wrong last end point", other)
    not_empty = replace(fold, tree=Tree([made_up(0), *leaves[1:]], 3))
    refused_commit(world, "court: wrong first end point", not_empty)
    world.verifier.call("set_fold", 1, 5, WORD + 1)
    refused_commit(world, "court: accumulator not the word's", fold)
    world.verifier.call("set_fold", 1, 5, WORD)
    world.commit(fold)
    position = world.view("position", fold.position)
    assert (position["kind"], position["a"], position["b"], position["allowance"]) == (6, 1, 1, 0)
    assert int.from_bytes(position["last"]) == WORD | 1 << 64 | 5 << 128


def test_nothing_is_posted_below_what_fell_or_for_an_update_that_is_gone(world: CourtWorld) -> None:
    update, steps, nodes, tensor, fold = down_to_fold(world)
    # a second dispute demands another step under the same candidate, and proves the first one's NODES wrong
    other = world.dispute(update, sender=world.other)
    position = world.select_step(other, steps, 1, sender=world.other)
    assert position == world.nodes(steps, 1).position
    world.select_step(world.dispute(update, sender=world.third), steps, 2, sender=world.third)
    third = world.digest(update, 0, world.third)
    world.select_leaf(third, nodes, 1, sender=world.third)
    world.select(third, nodes, tensor, 1, 0, sender=world.third)
    world.judge(third, nodes.candidate, True, sender=world.third)
    assert world.view("candidate", nodes.candidate)["status"] == FALLEN
    refused_commit(world, "court: fallen above", fold)
    world.at(world.view("position", nodes.position)["ends_at"] + 1)
    world.court.call("settle", nodes.position)
    assert world.view("candidate", steps.candidate)["status"] == FALLEN
    assert not world.board.call("is_live", update)
    refused_commit(world, "court: update is not live", steps)

    # an update that fell at one segment takes no candidate at another one
    later = world.post(2)
    world.dispute(later, segment=0)
    world.at(world.view("position", world.steps(later).position)["ends_at"])
    world.dispute(later, segment=1)
    world.wait(1)
    world.court.call("settle", world.steps(later).position)
    refused_commit(world, "court: update is not live", world.steps(later, segment=1))


def test_a_defence_bond_comes_back_once_when_the_candidate_is_no_longer_needed(world: CourtWorld) -> None:
    update = world.post()
    dispute = world.dispute(update)
    steps, spare = world.steps(update), world.steps(update, tag="spare")
    world.commit(steps)
    world.commit(spare)
    world.refused("court: no defence bond held", "free", steps.candidate)
    world.refused("court: no defence bond held", "free", made_up("candidate"))
    world.refused("court: candidate is still needed", "free", spare.candidate)
    limit = world.now + world.clocks.allowance + world.clocks.response + world.clocks.reserve
    world.at(limit + 1)
    world.court.call("timeout", dispute, steps.candidate)
    world.at(world.now + 10 * world.clocks.window)
    # final by time is enough, nobody need have recorded it
    held = world.free_tokens()
    world.court.call("free", spare.candidate)
    assert world.free_tokens() == held - world.money.defence_bond
    assert world.board.call("update_status", update) == "final"
    assert world.view("candidate", spare.candidate)["status"] == STANDING
    world.refused("court: no defence bond held", "free", spare.candidate)


def test_a_defence_bond_comes_back_when_something_above_fell(world: CourtWorld) -> None:
    update = world.post()
    dispute = world.dispute(update)
    steps, right = world.steps(update), world.steps(update, tag="right")
    world.commit(steps)
    world.commit(right)
    world.select_step(dispute, steps, 2)
    other = world.dispute(update, sender=world.other)
    world.select_step(other, steps, 1, sender=world.other)
    nodes, spare = world.nodes(steps, 2), world.nodes(steps, 2, tag="spare")
    world.commit(nodes)
    world.commit(spare)
    # nobody answers for step 1, so the STEPS candidate falls; the update still has another
    world.at(world.view("position", world.nodes(steps, 1).position)["ends_at"] + 1)
    world.refused("court: candidate is still needed", "free", spare.candidate)
    world.court.call("settle", world.nodes(steps, 1).position)
    assert world.view("candidate", steps.candidate)["status"] == FALLEN
    assert world.board.call("is_live", update)
    world.court.call("free", spare.candidate)
    world.refused("court: candidate is still needed", "free", right.candidate)
    world.refused("court: no defence bond held", "free", nodes.candidate)


def test_reveals_are_checked_by_their_hash_and_made_once(world: CourtWorld) -> None:
    for count in (0, 1, 3, 255):
        world.refused("court: children not 2^n", "reveal", [made_up(i) for i in range(count)])
    for levels in range(1, 9):
        tree = Tree([made_up(levels, i) for i in range(1 << levels)], levels)
        children = tree.children(levels, 0, levels)
        assert world.court.call("revealed_at", tree.root, levels) == 0
        assert world.court.call("reveal", children, sender=world.other) == tree.root
        (event,) = world.court.events
        assert (event.name, event.args["hash"], event.args["levels"]) == ("Revealed", tree.root, levels)
        assert list(event.args["children"]) == children
        world.wait(1)
        assert world.court.call("revealed_at", tree.root, levels) == world.now - 1
        world.refused("court: revealed before", "reveal", children)
    page = pages("a")[0]
    world.refused("court: a page has 256 bytes", "reveal_page", page[:-1])
    assert world.court.call("reveal_page", page) == page_tree([page], 0).root
    (event,) = world.court.events
    assert (event.name, event.args["page"]) == ("PageRevealed", page)
    assert world.court.call("revealed_at", page_tree([page], 0).root, 255) == world.now
    world.refused("court: page revealed before", "reveal_page", page)


def test_what_was_revealed_before_stays_when_it_is_committed(world: CourtWorld) -> None:
    update = world.post()
    world.dispute(update)
    steps = world.steps(update)
    early = world.now
    world.reveal(steps.tree, 2, 0)
    world.wait(9)
    world.commit(steps)
    assert [event.name for event in world.court.events] == ["Committed"]
    assert world.court.call("revealed_at", steps.tree.root, 1) == early


def test_a_commitment_that_cannot_pay_is_refused_whole(world: CourtWorld) -> None:
    update = world.post()
    world.dispute(update)
    world.commit(world.steps(update))
    world.token.call("approve", world.board.address, 0, sender=world.trainer)
    poor = world.steps(update, tag="poor")
    with pytest.raises(Reverted):
        world.commit(poor)
    assert world.view("candidate", poor.candidate)["status"] == 0
    assert world.view("position", poor.position)["candidates"] == 1
