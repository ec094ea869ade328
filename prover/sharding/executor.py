"""A step run by several processes: one leads and trains, the others follow (specs/trainer.md, K-7 to K-9)."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import numpy as np

from protocol.commitments.canonical import Words
from protocol.errors import MismatchError, UnsupportedError
from protocol.job_folder import JobFolder
from protocol.numerics.opcodes import Op
from protocol.program.descriptor import Node
from protocol.program.program import Program
from prover.engine.codegen_sums import SumKernels
from prover.engine.device import check_device
from prover.engine.executor import Executor, OutputHook, StepOutputs
from prover.engine.folds import Nest
from prover.engine.lowering import Lowering
from prover.engine.products import ProductStep
from prover.engine.steps import Runtime, Step
from prover.sharding.combine import CombinedProduct, CombinedSum, Fold, GatherStep
from prover.sharding.group import Group
from prover.sharding.plan import Plan, Shared, make_plan, share_program

STOP: Final = 0
STEP: Final = 1
STATE: Final = 2
"""What the leader orders: to leave, to go on from the last state, to take a state first."""

PRODUCT: Final = bytes([0, 1, Op.MUL])


class _ShareLowering(Lowering):
    """Lowers the program of one share; notes what it exchanges, in order."""

    def __init__(
        self, shared: Shared, tensor_height: int, runtime: Runtime, group: Group, exchanges: list[str]
    ) -> None:
        self._shared, self._group, self._exchanges = shared, group, exchanges
        super().__init__(shared.program, tensor_height, runtime)

    def _lower(self, number: int, node: Node) -> None:
        if number not in self._shared.gathers:
            super()._lower(number, node)
            return
        sizes = self._shared.sizes[number]
        self._exchanges.append(f"gather {number} {sizes}")
        source = self._shared.gathers[number]
        self.steps.append(GatherStep(target=number, source=source, sizes=sizes, group=self._group))

    def _fall_back(self, number: int, node: Node) -> None:
        if number in self._shared.combines:
            raise UnsupportedError(
                f"node {number} ({self._shared.program.labels[number]}) has no kernel, so its sum cannot be "
                "shared; train this job in one process"
            )
        super()._fall_back(number, node)

    def _sum(self, number: int, nest: Nest, code: SumKernels) -> Step:
        terms = self._shared.combines.get(number)
        if terms is None or not code.entries:
            return super()._sum(number, nest, code)
        runtime, group = self._runtime, self._group
        fold = Fold(nest, code, node=number, terms=terms, runtime=runtime, group=group)
        product = code.code == PRODUCT and ProductStep.eligible(nest)
        self._exchanges.append(f"{'product' if product else 'sum'} {number} {nest.size} {terms}")
        if not product:
            return CombinedSum(target=number, nest=nest, fold=fold)
        device = check_device(runtime.device or "cpu")
        return CombinedProduct(
            target=number, nest=nest, code=code, fold=fold, runtime=runtime, group=group, device=device
        )


class _Share(Executor):
    """The executor of one share."""

    def __init__(
        self, folder: JobFolder, shared: Shared, group: Group, *, threads: int, device: str | None
    ) -> None:
        self._shared, self._group = shared, group
        self.exchanges: list[str] = []
        geometry = folder.job.geometry
        super().__init__(
            shared.program,
            inputs=folder.inputs,
            seed=folder.job.seed,
            n_rows=geometry.n_rows,
            batch=geometry.batch,
            tensor_height=geometry.tensor_height,
            threads=threads,
            device=device,
        )

    def _lowering(self, program: Program, tensor_height: int) -> Lowering:
        del program
        return _ShareLowering(self._shared, tensor_height, self._runtime, self._group, self.exchanges)


class SharedExecutor(Executor):
    """The executor of a job whose steps several processes share; this is the leader's.

    Steps of which only the next state is wanted are shared. All others, those of a dispute, run here alone.
    """

    def __init__(
        self, folder: JobFolder, group: Group, *, threads: int = 1, device: str | None = None
    ) -> None:
        """Prepare the whole program and the own share; compare plans with the others.

        Args:
            group: of which this is process 0.
            threads, device: as `Executor`.

        Raises:
            MismatchError: the processes do not have the same job, or not the same plan.
            UnsupportedError: a node cannot be shared; or as `Executor`.
        """
        geometry = folder.job.geometry
        super().__init__(
            folder.program,
            inputs=folder.inputs,
            seed=folder.job.seed,
            n_rows=geometry.n_rows,
            batch=geometry.batch,
            tensor_height=geometry.tensor_height,
            threads=threads,
            device=device,
        )
        self._group = group
        self.plan, self._share = _prepared(folder, group, threads, device)
        self._last: list[Words] | None = None
        self._amid = False

    def run(
        self,
        state: Sequence[Words],
        step: int,
        *,
        keep_outputs: bool = True,
        hook: OutputHook | None = None,
    ) -> StepOutputs:
        """Execute one step, as `Executor.run`. Raises PeerError too."""
        if keep_outputs or hook is not None:
            return super().run(state, step, keep_outputs=keep_outputs, hook=hook)
        known = self._last is not None and len(self._last) == len(state)
        same = known and all(a is b for a, b in zip(self._last or [], state, strict=True))
        self._last = None  # whatever goes wrong, the others' state is not relied on afterwards
        self._amid = True
        self._group.order(STEP if same else STATE, step)
        if not same:
            for words in state:
                self._group.spread(words.copy())
        done = self._share.run(state, step, keep_outputs=False)
        self._last, self._amid = list(done.next_state), False
        return StepOutputs(outputs=[], next_state=done.next_state, loss=done.loss)

    def close(self) -> None:
        """Let the others go; amid a step they wait for something else, and end as this process leaves."""
        if not self._amid:
            self._group.order(STOP, 0)
        self._group.close()


def follow(folder: JobFolder, group: Group, *, threads: int = 1, device: str | None = None) -> int:
    """Work for a leader until it lets go; return how many steps were done.

    Raises:
        PeerError: another process has gone; as `SharedExecutor` too.
    """
    _, share = _prepared(folder, group, threads, device)
    state = [np.zeros(spec.extent, np.uint32) for spec in folder.program.slots]
    done = 0
    while True:
        what, step = group.order(STOP, 0)
        if what == STOP:
            group.close()
            return done
        if what == STATE:
            state = [np.zeros(spec.extent, np.uint32) for spec in folder.program.slots]
            for words in state:
                group.spread(words)
        state = share.run(state, step, keep_outputs=False).next_state
        done += 1


def _prepared(folder: JobFolder, group: Group, threads: int, device: str | None) -> tuple[Plan, _Share]:
    plan = make_plan(folder.program, group.world)
    shared = share_program(folder.program, plan, group.rank)
    share = _Share(folder, shared, group, threads=threads, device=device)
    text = "\n".join([folder.job.job_id.hex(), *share.exchanges])
    own = np.frombuffer(sha256(text.encode()).digest(), np.uint32)
    if any(not np.array_equal(own, other) for other in group.gathered(own, [own.size] * group.world)):
        raise MismatchError(
            "the processes of the group do not have the same job, or do not share it alike; give all of them "
            "the same job folder and the same version of gavel"
        )
    return plan, share
