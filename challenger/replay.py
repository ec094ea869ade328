"""What a watcher derives of one job, a segment at a time: it looks at the chain in between (A-8, A-11).

With a pool of processes, segments are replayed side by side (A-15); what they find is compared in order all
the same, and what accuses is derived here (A-16, A-17).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from challenger.apart import Apart
from challenger.cache import Cache
from challenger.claims import Claim, Claims, claims_of
from challenger.parallel import Pool
from protocol.chain.log import Said
from protocol.checkpoints import CheckpointStore
from protocol.commitments.canonical import Words
from protocol.errors import GavelError, UsageError
from protocol.game.trace import HONEST, Hooks
from protocol.game.view import UpdateInfo, UpdateStatus
from protocol.job_folder import JobFolder
from prover.engine.executor import Executor
from prover.engine.hashing import state_root
from prover.engine.trace import ReplayTrace, replay_segment, trace_of_job


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
        pool: Pool | None = None,
        listed: Sequence[CheckpointStore] = (),
    ) -> None:
        """Know the genesis alone; nothing is computed or fetched yet.

        Args:
            executor, folder: of the job.
            log: told what agrees and what does not.
            stores: asked in this order for the last state of the last final update.
            cache: of this watcher alone.
            hooks: how the party departs from the program, for drills.
            pool: of honest processes that share the cache; listed: the stores that they know.

        Raises:
            UsageError: there is a pool and no cache, or a drill.
        """
        if pool is not None and (cache is None or hooks is not HONEST):
            raise UsageError(
                "processes that replay share a cache with the watcher, and take part in no drill"
            )
        self._geometry, self._log = folder.job.geometry, log
        self._stores, self._cache = tuple(stores), cache
        self._executor, self._folder, self._hooks = executor, folder, hooks
        self.trace = trace_of_job(executor, folder, hooks=hooks, recall=self._recall)
        self._apart = Apart(executor, folder, hooks=hooks, words=self._words, cache=cache, log=log)
        self._claims: Claims | None = None
        if pool is not None and cache is not None:
            self._claims = Claims(pool, folder, cache=cache, stores=listed, at_home=self._at_home, log=log)
        self.differences: dict[bytes, int | None] = {}
        self._own = {0: folder.job.genesis}
        self._relied = 0
        self._fetched: tuple[int, Sequence[Words]] | None = None
        self._asked: set[tuple[int, bytes]] = set()

    def trace_of(self, segment: int) -> ReplayTrace:
        """The trace to play a dispute of a segment from: of the job, or from the posted state (A-16)."""
        return self._apart.traces.get(segment, self.trace)

    def ready(self, segment: int) -> bool:
        """Whether the state that a segment starts from is known without a replay."""
        step = self._step(segment)
        return segment in self._apart.traces or self.trace.nearest(step) == step

    def playable(self, segment: int) -> bool:
        """Whether a dispute of a segment can be played: not if its posted start can be had nowhere (A-16)."""
        return self._apart.playable(segment, self._own)

    def advance(
        self,
        chain: Sequence[UpdateInfo],
        wanted: Iterable[int] = (),
        *,
        now: int = 0,
        record: Mapping[bytes, int] | None = None,
    ) -> bool:
        """Do one piece of work: replay at most one segment, or compare. False if there is nothing to do.

        With a pool it also waits a moment for what its processes find.

        Args:
            chain: the live updates of the job in order.
            wanted: segments whose first state is needed before anything else: those under dispute.
            now: time of the chain in seconds; record: by trainer what the chain has against it (A-18).
        """
        disputed = set(wanted)
        accused = disputed | {segment for segment in self.differences.values() if segment is not None}
        self._apart.settle([c for c in claims_of(chain) if c.segment in accused], disputed, self._own)
        goal = min((segment for segment in disputed if not self.ready(segment)), default=None)
        if goal is not None and any(self._apart.play(c) for c in claims_of(chain) if c.segment == goal):
            return True
        if goal is None:
            compared = len(self.differences)
            goal = self._goal(chain)
            self._press(chain, now)
            if goal is None:
                return len(self.differences) > compared
            if self._rely(chain, goal) or self._side_by_side(chain, record or {}):
                return True
        elif self._rely(chain, goal):
            return True
        self._derive(goal)
        return True

    def _derive(self, goal: int) -> None:
        """Replay one segment on the way to a place, in order."""
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

    def left(self, chain: Sequence[UpdateInfo]) -> int:
        """Return how many segments are to be replayed, one after the other, until all are compared."""
        goal = self._goal(chain)
        if goal is None:
            return 0
        if self._claims is not None and self._claims.pool.usable:
            return -(-self._claims.left(self._open_claims(chain)) // self._claims.pool.backend.size)
        known = self.trace.nearest(self._step(goal)) // self._geometry.stride
        return max(chain[-1].first_segment + chain[-1].segments - known, 1)

    # ---------------------------------------------------------------- side by side

    def _side_by_side(self, chain: Sequence[UpdateInfo], record: Mapping[bytes, int]) -> bool:
        """Let the pool go on; False where it can do nothing, and the next segment is derived here."""
        claims = self._claims
        if claims is None or not claims.pool.usable:
            return False
        busy = claims.advance(self._open_claims(chain), record)
        if not claims.pool.usable and not claims.pool.backend.own:
            # What others said is believed no more: begin again from what was derived here.
            self._own = {0: self._folder.job.genesis}
            self.differences = {u: d for u, d in self.differences.items() if d is not None}
            self._relied = 0
        return busy

    def _open_claims(self, chain: Sequence[UpdateInfo]) -> list[Claim]:
        """Claims of updates that are not compared yet, up to the first wrong one: what follows falls."""
        live: list[UpdateInfo] = []
        for update in chain:
            if self.differences.get(update.update) is not None:
                break
            if update.update not in self.differences:
                live.append(update)
        return list(claims_of(live))

    def _at_home(self, claim: Claim) -> bytes | None:
        words = self._words(claim.segment, claim.start)
        if words is None:
            return None
        first, count = self._step(claim.segment), self._geometry.steps_of(claim.segment)
        state, _ = replay_segment(self._executor, words, first, count)
        root = state_root(state, self._geometry.tensor_height, self._geometry.n_slots)
        if root != claim.end and self._cache is not None:
            self._cache.keep(claim.start, words)  # the dispute is played from there
        return root

    def _words(self, place: int, root: bytes) -> Sequence[Words] | None:
        """The state with a root, if it is known, in the cache or in a store; hashed."""
        if root == self._folder.job.genesis:
            return self._folder.genesis
        step = self._step(place)
        if self._own.get(place) == root and self.trace.nearest(step) == step:
            return self.trace.state_words(step)
        found = None if self._cache is None else self._cache.load(place, root)
        for store in self._stores if found is None else ():
            try:
                found = store.load(place, root)
            except GavelError as error:
                self._log.once(f"{error}; the state is derived instead", level="warning", store=store.name)
            if found is not None:
                break
        return found

    def _press(self, chain: Sequence[UpdateInfo], now: int) -> None:
        """Accuse with any wrong claim that is known, where little time is left for those before it (A-16)."""
        if self._claims is None:
            return
        known, window = self._claims.known, self._folder.job.clocks.window
        late = [u for u in chain if u.status == UpdateStatus.PENDING and 2 * (u.deadline - now) < window]
        for update in late:
            wrong = (c for c in claims_of([update]) if known.get(c.key, c.end) != c.end)
            claim = next(wrong, None) if update.update not in self.differences else None
            if claim is None or not self._apart.play(claim):
                continue
            self.differences[update.update] = claim.segment
            self._log(
                f"segment {claim.segment + 1}: WRONG, wherever the state before it comes from, which is not "
                "known yet; as the deadline is near it is disputed from the posted state: keep the cache "
                "until that dispute is closed",
                level="warning",
                segment=claim.segment,
                update=claim.update,
                state=known[claim.key],
            )

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
            if own is None and self._claims is not None:
                # All before it agrees, so what leads there from the posted state leads there in the job.
                start = (update.first_state, *update.states)[number]
                own = self._claims.known.get((place - 1, start))
                if own is not None:
                    self._own[place] = own
                if own == posted:
                    continue
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
        if (place, root) in self._asked or (self._claims is not None and self._agrees(place, root)):
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
        root = self._own.get(place, self._cache.roots.get(place))
        return None if root is None else self._cache.load(place, root)

    def _step(self, place: int) -> int:
        return min(place * self._geometry.stride, self._geometry.steps)
