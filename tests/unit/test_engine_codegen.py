"""What the compiler makes of the kernels, and how generated sources are kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit

from protocol.numerics.opcodes import Op
from prover.engine import codegen, codegen_sums, store, tile_code
from prover.engine.layout import fold_layout, map_layout

ROOT = Path(__file__).resolve().parents[2]
WORDS, INDICES = np.zeros(64, np.uint32), np.zeros(64, np.int64)


def _assembly(kernel: Any, *arguments: object) -> str:
    """Assembly of a kernel, compiled anew: numba shows none of what it read from its cache."""
    fresh = njit(error_model="numpy", nogil=True, fastmath=False, boundscheck=False)(kernel.py_func)
    fresh(*arguments)
    return "".join(fresh.inspect_asm().values())


def _sum_assembly(code: bytes, variant: str) -> str:
    made = codegen_sums.SumKernels(code)
    count = made.operands
    layout = fold_layout((4,), (4,), [(0, (1,), (1,))] * count)
    kernel = made.over_terms("1" * count) if variant == "terms" else made.over_outputs("1" * count)
    return _assembly(kernel, WORDS, *[WORDS] * count, layout, INDICES, -1, INDICES)


def _map_assembly(op: int) -> str:
    return _assembly(codegen.map_kernel(op), WORDS, WORDS, map_layout((4,), [(0, (1,))]), op, INDICES)


def _certificate_assembly() -> str:
    """The certificate of a group; the dot products themselves may fuse, as their bound allows."""

    def certify(out: Any, sums: Any, norms: Any, scales: Any, rows: Any, columns: Any) -> Any:
        return tile_code.certify_tile(
            sums.ctypes.data, norms.ctypes.data, scales.ctypes.data,
            rows.ctypes.data, columns.ctypes.data, out.ctypes.data,
            rows.ctypes.data, rows.ctypes.data, rows.ctypes.data,
        )  # fmt: skip

    numbers, places = np.ones(tile_code.TILE), np.arange(tile_code.TILE)
    compiled: Any = njit(error_model="numpy", nogil=True, fastmath=False)(certify)
    compiled(np.zeros(2 * tile_code.TILE, np.uint32), numbers, numbers, numbers, places, places)
    return "".join(compiled.inspect_asm().values())


@pytest.mark.parametrize(
    "assembly",
    [
        lambda: _sum_assembly(bytes([0, 1, Op.MUL]), "terms"),
        lambda: _sum_assembly(bytes([0, 1, Op.MUL]), "outputs"),
        lambda: _map_assembly(Op.EXP),
        lambda: _map_assembly(Op.LOG),
        _certificate_assembly,
    ],
    ids=["sum over terms", "sum over outputs", "exp", "log", "certificate"],
)
def test_no_kernel_contracts_a_product_and_a_sum(assembly: object) -> None:
    text = assembly()  # type: ignore[operator]
    assert "add" in text and "mul" in text, "no assembly to look at"  # noqa: PT018
    assert "fmadd" not in text and "fmsub" not in text and "fnmadd" not in text  # noqa: PT018


def test_a_damaged_source_is_written_again(tmp_path: Path) -> None:
    script = (
        "from prover.engine import codegen, store\n"
        "from protocol.numerics.opcodes import Op\n"
        "print(codegen.map_kernel(Op.EXP).py_func.__code__.co_filename)\n"
    )
    run = {"cwd": ROOT, "capture_output": True, "text": True}
    environment = {"GAVEL_KERNEL_CACHE": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    first = subprocess.run([sys.executable, "-c", script], env=environment, check=True, **run).stdout.strip()  # type: ignore[call-overload]
    path = Path(first)
    assert path.parent == tmp_path
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    second = subprocess.run([sys.executable, "-c", script], env=environment, check=True, **run).stdout.strip()  # type: ignore[call-overload]
    assert second == first
    assert path.read_text() == text


def test_equal_sources_are_one_module() -> None:
    source = codegen.HEADER + "\nvalue = 1\n"
    assert store.load(source) is store.load(source)
    assert store.load(source) is not store.load(source + "\n")


_HELPER = "from numba import njit\n\n@njit\ndef factor():\n    return {}\n"
_MODULE = """
import helper
from prover.engine import store

@store.kernel(helper)
def times(x):
    return x * helper.factor()

print(times(21), sum(times.stats.cache_hits.values()))
"""


@pytest.mark.parametrize("damaged", ["nbi", "nbc"])
def test_a_kernel_is_read_again_unless_its_file_or_a_helper_has_changed(tmp_path: Path, damaged: str) -> None:
    (tmp_path / "helper.py").write_text(_HELPER.format(2))
    (tmp_path / "module.py").write_text(_MODULE)

    def run() -> str:
        environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        command = [sys.executable, str(tmp_path / "module.py")]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    assert [run(), run()] == ["42 0", "42 1"]
    for path in (tmp_path / "__pycache__").glob(f"module*.{damaged}"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
        path.write_bytes(content)
    assert [run(), run()] == ["42 0", "42 1"]
    (tmp_path / "helper.py").write_text(_HELPER.format(3))
    assert [run(), run()] == ["63 0", "63 1"]
