"""A store of checkpoints against a job, without a chain: does each state follow from the one before? (J-7)"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gavel.fetching import Progress
from protocol.chain.agent import Log
from protocol.checkpoints import Checkpoint, CheckpointStore
from protocol.commitments.canonical import Words
from protocol.errors import MismatchError, UsageError
from protocol.job_folder import JobFolder
from protocol.program.program import TensorSpec
from prover.engine.executor import Executor
from prover.engine.hashing import state_root
from prover.engine.trace import replay_segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found to be right.

    Attributes:
        segments: replayed, numbers from 0.
        stored: how many stored states were compared.
        gaps: segments that nobody had stored, numbers from 0.
        trusted: whether the first state was a stored one, and not genesis.
    """

    segments: range
    stored: int
    gaps: tuple[int, ...]
    trusted: bool


class Verifier:
    """Replays a job and compares with what stores hold."""

    def __init__(
        self,
        folder: JobFolder,
        executor: Executor,
        stores: Sequence[CheckpointStore],
        *,
        log: Log,
        progress: Progress,
    ) -> None:
        """Read what the stores list.

        Args:
            progress: told the steps done and all steps.

        Raises:
            MalformedError, StorageError: a store cannot be read.
        """
        self._folder, self._executor, self._log, self._progress = folder, executor, log, progress
        self._listed = [(store, checkpoint) for store in stores for checkpoint in store.checkpoints()]

    def verify(self, segments: range | None = None) -> Verified:
        """Replay segments and compare every stored state after each of them.

        Args:
            segments: numbers from 0; from the first to the last stored one unless given.

        Raises:
            UsageError: nothing is stored there, or the state before the first segment is not.
            MismatchError: a state is not what its name says, or does not follow; names the first difference.
            MalformedError, StorageError: a state cannot be read.
        """
        geometry = self._folder.job.geometry
        wanted = segments if segments is not None else self._stored()
        if wanted.stop > geometry.segments:
            raise UsageError(f"the job has {geometry.segments} segments, not {wanted.stop}; ask for fewer")
        if not any(checkpoint.segments - 1 in wanted for _, checkpoint in self._listed):
            raise UsageError("no checkpoint is stored there; name a store with --store")
        words = self._first(wanted.start)
        compared, gaps = 0, []
        first_step = wanted.start * geometry.stride
        total = min(wanted.stop * geometry.stride, geometry.steps) - first_step
        for number in wanted:
            words, losses = replay_segment(
                self._executor,
                words,
                number * geometry.stride,
                geometry.steps_of(number),
                progress=lambda step, _loss: self._progress(step + 1 - first_step, total),
            )
            root = state_root(words, geometry.tensor_height, geometry.n_slots)
            here = [(store, c) for store, c in self._listed if c.segments == number + 1]
            for store, checkpoint in here:
                self._compare(store, checkpoint, number, words, root, losses)
            compared += len(here)
            if here:
                self._log(f"segment {number + 1}: state {root.hex()[:12]} is right")
            else:
                gaps.append(number)
                self._log(f"segment {number + 1}: nobody has stored the state after it; replayed across")
        return Verified(segments=wanted, stored=compared, gaps=tuple(gaps), trusted=wanted.start > 0)

    def _stored(self) -> range:
        """From the first segment to the last one that somebody has stored."""
        total = self._folder.job.geometry.segments
        for store, checkpoint in self._listed:
            if checkpoint.segments > total:
                raise MismatchError(
                    f"the store {store.name} lists a state after segment {checkpoint.segments} of a job of "
                    f"{total}: it is another job's, or lies; name the store of this one"
                )
        return range(max((checkpoint.segments for _, checkpoint in self._listed), default=0))

    def _first(self, segments: int) -> Sequence[Words]:
        """The state that the first segment starts from: genesis, or the stored one."""
        if not segments:
            return self._folder.genesis
        places = [(store, c) for store, c in self._listed if c.segments == segments]
        roots = {checkpoint.root for _, checkpoint in places}
        if len(roots) != 1:
            raise UsageError(
                f"{len(roots)} states after segment {segments} are stored, and a replay "
                "starts from one; verify from segment 1"
            )
        store, checkpoint = places[0]
        self._log(f"starts from the stored state after segment {segments}, which is not checked itself")
        return self._loaded(store, checkpoint)

    def _loaded(self, store: CheckpointStore, checkpoint: Checkpoint) -> Sequence[Words]:
        words = store.load(checkpoint.segments, checkpoint.root)
        if words is None:
            raise MismatchError(
                f"the store {store.name} lists the state after segment {checkpoint.segments} "
                f"({checkpoint.name}) and does not have it; get it, or remove it from the list"
            )
        return words

    def _compare(
        self,
        store: CheckpointStore,
        checkpoint: Checkpoint,
        number: int,
        words: Sequence[Words],
        root: bytes,
        losses: Sequence[float],
    ) -> None:
        stored = self._loaded(store, checkpoint)  # hashes to its name, or raises
        if checkpoint.root == root:
            return
        raise MismatchError(
            f"segment {number + 1} is wrong in the store {store.name}: the state after it is "
            f"{checkpoint.root.hex()}, a replay gives {root.hex()}. "
            + _first_difference(self._folder.program.slots, stored, words)
            + self._suspect(checkpoint, number, losses)
        )

    def _suspect(self, checkpoint: Checkpoint, number: int, losses: Sequence[float]) -> str:
        """Which step the recorded losses point at: they are the trainer's word, and only help to look."""
        theirs = checkpoint.losses
        if not theirs or len(theirs) > len(losses):
            return "No losses are recorded that would tell the step"
        known = len(losses) - len(theirs)  # a store keeps those of the last steps (S-4)
        first_step = number * self._folder.job.geometry.stride
        pairs = zip(losses[known:], theirs, strict=True)
        different = next((i for i, (a, b) in enumerate(pairs) if not _same(a, b)), None)
        if different is None:
            return f"All recorded losses are right, so it happened in step {first_step + len(losses) - 1}"
        # The loss of a step depends on the state before it.
        step = first_step + known + different
        when = f"in step {step}"
        if different:
            when = f"in step {step - 1} or {step}"
        elif known:
            when = f"in step {step} or before"
        return f"The first recorded loss that is wrong is that of step {step}, so it happened {when} (from 0)"


def _same(a: float, b: float) -> bool:
    one, other = np.float32(a), np.float32(b)
    return bool(one == other) or (math.isnan(one) and math.isnan(other))


def _first_difference(slots: Sequence[TensorSpec], stored: Sequence[Words], ours: Sequence[Words]) -> str:
    """Name the first word that differs."""
    for spec, theirs, mine in zip(slots, stored, ours, strict=True):
        if len(theirs) == len(mine) and np.array_equal(theirs, mine):
            continue
        different = np.flatnonzero(theirs != mine)
        word = int(different[0])
        place = [int(i) for i in np.unravel_index(word, spec.shape)] if spec.shape else []
        return (
            f"The first difference is in slot {spec.name}, word {word} {place}: {_word(spec, theirs[word])} "
            f"stored, {_word(spec, mine[word])} right; {len(different):,} of its {len(mine):,} words differ. "
        )
    raise MismatchError("two states with other roots have the same words; report this: it cannot happen")


def _word(spec: TensorSpec, word: np.uint32) -> str:
    value = word.view(np.float32) if spec.dtype == "f32" else word.view(np.int32)
    return f"0x{int(word):08x} ({value:.9g})"
