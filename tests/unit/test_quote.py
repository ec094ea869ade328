"""A quote: gas against moves really played, plans against the rule of deadlines, clocks against paces."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from challenger.pace import Pace
from gavel.jobs import make_executor, open_job
from gavel.quote import gas_of, judge, make_quote, plan_of, update_size
from gavel.scenarios.job import small_job
from protocol.chain.client import Client
from protocol.chain.deployment import Contracts, deploy
from protocol.chain.embedded import EmbeddedChain, EmbeddedProvider, frozen_clock
from protocol.chain.moves import ensure_allowance, send_move
from protocol.game.moves import Claim, Lease, OpenJob, Post, Withdraw
from protocol.job import Job
from prover.engine.checkpoints import store_of_job

PURSE = 10**14


class Parties:
    """A requester and a trainer on a chain."""

    def __init__(self) -> None:
        self.chain = EmbeddedChain(accounts=2, genesis_time=4_000_000_000, clock=frozen_clock)
        clients = [Client(EmbeddedProvider(self.chain), key=key) for key in self.chain.keys]
        self.requester = deploy(clients[0])
        self.trainer = Contracts.bind(clients[1], self.requester.deployment)
        self.requester.token.send("transfer", clients[1].address, PURSE)
        self.folder = small_job(
            chain_id=clients[0].chain_id,
            board=self.requester.board.address_bytes,
            requester=self.requester.account,
            expiry=clients[0].now() + 10**7,
        )


@pytest.fixture(scope="module")
def parties() -> Parties:
    return Parties()


@pytest.mark.parametrize("most", [1, 7, 63])
def test_gas_is_what_the_moves_take(parties: Parties, most: int) -> None:
    """Within 8 % above; the terms need no program behind them for that."""
    geometry = replace(parties.folder.job.geometry, steps=2 * most + 1, stride=1, max_segments=most)
    job = replace(parties.folder.job, geometry=geometry, salt=bytes([most]) * 32)
    ensure_allowance(parties.requester, job.money.reward * geometry.segments)
    send_move(parties.requester, OpenJob(terms=job))
    trainer, updates = parties.trainer, (most, most, 1)
    trainer.token.send("approve", trainer.board.address, 0)
    before = len(trainer.client.sent)
    ensure_allowance(trainer, job.money.lease_deposit + job.money.update_bond)
    send_move(trainer, Lease(job=job.job_id))
    parent, posted = job.job_id, []
    for number, count in enumerate(updates):
        states = tuple(bytes([number + 1, place + 1]) * 16 for place in range(count))
        send_move(trainer, Post(job=job.job_id, parent=parent, states=states))
        parent = bytes(trainer.board.view("chain_at", job.job_id, number))
        posted.append(parent)
    parties.chain.rpc("evm_mine", [trainer.client.now() + 10**6])
    for update in posted:
        send_move(trainer, Claim(update=update))
    send_move(trainer, Withdraw())
    spent = sum(sent.gas for sent in trainer.client.sent[before:])
    assert spent <= gas_of(geometry, updates) <= 1.08 * spent


def test_a_plan_follows_the_rule_of_deadlines() -> None:
    job = _job(max_segments=10, steps=25, stride=1)
    clocks = job.clocks
    plan = plan_of(job, left=25, segment=2.0, replay=7.0)
    assert plan.updates == (10, 10, 5)
    assert plan.trained == 7 + 25 * 2
    first = 7 + 20 + clocks.window + 10 * clocks.replay
    assert plan.final == first + 15 * clocks.replay + clocks.opening
    assert plan.most_pending == 3
    # Slow machines post in an update what a third of the lease gives, and have fewer pending.
    slow = plan_of(job, left=25, segment=clocks.lease / 6)
    assert set(slow.updates) == {2, 1}
    assert slow.most_pending < len(slow.updates)
    assert plan_of(job, left=0, segment=1.0).updates == ()
    assert update_size(job, 10.0 * clocks.lease) == 1
    late = plan_of(job, left=1, segment=1.0, earlier=10**6)
    assert late.final == 10**6 + clocks.replay + clocks.opening


def _job(**geometry: int) -> Job:
    job = small_job().job
    return replace(job, geometry=replace(job.geometry, **geometry))


@pytest.mark.parametrize(
    ("step", "left", "level", "words"),
    [
        (0.001, 10**6, "info", ()),
        (1000.0, 10**6, "error", ("THE LEASE RUNS OUT", "CANNOT BE ANSWERED")),
        (0.001, -5, "error", ("THE JOB ENDS",)),
        (250.0, 10**6, "warning", ("little to spare",)),
    ],
)
def test_what_cannot_be_met_is_said(step: float, left: int, level: str, words: tuple[str, ...]) -> None:
    job, pace = small_job().job, Pace(step=step, state=0.0, outputs=0.0)
    plan = plan_of(job, left=4, segment=pace.segment(3))
    found = judge(job, pace, plan, left=left, holder=bytes(20))
    assert level in {finding.level for finding in found}
    assert all(any(word in finding.text for finding in found) for word in words)
    held = judge(job, pace, plan, left=left, holder=b"\x11" * 20)
    assert any("holds the lease" in finding.text for finding in held)


def test_a_quote_of_an_open_job(parties: Parties, tmp_path: Path) -> None:
    folder = parties.folder
    open_job(parties.requester, folder)
    executor, store = make_executor(folder), store_of_job(folder, tmp_path)
    sent = [len(contracts.client.sent) for contracts in (parties.requester, parties.trainer)]
    quote = make_quote(parties.trainer, folder, executor, store)
    assert (quote.segments, quote.done, quote.stored, quote.replay) == (4, 0, 0, 0.0)
    assert quote.reward == 4 * folder.job.money.reward
    assert quote.locked == quote.plan.most_pending * quote.bond + quote.lease_deposit
    assert 0 < quote.step < quote.segment < quote.trace
    assert json.loads(json.dumps(quote.to_json()))["gas_source"]
    assert {finding.level for finding in quote.findings} == {"info"}
    assert len(quote.rows()) >= 10
    # Two segments posted by somebody else: they are to be replayed.
    trainer, job = parties.trainer, folder.job
    ensure_allowance(trainer, job.money.lease_deposit + job.money.update_bond)
    send_move(trainer, Lease(job=job.job_id))
    send_move(trainer, Post(job=job.job_id, parent=job.job_id, states=(b"\1" * 32, b"\2" * 32)))
    later = make_quote(parties.trainer, folder, executor, store)
    assert (later.done, later.stored) == (2, 0)
    assert later.replay == pytest.approx(2 * later.segment)
    assert later.plan.final > folder.job.clocks.window
    assert len(parties.requester.client.sent) == sent[0]
    assert len(trainer.client.sent) == sent[1] + 2  # the lease and the post
