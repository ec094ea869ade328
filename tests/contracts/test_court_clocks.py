"""Every clock one second before its end, at it, and one second after (dispute.md, D-4, D-12, D-13)."""

from __future__ import annotations

import pytest

from tests.support.court import (
    CHALLENGER,
    CHALLENGER_LATE,
    DEFENDER,
    DEFENDER_LATE,
    FALLEN,
    LOST,
    WAITING,
    Commitment,
    CourtWorld,
    made_up,
    page_tree,
    pages,
)

AROUND = [(-1, True), (0, True), (1, False)]


def opened(world: CourtWorld, *, post_after: int = 0) -> tuple[bytes, Commitment, int]:
    """Dispute, STEPS candidate, time of the demand."""
    update = world.post()
    dispute = world.dispute(update)
    demanded_at = world.now
    steps = world.steps(update)
    world.wait(post_after)
    world.commit(steps)
    return dispute, steps, demanded_at


def judged_around(
    world: CourtWorld, dispute: bytes, candidate: bytes, *, due: int, reserve: int, late: int, in_time: bool
) -> None:
    """Go to the last moment of the challenger's move, or beside it; assert what the classifier says there."""
    world.at(due + reserve + late)
    status = CHALLENGER if in_time else CHALLENGER_LATE
    assert world.court.call("classify", dispute, candidate) == (status, due, reserve)


def challengers_move(
    world: CourtWorld, dispute: bytes, at: Commitment, level: int, index: int, *, in_time: bool
) -> None:
    """The challenger moves, and may be timed out: exactly one of the two is accepted."""
    if in_time:
        world.refused("court: challenger is not late", "timeout", dispute, at.candidate)
        world.select(dispute, at, at.tree, level, index)
    else:
        leaf, path = at.tree.node(level, index), at.tree.path_between(level, index, level + 1)
        world.refused("court: challenger is late", "select", dispute, at.candidate, index & 1, leaf, path)
        world.refused("court: challenger is late", "proof_context", dispute, at.candidate)
        world.court.call("timeout", dispute, at.candidate, sender=world.other)
        assert world.view("dispute", dispute)["status"] == LOST


@pytest.mark.parametrize(("late", "in_time"), AROUND)
@pytest.mark.parametrize("post_after", [0, 29, 30, 31, 100])
def test_the_first_move_waits_for_the_trace(
    world: CourtWorld, post_after: int, late: int, in_time: bool
) -> None:
    dispute, steps, demanded_at = opened(world, post_after=post_after)
    c = world.clocks
    due = max(demanded_at + post_after + c.response, demanded_at + c.allowance + c.response)
    judged_around(world, dispute, steps.candidate, due=due, reserve=c.reserve, late=late, in_time=in_time)
    challengers_move(world, dispute, steps, 1, 1, in_time=in_time)


@pytest.mark.parametrize(("late", "in_time"), AROUND)
def test_a_later_demand_of_the_position_has_its_own_first_due_time(
    world: CourtWorld, late: int, in_time: bool
) -> None:
    _, steps, _ = opened(world)
    update = world.view("position", steps.position)["parent"]
    world.wait(50)
    second = world.dispute(update, sender=world.other)
    c = world.clocks
    due = world.now + c.allowance + c.response
    judged_around(world, second, steps.candidate, due=due, reserve=c.reserve, late=late, in_time=in_time)


@pytest.mark.parametrize(("late", "in_time"), AROUND)
def test_a_reveal_is_due_after_the_move_that_asks_for_it(world: CourtWorld, late: int, in_time: bool) -> None:
    dispute, steps, demanded_at = opened(world)
    c = world.clocks
    world.at(demanded_at + c.allowance + 10)
    world.select(dispute, steps, steps.tree, 1, 1)
    due = world.now + c.response
    world.at(due + c.reserve + late)
    status = DEFENDER if in_time else DEFENDER_LATE
    assert world.court.call("classify", dispute, steps.candidate) == (status, due, c.reserve)
    if in_time:
        world.refused("court: defence is not late", "silence", dispute, steps.candidate)
        world.reveal(steps.tree, 1, 1)
        assert world.court.call("classify", dispute, steps.candidate) == (
            CHALLENGER,
            world.now + c.response,
            c.reserve,
        )
    else:
        # what comes too late comes too late, whoever looks and when
        world.reveal(steps.tree, 1, 1)
        world.wait(1000)
        arguments = world.step_arguments(dispute, steps, 2)
        world.refused("court: not the challenger's turn", "select_step", *arguments)
        world.refused("court: challenger is not late", "timeout", dispute, steps.candidate)
        world.court.call("silence", dispute, steps.candidate, sender=world.other)
        assert world.view("candidate", steps.candidate)["status"] == FALLEN


