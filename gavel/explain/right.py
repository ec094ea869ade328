"""What should have been computed: an own replay up to a disputed segment."""

from __future__ import annotations

from collections.abc import Sequence

from gavel.jobs import make_executor
from protocol.chain.log import Log
from protocol.checkpoints import CheckpointStore
from protocol.errors import GavelError
from protocol.game.openings import Openings
from protocol.game.view import UpdateInfo
from protocol.job_folder import JobFolder
from prover.engine.trace import trace_of_job


def openings_of(
    folder: JobFolder,
    update: UpdateInfo,
    segment: int,
    *,
    stores: Sequence[CheckpointStore],
    threads: int,
    log: Log,
) -> Openings | None:
    """Return trees over an own replay up to a segment; None where the segment builds on a wrong state.

    Args:
        update: that the segment (absolute) is part of.
        stores: asked for the state before the segment. It is hashed (S-5), and believed only if it is what
            the update claims to start that segment from: a page explains, and accuses nobody.
        log: told how far it is.
    """
    geometry = folder.job.geometry
    trace = trace_of_job(make_executor(folder, threads=threads), folder)
    before = (update.first_state, *update.states)[segment - update.first_segment]
    for store in stores:
        try:
            state = store.load(segment, before)
        except GavelError as error:
            log(f"{error}; replays instead", level="warning")
            continue
        if state is not None:
            trace.remember(segment * geometry.stride, state)
            log(f"takes the state before segment {segment + 1} from {store.name}")
            break
    for place in range(segment + 1):
        step = place * geometry.stride
        if step < trace.nearest(segment * geometry.stride):
            continue
        root = trace.state_root(step)
        log(f"replayed up to segment {place} of {segment}")
    if root != before:
        log("the segment builds on a state that is wrong already; what is right there has no meaning")
        return None
    return Openings(geometry=geometry, program=folder.program, trace=trace)
