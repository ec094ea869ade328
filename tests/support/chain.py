"""A game on the model and, through the shipped client, on a real chain: what both views show is compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from protocol.chain.client import Client
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts, deploy
from protocol.chain.embedded import EmbeddedChain, EmbeddedProvider
from protocol.chain.moves import ensure_allowance, send_move
from protocol.errors import RefusedError
from protocol.game import moves as m
from protocol.game.model import Model
from protocol.game.openings import Openings
from protocol.game.toy import ToyTrace
from protocol.game.trace import HONEST, Hooks
from protocol.job import Job
from tests.support.game import table

PURSE = 10**15
PARTIES = ("requester", "trainer", "watcher", "other")


class Sides:
    """A job of the toy machine on the model and on an embedded chain.

    Attributes:
        job: the same on both; address: of each party, 20 bytes; sent: accepted moves by their type's name.
    """

    def __init__(self) -> None:
        # A genesis in the future makes the chain's clock its own: a second per block, and what the test adds.
        self.embedded = EmbeddedChain(accounts=len(PARTIES), genesis_time=4_000_000_000)
        clients = {
            who: Client(EmbeddedProvider(self.embedded), key=key)
            for who, key in zip(PARTIES, self.embedded.keys, strict=True)
        }
        first = deploy(clients["requester"], scheduled_gas=10_000_000)
        self.contracts = {who: Contracts.bind(client, first.deployment) for who, client in clients.items()}
        self.address = {who: contracts.account for who, contracts in self.contracts.items()}
        self.view = ChainView(first)
        self.model = Model(
            board=first.board.address_bytes, chain_id=self.embedded.chain_id, now=clients["other"].now()
        )
        self.sent: list[str] = []
        for who in PARTIES:
            self.model.mint(self.address[who], PURSE)
            first.token.send("transfer", self.address[who], PURSE)
            ensure_allowance(self.contracts[who], PURSE // 64)
        template = table()
        self.example = template.example
        self.job: Job = replace(
            template.job,
            chain_id=self.embedded.chain_id,
            board=first.board.address_bytes,
            requester=self.address["requester"],
            expiry=self.model.now() + 10**6,
        )
        self.truth = self.openings(HONEST)
        self.send("requester", m.OpenJob(terms=self.job))

    def openings(self, hooks: Hooks) -> Openings:
        """A party's trace of the job."""
        trace = ToyTrace(self.example.interpreter(), self.example.state, hooks=hooks)
        return Openings(geometry=self.job.geometry, program=self.example.program, trace=trace)

    def post(self, who: str, openings: Openings, segments: int) -> None:
        """Lease and post the first segments of a trace."""
        self.send(who, m.Lease(job=self.job.job_id))
        geometry = self.job.geometry
        ends = [i * geometry.stride + geometry.steps_of(i) for i in range(segments)]
        states = tuple(openings.trace.state_root(end) for end in ends)
        self.send(
            who, m.Post(job=self.job.job_id, parent=self.model.board.parent(self.job.job_id), states=states)
        )

    def send(self, who: str, move: m.Move) -> None:
        """Make a move on both sides and compare: accepted by both, or refused by both for the same reason."""
        reason = None
        try:
            send_move(self.contracts[who], move)
        except RefusedError as error:
            reason = error.reason
        self._same_time()
        expected = None
        try:
            self.model.apply(self.address[who], move)
        except RefusedError as error:
            expected = error.reason
        assert reason == expected, move
        if reason is None:
            self.sent.append(type(move).__name__)
        self.compare()

    def advance(self, seconds: int) -> None:
        """Let time pass on both sides."""
        self.embedded.rpc("evm_increaseTime", [seconds])
        self.embedded.rpc("evm_mine", [])
        self._same_time()
        self.compare()

    def _same_time(self) -> None:
        self.model.advance(self.contracts["other"].client.now() - self.model.now())

    def compare(self) -> None:
        """Compare everything that the two views show."""
        self.view.refresh()
        mine, theirs = self.model, self.view
        assert theirs.now() == mine.now()
        job = self.job.job_id
        assert [*theirs.chain(job)] == [*mine.chain(job)]
        for who in self.address.values():
            assert [*theirs.reservations(who)] == [*mine.reservations(who)]
            assert [*theirs.disputes(challenger=who)] == [*mine.disputes(challenger=who)]
            assert theirs.credit(who) == mine.board.credits.get(who, 0)
        for update in mine.board.updates:
            assert theirs.update(update) == mine.update(update)
            assert [*theirs.disputes(update=update)] == [*mine.disputes(update=update)]
            assert [*theirs.positions(update=update)] == [*mine.positions(update=update)]
            for position in mine.positions(update=update):
                self._compare_position(position.position)
        for dispute in mine.court.disputes:
            assert theirs.dispute(dispute) == mine.dispute(dispute)
            assert [*theirs.demands(dispute)] == [*mine.demands(dispute)]
        for node, levels in mine.court.revealed:
            assert _listed(theirs.children(node, levels)) == _listed(mine.children(node, levels))
        for page in mine.court.pages:
            assert theirs.page(page) == mine.page(page)

    def _compare_position(self, position: bytes) -> None:
        mine, theirs = self.model, self.view
        assert theirs.position(position) == mine.position(position)
        assert [*theirs.candidates(position)] == [*mine.candidates(position)]
        for candidate in mine.candidates(position):
            for dispute in mine.court.disputes:
                if position in mine.demands(dispute):
                    ours = mine.branch(dispute, candidate.candidate)
                    found = theirs.branch(dispute, candidate.candidate)
                    # In a fold's cursor the court names the node; the model reads it from the position (D-7).
                    cursor = replace(found.cursor, node=ours.cursor.node)
                    assert replace(found, cursor=cursor) == ours


def _listed(hashes: Any) -> list[bytes] | None:
    return None if hashes is None else list(hashes)
