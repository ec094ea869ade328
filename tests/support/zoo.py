"""The zoo's small trainings, captured and run for two steps once per process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from benchmarks.zoo import Entry, tiny
from protocol.commitments.canonical import Words
from protocol.numerics.opcodes import Fold
from protocol.program.interpreter import Interpreter, tensor_height
from prover.capture import Captured, capture
from prover.capture.result import kind
from prover.engine.executor import Executor

SEED = bytes(range(32))
STEPS = 4


@dataclass(frozen=True)
class Played:
    """A training with its engines and what its first two steps give.

    Attributes:
        states: before step 0, 1 and 2; nodes: outputs in steps 0 and 1.
    """

    entry: Entry
    captured: Captured
    executor: Executor
    interpreter: Interpreter
    states: list[list[Words]]
    nodes: list[list[Words]]

    def characteristic(self) -> int:
        """The number of the most characteristic node: the largest, or one that divides addresses."""
        label, wanted = self.entry.characteristic
        program = self.captured.program
        found = [
            number
            for number, node in enumerate(program.nodes)
            if program.labels[number].split()[0] == label and kind(node) == wanted
        ]
        assert found, f"no {wanted} in {sorted({label.split()[0] for label in program.labels})}"

        def weight(number: int) -> tuple[bool, int, int]:
            node = program.nodes[number]
            divides = any(divisor > 1 for leaf in node.leaves for divisor in leaf.divisors)
            return divides, node.extent * node.terms, number

        return max(found, key=weight)

    def samples(self) -> dict[str, int]:
        """One node of each kind: fold, primitives and what its leaves are."""
        found: dict[str, int] = {}
        for number, node in enumerate(self.captured.program.nodes):
            leaves = ",".join(f"{leaf.kind.name}{leaf.rank}{leaf.gather_dim != 0xFF}" for leaf in node.leaves)
            found.setdefault(f"{Fold(node.fold).name} {bytes(node.code).hex()} {leaves}", number)
        return found


@cache
def captured(name: str) -> tuple[Entry, Captured]:
    """A training of the zoo as a program."""
    entry = tiny(name)
    setup = entry.setup
    made = capture(
        module=setup.module,
        loss=setup.loss,
        optimizer=setup.optimizer,
        columns=setup.columns,
        batch=entry.batch,
        steps=STEPS,
        scheduler=setup.scheduler,
        accumulate=setup.accumulate,
        after_backward=setup.after_backward,
        noise_seed=setup.noise_seed,
    )
    return entry, made


@cache
def played(name: str) -> Played:
    """The training after two steps."""
    entry, made = captured(name)
    rows = made.program.inputs[1].shape[0]
    executor = Executor(
        made.program,
        inputs=made.inputs,
        seed=SEED,
        n_rows=rows,
        batch=entry.batch,
        tensor_height=tensor_height(made.program),
    )
    states, nodes = [list(made.state)], []
    for step in range(2):
        run = executor.run(states[-1], step)
        nodes.append(run.outputs)
        states.append(run.next_state)
    return Played(
        entry=entry,
        captured=made,
        executor=executor,
        interpreter=Interpreter(
            made.program, inputs=made.inputs, seed=SEED, n_rows=rows, batch=entry.batch, range_log2=6
        ),
        states=states,
        nodes=nodes,
    )
