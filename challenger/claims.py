"""Claims of a chain, replayed side by side: which is next, from which state, and what the answers say (A-15).

Nothing is decided here about updates. What is found is a table: where a segment leads from a state.
"""

from __future__ import annotations

import io
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from random import SystemRandom
from typing import Any, Final

from challenger.cache import Cache
from challenger.parallel import Pool
from challenger.suspicion import Change, Evidence, scores
from challenger.worker import Answer, Task
from protocol.chain.log import Said
from protocol.checkpoints import CheckpointStore
from protocol.commitments.canonical import Words
from protocol.errors import GavelError
from protocol.game.view import UpdateInfo
from protocol.job_folder import JobFolder
from protocol.words_file import read_words
from prover.engine.hashing import state_root

RECHECKED: Final = 1 / 16
"""Share of a cluster's answers that are replayed at home (A-17)."""

WAIT: Final = 1.0
"""Seconds to wait for an answer before the chain is looked at again."""

REFUSED: Final = 300.0
"""Seconds after which a state that could not be had is asked for again."""

MISSES: Final = 3
"""Times that the state before a claim may turn out not to be there."""

AHEAD: Final = 1024
"""Claims that are looked at and ranked together."""

RELIST: Final = 60.0
"""Seconds after which a store's list is read again while something waits for a state."""

_CHANCE: Final = SystemRandom()

