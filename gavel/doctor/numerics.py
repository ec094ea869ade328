"""A self-test: the small job is captured and replayed here, and its roots are those that are committed (N-1).

``python -m gavel.doctor.numerics`` writes the golden roots anew. Do that only where a change is meant: other
roots are other bits, and every job opened before is another job.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gavel.doctor.findings import Finding, attempted, failure
from protocol.errors import MismatchError
from protocol.job_folder import JobFolder

GROUP: Final = "numerics"
GOLDEN: Final = Path(__file__).with_name("golden.json")
_ADVICE: Final = (
    "this machine would lose bonds: do not train or watch with it; send this output and that of "
    "`python -m torch.utils.collect_env` to the project"
)


def compute_roots() -> dict[str, str | list[str]]:
    """Return the roots of the small job, hexadecimal: program, inputs, and state before and after each step.

    Raises:
        UnsupportedError, MismatchError: this machine's PyTorch does not give a program that agrees with it.
    """
    from gavel.jobs import make_executor
    from gavel.scenarios.job import small_job
    from prover.engine.hashing import state_root

    folder: JobFolder = small_job()
    executor, geometry = make_executor(folder), folder.job.geometry
    state = list(folder.genesis)
    states = [folder.job.genesis.hex()]
    for step in range(geometry.steps):
        state = executor.run(state, step, keep_outputs=False).next_state
        states.append(state_root(state, geometry.tensor_height, geometry.n_slots).hex())
    return {
        "program": folder.job.program_root.hex(),
        "inputs": folder.job.inputs_root.hex(),
        "states": states,
    }


def check_numerics() -> Iterator[Finding]:
    """Capture the small job, train it, and compare."""
    yield attempted(GROUP, "golden roots", _compared)


def _compared() -> Finding | str:
    golden, found = json.loads(GOLDEN.read_text()), compute_roots()
    for name in ("program", "inputs"):
        if found[name] != golden[name]:
            text = f"the small job's {name} root is {found[name]}, it should be {golden[name]}"
            return failure(GROUP, "golden roots", text, _ADVICE, MismatchError)
    for step, (ours, right) in enumerate(zip(found["states"], golden["states"], strict=True)):
        if ours != right:
            text = f"the small job's state before step {step} is {ours}, it should be {right}"
            return failure(GROUP, "golden roots", text, _ADVICE, MismatchError)
    return f"a program and {len(golden['states'])} states, bit for bit"


def main() -> None:
    """Write the golden roots."""
    GOLDEN.write_text(json.dumps(compute_roots(), indent=2) + "\n")


if __name__ == "__main__":
    main()
