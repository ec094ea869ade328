"""How candidates fall, disputes end and who is paid (dispute.md, D-14 to D-16; money.md, M-3 to M-5)."""

from __future__ import annotations

from protocol.commitments.tree import ZERO
from tests.support.court import (
    BRANCH_CLOSED,
    BURN,
    CHALLENGER,
    CLOSED,
    FALLEN,
    LOST,
    OPEN,
    STANDING,
    Commitment,
    CourtWorld,
    made_up,
    page_tree,
    pages,
)


def opened(world: CourtWorld, update: bytes | None = None) -> tuple[bytes, bytes, Commitment]:
    """Update, the watcher's dispute, the trainer's STEPS."""
    update = update or world.post()
    dispute = world.dispute(update)
    steps = world.steps(update)
    world.commit(steps)
    return update, dispute, steps


def tensor_nodes(world: CourtWorld, steps: Commitment, step: int, *, tag: object = "") -> Commitment:
    """A NODES commitment whose node 1 is the tensor that `to_tensor` walks."""
    return world.nodes(steps, step, outputs=[made_up(tag), page_tree(pages("t")).root, made_up(2)])


def to_tensor(world: CourtWorld, dispute: bytes, nodes: Commitment, *, sender: str | None = None) -> None:
    """From the root of NODES to a last level of the tensor of node 1, where a proof can be brought."""
    tensor = page_tree(pages("t"))
    world.select_leaf(dispute, nodes, 1, sender=sender)
    for level in (2, 1):
        if not world.court.call("revealed_at", tensor.node(level, 0), 1):
            world.reveal(tensor, level, 0)
        if level == 2:
            world.select(dispute, nodes, tensor, 1, 0, sender=sender)


def demanded_fold(world: CourtWorld, dispute: bytes, steps: Commitment) -> tuple[Commitment, bytes]:
    """On from an opened dispute to a FOLD that nobody has committed: NODES, and the position."""
    world.select_step(dispute, steps, 2)
    nodes = tensor_nodes(world, steps, 2)
    world.commit(nodes)
    to_tensor(world, dispute, nodes)
    page = pages("t")[0]
    world.select(dispute, nodes, page_tree(pages("t")), 0, 0)
    world.court.call("reveal_page", page)
    fold = world.court.call("select_word", dispute, nodes.candidate, 3, page, b"", sender=world.watcher)
    return nodes, fold


def end_of(world: CourtWorld, position: bytes) -> int:
    return int(world.view("position", position)["ends_at"])


def statuses(world: CourtWorld, *disputes: bytes) -> list[int]:
    return [world.view("dispute", dispute)["status"] for dispute in disputes]


def refund(world: CourtWorld) -> int:
    return world.money.gas_price * world.money.scheduled_gas


def burned(world: CourtWorld, bond: int) -> int:
    return bond * world.money.burn_bps // 10_000


def test_an_update_whose_steps_nobody_commits_falls(world: CourtWorld) -> None:
    update = world.post()
    dispute = world.dispute(update)
    position = world.steps(update).position
    world.at(end_of(world, position) + 1)
    world.court.call("settle", position, sender=world.other)
    names = [event.name for event in world.court.events]
    assert names == ["UpdateFell", "DisputeClosed"]
    assert world.board.call("update_status", update) == "fallen"
    assert statuses(world, dispute) == [CLOSED]
    assert world.open_disputes(update) == 0
    m = world.money
    assert world.credit(world.watcher) == m.challenge_bond + refund(world) + m.bounty
    assert world.credit(world.other) == m.tip
    assert world.credit(BURN) == burned(world, m.update_bond)
    world.refused("court: dispute is not open", "close", dispute)
    world.refused("court: update is not live", "settle", position)


