"""What strangers, slow parties and spammers try against an honest side, or beside a cheat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from gavel.demo.parties import TrainingParty
from gavel.guarding import guards_of
from gavel.scenarios.cheats import DEFAULT, cheat
from gavel.scenarios.conduct import Conduct, Waiting
from gavel.scenarios.decision import Decision, Leaf
from gavel.scenarios.ground import Lie
from gavel.scenarios.scenario import Attack, Play, Played, Scenario
from gavel.scenarios.stage import REQUESTER, SECOND, THIRD, TRAINER, WATCHER, Stage
from gavel.scenarios.strangers import Bogus, Mute, Reserver, Spammer, guarding
from gavel.scenarios.timing import Asked, Wait
from protocol.errors import MismatchError
from protocol.game.ids import Kind
from protocol.game.view import DisputeStatus

FLOOD: Final = 6
"""Candidates of a flood."""

EACH: Final = 2
"""Disputes of every segment that a spammer opens."""

RESERVED: Final = 6
"""Reservations of a spammer."""


def _lie(stage: Stage, step: int, seed: int) -> Lie:
    return cheat(DEFAULT).prepare(stage.folder, step=step, seed=seed)


def segments(stage: Stage, step: int) -> int:
    """Segments up to that of a step."""
    return step // stage.folder.job.geometry.stride + 1


def lost(stage: Stage) -> int:
    """Disputes that were lost so far."""
    return sum(dispute.status == DisputeStatus.LOST for dispute in stage.view.disputes())


def _accused(stage: Stage, lie: Lie, *, waits: Wait | None = None) -> None:
    """A challenger that believes a lie plays until it has lost, and leaves (A-6 would have it try again)."""
    if waits is None:
        stage.watcher(hooks=lie.hooks)
    else:
        stage.seat(WATCHER, Waiting(**stage.watching(WATCHER), hooks=lie.hooks, waits=waits))
    stage.play(until=lambda: lost(stage) == 1)
    stage.leave(WATCHER)


# -------------------------------------------------------------------- candidates


def _bogus(stage: Stage, role: str, kind: Kind, number: int) -> None:
    stage.seat(role, Bogus(**guarding(stage, role), kind=kind, number=number))


def _identical(stage: Stage, step: int, seed: int) -> Played:
    lie = _lie(stage, step, seed)
    stage.seat(SECOND, Mute(**guarding(stage, SECOND), trainer=stage.address(TRAINER)))
    stage.trainer().train(segments(stage, step))
    _accused(stage, lie)
    return Played(expected=lie.decision)


def _flood_beside_a_liar(kind: Kind, stage: Stage, step: int, seed: int) -> Played:
    cheating = cheat(_BESIDE[kind])
    lie = cheating.prepare(stage.folder, step=step, seed=seed)
    _bogus(stage, SECOND, kind, FLOOD)
    trainer = stage.trainer(hooks=lie.hooks, conduct=cheating.conduct)
    trainer.train(segments(stage, step))
    stage.watcher()
    stage.play()
    place = None if kind == Kind.STEPS else step
    return Played(expected=Decision(level=kind, leaf=Leaf.SILENCE, step=place))


_BESIDE: Final[Mapping[Kind, str]] = MappingProxyType(
    {Kind.STEPS: "silent-nodes-commit", Kind.NODES: "silent-nodes-reveal"}
)
"""Which cheat hides beside a flood at a kind of position."""


def _stalled(stage: Stage, lie: Lie, step: int) -> Played:
    """A challenger that believes a lie stops when it is to choose from outputs, and is timed out."""
    stage.stalling(hooks=lie.hooks, stalls_at=Kind.NODES)
    stage.play(until=lambda: lost(stage) == 1)
    stage.leave(WATCHER)
    return Played(expected=Decision(level=Kind.NODES, leaf=Leaf.TIMEOUT, step=step))


def _flood_beside_a_right_one(stage: Stage, step: int, seed: int) -> Played:
    lie = _lie(stage, step, seed)
    _bogus(stage, SECOND, Kind.STEPS, FLOOD)
    stage.trainer().train(segments(stage, step))
    return _stalled(stage, lie, step)


def _bogus_below(stage: Stage, step: int, seed: int) -> Played:
    lie = _lie(stage, step, seed)
    _bogus(stage, SECOND, Kind.NODES, 1)
    stage.trainer().train(segments(stage, step))
    return _stalled(stage, lie, step)


def _vanished(stage: Stage, step: int, seed: int) -> Played:
    """The trainer is gone; a watcher that defends stands in."""
    lie = _lie(stage, step, seed)
    trainer = _gone(stage, step)
    _accused(stage, lie)
    stage.seat(TRAINER, trainer.agent)  # comes back for its reward
    return Played(expected=lie.decision)


def _vanished_beside_bogus(stage: Stage, step: int, seed: int) -> Played:
    """The same, beside a bogus defender."""
    lie = _lie(stage, step, seed)
    trainer = _gone(stage, step)
    _bogus(stage, SECOND, Kind.STEPS, 1)
    played = _stalled(stage, lie, step)
    stage.seat(TRAINER, trainer.agent)
    return played


def _half_vanished(stage: Stage, step: int, seed: int) -> Played:
    """A trainer that has committed to its states answers no more; a watcher that defends goes on for it."""
    lie = _lie(stage, step, seed)
    conduct = Conduct(silent_at=(Kind.NODES, "commit"))
    stage.trainer(conduct=conduct).train(segments(stage, step))
    _saver(stage)
    return _stalled(stage, lie, step)


def _gone(stage: Stage, step: int) -> TrainingParty:
    """A trainer that has posted and left, and a watcher that defends."""
    trainer = stage.trainer()
    trainer.train(segments(stage, step))
    stage.leave(TRAINER)
    _saver(stage)
    return trainer


def _saver(stage: Stage) -> None:
    saver = stage.watcher(THIRD)
    for guard in guards_of(
        saver,
        stage.contracts[THIRD],
        stage.folder,
        log=stage.binding(THIRD)["log"],
        account=stage.address(THIRD),
    ):
        stage.seat(THIRD, guard)


# -------------------------------------------------------------------- openings


def _spam(stage: Stage, step: int, _seed: int) -> Played:
    stage.trainer().train(segments(stage, step))
    stage.seat(SECOND, Spammer(**stage.binding(SECOND), each=EACH))
    stage.play(until=lambda: lost(stage) == EACH * segments(stage, step))
    return Played(expected=Decision(level=Kind.STEPS, leaf=Leaf.TIMEOUT))


def _reservations(stage: Stage, step: int, _seed: int) -> Played:
    stage.trainer().train(segments(stage, step))
    stage.seat(SECOND, Reserver(**stage.binding(SECOND), number=RESERVED))
    stage.watcher()
    stage.play()
    return Played()


# -------------------------------------------------------------------- time


def _slow_challenger(waits: Wait, stage: Stage, step: int, seed: int) -> Played:
    """A challenger with nothing waits; where it waits too long, that decides."""
    lie = _lie(stage, step, seed)
    trainer = stage.trainer()
    trainer.train(segments(stage, step))
    trainer.release()  # the dispute outlasts the lease
    _accused(stage, lie, waits=waits)
    if not waits.by:
        return Played(expected=lie.decision)
    level = _kind(waits)
    return Played(
        expected=Decision(level=level, leaf=Leaf.TIMEOUT, step=step),
        refused=_one(stage.refused(WATCHER)),
    )


def _slow_liar(waits: Wait, stage: Stage, step: int, seed: int) -> Played:
    """A cheat waits; where it waits too long, that decides."""
    lie = _lie(stage, step, seed)
    stage.trainer(hooks=lie.hooks, conduct=Conduct(waits=waits)).train(segments(stage, step))
    stage.watcher()
    stage.play()
    if not waits.by:
        return Played(expected=lie.decision)
    level = _kind(waits)
    if waits.at and waits.at[1] == "reveal":  # which anybody can send at any time, and which saves nobody now
        return Played(expected=Decision(level=level, leaf=Leaf.SILENCE, step=step))
    return Played(
        expected=Decision(level=level, leaf=Leaf.NO_COMMITMENT, step=step),
        refused=_one(stage.refused(TRAINER)),
    )


def _kind(waits: Wait) -> Kind:
    if waits.at is None:
        raise MismatchError("who is late once is late for one move; name it")
    return waits.at[0]


def _one(refused: tuple[str, ...]) -> tuple[str, ...]:
    """The refusal of a move that came too late, of which there must be one."""
    if len(refused) != 1:
        raise MismatchError(f"one late move must be refused, and refused were {refused}")
    return refused


def _censored_watcher(stage: Stage, step: int, seed: int) -> Played:
    """An honest watcher's one move is mined in the last second that its reserve leaves it."""
    lie = _lie(stage, step, seed)
    stage.trainer(hooks=lie.hooks).train(segments(stage, step))
    waits = Wait(at=(Kind.TENSOR, "choose"))
    stage.seat(WATCHER, Waiting(**stage.watching(WATCHER), waits=waits))
    stage.play()
    return Played(expected=lie.decision)


