"""Every scenario by name, and how it is played: cheats against a watcher, challengers against honest
trainers, and the ends of a job (ends.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial
from types import MappingProxyType
from typing import Final

from gavel.scenarios.attacks import stranger_attacks
from gavel.scenarios.cheats import CHEATS, DEFAULT, LISTS, Cheat, cheat
from gavel.scenarios.collusions import collusions
from gavel.scenarios.copycat import Copycat
from gavel.scenarios.decision import Decision, Leaf, decision
from gavel.scenarios.ends import job_ends
from gavel.scenarios.outcome import Outcome, outcome
from gavel.scenarios.scenario import Attack, Played, Scenario
from gavel.scenarios.stage import REQUESTER, SECOND, TRAINER, WATCHER, Stage
from protocol.chain.embedded import EmbeddedChain
from protocol.errors import MismatchError, UsageError
from protocol.game.ids import Kind
from protocol.game.view import DisputeStatus

STEP: Final = 4
"""The step that lies are told in unless another is named: the second one of the second segment."""

CHEATING: Final = "A cheating trainer, an honest watcher"
ACCUSING: Final = "An honest trainer, a dishonest challenger"
ENDING: Final = "How a job ends"
STRANGERS: Final = "Strangers, spam and time"
COLLUDING: Final = "Parties in league, and what they withhold"


def play(name: str, *, step: int = STEP, seed: int = 0, chain: EmbeddedChain | None = None) -> Outcome:
    """Play one scenario, from the deployment of the contracts to the last withdrawal.

    Args:
        name: of `all_scenarios`.
        step: of the small job, in which a lie is told; seed: chooses its words.
        chain: a fresh one to play on, with an account for each role and the deployer; a new one unless given.
            Its transactions are the same every time.

    Raises:
        UsageError: there is no such scenario or no such step.
        MismatchError: it did not end as it must.
    """
    if name not in _SCENARIOS:
        raise UsageError(f"there is no scenario {name!r}; choose one of: {', '.join(_SCENARIOS)}")
    scenario = _SCENARIOS[name]
    with closing(Stage(chain=chain, audited=scenario.audited, change=scenario.change)) as stage:
        played = scenario.run(stage, step, seed)
        stage.finish()
        decided = decision(stage.view, stage.folder, stage.moves())
        if decided != played.expected:
            raise MismatchError(f"{name}: decided by {decided}, and should have been by {played.expected}")
        return outcome(stage, name=name, honest=scenario.honest, decided=decided, refused=played.refused)


def all_scenarios() -> Mapping[str, Scenario]:
    """Every scenario by name, in the order of the table."""
    return _SCENARIOS


# -------------------------------------------------------------------- cheats


def _cheat(cheating: Cheat, stage: Stage, step: int, seed: int) -> Played:
    """A trainer posts up to the segment of the step, in which it cheats; an honest watcher follows it."""
    lie = cheating.prepare(stage.folder, step=step, seed=seed)
    trainer = stage.trainer(hooks=lie.hooks, conduct=cheating.conduct)
    trainer.train(_segments(stage, step))
    stage.watcher()
    stage.play()
    return Played(expected=lie.decision)


def _segments(stage: Stage, step: int) -> int:
    return step // stage.folder.job.geometry.stride + 1


def _copied(stage: Stage, step: int, seed: int) -> Played:
    """Beside the watcher, somebody copies its reservation and its opening."""
    lie = cheat(DEFAULT).prepare(stage.folder, step=step, seed=seed)
    stage.trainer(hooks=lie.hooks).train(_segments(stage, step))
    stage.watcher()
    _copycat(stage)
    stage.play()
    return Played(expected=lie.decision)


def _copycat(stage: Stage) -> Copycat:
    return stage.seat(SECOND, Copycat(**stage.binding(SECOND), seen=lambda: stage.moves(WATCHER)))


# -------------------------------------------------------------------- challengers


def _nothing(lie_of: str, stage: Stage, step: int, seed: int) -> Played:
    """A challenger that believes a lie goes down to it, and loses there."""
    lie = cheat(lie_of).prepare(stage.folder, step=step, seed=seed)
    stage.trainer().train(_segments(stage, step))
    stage.watcher(hooks=lie.hooks)
    stage.play(until=lambda: _lost(stage) == 1)
    stage.leave(WATCHER)  # A-6 would have it try once more
    return Played(expected=lie.decision)


def _lost(stage: Stage) -> int:
    return sum(dispute.status == DisputeStatus.LOST for dispute in stage.view.disputes())


def _stall(lie_of: str, at: Kind | None, stage: Stage, step: int, seed: int) -> Played:
    """A challenger that believes a lie stops moving on the way to it."""
    lie = cheat(lie_of).prepare(stage.folder, step=step, seed=seed)
    stage.trainer().train(_segments(stage, step))
    stage.stalling(hooks=lie.hooks, stalls_at=at)
    stage.play(until=lambda: _lost(stage) == 1)
    stage.leave(WATCHER)
    if at is None:
        return Played()
    return Played(expected=Decision(level=at, leaf=Leaf.TIMEOUT, step=None if at == Kind.STEPS else step))


def _copied_nothing(stage: Stage, step: int, seed: int) -> Played:
    """A challenger with nothing, and somebody who copies its opening: both lose."""
    lie = cheat(DEFAULT).prepare(stage.folder, step=step, seed=seed)
    stage.trainer().train(_segments(stage, step))
    stage.watcher(hooks=lie.hooks)
    _copycat(stage)
    stage.play(until=lambda: _lost(stage) == 1)
    stage.leave(WATCHER)
    stage.play(until=lambda: _lost(stage) == 2)
    return Played(expected=lie.decision)


# -------------------------------------------------------------------- all of them


def _made() -> Iterator[Scenario]:
    watching = frozenset({REQUESTER, WATCHER})
    for name, cheating in CHEATS.items():
        honest = watching if cheating.decides else watching | {TRAINER}
        yield Scenario(
            name=name,
            text=cheating.text,
            part=CHEATING,
            honest=honest,
            run=partial(_cheat, cheating),
            attack=Attack(
                tries="that a wrong state becomes final",
                must_cost="the update bond" if cheating.decides else "nothing: what it posts is right (A-3)",
            ),
        )
    yield Scenario(
        name="copied-opening",
        text=f"the {DEFAULT} cheat, and somebody who copies the watcher's reservation and opening",
        part=CHEATING,
        honest=watching,
        run=_copied,
        attack=Attack(
            tries="to be credited with what somebody else has found",
            must_cost="the update bond; the challenge bond of who copies",
        ),
    )
    training = frozenset({REQUESTER, TRAINER})
    for lie_of in (DEFAULT, "softmax", "weight-bit", "padded-word", "padded-page", "padded-slot"):
        yield Scenario(
            name=f"nothing-{lie_of}",
            text=f"a challenger with nothing, who says that there is {cheat(lie_of).text}",
            part=ACCUSING,
            honest=training,
            run=partial(_nothing, lie_of),
            attack=Attack(tries="to fell a right update", must_cost="the challenge bond"),
        )
    yield Scenario(
        name="stall-unopened",
        text="a challenger who reserves and does not open",
        part=ACCUSING,
        honest=training,
        run=partial(_stall, DEFAULT, None),
        attack=Attack(tries="to hold finality back", must_cost="gas, and the use of the bond"),
    )
    for kind in Kind:
        yield Scenario(
            name=f"stall-{kind.name.lower()}",
            text=f"a challenger who stops when it is to choose from {LISTS[kind]}",
            part=ACCUSING,
            honest=training,
            run=partial(_stall, "weight-bit" if kind == Kind.STATE else DEFAULT, kind),
            attack=Attack(tries="to hold finality back", must_cost="the challenge bond"),
        )
    yield Scenario(
        name="copied-nothing",
        text="a challenger with nothing, and somebody who copies its reservation and opening",
        part=ACCUSING,
        honest=training,
        run=_copied_nothing,
        attack=Attack(tries="to fell a right update by numbers", must_cost="both challenge bonds"),
    )
    yield from job_ends(ENDING)
    yield from stranger_attacks(STRANGERS)
    yield from collusions(COLLUDING)


_SCENARIOS: Final[Mapping[str, Scenario]] = MappingProxyType({made.name: made for made in _made()})