def test_a_proven_fault_fells_everything_above_when_it_has_ended(world: CourtWorld) -> None:
    update, dispute, steps = opened(world)
    world.select_step(dispute, steps, 2)
    nodes = tensor_nodes(world, steps, 2)
    world.commit(nodes)
    to_tensor(world, dispute, nodes)
    world.judge(dispute, nodes.candidate, True)
    here = world.view("position", nodes.position)
    assert (here["standing"], here["candidates"], here["credit"]) == (0, 1, dispute)
    assert world.status(dispute, nodes.candidate) == BRANCH_CLOSED
    assert world.view("candidate", nodes.candidate)["status"] == FALLEN
    assert world.view("candidate", steps.candidate)["status"] == STANDING
    # the same root does not come back
    world.refused("court: candidate exists", "commit", *nodes.arguments(), sender=world.trainer)
    world.refused("court: not ended and empty", "settle", nodes.position)
    world.at(end_of(world, nodes.position) + 1)
    world.court.call("settle", nodes.position, sender=world.other)
    names = [event.name for event in world.court.events]
    assert names == ["CandidateFell", "UpdateFell", "DisputeClosed"]
    assert world.board.call("update_status", update) == "fallen"
    assert statuses(world, dispute) == [CLOSED]
    assert world.credit(world.trainer) == world.money.lease_deposit
    world.refused("court: fallen above", "settle", nodes.position)


def test_silence_fells_for_the_claimant(world: CourtWorld) -> None:
    update = world.post()
    early = world.reserve(update, sender=world.other)
    world.wait(1)
    _, dispute, steps = opened(world, update)
    world.open(update, sender=world.other)
    world.select(dispute, steps, steps.tree, 1, 0)
    world.select(early, steps, steps.tree, 1, 1, sender=world.other)
    world.reveal(steps.tree, 1, 1)
    world.court.call("select_step", *world.step_arguments(early, steps, 2), sender=world.other)
    world.wait(world.clocks.allowance + world.clocks.response + world.clocks.reserve + 1)
    world.court.call("silence", dispute, steps.candidate, sender=world.third)
    # the earlier reservation is on the path: it is credited, and its own branch is closed
    assert world.view("position", steps.position)["credit"] == early
    assert world.status(early, steps.candidate) == BRANCH_CLOSED
    world.refused("court: defence is not late", "silence", dispute, steps.candidate)
    world.at(end_of(world, steps.position) + 1)
    world.court.call("settle", steps.position)
    assert statuses(world, early, dispute) == [CLOSED, OPEN]


def test_a_challenger_that_loses_below_its_own_candidate_pays_the_trainer_all_the_same(
    world: CourtWorld,
) -> None:
    """D-15, D-20: the candidate it loses under may be its own, at any level."""
    update, dispute, _ = opened(world)
    own = world.steps(update, tag="own")
    world.commit(own, sender=world.watcher)
    world.select_step(dispute, own, 2)
    nodes = tensor_nodes(world, own, 2)
    world.commit(nodes, sender=world.watcher)
    to_tensor(world, dispute, nodes)
    world.judge(dispute, nodes.candidate, False)
    prize = refund(world) + world.money.bounty
    assert (world.credit(world.trainer), world.credit(world.watcher)) == (prize, 0)


def test_without_the_trainer_whoever_posted_the_states_above_is_paid(world: CourtWorld) -> None:
    """D-15: the candidate below, where the dispute is lost, is somebody else's."""
    update = world.post()
    dispute, steps = world.dispute(update), world.steps(update)
    world.commit(steps, sender=world.second)
    world.select_step(dispute, steps, 2)
    nodes = tensor_nodes(world, steps, 2)
    world.commit(nodes, sender=world.other)
    to_tensor(world, dispute, nodes)
    world.judge(dispute, nodes.candidate, False)
    prize = refund(world) + world.money.bounty
    assert [world.credit(who) for who in (world.second, world.other, world.trainer)] == [prize, 0, 0]


