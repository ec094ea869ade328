"""The last final state of a job, from wherever it can be had, checked against the chain (J-5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gavel.summary import moment
from protocol.chain.agent import Log
from protocol.checkpoints import CheckpointStore
from protocol.commitments.canonical import Words
from protocol.errors import GavelError, MismatchError, UsageError
from protocol.game.trace import HONEST
from protocol.game.view import CourtView, UpdateInfo, UpdateStatus
from protocol.job_folder import JobFolder
from prover.engine.executor import Executor
from prover.engine.hashing import state_root
from prover.engine.trace import replay_segment

Progress = Callable[[int, int], None]
"""Told how many steps are done, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A state whose root is the one that the chain holds as final.

    Attributes:
        segments: that lead to it; root: 32 bytes.
        words: of every slot, flat uint32.
        source: where the words came from, for people.
        replayed: numbers of the segments computed here, from 0.
        liars: what was wrong with stores that were passed over.
    """

    segments: int
    root: bytes
    words: Sequence[Words]
    source: str
    replayed: range
    liars: tuple[str, ...]


def final_roots(view: CourtView, folder: JobFolder) -> list[bytes]:
    """Return the state roots after 0, 1, 2, ... segments, as far as they are final.

    Raises:
        UsageError: nothing is final yet; says when it can be.
    """
    chain = view.chain(folder.job.job_id)
    final = [update for update in chain if update.status == UpdateStatus.FINAL]
    if not final:
        raise UsageError(f"no update of this job is final yet: {_when(chain, folder.job.clocks.opening)}")
    return [folder.job.genesis, *(root for update in final for root in update.states)]


def _when(chain: Sequence[UpdateInfo], opening: int) -> str:
    if not chain:
        return "nothing stands; a trainer has to post first"
    return f"the first one can be after {moment(chain[0].deadline + opening)}, if no dispute is open then"


def fetch_state(
    folder: JobFolder,
    roots: Sequence[bytes],
    *,
    stores: Sequence[CheckpointStore],
    executor: Callable[[], Executor],
    log: Log,
    progress: Progress,
    replay: bool = False,
) -> Fetched:
    """Return the state with the last of the roots.

    Args:
        roots: as `final_roots` gives them.
        stores: asked in this order; what they give is checked by its root.
        executor: makes the job's, if something is to be replayed.
        log: told of stores that lie or cannot be read.
        progress: told the steps of a replay.
        replay: whether to compute every segment from genesis, and to compare each with its root.

    Raises:
        MismatchError: a replay leads to another state than the chain holds: nobody disputed what is wrong.
    """
    liars: list[str] = []
    last = len(roots) - 1
    start, source = 0, "the job's genesis state"
    words: Sequence[Words] = folder.genesis
    if not replay:
        for segments, root, store in _places(roots, stores, liars, log):
            try:
                found = store.load(segments, root)
            except GavelError as error:
                _complain(liars, log, error)
                continue
            if found is not None:
                start, words, source = segments, found, f"store {store.name}"
                break
    if start < last:
        words = _replayed(folder, roots, range(start, last), words, executor(), progress)
        source = f"a replay here, from {source} after segment {start}" if start else "a replay here"
    return Fetched(
        segments=last,
        root=roots[-1],
        words=words,
        source=source,
        replayed=range(start, last),
        liars=tuple(liars),
    )


def _places(
    roots: Sequence[bytes], stores: Sequence[CheckpointStore], liars: list[str], log: Log
) -> Iterator[tuple[int, bytes, CheckpointStore]]:
    """Where a state may lie: the last one in any store, then earlier ones that a manifest lists."""
    last = len(roots) - 1
    for store in stores:
        yield last, roots[last], store
    listed: list[tuple[int, bytes, CheckpointStore]] = []
    for store in stores:
        try:
            known = {(c.segments, c.root) for c in store.checkpoints()}
        except GavelError as error:
            _complain(liars, log, error)
            continue
        listed += [(n, roots[n], store) for n in range(1, last) if (n, roots[n]) in known]
    yield from sorted(listed, key=lambda place: -place[0])


def _complain(liars: list[str], log: Log, error: GavelError) -> None:
    liars.append(str(error))
    log(f"passed over: {error}", level="warning")


def _replayed(
    folder: JobFolder,
    roots: Sequence[bytes],
    segments: range,
    words: Sequence[Words],
    executor: Executor,
    progress: Progress,
) -> Sequence[Words]:
    geometry = folder.job.geometry
    first_step = segments.start * geometry.stride
    total = min(segments.stop * geometry.stride, geometry.steps) - first_step
    for number in segments:
        words, _ = replay_segment(
            executor,
            words,
            number * geometry.stride,
            geometry.steps_of(number),
            hooks=HONEST,
            progress=lambda step, _loss: progress(step + 1 - first_step, total),
        )
        found = state_root(words, geometry.tensor_height, geometry.n_slots)
        if found != roots[number + 1]:
            raise MismatchError(
                f"a replay ends segment {number + 1} in state {found.hex()}, the chain holds "
                f"{roots[number + 1].hex()} as final: it is wrong and nobody has disputed it in time; "
                "these are not the weights that the job determines"
            )
    return words
