"""Checkpoints: states of one job by their roots, in a folder or behind any URL (stores.md).

A store is a convenience (A-6): everything in it can be derived from the job, and nothing in it is believed. A
state is what hashes to the root that was asked for; what the manifest says only saves searching.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from shutil import disk_usage
from typing import Any, Final

import numpy as np
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from protocol.commitments.canonical import Words
from protocol.errors import GavelError, MalformedError, MismatchError, StorageError, UsageError
from protocol.files import trouble
from protocol.wire import pack, unpack
from protocol.words_file import chunks, read_words, size_of

FORMAT: Final = "gavel checkpoints 1"
MANIFEST: Final = "manifest.msgpack"

MAX_MANIFEST: Final = 256 << 20
"""Bytes."""

LOSSES_KEPT: Final = 1024
"""Of the last steps of a segment (S-4)."""

PARTIAL: Final = ".partial"
ABANDONED: Final = 3600.0
"""Seconds after which what was written aside belongs to a process that was killed."""

RootOf = Callable[[Sequence[Words]], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a store says of a state; nothing of it is checked before the state is loaded.

    Attributes:
        segments: how many segments of the job lead to it.
        root: state root, 32 bytes; parent: root of the state that its last segment was trained from.
        losses: of the last steps of that segment, at most `LOSSES_KEPT`, binary32 numbers.
        size: bytes of the object.
        sha256: of the object, 32 bytes, for tools that move objects about.
    """

    segments: int
    root: bytes
    parent: bytes
    losses: tuple[float, ...]
    size: int
    sha256: bytes

    @property
    def name(self) -> str:
        """Of the object within the store."""
        return object_name(self.root)


def object_name(root: bytes) -> str:
    """Return the name within a store of the state with a root, 32 bytes (S-1)."""
    return f"objects/{root.hex()}.safetensors"


