"""What the ghost knows of falls, losses and what is given back (dispute.md, D-14 to D-16)."""

from __future__ import annotations

from tests.stateful.ghost_base import Conditions, Refused
from tests.stateful.ghost_records import (
    CHALLENGER_LATE,
    DEFENDER_LATE,
    LOST,
    OPEN,
    OVER,
    Records,
)
from tests.stateful.ghost_verifier import STEPS_KIND


class Ends(Records):
    """How candidates, disputes and updates end."""

    def credited(self, position: bytes, shown_by: bytes) -> bytes:
        """D-14: who is credited with a fall that a proof or a silence decides."""
        claimant = self.positions[position].claimant
        return shown_by if self.disputes[claimant].status == LOST else claimant

    def fall(self, candidate: bytes, credit: bytes, *, feller: bytes) -> None:
        """A candidate falls; its defence bond is lost (M-5)."""
        known = self.candidates[candidate]
        known.fallen = True
        self.positions[known.position].credit = credit
        self.say("CandidateFell", candidate=candidate, position=known.position, credit=credit)
        if known.bonded:
            known.bonded = False
            winner, other = self.disputes[credit].challenger, self.disputes[feller].challenger
            self.board.lose_defence(self.terms(known.position), winner, other)

    def lose(self, dispute: bytes, candidate: bytes, resolver: str | None) -> None:
        """D-15: a dispute loses its bond (M-4)."""
        known = self.disputes[dispute]
        update = self.board.updates[known.update]
        known.status = LOST
        update.open_disputes -= 1
        self.say("DisputeLost", dispute=dispute, candidate=candidate)
        steps = candidate
        while self.positions[self.candidates[steps].position].kind != STEPS_KIND:
            steps = self.positions[self.candidates[steps].position].parent
        covered = self.positions[self.candidates[steps].position].covered
        winner = self.candidates[steps].poster
        if covered is not None and not self.candidates[covered].fallen:
            winner = update.trainer
        self.board.lose_challenge(self.board.terms_of(known.update), resolver, winner)

    def silence(self, _sender: str, dispute: bytes, candidate: bytes) -> None:
        """D-14."""
        if self.classify(dispute, candidate)[0] != DEFENDER_LATE:
            raise Refused("court: defence is not late")
        self.fall(candidate, self.credited(self.candidates[candidate].position, dispute), feller=dispute)

    def timeout(self, sender: str, dispute: bytes, candidate: bytes) -> None:
        """D-15."""
        if self.classify(dispute, candidate)[0] != CHALLENGER_LATE:
            raise Refused("court: challenger is not late")
        self.lose(dispute, candidate, sender)

    def settle(self, sender: str, position: bytes) -> None:
        """D-14, upward."""
        known = self.positions.get(position)
        if known is None:
            raise Refused("court: no such position")
        if_ = Conditions()
        if_(not self.ended_empty(position), "court: not ended and empty")
        if_(not self.board.is_live(known.update), "court: update is not live")
        if_(self.board.is_final(known.update), "court: update is final")
        if_(self.fallen_above(position), "court: fallen above")
        if_.refuse()
        credit = known.claimant
        if self.disputes[credit].status == LOST and known.credit is not None:
            credit = known.credit
        while self.ended_empty(position):
            known = self.positions[position]
            if known.kind == STEPS_KIND:
                self._fell(known.update, credit, sender)
                return
            self.fall(known.parent, credit, feller=credit)
            position = self.candidates[known.parent].position

    def _fell(self, update: bytes, credit: bytes, resolver: str) -> None:
        """The update falls; the credited dispute ends with its bond, if it is open (M-3)."""
        winner, known = self.disputes[credit], self.board.updates[update]
        self.say("UpdateFell", update=update, credit=credit)
        if winner.status == OPEN:
            self._over(credit)
        self.board.fell(update, resolver=resolver, winner=winner.challenger, others=known.open_disputes)

    def _over(self, dispute: bytes) -> None:
        known = self.disputes[dispute]
        known.status = OVER
        self.board.updates[known.update].open_disputes -= 1
        self.board.owe(known.challenger, self.board.terms_of(known.update).challenge_bond)
        self.say("DisputeClosed", dispute=dispute)

    def close(self, _sender: str, dispute: bytes) -> None:
        """D-16: a dispute ends with the update, with its bond and its share (M-3)."""
        known, if_ = self.disputes.get(dispute), Conditions()
        if_(known is None or known.status != OPEN, "court: dispute is not open")
        if_(known is not None and self.board.is_live(known.update), "court: update is live")
        if_.refuse()
        assert known is not None
        self._over(dispute)
        self.board.owe(known.challenger, self.board.updates[known.update].moot_share)

    def free(self, _sender: str, candidate: bytes) -> None:
        """D-16: a defence bond comes back."""
        known, if_ = self.candidates.get(candidate), Conditions()
        if_(known is None or not known.bonded, "court: no defence bond held")
        if known is not None:
            update = self.positions[known.position].update
            over = self.board.is_final(update) or not self.board.is_live(update)
            needed = not over and not self.fallen_above(known.position)
            if_(needed, "court: candidate is still needed")
        if_.refuse()
        assert known is not None
        known.bonded = False
        self.board.owe(known.poster, self.terms(known.position).defence_bond)
        self.say("Freed", candidate=candidate)

    def verdict(self, _sender: str, _dispute: bytes, _candidate: bytes, _prover: str, _fault: bool) -> None:
        """D-11: only the verifier gives one, and it does so within `prove`."""
        raise Refused("court: not the verifier")