def test_a_covered_candidate_that_fell_earns_its_trainer_nothing(world: CourtWorld) -> None:
    update, dispute, wrong = opened(world)
    helper = world.steps(update, tag="helper")
    world.commit(helper, sender=world.second)
    for candidate in (wrong, helper):
        world.select_step(dispute, candidate, 2)
    nodes = tensor_nodes(world, helper, 2)
    world.commit(nodes, sender=world.second)
    world.at(end_of(world, world.nodes(wrong, 2).position) + 1)
    world.court.call("settle", world.nodes(wrong, 2).position)
    assert world.view("candidate", wrong.candidate)["status"] == FALLEN
    world.wait(1000)
    world.court.call("timeout", dispute, nodes.candidate, sender=world.other)
    prize = refund(world) + world.money.bounty
    assert (world.credit(world.trainer), world.credit(world.second)) == (0, prize)


def test_a_lost_defence_bond_pays_the_credited_and_then_the_feller(world: CourtWorld) -> None:
    """M-5: the earlier reservation is credited, another dispute brings the proof."""
    update = world.post()
    early = world.reserve(update, sender=world.other)
    world.wait(1)
    dispute = world.dispute(update)
    world.open(update, sender=world.other)
    steps = world.steps(update)
    world.commit(steps, sender=world.second)
    world.select_step(early, steps, 2, sender=world.other)
    world.select_step(dispute, steps, 2)
    nodes = tensor_nodes(world, steps, 2)
    world.commit(nodes, sender=world.second)
    to_tensor(world, dispute, nodes)
    world.judge(dispute, nodes.candidate, True)
    m = world.money
    rest = m.defence_bond - burned(world, m.defence_bond) - refund(world)
    assert world.credit(world.other) == refund(world)
    assert world.credit(world.watcher) == min(refund(world), rest)
    assert world.credit(world.requester) == rest - min(refund(world), rest)


def test_a_fold_that_nobody_commits_fells_all_the_way_up(world: CourtWorld) -> None:
    update, dispute, steps = opened(world)
    nodes, fold = demanded_fold(world, dispute, steps)
    ends = [end_of(world, position) for position in (fold, steps.position, nodes.position)]
    assert ends == sorted(ends)
    # the fold ends first, so the fall waits at NODES, and again at nothing
    world.at(ends[0] + 1)
    world.court.call("settle", fold)
    assert world.view("candidate", nodes.candidate)["status"] == FALLEN
    assert world.view("candidate", steps.candidate)["status"] == STANDING
    assert world.view("position", nodes.position)["credit"] == dispute
    world.refused("court: fallen above", "settle", fold)
    world.refused("court: not ended and empty", "settle", nodes.position)
    world.at(ends[2] + 1)
    world.court.call("settle", nodes.position)
    assert world.board.call("update_status", update) == "fallen"


def test_one_settle_goes_up_through_all_that_has_ended(world: CourtWorld) -> None:
    update, dispute, steps = opened(world)
    _, fold = demanded_fold(world, dispute, steps)
    world.wait(10**4)
    world.court.call("settle", fold)
    names = [event.name for event in world.court.events]
    assert names == ["CandidateFell", "CandidateFell", "UpdateFell", "DisputeClosed"]
    assert world.view("position", steps.position)["credit"] == dispute
    assert world.board.call("update_status", update) == "fallen"


def test_a_settle_stops_where_another_candidate_stands(world: CourtWorld) -> None:
    update, dispute, steps = opened(world)
    right = world.steps(update, tag="right")
    world.commit(right)
    position = world.select_step(dispute, steps, 2)
    world.at(end_of(world, position) + 1)
    before = world.credit(world.watcher)
    world.court.call("settle", position)
    assert world.view("candidate", steps.candidate)["status"] == FALLEN
    assert world.board.call("is_live", update)
    assert world.credit(world.watcher) == before
    assert world.open_disputes(update) == 1
    world.refused("court: not ended and empty", "settle", steps.position)
    # the challenger is late under the other candidate, so it loses after all, and the update stands
    assert statuses(world, dispute) == [OPEN]
    world.court.call("timeout", dispute, right.candidate)
    assert statuses(world, dispute) == [LOST]
    assert world.open_disputes(update) == 0