class CheckpointStore:
    """Checkpoints of one job.

    Attributes:
        name: of the store, for people; without passwords.
    """

    def __init__(self, url: str | Path, *, root_of: RootOf, extents: Sequence[int]) -> None:
        """Name a store; nothing is read or written yet.

        Args:
            url: a folder, or a URL that fsspec knows: file, memory, s3, https (to read only), ...
            root_of: state root (C-6) of flat uint32 words of every slot.
            extents: words of every slot.

        Raises:
            UsageError: nothing is known that opens such a URL.
        """
        text = os.fspath(url)
        self.name = re.sub(r"//[^/@]*@", "//", text)
        self._root_of, self._extents = root_of, tuple(extents)
        options: dict[str, Any] = {}
        self._reading: dict[str, Any] = {}
        if text.startswith(("http://", "https://")):
            options, self._reading = _patient(), {"block_size": 0}
        try:
            self._fs, base = url_to_fs(text, **options)
        except (ImportError, ValueError, TypeError) as error:
            raise UsageError(
                f"{self.name} cannot be opened as a store: {error}; name a folder, or install what "
                "fsspec needs for such a URL"
            ) from error
        self._base = str(base).rstrip("/")

    def save(
        self, *, segments: int, root: bytes, parent: bytes, losses: Sequence[float], state: Sequence[Words]
    ) -> Checkpoint:
        """Write a checkpoint, the object first; writing the same one again changes nothing that matters.

        Args:
            segments, root, parent, losses: as in `Checkpoint`, the losses of the whole segment.
            state: flat uint32 words of every slot.

        Raises:
            StorageError: it cannot be written; the store is as it was.
            MalformedError: the manifest that is there cannot be read; nothing is written over it.
        """
        known = self.checkpoints()
        size, digest = self._write(object_name(root), chunks(state))
        told = np.asarray(losses[-LOSSES_KEPT:], np.float32)
        saved = Checkpoint(
            segments=segments,
            root=root,
            parent=parent,
            losses=tuple(told.tolist()),
            size=size,
            sha256=digest,
        )
        others = [c for c in known if (c.segments, c.root, c.parent) != (segments, root, parent)]
        self._write(MANIFEST, [_manifest([*others, saved])])
        return saved

    def save_state(self, root: bytes, state: Sequence[Words]) -> None:
        """Write a state that the manifest does not list: who knows its root finds it (S-1).

        Args:
            state: flat uint32 words of every slot.

        Raises:
            StorageError: it cannot be written.
        """
        self._write(object_name(root), chunks(state))

    def check_room(self, count: int) -> None:
        """Check that this many more checkpoints can be written, as far as that can be known beforehand.

        A trainer does so before it locks a deposit (E-2). Something small is written and removed; on a disk
        of this machine the free space is looked at too.

        Raises:
            StorageError: nothing can be written, or there is too little room.
        """
        self._write(f"objects/room{PARTIAL}", [b"room"])
        with suppress(Exception):
            self._fs.rm_file(self._path(f"objects/room{PARTIAL}"))
        if isinstance(self._fs, LocalFileSystem):
            needed, free = count * size_of(self._extents), disk_usage(self._base).free
            if free < needed:
                raise StorageError(
                    f"{count:,} checkpoints take {needed:,} bytes, the disk of the store {self.name} has "
                    f"{free:,} free; make room, or name another --store"
                )

    def load(self, segments: int, root: bytes) -> tuple[Words, ...] | None:
        """Return the words of a state, or None where the store has no object for it.

        Args:
            segments: how many lead to it, for errors; an object is found by its root alone.

        Raises:
            MalformedError: the object does not hold tensors of the job's sizes.
            MismatchError: its words do not hash to the root: the store lies, or is damaged.
            StorageError: the store cannot be read.
        """
        name = object_name(root)
        what = f"the state after {segments} segments in the store {self.name} ({name})"
        return self._load(name, root, what)

    def load_file(self, name: str, root: bytes) -> tuple[Words, ...] | None:
        """Return the words of the state with a root from a file of any name; otherwise as `load`."""
        return self._load(name, root, f"{name} in {self.name}")

    def _load(self, name: str, root: bytes, what: str) -> tuple[Words, ...] | None:
        with self._opened(name, what) as file:
            if file is None:
                return None
            state = read_words(file, self._extents, what=what)
        if (found := self._root_of(state)) != root:
            raise MismatchError(
                f"{what} holds the state {found.hex()}, not {root.hex()}: the store lies or is damaged; "
                "delete the file, or do not use the store"
            )
        return state

    def checkpoints(self) -> list[Checkpoint]:
        """Every checkpoint that the manifest lists, earliest segment first.

        Raises:
            MalformedError: the manifest is not one.
            StorageError: the store cannot be read.
        """
        what = f"the manifest of the store {self.name}"
        with self._opened(MANIFEST, what) as file:
            if file is None:
                return []
            data = _read_all(file, MAX_MANIFEST + 1)
        try:
            return _checkpoints(unpack(data, what=what, limit=MAX_MANIFEST), what)
        except MalformedError as error:
            raise MalformedError(
                f"{error}. If the store is your own, delete {MANIFEST}: states are replayed"
            ) from error

    def following(self, segments: int, root: bytes) -> list[Checkpoint]:
        """Return the listed checkpoints that lead on from a state, one per segment, as far as they go."""
        by_parent = {(c.segments, c.parent): c for c in self.checkpoints()}
        path: list[Checkpoint] = []
        while (step := by_parent.get((segments + 1, root))) is not None:
            path.append(step)
            segments, root = step.segments, step.root
        return path

    def retain(self, roots: Collection[bytes]) -> None:
        """Remove all listed checkpoints but those with these roots; what is gone already is not missed.

        Raises:
            MalformedError: the manifest cannot be read.
            StorageError: something cannot be removed or written.
        """
        known = self.checkpoints()
        kept = [c for c in known if c.root in roots]
        if len(kept) == len(known):
            return
        for name in {c.name for c in known if c.root not in roots}:
            try:
                self._fs.rm_file(self._path(name))
            except FileNotFoundError:
                continue
            except Exception as error:
                raise trouble(f"{name} cannot be removed from the store {self.name}", error) from error
        self._write(MANIFEST, [_manifest(kept)])

    def _path(self, name: str) -> str:
        return f"{self._base}/{name}"

    @contextmanager
    def _opened(self, name: str, what: str) -> Iterator[Any]:
        """Open a file for reading; None where there is none."""
        try:
            self._fs.invalidate_cache()
            if not self._reading and self._fs.info(self._path(name))["type"] != "file":
                raise MalformedError(f"{what} is not a regular file; put the file itself there")
            file = self._fs.open(self._path(name), "rb", **self._reading)
        except FileNotFoundError as error:
            # fsspec says so of every failure over HTTP, and tells them apart by the cause.
            cause = error.__cause__
            if self._reading and cause is not None and getattr(cause, "status", None) != 404:
                raise trouble(f"{what} cannot be read", cause) from error
            yield None
            return
        except GavelError:
            raise
        except Exception as error:  # every kind of store has errors of its own
            raise trouble(f"{what} cannot be read", error) from error
        try:
            with file:
                yield file
        except GavelError:
            raise
        except Exception as error:
            raise trouble(f"{what} cannot be read to its end", error) from error

    def _write(self, name: str, pieces: Iterable[bytes]) -> tuple[int, bytes]:
        """Write a file aside and move it into place (S-3); return its size and its sha256."""
        path, size, digest = self._path(name), 0, sha256()
        partial = f"{path}.{secrets.token_hex(4)}{PARTIAL}"
        moved = False
        try:
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._sweep(path.rpartition("/")[0])
            with self._fs.open(partial, "wb") as file:
                for piece in pieces:
                    file.write(piece)
                    digest.update(piece)
                    size += len(piece)
                file.flush()
                if isinstance(self._fs, LocalFileSystem):
                    os.fsync(file.fileno())
            self._move(partial, path)
            moved = True
        except NotImplementedError as error:
            raise StorageError(
                f"the store {self.name} can only be read; name a folder or another URL to write to"
            ) from error
        except Exception as error:
            raise trouble(f"{name} cannot be written to the store {self.name}", error) from error
        finally:
            if not moved:
                with suppress(Exception):
                    self._fs.rm_file(partial)
        return size, digest.digest()

    def _move(self, partial: str, path: str) -> None:
        """Elsewhere than on disks a copy appears as a whole; fsspec's `mv` takes a path for a pattern."""
        if isinstance(self._fs, LocalFileSystem):
            os.replace(partial, path)
        else:
            self._fs.cp_file(partial, path)
            self._fs.rm_file(partial)

    def _sweep(self, folder: str) -> None:
        """Remove what a killed process left aside."""
        with suppress(Exception):
            for path in self._fs.ls(folder, detail=False):
                if path.endswith(PARTIAL) and time.time() - self._fs.modified(path).timestamp() > ABANDONED:
                    self._fs.rm_file(path)


