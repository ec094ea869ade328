"""A small program with everything that a dispute can meet, and a table at which parties play the model."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

import numpy as np

from challenger.solver import Challenger, solve
from protocol.errors import RefusedError
from protocol.game import moves as m
from protocol.game import rules
from protocol.game.ids import Kind
from protocol.game.model import Model
from protocol.game.openings import Openings
from protocol.game.toy import ToyTrace
from protocol.game.trace import HONEST, Hooks
from protocol.job import Geometry, Job, Preset, load_preset
from protocol.program.address import extent
from protocol.program.descriptor import CARRIED, LeafKind, Source
from protocol.program.program import Program, TensorSpec
from prover.defence import Defender, defend, freed
from tests.support.programs import ADD, COPY, IADD, MAX, MUL, NONE, SUM, Example, floats, integer, node, view

REQUESTER, TRAINER, WATCHER, OTHER = (bytes([i]) * 20 for i in (0xA1, 0xA2, 0xA3, 0xA4))
PARTIES = (REQUESTER, TRAINER, WATCHER, OTHER)
PURSE = 10**12
TICK = 15
STEPS, STRIDE = 7, 4

NEW_MODEL: ContextVar[Callable[[], Model]] = ContextVar("new_model", default=Model)
"""What `table` plays on: the model alone, or one that the contracts follow (tests.support.lockstep)."""


def machine(*, wide: int = 130) -> Example:
    """Five nodes and five slots: a long sum, a map of it, a wide map, a long maximum, a short sum, a
    carried slot.

    Args:
        wide: words of the wide slot; 130 make three pages of four, so that there is padding of every kind.
    """
    state, data, of = Source.STATE, Source.INPUT, Source.NODE
    nodes = (
        node(SUM, (3,), (5,), (0, 1, MUL), view(data, 1, (5,), (0, 1)), view(state, 0, (3,), (1, 0))),
        node(NONE, (3,), (), (0, 1, ADD), view(state, 0, (3,), (1,)), view(of, 0, (3,), (1,))),
        node(NONE, (wide,), (), (0, 1, IADD), view(state, 1, (wide,), (1,)), integer(LeafKind.INDEX, 3)),
        node(MAX, (), (3,), (0,), view(of, 1, (3,), (1,))),
        node(SUM, (), (2,), (0, 1, MUL), view(of, 1, (3,), (1,)), view(data, 1, (5,), (2,))),
        node(NONE, (2,), (), (0, COPY), view(state, 4, (2,), (1,))),
    )
    links = (1, 2, 3, 4, 5, CARRIED)
    names = ("weights", "wide", "largest", "short", "copied", "carried")
    sizes = (3, wide, 1, 1, 2, 1)
    program = Program(
        nodes=nodes,
        labels=("sum", "next weights", "next wide", "largest", "short", "copied"),
        slots=tuple(TensorSpec(name=n, shape=(s,), dtype="f32") for n, s in zip(names, sizes, strict=True)),
        inputs=(
            TensorSpec(name="links", shape=(len(links),), dtype="i32"),
            TensorSpec(name="x", shape=(5,), dtype="f32"),
        ),
        links=links,
        loss=3,
    )
    return Example(
        program=program,
        inputs=(np.array(links, dtype=np.uint32), floats([0.5, -0.25, 0.125, 1.0, 0.75])),
        state=(
            floats([1.0, 2.0, -3.0]),
            np.arange(1, wide + 1, dtype=np.uint32),
            floats([2.0]),
            floats([0.0]),
            floats([4.0, 5.0]),
            floats([6.0]),
        ),
        seed=bytes(range(32)),
        n_rows=1,
        batch=1,
        range_log2=1,
    )


RACES = frozenset(
    {
        "court: revealed before",
        "court: page revealed before",
        "court: candidate exists",
        "court: fallen above",
        "court: branch is closed",
        "court: defence is not late",
    }
)
"""Refusals of a move that somebody else made just before."""


@dataclass(slots=True)
class Entry:
    """One line of a game's log; `leaf` says what a proof opened, `refused` why a move was."""

    time: int
    sender: bytes
    move: m.Move
    refused: str | None = None
    leaf: str | None = None