def test_a_proof_without_fault_loses_the_dispute_to_the_trainer(world: CourtWorld) -> None:
    update, dispute, steps = opened(world)
    world.select_step(dispute, steps, 2)
    world.court.call("delegate", world.second, True, sender=world.trainer)
    nodes = tensor_nodes(world, steps, 2)
    world.commit(nodes, sender=world.second)
    to_tensor(world, dispute, nodes)
    held = world.free_tokens()
    world.judge(dispute, nodes.candidate, False)
    assert statuses(world, dispute) == [LOST]
    assert world.open_disputes(update) == 0
    m = world.money
    prize = refund(world) + m.bounty
    assert (world.credit(world.trainer), world.credit(world.second)) == (prize, 0)
    assert world.credit(BURN) == burned(world, m.challenge_bond)
    assert world.credit(world.requester) == m.challenge_bond - burned(world, m.challenge_bond) - prize
    assert world.free_tokens() == held - m.challenge_bond
    for candidate in (steps.candidate, nodes.candidate):
        assert world.status(dispute, candidate) == BRANCH_CLOSED
    world.refused("court: branch is closed", "select", dispute, nodes.candidate, 0, ZERO, [])
    world.refused("court: dispute is not open", "close", dispute)
    world.refused("court: challenger is not late", "timeout", dispute, nodes.candidate)


def test_a_timeout_tips_who_calls_it_and_pays_the_poster(world: CourtWorld) -> None:
    update, dispute, steps = opened(world)
    world.wait(10**4)
    held = world.free_tokens()
    world.court.call("timeout", dispute, steps.candidate, sender=world.other)
    m = world.money
    assert world.credit(world.other) == m.tip
    assert world.credit(world.trainer) == refund(world) + m.bounty
    assert world.free_tokens() == held - m.challenge_bond
    assert world.open_disputes(update) == 0
    world.refused("court: challenger is not late", "timeout", dispute, steps.candidate)
    # nothing stands in the way of finality any more
    world.wait(world.clocks.window)
    assert world.board.call("update_status", update) == "final"


def test_a_fallen_helper_loses_its_defence_bond_to_the_credited_challenger(world: CourtWorld) -> None:
    update, dispute, steps = opened(world)
    wrong = world.steps(update, tag="wrong")
    world.commit(wrong)
    position = world.select_step(dispute, wrong, 2)
    world.at(end_of(world, position) + 1)
    held = world.free_tokens()
    world.court.call("settle", position)
    m = world.money
    assert world.credit(world.watcher) == refund(world)
    assert world.credit(BURN) == burned(world, m.defence_bond)
    assert world.free_tokens() == held - m.defence_bond
    fallen = world.view("candidate", wrong.candidate)
    assert (fallen["status"], fallen["bonded"]) == (FALLEN, False)
    world.refused("court: no defence bond held", "free", wrong.candidate)
    assert world.view("candidate", steps.candidate)["status"] == STANDING


