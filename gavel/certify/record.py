"""The record of a run, and whether it still speaks of the code at hand."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from gavel.certify.run import ALL, Result
from protocol.errors import MalformedError
from protocol.files import read_file
from protocol.numerics.opcodes import Op
from protocol.wire import read_json
from prover.engine import codegen, scalars, tabulated

FORMAT: Final = "gavel certificate 1"
MAX_BYTES: Final = 1 << 16


def source_hash() -> str:
    """sha256, hexadecimal, over what decides a bit of the fast kernels of the scalar functions.

    That is the code of `scalars.py` and `tabulated.py` without comments and docstrings, the text that turns a
    binary64 value into a word, and the tables.
    """
    digest = hashlib.sha256()
    for module in (scalars, tabulated):
        tree = ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):
                node.body = [statement for statement in body if not _is_text(statement)]  # type: ignore[attr-defined]
        digest.update(ast.dump(tree).encode())
    for text in (codegen.SCALAR_BODY, codegen.SCALAR_WORD, json.dumps(codegen.SCALAR_KERNELS)):
        digest.update(hashlib.sha256(text.encode()).digest())
    for table in (tabulated.QUADRANTS, tabulated.ERF):
        digest.update(table.astype("<f8").tobytes())
    return digest.hexdigest()


def record_of(result: Result, threads: int) -> dict[str, Any]:
    """What is written down of a run over all words; see specs/certificates/README.md."""
    return {
        "format": FORMAT,
        "function": result.name,
        "code": f"0x{Op[result.name]:02x}",
        "version": version("gavel"),
        "source": source_hash(),
        "words": result.words,
        "worst_difference": f"{result.worst * 2.0**53:.3f} * 2^-53",
        "decided_by_mpfr": result.near,
        "left_to_the_reference": result.flagged,
        "nearest": [{"word": f"0x{word:08x}", "log2_distance": round(at, 3)} for at, word in result.nearest],
        "seconds": round(result.seconds, 1),
        "cpu_seconds": round(result.cpu_seconds, 1),
        "threads": threads,
        "machine": machine(),
    }


def load(path: Path) -> dict[str, Any]:
    """Read a record.

    Raises:
        MalformedError: it is not the record of a run over all words.
        StorageError: it cannot be read.
    """
    data = read_json(read_file(path, limit=MAX_BYTES), what=f"the record {path}")
    keys = {"format", "function", "words", "source", "nearest"}
    if isinstance(data, dict) and keys <= data.keys() and (data["format"], data["words"]) == (FORMAT, ALL):
        return data
    raise MalformedError(
        f"{path} is no record ({FORMAT}) of a run over all words; make one with `gavel certify`"
    )


def machine() -> str:
    """The processor, its cores, and the versions that matter, in words; no names of hosts or paths."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    packages = ", ".join(f"{name} {version(name)}" for name in ("numba", "numpy"))
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}"


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
