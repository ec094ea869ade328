"""Every cheat of a trainer, by name: what it does, and what must decide about it.

Each is the honest trainer with one hook changed (lies.py), or with another conduct on the chain (conduct.py);
it defends what it has really computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Final

from gavel.scenarios import lies
from gavel.scenarios.conduct import FAITHFUL, Conduct
from gavel.scenarios.decision import Decision, Leaf
from gavel.scenarios.ground import Ground, Lie
from gavel.scenarios.timing import Asked
from protocol.commitments.tree import height
from protocol.errors import UsageError
from protocol.game.ids import Kind
from protocol.game.trace import HONEST
from protocol.job_folder import JobFolder
from protocol.program.address import n_ranges

DEFAULT: Final = "partial-sum"

LISTS: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        Kind.STEPS: "a list of states",
        Kind.NODES: "a list of outputs",
        Kind.TENSOR: "a list of pages",
        Kind.PAGE: "the words of a page",
        Kind.STATE: "a list of slots",
        Kind.FOLD: "a list of partial sums",
    }
)
"""What is revealed at each level, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cheat:
    """One way to cheat.

    Attributes:
        name: as `gavel demo --cheat` takes it.
        text: one line for people: what it does.
        changes: what of the honest trainer is changed: a hook, or its conduct.
        decides: level and leaf that must decide; None: nothing, since the posted states are right.
        tell: the lie, in terms of a job.
        conduct: how it posts and answers.
    """

    name: str
    text: str
    changes: str
    decides: tuple[Kind, Leaf] | None
    tell: Callable[[Ground], Lie]
    conduct: Conduct = FAITHFUL

    def prepare(self, folder: JobFolder, *, step: int, seed: int) -> Lie:
        """Fit the cheat to a job.

        Args:
            step: from the start of the job.
            seed: chooses among the words, bits and slots that would do.

        Raises:
            UsageError: the job has no such step, or no place for this cheat.
        """
        lie = self.tell(Ground.of(folder, step=step, seed=seed))
        asked = self.conduct.silent_at or self.conduct.garbage_at
        if asked is not None and not _is_asked(
            folder, asked, lie, garbage=self.conduct.garbage_at is not None
        ):
            raise UsageError(
                f"{self.name}: a dispute about this job never asks for that, as the list that comes with the "
                "commitment has all there is; name another cheat"
            )
        if self.conduct == FAITHFUL or self.decides is None:
            return lie
        level, leaf = self.decides
        return replace(
            lie, decision=Decision(level=level, leaf=leaf, step=None if level == Kind.STEPS else step)
        )


def _is_asked(folder: JobFolder, asked: Asked, lie: Lie, *, garbage: bool) -> bool:
    """Whether the defence of a lie ever has to give this answer, and garbage in it is asked for later."""
    kind, answer = asked
    geometry = folder.job.geometry
    if (answer == "commit" and not garbage) or kind == Kind.PAGE:
        return True
    if kind == Kind.TENSOR:
        return geometry.tensor_height > 0
    if kind == Kind.STATE:
        return geometry.state_height > 0
    trees = {Kind.STEPS: geometry.steps_height, Kind.NODES: geometry.nodes_height}
    if lie.decision is not None and lie.decision.node is not None:
        node = folder.program.nodes[lie.decision.node]
        trees[Kind.FOLD] = height(n_ranges(node, geometry.range_log2) + 1)
    return trees.get(kind, 0) > geometry.fanout_log2


def _honest(ground: Ground) -> Lie:
    del ground
    return Lie(hooks=HONEST, decision=None)


_FORWARD: Final = partial(lies.partial_sum, forward=True)

_RANGE: Final = (Kind.FOLD, Leaf.RANGE)
_WORD: Final = (Kind.PAGE, Leaf.WORD)
_LINK: Final = (Kind.STATE, Leaf.LINK)

