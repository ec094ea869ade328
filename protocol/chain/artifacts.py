"""Contracts, compiled: the ABI and the code of every Vyper file, cached on disk.

How contracts name each other. Everything is imported by its absolute path from the repository root, as
``from contracts_vyper.numerics import float32`` (modules, and interfaces in ``.vyi`` files). snekmate is
imported as its own documentation says (``from snekmate.tokens import erc20``) from the installed package, and
the interfaces that ship with Vyper as ``from ethereum.ercs import IERC20``.

The cache is the folder ``artifacts`` in ``$GAVEL_CACHE``, or in ``gavel`` under the user's cache folder.
An entry's key covers the compiler, the settings and the text of every source that the contract can reach, so
entries never go stale; they are written to a temporary name and renamed, so parallel processes may share it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.resources
import importlib.util
import json
import os
import re
import tempfile
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from protocol.errors import GavelError, MalformedError, UsageError

CONTRACTS = Path(str(importlib.resources.files("contracts_vyper")))
"""The folder ``contracts_vyper``."""

MAX_RUNTIME_BYTES = 24_576
"""The most runtime code, immutables included, that a chain accepts (EIP-170), in bytes."""

_FORMAT = "gavel artifact 1"
_OUTPUTS = ("abi", "bytecode", "bytecode_runtime", "layout", "method_identifiers")


class CompileError(GavelError):
    """A contract that does not compile, or whose code is too large to be deployed."""

    exit_code = MalformedError.exit_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One compiled contract.

    Attributes:
        name: the file's name without suffix, such as ``Gavel``.
        abi: the entries of the JSON ABI.
        bytecode: creation code, to which encoded constructor arguments are appended.
        runtime: deployed code without its immutables.
        deployed_bytes: size of the deployed code with its immutables, in bytes.
        layout: Vyper's layout of storage, transient storage and code.
        method_identifiers: signature to 4-byte selector, as ``0x`` and 8 digits.
    """

    name: str
    abi: tuple[dict[str, Any], ...]
    bytecode: bytes
    runtime: bytes
    deployed_bytes: int
    layout: dict[str, Any]
    method_identifiers: dict[str, str]


def compile_contract(name_or_path: str | Path) -> Artifact:
    """Compile one contract, or fetch it from the cache.

    Args:
        name_or_path: the name of a ``.vy`` file anywhere under ``contracts_vyper`` (``"NumericsMock"``), or a
            path: absolute, or as imports write it (``"contracts_vyper/mocks/NumericsMock.vy"``,
            ``"snekmate/tokens/erc20.vy"``).

    Raises:
        UsageError: there is no such file, or the name is ambiguous.
        CompileError: the compiler refuses the source, or the deployed code exceeds 24,576 bytes.
    """
    source = _locate(str(name_or_path))
    key = _key(source)
    return _compiled(source, key)


@cache
def _compiled(source: Path, key: str) -> Artifact:
    entry = cache_folder() / f"{source.stem}-{key[:40]}.json"
    with suppress(OSError, ValueError, KeyError):
        return _from_json(json.loads(entry.read_text(encoding="utf-8")))
    artifact = _compile(source)
    with suppress(OSError):  # a cache that cannot be written only costs time
        entry.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=entry.parent, suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(_to_json(artifact))
        Path(temporary).replace(entry)
    return artifact


def _compile(source: Path) -> Artifact:
    from vyper.compiler import compile_from_file_input
    from vyper.compiler.input_bundle import FilesystemInputBundle
    from vyper.exceptions import VyperException
    from vyper.warnings import ContractSizeLimit

    bundle = FilesystemInputBundle(_search_paths())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ContractSizeLimit)  # an error below
            outputs = compile_from_file_input(
                bundle.load_file(source),
                input_bundle=bundle,
                output_formats=_OUTPUTS,
                no_bytecode_metadata=True,
            )
    except VyperException as error:
        raise CompileError(f"{source.name} does not compile: {error}") from error
    runtime = bytes.fromhex(outputs["bytecode_runtime"].removeprefix("0x"))
    immutables = outputs["layout"].get("code_layout", {})
    deployed = len(runtime) + _immutable_bytes(immutables)
    if deployed > MAX_RUNTIME_BYTES:
        raise CompileError(
            f"{source.name} deploys {deployed} bytes of code, {deployed - MAX_RUNTIME_BYTES} more than a "
            f"chain accepts ({MAX_RUNTIME_BYTES}). Move a part of it to a contract of its own, or compile it "
            "with `# pragma optimize codesize`"
        )
    return Artifact(
        name=source.stem,
        abi=tuple(outputs["abi"]),
        bytecode=bytes.fromhex(outputs["bytecode"].removeprefix("0x")),
        runtime=runtime,
        deployed_bytes=deployed,
        layout=json.loads(json.dumps(outputs["layout"])),
        method_identifiers={
            signature: f"0x{int(selector, 16):08x}"
            for signature, selector in outputs["method_identifiers"].items()
        },
    )


