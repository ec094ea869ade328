"""What the ghost knows of a job's terms (updates.md, U-1; money.md, M-2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tests.stateful.ghost_base import NOBODY, Conditions, digest, height
from tests.stateful.ghost_program import Shape

TERMS: Final = [
    "chain_id",
    "board",
    "requester",
    "salt",
    "manifest",
    "program_root",
    "inputs_root",
    "genesis",
    "seed",
    "geometry",
    "clocks",
    "expiry",
    "update_bond",
    "challenge_bond",
    "defence_bond",
    "lease_deposit",
    "reward",
    "gas_price",
    "scheduled_gas",
    "bounty",
    "tip",
    "burn_bps",
    "auditor",
    "demand_until",
    "answer_time",
    "demand_fee",
]
GEOMETRY: Final = (
    ("n_nodes", 32),
    ("n_slots", 32),
    ("n_inputs", 24),
    ("input_height", 8),
    ("n_rows", 32),
    ("batch", 32),
    ("steps", 32),
    ("stride", 32),
    ("max_segments", 8),
    ("tensor_height", 8),
    ("fanout_log2", 8),
    ("range_log2", 8),
)
CLOCKS: Final = tuple(
    (name, 32)
    for name in ["window", "replay", "response", "allowance", "reserve", "opening", "lease", "notice"]
)
AMOUNTS: Final = [
    "update_bond",
    "challenge_bond",
    "defence_bond",
    "lease_deposit",
    "reward",
    "gas_price",
    "bounty",
    "tip",
    "demand_fee",
]
ANSWER_GAS: Final = 300_000
ANYBODY: Final = "0x" + "ff" * 20


def unpacked(word: int, fields: Sequence[tuple[str, int]]) -> dict[str, int]:
    """The fields of a packed word, the first one most significant; there are 256 bits of them."""
    values = {}
    for name, width in reversed(fields):
        values[name] = word % (1 << width)
        word >>= width
    return values


def packed(values: dict[str, int], fields: Sequence[tuple[str, int]]) -> int:
    """The word of its fields."""
    word = 0
    for name, width in fields:
        word = word << width | values[name]
    return word


class GhostTerms:
    """The terms of one job, as attributes: the words of U-1, and the fields of geometry and clocks."""

    chain_id: int
    board: str
    requester: str
    program_root: bytes
    inputs_root: bytes
    genesis: bytes
    seed: bytes
    geometry: int
    clocks: int
    expiry: int
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
    auditor: str
    demand_until: int
    answer_time: int
    demand_fee: int
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
    window: int
    replay: int
    response: int
    allowance: int
    reserve: int
    opening: int
    lease: int
    notice: int

    def __init__(self, words: Sequence[Any]) -> None:
        """The values of the struct, in order."""
        self.words = tuple(words)
        named = dict(zip(TERMS, self.words, strict=True))
        vars(self).update(named)
        vars(self).update(unpacked(named["geometry"], GEOMETRY))
        vars(self).update(unpacked(named["clocks"], CLOCKS))

    @property
    def job(self) -> bytes:
        """C-14: the id."""
        return digest(*self.words)

    @property
    def segments(self) -> int:
        """S."""
        return -(-self.steps // self.stride)

    @property
    def gas_refund(self) -> int:
        """M-1, in tokens."""
        return self.gas_price * self.scheduled_gas

    def steps_of(self, segment: int) -> int:
        """U-4: the steps of a segment."""
        return min(self.stride, self.steps - segment * self.stride)

    def burned(self, bond: int) -> int:
        """The share of a lost bond that is burned."""
        return bond * self.burn_bps // 10_000

    def kept(self, bond: int) -> int:
        """keep(b) of M-2."""
        return bond * (10_000 - self.burn_bps) // 10_000

    def levels(self, tall: int) -> int:
        """The levels of one list under a subtree of a height: lists are balanced."""
        return -(-tall // -(-tall // self.fanout_log2)) if tall else 0

    @property
    def shape(self) -> Shape:
        """What proofs depend on."""
        return Shape(
            n_nodes=self.n_nodes,
            n_slots=self.n_slots,
            n_inputs=self.n_inputs,
            n_rows=self.n_rows,
            batch=self.batch,
            tensor_height=self.tensor_height,
            input_height=self.input_height,
            range_log2=self.range_log2,
        )

    def tree_height(self, kind: int) -> int:
        """Of STEPS (C-10) and NODES trees (C-11)."""
        return height(self.stride + 1) if kind == 1 else height(self.n_nodes + 1)

    def forbidden(self, if_: Conditions, *, now: int, chain_id: int, board: str, least_gas: int) -> None:
        """Note what keeps a job of these terms from being opened."""
        if_((self.chain_id, self.board) != (chain_id, board), "board: terms are for another board")
        counts = (self.n_nodes, self.n_slots, self.n_inputs, self.n_rows, self.batch, self.steps, self.stride)
        if_(0 in counts, "board: geometry is zero")
        if_(self.steps > 1 << 31 or self.stride > self.steps, "board: steps or stride")
        if_(self.max_segments > 63, "board: max_segments")
        if_(self.max_segments == 0, "board: max_segments", "board: geometry is zero")
        if_(self.tensor_height > 26, "board: tensor height")
        if_(self.input_height > 26, "board: input height")
        if_(not 1 <= self.fanout_log2 <= 10 or self.range_log2 > 6, "board: fan-out or range")
        if_(0 in (self.window, self.response, self.opening, self.lease), "board: a clock is zero")
        if_(self.expiry <= now, "board: expired")
        if_(any(getattr(self, name) >= 1 << 128 for name in AMOUNTS), "board: amount too large")
        if_(not 1000 <= self.burn_bps <= 9000, "board: burned share")
        if_(not least_gas <= self.scheduled_gas < 1 << 32, "board: scheduled gas")
        if_(self.auditor != NOBODY and not 1 <= self.answer_time < 1 << 32, "board: answer time")
        self._small(if_)

    def _small(self, if_: Conditions) -> None:
        """M-2."""
        owed = self.gas_refund + self.bounty + self.tip
        if_(self.kept(self.update_bond) < owed, "board: update bond too small")
        if_(self.kept(self.challenge_bond) < owed, "board: challenge bond too small")
        if_(self.kept(self.defence_bond) < self.gas_refund + self.tip, "board: defence bond too small")
        if_(self.kept(self.lease_deposit) < self.tip, "board: lease deposit too small")
        if_(self.reward < 1, "board: no reward")
        answer = self.gas_price * ANSWER_GAS
        if_(self.auditor != NOBODY and self.kept(self.demand_fee) < answer, "board: demand fee too small")
