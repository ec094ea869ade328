"""Where generated kernels live: source modules on disk, so that numba caches what it compiles from them.

The directory is `GAVEL_KERNEL_CACHE`, else `gavel/kernels` in the user's cache directory. A module's name is
the hash of its text and of the helpers that it inlines, so a change of either is a new module.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import Any, Final

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

from prover.engine import scalars, sums, tabulated

_TURNS: Final = RLock()

# Numba has no types for it.
_FunctionCache: Any = FunctionCache
_CacheFile: Any = IndexDataCacheFile


def kernel(*helpers: ModuleType) -> Callable[[Callable[..., Any]], Any]:
    """Return what compiles a function of a module, as `numba.njit` with its cache does.

    Numba knows a cached kernel by the file that it stands in; this one also by the texts of the helpers
    that it inlines, so a kernel is compiled anew when one of them has changed, or its file is damaged.
    """
    texts = b"".join(Path(module.__file__ or "").read_bytes() for module in helpers)
    stamp = sha256(texts).hexdigest()

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher: Any = numba.njit(error_model="numpy", nogil=True, fastmath=False, boundscheck=False)(
            function
        )
        dispatcher._cache = _StampedCache(function, stamp)
        return dispatcher

    return compiled


class _StampedCache(_FunctionCache):  # type: ignore[misc]
    """Numba's cache of one function, with a stamp in its keys."""

    def __init__(self, function: Callable[..., Any], stamp: str) -> None:
        super().__init__(function)
        self._stamp = stamp
        locator = self._impl.locator
        self._cache_file = _HashedFile(
            locator.get_cache_path(), self._impl.filename_base, locator.get_source_stamp()
        )

    def _index_key(self, signature: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(signature, codegen), self._stamp)


class _HashedFile(_CacheFile):  # type: ignore[misc]
    """Numba's files of one function; what is damaged counts as not there, and is written again."""

    def _load_index(self) -> Any:
        try:
            return super()._load_index()
        except Exception:
            return {}

    def _save_data(self, name: str, data: Any) -> None:
        super()._save_data(name, data)
        path = Path(self._data_path(name))
        with self._open_for_write(f"{path}.sha256") as file:
            file.write(sha256(path.read_bytes()).digest())

    def _load_data(self, name: str) -> Any:
        path = Path(self._data_path(name))
        if sha256(path.read_bytes()).digest() != Path(f"{path}.sha256").read_bytes():
            raise OSError(f"{path} is damaged")  # numba compiles anew what it cannot read
        return super()._load_data(name)


def load(source: str) -> ModuleType:
    """Import generated source, written to the cache directory if it is not there yet. Threads take turns."""
    name = "gavel_kernels_" + sha256((_helpers() + source).encode()).hexdigest()[:32]
    with _TURNS:  # a module is known by name before all of it has run
        return sys.modules[name] if name in sys.modules else _imported(name, source)


def _imported(name: str, source: str) -> ModuleType:
    path = _directory() / f"{name}.py"
    if not path.exists() or path.read_text() != source:
        # Written aside and moved into place: another process may be doing the same.
        handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
        with os.fdopen(handle, "w") as file:
            file.write(source)
        Path(partial).replace(path)
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise ImportError(f"cannot import the generated kernel {path}; remove it and run again")
    module = importlib.util.module_from_spec(specification)
    # Known by name before it runs: numba looks modules up when it reads its cache.
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


@cache
def _helpers() -> str:
    texts = [Path(module.__file__ or "").read_text() for module in (scalars, sums, tabulated)]
    return str(numba.__version__) + "".join(texts)


@cache
def _directory() -> Path:
    """The cache directory, or one for this process alone where none can be written."""
    base = os.environ.get("GAVEL_KERNEL_CACHE")
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = Path(base) if base else cache_home / "gavel" / "kernels"
    with contextlib.suppress(OSError):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(path, os.W_OK):
            return path
    return Path(tempfile.mkdtemp(prefix="gavel-kernels-"))