@dataclass(slots=True)
class Table:
    """A job on the model, its parties, and everything they did.

    Attributes:
        honest: parties whom the rules protect, checked after every move.
        races: refusals that a player may meet; any other is a bug of a player.
    """

    example: Example
    job: Job
    model: Model
    truth: Openings
    honest: frozenset[bytes] = frozenset()
    log: list[Entry] = field(default_factory=list)
    races: frozenset[str] = RACES

    def openings(self, hooks: Hooks = HONEST) -> Openings:
        """One party's trace of the job; the honest one is shared."""
        if hooks is HONEST:
            return self.truth
        trace = ToyTrace(self.example.interpreter(), self.example.state, hooks=hooks)
        return Openings(geometry=self.job.geometry, program=self.example.program, trace=trace)

    def send(self, sender: bytes, move: m.Move) -> object:
        """Make a move; every rule is checked afterwards. Raises RefusedError as the model does."""
        entry = Entry(self.model.now(), sender, move)
        self.log.append(entry)
        try:
            if isinstance(move, m.Prove):
                entry.leaf = self._leaf(move)
            result = self.model.apply(sender, move)
        except RefusedError as error:
            entry.refused = error.reason
            raise
        rules.check(self.model, rules.Protected(honest=self.honest, purse=PURSE, truth=self.truth))
        return result

    def _leaf(self, move: m.Prove) -> str:
        context = self.model.court.proof_context(move.dispute, move.candidate)
        below = 6 if context.kind == Kind.PAGE else context.cursor_height
        place = (context.cursor_index << below) + move.index
        geometry = self.job.geometry
        if context.kind == Kind.FOLD:
            return "range"
        if context.kind == Kind.STATE:
            return "link" if place < geometry.n_slots else "zero slot"
        node_extent = extent(self.example.program.nodes[context.node], geometry.tensor_height)
        if context.kind == Kind.TENSOR:
            return "absent page" if 64 * place < node_extent else "zero page"
        return "word" if place < node_extent else "zero word"

    def post(self, openings: Openings, *, segments: int, sender: bytes = TRAINER) -> bytes:
        """Lease if need be, and post the next segments of a trace; returns the update id."""
        record = self.model.board.jobs[self.job.job_id]
        if record.leaseholder is None:
            self.send(sender, m.Lease(job=self.job.job_id))
        first = self.model.board.next_segment(self.job.job_id)
        states = tuple(segment_end(openings, first + i) for i in range(segments))
        update = self.send(
            sender,
            m.Post(job=self.job.job_id, parent=self.model.board.parent(self.job.job_id), states=states),
        )
        assert isinstance(update, bytes)
        return update

    def play(
        self,
        players: Sequence[Player],
        *,
        until: int,
        while_: Callable[[], bool] = lambda: True,
        tick: int = TICK,
    ) -> None:
        """Let the players move in turn, as long as there are moves, then let time pass, up to `until`.

        Args:
            while_: the game ends when this no longer holds.
        """
        while while_():
            while sum(self._turn(player) for player in players):
                pass
            if self.model.now() >= until:
                return
            self.model.advance(min(tick, until - self.model.now()))

    def _turn(self, player: Player) -> bool:
        moved = False
        for sender, move in player(self.model):
            try:
                self.send(sender, move)
                moved = True
            except RefusedError as error:
                if error.reason not in self.races:
                    raise
        return moved

    def decided(self) -> Counter[str]:
        """What felled candidates and lost disputes: leaves of proofs, and the names of other moves that
        end things.
        """
        ends = (m.Silence, m.Timeout, m.Settle)
        done = [entry for entry in self.log if entry.refused is None]
        leaves = [entry.leaf for entry in done if entry.leaf is not None]
        return Counter(leaves + [type(e.move).__name__.lower() for e in done if isinstance(e.move, ends)])

    def moves(self, *kinds: type) -> list[Entry]:
        """Accepted moves of these types."""
        return [entry for entry in self.log if entry.refused is None and isinstance(entry.move, kinds)]


Player = Callable[[Model], Iterable[tuple[bytes, m.Move]]]


def segment_end(openings: Openings, segment: int) -> bytes:
    """The state root that a trace has at the end of a segment."""
    geometry = openings.geometry
    return openings.trace.state_root(segment * geometry.stride + geometry.steps_of(segment))


def geometry_of(
    example: Example, preset: Preset, *, steps: int, stride: int, fanout_log2: int | None = None
) -> Geometry:
    """The geometry of a job over an example, with the tree shapes of a preset."""
    interpreter = example.interpreter()
    return Geometry(
        n_nodes=len(example.program.nodes),
        n_slots=len(example.program.slots),
        n_inputs=len(example.inputs),
        n_rows=example.n_rows,
        batch=example.batch,
        steps=steps,
        stride=stride,
        max_segments=preset.max_segments,
        tensor_height=interpreter.tensor_height,
        input_height=interpreter.input_height,
        fanout_log2=fanout_log2 or preset.fanout_log2,
        range_log2=example.range_log2,
    )


def table(
    example: Example | None = None,
    *,
    steps: int = STEPS,
    stride: int = STRIDE,
    fanout_log2: int | None = None,
    honest: Iterable[bytes] = (),
    truth: Openings | None = None,
) -> Table:
    """An open and funded job of the minimal preset; every party has a purse of tokens.

    Args:
        truth: openings of another table of the same shape, to share what was computed.
    """
    example = example or machine()
    if truth is None:
        geometry = geometry_of(
            example, load_preset("minimal"), steps=steps, stride=stride, fanout_log2=fanout_log2
        )
        trace = ToyTrace(example.interpreter(), example.state)
        truth = Openings(geometry=geometry, program=example.program, trace=trace)
    return seated(example, truth, NEW_MODEL.get()(), honest)


