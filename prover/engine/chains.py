"""Chains of maps: several primitives over one nest, done block by block within the first cache.

A program says what every node writes; a step that only leads to the next state need not write all of it. Maps
over as many points become one step, which rounds after each primitive as the nodes do (N-1) and writes
those outputs that others read. One kernel runs all chains: it is given a list of primitives and registers, so
no program compiles anything of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from prover.engine import store
from prover.engine.codegen import BLOCK, HEADER, MAPS, indent
from prover.engine.layout import Operand, merge, row_major
from prover.engine.steps import PARALLEL_POINTS, Environment, MapStep, Runtime, Step

MEMBERS_MOST: Final = 24
"""Primitives of one chain: its registers stay in the first cache."""

_FILL_SIZES: Final = 5
_FILL_STRIDES: Final = 13
_FILL_WIDTH: Final = 21
_intrinsic: Final[Any] = intrinsic
_kernel: Final[Any] = njit(cache=True, error_model="numpy", nogil=True, fastmath=False, boundscheck=False)

_SOURCE: Final = '''
from prover.engine.chains import expand, words_at


@kernel
def run(members, bases, moves, fills, first, last):
    """Positions first to last - 1 of a chain; see ChainStep."""
    for position in range(first, last, {block}):
        width = min(np.int64({block}), last - position)
        for f in range(fills.shape[0]):
            expand(bases[fills[f, 0]], fills[f], position, width, position == first)
        for m in range(members.shape[0]):
            op = members[m, 0]
            target = words_at(bases[members[m, 1]] + moves[members[m, 1]] * position, width)
            w0 = words_at(bases[members[m, 2]] + moves[members[m, 2]] * position, width)
            w1 = words_at(bases[members[m, 3]] + moves[members[m, 3]] * position, width)
            w2 = words_at(bases[members[m, 4]] + moves[members[m, 4]] * position, width)
            f0 = w0.view(np.float32)
            f1 = w1.view(np.float32)
{body}'''


@_intrinsic
def words_at(_context: Any, _address: Any, _size: Any) -> Any:
    """A uint32 array over memory that somebody else owns."""
    array = types.Array(types.uint32, 1, "C")

    def generate(context: Any, b: Any, _signature: Any, values: Any) -> Any:
        made = context.make_array(array)(context, b)
        pointer = b.inttoptr(values[0], context.get_value_type(types.uint32).as_pointer())
        intp = context.get_value_type(types.intp)
        context.populate_array(
            made, data=pointer, shape=[values[1]], strides=[intp(4)], itemsize=intp(4), meminfo=None
        )
        return made._getvalue()

    return array(types.int64, types.int64), generate


@_kernel
def expand(address: Any, fill: NDArray[Any], position: Any, width: Any, fresh: Any) -> None:
    """Copy ``width`` words of an operand, from a position of the nest on, side by side to an address.

    Args:
        fill: register, address and words of the source, offset, loops, sizes, strides.
        fresh: whether this is the first block; an operand that never moves is copied then only.
    """
    loops = fill[4]
    last = loops - 1
    inner = fill[_FILL_SIZES + last]
    stride = fill[_FILL_STRIDES + last]
    if loops == 1 and stride == 0 and not fresh:
        return
    target = words_at(address, width)
    source = words_at(fill[1], fill[2])
    counter = np.empty(8, np.int64)
    left = position
    at = fill[3]
    for d in range(last, -1, -1):
        size = fill[_FILL_SIZES + d]
        counter[d] = left % size
        left //= size
        at += counter[d] * fill[_FILL_STRIDES + d]
    done = np.int64(0)
    while done < width:
        piece = min(inner - counter[last], width - done)
        if stride == 0:
            word = source[np.uint64(at)]
            for j in range(done, done + piece):
                target[j] = word
        else:
            for j in range(piece):
                target[done + j] = source[np.uint64(at + j * stride)]
        done += piece
        at -= counter[last] * stride
        counter[last] = 0
        loop = last - 1
        while loop >= 0:
            counter[loop] += 1
            if counter[loop] < fill[_FILL_SIZES + loop]:
                at += fill[_FILL_STRIDES + loop]
                break
            at -= (counter[loop] - 1) * fill[_FILL_STRIDES + loop]
            counter[loop] = 0
            loop -= 1


@cache
def _run() -> Any:
    """The kernel of all chains, from the same table of primitives as the kernels of single maps."""
    body = ""
    for n, (op, (reads, writes, expression)) in enumerate(MAPS.items()):
        body += f"{'elif' if n else 'if'} op == {int(op)}:\n    for j in range(width):\n"
        loads = "".join(
            f"        {name} = {reads}{q}[j]\n" for q, name in enumerate("xyz") if name in _names(expression)
        )
        word = "word_of(np.float32(r))" if writes == "f" else "r"
        body += f"{loads}        r = {expression}\n        target[j] = {word}\n"
    return store.load(HEADER + _SOURCE.format(block=BLOCK, body=indent(body, 12))).run


def _names(expression: str) -> set[str]:
    return {name for name in "xyz" if any(token == name for token in _tokens(expression))}


def _tokens(expression: str) -> list[str]:
    return "".join(c if c.isalnum() or c in "_." else " " for c in expression).split()


class ChainStep(Step):
    """Several maps as one step."""

    def __init__(self, members: Sequence[MapStep], written: Collection[int], runtime: Runtime) -> None:
        """Give every member's operands and output a register.

        Args:
            members: in the order of the program, over as many points.
            written: those whose words somebody else reads.
        """
        self.node = self.target = members[-1].node
        self._written = tuple(m.node for m in members if m.node in written)
        self._size, self._runtime = members[0].size, runtime
        own = {m.node for m in members}
        self.reads = tuple(
            dict.fromkeys(o.source for m in members for o in m.operands if o.source not in own)
        )
        self._registers = _Registers(members, set(self._written))
        parts = runtime.parts(self._size)
        bounds = [self._size * i // parts // BLOCK * BLOCK for i in range(parts)] + [self._size]
        self._parts = [(a, b) for a, b in pairwise(bounds) if a < b]
        self._scratch = [np.empty(self._registers.scratch * BLOCK, np.uint32) for _ in self._parts]

    @property
    def targets(self) -> tuple[int, ...]:
        """Outputs that somebody else reads."""
        return self._written

    def run(self, environment: Environment) -> None:
        registers = self._registers
        for target in self._written:
            environment[target] = np.empty(self._size, np.uint32)
        bases = registers.addresses(environment)
        fills = registers.filled(environment)

        def work(part: int) -> None:
            own = bases.copy()
            own[registers.moves == 0] += self._scratch[part].ctypes.data
            _run()(registers.members, own, registers.moves, fills, *self._parts[part])

        self._runtime.each(work, len(self._parts))


class _Registers:
    """Where each operand and output of a chain stands.

    Attributes:
        members: int64[n, 5], primitive, its output's register, its operands' (the first again if fewer).
        moves: int64[registers], bytes per position: 4 where words lie side by side in memory, 0 in scratch.
        scratch: blocks of scratch.
    """

    def __init__(self, members: Sequence[MapStep], written: set[int]) -> None:
        self._places: list[
            tuple[int, int]
        ] = []  # (place in the environment, offset in words), or (-1, block)
        self._fills: list[tuple[int, Operand, list[int]]] = []
        self.scratch = 0
        known: dict[object, int] = {}
        outputs: dict[int, int] = {}
        rows = []
        for member in members:
            used = []
            for operand in member.operands:
                if operand.source in outputs:
                    used.append(outputs[operand.source])
                    continue
                loops, (strides,) = merge(member.sizes, [operand.strides])
                key = (operand.source, operand.offset, loops, strides)
                if key not in known:
                    known[key] = self._operand(operand, loops, strides)
                used.append(known[key])
            outputs[member.node] = self._register(member.node, 0) if member.node in written else self._block()
            rows.append([int(member.op), outputs[member.node], *used, *[used[0]] * (3 - len(used))])
        self.members = np.array(rows, np.int64)
        self.moves = np.array([4 if place >= 0 else 0 for place, _ in self._places], np.int64)

    def _register(self, place: int, offset: int) -> int:
        self._places.append((place, offset))
        return len(self._places) - 1

    def _block(self) -> int:
        self.scratch += 1
        return self._register(-1, self.scratch - 1)

    def _operand(self, operand: Operand, loops: Sequence[int], strides: Sequence[int]) -> int:
        if is_dense(loops, strides, row_major(loops)):
            return self._register(operand.source, operand.offset)
        register = self._block()
        layout = [len(loops), *loops, *[0] * (8 - len(loops)), *strides, *[0] * (8 - len(strides))]
        self._fills.append((register, operand, layout))
        return register

    def addresses(self, environment: Environment) -> NDArray[np.int64]:
        """Address of every register in memory; offset within the scratch for the others."""
        return np.array(
            [
                environment[place].ctypes.data + 4 * at if place >= 0 else 4 * at * BLOCK
                for place, at in self._places
            ],
            np.int64,
        )

    def filled(self, environment: Environment) -> NDArray[np.int64]:
        """What `expand` copies at every block."""
        rows = []
        for register, operand, layout in self._fills:
            source = environment[operand.source]
            rows.append([register, source.ctypes.data, source.size, operand.offset, *layout])
        return np.array(rows, np.int64).reshape(len(rows), _FILL_WIDTH)


def is_dense(sizes: Sequence[int], strides: Sequence[int], dense: Sequence[int]) -> bool:
    """Whether an operand's words lie side by side in the order of the nest."""
    return all(size == 1 or a == b for size, a, b in zip(sizes, strides, dense, strict=True))


