"""Files of this machine, read within bounds and written whole or not at all (stores.md, S-3, S-6)."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from protocol.errors import MalformedError, StorageError

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def opened(path: Path, *, limit: int | None = None) -> Iterator[BinaryIO]:
    """Open a regular file for reading.

    Args:
        limit: most bytes that it may have.

    Raises:
        MalformedError: there is none, it is a folder, a device or the like, or it is too large.
        StorageError: it cannot be read.
    """
    try:
        # Not to hang in a pipe that stands where a file should be.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            os.close(handle)
            raise MalformedError(f"{path} is not a regular file; put the file itself there")
        with open(handle, "rb") as file:
            if limit is not None and status.st_size > limit:
                raise MalformedError(
                    f"{path} has {status.st_size:,} bytes, more than the {limit:,} that it can have; it is "
                    "not what its name says: get it again, or from somewhere else"
                )
            yield file
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MalformedError(f"there is no file {path} ({error.strerror}); check the path") from error
    except OSError as error:
        raise trouble(f"{path} cannot be read", error) from error


def read_file(path: Path, *, limit: int) -> bytes:
    """Return the bytes of a regular file; arguments and errors as for `opened`."""
    with opened(path, limit=limit) as file:
        return file.read(limit + 1)


@contextmanager
def written(path: Path, *, private: bool = False) -> Iterator[BinaryIO]:
    """Write a file aside and move it into place at the end; after an error nothing is left of it.

    Args:
        private: for the owner alone (0600).

    Raises:
        StorageError: it cannot be written, for example because the disk is full.
    """
    partial: Path | None = None
    try:
        aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        handle = os.open(
            aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600 if private else 0o666
        )
        partial = aside
        with open(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        partial = None
    except OSError as error:
        raise trouble(f"{path} cannot be written", error) from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def trouble(what: str, error: BaseException) -> StorageError:
    """Return the error for a person, with what to do about it.

    Args:
        what: what cannot be done, beginning with the place.
    """
    advice = "check that it is there and that you may use it, then run the command again"
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        advice = "there is no room left: make some, then run the command again; nothing is half-written"
    return StorageError(f"{what} ({str(error) or type(error).__name__}); {advice}")
