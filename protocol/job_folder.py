"""The public data of a job as a folder, checked against the job id when it is read (A-1).

    job.json             format, job id, the words of U-1
    manifest.json        names, shapes, dtypes, labels, links; its sha256 is in the terms
    program.bin          the descriptors, 1024 bytes each, in order (P-2)
    inputs.safetensors   uint32 words of every input, by number (C-7)
    genesis.safetensors  uint32 words of every slot before the first step, by number (C-6)

Whoever has the job id can check all of it: nothing in a folder has to be trusted, and nothing in it is code.
Each file has one form, so one changed byte anywhere shows (stores.md, S-7).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from protocol.commitments.canonical import Words
from protocol.commitments.tensor import state_tree, tensor_root
from protocol.commitments.tree import Tree, height
from protocol.errors import MalformedError, MismatchError, StorageError
from protocol.files import opened, read_file, trouble, written
from protocol.job import Audit, Clocks, Geometry, Job, Money
from protocol.program.descriptor import DESCRIPTOR_BYTES, Node
from protocol.program.lint import check_descriptor, check_program, check_values
from protocol.program.program import Program, TensorSpec
from protocol.sanity import check_terms
from protocol.wire import read_json
from protocol.words_file import chunks, read_words, size_of

FORMAT: Final = "gavel job 1"

MAX_TERMS: Final = 1 << 16
"""Bytes of job.json."""

MAX_MANIFEST: Final = 64 << 20
"""Bytes of manifest.json."""

DTYPES: Final = ("f32", "i32")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFolder:
    """A job with everything that determines it.

    Attributes:
        job: terms.
        program: descriptors, labels, slots, inputs, links.
        manifest: what capture wrote about names, shapes and dtypes.
        inputs, genesis: flat uint32 words per input and per slot.
    """

    job: Job
    program: Program
    manifest: dict[str, Any]
    inputs: tuple[Words, ...]
    genesis: tuple[Words, ...]

    def save(self, path: Path) -> None:
        """Write the folder.

        Raises:
            MalformedError: there is a job in it already.
            StorageError: it cannot be written, for example because the disk is full; nothing of it is left.
        """
        if (path / "job.json").exists():
            raise MalformedError(f"{path} holds a job already; name a new folder")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise trouble(f"the job folder {path} cannot be made", error) from error
        files = {
            "manifest.json": [manifest_bytes(self.program, self.manifest)],
            "program.bin": [node.encode() for node in self.program.nodes],
            "inputs.safetensors": chunks(self.inputs),
            "genesis.safetensors": chunks(self.genesis),
            "job.json": [_terms_bytes(self.job)],  # last: with it the folder is one
        }
        done: list[Path] = []
        try:
            for name, pieces in files.items():
                with written(path / name) as file:
                    file.writelines(pieces)
                done.append(path / name)
        except StorageError:
            for part in done:
                part.unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: Path) -> JobFolder:
        """Read a folder and check everything in it.

        Raises:
            MalformedError: a file is not what it claims to be, or the program is not well-formed.
            MismatchError: something is not what the job id commits to.
            StorageError: a file cannot be read.
        """
        job = _read_terms(path / "job.json")
        manifest = read_file(path / "manifest.json", limit=MAX_MANIFEST)
        _agree("manifest", sha256(manifest).digest(), job.manifest)
        data = read_json(manifest, what=str(path / "manifest.json"), limit=MAX_MANIFEST)
        try:
            limit = DESCRIPTOR_BYTES * min(job.geometry.n_nodes, len(data["program"]["labels"]))
            descriptors = read_file(path / "program.bin", limit=limit)
            program, captured = _read_manifest(data, descriptors)
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            raise MalformedError(
                f"{path / 'manifest.json'} does not describe a program ({error!r}); do not follow this job"
            ) from error
        check_program(program)
        check_terms(job, program)
        folder = cls(
            job=job,
            program=program,
            manifest=captured,
            inputs=load_words(path / "inputs.safetensors", [spec.extent for spec in program.inputs]),
            genesis=load_words(path / "genesis.safetensors", [spec.extent for spec in program.slots]),
        )
        folder.check()
        return folder

    def check(self) -> None:
        """Check program, inputs and genesis against the terms, and that the program is well-formed (P-11).

        Raises:
            MalformedError: the program or a value is not well-formed.
            MismatchError: a root or a count is not what the terms say.
        """
        check_program(self.program)
        check_terms(self.job, self.program)
        check_values(self.program, inputs=self.inputs, state=self.genesis)
        job, heights = self.job, (self.job.geometry.tensor_height, self.job.geometry.input_height)
        largest = (self.program.largest_extent, self.program.largest_input)
        for extent, tree_height in zip(largest, heights, strict=True):
            if extent > 64 << tree_height:
                raise MismatchError(
                    f"the terms give trees of heights {heights} to tensors and inputs of up to {largest} "
                    "words, which do not fit; do not follow this job"
                )
        roots = commit(self.program, self.inputs, self.genesis, *heights)
        for name, found, expected in zip(
            ("program", "inputs", "genesis state"),
            roots,
            (job.program_root, job.inputs_root, job.genesis),
            strict=True,
        ):
            _agree(f"{name} root", found, expected)
        counts = (len(self.program.nodes), len(self.program.slots), len(self.program.inputs))
        geometry = job.geometry
        if counts != (geometry.n_nodes, geometry.n_slots, geometry.n_inputs):
            raise MismatchError(
                f"the program has {counts} nodes, slots and inputs, the terms say "
                f"{(geometry.n_nodes, geometry.n_slots, geometry.n_inputs)}; do not follow this job"
            )


def commit(
    program: Program, inputs: Sequence[Words], genesis: Sequence[Words], tensor_height: int, input_height: int
) -> tuple[bytes, bytes, bytes]:
    """Return program root (C-8), inputs root (C-7) and genesis state root (C-6).

    Args:
        inputs, genesis: flat uint32 words.
        tensor_height, input_height: H and I of the job (C-5).
    """
    leaves = [sha256(node.encode()).digest() for node in program.nodes]
    inputs_tree = Tree([tensor_root(words, input_height) for words in inputs], height(len(inputs)))
    state = state_tree([tensor_root(words, tensor_height) for words in genesis])
    return Tree(leaves, height(len(leaves) + 1)).root, inputs_tree.root, state.root


def manifest_bytes(program: Program, captured: dict[str, Any]) -> bytes:
    """Return the bytes whose sha256 is the manifest word of the terms (U-1)."""
    specs = {
        kind: [{"name": s.name, "shape": list(s.shape), "dtype": s.dtype} for s in tensors]
        for kind, tensors in (("slots", program.slots), ("inputs", program.inputs))
    }
    data = {
        "program": specs
        | {"labels": list(program.labels), "links": list(program.links), "loss": program.loss},
        "capture": captured,
    }
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def job_of_words(words: Sequence[int]) -> Job:
    """Return the job in the words of U-1. Raises MalformedError if they are not such words."""
    try:
        chain_id, board, requester, *rest = words
        hashes, numbers = [word.to_bytes(32) for word in rest[:6]], rest[6:]
        return Job(
            chain_id=chain_id,
            board=board.to_bytes(20),
            requester=requester.to_bytes(20),
            salt=hashes[0],
            manifest=hashes[1],
            program_root=hashes[2],
            inputs_root=hashes[3],
            genesis=hashes[4],
            seed=hashes[5],
            geometry=Geometry.unpack(numbers[0]),
            clocks=Clocks.unpack(numbers[1]),
            expiry=numbers[2],
            money=Money(**dict(zip(Money.__dataclass_fields__, numbers[3:-4], strict=True))),
            audit=Audit(
                auditor=numbers[-4].to_bytes(20),
                demand_until=numbers[-3],
                answer_time=numbers[-2],
                demand_fee=numbers[-1],
            ),
        )
    except (ValueError, OverflowError, IndexError, TypeError) as error:
        raise MalformedError(f"the terms are not the {12 + 10 + 4} words of U-1: {error}") from error


def save_words(path: Path, tensors: Sequence[Words]) -> None:
    """Write flat uint32 arrays as safetensors, named by number (S-2). Raises StorageError if it cannot."""
    with written(path) as file:
        file.writelines(chunks(tensors))


def load_words(path: Path, extents: Sequence[int]) -> tuple[Words, ...]:
    """Read what `save_words` wrote.

    Args:
        extents: words of each tensor.

    Raises:
        MalformedError: it does not hold these tensors.
        StorageError: it cannot be read.
    """
    with opened(path, limit=size_of(extents)) as file:
        return read_words(file, extents, what=str(path))


def _terms_bytes(job: Job) -> bytes:
    terms = {"format": FORMAT, "job": job.job_id.hex(), "words": [hex(word) for word in job.words()]}
    return (json.dumps(terms, indent=2) + "\n").encode()


def _read_terms(path: Path) -> Job:
    """The job in job.json; raises as `JobFolder.load`."""
    data = read_file(path, limit=MAX_TERMS)
    terms = read_json(data, what=str(path), limit=MAX_TERMS)
    try:
        if terms["format"] != FORMAT:
            raise MalformedError(f"its format is {terms['format']!r:.40}, not {FORMAT!r}")
        job = job_of_words([int(word, 16) for word in terms["words"]])
        _agree("job id", job.job_id, bytes.fromhex(terms["job"]))
    except MalformedError as error:
        raise MalformedError(f"{path}: {error}; get the requester's copy") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise MalformedError(
            f"{path} does not hold the terms of a job ({error!r}); make one with `gavel job new`, or get the "
            "requester's copy"
        ) from error
    if data != _terms_bytes(job):
        raise MalformedError(f"{path} is not written as gavel writes it; get the requester's copy")
    return job


def _read_manifest(manifest: dict[str, Any], descriptors: bytes) -> tuple[Program, dict[str, Any]]:
    data = manifest["program"]
    if len(descriptors) % DESCRIPTOR_BYTES:
        raise MalformedError(
            f"program.bin has {len(descriptors)} bytes, no multiple of {DESCRIPTOR_BYTES}: it is cut or "
            "damaged; get the job folder again"
        )
    nodes: list[Node] = [
        check_descriptor(descriptors[at : at + DESCRIPTOR_BYTES])
        for at in range(0, len(descriptors), DESCRIPTOR_BYTES)
    ]
    program = Program(
        nodes=tuple(nodes),
        labels=tuple(str(label) for label in data["labels"]),
        slots=tuple(_spec(entry) for entry in data["slots"]),
        inputs=tuple(_spec(entry) for entry in data["inputs"]),
        links=tuple(int(link) for link in data["links"]),
        loss=int(data["loss"]),
    )
    return program, dict(manifest["capture"])


def _spec(entry: dict[str, Any]) -> TensorSpec:
    shape = entry["shape"]
    if not all(type(size) is int and 0 <= size < 1 << 32 for size in shape) or entry["dtype"] not in DTYPES:
        raise MalformedError(f"a tensor of shape {shape!r:.80} and dtype {entry['dtype']!r:.20} has no words")
    return TensorSpec(name=str(entry["name"]), shape=tuple(shape), dtype=entry["dtype"])


def _agree(what: str, found: bytes, expected: bytes) -> None:
    if found != expected:
        raise MismatchError(
            f"the {what} is {found.hex()}, committed is {expected.hex()}; this is not the job's data: "
            "get it from somewhere else"
        )
