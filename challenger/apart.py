"""Disputes that are played from a posted state, not from the replay of the whole job (actors.md, A-16)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from challenger.cache import Cache
from challenger.claims import Claim
from protocol.chain.log import Said
from protocol.commitments.canonical import Words
from protocol.game.trace import Hooks
from protocol.job_folder import JobFolder
from prover.engine.executor import Executor
from prover.engine.trace import ReplayTrace


class Apart:
    """Traces that begin at the posted state before one segment each.

    Attributes:
        traces: by segment.
    """

    def __init__(
        self,
        executor: Executor,
        folder: JobFolder,
        *,
        hooks: Hooks,
        words: Callable[[int, bytes], Sequence[Words] | None],
        cache: Cache | None,
        log: Said,
    ) -> None:
        """Nothing is fetched yet.

        Args:
            words: from a place and a root to flat uint32 words of every slot, hashed, where they can be had.
            cache: keeps what a dispute is played from.
        """
        self._executor, self._geometry, self._hooks = executor, folder.job.geometry, hooks
        self._words, self._cache, self._log = words, cache, log
        self._starts: dict[int, bytes] = {}
        self.traces: dict[int, ReplayTrace] = {}
        self._accused: dict[int, bytes] = {}

    def play(self, claim: Claim) -> bool:
        """Make a trace from the posted state before a claim; whether its words could be had."""
        words = self._words(claim.segment, claim.start)
        if words is None:
            return False
        self._starts[claim.segment] = claim.start
        self.traces[claim.segment] = ReplayTrace(
            self._executor,
            state=words,
            first_step=claim.segment * self._geometry.stride,
            stride=self._geometry.stride,
            n_steps=self._geometry.steps,
            range_log2=self._geometry.range_log2,
            hooks=self._hooks,
        )
        if self._cache is not None and not self._cache.has(claim.start):
            self._cache.keep(claim.start, words)
        return True

    def settle(self, accused: Collection[Claim], disputed: Collection[int], own: Mapping[int, bytes]) -> None:
        """Let go of what is not accused any more; find disputes that cannot be played.

        Args:
            accused: claims of the chain that are found wrong, or under dispute.
            disputed: segments under own disputes.
            own: by place the root that the watcher derives.
        """
        starts = {claim.segment: claim.start for claim in accused}
        for segment in [s for s, start in self._starts.items() if starts.get(s) != start]:
            del self.traces[segment], self._starts[segment]
        if self._cache is not None:
            self._cache.pin(starts.values())
        self._accused = starts
        for segment in [s for s in disputed if not self.playable(s, own)]:
            self._log.once(
                f"the dispute of segment {segment + 1} CANNOT BE PLAYED: the posted state before it is not "
                "the job's, and its words are lost; put the cache back, or name a --store that has them",
                level="error",
                segment=segment,
            )

    def playable(self, segment: int, own: Mapping[int, bytes]) -> bool:
        """Whether a dispute can be played: not where its posted start is not the job's and its words lost."""
        start = self._accused.get(segment)
        return start is None or segment in self.traces or own.get(segment, start) == start
