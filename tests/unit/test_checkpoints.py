"""Checkpoint stores: states come back by root, from any kind of URL; lies and damage are found and named."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.checkpoints import ABANDONED, LOSSES_KEPT, MANIFEST, CheckpointStore, object_name
from protocol.commitments.canonical import Words
from protocol.commitments.tensor import state_tree, tensor_root
from protocol.errors import GavelError, MalformedError, MismatchError, StorageError, UsageError
from protocol.wire import pack, unpack

EXTENTS = (70, 0, 1, 5)
GENESIS = b"\x07" * 32


def _root(state: Sequence[Words]) -> bytes:
    return state_tree([tensor_root(words, 2) for words in state]).root


def _state(number: int) -> list[Words]:
    return [np.arange(n, dtype=np.uint32) * np.uint32(number + 1) for n in EXTENTS]


def _open(url: str | Path) -> CheckpointStore:
    return CheckpointStore(url, root_of=_root, extents=EXTENTS)


def _filled(url: str | Path, count: int = 3) -> list[bytes]:
    """A path of states from GENESIS; their roots."""
    store, roots = _open(url), [GENESIS]
    for number in range(1, count + 1):
        state = _state(number)
        store.save(
            segments=number, root=_root(state), parent=roots[-1], losses=(0.5, float("nan")), state=state
        )
        roots.append(_root(state))
    return roots[1:]


def _same(found: Sequence[Words] | None, number: int) -> None:
    assert found is not None
    assert all(np.array_equal(a, b) for a, b in zip(found, _state(number), strict=True))


@pytest.fixture(params=["folder", "file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """One store of each kind that needs no network."""
    places = {
        "folder": str(tmp_path / "a store"),
        "file": f"file://{tmp_path}/store",
        "memory": f"memory://{tmp_path.name}/{request.node.name}",
    }
    return places[request.param]


def test_states_come_back_by_their_roots(url: str) -> None:
    roots = _filled(url)
    store = _open(url)
    for number, root in enumerate(roots, 1):
        _same(store.load(number, root), number)
    listed = store.checkpoints()
    assert [(c.segments, c.root) for c in listed] == list(enumerate(roots, 1))
    assert listed[0].losses[0] == 0.5
    assert np.isnan(listed[0].losses[1])
    assert [c.root for c in store.following(0, GENESIS)] == roots
    assert [c.root for c in store.following(1, roots[0])] == roots[1:]
    assert store.following(0, roots[0]) == []
    assert store.load(1, b"\x01" * 32) is None


def test_objects_are_as_listed(tmp_path: Path) -> None:
    _filled(tmp_path)
    for listed in _open(tmp_path).checkpoints():
        content = (tmp_path / listed.name).read_bytes()
        assert (len(content), sha256(content).digest()) == (listed.size, listed.sha256)


def test_saving_again_lists_once_and_another_history_of_the_same_segments_stands_beside(url: str) -> None:
    roots, store = _filled(url), _open(url)
    store.save(segments=2, root=roots[1], parent=roots[0], losses=(1.0,), state=_state(2))
    assert len(store.checkpoints()) == 3
    store.save(segments=2, root=_root(_state(9)), parent=roots[0], losses=(1.0,), state=_state(9))
    assert len(store.checkpoints()) == 4
    assert next(c.root for c in store.following(1, roots[0])) == _root(_state(9))


def test_only_some_are_retained(url: str) -> None:
    roots, store = _filled(url), _open(url)
    store.retain([roots[1], GENESIS])
    assert [c.root for c in store.checkpoints()] == [roots[1]]
    assert [store.load(n, root) is None for n, root in enumerate(roots, 1)] == [True, False, True]
    store.retain([roots[1]])
    assert len(store.checkpoints()) == 1


def test_an_empty_or_missing_store_has_nothing(url: str) -> None:
    assert _open(url).checkpoints() == []
    assert _open(url).load(1, GENESIS) is None


def test_only_the_last_losses_are_kept(tmp_path: Path) -> None:
    losses = np.arange(LOSSES_KEPT + 5, dtype=np.float32).tolist()
    saved = _open(tmp_path).save(
        segments=1, root=_root(_state(1)), parent=GENESIS, losses=losses, state=_state(1)
    )
    assert saved.losses == tuple(losses[5:])
    assert _open(tmp_path).checkpoints() == [saved]


def test_a_url_that_nothing_opens_is_named_without_its_password() -> None:
    with pytest.raises(UsageError, match="name a folder") as caught:
        _open("nothing://user:secret@host/place")
    assert "secret" not in str(caught.value)


# ---------------------------------------------------------------- lies and damage


def test_a_store_that_lies_is_named(tmp_path: Path) -> None:
    roots = _filled(tmp_path)
    place = tmp_path / object_name(roots[0])
    place.write_bytes((tmp_path / object_name(roots[1])).read_bytes())
    with pytest.raises(MismatchError, match=str(tmp_path)):
        _open(tmp_path).load(1, roots[0])


def test_sizes_are_checked_before_anything_large_is_read(tmp_path: Path) -> None:
    [root] = _filled(tmp_path, 1)
    place = tmp_path / object_name(root)
    content = place.read_bytes()
    bomb = (1 << 62).to_bytes(8, "little") + b" " * 100
    for wrong in (b"", content[:20], content[:-1], content + b"\0", bomb):
        place.write_bytes(wrong)
        with pytest.raises(MalformedError, match=root.hex()):
            _open(tmp_path).load(1, root)
    with place.open("wb") as file:
        file.truncate(1 << 40)  # a sparse file: reading it all would not end
    with pytest.raises(MalformedError):
        _open(tmp_path).load(1, root)


def test_folders_and_pipes_in_place_of_files_are_refused(tmp_path: Path) -> None:
    [root] = _filled(tmp_path, 1)
    for name, act in (
        (object_name(root), lambda: _open(tmp_path).load(1, root)),
        (MANIFEST, lambda: _open(tmp_path).checkpoints()),
    ):
        place = tmp_path / name
        place.unlink()
        place.mkdir()
        with pytest.raises(MalformedError, match="not a regular file"):
            act()
        place.rmdir()
        os.mkfifo(place)
        with pytest.raises(MalformedError, match="not a regular file"):
            act()
        place.unlink()


def _entry(**changes: Any) -> dict[str, Any]:
    return {
        "segments": 1,
        "root": GENESIS,
        "parent": GENESIS,
        "losses": b"",
        "size": 8,
        "sha256": GENESIS,
    } | changes


@pytest.mark.parametrize(
    "listed",
    [
        {},
        [1],
        [_entry(segments=0)],
        [_entry(segments=-1)],
        [_entry(segments=1 << 40)],
        [_entry(segments=True)],
        [_entry(size=-1)],
        [_entry(root=b"")],
        [_entry(parent="x" * 32)],
        [_entry(losses=b"123")],
        [_entry(losses=b"0" * 4 * (LOSSES_KEPT + 1))],
        [_entry(more=1)],
    ],
)
def test_manifests_of_other_things_are_refused(tmp_path: Path, listed: Any) -> None:
    _filled(tmp_path, 1)
    place = tmp_path / MANIFEST
    body = pack(listed)
    good = unpack(place.read_bytes(), what="the manifest")
    place.write_bytes(pack(good | {"checkpoints": body, "sha256": sha256(body).digest()}))
    with pytest.raises(MalformedError, match=MANIFEST):
        _open(tmp_path).checkpoints()
    # What cannot be read is not written over: it may be another gavel's.
    with pytest.raises(MalformedError):
        _filled(tmp_path, 1)


@settings(max_examples=150)
@given(data=st.data())
def test_no_changed_byte_passes(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.getbasetemp() / "changed"
    if not folder.exists():
        _filled(folder, 2)
    roots = [_root(_state(1)), _root(_state(2))]
    place = folder / data.draw(st.sampled_from([MANIFEST, object_name(roots[0])]))
    content = place.read_bytes()
    try:
        place.write_bytes(_changed(data, content))
        store = _open(folder)
        with pytest.raises(GavelError):
            store.checkpoints() if place.name == MANIFEST else store.load(1, roots[0])
    finally:
        place.write_bytes(content)


def _changed(data: st.DataObject, content: bytes) -> bytes:
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        return content[:at]
    return content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255))]) + content[at + 1 :]


# ---------------------------------------------------------------- full disks and kills


class _FullDisk(LocalFileSystem):  # type: ignore[misc]
    """A disk with room for so many more bytes."""

    protocol = "full"
    cachable = False
    room = 0

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        file = super().open(path, mode, **options)
        if "w" in mode:
            write = file.f.write

            def filling(piece: bytes) -> int:
                if len(piece) > type(self).room:
                    write(piece[: type(self).room])
                    raise OSError(errno.ENOSPC, "No space left on device")
                type(self).room -= len(piece)
                return int(write(piece))

            file.write = filling
        return file


def test_a_full_disk_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    fsspec.register_implementation("full", _FullDisk, clobber=True)
    roots = _filled(tmp_path, 1)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    state, size = _state(2), _open(tmp_path).checkpoints()[0].size
    for room in (0, 100, size - 1, size, size + 50):
        _FullDisk.room = room
        with pytest.raises(StorageError, match="make some"):
            _open(f"full://{tmp_path}").save(
                segments=2, root=_root(state), parent=roots[0], losses=(1.0,), state=state
            )
        (tmp_path / object_name(_root(state))).unlink(missing_ok=True)  # whole, and not listed yet
        assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    _FullDisk.room = 1 << 20
    _open(f"full://{tmp_path}").save(
        segments=2, root=_root(state), parent=roots[0], losses=(1.0,), state=state
    )
    assert len(_open(tmp_path).following(0, GENESIS)) == 2


def test_room_is_looked_for_beforehand(tmp_path: Path, url: str, served: tuple[str, Path]) -> None:
    _open(url).check_room(1 << 10)
    assert _open(url).checkpoints() == []
    store = _open(tmp_path / "here")
    store.check_room(1)
    assert [path.name for path in (tmp_path / "here").rglob("*")] == ["objects"]
    with pytest.raises(StorageError, match="make room"):
        store.check_room(1 << 60)
    with pytest.raises(StorageError, match="can only be read"):
        _open(served[0]).check_room(1)
    with pytest.raises(StorageError, match="cannot be written"):
        _open("/proc/nothing").check_room(1)


def test_a_file_in_place_of_a_store_is_said(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file in its place")
    with pytest.raises(StorageError, match="Not a directory"):
        _filled(tmp_path / "store", 1)


def test_what_a_killed_writer_left_is_swept_when_it_is_old(tmp_path: Path) -> None:
    _filled(tmp_path, 1)
    old, new = (tmp_path / "objects" / f"{name}.partial" for name in ("old", "new"))
    for left in (old, new):
        left.write_bytes(b"half")
    then = time.time() - ABANDONED - 10
    os.utime(old, (then, then))
    _filled(tmp_path, 1)
    assert not old.exists()
    assert new.exists()


# ---------------------------------------------------------------- over HTTP


class _Server(SimpleHTTPRequestHandler):
    """A plain file server, which knows no ranges; `cut` ends every answer early, `status` refuses it."""

    cut: int | None = None
    status: int | None = None

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def do_GET(self) -> None:
        if self.status is not None:
            self.send_error(self.status)
            return
        if self.cut is None:
            super().do_GET()
            return
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: self.cut])
        self.close_connection = True


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A folder and its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Server, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/store", tmp_path / "store"
        server.shutdown()
        thread.join()


def test_a_store_is_read_from_a_plain_web_server(served: tuple[str, Path]) -> None:
    url, folder = served
    assert _open(url).checkpoints() == []
    roots = _filled(folder)
    assert [c.root for c in _open(url).following(0, GENESIS)] == roots
    _same(_open(url).load(2, roots[1]), 2)
    assert _open(url).load(2, GENESIS) is None
    with pytest.raises(StorageError, match="can only be read"):
        _filled(url, 1)


def test_a_download_that_breaks_off_is_said(
    served: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, folder = served
    [root] = _filled(folder, 1)
    for cut in (0, 10, 200):
        monkeypatch.setattr(_Server, "cut", cut)
        with pytest.raises((StorageError, MalformedError), match="127"):
            _open(url).load(1, root)
        with pytest.raises((StorageError, MalformedError), match="127"):
            _open(url).checkpoints()


def test_a_server_that_refuses_or_is_gone_is_said(
    served: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, folder = served
    [root] = _filled(folder, 1)
    monkeypatch.setattr(_Server, "status", 503)
    with pytest.raises(StorageError, match="503"):
        _open(url).load(1, root)
    with pytest.raises(StorageError, match="cannot be read"):
        _open("http://127.0.0.1:1/store").load(1, root)