def chained(steps: Sequence[Step], kept: Collection[int], runtime: Runtime) -> list[Step]:
    """The same steps with maps joined into chains where that is possible.

    A map joins the chain that makes what it reads, if it walks that point by point, and joins several such
    chains together; short maps, of which the call is what takes time, join any chain as long as they are. A
    chain is closed, and runs, before the first step that reads one of its outputs without joining it; until
    then nobody needs them.

    Args:
        steps: of a program, in order.
        kept: places whose words are needed after the last step.
    """
    collector = _Collector(steps, kept, runtime)
    for step in steps:
        collector.take(step)
    collector.close_all()
    return collector.done


_Chain = list[MapStep]
"""Maps over as many points, in the order of the program; not empty."""


class _Collector:
    """Chains that are being collected."""

    def __init__(self, steps: Sequence[Step], kept: Collection[int], runtime: Runtime) -> None:
        self.done: list[Step] = []
        self._kept, self._runtime = kept, runtime
        self._open: list[_Chain] = []
        self._readers: dict[int, set[int]] = {}
        for step in steps:
            for place in step.reads:
                self._readers.setdefault(place, set()).add(step.target)

    def take(self, step: Step) -> None:
        """Add the next step of the program."""
        if isinstance(step, MapStep) and step.operands and not step.flags:
            self._join(step)
        else:
            self._close_read(step, lambda _: False)
            self.done.append(step)

    def _join(self, step: MapStep) -> None:
        dense = row_major(step.sizes)
        apart = {o.source for o in step.operands if o.offset or not is_dense(step.sizes, o.strides, dense)}
        self._close_read(step, lambda chain: chain[0].size == step.size and not _makes(chain, apart))
        joined: _Chain = [step]
        for chain in [c for c in self._open if _makes(c, step.reads)] or self._short(step):
            if len(joined) + len(chain) <= MEMBERS_MOST:
                self._open = [other for other in self._open if other is not chain]
                joined += chain
            elif _makes(chain, step.reads):
                self._close(chain)
        self._open.append(sorted(joined, key=lambda member: member.node))

    def _short(self, step: MapStep) -> list[_Chain]:
        """A chain that is as long as a short step."""
        return [c for c in self._open if c[0].size == step.size < PARALLEL_POINTS][-1:]

    def _close_read(self, step: Step, joins: Callable[[_Chain], bool]) -> None:
        """Close the chains that a step reads from, but for those that it joins."""
        for chain in list(self._open):
            if _makes(chain, step.reads) and not joins(chain):
                self._close(chain)

    def _close(self, members: _Chain) -> None:
        self._open = [chain for chain in self._open if chain is not members]
        inside = {member.target for member in members}
        written = {t for t in inside if t in self._kept or self._readers.get(t, set()) - inside}
        if len(members) == 1:
            self.done.append(members[0])
        else:
            self.done.append(ChainStep(members, written, self._runtime))

    def close_all(self) -> None:
        """Close what is still open."""
        for chain in list(self._open):
            self._close(chain)


def _makes(chain: _Chain, places: Collection[int]) -> bool:
    """Whether a chain writes one of some places."""
    return any(member.target in places for member in chain)
