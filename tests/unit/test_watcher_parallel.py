"""Segments replayed side by side by processes of this machine (A-15 to A-19), and what can go wrong there."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest

from challenger.agent import Watcher
from challenger.cache import Cache
from challenger.claims import Claims
from challenger.parallel import HOPELESS, Pool, Processes
from challenger.worker import Answer, Setup, Task, Worker
from protocol.chain.agent import Said
from protocol.game.moves import Open, Reserve
from protocol.game.trace import Hooks
from protocol.game.view import DisputeStatus, UpdateStatus
from protocol.words_file import chunks
from prover.engine.checkpoints import store_of_job
from tests.support.watching import Field, Lines


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Field:
    """A field with two updates of two segments, both pending; the trainer's store has every state."""
    field = Field(tmp_path_factory.mktemp("field"))
    field.honest = field.trainer("trainer")  # type: ignore[attr-defined]
    for _ in range(2):
        field.honest.train(2)  # type: ignore[attr-defined]
    field.path = field.tmp / "job"  # type: ignore[attr-defined]
    field.folder.save(field.path)  # type: ignore[attr-defined]
    return field


@pytest.fixture
def field(opened: Field, tmp_path: Path) -> Iterator[Field]:
    yield from opened.lent(tmp_path)


class Side:
    """A watcher with processes, and all that belongs to it."""

    def __init__(
        self,
        field: Field,
        tmp: Path,
        *,
        folder: Any = None,
        stores: Sequence[Path] = (),
        count: int = 2,
        silence: float = 120.0,
        **options: Any,
    ) -> None:
        self.log, job = Lines(), folder or field.folder
        path = tmp / "job" / job.job.job_id.hex()[:8]
        if not path.exists():
            job.save(path)
        self.folder = tmp / "cache"
        self.cache = Cache(self.folder, store_of_job(job, self.folder), log=Said(self.log))
        setup = Setup(folder=str(path), cache=str(self.folder), stores=tuple(map(str, stores)), threads=1)
        self.processes = Processes(setup, count, silence=silence)
        self.pool = Pool(self.processes, log=Said(self.log))
        known = [store_of_job(job, url) for url in stores]
        self.watcher: Watcher = field.watcher(
            folder=job, log=self.log, cache=self.cache, stores=known, pool=self.pool, listed=known, **options
        )
        self.claims: Claims = self.watcher._replay._claims  # type: ignore[assignment]

    def agreed(self) -> set[object]:
        return {fields["segment"] for _, text, fields in self.log.told if ": agrees" in text}

    def here(self) -> list[object]:
        """Segments that this process replayed itself."""
        words = ("replayed here", ": replayed, ")
        return [f["segment"] for _, text, f in self.log.told if any(word in text for word in words)]


@pytest.fixture
def side(field: Field, tmp_path: Path) -> Iterator[Callable[..., Side]]:
    made: list[Side] = []

    def make(tmp: Path = tmp_path, **options: Any) -> Side:
        made.append(Side(field, tmp, **options))
        return made[-1]

    yield make
    for one in made:
        one.pool.close()


def _store(field: Field) -> Path:
    return Path(field.honest.store.name)  # type: ignore[attr-defined]


def test_processes_find_what_one_finds(field: Field, side: Callable[..., Side]) -> None:
    both = side(stores=[_store(field)])
    assert both.watcher.step() == []
    assert both.watcher.idle
    assert both.agreed() == {0, 1, 2, 3}
    assert both.here() == []
    assert len(both.processes.pids) == 2
    # All is listed in a store, so nothing was kept a second time; a restart knows all of it.
    assert not (both.folder / "objects").exists()
    again = side()
    assert again.watcher.step() == []
    assert again.watcher.idle
    assert again.agreed() == set()
    assert again.processes.pids == []


