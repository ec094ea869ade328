"""The safety rules of the game, each a function with its rationale, run after every simulated move.

Every rule raises `BrokenRuleError` and returns nothing. They read the model's records, not its views, so
that a view that lies cannot hide what it lies about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from protocol.errors import GavelError
from protocol.game import bounds
from protocol.game.ids import MOST_CANDIDATES
from protocol.game.model import Model
from protocol.game.openings import Openings
from protocol.game.view import DisputeStatus
from protocol.program.program import Program


class BrokenRuleError(GavelError):
    """A safety rule of the protocol does not hold: a bug in the rules, the model or a player called
    honest.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Protected:
    """Whom the rules protect.

    Attributes:
        honest: addresses that play by actors.md.
        purse: tokens that each of them began with.
        truth: trees over the right trajectory of the job.
    """

    honest: frozenset[bytes]
    purse: int
    truth: Openings


def tokens_are_conserved(model: Model, protected: Protected) -> None:
    """I-1, I-8: what the board holds is what it owes, so that nobody's credit is paid with another's bond."""
    del protected
    model.check_conservation()


def chain_is_a_path(model: Model, protected: Protected) -> None:
    """I-2: each live update starts at the state and the segment at which the one before ends."""
    del protected
    for job, record in model.board.jobs.items():
        state, segment = record.terms.genesis, 0
        for update in record.chain:
            posted = model.board.updates[update]
            _hold(posted.job == job and posted.first_state == state, "I-2: an update starts elsewhere")
            _hold(posted.first_segment == segment, "I-2: a segment is missing or done twice")
            state, segment = posted.states[-1], segment + len(posted.states)


def final_means_final(model: Model, protected: Protected) -> None:
    """I-3: against a final update no dispute is open and none can be opened."""
    del protected
    for dispute in model.court.disputes.values():
        if dispute.status == DisputeStatus.OPEN and model.board.is_live(dispute.update):
            _hold(not model.board.is_final(dispute.update), "I-3: a final update is under dispute")


def honest_candidates_stand(model: Model, protected: Protected) -> None:
    """I-4: each word of an honest candidate recomputes and each reveal is in time, so it never falls."""
    for posted in model.court.candidates.values():
        _hold(not (posted.poster in protected.honest and posted.fallen), "I-4: an honest candidate fell")


def honest_challengers_win(model: Model, protected: Protected) -> None:
    """I-5: an honest challenger disputes nothing right, can open every operand, and is in time."""
    for dispute in model.court.disputes.values():
        lost = dispute.status == DisputeStatus.LOST and dispute.challenger in protected.honest
        _hold(not lost, "I-5: an honest challenger lost")


def right_updates_stand(model: Model, protected: Protected) -> None:
    """I-6: whoever attacks, an update with a right history whose trainer answers in time does not fall."""
    for update, posted in model.board.updates.items():
        if posted.fallen and posted.trainer in protected.honest:
            right = protected.truth.first_difference(model.board.info(update)) is None
            _hold(not right, "I-6: a right update fell")


def wrong_updates_fall(model: Model, protected: Protected) -> None:
    """I-7: with an honest dispute open, a wrong update is neither final nor alive beyond the clocks'
    constant.
    """
    for update, posted in model.board.updates.items():
        challengers = {d.challenger for d in model.court.disputes.values() if d.update == update}
        if not challengers & protected.honest or not model.board.is_live(update):
            continue
        if protected.truth.first_difference(model.board.info(update)) is None:
            continue
        _hold(not model.board.is_final(update), "I-7: a wrong update became final under an honest dispute")
        in_time = model.board.time <= fall_limit(model, update, protected.truth.program)
        _hold(in_time, f"I-7: a wrong update outlived its dispute, posted {posted.deadline}")


def calls_are_bounded(model: Model, protected: Protected) -> None:
    """I-8: no position holds more candidates than a call may walk over."""
    del protected
    for position in model.court.positions.values():
        _hold(len(position.candidates) <= MOST_CANDIDATES, "I-8: too many candidates")


def honest_parties_lose_nothing(model: Model, protected: Protected) -> None:
    """M-9: an honest party's tokens, in hand, in credit and in locks that come back, never sink below its
    purse.
    """
    for party in protected.honest:
        held = model.tokens_of(party) + _locks(model, party)
        _hold(held >= protected.purse, f"M-9: an honest party lost {protected.purse - held} tokens")


RULES: Final[tuple[Callable[[Model, Protected], None], ...]] = (
    tokens_are_conserved,
    chain_is_a_path,
    final_means_final,
    honest_candidates_stand,
    honest_challengers_win,
    right_updates_stand,
    wrong_updates_fall,
    calls_are_bounded,
    honest_parties_lose_nothing,
)


def check(model: Model, protected: Protected) -> None:
    """Run every rule.

    Raises:
        BrokenRuleError: one does not hold.
        MismatchError: tokens are not conserved.
    """
    for rule in RULES:
        rule(model, protected)


def fall_limit(model: Model, update: bytes, program: Program) -> int:
    """Return the last second at which a wrong update can be alive, if it is disputed in time (I-7, D-19).

    One response more than the bound, for whoever settles.
    """
    posted = model.board.updates[update]
    terms = model.board.jobs[posted.job].terms
    lists = bounds.longest_of(terms.geometry, program)
    return bounds.decided_by(posted.deadline, terms.clocks, lists) + terms.clocks.response


def _locks(model: Model, party: bytes) -> int:
    """Tokens of a party that come back if all goes right."""
    court, board = model.court, model.board
    jobs = {job: record.terms for job, record in board.jobs.items()}
    reserved = [r for (sender, _), r in court.reserved.items() if sender == party and not r.opened]
    opened = [d for d in court.disputes.values() if d.challenger == party and d.status == DisputeStatus.OPEN]
    bonded = [c for c in court.candidates.values() if c.poster == party and c.bonded]
    updates = [u for u in board.updates.values() if u.trainer == party and not u.settled]
    leases = [job for job, record in board.jobs.items() if record.leaseholder == party]
    challenge = sum(jobs[r.job].money.challenge_bond for r in reserved)
    challenge += sum(court.terms(d.update).money.challenge_bond for d in opened)
    defence = sum(court.terms(court.positions[c.position].update).money.defence_bond for c in bonded)
    training = sum(jobs[u.job].money.update_bond for u in updates)
    training += sum(jobs[job].money.lease_deposit for job in leases)
    return challenge + defence + training


def _hold(condition: bool, rule: str) -> None:
    if not condition:
        raise BrokenRuleError(f"{rule}; stop and find out which rule of specs/ this move broke")