Key = tuple[int, bytes]
"""Segment, absolute from 0, and root of the state before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """That a segment leads from one state to another.

    Attributes:
        segment: absolute, from 0; start, end: roots of the states before and after it.
        update, trainer: ids of who says so, 32 and 20 bytes.
    """

    segment: int
    start: bytes
    end: bytes
    update: bytes
    trainer: bytes

    @property
    def key(self) -> Key:
        """What the claim is about."""
        return self.segment, self.start


def claims_of(chain: Sequence[UpdateInfo]) -> Iterator[Claim]:
    """Yield what the updates of a chain claim, in order."""
    for update in chain:
        starts = (update.first_state, *update.states)
        for number, end in enumerate(update.states):
            yield Claim(
                segment=update.first_segment + number,
                start=starts[number],
                end=end,
                update=update.update,
                trainer=update.trainer,
            )


class Claims:
    """What a pool of processes finds of one job.

    Attributes:
        pool: as given.
        known: by claim the root that its segment leads to, as far as it is believed (A-17).
    """

    def __init__(
        self,
        pool: Pool,
        folder: JobFolder,
        *,
        cache: Cache,
        stores: Sequence[CheckpointStore],
        at_home: Callable[[Claim], bytes | None],
        log: Said,
        chance: Callable[[], float] = _CHANCE.random,
    ) -> None:
        """Nothing runs yet.

        Args:
            cache: shared with the pool's processes.
            stores: the same that the processes know, for their lists.
            at_home: replays a claim in this process and returns the root; None without its first state.
            log: told what is found.
            chance: a number in [0, 1) that nobody can foresee.
        """
        self.pool, self.known = pool, dict[Key, bytes]()
        self._folder, self._cache, self._stores, self._log = folder, cache, tuple(stores), log
        self._at_home, self._chance = at_home, chance
        self._running: dict[tuple[Key, bytes], Claim] = {}
        self._home: dict[Key, Claim] = {}
        self._given_up: set[Key] = set()
        self._kept: Counter[Key] = Counter()
        self._misses: Counter[Key] = Counter()
        self._said: dict[Key, bytes] = {}
        self._remote: set[Key] = set()
        self._refused: dict[bytes, float] = {}
        self._listed: dict[bytes, float | None] = {}
        self._listed_at: float | None = None
        self._changes: dict[Key, Change | None] = {}
        self._tip = b""

    def left(self, claims: Sequence[Claim]) -> int:
        """How many claims are not known yet."""
        return sum(claim.key not in self.known for claim in claims)

    def advance(self, claims: Sequence[Claim], record: Mapping[bytes, int]) -> bool:
        """Hear answers, hand out work, or replay one claim at home; False where nothing is to be done.

        Args:
            claims: of the chain in order, from a state that is known.
            record: by trainer what the chain has against it (A-18).
        """
        heard = self._hear(0.0)
        for claim in claims:
            if claim.key not in self.known and self._cache.claims.get(claim.key) == claim.end:
                self.known[claim.key] = claim.end
                heard = True
        given = self._give(claims, record)
        if self._do_homework(claims) or heard or given:
            return True
        if self.pool.busy:
            self._hear(WAIT)
            return True
        return False

    # ---------------------------------------------------------------- answers

    def _hear(self, timeout: float) -> bool:
        answers = self.pool.collect(timeout)
        for answer in answers:
            key = answer.segment, answer.start
            claim = self._running.pop((key, answer.end))
            if answer.end:
                looked = not answer.missing and not answer.trouble
                self._changes[key] = answer.observed() if looked else None
            else:
                self._learn(claim, answer)
        return bool(answers)

    def _learn(self, claim: Claim, answer: Answer) -> None:
        told: dict[str, Any] = {
            "segment": claim.segment,
            "update": claim.update,
            "seconds": round(answer.seconds, 3),
        }
        if answer.trouble:
            self._log.once(f"segment {claim.segment + 1}: {answer.trouble}", level="warning")
        if answer.missing:
            self._refused[claim.start] = time.monotonic()
            self._cache.drop(claim.start)
            self._misses[claim.key] += 1
            if self._misses[claim.key] >= MISSES:
                self._given_up.add(claim.key)
        elif answer.root == claim.end and not self._false_state(answer):
            self._log(f"segment {claim.segment + 1}: agrees, state {claim.end.hex()[:12]}", **told)
            if claim.key not in self._home:
                self._believe(claim)
        else:
            if answer.root:
                self._said[claim.key] = answer.root
                self._log(f"segment {claim.segment + 1}: differs; replays it here before it says so", **told)
            self._home[claim.key] = claim

    def _believe(self, claim: Claim) -> None:
        """Take an answer for true, or choose it for a replay at home before it counts (A-17)."""
        if self.pool.backend.own:
            self.known[claim.key] = claim.end
            self._cache.note_claim(claim.segment, claim.start, claim.end)
            self._cache.trim()
        elif self._chance() < RECHECKED:
            self._said[claim.key] = claim.end
            self._home[claim.key] = claim
        else:
            self.known[claim.key] = claim.end
            self._remote.add(claim.key)

    def _false_state(self, answer: Answer) -> bool:
        """Keep a state that came with an answer; whether it is another one than the answer says."""
        if not answer.state:
            return False
        extents = [spec.extent for spec in self._folder.program.slots]
        geometry = self._folder.job.geometry
        try:
            state: Sequence[Words] = read_words(io.BytesIO(answer.state), extents, what="an answer's state")
        except GavelError:
            return True
        if state_root(state, geometry.tensor_height, geometry.n_slots) != answer.root:
            return True
        self._cache.keep(answer.root, state)
        return False

    # ---------------------------------------------------------------- at home

    def _do_homework(self, claims: Sequence[Claim]) -> bool:
        """Replay one claim in this process: nothing else accuses (A-17)."""
        live = {claim.key for claim in claims}
        self._home = {key: claim for key, claim in self._home.items() if key in live}
        for key, claim in list(self._home.items()):
            del self._home[key]
            root = self._at_home(claim)
            if root is None:
                self._given_up.add(key)  # it is derived in order
                continue
            self._found(claim, root)
            return True
        return False

    def _found(self, claim: Claim, root: bytes) -> None:
        number, said = claim.segment + 1, self._said.pop(claim.key, self.known.get(claim.key, root))
        self.known[claim.key] = root
        self._cache.note_claim(claim.segment, claim.start, root)
        found = "agrees" if root == claim.end else "differs"
        self._log(f"segment {number}: {found}, as replayed here", segment=claim.segment, state=root)
        if said == root:
            return
        if self.pool.backend.own:
            self._log(
                f"MISCALCULATED: two processes of this machine got two states for segment {number}, "
                f"{said.hex()[:12]} and {root.hex()[:12]}; check its memory and processor",
                level="error",
                segment=claim.segment,
            )
        else:
            self.distrust(f"Of segment {number} it said {said.hex()[:12]}, which is not so")

    def distrust(self, why: str) -> None:
        """Believe nothing any more that others have said (A-17)."""
        for key in self._remote:
            self.known.pop(key, None)
        self._remote.clear()
        self._log(f"NOT BELIEVED any more: the cluster. {why}. This watcher replays by itself", level="error")
        self.pool.give_up()

    # ---------------------------------------------------------------- handing out

    def _give(self, claims: Sequence[Claim], record: Mapping[bytes, int]) -> bool:
        """Give idle processes something to do; whether there was something."""
        room, given = self.pool.room(), False
        if not room:
            return False
        waiting = list(islice((claim for claim in claims if self._waits(claim)), AHEAD))
        if not waiting:
            return False
        self._list(claims)
        for claim in self._to_look_at(waiting)[:room]:
            self._submit(claim, Task(segment=claim.segment, start=claim.start, end=claim.end))
            room, given = room - 1, True
        sources = self._sources(claims) if room else {}
        for claim in self.ranked(waiting, record) if room else ():
            source = sources.get(claim.key)
            if room and source is not None and (source.key, b"") not in self._running:
                self._submit(source, self._task(source))
                room, given = room - 1, True
        return given

    def _waits(self, claim: Claim) -> bool:
        key = claim.key
        done = key in self.known or key in self._home or key in self._given_up
        return not done and (key, b"") not in self._running

    def ranked(self, claims: Sequence[Claim], record: Mapping[bytes, int]) -> list[Claim]:
        """Claims in the order in which they are to be replayed: what is suspect first (A-18)."""
        evidence = [
            Evidence(
                segment=claim.segment,
                change=self._changes.get(claim.key),
                loss=self._listed.get(claim.end),
                record=record.get(claim.trainer, 0),
            )
            for claim in claims
        ]
        order = sorted(zip(scores(evidence), claims, strict=True), key=lambda pair: -pair[0])
        return [claim for _, claim in order]

    def _to_look_at(self, waiting: Sequence[Claim]) -> list[Claim]:
        """Claims whose states are to be compared first: only where there is something to choose from."""
        if len(waiting) <= self.pool.backend.size:
            return []
        return [
            claim
            for claim in waiting
            if claim.key not in self._changes
            and (claim.key, claim.end) not in self._running
            and self._had(claim.end)
            and self._had(claim.start)
        ]

    def _sources(self, claims: Sequence[Claim]) -> dict[Key, Claim]:
        """By claim which one is to be replayed so that it can be: itself, or one on the way to its start."""
        sources: dict[Key, Claim] = {}
        source: Claim | None = None
        for claim in claims:
            if self._had(claim.start):
                source = claim
            elif source is not None and self.known.get(source.key, source.end) != source.end:
                source = None  # what was posted after it cannot be derived
            if source is None or source.key in self._given_up or source.key in self._home:
                continue
            if self._kept[source.key] < MISSES:
                sources[claim.key] = source
        return sources

    def _task(self, claim: Claim) -> Task:
        if claim.key in self.known:
            self._kept[claim.key] += 1  # once more, for its state
        inline = not self.pool.backend.own and not self._in_store(claim.start)
        return Task(
            segment=claim.segment,
            start=claim.start,
            keep=not self._had(claim.end),
            state=self._cache.read(claim.start) if inline else b"",
        )

    def _submit(self, claim: Claim, task: Task) -> None:
        self._running[claim.key, task.end] = claim
        self.pool.submit(task)

    # ---------------------------------------------------------------- states at hand

    def _had(self, root: bytes) -> bool:
        """Whether the words of a state are likely to be had without a replay."""
        return root == self._folder.job.genesis or self._cache.has(root) or self._in_store(root)

    def _in_store(self, root: bytes) -> bool:
        refused = self._refused.get(root)
        return root in self._listed and (refused is None or time.monotonic() - refused > REFUSED)

    def _list(self, claims: Sequence[Claim]) -> None:
        """Read what stores list, when the chain has grown or something waits (S-5: it is not believed)."""
        now, tip = time.monotonic(), claims[-1].end
        waits = any(not self._had(claim.start) for claim in claims)
        recent = self._listed_at is not None and now - self._listed_at < RELIST
        if recent and (tip == self._tip or not waits):
            return
        self._listed_at, self._tip, posted = now, tip, {claim.end for claim in claims}
        posted |= {claim.start for claim in claims}
        for store in self._stores:
            try:
                listed = store.checkpoints()
            except GavelError as error:
                self._log.once(f"{error}; goes on without its list", level="warning", store=store.name)
                continue
            for entry in listed:
                if entry.root in posted:
                    losses = entry.losses
                    self._listed[entry.root] = sum(losses) / len(losses) if losses else None
