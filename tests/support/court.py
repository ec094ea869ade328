"""A court on a fast EVM, with the real board, a verifier that says what it is told, and made-up commitments.

The trees of a candidate hold made-up hashes except where the rules ask for something: end points, pages,
accumulators. So a test steers a dispute to any place without a program; what leaves mean is tested with the
verifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Final

import pytest

from protocol.commitments.tree import ZERO, Tree, height, list_levels
from protocol.game.ids import Kind, candidate_id, dispute_id, position_id
from protocol.job import Geometry, Job, load_preset
from tests.support.evm import FastEvm, Handle, Reverted

SCHEDULED_GAS: Final = 5_000_000
RICH: Final = 10**15
NODES, SLOTS, TENSOR_HEIGHT, STRIDE, STEPS = 3, 2, 2, 3, 20
RANGES, FOLD, WORD = 5, 1, 0x3F800000
ACCUMULATOR: Final = b"\x01" + bytes(96)
OPEN, LOST, CLOSED = 1, 2, 3
STANDING, FALLEN = 1, 2
DEFENDER, CHALLENGER, WAITING, DEFENDER_LATE, CHALLENGER_LATE, BRANCH_CLOSED = 1, 2, 3, 4, 5, 6
BURN: Final = "0x000000000000000000000000000000000000dEaD"


def made_up(*what: object) -> bytes:
    """32 bytes that stand for a hash nobody knows the preimage of."""
    return sha256(repr(what).encode()).digest()


def state(n: int) -> bytes:
    """The state root at the end of segment n - 1; 0 is the genesis."""
    return made_up("state", n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """What `commit` posts at a position: a tree, the number of its last leaf, the accumulator of a FOLD."""

    position: bytes
    kind: Kind
    tree: Tree
    last: int
    fanout: int = 1
    accumulator: bytes = b""

    @property
    def candidate(self) -> bytes:
        """Id of the candidate."""
        return candidate_id(self.position, self.tree.root)

    def arguments(self) -> tuple[Any, ...]:
        """Of `commit`."""
        top, levels = self.tree.height, list_levels(self.tree.height, self.fanout)
        first = [] if self.kind == Kind.NODES else self.tree.path_between(0, 0, top - levels)
        last = self.tree.path_between(0, self.last, top - levels)
        children = self.tree.children(top, 0, levels)
        return self.position, children, first, last, self.accumulator


def pages(tag: object, *, absent: Sequence[int] = ()) -> list[bytes]:
    """The four pages of a made-up tensor; absent ones are empty."""
    return [b"" if i in absent else made_up("page", tag, i) * 8 for i in range(1 << TENSOR_HEIGHT)]


def page_tree(all_pages: Sequence[bytes], height_: int = TENSOR_HEIGHT) -> Tree:
    """The tree of a tensor."""
    return Tree([sha256(page).digest() if page else ZERO for page in all_pages], height_)


@dataclass
class CourtWorld:
    """Token, board, verifier mock and court; a job; people with tokens."""

    geometry: dict[str, int] = field(default_factory=dict)
    evm: FastEvm = field(default_factory=FastEvm)
    requester: str = FastEvm.account(1)
    trainer: str = FastEvm.account(2)
    second: str = FastEvm.account(3)
    watcher: str = FastEvm.account(4)
    other: str = FastEvm.account(5)
    third: str = FastEvm.account(6)
    deployer: str = FastEvm.account(7)
    availability: str = FastEvm.account(8)
    governor: str = FastEvm.account(9)

    def __post_init__(self) -> None:
        self.token = self.evm.deploy("OddToken")
        self.board: Handle = self.evm.deploy(
            "JobBoard", self.token.address, SCHEDULED_GAS, sender=self.deployer
        )
        self.verifier = self.evm.deploy("VerifierMock")
        self.court = self.evm.deploy("Court", self.board.address, self.verifier.address)
        self.board.call("bind", self.court.address, self.availability, self.governor, sender=self.deployer)
        self.verifier.call("set_fold", FOLD, RANGES, WORD)
        for who in self.people:
            self.token.call("mint", who, RICH)
            self.token.call("approve", self.board.address, 2**255, sender=who)
        self.terms = self._terms()
        self.clocks, self.money = self.terms.clocks, self.terms.money
        self.job = bytes(self.board.call("open_job", self.terms.terms(), sender=self.requester))

    @property
    def people(self) -> tuple[str, ...]:
        """Everybody with tokens."""
        return (self.requester, self.trainer, self.second, self.watcher, self.other, self.third)

    def _terms(self) -> Job:
        preset = load_preset("minimal")
        geometry = Geometry(
            n_nodes=NODES,
            n_slots=SLOTS,
            n_inputs=2,
            input_height=1,
            n_rows=10,
            batch=2,
            steps=STEPS,
            stride=STRIDE,
            max_segments=preset.max_segments,
            tensor_height=TENSOR_HEIGHT,
            fanout_log2=1,
            range_log2=1,
        )
        return Job(
            chain_id=1,
            board=bytes.fromhex(self.board.address[2:]),
            requester=bytes.fromhex(self.requester[2:]),
            salt=bytes(32),
            manifest=made_up("manifest"),
            program_root=made_up("program"),
            inputs_root=made_up("inputs"),
            genesis=state(0),
            seed=made_up("seed"),
            geometry=replace(geometry, **self.geometry),
            clocks=preset.clocks,
            expiry=self.evm.timestamp + 10**6,
            money=preset.money,
        )

    @property
    def now(self) -> int:
        """The time of the next call's block."""
        return self.evm.timestamp

    def at(self, time: int) -> None:
        """Set the time of the next call's block."""
        self.evm.timestamp = time

    def wait(self, seconds: int) -> None:
        """Let seconds pass."""
        self.evm.timestamp += seconds

    # ---------------------------------------------------------------- updates and disputes

    def post(self, segments: int = 2, *, sender: str | None = None, lease: bool = True) -> bytes:
        """Post the next segments with the states of `state`; returns the update id."""
        sender = sender or self.trainer
        tip, first, _ = self.board.call("tip", self.job)
        if lease:
            self.board.call("lease", self.job, sender=sender)
        states = [state(first + i + 1) for i in range(segments)]
        return bytes(self.board.call("post", self.job, tip if any(tip) else self.job, states, sender=sender))

    def history(self, first: int = 0, segments: int = 2) -> Tree:
        """The history tree of an update (C-9)."""
        return Tree([state(first + i) for i in range(segments + 1)], self.terms.geometry.history_height)

    def digest(self, update: bytes, segment: int, sender: str, salt: int = 0) -> bytes:
        """What a dispute is reserved with, and its id."""
        challenger = bytes.fromhex(sender[2:])
        return dispute_id(update=update, segment=segment, challenger=challenger, salt=salt.to_bytes(32))

    def reserve(self, update: bytes, *, segment: int = 0, sender: str | None = None, salt: int = 0) -> bytes:
        """Reserve a dispute; returns its id."""
        sender = sender or self.watcher
        digest = self.digest(update, segment, sender, salt)
        self.court.call("reserve", self.job, digest, sender=sender)
        return digest

    def open_arguments(
        self, update: bytes, *, segment: int = 0, salt: int = 0, first: int = 0, segments: int = 2
    ) -> list[Any]:
        """The arguments of `open` for a segment of an update that starts at segment `first`."""
        tree, place = self.history(first, segments), segment - first
        leaves = [tree.node(0, place), tree.path(place), tree.node(0, place + 1), tree.path(place + 1)]
        return [update, segment, salt.to_bytes(32), *leaves]

    def open(
        self, update: bytes, *, segment: int = 0, sender: str | None = None, salt: int = 0, **where: int
    ) -> bytes:
        """Open a reserved dispute; returns its id."""
        arguments = self.open_arguments(update, segment=segment, salt=salt, **where)
        return bytes(self.court.call("open", *arguments, sender=sender or self.watcher))

    def dispute(self, update: bytes, *, sender: str | None = None, **where: int) -> bytes:
        """Reserve and open; returns the dispute id."""
        names = {"segment", "salt"}
        self.reserve(update, sender=sender, **{k: v for k, v in where.items() if k in names})
        return self.open(update, sender=sender, **where)

    # ---------------------------------------------------------------- commitments

    def steps(self, update: bytes, *, segment: int = 0, tag: object = "") -> Commitment:
        """A made-up STEPS commitment with the right end points."""
        g = self.terms.geometry
        n = g.steps_of(segment)
        middle = [made_up("step", tag, segment, i) for i in range(1, n)]
        return Commitment(
            position=position_id(update, Kind.STEPS, segment),
            kind=Kind.STEPS,
            tree=Tree([state(segment), *middle, state(segment + 1)], g.steps_height),
            last=n,
            fanout=g.fanout_log2,
        )

    def nodes(
        self, above: Commitment, step: int, *, tag: object = "", outputs: Sequence[bytes] | None = None
    ) -> Commitment:
        """A NODES commitment under a STEPS candidate; `outputs` are the roots of the nodes' tensors."""
        g = self.terms.geometry
        outputs = outputs or [page_tree(pages((tag, k)), g.tensor_height).root for k in range(g.n_nodes)]
        return Commitment(
            position=position_id(above.candidate, Kind.NODES, step),
            kind=Kind.NODES,
            tree=Tree([*outputs, above.tree.node(0, step)], g.nodes_height),
            last=g.n_nodes,
            fanout=g.fanout_log2,
        )

    def fold(self, above: Commitment, node: int, word: int, *, tag: object = "") -> Commitment:
        """A FOLD commitment under a NODES candidate, with the mock's number of ranges."""
        middle = [made_up("range", tag, i) for i in range(1, RANGES)]
        ends = sha256(bytes(97)).digest(), sha256(ACCUMULATOR).digest()
        return Commitment(
            position=position_id(above.candidate, Kind.FOLD, node, word),
            kind=Kind.FOLD,
            tree=Tree([ends[0], *middle, ends[1]], height(RANGES + 1)),
            last=RANGES,
            fanout=self.terms.geometry.fanout_log2,
            accumulator=ACCUMULATOR,
        )

    def commit(self, what: Commitment, *, sender: str | None = None) -> bytes:
        """Post a candidate; returns its id."""
        arguments = what.arguments()
        return bytes(self.court.call("commit", *arguments, sender=sender or self.trainer))

    # ---------------------------------------------------------------- moves

    def select(
        self, dispute: bytes, at: Commitment, tree: Tree, level: int, index: int, *, sender: str | None = None
    ) -> None:
        """Select node `index` of `level` of a tree that the cursor is in, one level down."""
        self.court.call(
            "select",
            dispute,
            at.candidate,
            index & 1,
            tree.node(level, index),
            tree.path_between(level, index, level + 1),
            sender=sender or self.watcher,
        )

    def reveal(self, tree: Tree, level: int, index: int) -> None:
        """Reveal the two children of node (level, index)."""
        self.court.call("reveal", tree.children(level, index, 1), sender=self.trainer)

    def step_arguments(self, dispute: bytes, at: Commitment, step: int) -> list[Any]:
        """The arguments of `select_step` at the last level of a STEPS tree, for fan-out 2."""
        leaf, path = at.tree.node(0, step), at.tree.path_between(0, step, 1)
        before = at.tree.node(0, step - 1), at.tree.path(step - 1)
        return [dispute, at.candidate, step & 1, leaf, path, *before]

    def select_step(self, dispute: bytes, at: Commitment, step: int, *, sender: str | None = None) -> bytes:
        """Walk down a STEPS tree of height 2 to a step; returns the NODES position."""
        self.select(dispute, at, at.tree, 1, step >> 1, sender=sender)
        if not self.court.call("revealed_at", at.tree.node(1, step >> 1), 1):
            self.reveal(at.tree, 1, step >> 1)
        arguments = self.step_arguments(dispute, at, step)
        return bytes(self.court.call("select_step", *arguments, sender=sender or self.watcher))

    def select_leaf(self, dispute: bytes, at: Commitment, leaf: int, *, sender: str | None = None) -> None:
        """Walk down a NODES tree of height 2 to a leaf."""
        self.select(dispute, at, at.tree, 1, leaf >> 1, sender=sender)
        if not self.court.call("revealed_at", at.tree.node(1, leaf >> 1), 1):
            self.reveal(at.tree, 1, leaf >> 1)
        self.select(dispute, at, at.tree, 0, leaf, sender=sender)

    def select_page(
        self, dispute: bytes, at: Commitment, tensor: Tree, page: int, *, sender: str | None = None
    ) -> None:
        """Walk down a tensor of height 2 to a page, revealing on the way."""
        for level in (2, 1):
            if not self.court.call("revealed_at", tensor.node(level, page >> level), 1):
                self.reveal(tensor, level, page >> level)
            self.select(dispute, at, tensor, level - 1, page >> (level - 1), sender=sender)

    def judge(self, dispute: bytes, candidate: bytes, fault: bool, *, sender: str | None = None) -> None:
        """Prove, with the verdict that the mock is to give."""
        self.verifier.call(
            "judge", self.court.address, dispute, candidate, fault, sender=sender or self.watcher
        )

    def tell(self, reason: str, dispute: bytes, candidate: bytes, prover: str, fault: bool) -> None:
        """Assert that the court refuses a verdict of its verifier for this reason."""
        with pytest.raises(Reverted) as refusal:
            self.verifier.call("tell", self.court.address, dispute, candidate, prover, fault)
        assert refusal.value.reason == reason

    # ---------------------------------------------------------------- what is seen

    def refused(self, reason: str, function: str, *args: Any, sender: str | None = None) -> None:
        """Assert that the court refuses a call for exactly this reason."""
        with pytest.raises(Reverted) as refusal:
            self.court.call(function, *args, sender=sender or self.watcher)
        assert refusal.value.reason == reason

    def status(self, dispute: bytes, candidate: bytes) -> int:
        """What the classifier says of a branch now."""
        return int(self.court.call("classify", dispute, candidate)[0])

    def view(self, name: str, *args: Any) -> dict[str, Any]:
        """A struct that a view returns, by field names."""
        entry = next(e for e in self.court.artifact.abi if e.get("name") == name and e["type"] == "function")
        names = [component["name"] for component in entry["outputs"][0]["components"]]
        return dict(zip(names, self.court.call(name, *args), strict=True))

    def credit(self, who: str) -> int:
        """Credit of an account in the board's ledger."""
        return int(self.board.call("credit", who))

    def open_disputes(self, update: bytes) -> int:
        """How many disputes the board counts as open."""
        entry = next(e for e in self.board.artifact.abi if e.get("name") == "update_info")
        names = [component["name"] for component in entry["outputs"][0]["components"]]
        return int(self.board.call("update_info", update)[names.index("open_disputes")])

    def free_tokens(self) -> int:
        """Tokens that the board holds beyond its credits (I-1): locked bonds, deposits, unspent rewards."""
        owed = sum(self.credit(who) for who in (*self.people, self.evm.account(0), BURN))
        return int(self.token.call("balanceOf", self.board.address)) - owed
