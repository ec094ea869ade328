"""Files that are damaged, hostile or cannot be written: one clear error each, and nothing half-written."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gavel.scenarios.job import small_job
from protocol.errors import GavelError, MalformedError, MismatchError, StorageError
from protocol.files import written
from protocol.job import Clocks, Geometry, Money
from protocol.job_folder import FORMAT, JobFolder, manifest_bytes, save_words

FILES = ("job.json", "manifest.json", "program.bin", "inputs.safetensors", "genesis.safetensors")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small job's folder, which every test leaves as it is."""
    path = tmp_path_factory.mktemp("jobs") / "job"
    small_job().save(path)
    return path


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(saved, tmp_path / "job"))


@settings(max_examples=120)
@given(data=st.data())
def test_no_changed_byte_of_a_job_folder_passes(saved: Path, data: st.DataObject) -> None:
    path = saved / data.draw(st.sampled_from(FILES))
    good = path.read_bytes()
    at = data.draw(st.integers(0, len(good) - 1))
    change = data.draw(st.sampled_from(["flip", "cut", "insert", "delete"]))
    byte = bytes([good[at] ^ data.draw(st.integers(1, 255))])
    changed = {
        "flip": good[:at] + byte + good[at + 1 :],
        "cut": good[:at],
        "insert": good[:at] + byte + good[at:],
        "delete": good[:at] + good[at + 1 :],
    }[change]
    if changed == good:
        return
    try:
        path.write_bytes(changed)
        with pytest.raises((MalformedError, MismatchError)):
            JobFolder.load(saved)
    finally:
        path.write_bytes(good)


@settings(max_examples=60)
@given(content=st.binary(max_size=200), name=st.sampled_from(FILES))
def test_any_bytes_in_place_of_a_file_are_refused(saved: Path, content: bytes, name: str) -> None:
    good = (saved / name).read_bytes()
    try:
        (saved / name).write_bytes(content)
        with pytest.raises((MalformedError, MismatchError)):
            JobFolder.load(saved)
    finally:
        (saved / name).write_bytes(good)


def _with_terms(folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    path = folder / "job.json"
    terms = json.loads(path.read_text())
    path.write_text(json.dumps(change(terms) or terms, indent=2) + "\n")
    return folder


@pytest.mark.parametrize(
    "word",
    [
        "-0x1",
        "0x" + "f" * 65,
        "0x" + "f" * 100_000,
        "1e5",
        "",
        "0x",
        5,
        None,
        ["0x1"],
        "0x1_0",
        "٣",
    ],
    ids=lambda word: repr(word)[:20],
)
@pytest.mark.parametrize("place", [0, 1, 3, 9, 10, 11, 12, 20])
def test_words_that_are_no_words(folder: Path, place: int, word: Any) -> None:
    def change(terms: dict[str, Any]) -> None:
        terms["words"][place] = word

    with pytest.raises((MalformedError, MismatchError), match=r"job\.json|terms|job id"):
        JobFolder.load(_with_terms(folder, change))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "7",
        "{}",
        "NaN",
        '{"format": "gavel job 1"}',
        '{"format": "gavel job 9", "job": "", "words": []}',
        '{"format": "gavel job 1", "job": 5, "words": {}}',
        '{"format": "gavel job 1", "job": "zz", "words": "x"}',
        '{"a": 1, "a": 2}',
        "[" * 30_000,
        '{"a":' * 10_000,
        " " * 70_000,
        '{"words": [1e999]}',
        "\ud800",
    ],
    ids=lambda text: text[:20].strip() or "blank",
)
def test_terms_that_are_no_terms(folder: Path, text: str) -> None:
    (folder / "job.json").write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(MalformedError, match=r"job\.json"):
        JobFolder.load(folder)


def _committed(tmp_path: Path, manifest: bytes, **geometry: int) -> Path:
    """A folder whose job id agrees with a hostile manifest: its requester has made it so."""
    job = small_job().job
    job = replace(job, manifest=sha256(manifest).digest(), geometry=replace(job.geometry, **geometry))
    path = tmp_path / "hostile"
    small_job().save(path)
    (path / "manifest.json").write_bytes(manifest)
    terms = {"format": FORMAT, "job": job.job_id.hex(), "words": [hex(word) for word in job.words()]}
    (path / "job.json").write_text(json.dumps(terms, indent=2) + "\n")
    return path


def _spoiled(change: Callable[[dict[str, Any]], None]) -> bytes:
    small = small_job()
    data = json.loads(manifest_bytes(small.program, small.manifest))
    change(data["program"])
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


