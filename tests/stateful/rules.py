"""The invariants I-1 to I-9 of specs/, each a function, checked after every call; the honest lose nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.stateful.calls import EVERYBODY, HONEST, PURSE
from tests.stateful.ghost import Ghost
from tests.stateful.ghost_base import BURN, NOBODY, height
from tests.stateful.ghost_records import LOST, MOST_CANDIDATES, OPEN
from tests.stateful.ghost_terms import GhostTerms
from tests.stateful.ghost_verifier import NODES_KIND, STEPS_KIND
from tests.stateful.truth import Truth
from tests.stateful.world import World


class BrokenRuleError(AssertionError):
    """An invariant does not hold."""


def _require(held: object, rule: str, what: str) -> None:
    if not held:
        raise BrokenRuleError(f"{rule}: {what}")


# ---------------------------------------------------------------- money


def locked(ghost: Ghost, who: str | None = None) -> int:
    """Tokens on the board that are somebody's, or all: bonds, deposits, fees; not credits, not rewards."""
    board, court, total = ghost.board, ghost.court, 0

    def mine(owner: str) -> bool:
        return who is None or owner == who

    jobs = [job for job in board.jobs.values() if job.leaseholder != NOBODY and mine(job.leaseholder)]
    total += sum(job.terms.lease_deposit for job in jobs)
    updates = [known for known in board.updates.values() if not known.settled and mine(known.trainer)]
    total += sum(board.jobs[known.job].terms.update_bond for known in updates)
    for (owner, dispute), reserved in court.reserved.items():
        if mine(owner) and (not reserved.opened or court.disputes[dispute].status == OPEN):
            total += board.jobs[reserved.job].terms.challenge_bond
    posted = [known for known in court.candidates.values() if known.bonded and mine(known.poster)]
    total += sum(court.terms(known.position).defence_bond for known in posted)
    total += sum(demand.fee for demand in ghost.availability.demands.values() if mine(demand.asker))
    return total


def moot(ghost: Ghost) -> int:
    """What M-3 reserves for disputes that are still to be closed."""
    return sum(
        ghost.board.updates[known.update].moot_share
        for known in ghost.court.disputes.values()
        if known.status == OPEN
    )


def unspent(ghost: Ghost) -> int:
    """Rewards that nobody has been credited with."""
    board, total = ghost.board, 0
    for job in board.jobs.values():
        claimed = sum(len(board.updates[u].states) for u in job.chain if board.updates[u].settled)
        owned = board.next_segment(job) if job.refunded else job.terms.segments
        total += job.terms.reward * (owned - claimed)
    return total


def conserved(world: World, _: Truth) -> None:
    """I-1, I-8: what the board holds is what it owes."""
    ghost = world.ghost
    owed = sum(ghost.board.credit.values()) + locked(ghost) + moot(ghost) + unspent(ghost)
    held = ghost.token.balance[ghost.at.board]
    _require(held == owed, "I-1", f"the board holds {held} and owes {owed}")
    everywhere = sum(ghost.token.balance[who] for who in (*EVERYBODY, BURN)) + held
    _require(everywhere == ghost.token.supply, "I-1", "tokens came from nowhere, or went there")


def honest_lose_nothing(world: World, _: Truth) -> None:
    """M-9: whatever the others do, the honest own what they came with, or more."""
    ghost = world.ghost
    for who in HONEST:
        owned = ghost.token.balance[who] + ghost.board.credit[who] + locked(ghost, who)
        _require(owned >= PURSE, "M-9", f"{who} owns {owned} of {PURSE}")


# ---------------------------------------------------------------- updates


def chained(world: World, _: Truth) -> None:
    """I-2: the live chain is a path, each update starting at the last state of the one before."""
    board = world.ghost.board
    for job, known in board.jobs.items():
        state, segment, parent = known.terms.genesis, 0, job
        for index, update in enumerate(known.chain):
            u = board.updates[update]
            joined = (u.start, u.first_segment, u.parent, u.index) == (state, segment, parent, index)
            _require(joined and not u.fallen, "I-2", f"update {update.hex()} does not follow the one before")
            state, segment, parent = u.states[-1], segment + len(u.states), update


def settled_only_when_final(world: World, _: Truth) -> None:
    """I-3: no dispute or demand is open on what is final, and none can open against it any more."""
    ghost = world.ghost
    for update, known in ghost.board.updates.items():
        if not ghost.board.is_final(update):
            continue
        _require(
            not known.open_disputes and not known.open_demands, "I-3", f"{update.hex()} is final and open"
        )
        for reserved in ghost.court.reserved.values():
            opening = ghost.board.jobs[reserved.job].terms.opening
            could = not reserved.opened and reserved.job == known.job and reserved.time <= known.deadline
            late = world.now > reserved.time + opening
            _require(not could or late, "I-3", f"{update.hex()} is final and can be disputed")


