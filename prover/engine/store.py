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
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import ModuleType

import numba

from prover.engine import scalars, sums, tabulated


def load(source: str) -> ModuleType:
    """Import generated source, written to the cache directory if it is not there yet."""
    name = "gavel_kernels_" + sha256((_helpers() + source).encode()).hexdigest()[:32]
    if name in sys.modules:
        return sys.modules[name]
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