def seated(example: Example, truth: Openings, model: Model, honest: Iterable[bytes] = ()) -> Table:
    """An open and funded job with the clocks and bonds of the minimal preset, and parties with purses."""
    preset = load_preset("minimal")
    for party in PARTIES:
        model.mint(party, PURSE)
    job = Job(
        chain_id=model.board.chain_id,
        board=model.board.address,
        requester=REQUESTER,
        salt=bytes(32),
        manifest=bytes(32),
        program_root=truth.program_tree().root,
        inputs_root=truth.inputs_tree().root,
        genesis=truth.trace.state_root(0),
        seed=example.seed,
        geometry=truth.geometry,
        clocks=preset.clocks,
        expiry=model.now() + 10**6,
        money=preset.money,
    )
    made = Table(example=example, job=job, model=model, truth=truth, honest=frozenset(honest))
    made.send(REQUESTER, m.OpenJob(terms=job))
    return made


# -------------------------------------------------------------------- players


def challenger(at: Table, openings: Openings, *, address: bytes = WATCHER) -> Player:
    """The solver with a trace, which need not be the right one."""
    me = Challenger(
        address=address,
        job=at.job,
        openings=openings,
        salt=lambda *_: bytes(32),
        first_difference=openings.first_difference,
    )
    return lambda model: [(address, move) for move in solve(model, me)]


def defender(
    at: Table, openings: Openings, *, address: bytes = TRAINER, trainer: bytes | None = None
) -> Player:
    """The defence with a trace, which need not be the right one; takes its bonds back when it can."""
    me = Defender(address=address, trainer=trainer or address, job=at.job, openings=openings)

    def turn(model: Model) -> list[tuple[bytes, m.Move]]:
        moves = defend(model, me)
        for update in model.board.updates:
            moves += freed(model, me, model.update(update))
        return [(address, move) for move in moves]

    return turn


def silenced(player: Player, *, after: int) -> Player:
    """A player that makes so many moves of a dispute and then none any more."""
    made = 0

    def turn(model: Model) -> list[tuple[bytes, m.Move]]:
        nonlocal made
        moves = list(player(model))[: max(0, after - made)]
        made += len(moves)
        return moves

    return turn


def holding_back(player: Player, kinds: type | tuple[type, ...], held: list[tuple[bytes, m.Move]]) -> Player:
    """A player whose moves of these kinds are put down in `held`, each turn anew, instead of made."""

    def turn(model: Model) -> list[tuple[bytes, m.Move]]:
        moves = list(player(model))
        held[:] = [sent for sent in moves if isinstance(sent[1], kinds)]
        return [sent for sent in moves if not isinstance(sent[1], kinds)]

    return turn


def at_time(model: Model, time: int) -> Model:
    """A copy of a model at a time, in seconds."""
    later = copy.deepcopy(model)
    later.advance(time - later.now())
    return later


def settled_by(at: Table, update: bytes) -> int:
    """I-7: the time by which a wrong update has fallen if it is disputed by its deadline."""
    return rules.fall_limit(at.model, update, at.example.program)


# -------------------------------------------------------------------- lies


def one_word(step: int, number: int, word: int, *, value: int | None = None) -> Hooks:
    """One wrong word of one node's output in one step; everything after it follows."""

    def output(now: int, node_: int, words: np.ndarray) -> np.ndarray:
        if (now, node_) != (step, number):
            return words
        words = words.copy()
        words[word] = words[word] ^ 1 if value is None else value
        return words

    return Hooks(output=output)


def reshaped(step: int, number: int, change: Callable[[np.ndarray], np.ndarray]) -> Hooks:
    """Another array instead of one node's output in one step."""
    return Hooks(output=lambda now, node_, words: change(words) if (now, node_) == (step, number) else words)


def slots(step: int, change: Callable[[list[np.ndarray]], list[np.ndarray]]) -> Hooks:
    """Other slots after one step than the links say."""
    return Hooks(next_state=lambda now, _, after: change(list(after)) if now == step else after)


def with_accumulators(hooks: Hooks, step: int, number: int, word: int, first: int, last_of: object) -> Hooks:
    """The hooks, and accumulators of one word that are false from index `first` on, ending at `last_of`."""

    def accumulators(now: int, node_: int, word_: int, honest: list) -> list:
        if (now, node_, word_) != (step, number, word):
            return honest
        return honest[:first] + [last_of] * (len(honest) - first)

    return replace(hooks, accumulators=accumulators)