def recorded_stays(world: World, _: Truth) -> None:
    """U-2: final updates are a prefix of the chain."""
    for known in world.ghost.board.jobs.values():
        _require(known.recorded <= len(known.chain), "U-2", "a final update is gone")


# ---------------------------------------------------------------- disputes


def right_candidates_stand(world: World, truth: Truth) -> None:
    """I-4: the right candidate of a right position never falls."""
    court = world.ghost.court
    for candidate, known in court.candidates.items():
        followed = truth.follows(court.positions[known.position].update)
        if (
            known.fallen
            and followed
            and truth.is_right(known.position)
            and known.root == truth.right_root(known.position)
        ):
            _require(False, "I-4", f"the right candidate {candidate.hex()} fell")


def honest_challengers_win(world: World, _: Truth) -> None:
    """I-5: an honest challenger's dispute is never lost."""
    for dispute, known in world.ghost.court.disputes.items():
        lost = known.challenger in HONEST and known.status == LOST
        _require(not lost, "I-5", f"an honest dispute is lost: {dispute.hex()}")


def right_updates_stand(world: World, truth: Truth) -> None:
    """I-6: what is right, on what is right, never falls while somebody answers."""
    for update, known in world.ghost.board.updates.items():
        fell = known.fallen and truth.follows(update) and truth.wrong_segment(update) is None
        _require(not fell, "I-6", f"the right update {update.hex()} fell")


def wrong_updates_fall(world: World, truth: Truth) -> None:
    """I-7: what is wrong is never final; once disputed honestly it falls in the time of D-19."""
    board = world.ghost.board
    for update in board.updates:
        if board.is_final(update) and truth.follows(update):
            _require(truth.wrong_segment(update) is None, "I-7", f"the wrong update {update.hex()} is final")
    for dispute, known in world.ghost.court.disputes.items():
        if known.challenger in HONEST and known.status == OPEN and board.is_live(known.update):
            within = world.now <= known.opened_at + longest(board.terms_of(known.update))
            _require(within, "I-7", f"the honest dispute {dispute.hex()} lasts too long")


def longest(terms: GhostTerms) -> int:
    """D-19, in seconds; the folds of the material have at most 3 ranges."""

    def lists(tall: int) -> int:
        return -(-tall // terms.fanout_log2)

    steps, fold = lists(terms.tree_height(STEPS_KIND)), lists(height(3 + 1))
    below = max(lists(terms.tensor_height) + 1, lists(height(terms.n_slots)))
    count = steps + lists(terms.tree_height(NODES_KIND)) + below + fold
    w = 1 + (steps > 1) + (fold > 0)
    return 2 * count * terms.response + 8 * terms.allowance + (1 + w) * terms.reserve


def bounded(world: World, _: Truth) -> None:
    """I-8: no position holds more candidates than its bound."""
    for position, known in world.ghost.court.positions.items():
        within = len(known.candidates) <= MOST_CANDIDATES
        covered = [c for c in known.candidates if not world.ghost.court.candidates[c].bonded]
        _require(within, "I-8", f"{position.hex()} holds {len(known.candidates)} candidates")
        _require(known.covered is None or known.covered in covered, "D-5", "the covered candidate has a bond")


def named_by_content(world: World, _: Truth) -> None:
    """I-9: an id means one thing: nothing is known under the ids of two kinds."""
    ghost = world.ghost
    court, kinds = ghost.court, list[set[bytes]]()
    kinds += [set(ghost.board.jobs), set(ghost.board.updates), set(court.disputes), set(court.positions)]
    kinds += [set(court.candidates), set(ghost.availability.demands)]
    total = sum(len(kind) for kind in kinds)
    _require(len(set().union(*kinds)) == total, "I-9", "an id means two things")


RULES: Final[dict[str, Callable[[World, Truth], None]]] = {
    "I-1": conserved,
    "M-9": honest_lose_nothing,
    "I-2": chained,
    "I-3": settled_only_when_final,
    "U-2": recorded_stays,
    "I-4": right_candidates_stand,
    "I-5": honest_challengers_win,
    "I-6": right_updates_stand,
    "I-7": wrong_updates_fall,
    "I-8": bounded,
    "I-9": named_by_content,
}


def check(world: World, truth: Truth) -> None:
    """Check every rule.

    Raises:
        BrokenRuleError: one does not hold.
    """
    for rule in RULES.values():
        rule(world, truth)