def test_without_states_order_is_forced_and_states_travel_by_the_cache(
    field: Field, side: Callable[..., Side]
) -> None:
    alone = side()
    assert alone.watcher.step() == []
    assert alone.watcher.idle
    segments = [fields["segment"] for _, text, fields in alone.log.told if ": agrees" in text]
    assert segments == [0, 1, 2, 3]
    assert alone.here() == []
    assert len(list((alone.folder / "objects").iterdir())) == 4


@pytest.mark.parametrize("stored", [True, False])
def test_a_wrong_segment_is_derived_here_before_it_accuses_and_falls(
    field: Field, side: Callable[..., Side], tmp_path: Path, stored: bool
) -> None:
    other = field.open("other")
    cheat = field.cheat(step=4, folder=other)
    cheat.train(4)
    both = side(folder=other, stores=[Path(cheat.store.name)] if stored else [])
    moves = field.play(lambda: both.watcher, cheat)
    assert both.watcher.differences == {field.updates(other)[0].update: 1}
    assert 1 in both.here()
    assert [type(move) for move in moves][:2] == [Reserve, Open]
    assert field.updates(other)[0].status == UpdateStatus.FALLEN
    assert field.disputes()[-1] == DisputeStatus.CLOSED
    assert [text for text in both.log.at("error") if "STALE" not in text] == []


# -------------------------------------------------------------------- processes that fail


def test_a_process_that_is_killed_costs_time_only(field: Field, side: Callable[..., Side]) -> None:
    both = side(stores=[_store(field)])
    while not both.processes.pids:
        assert both.watcher.turn()
    os.kill(both.processes.pids[0], signal.SIGKILL)
    assert both.watcher.step() == []
    assert both.watcher.idle
    assert both.agreed() == {0, 1, 2, 3}
    assert both.here() == []
    assert len(both.log.saying("died (status -9)")) == 1


def test_a_process_that_hangs_is_ended_and_its_task_done_by_another(
    field: Field, side: Callable[..., Side]
) -> None:
    both = side()
    tasks = [Task(segment=0, start=field.folder.job.genesis, keep=keep) for keep in (False, True)]

    def do() -> list[Answer]:
        for task in tasks:
            both.pool.submit(task)
        answers: list[Answer] = []
        while len(answers) < len(tasks):
            answers += both.pool.collect(1.0)
        return answers

    roots = [answer.root for answer in do()]
    both.processes._silence = 2.0
    hung, other = both.processes.pids
    os.kill(hung, signal.SIGSTOP)
    assert [answer.root for answer in do()] == roots
    assert len(both.log.saying("gave no sign for 2 s")) == 1
    assert both.processes.pids == [other]


def test_where_no_process_lives_the_watcher_replays_by_itself(
    field: Field, side: Callable[..., Side], tmp_path: Path
) -> None:
    both = side(stores=[_store(field)])
    both.processes._setup = Setup(folder=str(tmp_path / "nowhere"), cache="", stores=(), threads=1)
    assert both.watcher.step() == []
    assert both.watcher.idle
    assert not both.pool.usable
    assert set(both.here()) == {0, 1, 2, 3}
    [text] = {text for text in both.log.at("error") if f"{HOPELESS} processes failed" in text}
    assert "job.json" in text


def test_a_cache_that_is_deleted_all_the_time_costs_time_only(
    field: Field, side: Callable[..., Side]
) -> None:
    alone = side()
    alone.watcher.view.refresh()
    for _ in range(400):
        if alone.watcher.idle and not alone.pool.busy and len(alone.watcher.differences) == 2:
            break
        assert not any(isinstance(move, Reserve) for move in alone.watcher._look())
        alone.watcher._work()
        if alone.folder.exists():
            rmtree(alone.folder, ignore_errors=True)
    assert list(alone.watcher.differences.values()) == [None, None]
    assert alone.watcher.idle


