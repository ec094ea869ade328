"""Job folders and checkpoints: they come back bit for bit, and every change of one is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protocol.checkpoints import CheckpointStore
from protocol.errors import GavelError, MalformedError, MismatchError, StorageError, UsageError
from protocol.game.trace import HONEST, Hooks
from protocol.job_folder import JobFolder, commit, job_of_words, load_words, manifest_bytes, save_words
from protocol.words_file import size_of
from prover.engine.checkpoints import given_state, store_of_job
from prover.engine.hashing import state_root
from prover.engine.trace import ReplayTrace
from prover.trainer import Trainer
from tests.support.game import machine, one_word, table


@pytest.fixture(scope="module")
def folder() -> JobFolder:
    """The toy machine of the game's tests as a job."""
    from hashlib import sha256

    example, job = machine(), table().job
    manifest = manifest_bytes(example.program, {"slots": []})
    geometry = job.geometry
    roots = commit(
        example.program, example.inputs, example.state, geometry.tensor_height, geometry.input_height
    )
    job = replace(
        job,
        manifest=sha256(manifest).digest(),
        program_root=roots[0],
        inputs_root=roots[1],
        genesis=roots[2],
    )
    return JobFolder(
        job=job, program=example.program, manifest={"slots": []}, inputs=example.inputs, genesis=example.state
    )


def _same(one: JobFolder, other: JobFolder) -> None:
    assert (one.job, one.program, one.manifest) == (other.job, other.program, other.manifest)
    for mine, theirs in ((one.inputs, other.inputs), (one.genesis, other.genesis)):
        assert len(mine) == len(theirs)
        assert all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_a_folder_comes_back(folder: JobFolder, tmp_path: Path) -> None:
    folder.save(tmp_path / "job")
    _same(JobFolder.load(tmp_path / "job"), folder)
    with pytest.raises(MalformedError, match="holds a job already"):
        folder.save(tmp_path / "job")


