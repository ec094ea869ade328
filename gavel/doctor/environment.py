"""Python, packages, processor, memory and disk of this machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from gavel.doctor.findings import Finding, attempted, failure, good, warning
from protocol.errors import StorageError, UnsupportedError

GROUP: Final = "machine"
PYTHON: Final = (3, 11)
TORCH: Final = "2.13"
"""The release that captures are pinned to: another one may trace another program from the same module."""

LOW_MEMORY: Final = 2 << 30
LOW_DISK: Final = 1 << 30
_SUBNORMAL: Final = 1e-40
_LARGE: Final = 1 << 18
"""Elements that make torch use all its threads."""


def check_environment(folder: Path, caches: Path) -> Iterator[Finding]:
    """Look at this machine.

    Args:
        folder: where checkpoints would be written; caches: of compiled contracts.
    """
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < PYTHON:
        yield failure(GROUP, "Python", found, "use 3.11 or newer", UnsupportedError)
    else:
        yield good(GROUP, "Python", f"{found}, {platform.machine()}, {platform.system()}")
    yield attempted(GROUP, "packages", _packages)
    yield attempted(GROUP, "torch", _torch)
    yield attempted(GROUP, "numba", _numba)
    yield attempted(GROUP, "flush-to-zero", _subnormals)
    yield attempted(GROUP, "threads", _threads)
    yield attempted(GROUP, "memory", _memory)
    yield attempted(GROUP, "disk", lambda: _disk(folder))
    yield attempted(GROUP, "cache", lambda: _cache(caches))


def _packages() -> Finding | str:
    missing = []
    required = [r for r in importlib.metadata.requires("gavel") or () if "extra ==" not in r]
    for requirement in required:
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        advice = "install gavel as the README says, with `make setup` or pip"
        return failure(GROUP, "packages", f"missing: {', '.join(missing)}", advice, UnsupportedError)
    return f"all {len(required)} that gavel needs are installed"


def _torch() -> Finding | str:
    version = importlib.metadata.version("torch")
    if not version.startswith(TORCH + "."):
        advice = f"install torch {TORCH}: another release may capture another program from the same module"
        return failure(GROUP, "torch", version, advice, UnsupportedError)
    return version


def _numba() -> str:
    try:
        from prover.engine.executor import check_subnormals

        check_subnormals()  # compiles a kernel, or loads it from numba's cache
    except (RuntimeError, ImportError, OSError) as error:
        raise UnsupportedError(
            f"numba cannot compile or keep its kernels ({error}); set NUMBA_CACHE_DIR to a folder of yours, "
            "and see that the installed versions are those of constraints.txt"
        ) from error
    return f"{importlib.metadata.version('numba')}, compiles"


def _subnormals() -> str:
    """Flush-to-zero is a switch of each thread: look at this one, at new ones and at torch's."""
    import torch

    from prover.engine.executor import check_subnormals
    from prover.engine.hashing import available_cores

    check_subnormals()
    cores = available_cores()
    with ThreadPoolExecutor(cores) as pool:
        for done in [pool.submit(check_subnormals) for _ in range(cores)]:
            done.result()
    small = torch.full((_LARGE,), _SUBNORMAL)
    if not bool((small * 0.5 > 0).all()):
        raise UnsupportedError(
            "torch's threads flush subnormal numbers to zero; unset it (torch.set_flush_denormal(False), or "
            "the library that set it)"
        )
    return f"off in this thread, in {cores} new ones and in torch's"


def _threads() -> Finding | str:
    from prover.engine.hashing import available_cores

    cores = available_cores()
    limits = [f"{n}={os.environ[n]}" for n in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS") if n in os.environ]
    text = ", ".join([f"{cores} cores", *limits])
    if cores < 2:
        return warning(GROUP, "threads", text, "training and hashing take as long as one core needs")
    return text


def _memory() -> Finding | str:
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        pass  # not Linux: what the system calls free
    text = f"{available / 2**30:.1f} GiB available"
    if available < LOW_MEMORY:
        return warning(
            GROUP, "memory", text, "a job needs several times its state and dataset; close something"
        )
    return text


def _writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(b"gavel")
    except OSError as error:
        raise StorageError(f"{folder} cannot be written ({error.strerror}); name another folder") from error


def _disk(folder: Path) -> Finding | str:
    _writable(folder)
    free = shutil.disk_usage(folder).free
    text = f"{free / 2**30:.1f} GiB free in {folder.absolute()}"
    if free < LOW_DISK:
        return warning(GROUP, "disk", text, "a checkpoint holds the whole state of a job; make room")
    return text


def _cache(caches: Path) -> Finding | str:
    check: Callable[[Path], None] = _writable
    try:
        check(caches)
    except StorageError as error:
        return warning(
            GROUP, "cache", str(error), "set GAVEL_CACHE to a folder of yours, or compile each time"
        )
    return f"{caches}"
