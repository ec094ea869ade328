"""Calls that make sense, of token, board and availability: for each function one that somebody makes now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final

from tests.stateful.calls import (
    CHEAT,
    DEPLOYER,
    GOVERNOR,
    HONEST,
    HOSTILE,
    PEOPLE,
    REQUESTER,
    RIVAL,
    STRANGER,
    TRAINER,
    Call,
)
from tests.stateful.ghost_base import BURN, NOBODY
from tests.stateful.ghost_board import Job
from tests.stateful.ghost_terms import ANSWER_GAS, ANYBODY, CLOCKS, GEOMETRY, TERMS, packed
from tests.stateful.ghost_token import UNLIMITED
from tests.stateful.material import STEPS, STRIDE
from tests.stateful.truth import Truth
from tests.stateful.world import World

MOST_JOBS: Final = 3


class SensibleBoard:
    """Each method gives a call of the function of its name, or None where there is no occasion."""

    def __init__(self, world: World, truth: Truth, random: Random) -> None:
        """Calls for a world."""
        self.world, self.truth, self.random = world, truth, random
        self.ghost = world.ghost

    @property
    def now(self) -> int:
        """Seconds of the block."""
        return self.world.now

    def some(self, found: Iterator[Call | None]) -> Call | None:
        """Any of some calls."""
        calls = [call for call in found if call is not None]
        return self.random.choice(calls) if calls else None

    def anybody(self) -> str:
        """Any of the people: for calls that harm nobody."""
        return self.random.choice(PEOPLE)

    def chance(self, share: float) -> bool:
        """Now and then."""
        return self.random.random() < share

    # ---------------------------------------------------------------- token

    def token_transfer(self) -> Call | None:
        """Small change between the hostile."""
        sender, to = self.random.choice(HOSTILE), self.random.choice(HOSTILE)
        return Call(sender, "token", "transfer", (to, self.random.randrange(1000)))

    def token_transferFrom(self) -> Call | None:  # noqa: N802 - the ABI's name
        """Take what was allowed."""
        given = [(o, s, n) for (o, s), n in self.ghost.token.allowed.items() if o in HOSTILE and s in HOSTILE]
        usable = [(o, s, n) for o, s, n in given if n and self.ghost.token.balance[o]]
        if not usable:
            return None
        owner, spender, amount = self.random.choice(usable)
        amount = self.random.randint(0, min(amount, 1000, self.ghost.token.balance[owner]))
        return Call(spender, "token", "transferFrom", (owner, self.random.choice(HOSTILE), amount))

    def token_approve(self) -> Call | None:
        """Let another take a little."""
        owner, spender = self.random.choice(HOSTILE), self.random.choice(HOSTILE)
        return Call(owner, "token", "approve", (spender, self.random.choice([0, 500, 5000, UNLIMITED])))

    def token_mint(self) -> Call | None:
        """The deployer makes tokens for somebody hostile."""
        return Call(DEPLOYER, "token", "mint", (self.random.choice(HOSTILE), self.random.randrange(1000)))

    def token_burn(self) -> Call | None:
        """Somebody hostile destroys some."""
        return Call(self.random.choice(HOSTILE), "token", "burn", (self.random.randrange(1000),))

    # ---------------------------------------------------------------- governor (M-1)

    def board_set_scheduled_gas(self) -> Call | None:
        """Within bounds that the jobs here can meet."""
        if self.ghost.board.governor == NOBODY:
            return None
        return Call(
            self.ghost.board.governor, "board", "set_scheduled_gas", (self.random.randint(1, 6_000_000),)
        )

    def board_set_governor(self) -> Call | None:
        """To another account and back."""
        board = self.ghost.board
        if board.governor == NOBODY:
            return None
        return Call(
            board.governor, "board", "set_governor", (GOVERNOR if board.governor != GOVERNOR else STRANGER,)
        )

    # ---------------------------------------------------------------- jobs

    def board_open_job(self) -> Call | None:
        """Terms of some variety that anybody would accept."""
        if sum(self.now <= job.ends_at for job in self.ghost.board.jobs.values()) >= MOST_JOBS:
            return None
        requester = self.random.choice([REQUESTER, REQUESTER, CHEAT])
        return Call(requester, "board", "open_job", (self.terms(requester),))

    def terms(self, requester: str) -> tuple[Any, ...]:
        """The words of a job over the material."""
        pick, shapes = self.random.choice, self.truth.material.shapes
        program = self.truth.material.program
        geometry = {
            "n_nodes": len(program.nodes),
            "n_slots": len(program.slots),
            "n_inputs": len(program.inputs),
            "input_height": shapes.inputs_tensor,
            "n_rows": self.truth.material.example.n_rows,
            "batch": self.truth.material.example.batch,
            "steps": STEPS,
            "stride": STRIDE,
            "max_segments": pick([1, 2, 3, 7]),
            "tensor_height": shapes.tensor,
            "fanout_log2": pick([1, 1, 2, 2, 3, 10]),
            "range_log2": self.truth.material.example.range_log2,
        }
        clocks = {
            "window": pick([200, 600]),
            "replay": pick([0, 10]),
            "response": pick([20, 60]),
            "allowance": pick([0, 30]),
            "reserve": pick([0, 50, 90]),
            "opening": pick([60, 120]),
            "lease": pick([60, 300]),
            "notice": pick([0, 300]),
        }
        gas_price, gas, tip, bounty = 2, pick([6_000_000, 9_000_000]), pick([0, 100_000]), pick([0, 10**7])
        bps = pick([1000, 2000, 3333, 9000])
        owed = gas_price * gas + bounty + tip
        bond = owed * 10_000 // (10_000 - bps) + pick([2, 2, 1000, 50_000_000])
        auditor = pick([ANYBODY, ANYBODY, STRANGER, NOBODY])
        named = {
            "chain_id": 1,
            "board": self.ghost.at.board,
            "requester": requester,
            "salt": self.random.randbytes(32),
            "manifest": self.random.randbytes(32),
            "program_root": self.truth.material.program_root,
            "inputs_root": self.truth.material.inputs_root,
            "genesis": self.truth.material.right(0),
            "seed": self.truth.material.example.seed,
            "geometry": packed(geometry, GEOMETRY),
            "clocks": packed(clocks, CLOCKS),
            "expiry": self.now + pick([1500, 4000, 20_000]),
            "update_bond": bond + pick([0, 10**8]),
            "challenge_bond": bond,
            "defence_bond": bond,
            "lease_deposit": tip * 10_000 // (10_000 - bps) + pick([2, 1_000_000]),
            "reward": pick([1, 500_000]),
            "gas_price": gas_price,
            "scheduled_gas": gas,
            "bounty": bounty,
            "tip": tip,
            "burn_bps": bps,
            "auditor": auditor,
            "demand_until": self.now + pick([300, 5000]),
            "answer_time": pick([20, 60]),
            "demand_fee": gas_price * ANSWER_GAS * 10_000 // (10_000 - bps) + 2,
        }
        return tuple(named[name] for name in TERMS)

    def _jobs(self) -> list[tuple[bytes, Job]]:
        return list(self.ghost.board.jobs.items())

    def _open(self, job: Job) -> bool:
        """Whether a segment can still be posted, of a job worth it."""
        return (
            self.truth.sound(job.terms.job)
            and self.now <= job.ends_at
            and self.ghost.board.next_segment(job) < job.terms.segments
        )

    def board_cancel(self) -> Call | None:
        """A requester gives notice, now and then."""
        jobs = [job for _, job in self._jobs() if self.now < job.ends_at]
        if not jobs or not self.chance(0.3):
            return None
        job = self.random.choice(jobs).terms
        return Call(job.requester, "board", "cancel", (job.job,))

    def board_refund(self) -> Call | None:
        """After the end."""
        board = self.ghost.board
        return self.some(
            Call(self.anybody(), "board", "refund", (job,))
            for job, known in self._jobs()
            if self.now > known.ends_at
            and not known.refunded
            and board.final_length(known) == len(known.chain)
        )

    # ---------------------------------------------------------------- leases

    def _wants(self, job: bytes) -> list[str]:
        """Who would lease a job: the honest trainer only where all that it would build on is right."""
        return [TRAINER, CHEAT, RIVAL] if self.truth.right_chain(job) else [CHEAT, RIVAL]

    def board_lease(self) -> Call | None:
        """Where nobody holds the lease, or somebody late."""
        return self.some(
            Call(self.random.choice(self._wants(job)), "board", "lease", (job,))
            for job, known in self._jobs()
            if self._open(known) and (known.leaseholder == NOBODY or self.now > known.lease_due)
        )

    def board_release(self) -> Call | None:
        """A hostile holder gives up; the honest one only after it has posted."""
        return self.some(
            Call(known.leaseholder, "board", "release", (job,))
            for job, known in self._jobs()
            if known.leaseholder != NOBODY
            and self.now <= known.lease_due
            and (known.leaseholder not in HONEST or known.posted)
            and self.chance(0.3)
        )

    def board_evict(self) -> Call | None:
        """A late holder goes."""
        return self.some(
            Call(self.anybody(), "board", "evict", (job,))
            for job, known in self._jobs()
            if known.leaseholder != NOBODY and self.now > known.lease_due
        )

    def board_post(self) -> Call | None:
        """By the holder; by the honest one only what is right on what is right."""
        return self.some(
            self.post_of(job, known)
            for job, known in self._jobs()
            if self._open(known)
            and known.leaseholder != NOBODY
            and self.now <= known.lease_due
            and (self.truth.right_chain(job) if known.leaseholder in HONEST else self.chance(0.5))
        )

    def post_of(self, job: bytes, known: Job) -> Call:
        """The next segments of some trace."""
        board, terms = self.ghost.board, known.terms
        first = board.next_segment(known)
        most = min(terms.max_segments, terms.segments - first)
        segments = range(first, first + self.random.choice([1, 1, most, self.random.randint(1, most)]))
        m, trace = self.truth.material, 0
        if known.leaseholder not in HONEST and self.chance(0.7):
            wrong = [t for t in range(len(m.traces)) if m.ends(t, segments) != m.ends(0, segments)]
            trace = self.random.choice(wrong or [0])
        parent = known.chain[-1] if known.chain else job
        states = tuple(m.ends(trace, segments))
        return Call(known.leaseholder, "board", "post", (job, parent, states))

    # ---------------------------------------------------------------- ends of updates

    def board_finalise(self) -> Call | None:
        """Whether there is something to record or not."""
        jobs = self._jobs()
        if not jobs:
            return None
        return Call(self.anybody(), "board", "finalise", (self.random.choice(jobs)[0],))

    def board_claim(self) -> Call | None:
        """What is final."""
        board = self.ghost.board
        return self.some(
            Call(self.anybody(), "board", "claim", (update,))
            for update, known in board.updates.items()
            if not known.settled and board.is_final(update)
        )

    def board_reclaim(self) -> Call | None:
        """What is void."""
        board = self.ghost.board
        return self.some(
            Call(self.anybody(), "board", "reclaim", (update,))
            for update, known in board.updates.items()
            if not known.settled and not board.is_live(update)
        )

    def board_withdraw(self) -> Call | None:
        """Whoever has a credit."""
        credit = self.ghost.board.credit
        return self.some(Call(who, "board", "withdraw") for who in PEOPLE if credit[who])

    def board_withdraw_burned(self) -> Call | None:
        """What was burned."""
        return Call(self.anybody(), "board", "withdraw_burned") if self.ghost.board.credit[BURN] else None

    # ---------------------------------------------------------------- availability

    def availability_demand(self) -> Call | None:
        """Whoever may ask for a page of a live update."""
        board, found = self.ghost.board, list[Call]()
        for update, known in board.updates.items():
            terms = board.terms_of(update)
            late = self.now > min(known.deadline, terms.demand_until)
            if (
                late
                or not board.is_live(update)
                or not self.truth.follows(update)
                or terms.auditor == NOBODY
                or known.open_demands > 20
            ):
                continue
            asker = self.random.choice(HOSTILE) if terms.auditor == ANYBODY else terms.auditor
            if asker in HONEST:  # a demand that is answered is paid for
                continue
            place = self.random.randrange(terms.n_slots), self.random.randrange(1 << terms.tensor_height)
            found.append(Call(asker, "availability", "demand", (update, *place)))
        return self.some(iter(found))

    def availability_answer(self) -> Call | None:
        """Anybody who holds the page, not too readily: else none would be late."""
        if not self.chance(0.15):
            return None
        return self.some(
            self.answer_of(demand, self.anybody())
            for demand, known in self.ghost.availability.demands.items()
            if self.now <= known.due
            and self.ghost.board.is_live(known.update)
            and self.truth.follows(known.update)
            and (self.truth.wrong_segment(known.update) is None or self.chance(0.1))
        )

    def answer_of(self, demand: bytes, sender: str) -> Call | None:
        """A page with its proof, None where nobody knows what was posted."""
        known, stock = self.ghost.availability.demands[demand], self.truth.stock
        shapes, state = self.truth.material.shapes, self.ghost.board.updates[known.update].states[-1]
        slot = stock.leaf(state, shapes.state, known.slot)
        slot_path = stock.path(state, shapes.state, known.slot)
        if slot is None or slot_path is None:
            return None
        leaf = stock.leaf(slot, shapes.tensor, known.page)
        page_path = stock.path(slot, shapes.tensor, known.page)
        if leaf is None or page_path is None:
            return None
        page = stock.pages.get(leaf, b"")
        return Call(sender, "availability", "answer", (demand, page, tuple(page_path), tuple(slot_path)))

    def availability_expire(self) -> Call | None:
        """What was not answered in time."""
        return self.some(
            Call(self.anybody(), "availability", "expire", (demand,))
            for demand, known in self.ghost.availability.demands.items()
            if self.now > known.due
            and self.ghost.board.is_live(known.update)
            and not self.ghost.board.updates[known.update].open_disputes
        )

    def availability_close_demand(self) -> Call | None:
        """What has no update any more."""
        return self.some(
            Call(self.anybody(), "availability", "close_demand", (demand,))
            for demand, known in self.ghost.availability.demands.items()
            if not self.ghost.board.is_live(known.update)
        )


Suggestion = Callable[[], Call | None]