@pytest.mark.parametrize(("late", "in_time"), AROUND)
def test_a_late_reveal_leaves_the_challenger_its_whole_response(
    world: CourtWorld, late: int, in_time: bool
) -> None:
    dispute, steps, _ = opened(world)
    world.select(dispute, steps, steps.tree, 1, 1)
    c = world.clocks
    world.wait(c.response + 40)
    world.reveal(steps.tree, 1, 1)
    due = world.now + c.response
    judged_around(world, dispute, steps.candidate, due=due, reserve=c.reserve, late=late, in_time=in_time)


def test_overruns_of_both_sides_are_drawn_and_inherited(world: CourtWorld) -> None:
    dispute, steps, demanded_at = opened(world)
    c, candidate = world.clocks, steps.candidate
    # the challenger 20 late, then the defence 35 late, then the challenger 11 late
    world.at(demanded_at + c.allowance + c.response + 20)
    world.select(dispute, steps, steps.tree, 1, 1)
    assert world.view("branch", dispute, candidate)["challenger_reserve"] == c.reserve - 20
    world.wait(c.response + 35)
    world.reveal(steps.tree, 1, 1)
    assert world.view("branch", dispute, candidate)["defence_reserve"] == c.reserve
    world.wait(c.response + 11)
    position = world.court.call("select_step", *world.step_arguments(dispute, steps, 2), sender=world.watcher)
    branch = world.view("branch", dispute, candidate)
    assert (branch["challenger_reserve"], branch["defence_reserve"]) == (c.reserve - 31, c.reserve - 35)
    # the posting period has the defence's reserve that is left; the allowance is that of two traces
    here = world.view("position", position)
    assert here["defence_reserve"] == c.reserve - 35
    assert here["ends_at"] == world.now + 2 * c.allowance + c.response + c.reserve - 35
    # posting 12 beyond the soft end takes 12 more, from the defence of the candidate's branches alone
    nodes = world.nodes(steps, 2)
    world.at(here["ends_at"] - (c.reserve - 35) + 12)
    world.commit(nodes)
    below = world.view("branch", dispute, nodes.candidate)
    assert (below["challenger_reserve"], below["defence_reserve"]) == (c.reserve - 31, c.reserve - 47)


@pytest.mark.parametrize(("late", "in_time"), AROUND)
def test_a_drawn_reserve_ends_the_next_move_earlier(world: CourtWorld, late: int, in_time: bool) -> None:
    dispute, steps, demanded_at = opened(world)
    c = world.clocks
    world.at(demanded_at + c.allowance + c.response + 70)
    world.select(dispute, steps, steps.tree, 1, 1)
    world.reveal(steps.tree, 1, 1)
    due = world.now + c.response
    left = c.reserve - 70
    judged_around(world, dispute, steps.candidate, due=due, reserve=left, late=late, in_time=in_time)
    if in_time:
        world.court.call("select_step", *world.step_arguments(dispute, steps, 2), sender=world.watcher)
        assert world.view("branch", dispute, steps.candidate)["challenger_reserve"] == max(0, -late)


@pytest.mark.parametrize(("late", "in_time"), AROUND)
def test_the_first_move_under_nodes_has_the_allowance_of_its_position(
    world: CourtWorld, late: int, in_time: bool
) -> None:
    dispute, steps, _ = opened(world)
    world.wait(5)
    world.select_step(dispute, steps, 2)
    demanded_at = world.now
    nodes = world.nodes(steps, 2)
    world.wait(40)
    world.commit(nodes)
    c = world.clocks
    due = demanded_at + 2 * c.allowance + c.response
    judged_around(world, dispute, nodes.candidate, due=due, reserve=c.reserve, late=late, in_time=in_time)
    challengers_move(world, dispute, nodes, 1, 0, in_time=in_time)