@pytest.mark.parametrize(
    "name", ["job.json", "manifest.json", "program.bin", "inputs.safetensors", "genesis.safetensors"]
)
def test_any_changed_or_missing_file_is_refused(folder: JobFolder, tmp_path: Path, name: str) -> None:
    folder.save(tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    # The last byte of a JSON file is a newline or a brace, of the others data.
    for changed in (content[:-2], b"", content[:-2] + bytes([content[-2] ^ 1]) + content[-1:]):
        path.write_bytes(changed)
        with pytest.raises(GavelError):
            JobFolder.load(tmp_path)
    path.unlink()
    with pytest.raises(MalformedError):
        JobFolder.load(tmp_path)


def test_other_terms_have_another_id(folder: JobFolder, tmp_path: Path) -> None:
    folder.save(tmp_path)
    path = tmp_path / "job.json"
    terms = json.loads(path.read_text())
    for place in range(len(terms["words"])):
        words = list(terms["words"])
        words[place] = hex(int(words[place], 16) ^ 1)
        path.write_text(json.dumps(terms | {"words": words}))
        with pytest.raises((MismatchError, MalformedError)):
            JobFolder.load(tmp_path)


def test_words_of_terms_come_back(folder: JobFolder) -> None:
    assert job_of_words(folder.job.words()) == folder.job
    with pytest.raises(MalformedError, match="words of U-1"):
        job_of_words(folder.job.words()[:-1])


def test_files_of_words_are_those_of_the_safetensors_library_and_no_others(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save, save_file

    path, words = tmp_path / "words.safetensors", [np.arange(n, dtype=np.uint32) for n in (3, 0, *range(12))]
    extents = [w.size for w in words]
    save_words(path, words)
    assert path.read_bytes() == save({str(i): w for i, w in enumerate(words)})
    assert path.stat().st_size == size_of(extents)
    assert all(np.array_equal(load_file(path)[str(i)], w) for i, w in enumerate(words))
    loaded = load_words(path, extents)
    assert all(np.array_equal(a, b) and a.dtype == np.uint32 for a, b in zip(loaded, words, strict=True))
    for wrong in (
        {"0": np.zeros(2, dtype=np.float32)},
        {"0": np.zeros((2, 1), np.uint32)},
        {"1": np.zeros(2, np.uint32)},
        {"0": np.zeros(3, np.uint32)},
        {"0": np.zeros(2, np.uint32), "1": np.zeros(0, np.uint32)},
    ):
        save_file(wrong, path)
        with pytest.raises(MalformedError):
            load_words(path, [2])
    save_file({"0": np.zeros(2, np.uint32)}, path, {"with": "metadata"})
    with pytest.raises(MalformedError):
        load_words(path, [2])


# ---------------------------------------------------------------- training


def _trainer(folder: JobFolder, store: CheckpointStore, hooks: Hooks = HONEST) -> Trainer:
    from gavel.jobs import make_executor

    return Trainer(folder=folder, executor=make_executor(folder), store=store, hooks=hooks)


def _store(folder: JobFolder, path: Path) -> CheckpointStore:
    return store_of_job(folder, path)


def test_training_is_stored_found_again_and_agrees_with_the_trace(folder: JobFolder, tmp_path: Path) -> None:
    from gavel.jobs import make_executor

    job, store = folder.job, _store(folder, tmp_path)
    told: list[int] = []
    segments = list(
        _trainer(folder, store).train(
            first_segment=0, root=job.genesis, segments=2, progress=lambda step, _loss: told.append(step)
        )
    )
    assert told == list(range(7))
    assert [len(s.losses) for s in segments] == [4, 3]
    trace = ReplayTrace(
        make_executor(folder), state=folder.genesis, first_step=0, stride=4, n_steps=7, range_log2=1
    )
    assert [s.root for s in segments] == [trace.state_root(4), trace.state_root(7)]
    following = _store(folder, tmp_path).following(0, job.genesis)
    assert [(c.segments, c.root, c.losses) for c in following] == [
        (s.number + 1, s.root, s.losses) for s in segments
    ]
    state = store.load(1, segments[0].root)
    assert state is not None
    assert state_root(state, job.geometry.tensor_height, len(state)) == segments[0].root


def test_a_trainer_replays_what_it_has_not_stored(folder: JobFolder, tmp_path: Path) -> None:
    first, second = (_store(folder, tmp_path / name) for name in ("first", "second"))
    [segment] = _trainer(folder, first).train(first_segment=0, root=folder.job.genesis, segments=1)
    [resumed] = _trainer(folder, second).train(first_segment=1, root=segment.root, segments=1)
    [direct] = _trainer(folder, first).train(first_segment=1, root=segment.root, segments=1)
    assert resumed.root == direct.root


def test_a_trainer_does_not_build_on_a_wrong_tip(folder: JobFolder, tmp_path: Path) -> None:
    lies, own = _store(folder, tmp_path / "lies"), _store(folder, tmp_path / "own")
    [wrong] = _trainer(folder, lies, one_word(2, 1, 0)).train(
        first_segment=0, root=folder.job.genesis, segments=1
    )
    leased: list[str] = []
    trainer = _trainer(folder, own)
    with pytest.raises(MismatchError, match="the tip is wrong"):
        list(
            trainer.train(first_segment=1, root=wrong.root, segments=1, ready=lambda: leased.append("wrong"))
        )
    assert not leased  # a lease that is not used costs its deposit
    list(
        trainer.train(
            first_segment=0, root=folder.job.genesis, segments=1, ready=lambda: leased.append("right")
        )
    )
    assert leased == ["right"]


def test_a_given_state_comes_from_a_store_or_from_one_file(folder: JobFolder, tmp_path: Path) -> None:
    path = tmp_path / "first"
    [segment] = _trainer(folder, _store(folder, path)).train(
        first_segment=0, root=folder.job.genesis, segments=1
    )
    [checkpoint] = _store(folder, path).checkpoints()
    one = tmp_path / "state.safetensors"
    one.write_bytes((path / checkpoint.name).read_bytes())
    for place in (str(path), f"file://{path}", str(one), f"file://{one}"):
        state = given_state(folder, place, segment.root)
        assert state_root(state, folder.job.geometry.tensor_height, len(state)) == segment.root
        with pytest.raises((UsageError, MismatchError), match="state"):
            given_state(folder, place, bytes(32))
    with pytest.raises(UsageError, match="another place"):
        given_state(folder, str(tmp_path / "none.safetensors"), segment.root)


def test_no_lease_is_taken_where_nothing_can_be_stored(folder: JobFolder) -> None:
    leased: list[str] = []
    with pytest.raises(StorageError):
        list(
            _trainer(folder, _store(folder, Path("/proc/nothing"))).train(
                first_segment=0, root=folder.job.genesis, segments=1, ready=lambda: leased.append("wrong")
            )
        )
    assert not leased


def test_no_more_than_the_job_has_is_trained(folder: JobFolder, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="train fewer"):
        list(
            _trainer(folder, _store(folder, tmp_path)).train(
                first_segment=0, root=folder.job.genesis, segments=3
            )
        )
