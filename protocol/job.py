"""A job: what determines one training trajectory, and the terms it is paid on (updates.md, U-1)."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from protocol.commitments.tree import height, list_levels
from protocol.errors import MalformedError, UsageError

_GEOMETRY_WIDTHS = (32, 32, 24, 8, 32, 32, 32, 32, 8, 8, 8, 8)
_CLOCK_WIDTHS = (32,) * 8


def _pack(values: tuple[int, ...], widths: tuple[int, ...], what: str) -> int:
    word = 0
    for value, width in zip(values, widths, strict=True):
        if not 0 <= value < 1 << width:
            raise MalformedError(f"{what}: {value} does not fit in {width} bits (U-1)")
        word = word << width | value
    return word


def _unpack(word: int, widths: tuple[int, ...]) -> tuple[int, ...]:
    values = []
    for width in reversed(widths):
        values.append(word & ((1 << width) - 1))
        word >>= width
    return tuple(reversed(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Sizes and tree shapes of a job. Packed into one word in field order (U-1).

    Attributes:
        n_nodes, n_slots, n_inputs: nodes of the program, slots of the state, inputs (0 is the link table).
        input_height: I, of trees of inputs (C-5).
        n_rows, batch: rows of the dataset, rows of a step.
        steps, stride: T and C, in steps.
        max_segments: most segments in one update.
        tensor_height: H, of trees of node outputs and slots (C-5).
        fanout_log2: most levels of a tree in one child list, 1 to 10.
        range_log2: cap on the length of a fold range (P-12).
    """

    n_nodes: int
    n_slots: int
    n_inputs: int
    input_height: int
    n_rows: int
    batch: int
    steps: int
    stride: int
    max_segments: int
    tensor_height: int
    fanout_log2: int
    range_log2: int

    def pack(self) -> int:
        """The packed word. Raises MalformedError if a field does not fit."""
        values = tuple(getattr(self, f.name) for f in fields(self))
        return _pack(values, _GEOMETRY_WIDTHS, "geometry")

    @classmethod
    def unpack(cls, word: int) -> Geometry:
        """The geometry in a packed word."""
        names = [f.name for f in fields(cls)]
        return cls(**dict(zip(names, _unpack(word, _GEOMETRY_WIDTHS), strict=True)))

    def levels(self, height: int) -> int:
        """Levels of one list under a subtree of this height (D-6)."""
        return list_levels(height, self.fanout_log2)

    @property
    def segments(self) -> int:
        """Segments of the whole job, ceil(T / C)."""
        return -(-self.steps // self.stride)

    def steps_of(self, segment: int) -> int:
        """Steps in one segment: min(C, T - kC) (U-4)."""
        return min(self.stride, self.steps - segment * self.stride)

    @property
    def steps_height(self) -> int:
        """Height of a steps tree (C-10)."""
        return height(self.stride + 1)

    @property
    def nodes_height(self) -> int:
        """Height of nodes and program trees (C-8, C-11)."""
        return height(self.n_nodes + 1)

    @property
    def state_height(self) -> int:
        """Height of a state tree (C-6)."""
        return height(self.n_slots)

    @property
    def inputs_height(self) -> int:
        """Height of the inputs tree (C-7)."""
        return height(self.n_inputs)

    @property
    def history_height(self) -> int:
        """Height of a history tree (C-9)."""
        return height(self.max_segments + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """Clocks of a job in seconds, packed into one word in field order (U-1).

    Attributes:
        window: W, in which an update can be challenged.
        replay: r, allowance per segment of an update.
        response: R, for one move.
        allowance: A, for building a trace.
        reserve: G, each side's reserve in a dispute.
        opening: V, from reservation to opening.
        lease: until a leaseholder must post.
        notice: from cancelling until nothing can be posted.
    """

    window: int
    replay: int
    response: int
    allowance: int
    reserve: int
    opening: int
    lease: int
    notice: int

    def pack(self) -> int:
        """The packed word. Raises MalformedError if a field does not fit."""
        return _pack(tuple(getattr(self, f.name) for f in fields(self)), _CLOCK_WIDTHS, "clocks")

    @classmethod
    def unpack(cls, word: int) -> Clocks:
        """The clocks in a packed word."""
        names = [f.name for f in fields(cls)]
        return cls(**dict(zip(names, _unpack(word, _CLOCK_WIDTHS), strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """Amounts of a job in the token's smallest unit (money.md).

    Attributes:
        update_bond, challenge_bond, defence_bond, lease_deposit: what a party locks.
        reward: per segment.
        gas_price: tokens per unit of gas.
        scheduled_gas: units of gas that one side of a worst-case dispute may need (M-1).
        bounty, tip: to who fells an update, to who settles.
        burn_bps: share of each lost bond that is burned, in 1/10000.
    """

    update_bond: int
    challenge_bond: int
    defence_bond: int
    lease_deposit: int
    reward: int
    gas_price: int
    scheduled_gas: int
    bounty: int
    tip: int
    burn_bps: int


NOBODY: Final = bytes(20)
"""The auditor of a job of which no page can be demanded (Y-1)."""

ANYBODY: Final = b"\xff" * 20
"""The auditor of a job of which anybody may demand pages (Y-1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Who may demand pages of a job's states, and how (availability.md).

    Attributes:
        auditor: 20 bytes: an address, `NOBODY` or `ANYBODY`.
        demand_until: timestamp in seconds after which nothing can be demanded.
        answer_time: seconds in which a demand is answered.
        demand_fee: tokens for a demand while fewer than 16 are open (Y-3).
    """

    auditor: bytes = NOBODY
    demand_until: int = 0
    answer_time: int = 0
    demand_fee: int = 0

    def allows(self, asker: bytes) -> bool:
        """Whether the asker, 20 bytes, may demand pages (Y-1)."""
        return self.auditor == ANYBODY or self.auditor == asker != NOBODY


NO_AUDIT: Final = Audit()
"""Nobody may demand pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The terms of a job. Addresses are 20 bytes, hashes 32 bytes; ``expiry`` is a timestamp in seconds."""

    chain_id: int
    board: bytes
    requester: bytes
    salt: bytes
    manifest: bytes
    program_root: bytes
    inputs_root: bytes
    genesis: bytes
    seed: bytes
    geometry: Geometry
    clocks: Clocks
    expiry: int
    money: Money
    audit: Audit = NO_AUDIT

    def words(self) -> tuple[int, ...]:
        """The 32-byte words of U-1 as integers, in order; also the fields of the contract's struct."""
        money = self.money
        return (
            self.chain_id,
            *(int.from_bytes(value) for value in (self.board, self.requester, self.salt, self.manifest)),
            *(int.from_bytes(v) for v in (self.program_root, self.inputs_root, self.genesis, self.seed)),
            self.geometry.pack(),
            self.clocks.pack(),
            self.expiry,
            *(getattr(money, f.name) for f in fields(money)),
            int.from_bytes(self.audit.auditor),
            self.audit.demand_until,
            self.audit.answer_time,
            self.audit.demand_fee,
        )

    @property
    def job_id(self) -> bytes:
        """sha256 of the concatenated words (C-14). Raises MalformedError if a value does not fit its word."""
        try:
            return hashlib.sha256(b"".join(word.to_bytes(32) for word in self.words())).digest()
        except OverflowError as error:
            raise MalformedError("terms of the job: a value does not fit 256 bits (U-1)") from error

    def terms(self) -> tuple[Any, ...]:
        """The values of the contract's ``Terms`` struct, in order, as web3 encodes them."""
        words = self.words()
        auditor = "0x" + self.audit.auditor.hex()
        roots = (self.salt, self.manifest, self.program_root, self.inputs_root, self.genesis, self.seed)
        first = (words[0], "0x" + self.board.hex(), "0x" + self.requester.hex())
        return (*first, *roots, *words[9:-4], auditor, *words[-3:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A named set of parameters (specs/presets): with what demands take (Y-2, Y-3)."""

    name: str
    max_segments: int
    fanout_log2: int
    range_log2: int
    clocks: Clocks
    money: Money
    answer_time: int
    demand_fee: int


def load_preset(name: str, folder: Path | None = None) -> Preset:
    """A preset from ``specs/presets`` of the repository, or of ``folder``.

    Presets are part of the specification and not of an installed wheel: there, ``folder`` names a copy.

    Raises:
        UsageError: there is no such preset.
        MalformedError: it is not what U-1 needs.
    """
    path = (folder or Path(__file__).resolve().parent.parent / "specs" / "presets") / f"{name}.toml"
    try:
        data = tomllib.loads(path.read_text())
        clocks, money = Clocks(**data["clocks"]), Money(**data["money"])
        return Preset(name=name, clocks=clocks, money=money, **data["geometry"], **data["availability"])
    except OSError as error:
        raise UsageError(
            f"there is no preset {name!r} at {path}: presets are read from the specs of a checkout; install "
            "gavel from one with `pip install -e`, and use one of specs/presets"
        ) from error
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise MalformedError(f"preset {name!r} at {path} is not what U-1 needs: {error}") from error
