"""Training as an agent on a chain: it posts in time, goes on after an interruption, defends meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag

import pytest

from challenger.solver import Challenger, opening
from gavel.jobs import make_executor, open_job
from gavel.scenarios.job import STRIDE, small_job
from protocol.chain.agent import run
from protocol.chain.client import Client
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts, deploy
from protocol.chain.embedded import EmbeddedChain, EmbeddedProvider, frozen_clock
from protocol.chain.moves import ensure_allowance, send_move
from protocol.checkpoints import CheckpointStore
from protocol.errors import AccountError, ChainError, MismatchError, StorageError
from protocol.game.ids import dispute_id
from protocol.game.moves import Commit, Lease, Post, Release, Reserve
from protocol.game.openings import Openings
from protocol.game.view import UpdateStatus
from protocol.job_folder import JobFolder
from prover.agent import DefenderAgent
from prover.engine.checkpoints import store_of_job
from prover.engine.executor import Executor
from prover.engine.trace import trace_of_job
from prover.trainer import Trainer
from prover.training import TrainingAgent

PARTIES = ("requester", "trainer", "other")
PURSE = 10**9


class World:
    """A chain with the small job open on it.

    Attributes:
        roots: of the right states after 1, 2, ... segments; lines: what agents have said.
    """

    def __init__(self, path: Path) -> None:
        self.chain = EmbeddedChain(accounts=3, genesis_time=4_000_000_000, clock=frozen_clock)
        clients = {
            who: Client(EmbeddedProvider(self.chain), key=key)
            for who, key in zip(PARTIES, self.chain.keys, strict=True)
        }
        first = deploy(clients["requester"])
        self.contracts = {who: Contracts.bind(client, first.deployment) for who, client in clients.items()}
        for who in PARTIES:
            first.token.send("transfer", self.contracts[who].client.address, PURSE)
        self.folder: JobFolder = small_job(
            chain_id=first.client.chain_id,
            board=first.board.address_bytes,
            requester=first.account,
            expiry=first.client.now() + 100_000,
        )
        open_job(self.contracts["requester"], self.folder)
        self.view = ChainView(first)
        self.executor: Executor = make_executor(self.folder)
        self.truth = trace_of_job(self.executor, self.folder)
        self.roots = [self.truth.state_root(STRIDE * n) for n in range(1, 5)]
        self.path, self.lines = path, list[str]()

    @property
    def store(self) -> CheckpointStore:
        return store_of_job(self.folder, self.path)

    def log(self, text: str, /, *, level: str = "info", **fields: object) -> None:  # noqa: ARG002
        self.lines.append(text)

    def training(self, **options: object) -> TrainingAgent:
        """The agent, as a process that starts makes it; a turn is one step."""
        store = self.store
        trainer = Trainer(folder=self.folder, executor=self.executor, store=store)
        settings: dict[str, object] = {"slice_seconds": 0.0} | options
        return TrainingAgent(
            contracts=self.contracts["trainer"],
            folder=self.folder,
            trainer=trainer,
            store=store,
            log=self.log,
            **settings,  # type: ignore[arg-type]
        )

    def defender(self) -> DefenderAgent:
        return DefenderAgent(
            contracts=self.contracts["trainer"],
            folder=self.folder,
            executor=self.executor,
            store=self.store,
            log=self.log,
        )

    def pass_time(self, seconds: int) -> None:
        self.chain.rpc("evm_mine", [self.contracts["other"].client.now() + seconds])

    def posted(self) -> list[bytes]:
        """The state roots of the live chain."""
        self.view.refresh()
        return [root for update in self.view.chain(self.folder.job.job_id) for root in update.states]

    def updates(self) -> list[int]:
        """Segments of each live update."""
        self.view.refresh()
        return [update.segments for update in self.view.chain(self.folder.job.job_id)]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture
def world(shared: World, tmp_path: Path) -> Iterator[World]:
    """The world as it was at the start, with an empty store."""
    before = shared.chain.rpc("evm_snapshot", [])
    shared.path, shared.lines = tmp_path, []
    shared.view = ChainView(shared.contracts["requester"])
    yield shared
    shared.chain.rpc("evm_revert", [before])
    for contracts in shared.contracts.values():
        contracts.client._nonce = None


def _until(agent: TrainingAgent, happened: Callable[[], bool], turns: int = 200) -> None:
    for _ in range(turns):
        if happened():
            return
        agent.turn()
    raise AssertionError("it did not happen")


def test_a_job_is_trained_posted_defended_and_collected_in_one_process(world: World) -> None:
    stop = Flag()
    defender, training = world.defender(), world.training(per_update=3, finished=stop.set)
    contracts, money = world.contracts["trainer"], world.folder.job.money
    before = contracts.token.view("balanceOf", contracts.client.address)
    for _ in range(300):
        run([defender, training], poll=0.0, stop=stop, log=world.log, once=True)
        if stop.is_set():
            break
        world.pass_time(300)
    assert stop.is_set()
    assert training.epilogue().startswith("done")
    assert world.posted() == world.roots
    assert world.updates() == [3, 1]
    after = contracts.token.view("balanceOf", contracts.client.address)
    assert after == before + 4 * money.reward


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 13])
def test_it_goes_on_after_an_interruption_at_any_turn_and_posts_nothing_twice(
    world: World, turns: int
) -> None:
    first = world.training(per_update=2)
    for _ in range(turns):
        first.turn()
    stored = len(world.store.checkpoints())
    second = world.training(per_update=2)
    _until(second, lambda: len(world.posted()) == 4)
    assert world.posted() == world.roots
    assert world.updates() == [2, 2]
    trained_again = [line for line in world.lines if line.startswith("trained segment ")]
    assert len(trained_again) == 4, f"{stored} were stored at the interruption"


def test_it_posts_before_the_lease_runs_out(world: World) -> None:
    agent = world.training(per_update=4)
    _until(agent, lambda: bool(world.store.checkpoints()))
    assert world.posted() == []
    world.pass_time(world.folder.job.clocks.lease // 2)
    _until(agent, lambda: len(world.posted()) >= 2)
    assert world.updates()[0] == 2


def test_it_ends_with_its_order_and_leaves_the_rest(world: World) -> None:
    ended: list[bool] = []
    agent = world.training(segments=3, per_update=2, finished=lambda: ended.append(True))
    _until(agent, lambda: len(world.posted()) == 3)
    assert not agent.turn()
    assert not ended  # what it posted is not final
    assert len(world.store.checkpoints()) == 3


def test_it_waits_for_a_lease_that_somebody_else_holds(world: World) -> None:
    other, job = world.contracts["other"], world.folder.job
    ensure_allowance(other, job.money.lease_deposit)
    send_move(other, Lease(job=job.job_id))
    agent = world.training()
    assert not agent.turn()
    assert "holds the job's lease" in world.lines[-1]
    assert world.store.checkpoints() == []
    world.pass_time(job.clocks.lease + 1)  # late: `lease` evicts by itself
    _until(agent, lambda: len(world.posted()) == 4)


def test_it_trains_nothing_on_a_tip_that_is_wrong(world: World) -> None:
    other, job = world.contracts["other"], world.folder.job
    ensure_allowance(other, job.money.lease_deposit + job.money.update_bond)
    send_move(other, Lease(job=job.job_id))
    send_move(other, Post(job=job.job_id, parent=job.job_id, states=(bytes([1]) * 32,)))
    send_move(other, Release(job=job.job_id))
    agent = world.training()
    with pytest.raises(MismatchError, match="the tip is wrong"):
        _until(agent, lambda: False)
    assert not agent.turn()
    assert "must fell it" in world.lines[-1]
    world.view.refresh()
    assert not any(world.view.job_state(job.job_id)["leaseholder"])


def test_it_begins_again_where_the_tip_has_moved(world: World) -> None:
    """Its own update falls while it trains on: here the chain is as before it was posted."""
    agent = world.training(per_update=1)
    before = world.chain.rpc("evm_snapshot", [])
    _until(agent, lambda: len(world.posted()) == 1)
    agent.turn()
    agent.turn()
    world.chain.rpc("evm_revert", [before])
    world.contracts["trainer"].client._nonce = None
    world.view = ChainView(world.contracts["requester"])
    # A chain that takes blocks back is told to views by their cursor; here the whole past is another.
    agent.view = agent._account.view = ChainView(agent._contracts)
    _until(agent, lambda: len(world.posted()) == 4)
    assert any("another one now" in line for line in world.lines)
    assert world.posted() == world.roots


def test_no_room_stops_training_and_not_the_defence(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (world.path / "objects").write_text("in the way")
    defender, agent = world.defender(), world.training()
    with pytest.raises(StorageError):
        _until(agent, lambda: False)
    assert not agent.turn()  # not at once again
    assert defender.turn() is False
    assert world.posted() == []
    monkeypatch.setattr("prover.training.AGAIN", 0.0)
    agent._not_before = 0.0
    (world.path / "objects").unlink()
    _until(agent, lambda: len(world.posted()) == 4)


def test_an_account_that_cannot_pay_is_no_node_that_does_not_answer(world: World) -> None:
    token, stop = world.contracts["trainer"].token, Flag()
    token.send("transfer", world.contracts["other"].client.address, PURSE)
    defender, agent = world.defender(), world.training()
    turns, turn = 0, agent.turn

    def counted() -> bool:
        nonlocal turns
        turns += 1
        if turns == 20:
            stop.set()
        return turn()

    agent.turn = counted  # type: ignore[method-assign]
    run([defender, agent], poll=0.0, stop=stop, log=world.log)
    [said] = [line for line in world.lines if "bond tokens that the next move locks" in line]
    assert said.startswith("NOT TRAINING")
    assert not any("answers again" in line for line in world.lines)
    agent._not_before = 0.0
    with pytest.raises(AccountError):
        _until(agent, lambda: False)
    world.contracts["other"].token.send("transfer", world.contracts["trainer"].client.address, PURSE)
    agent._not_before = 0.0
    _until(agent, lambda: len(world.posted()) == 4)


def test_it_trains_on_while_the_node_is_away_and_posts_when_it_is_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = world.training(per_update=1)
    _until(agent, lambda: agent._work is not None)
    agent.turn()  # takes the lease
    with monkeypatch.context() as patched:
        patched.setattr(world.chain, "rpc", _unreachable)
        with pytest.raises(ChainError):
            _until(agent, lambda: False)
        assert len(world.store.checkpoints()) == 1  # at its end it must be posted
        with pytest.raises(ChainError):
            agent.turn()
    _until(agent, lambda: len(world.posted()) == 4)
    assert world.posted() == world.roots


def _unreachable(method: str, params: list[object]) -> object:
    raise OSError("no route to the node")


def test_a_dispute_is_answered_between_two_steps(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody with nothing accuses the first update while the second is trained."""
    stop = Flag()
    defender, agent = world.defender(), world.training(per_update=1)
    _until(agent, lambda: len(world.posted()) == 1)
    other, job = world.contracts["other"], world.folder.job
    [update] = world.view.chain(job.job_id)
    me = Challenger(
        address=other.account,
        job=job,
        openings=Openings(geometry=job.geometry, program=world.folder.program, trace=world.truth),
        salt=lambda *_: bytes(32),
        first_difference=lambda *_: None,
    )
    digest = dispute_id(update=update.update, segment=0, challenger=other.account, salt=bytes(32))
    ensure_allowance(other, job.money.challenge_bond)
    send_move(other, Reserve(job=job.job_id, digest=digest))
    send_move(other, opening(update, 0, bytes(32), me.job.geometry))
    stored = len(world.store.checkpoints())
    agent.turn()
    loaded: list[int] = []
    load = defender._store.load
    monkeypatch.setattr(defender._store, "load", lambda n, root: loaded.append(n) or load(n, root))
    sent = defender.step()
    assert loaded == [0]  # the state before the disputed segment, and no others
    assert any(isinstance(move, Commit) for move in sent)
    assert len(world.store.checkpoints()) == stored  # the segment that it is in is not at its end yet
    assert not stop.is_set()
    world.view.refresh()
    assert world.view.update(update.update).status == UpdateStatus.PENDING


def test_a_given_state_is_built_on_without_a_replay(world: World) -> None:
    for_others = store_of_job(world.folder, world.path / "of another")
    state = world.truth.state_words(STRIDE)
    for_others.save(
        segments=1, root=world.roots[0], parent=world.folder.job.genesis, losses=(1.0,), state=state
    )
    ran: list[int] = []

    class Counting(Executor):
        def run(self, *args: object, **options: object) -> object:  # type: ignore[override]
            ran.append(1)
            return super().run(*args, **options)  # type: ignore[arg-type]

    folder, geometry = world.folder, world.folder.job.geometry
    executor = Counting(
        folder.program,
        inputs=folder.inputs,
        seed=folder.job.seed,
        n_rows=geometry.n_rows,
        batch=geometry.batch,
        tensor_height=geometry.tensor_height,
    )
    trainer = Trainer(
        folder=folder,
        executor=executor,
        store=world.store,
        given=lambda root: for_others.load(1, root),
    )
    [segment] = trainer.train(first_segment=1, root=world.roots[0], segments=1)
    assert segment.root == world.roots[1]
    assert len(ran) == STRIDE
    assert replace(segment, number=1) == segment