def test_the_others_get_bond_and_gas_when_one_fells_the_update(world: CourtWorld) -> None:
    update = world.post()
    first = world.dispute(update)
    second = world.dispute(update, segment=1, sender=world.other)
    third = world.dispute(update, sender=world.third)
    assert world.open_disputes(update) == 3
    world.refused("court: update is live", "close", second)
    world.at(end_of(world, world.steps(update).position) + 1)
    world.court.call("settle", world.steps(update).position, sender=world.second)
    assert world.open_disputes(update) == 2
    m = world.money
    rest = m.update_bond - burned(world, m.update_bond) - m.tip - refund(world) - m.bounty
    share = min(refund(world), rest // 2)
    for dispute, who in ((second, world.other), (third, world.third)):
        before = world.credit(who)
        world.court.call("close", dispute, sender=world.second)
        assert world.credit(who) == before + m.challenge_bond + share
        world.refused("court: dispute is not open", "close", dispute)
    assert statuses(world, first, second, third) == [CLOSED] * 3
    assert world.open_disputes(update) == 0
    world.refused("court: dispute is not open", "close", first)
    world.refused("court: dispute is not open", "close", made_up("dispute"))
    # I-1: what is left belongs to the job: its rewards
    assert world.free_tokens() == m.reward * world.terms.geometry.segments


def test_a_dispute_over_a_void_update_gets_its_bond_back_alone(world: CourtWorld) -> None:
    update = world.post(2)
    later = world.post(2, lease=False)
    world.dispute(update)
    above = world.dispute(later, segment=2, first=2, sender=world.other)
    steps = world.steps(later, segment=2)
    world.commit(steps)
    world.commit(world.steps(later, segment=2, tag="bonded"))
    world.at(end_of(world, world.steps(update).position) + 1)
    world.court.call("settle", world.steps(update).position)
    assert world.board.call("update_status", later) == "void"
    assert world.status(above, steps.candidate) == BRANCH_CLOSED
    world.refused(
        "court: branch is closed", "select", above, steps.candidate, 0, ZERO, [], sender=world.other
    )
    world.refused("court: update is not live", "settle", steps.position)
    world.court.call("close", above)
    assert world.credit(world.other) == world.money.challenge_bond
    world.court.call("free", world.steps(later, segment=2, tag="bonded").candidate)
    world.board.call("reclaim", later)
    assert world.free_tokens() == world.money.reward * world.terms.geometry.segments


def test_the_prover_is_credited_when_the_claimant_has_lost(world: CourtWorld) -> None:
    update = world.post()
    friend = world.dispute(update, sender=world.other)
    world.wait(1)
    dispute = world.dispute(update)
    steps, second = world.steps(update), world.steps(update, tag="second")
    world.commit(steps)
    world.commit(second)
    # the friend of the trainer, first everywhere, demands the step and loses under the other candidate
    world.select_step(friend, steps, 2, sender=world.other)
    world.select_step(dispute, steps, 2)
    nodes = tensor_nodes(world, steps, 2)
    world.commit(nodes)
    assert world.view("position", nodes.position)["claimant"] == friend
    world.select_step(dispute, second, 1)
    limit = world.now + world.clocks.allowance + world.clocks.response + world.clocks.reserve
    world.wait(60)
    to_tensor(world, dispute, nodes)
    world.at(limit + 1)
    world.court.call("timeout", friend, second.candidate)
    assert statuses(world, friend, dispute) == [LOST, OPEN]
    world.judge(dispute, nodes.candidate, True)
    assert world.view("position", nodes.position)["credit"] == dispute
    # settling pays what the fall recorded, not the claimant that has lost
    world.wait(10**4)
    world.court.call("settle", world.nodes(second, 1).position)
    assert world.board.call("is_live", update)
    friend_before = world.credit(world.other)
    world.court.call("settle", nodes.position)
    assert world.board.call("update_status", update) == "fallen"
    m = world.money
    # the friend's lost bond, the second candidate's lost bond, the update's
    assert world.credit(world.other) == friend_before
    assert world.credit(world.watcher) >= m.challenge_bond + 2 * refund(world) + m.bounty
    assert statuses(world, friend, dispute) == [LOST, CLOSED]
    assert world.open_disputes(update) == 0
    assert world.free_tokens() == m.reward * world.terms.geometry.segments


def test_a_claimant_that_has_lost_is_paid_as_such_and_not_counted_as_open(world: CourtWorld) -> None:
    update = world.post()
    friend = world.dispute(update, sender=world.other)
    dispute = world.dispute(update)
    steps, second = world.steps(update), world.steps(update, tag="second")
    world.commit(steps)
    world.commit(second)
    world.select_step(friend, steps, 2, sender=world.other)
    world.select_step(dispute, steps, 2)
    world.select_step(dispute, second, 2)
    world.wait(10**4)
    # lost under `second`; nobody ever answered for either step
    world.court.call("timeout", friend, second.candidate)
    credited = world.credit(world.other)
    world.court.call("settle", world.nodes(second, 2).position)
    assert world.view("position", steps.position)["credit"] == dispute
    world.court.call("settle", world.nodes(steps, 2).position)
    # D-14: the empty position's claimant regardless, for no fall was recorded there; but the bond stays lost
    m = world.money
    assert world.credit(world.other) == credited + refund(world) + m.bounty
    assert statuses(world, friend, dispute) == [LOST, OPEN]
    assert world.open_disputes(update) == 1
    world.court.call("close", dispute)
    assert world.open_disputes(update) == 0
    assert world.free_tokens() == m.reward * world.terms.geometry.segments
    world.refused("court: dispute is not open", "close", friend)


def test_the_challenger_plays_every_candidate_of_a_position(world: CourtWorld) -> None:
    update = world.post()
    dispute = world.dispute(update)
    own, helper = world.steps(update), world.steps(update, tag="helper")
    world.commit(own)
    world.commit(helper, sender=world.second)
    for candidate in (own, helper):
        assert world.status(dispute, candidate.candidate) == CHALLENGER
        world.select_step(dispute, candidate, 2)
    # each in a branch of its own: the helper answers, the trainer does not
    nodes = tensor_nodes(world, helper, 2)
    world.commit(nodes, sender=world.second)
    to_tensor(world, dispute, nodes)
    world.judge(dispute, nodes.candidate, False)
    m = world.money
    # D-15: while the trainer's candidate stands, it is the trainer whom the challenger pays
    assert (world.credit(world.trainer), world.credit(world.second)) == (refund(world) + m.bounty, 0)
    assert statuses(world, dispute) == [LOST]
    # the trainer's silence still costs it its candidate, not the update, which the helper has saved
    position = world.nodes(own, 2).position
    world.at(end_of(world, position) + 1)
    world.court.call("settle", position)
    assert world.view("candidate", own.candidate)["status"] == FALLEN
    assert world.board.call("is_live", update)
    assert world.view("candidate", helper.candidate)["status"] == STANDING
    # a final update frees both of the helper's bonds
    world.wait(world.clocks.window)
    for candidate in (helper, nodes):
        world.court.call("free", candidate.candidate)
    assert world.board.call("update_status", update) == "final"


def test_what_is_final_is_not_settled(world: CourtWorld) -> None:
    _, dispute, steps = opened(world)
    update = world.view("dispute", dispute)["update"]
    other = world.steps(update, tag="other")
    world.commit(other)
    position = world.select_step(dispute, steps, 2)
    world.at(end_of(world, position))
    world.court.call("timeout", dispute, other.candidate)
    # nobody is left to dispute it; once it is final by time, the unanswered demand means nothing
    world.wait(10 * world.clocks.window)
    world.refused("court: update is final", "settle", position)
    assert world.view("candidate", steps.candidate)["status"] == STANDING


def test_an_unknown_position_is_not_settled(world: CourtWorld) -> None:
    world.refused("court: no such position", "settle", made_up("position"))


def test_after_a_fall_the_job_goes_on_with_disputes_of_its_own(world: CourtWorld) -> None:
    update = world.post()
    world.dispute(update)
    world.at(end_of(world, world.steps(update).position) + 1)
    world.court.call("settle", world.steps(update).position)
    again = world.post()
    assert again != update
    dispute = world.dispute(again)
    steps = world.steps(again)
    world.commit(steps)
    assert world.status(dispute, steps.candidate) == CHALLENGER
    assert world.court.call("traces", again) == 1
    world.reserve(update, salt=1)
    world.refused("court: update is not live", "open", *world.open_arguments(update, salt=1))
