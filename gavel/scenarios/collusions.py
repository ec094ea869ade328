"""What parties in league try: to get lost bonds back, to leave others nothing, to withhold what they owe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory
from typing import Final

from challenger.agent import Watcher
from challenger.sampling import BEACON_DELAY, Sampler
from gavel.scenarios.attacks import EACH, FLOOD, segments
from gavel.scenarios.cheats import cheat
from gavel.scenarios.conduct import garbage
from gavel.scenarios.decision import Decision, Leaf
from gavel.scenarios.scenario import Attack, Play, Played, Scenario
from gavel.scenarios.stage import REQUESTER, SECOND, THIRD, TRAINER, WATCHER, Stage
from gavel.scenarios.strangers import Bogus, Liar, Spammer, guarding
from protocol.chain.moves import ensure_allowance
from protocol.errors import MalformedError, MismatchError, RefusedError
from protocol.game.demand_moves import CloseDemand, Demand, Expire
from protocol.game.demands import PageOpener
from protocol.game.ids import Kind
from protocol.game.moves import Cancel, Claim, Lease, Post
from protocol.job_folder import JobFolder, commit

OWN_DEMANDS: Final = 16
"""Demands that a cheat makes of itself: as many as make the next one cost twice as much (Y-3)."""

SAMPLED: Final = 2
"""Pages that a watcher asks for."""

SILENT: Final = "silent-nodes-commit"
"""The cheat that its own accomplices dispute: a short dispute shows what the money does."""


# -------------------------------------------------------------------- bonds that are to come back


def _self_disputed(stage: Stage, step: int, seed: int) -> Played:
    """An accomplice opens first and plays in every branch, or it would not be credited (D-14)."""
    cheating = cheat(SILENT)
    lie = cheating.prepare(stage.folder, step=step, seed=seed)
    stage.trainer(hooks=lie.hooks, conduct=cheating.conduct).train(segments(stage, step))
    stage.watcher(SECOND, direct=True)
    stage.watcher()
    stage.play()
    return Played(expected=lie.decision)


def _diluted(stage: Stage, step: int, seed: int) -> Played:
    """An accomplice opens several disputes first, so that the watcher's share of the bond is small."""
    cheating = cheat(SILENT)
    lie = cheating.prepare(stage.folder, step=step, seed=seed)
    conduct = replace(cheating.conduct, spares=True)
    stage.trainer(hooks=lie.hooks, conduct=conduct).train(segments(stage, step))
    stage.seat(SECOND, Spammer(**stage.binding(SECOND), each=EACH))
    stage.watcher()
    stage.play()
    return Played(expected=lie.decision)