def _immutable_bytes(layout: dict[str, Any]) -> int:
    """Bytes of immutables in a code layout, whose entries are variables or, by module, further layouts."""
    if isinstance(layout.get("length"), int):
        return int(layout["length"])
    return sum(_immutable_bytes(entry) for entry in layout.values() if isinstance(entry, dict))


def _search_paths() -> list[Path]:
    paths = [CONTRACTS.parent]
    snekmate = importlib.util.find_spec("snekmate")
    if snekmate is not None:
        paths = [Path(place).parent for place in snekmate.submodule_search_locations or ()] + paths
    return paths


def _locate(name: str) -> Path:
    if "/" in name or name.endswith(".vy"):
        found = [place / name for place in reversed(_search_paths()) if (place / name).is_file()][:1]
    else:
        found = sorted(CONTRACTS.rglob(f"{name}.vy"))
    if len(found) != 1:
        problem = "no contract" if not found else f"{len(found)} contracts"
        raise UsageError(
            f"{problem} called {name!r}: give the name or the path of one .vy file under {CONTRACTS}"
        )
    return found[0].resolve()


def _key(source: Path) -> str:
    """sha256 over the compiler, the settings and every source that `source` can reach.

    A file can reach another one whose name it contains as a word: an import cannot do without it.
    """
    files = []
    for path in sorted({source, *CONTRACTS.rglob("*.vy*")}):
        stat = path.stat()
        files.append((path, stat.st_mtime_ns, stat.st_size))
    return _key_of(source, tuple(files))


@cache
def _key_of(source: Path, files: tuple[tuple[Path, int, int], ...]) -> str:
    """The key, from sources as they are: path, time of the last change in ns, bytes."""
    texts = {path: path.read_text(encoding="utf-8") for path, _, _ in files}
    reached, waiting = {source}, [source]
    while waiting:
        words = set(re.findall(r"\w+", texts[waiting.pop()]))
        fresh = [path for path in texts if path.stem in words and path not in reached]
        reached.update(fresh)
        waiting.extend(fresh)
    versions = [importlib.metadata.version("vyper"), importlib.metadata.version("snekmate")]
    parts = [_FORMAT, *versions, repr(_OUTPUTS)]
    for path in sorted(reached):
        parts += [path.name, hashlib.sha256(texts[path].encode()).hexdigest()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def cache_folder() -> Path:
    """Return the folder of compiled contracts."""
    own = os.environ.get("GAVEL_CACHE")
    if own:
        return Path(own) / "artifacts"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "gavel" / "artifacts"


def _to_json(artifact: Artifact) -> str:
    return json.dumps(
        {
            "format": _FORMAT,
            "name": artifact.name,
            "abi": artifact.abi,
            "bytecode": artifact.bytecode.hex(),
            "runtime": artifact.runtime.hex(),
            "deployed_bytes": artifact.deployed_bytes,
            "layout": artifact.layout,
            "method_identifiers": artifact.method_identifiers,
        }
    )


def _from_json(data: dict[str, Any]) -> Artifact:
    return Artifact(
        name=data["name"],
        abi=tuple(data["abi"]),
        bytecode=bytes.fromhex(data["bytecode"]),
        runtime=bytes.fromhex(data["runtime"]),
        deployed_bytes=data["deployed_bytes"],
        layout=data["layout"],
        method_identifiers=data["method_identifiers"],
    )
