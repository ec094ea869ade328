"""Plays a world: sensible calls, spoiled ones, strays, and time that moves to deadlines; the honest in time.

All choices come from the `random.Random` that a driver is given. Hypothesis chooses its seeds and can make a
failure smaller; the long profile hands in a seeded one.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Final

from tests.stateful import rules
from tests.stateful.calls import HONEST, Call
from tests.stateful.ghost_base import NOBODY, Refused
from tests.stateful.ghost_records import CHALLENGER, DEFENDER, OPEN
from tests.stateful.honest import Honest
from tests.stateful.material import material
from tests.stateful.sensible_board import SensibleBoard, Suggestion
from tests.stateful.sensible_court import SensibleCourt
from tests.stateful.spoil import Spoiler
from tests.stateful.truth import Truth
from tests.stateful.untimely import Untimely
from tests.stateful.world import World

FULL_EVERY: Final = 40
"""Calls after which everything is compared, not only what was touched."""

COURT: Final = [
    "reserve",
    "cancel_reservation",
    "open",
    "delegate",
    "commit",
    "reveal",
    "reveal_page",
    "select",
    "select_step",
    "select_word",
    "silence",
    "timeout",
    "settle",
    "close",
    "free",
]
CONTRACTS: Final = ("token_", "board_", "availability_")


class Driver:
    """Plays one world.

    Attributes:
        calls: made so far.
    """

    FUNCTIONS: Final = [
        *(f"court.{name}" for name in COURT),
        "verifier.prove",
        *(name.replace("_", ".", 1) for name in vars(SensibleBoard) if name.startswith(CONTRACTS)),
    ]

    def __init__(self, world: World, random: Random) -> None:
        """Take over a fresh world."""
        self.world, self.random = world, random
        self.truth = Truth(material(), world.ghost.court)
        self.board = SensibleBoard(world, self.truth, random)
        self.court = SensibleCourt(world, self.truth, random)
        self.honest = Honest(world, self.truth, self.board, self.court)
        self.spoiler = Spoiler(world, random)
        self.untimely = Untimely(world, self.truth, self.board, self.court, random)
        self.suggestions: dict[str, Suggestion] = {
            name: getattr(self.court, name.split(".")[1])
            if name.startswith(("court", "verifier"))
            else getattr(self.board, name.replace(".", "_"))
            for name in self.FUNCTIONS
        }
        self.calls = 0
        self.sent: list[Call] = []

    # ---------------------------------------------------------------- calls

    def make(self, call: Call) -> None:
        """Make a call, compare, and check every rule."""
        outcome = self.world.call(call)
        if isinstance(outcome, Refused) and call.sender in HONEST and call not in self.spoiler.made:
            raise rules.BrokenRuleError(f"an honest call was refused: {outcome}: {call}")
        self.calls += 1
        self.sent.append(call)
        self.truth.learn(self.world.ghost.log)
        rules.check(self.world, self.truth)
        if self.calls % (FULL_EVERY * self.world.every) == 0:
            self.world.compare()

    def sensible(self, function: str) -> bool:
        """Make a sensible call of a function, if there is an occasion."""
        call = self.suggestions[function]()
        if call is None:
            return False
        self.make(call)
        return True

    def spoiled(self, function: str) -> bool:
        """Make a call of a function with one thing wrong."""
        call = self.suggestions[function]()
        if call is None:
            return False
        self.make(self.spoiler.spoiled(call))
        return True

    def stray(self) -> None:
        """Make a call about things that exist, wherever they have come to."""
        self.make(self.spoiler.stray())

    def mistimed(self) -> bool:
        """Make a call too early or too late, or a move of another kind than is asked for."""
        found = [call for call in self.untimely.all() if self.spoiler.may_stray(call)]
        if not found:
            return False
        functions = sorted({call.function for call in found})
        function = self.random.choice(functions)
        call = self.random.choice([call for call in found if call.function == function])
        self.spoiler.strayed(call)
        self.make(call)
        return True

    def again(self) -> None:
        """Make a call that was made before once more, by somebody hostile."""
        old = [call for call in self.sent[-60:] if call.sender not in HONEST]
        if old:
            self.make(self.random.choice(old))

    def duty(self) -> bool:
        """One of the honest does something that it has to do."""
        duties = self.honest.duties()
        # the watcher takes its time with new disputes, or nothing else would ever happen to a wrong update
        duties = [duty for duty in duties if duty.call.function != "reserve" or self.random.random() < 0.15]
        if not duties:
            return False
        self.make(self.random.choice(duties).call)
        return True

    # ---------------------------------------------------------------- time

    def wait(self) -> None:
        """Let time pass to about a moment that matters; the honest do their duties first."""
        until = self.random.choice(self.moments())
        while True:
            pressing = [duty for duty in self.honest.duties() if duty.by < until]
            if not pressing:
                break
            self.make(min(pressing, key=lambda duty: duty.by).call)
        until = min(until, self.honest.alarm() or until)
        self.world.wait(max(until, self.world.now))

    def moments(self) -> list[int]:
        """Moments to come, about those at which something begins or ends: one second before, at, after."""
        now, found = self.world.now, [*self._of_board(), *self._of_court()]
        near = sorted({moment + shift for moment in found for shift in (-1, 0, 1)})
        ahead = [moment for moment in near if moment > now][: self.random.choice([1, 2, 3, 12])]
        return [*ahead, now + self.random.choice([1, 12, 30])]

    def _of_board(self) -> Iterator[int]:
        board = self.world.ghost.board
        for job in board.jobs.values():
            yield job.ends_at
            if job.leaseholder != NOBODY:
                yield job.lease_due
        for update, known in board.updates.items():
            if board.is_live(update) and not known.settled:
                yield known.deadline
                yield known.deadline + board.terms_of(update).opening
        for demand in self.world.ghost.availability.demands.values():
            yield demand.due

    def _of_court(self) -> Iterator[int]:
        court = self.world.ghost.court
        for reserved in court.reserved.values():
            if not reserved.opened:
                yield reserved.time + court.board.jobs[reserved.job].terms.opening
        for known in court.disputes.values():
            if known.status == OPEN:
                yield from (court.positions[position].ends_at for position in known.demands)
        for branch in self.court.branches(DEFENDER) + self.court.branches(CHALLENGER):
            _, due, reserve = court.classify(*branch)
            yield due
            yield due + reserve

    # ---------------------------------------------------------------- one step

    def step(self) -> None:
        """One thing of any kind; most are sensible."""
        roll = self.random.random()
        if roll < 0.25 and self.duty():
            return
        if roll < 0.75:
            self.some_sensible()
        elif roll < 0.83:
            any(self.spoiled(name) for name in self.ordered())
        elif roll < 0.85:
            self.stray()
        elif roll < 0.88 and self.mistimed():
            return
        elif roll < 0.89:
            self.again()
        else:
            self.wait()

    def ordered(self) -> list[str]:
        """All functions, those that disputes are made of mostly first."""
        draws = {name: self.random.random() ** (1 / weight(name)) for name in self.suggestions}
        return sorted(draws, key=lambda name: -draws[name])

    def some_sensible(self) -> None:
        """A sensible call of any function that there is an occasion for; time passes where there is none."""
        if not any(self.sensible(name) for name in self.ordered()):
            self.wait()


def weight(name: str) -> float:
    """How readily a function is called where there is an occasion."""
    contract, function = name.split(".")
    if contract == "token" or function in ("set_scheduled_gas", "set_governor", "delegate", "finalise"):
        return 0.15
    rare = ("expire", "evict", "reclaim", "silence", "close_demand")
    if function in rare or function.startswith(("select", "prove", "reveal")):
        return 10
    return 3 if contract == "court" else 1.5