def _recycled(stage: Stage, step: int, seed: int) -> Played:
    """The cheat's own challenger plays first, against candidates that a third account has posted for it."""
    cheating = cheat(SILENT)
    lie = cheating.prepare(stage.folder, step=step, seed=seed)
    stage.seat(THIRD, Bogus(**guarding(stage, THIRD), kind=Kind.STEPS, number=FLOOD // 2))
    stage.trainer(hooks=lie.hooks, conduct=cheating.conduct).train(segments(stage, step))
    stage.watcher(SECOND, direct=True)
    stage.watcher()
    stage.play()
    return Played(expected=Decision(level=Kind.STEPS, leaf=Leaf.SILENCE))


# -------------------------------------------------------------------- pages


def _after_the_beacon(stage: Stage) -> None:
    for _ in range(BEACON_DELAY):
        stage.tick(stage.now() + 1)


class _SteadySampler(Sampler):
    """A sampler with a beacon that is the same in every run; hashes of blocks are not."""

    def _beacon(self, block: int) -> bytes:
        return block.to_bytes(32)


def _sampler(stage: Stage) -> None:
    binding = stage.binding(WATCHER)
    stage.seat(WATCHER, _SteadySampler(**binding, number=SAMPLED, account=stage.address(WATCHER)))


def _unanswered(stage: Stage) -> None:
    """Let what was demanded become late, and be ended."""
    stage.tick(stage.now() + stage.folder.job.audit.answer_time + 1)
    stage.play()


def _withheld_pages(stage: Stage, step: int, _seed: int) -> Played:
    """A trainer posts what it does not keep, or does not show."""
    stage.trainer().train(segments(stage, step))
    _after_the_beacon(stage)
    _sampler(stage)
    stage.play()
    _unanswered(stage)
    return Played()


def _own_demands(stage: Stage, step: int, _seed: int) -> Played:
    """A trainer that has kept a single page has it demanded again and again, and answers that."""
    trainer = stage.trainer()
    trainer.train(segments(stage, step))
    stage.view.refresh()
    update = stage.view.chain(stage.folder.job.job_id)[0]
    state = trainer.store.load(update.segments, update.states[-1])
    if state is None:
        raise MismatchError("the trainer has kept no state")
    opener = PageOpener(state, stage.folder.job.geometry, update.states[-1])
    ensure_allowance(stage.contracts[SECOND], stage.folder.job.audit.demand_fee)
    for _ in range(OWN_DEMANDS):
        stage.send(SECOND, Demand(update=update.update, slot=0, page=0))
    _sampler(stage)
    stage.play()
    for demand in stage.view.open_demands(update.update):
        if demand.asker == stage.address(SECOND):
            stage.send(TRAINER, opener.answer(demand))
    _unanswered(stage)
    return Played()


def _felled_by_itself(stage: Stage, step: int, seed: int) -> Played:
    """Before the watcher's dispute is decided, a demand of the cheat's accomplice is to fell the update."""
    cheating = cheat(SILENT)
    lie = cheating.prepare(stage.folder, step=step, seed=seed)
    stage.trainer(hooks=lie.hooks, conduct=cheating.conduct).train(segments(stage, step))
    stage.view.refresh()
    update = stage.view.chain(stage.folder.job.job_id)[0]
    ensure_allowance(stage.contracts[SECOND], stage.folder.job.audit.demand_fee)
    stage.send(SECOND, Demand(update=update.update, slot=0, page=0))
    stage.watcher()
    stage.play(until=lambda: bool(stage.view.disputes()))
    [demand] = stage.view.open_demands(update.update)
    stage.tick(demand.due + 1)
    try:
        stage.send(SECOND, Expire(demand=demand.demand))
    except RefusedError as error:
        stage.play()
        stage.send(SECOND, CloseDemand(demand=demand.demand))
        return Played(expected=lie.decision, refused=(error.reason,))
    raise MismatchError("an update fell by a demand while a dispute of it was open (Y-5)")


# -------------------------------------------------------------------- stores, terms, programs


def _withheld_store(stage: Stage, step: int, _seed: int) -> Played:
    """A trainer's checkpoints are gone, and a store lies: everybody derives the states again."""
    first = stage.trainer()
    first.train(segments(stage, step))
    first.release()
    rmtree(stage.path(TRAINER))
    stage.leave(TRAINER)
    stage.view.refresh()
    [update] = stage.view.chain(stage.folder.job.job_id)
    stage.tick(update.deadline + stage.folder.job.clocks.opening + 1)  # from now on a store is asked
    stage.trainer(SECOND).train(stage.folder.job.geometry.segments - segments(stage, step))
    store = Liar()
    stage.seat(WATCHER, Watcher(**stage.watching(WATCHER), stores=[store]))
    stage.play()
    if not store.asked:
        raise MismatchError("the store that lies was never asked")
    stage.seat(TRAINER, first.agent)  # comes back for its reward
    return Played()


def _notice(stage: Stage, step: int, _seed: int) -> Played:
    """A requester ends the job as soon as a trainer has leased; what that one trains is worth nothing."""
    job = stage.folder.job
    trainer = stage.trainer()
    trainer.lease()
    stage.send(REQUESTER, Cancel(job=job.job_id))
    stage.tick(stage.now() + job.clocks.notice + 1)
    try:
        trainer.train(segments(stage, step))
    except RefusedError as error:
        return Played(refused=(error.reason,))
    raise MismatchError("an update was posted after the end of its job")


def ill_formed(folder: JobFolder) -> JobFolder:
    """The job with a program that breaks P-11 in one node, and is otherwise as the terms say: its code is no
    code, so that the contract takes every word of it for zero (N-11).
    """
    program = folder.program
    broken = replace(program.nodes[0], code=b"\xff")
    program = replace(program, nodes=(broken, *program.nodes[1:]))
    geometry = folder.job.geometry
    root, _, _ = commit(program, folder.inputs, folder.genesis, geometry.tensor_height, geometry.input_height)
    return replace(folder, program=program, job=replace(folder.job, program_root=root))


def _farming(stage: Stage, step: int, _seed: int) -> Played:
    """A requester and a trainer wait with a program that no honest replay can follow."""
    job = stage.folder.job
    with TemporaryDirectory(prefix="gavel-farm-") as place:
        path = Path(place) / "job"
        stage.folder.save(path)
        try:
            JobFolder.load(path)
        except MalformedError:
            refused = "the watcher does not follow the job"
        else:
            raise MismatchError("a watcher would follow a job whose program is not well-formed (P-11)")
    ensure_allowance(stage.contracts[TRAINER], job.money.lease_deposit + job.money.update_bond)
    stage.send(TRAINER, Lease(job=job.job_id))
    states = tuple(garbage(bytes([n])) for n in range(segments(stage, step)))
    stage.send(TRAINER, Post(job=job.job_id, parent=job.job_id, states=states))
    stage.view.refresh()
    [update] = stage.view.chain(job.job_id)
    stage.tick(update.deadline + job.clocks.opening + 1)
    stage.send(TRAINER, Claim(update=update.update))
    return Played(refused=(refused,))


# -------------------------------------------------------------------- all of them

_WATCHING = frozenset({REQUESTER, WATCHER})
_BURNED_SHARE = "the burned share of the bond, and what the watcher is refunded"


def collusions(part: str) -> Iterator[Scenario]:
    """The scenarios of this module."""

    def made(
        name: str, text: str, run: Play, honest: frozenset[str], attack: Attack, *, audited: bool = False
    ) -> Scenario:
        return Scenario(
            name=name, text=text, part=part, honest=honest, run=run, attack=attack, audited=audited
        )

    yield made(
        "self-disputed",
        f"the {SILENT} cheat, whose accomplice opens first and plays as fast as the watcher",
        _self_disputed,
        _WATCHING,
        Attack(tries="to get the winner's part of its own bond back", must_cost=_BURNED_SHARE),
    )
    yield made(
        "self-disputed-three",
        "the same, and the requester is in league with them",
        _self_disputed,
        frozenset({WATCHER}),
        Attack(tries="to get all of its own bond back", must_cost=_BURNED_SHARE),
    )
    yield made(
        "diluted",
        f"the {SILENT} cheat, whose accomplice opens {2 * EACH} disputes first",
        _diluted,
        _WATCHING,
        Attack(tries="that the watcher's share does not cover its gas", must_cost=_BURNED_SHARE),
    )
    yield made(
        "recycled-candidates",
        f"a cheat who falls silent beside {FLOOD // 2} bogus candidates of its own, and its own challenger",
        _recycled,
        _WATCHING,
        Attack(
            tries="to fell its own candidates, and get all bonds back",
            must_cost="the burned share of every bond, and what the watcher is refunded",
        ),
    )
    yield made(
        "felled-by-itself",
        f"the {SILENT} cheat, and a demand of its accomplice that is to fell it before a dispute does",
        _felled_by_itself,
        _WATCHING,
        Attack(tries="to leave the watcher without a winner's part", must_cost=_BURNED_SHARE),
        audited=True,
    )
    yield made(
        "withheld-pages",
        "a trainer shows no page of what it has posted, to a watcher that samples",
        _withheld_pages,
        _WATCHING,
        Attack(tries="to be paid for a state that nobody can have", must_cost="the update bond"),
        audited=True,
    )
    yield made(
        "own-demands",
        f"the same, who has one page left and has that demanded {OWN_DEMANDS} times",
        _own_demands,
        _WATCHING,
        Attack(
            tries="to make demands too dear for a watcher that samples",
            must_cost="the update bond, and the burned share of its own fees",
        ),
        audited=True,
    )
    yield made(
        "withheld-store",
        "a trainer leaves without its checkpoints, and a store lies to the watcher",
        _withheld_store,
        frozenset({REQUESTER, TRAINER, SECOND, WATCHER}),
        Attack(
            tries="that nobody can build on it or check what follows", must_cost="nothing, and gains nothing"
        ),
    )
    yield made(
        "notice",
        "a requester cancels as soon as a trainer has leased, and posts are refused when it has trained",
        _notice,
        frozenset({TRAINER}),
        Attack(
            tries="to have a trainer work for nothing",
            must_cost="its gas; the trainer loses its gas and its work, and no deposit",
            whole=True,
        ),
    )
    yield Scenario(
        name="farming",
        text="a requester and a trainer open a job whose program is not well-formed, and post garbage",
        part=part,
        honest=frozenset({WATCHER, SECOND}),
        run=_farming,
        attack=Attack(
            tries="to be disputed by watchers that cannot prove anything",
            must_cost="its gas: nobody follows the job (P-11)",
        ),
        change=ill_formed,
    )