def _patient() -> dict[str, Any]:
    """Options for HTTP: no limit to a long download, one minute for a silence."""
    from aiohttp import ClientTimeout

    return {"client_kwargs": {"timeout": ClientTimeout(total=None, connect=30, sock_read=60)}}


def _read_all(file: Any, limit: int) -> bytes:
    data = bytearray()
    while len(data) < limit and (more := file.read(limit - len(data))):
        data += more
    return bytes(data)


def _manifest(checkpoints: Iterable[Checkpoint]) -> bytes:
    listed = [
        {
            "segments": c.segments,
            "root": c.root,
            "parent": c.parent,
            "losses": np.asarray(c.losses, ">f4").tobytes(),
            "size": c.size,
            "sha256": c.sha256,
        }
        for c in sorted(checkpoints, key=lambda c: c.segments)
    ]
    body = pack(listed)
    return pack({"format": FORMAT, "checkpoints": body, "sha256": sha256(body).digest()})


def _checkpoints(value: Any, what: str) -> list[Checkpoint]:
    """Raises MalformedError if the value is not a manifest (S-4)."""
    if not isinstance(value, dict) or value.get("format") != FORMAT or len(value) != 3:
        raise MalformedError(f"{what} is not of the format {FORMAT!r}")
    body = value.get("checkpoints")
    if not isinstance(body, bytes) or value.get("sha256") != sha256(body).digest():
        raise MalformedError(f"{what} is damaged: its list does not hash to its sha256")
    listed = unpack(body, what=what, limit=MAX_MANIFEST)
    if not isinstance(listed, list):
        raise MalformedError(f"{what} holds no list")
    return [_checkpoint(entry, what) for entry in listed]


def _checkpoint(entry: Any, what: str) -> Checkpoint:
    if (
        not isinstance(entry, Mapping)
        or set(entry) != set(Checkpoint.__dataclass_fields__)
        or not all(isinstance(entry[name], bytes) for name in ("root", "parent", "sha256", "losses"))
        or not all(len(entry[name]) == 32 for name in ("root", "parent", "sha256"))
        or not all(type(entry[name]) is int for name in ("segments", "size"))
        or not (1 <= entry["segments"] <= 1 << 31 and entry["size"] >= 0)
        or len(entry["losses"]) % 4
        or len(entry["losses"]) > 4 * LOSSES_KEPT
    ):
        raise MalformedError(f"{what} has an entry that is not a checkpoint")
    losses = np.frombuffer(entry["losses"], ">f4").tolist()
    return Checkpoint(**{**entry, "losses": tuple(losses)})
