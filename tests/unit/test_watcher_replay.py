"""What a watcher may rely on: its cache, stores, and nothing that does not hash to what is asked (A-11)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest

from challenger.agent import Watcher
from challenger.cache import Cache
from protocol.chain.agent import Said
from protocol.commitments.canonical import Words
from protocol.errors import StorageError
from protocol.game.view import UpdateStatus
from prover.engine.checkpoints import store_of_job
from tests.support.watching import Field, Lines


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Field:
    """A field with two updates of two segments; the first is final."""
    field = Field(tmp_path_factory.mktemp("field"))
    trainer = field.trainer("trainer")
    trainer.train(2)
    clocks = field.folder.job.clocks
    field.pass_time(clocks.window + 2 * clocks.replay + clocks.opening + 10)
    trainer.train(2)
    assert [u.status for u in field.updates()] == [UpdateStatus.FINAL, UpdateStatus.PENDING]
    field.honest = trainer  # type: ignore[attr-defined]
    return field


@pytest.fixture
def field(opened: Field, tmp_path: Path) -> Iterator[Field]:
    yield from opened.lent(tmp_path)


def _replayed(log: Lines) -> list[object]:
    return [fields["segment"] for _, text, fields in log.told if "replayed" in text]


def _idle(watcher: Watcher) -> Watcher:
    assert watcher.step() == []
    assert watcher.idle
    return watcher


def _cache(field: Field, folder: Path, log: Lines | None = None) -> Cache:
    return Cache(folder, store_of_job(field.folder, folder), log=Said(log or Lines()))


class Store:
    """A store that answers as it is told to."""

    name = "a store"

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[int, bytes]] = []

    def load(self, segments: int, root: bytes) -> Sequence[Words] | None:
        self.asked.append((segments, root))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[no-any-return]


def test_a_final_state_in_a_store_saves_what_leads_to_it(field: Field) -> None:
    log = Lines()
    honest: Any = field.honest  # type: ignore[attr-defined]
    watcher = _idle(field.watcher(log=log, stores=[Store(None), honest.store]))
    assert _replayed(log) == [2, 3]
    assert log.saying("begins from segment 3")
    assert [watcher.differences[u.update] for u in field.updates()] == [None, None]
    without = Lines()
    _idle(field.watcher(log=without))
    assert _replayed(without) == [0, 1, 2, 3]


def test_a_store_that_lies_is_named_and_the_state_is_derived(field: Field, tmp_path: Path) -> None:
    honest: Any = field.honest  # type: ignore[attr-defined]
    root = field.updates()[0].states[-1]
    lying = store_of_job(field.folder, tmp_path / "lying")
    genesis = field.folder.genesis
    lying.save(segments=2, root=root, parent=root, losses=(), state=genesis)
    for answer, said in (
        (lying, "lies or is damaged"),
        (Store(StorageError("out of reach")), "out of reach"),
    ):
        log = Lines()
        watcher = field.watcher(log=log, stores=[answer])
        _idle(watcher)
        assert _replayed(log) == [0, 1, 2, 3]
        [(level, text, fields)] = [told for told in log.told if said in told[1]]
        assert level == "warning"
        assert text.endswith("the state is derived instead")
        assert fields["store"] == answer.name
    # One that lies does not keep the next one from being asked.
    log = Lines()
    _idle(field.watcher(log=log, stores=[lying, honest.store]))
    assert _replayed(log) == [2, 3]


def test_a_store_is_asked_for_nothing_but_final_states(field: Field) -> None:
    store = Store(None)
    _idle(field.watcher(stores=[store]))
    final = field.updates()[0]
    assert store.asked == [(2, final.states[-1])]


def test_a_restart_with_a_cache_replays_nothing_and_without_everything(
    field: Field, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("challenger.cache.EVERY", 0.0)
    folder = tmp_path / "cache"
    _idle(field.watcher(cache=_cache(field, folder)))
    assert len(list((folder / "objects").iterdir())) == 4
    log = Lines()
    _idle(field.watcher(log=log, cache=_cache(field, folder)))
    assert _replayed(log) == []
    # A wrong third segment is found from the kept state before it, by a replay of its own.
    wrong = field.watcher(log=Lines(), cache=_cache(field, folder))
    assert wrong._replay.ready(3)
    assert wrong._replay.trace.nearest(9) == 9


def _posted(field: Field) -> list[bytes]:
    return [root for update in field.updates() for root in update.states]


@pytest.mark.parametrize("damage", ["notes", "torn", "states", "objects", "folder"])
def test_a_damaged_cache_accuses_nobody(field: Field, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "cache"
    _idle(field.watcher(cache=_cache(field, folder)))
    notes = folder / "roots.txt"
    match damage:
        case "notes":
            notes.write_text("".join(f"{place} {'ab' * 32}\n" for place in range(1, 5)))
        case "torn":
            notes.write_bytes(notes.read_bytes()[:-30] + b"\xff\x00")
        case "states":
            for path in (folder / "objects").iterdir():
                path.write_bytes(path.read_bytes()[:-1] + b"?")
        case "objects":
            rmtree(folder / "objects")
            (folder / "objects").write_text("in the way")
        case "folder":
            notes.unlink()
            notes.mkdir()
    log = Lines()
    watcher = field.watcher(log=log, cache=_cache(field, folder, log))
    assert watcher.step() == []
    assert set(watcher.differences.values()) == {None}
    assert log.at("error") == []
    assert [watcher._replay.trace.state_root(step) for step in (3, 6, 9, 12)] == _posted(field)


def test_a_wrong_segment_is_derived_and_not_taken_from_a_note(field: Field, tmp_path: Path) -> None:
    """The next update but one is wrong; the note of a right root says only that the posted one is not it."""
    folder = tmp_path / "cache"
    other = field.open("other")
    cheat = field.cheat(step=4, folder=other)
    cheat.train(2)
    store = store_of_job(other, folder)
    first = field.watcher(folder=other, dry_run=True, cache=Cache(folder, store, log=Said(Lines())))
    first.step()
    log = Lines()
    again = field.watcher(folder=other, log=log, cache=Cache(folder, store, log=Said(log)))
    [reserve] = again.step()
    assert type(reserve).__name__ == "Reserve"
    assert _replayed(log) == [1]


def test_a_cache_that_cannot_be_written_is_said_and_gone_on_without(field: Field, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    log = Lines()
    folder = tmp_path / "file" / "cache"
    _idle(field.watcher(log=log, cache=_cache(field, folder, log)))
    assert log.at("error") == []
    assert len(log.saying("cannot be written (")) == 1


def test_a_long_update_is_left_between_segments(field: Field) -> None:
    watcher = field.watcher()
    field.view.refresh()
    chain = field.view.chain(field.folder.job.job_id)
    assert watcher._replay.left(chain) == 4
    assert watcher._replay.advance(chain)
    assert watcher._replay.left(chain) == 3
    assert not watcher._replay.ready(3)
    assert watcher._replay.advance(chain, [3])
    assert watcher._replay.advance(chain, [3])
    assert watcher._replay.ready(3)
    while watcher._replay.advance(chain):
        pass
    assert watcher._replay.left(chain) == 0