@pytest.mark.parametrize(("late", "in_time"), AROUND)
@pytest.mark.parametrize("after", [0, 60, 140])
def test_the_first_move_in_a_fold_has_no_allowance(
    world: CourtWorld, after: int, late: int, in_time: bool
) -> None:
    dispute, fold = demanded_fold(world)
    c = world.clocks
    demanded_at = world.now
    world.wait(after)
    world.commit(fold)
    due = demanded_at + after + c.response
    judged_around(world, dispute, fold.candidate, due=due, reserve=c.reserve, late=late, in_time=in_time)
    assert world.view("branch", dispute, fold.candidate)["defence_reserve"] == c.reserve - max(0, after - 60)
    challengers_move(world, dispute, fold, 2, 1, in_time=in_time)


@pytest.mark.parametrize(("late", "in_time"), AROUND)
def test_a_page_is_revealed_in_time(world: CourtWorld, late: int, in_time: bool) -> None:
    content = pages("tensor")
    dispute, nodes = down_to_page(world, content)
    c = world.clocks
    # all so far was done at one time, and NODES, the second trace, has twice the allowance to be built in
    due = world.now + 2 * c.allowance + c.response
    world.at(due + c.reserve + late)
    status = DEFENDER if in_time else DEFENDER_LATE
    assert world.court.call("classify", dispute, nodes.candidate) == (status, due, c.reserve)
    # an ordinary list of the same hash is no page
    world.court.call("reveal_page", content[2])
    if in_time:
        assert world.status(dispute, nodes.candidate) == CHALLENGER
    else:
        assert world.status(dispute, nodes.candidate) == DEFENDER_LATE


@pytest.mark.parametrize(("late", "ended"), [(-1, False), (0, False), (1, True)])
@pytest.mark.parametrize("below", ["steps", "nodes", "fold"])
def test_an_empty_position_is_settled_after_its_end(
    world: CourtWorld, below: str, late: int, ended: bool
) -> None:
    if below == "steps":
        update = world.post()
        world.dispute(update)
        position, above = world.steps(update).position, None
    elif below == "nodes":
        dispute, steps, _ = opened(world)
        position, above = world.select_step(dispute, steps, 2), steps.candidate
    else:
        _, fold = demanded_fold(world)
        position, above = fold.position, world.view("position", fold.position)["parent"]
    world.at(world.view("position", position)["ends_at"] + late)
    if not ended:
        world.refused("court: not ended and empty", "settle", position)
        return
    world.court.call("settle", position)
    if above is None:
        assert world.board.call("update_status", update) == "fallen"
    else:
        assert world.view("candidate", above)["status"] == FALLEN


def test_a_branch_above_waits_and_has_no_clock(world: CourtWorld) -> None:
    dispute, steps, _ = opened(world)
    world.select_step(dispute, steps, 2)
    world.wait(10**5)
    assert world.court.call("classify", dispute, steps.candidate) == (WAITING, 0, 0)
    world.refused("court: defence is not late", "silence", dispute, steps.candidate)
    world.refused("court: challenger is not late", "timeout", dispute, steps.candidate)
    world.refused("court: defence is not late", "silence", dispute, made_up("candidate"))
    world.refused("court: challenger is not late", "timeout", made_up("dispute"), steps.candidate)


def down_to_page(world: CourtWorld, content: list[bytes]) -> tuple[bytes, Commitment]:
    """Dispute and NODES candidate, the cursor at page 2 of node 1, which is not revealed."""
    dispute, steps, _ = opened(world)
    world.select_step(dispute, steps, 2)
    tensor = page_tree(content)
    nodes = world.nodes(steps, 2, outputs=[made_up(0), tensor.root, made_up(2)])
    world.commit(nodes)
    world.select_leaf(dispute, nodes, 1)
    world.select_page(dispute, nodes, tensor, 2)
    return dispute, nodes


def demanded_fold(world: CourtWorld) -> tuple[bytes, Commitment]:
    """Dispute, and the FOLD that it has demanded; all moves so far at one time."""
    content = pages("tensor")
    dispute, nodes = down_to_page(world, content)
    world.court.call("reveal_page", content[2])
    world.verifier.call("set_fold", 1, 5, int.from_bytes(content[2][28:32]))
    world.court.call("select_word", dispute, nodes.candidate, 7, content[2], b"", sender=world.watcher)
    return dispute, world.fold(nodes, 1, 2 * 64 + 7)
