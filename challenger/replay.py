"""What a watcher derives of one job, a segment at a time: it looks at the chain in between (A-8, A-11)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from challenger.cache import Cache
from protocol.chain.agent import Said
from protocol.commitments.canonical import Words
from protocol.errors import GavelError
from protocol.game.trace import HONEST, Hooks
from protocol.game.view import UpdateInfo, UpdateStatus
from protocol.job_folder import JobFolder
from prover.engine.executor import Executor
from prover.engine.trace import trace_of_job


class Store(Protocol):
    """Where states may be had; `protocol.checkpoints.CheckpointStore` is one.

    Attributes:
        name: for people.
    """

    name: str

    def load(self, segments: int, root: bytes) -> Sequence[Words] | None:
        """The words of a state, hashed and found to have this root; None where there are none.

        Raises:
            GavelError: the store cannot be read, or lies.
        """


class Replay:
    """One job from its start, or from a final state that was found in a store.

    A *place* is a number of segments done: place k is the state after k segments.

    Attributes:
        trace: everything that is derived.
        differences: by update id the first wrong segment (absolute), None for a right or a final one.
    """

    def __init__(
        self,
        executor: Executor,
        folder: JobFolder,
        *,
        log: Said,
        stores: Sequence[Store] = (),
        cache: Cache | None = None,
        hooks: Hooks = HONEST,
    ) -> None:
        """Know the genesis alone; nothing is computed or fetched yet.

        Args:
            executor, folder: of the job.
            log: told what agrees and what does not.
            stores: asked in this order for the last state of the last final update.
            cache: of this watcher alone.
            hooks: how the party departs from the program, for drills.
        """
        self._geometry, self._log = folder.job.geometry, log
        self._stores, self._cache = tuple(stores), cache
        self.trace = trace_of_job(executor, folder, hooks=hooks, recall=self._recall)
        self.differences: dict[bytes, int | None] = {}
        self._own = {0: folder.job.genesis}
        self._relied = 0
        self._fetched: tuple[int, Sequence[Words]] | None = None
        self._asked: set[tuple[int, bytes]] = set()

    def ready(self, segment: int) -> bool:
        """Whether the state that a segment starts from is known without a replay."""
        step = self._step(segment)
        return self.trace.nearest(step) == step

    def advance(self, chain: Sequence[UpdateInfo], wanted: Iterable[int] = ()) -> bool:
        """Do one piece of work: replay at most one segment, or compare. False if there is nothing to do.

        Args:
            chain: the live updates of the job in order.
            wanted: segments whose first state is needed before anything else: those under dispute.
        """
        goal = min((segment for segment in wanted if not self.ready(segment)), default=None)
        if goal is None:
            compared = len(self.differences)
            goal = self._goal(chain)
            if goal is None:
                return len(self.differences) > compared
        if self._rely(chain, goal):
            return True
        step = self._step(goal)
        at = self.trace.nearest(step)
        place = goal if at == step else at // self._geometry.stride + 1
        began = time.perf_counter()
        root = self._own[place] = self.trace.state_root(self._step(place))
        self._log(
            f"segment {place}: replayed, state {root.hex()[:12]}",
            segment=place - 1,
            state=root,
            seconds=round(time.perf_counter() - began, 3),
        )
        if self._cache is not None:
            self._cache.put(place, root, self.trace.state_words(self._step(place)))
        return True

    def left(self, chain: Sequence[UpdateInfo]) -> int:
        """Return how many segments are to be replayed until every live update has been compared."""
        goal = self._goal(chain)
        if goal is None:
            return 0
        known = self.trace.nearest(self._step(goal)) // self._geometry.stride
        return max(chain[-1].first_segment + chain[-1].segments - known, 1)

    # ---------------------------------------------------------------- comparing

    def _goal(self, chain: Sequence[UpdateInfo]) -> int | None:
        """Compare as far as is known (A-1, A-3); return the place to come to next, None when all is compared.

        What is built on a wrong update falls with it and is left alone.
        """
        self._note_final(chain)
        for update in chain:
            if update.update not in self.differences:
                place = self._compare(update)
                if place is not None:
                    return place
            if self.differences[update.update] is not None:
                return None
        return None

    def _note_final(self, chain: Sequence[UpdateInfo]) -> None:
        """Know up to where the chain is final with a state that this watcher has derived or fetched."""
        for update in chain:
            end, root = update.first_segment + update.segments, update.states[-1]
            if update.status == UpdateStatus.FINAL and self._agrees(end, root):
                self._relied = max(self._relied, end)

    def _agrees(self, place: int, root: bytes) -> bool:
        noted = None if self._cache is None else self._cache.roots.get(place)
        return root == self._own.get(place, noted)

    def _compare(self, update: UpdateInfo) -> int | None:
        if update.status == UpdateStatus.FINAL and update.first_segment + update.segments <= self._relied:
            self.differences[update.update] = None
            return None
        told: dict[str, Any] = {"update": update.update, "trainer": "0x" + update.trainer.hex()}
        for number, posted in enumerate(update.states):
            place = update.first_segment + number + 1
            if self._agrees(place, posted):
                continue
            own = self._own.get(place)
            if own is None:
                return place
            self.differences[update.update] = place - 1
            final = update.status == UpdateStatus.FINAL
            self._log(
                f"segment {place}: WRONG, posted state {posted.hex()[:12]}, replay gives {own.hex()[:12]}"
                + ("; the update is final, so nothing can be done about it" if final else ""),
                level="error" if final else "warning",
                segment=place - 1,
                posted=posted,
                state=own,
                **told,
            )
            return None
        self.differences[update.update] = None
        last = update.first_segment + update.segments
        self._log(
            f"update {update.update.hex()[:12]}: segments {update.first_segment + 1} to {last} agree", **told
        )
        return None

    # ---------------------------------------------------------------- stored states

    def _rely(self, chain: Sequence[UpdateInfo], goal: int) -> bool:
        """Fetch the last final state if that saves replaying; whether it did (A-11)."""
        final = [update for update in chain if update.status == UpdateStatus.FINAL]
        if not final:
            return False
        place, root = final[-1].first_segment + final[-1].segments, final[-1].states[-1]
        if self.trace.nearest(self._step(goal)) >= self._step(place):
            return False
        if (place, root) in self._asked:
            return False
        self._asked.add((place, root))
        for store in self._stores:
            try:
                state = store.load(place, root)
            except GavelError as error:
                self._log(f"{error}; the state is derived instead", level="warning", store=store.name)
                continue
            if state is None:
                self._log(f"the store {store.name} does not have the last final state", store=store.name)
                continue
            self._fetched, self._own[place] = (place, state), root
            if self._cache is not None:
                self._cache.put(place, root, state, at_once=True)
            self._log(
                f"begins from segment {place + 1}: the state before it is final on chain and was found in "
                f"the store {store.name}",
                store=store.name,
                state=root,
            )
            return True
        return False

    def _recall(self, step: int) -> Sequence[Words] | None:
        place = step // self._geometry.stride
        if self._fetched is not None and self._fetched[0] == place:
            return self._fetched[1]
        if self._cache is None:
            return None
        return self._cache.get(place)

    def _step(self, place: int) -> int:
        return min(place * self._geometry.stride, self._geometry.steps)