_LIES: Final = (
    Cheat(
        name=DEFAULT,
        text="a corrupted partial sum of one element of the forward pass's last matrix product",
        changes="output, accumulators",
        decides=_RANGE,
        tell=_FORWARD,
    ),
    Cheat(
        name="gradient-sum",
        text="a corrupted partial sum of one element of a weight gradient",
        changes="output, accumulators",
        decides=_RANGE,
        tell=partial(lies.partial_sum, forward=False),
    ),
    Cheat(
        name="detour",
        text="partial sums that end in the word that was posted, by a wrong way",
        changes="output, accumulators",
        decides=_RANGE,
        tell=partial(lies.partial_sum, forward=True, detour=True),
    ),
    Cheat(
        name="softmax",
        text="one corrupted exponential of the softmax",
        changes="output",
        decides=_WORD,
        tell=lies.softmax,
    ),
    Cheat(
        name="learning-rate",
        text="twice the learning rate, in the step's table",
        changes="output",
        decides=_WORD,
        tell=lies.learning_rate,
    ),
    Cheat(
        name="other-rows",
        text="the rows of another step, not those that the schedule says",
        changes="output",
        decides=_WORD,
        tell=lies.other_rows,
    ),
    Cheat(
        name="stale-moment",
        text="a moment of the optimizer as it was before the step",
        changes="output",
        decides=_WORD,
        tell=lies.stale_moment,
    ),
    Cheat(
        name="weight-bit",
        text="one flipped bit in one weight after the step",
        changes="next_state",
        decides=_LINK,
        tell=lies.weight_bit,
    ),
    Cheat(
        name="skipped-step",
        text="a step left out",
        changes="next_state",
        decides=_LINK,
        tell=lies.skipped_step,
    ),
    Cheat(
        name="swapped-slot",
        text="a slot of the next state that is another node's output",
        changes="next_state",
        decides=_LINK,
        tell=lies.swapped_slot,
    ),
    Cheat(
        name="padded-word",
        text="a word that is not zero past the end of a tensor",
        changes="output",
        decides=(Kind.PAGE, Leaf.ZERO_WORD),
        tell=lies.padded_word,
    ),
    Cheat(
        name="padded-page",
        text="a page past the last one of a tensor",
        changes="output",
        decides=(Kind.TENSOR, Leaf.ZERO_PAGE),
        tell=lies.padded_page,
    ),
    Cheat(
        name="absent-page",
        text="a tensor without its last page",
        changes="output",
        decides=(Kind.TENSOR, Leaf.ABSENT_PAGE),
        tell=lies.absent_page,
    ),
    Cheat(
        name="padded-slot",
        text="a slot after the last one of the state",
        changes="next_state",
        decides=(Kind.STATE, Leaf.ZERO_SLOT),
        tell=lies.padded_slot,
    ),
    Cheat(
        name="vanishing",
        text="a wrong word that is gone before the end of the step: no fault",
        changes="output",
        decides=None,
        tell=lies.vanishing,
    ),
    Cheat(
        name="last-state",
        text="a wrong last state posted beside a right history, which is all that it can defend",
        changes="what it posts",
        decides=(Kind.STEPS, Leaf.NO_COMMITMENT),
        tell=_honest,
        conduct=Conduct(posts_wrong_last=True),
    ),
)


def _answers() -> Iterator[Cheat]:
    """Silence at each move that a trainer can be asked for, and garbage at some."""
    committed = {
        Kind.STEPS: "states",
        Kind.NODES: "outputs of the step",
        Kind.FOLD: "partial sums of the word",
    }
    for kind, what in committed.items():
        yield Cheat(
            name=f"silent-{kind.name.lower()}-commit",
            text=f"the partial-sum cheat, who does not commit to the {what}",
            changes="stops answering",
            decides=(kind, Leaf.NO_COMMITMENT),
            tell=_FORWARD,
            conduct=Conduct(silent_at=(kind, "commit")),
        )
    for kind in Kind:
        base = lies.weight_bit if kind == Kind.STATE else _FORWARD
        name = "weight-bit" if kind == Kind.STATE else DEFAULT
        yield Cheat(
            name=f"silent-{kind.name.lower()}-reveal",
            text=f"the {name} cheat, who does not reveal {LISTS[kind]}",
            changes="stops answering",
            decides=(kind, Leaf.SILENCE),
            tell=base,
            conduct=Conduct(silent_at=(kind, "reveal")),
        )
    for kind, answer, what in (
        (Kind.TENSOR, "reveal", "hashes of nothing instead of a list of pages"),
        (Kind.PAGE, "reveal", "other words instead of the page"),
    ):
        yield Cheat(
            name=f"garbage-{kind.name.lower()}",
            text=f"the partial-sum cheat, who reveals {what}",
            changes="reveals garbage",
            decides=(kind, Leaf.SILENCE),
            tell=_FORWARD,
            conduct=Conduct(garbage_at=(kind, answer)),  # type: ignore[arg-type]
        )
    yield Cheat(
        name="garbage-nodes",
        text="the partial-sum cheat, who commits to outputs that it cannot reveal",
        changes="commits to garbage",
        decides=(Kind.NODES, Leaf.SILENCE),
        tell=_FORWARD,
        conduct=Conduct(garbage_at=(Kind.NODES, "commit")),
    )


CHEATS: Final[Mapping[str, Cheat]] = MappingProxyType({cheat.name: cheat for cheat in (*_LIES, *_answers())})


def cheat(name: str) -> Cheat:
    """Return the cheat of a name.

    Raises:
        UsageError: there is none.
    """
    if name not in CHEATS:
        raise UsageError(f"there is no cheat {name!r}; choose one of: {', '.join(CHEATS)}")
    return CHEATS[name]