def test_a_store_that_lies_changes_no_finding(
    field: Field, side: Callable[..., Side], tmp_path: Path
) -> None:
    lying, honest = store_of_job(field.folder, tmp_path / "lying"), store_of_job(field.folder, _store(field))
    for entry in honest.checkpoints():
        lying.save(
            segments=entry.segments,
            root=entry.root,
            parent=entry.parent,
            losses=[float("inf"), float("-inf")],
            state=field.folder.genesis,
        )
    both = side(stores=[tmp_path / "lying"])
    assert both.watcher.step() == []
    assert both.watcher.idle
    assert both.agreed() == {0, 1, 2, 3}
    # Whether its states are read before the watcher has its own is a matter of speed; what is read is named.
    assert all("lies or is damaged" in text for text in both.log.at("warning"))
    assert both.log.at("error") == []
    assert both.watcher.differences == dict.fromkeys((u.update for u in field.updates()), None)


# -------------------------------------------------------------------- processes that lie


class Others:
    """A backend whose processes are here, and whose answers the test may change on the way."""

    def __init__(self, worker: Worker, change: Callable[[Answer], Answer | None], *, own: bool) -> None:
        self.size, self.own, self._worker, self._change = 8, own, worker, change
        self._given: list[Task] = []

    def free(self) -> int:
        return self.size - len(self._given)

    def give(self, task: Task) -> None:
        self._given.append(task)

    def collect(self, _timeout: float) -> list[tuple[Task, Answer | str]]:
        """Answers are None for a task that stays with the process for good."""
        answers = [(task, self._change(self._worker.do(task))) for task in self._given]
        self._given = [task for task, answer in answers if answer is None]
        return [(task, answer) for task, answer in answers if answer is not None]

    def close(self) -> None:
        self._given = []


@pytest.fixture
def others(field: Field, side: Callable[..., Side], tmp_path: Path) -> Callable[..., Side]:
    def make(change: Callable[[Answer], Answer | None], *, own: bool, chance: float, **options: Any) -> Side:
        made = side(**options)
        setup = made.processes._setup
        shared = setup.cache if own else ""
        worker = Worker(Setup(folder=setup.folder, cache=shared, stores=setup.stores, threads=1))
        made.pool.backend = Others(worker, change, own=own)
        made.claims._chance = lambda: chance
        return made

    return make


def _wrong(field: Field, *steps: int) -> tuple[Any, Any]:
    """A job of its own with one update of four segments, with a flipped bit after these steps."""
    other = field.open("other")

    def next_state(step: int, _before: list[Any], after: list[Any]) -> list[Any]:
        if step not in steps:
            return after
        changed = after[0].copy()
        changed[0] ^= 1 << 21
        return [changed, *after[1:]]

    cheat = field.trainer("cheat", hooks=Hooks(next_state=next_state), folder=other)
    cheat.train(4)
    return other, cheat


def test_a_cluster_that_calls_a_wrong_segment_right_is_believed_until_it_is_rechecked(
    field: Field, others: Callable[..., Side]
) -> None:
    other, cheat = _wrong(field, 4)
    [update] = field.updates(other)
    posted = [other.job.genesis, *update.states]

    def lie(answer: Answer) -> Answer:
        return answer if answer.end or answer.missing else replace(answer, root=posted[answer.segment + 1])

    store = Path(cheat.store.name)
    fooled = others(lie, own=False, chance=0.99, folder=other, stores=[store])
    assert fooled.watcher.step() == []
    assert fooled.watcher.differences == {update.update: None}  # what A-17 says of nobody rechecking
    assert fooled.cache.claims == {}
    assert fooled.cache.roots == {}
    careful = others(lie, own=False, chance=0.0, folder=other, stores=[store], tmp=fooled.folder / "2")
    careful.watcher.view.refresh()
    moves = careful.watcher.step()
    [reserve] = moves
    assert isinstance(reserve, Reserve)
    assert careful.watcher.differences == {update.update: 1}
    [text] = [text for text in careful.log.at("error") if "STALE" not in text]
    assert text.startswith("NOT BELIEVED any more")
    assert not careful.pool.usable