def _set(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: Any) -> None:
        for step in path[:-1]:
            data = data[step]
        data[path[-1]] = to

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("slots", 0, "shape", to=[1 << 40]),
        _set("slots", 0, "shape", to=[1 << 31, 1 << 31, 1 << 31]),
        _set("slots", 0, "shape", to=[-1, -72]),
        _set("slots", 0, "shape", to=[72.0]),
        _set("slots", 0, "shape", to=[True, 72]),
        _set("slots", 0, "shape", to="72"),
        _set("slots", 0, "shape", to=None),
        _set("slots", 0, "dtype", to="f64"),
        _set("slots", 0, "dtype", to=["f32"]),
        _set("slots", to=[]),
        _set("slots", to={}),
        _set("inputs", to=[]),
        _set("inputs", 0, "shape", to=[1]),
        _set("inputs", 1, "shape", to=[1 << 31]),
        _set("links", to=[]),
        _set("links", 0, to=-1),
        _set("links", 0, to=1 << 70),
        _set("links", 0, to="x"),
        _set("labels", to=[]),
        _set("labels", to=None),
        _set("loss", to=10**30),
        _set("loss", to=-1),
        _set("loss", to=None),
    ],
)
def test_manifests_that_a_hostile_requester_has_committed(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    """Refused, and without asking for the memory that they announce."""
    with pytest.raises(GavelError):
        JobFolder.load(_committed(tmp_path, _spoiled(change)))


@pytest.mark.parametrize("field", [f.name for f in fields(Geometry)])
@pytest.mark.parametrize("value", [0, "most"])
def test_geometry_that_a_hostile_requester_has_committed(
    tmp_path: Path, field: str, value: int | str
) -> None:
    widths = {"n_inputs": 24, "input_height": 8, "max_segments": 8, "tensor_height": 8}
    widths |= {"fanout_log2": 8, "range_log2": 8}
    number = (1 << widths.get(field, 32)) - 1 if value == "most" else 0
    small = small_job()
    manifest = manifest_bytes(small.program, small.manifest)
    path = _committed(tmp_path, manifest, **{field: number})
    if (field, value) in {("range_log2", 0), ("n_rows", "most"), ("batch", "most")}:
        JobFolder.load(path)  # what a job with these terms computes is odd, and well defined
    else:
        with pytest.raises(GavelError):
            JobFolder.load(path)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "nothing", "link to nothing", "loop"])
def test_what_is_no_file(folder: Path, name: str, kind: str) -> None:
    path = folder / name
    path.unlink()
    {
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "nothing": lambda: None,
        "link to nothing": lambda: path.symlink_to(folder / "gone"),
        "loop": lambda: path.symlink_to(path),
    }[kind]()
    with pytest.raises((MalformedError, StorageError), match=name):
        JobFolder.load(folder)


def test_a_link_to_the_right_file_will_do(folder: Path) -> None:
    (folder / "inputs.safetensors").rename(folder / "elsewhere")
    (folder / "inputs.safetensors").symlink_to(folder / "elsewhere")
    JobFolder.load(folder)


def test_a_huge_file_is_not_read(folder: Path) -> None:
    for name in FILES:
        with (folder / name).open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.truncate(1 << 40)
            with pytest.raises((MalformedError, MismatchError), match=r"more than|has"):
                JobFolder.load(folder)
            file.truncate(size)


@contextmanager
def _room(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_no_job_folder(saved: Path, tmp_path: Path) -> None:
    sizes = [(saved / name).stat().st_size for name in FILES]
    for room in (0, 1, min(sizes) - 1, max(sizes) - 1):
        with _room(room), pytest.raises(StorageError, match="no room left"):
            small_job().save(tmp_path / "job")
        assert list((tmp_path / "job").iterdir()) == []
    small_job().save(tmp_path / "job")
    JobFolder.load(tmp_path / "job")


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "words"
    save_words(path, [small_job().genesis[0]])
    before = path.read_bytes()
    with _room(len(before) // 2), pytest.raises(StorageError):
        save_words(path, [small_job().genesis[0], small_job().genesis[0]])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_interruption_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")

    def interrupted() -> None:
        with written(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("place", ["/proc/nothing/job", "/dev/null/job"])
def test_a_folder_that_cannot_be_made(place: str) -> None:
    with pytest.raises(StorageError, match="cannot be made"):
        small_job().save(Path(place))


def test_every_term_has_its_bounds() -> None:
    """Amounts and clocks outside of their words have no job id."""
    job = small_job().job
    for field in fields(Money):
        for value in (-1, 1 << 256):
            with pytest.raises(MalformedError):
                _ = replace(job, money=replace(job.money, **{field.name: value})).job_id
    for field in fields(Clocks):
        for value in (-1, 1 << 32):
            with pytest.raises(MalformedError):
                _ = replace(job, clocks=replace(job.clocks, **{field.name: value})).job_id