def _censored_trainer(stage: Stage, step: int, seed: int) -> Played:
    """An honest trainer's one reveal is mined in the last second that its reserve leaves it."""
    lie = _lie(stage, step, seed)
    waits = Wait(at=(Kind.NODES, "reveal"))
    stage.trainer(conduct=Conduct(waits=waits)).train(segments(stage, step))
    _accused(stage, lie)
    return Played(expected=lie.decision)


# -------------------------------------------------------------------- all of them

_WATCHING: Final = frozenset({REQUESTER, WATCHER})
_TRAINING: Final = frozenset({REQUESTER, TRAINER})
_BURNED: Final = "the update bond, of which a share is burned"
_CHALLENGE: Final = "the challenge bond, of which a share is burned"


def stranger_attacks(part: str) -> Iterator[Scenario]:
    """The scenarios of this module."""

    def made(
        name: str,
        text: str,
        run: Play,
        honest: frozenset[str],
        **attack: Any,
    ) -> Scenario:
        return Scenario(name=name, text=text, part=part, honest=honest, run=run, attack=Attack(**attack))

    yield made(
        "identical-silent",
        "a stranger posts the honest roots first and goes silent, beside a challenger with nothing",
        _identical,
        _TRAINING,
        tries="that nobody answers for the root that stands already",
        must_cost="the challenge bond; the stranger its gas and the use of its bonds",
    )
    for kind, name in ((Kind.STEPS, "states"), (Kind.NODES, "outputs")):
        yield made(
            f"flood-{kind.name.lower()}-liar",
            f"the {_BESIDE[kind]} cheat, hidden beside {FLOOD} bogus candidates for the {name}",
            partial(_flood_beside_a_liar, kind),
            _WATCHING,
            tries="that the watcher gives up, or pays more gas than it gets",
            must_cost="a defence bond for each candidate, which pays who fells it",
            units=FLOOD,
            beyond=_BESIDE[kind],
        )
    yield made(
        "flood-steps-honest",
        f"{FLOOD} bogus candidates beside an honest trainer's, and a challenger with nothing",
        _flood_beside_a_right_one,
        _TRAINING,
        tries="that the honest candidate is lost among others, or falls with them",
        must_cost="the challenge bond; defence bonds come back, as nobody honest has to fell them",
        units=FLOOD,
        beyond="stall-nodes",
    )
    yield made(
        "bogus-below-honest",
        "a bogus candidate for the outputs, below the honest trainer's states, and a challenger with nothing",
        _bogus_below,
        _TRAINING,
        tries="that the honest states fall with what a stranger commits below them",
        must_cost="the challenge bond; the defence bond comes back, as nobody honest has to fell it",
        beyond="stall-nodes",
    )
    saving = frozenset({REQUESTER, TRAINER, THIRD})
    yield made(
        "vanished-saved",
        "an honest trainer has vanished; a challenger with nothing disputes its update, a watcher defends it",
        _vanished,
        saving,
        tries="that nobody answers for a right update",
        must_cost=_CHALLENGE,
    )
    yield made(
        "vanished-bogus",
        "the same, and an accomplice of the challenger poses as a defender with a bogus candidate",
        _vanished_beside_bogus,
        saving,
        tries="that the watcher stays away since somebody defends, or loses its bond beside the bogus one",
        must_cost="the challenge bond; the defence bond comes back, as nobody honest has to fell it",
    )
    yield made(
        "half-vanished",
        "a trainer commits to its states and falls silent, a watcher goes on for it, the challenger stops",
        _half_vanished,
        saving,
        tries="that nobody goes on with a defence that somebody else began",
        must_cost="the challenge bond, which pays the trainer; the watcher's gas is its own (M-9)",
    )
    yield made(
        "opening-spam",
        f"{EACH} disputes of each of two segments of a right update, opened at once and not played",
        _spam,
        _TRAINING,
        tries="to make the trainer pay gas in many disputes, and to hold finality back",
        must_cost="every challenge bond",
        units=2 * EACH,
    )
    yield made(
        "reservation-spam",
        f"{RESERVED} reservations that are not opened",
        _reservations,
        _TRAINING | {WATCHER},
        tries="to hold finality back",
        must_cost="gas, and the use of the bonds",
        units=RESERVED,
    )
    late: tuple[tuple[str, str, Callable[[Wait], Play], Asked], ...] = (
        (
            "late-choice",
            "a challenger with nothing chooses",
            _partial(_slow_challenger),
            (Kind.TENSOR, "choose"),
        ),
        (
            "late-commit",
            f"the {DEFAULT} cheat commits to partial sums",
            _partial(_slow_liar),
            (Kind.FOLD, "commit"),
        ),
        ("late-reveal", f"the {DEFAULT} cheat reveals outputs", _partial(_slow_liar), (Kind.NODES, "reveal")),
    )
    for name, text, run, at in late:
        accusing = at[1] == "choose"
        yield made(
            name,
            f"{text} one second after the last one in time, once",
            run(Wait(at=at, by=1)),
            _TRAINING if accusing else _WATCHING,
            tries="to be taken as in time",
            must_cost=_CHALLENGE if accusing else _BURNED,
        )
    yield made(
        "slow-challenger",
        "a challenger with nothing makes every move in the last second that is left to it",
        partial(_slow_challenger, Wait()),
        _TRAINING,
        tries="to hold finality back, and to leave the trainer no time",
        must_cost=_CHALLENGE,
    )
    yield made(
        "slow-liar",
        f"the {DEFAULT} cheat makes every move in the last second that is left to it",
        partial(_slow_liar, Wait()),
        _WATCHING,
        tries="to outlast the watcher",
        must_cost=_BURNED,
    )
    yield made(
        "censored-watcher",
        f"the {DEFAULT} cheat, and one choice of the watcher kept from the chain until the last second",
        _censored_watcher,
        _WATCHING,
        tries="to win by censoring one transaction",
        must_cost=_BURNED,
    )
    yield made(
        "censored-trainer",
        "a challenger with nothing, and one reveal of the trainer kept from the chain until the last second",
        _censored_trainer,
        _TRAINING,
        tries="to win by censoring one transaction",
        must_cost=_CHALLENGE,
    )


def _partial(play: Callable[[Wait, Stage, int, int], Played]) -> Callable[[Wait], Play]:
    return lambda waits: partial(play, waits)