@pytest.mark.parametrize("own", [True, False])
def test_a_process_that_calls_right_segments_wrong_accuses_nobody(
    field: Field, others: Callable[..., Side], own: bool
) -> None:
    def lie(answer: Answer) -> Answer:
        return replace(answer, root=bytes(32)) if answer.root and answer.segment == 2 else answer

    liar = others(lie, own=own, chance=0.99, stores=[_store(field)])
    assert liar.watcher.step() == []
    assert liar.watcher.idle
    assert 2 in liar.here()
    [text] = [text for text in liar.log.at("error") if "STALE" not in text]
    assert text.startswith("MISCALCULATED" if own else "NOT BELIEVED any more")
    assert liar.pool.usable == own


def test_a_state_that_is_not_what_it_is_called_is_not_kept(field: Field, others: Callable[..., Side]) -> None:
    genesis = b"".join(chunks(field.folder.genesis))

    def lie(answer: Answer) -> Answer:
        return replace(answer, state=genesis) if answer.state else answer

    liar = others(lie, own=False, chance=0.99)
    assert liar.watcher.step() == []
    assert liar.watcher.idle
    assert all(path.stem in {root.hex() for root in _posted(field)} for path in liar.folder.rglob("*.safe*"))


def test_states_travel_to_a_cluster_that_can_read_no_store(field: Field, others: Callable[..., Side]) -> None:
    far = others(lambda answer: answer, own=False, chance=0.99)
    assert far.watcher.step() == []
    assert far.watcher.idle
    assert far.agreed() == {0, 1, 2, 3}
    assert far.here() == []


def _posted(field: Field) -> list[bytes]:
    return [field.folder.job.genesis, *(root for update in field.updates() for root in update.states)]


# -------------------------------------------------------------------- little time left


def _slow(answer: Answer) -> Answer | None:
    """Segments 1 to 3 stay with their processes for good."""
    return None if answer.segment < 3 and not answer.end else answer


def _late(field: Field, folder: Any) -> None:
    """Move the clock to where less than W / 2 is left before the deadline."""
    left = field.updates(folder)[0].deadline - field.now()
    field.pass_time(left - folder.job.clocks.window // 2 + 10)


def test_near_the_deadline_any_wrong_claim_accuses_and_is_won_from_the_posted_state(
    field: Field, others: Callable[..., Side], tmp_path: Path
) -> None:
    other, cheat = _wrong(field, 4, 10)
    store = Path(cheat.store.name)
    first = others(_slow, own=True, chance=0.99, folder=other, stores=[store])
    for _ in range(8):
        first.watcher._look()
        first.watcher._work()
    assert first.watcher.differences == {}  # wrong, but what leads there is not known
    assert first.claims.known
    _late(field, other)
    for _ in range(6):
        first.watcher.turn()
    [update] = field.updates(other)
    assert first.watcher.differences == {update.update: 3}
    field.view.refresh()
    [dispute] = field.view.disputes(update=update.update)
    assert dispute.segment == 3
    # Killed, and the store is gone: the cache has the posted state, which nobody can derive.
    rmtree(store)
    again = field.watcher(folder=other, log=Lines(), cache=first.cache)
    field.play(lambda: again, cheat)
    assert field.updates(other)[0].status == UpdateStatus.FALLEN
    assert field.disputes()[-1] == DisputeStatus.CLOSED


def test_whoever_loses_the_posted_state_disputes_what_is_wrong_before_it(
    field: Field, others: Callable[..., Side]
) -> None:
    other, cheat = _wrong(field, 4, 10)
    first = others(_slow, own=True, chance=0.99, folder=other, stores=[Path(cheat.store.name)])
    _late(field, other)
    for _ in range(12):
        first.watcher.turn()
    assert list(first.watcher.differences.values()) == [3]
    log = Lines()
    again = field.watcher(folder=other, log=log)
    field.play(lambda: again, cheat)
    assert any("CANNOT BE PLAYED" in text for text in log.at("error"))
    assert field.updates(other)[0].status == UpdateStatus.FALLEN
    assert set(field.disputes()) == {DisputeStatus.CLOSED}
