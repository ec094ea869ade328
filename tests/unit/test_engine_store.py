"""Generated kernels as modules on disk."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from types import ModuleType

import pytest

from prover.engine import store

THREADS = 8


def test_a_first_concurrent_call_finds_the_whole_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes second waits until the module has run: it is known by name before that."""
    monkeypatch.setattr(store, "_directory", lambda: tmp_path)
    together = Barrier(THREADS)

    def first(_thread: int) -> ModuleType:
        together.wait()
        return store.load(f"import time\n\ntime.sleep(0.3)\nrun = {str(tmp_path)!r}\n")

    with ThreadPoolExecutor(THREADS) as pool:
        modules = list(pool.map(first, range(THREADS)))
    assert {id(module) for module in modules} == {id(modules[0])}
    assert modules[0].run == str(tmp_path)
