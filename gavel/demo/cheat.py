"""A cheat for drills on a development chain: for ``--hooks`` of `gavel train`, `defend` and `trainer run`.

All others, for `gavel demo --cheat`, are in gavel/scenarios/cheats.py.
"""

from __future__ import annotations

from gavel.scenarios.ground import Ground
from gavel.scenarios.lies import PartialSum
from protocol.errors import UsageError
from protocol.game.trace import Hooks
from protocol.job_folder import JobFolder
from protocol.program.address import n_ranges


def corrupt_logits(folder: JobFolder, *, segment: int = 7, word: int = 321) -> Hooks:
    """Corrupt the last range of one logit in the eighth step of a segment (counted from 0).

    Raises:
        UsageError: the job has no such segment or word, or no matrix product long enough to be bisected.
    """
    geometry = folder.job.geometry
    step = segment * geometry.stride + min(7, geometry.steps_of(segment) - 1)
    node = Ground.of(folder, step=step, seed=0).products(forward=True)[-1]
    descriptor = folder.program.nodes[node]
    if word >= descriptor.extent:
        raise UsageError(
            f"the last layer of this job has {descriptor.extent} outputs, so there is no word {word}; drill "
            "on another job"
        )
    return PartialSum(step=step, node=node, word=word, range=n_ranges(descriptor, geometry.range_log2)).hooks


def corrupt_first_segment(folder: JobFolder) -> Hooks:
    """The same in the first segment of a job: ``--hooks gavel.demo.cheat:corrupt_first_segment``."""
    return corrupt_logits(folder, segment=0)
