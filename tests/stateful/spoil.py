"""Calls with one thing wrong, and calls about anything that exists."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

from tests.stateful.calls import EVERYBODY, HONEST, HOSTILE, Call
from tests.stateful.ghost_base import NOBODY
from tests.stateful.ghost_terms import AMOUNTS, CLOCKS, GEOMETRY, TERMS, packed, unpacked
from tests.stateful.world import World


class Spoiler:
    """Spoils calls; remembers those that it made, as nobody honest would."""

    def __init__(self, world: World, random: Random) -> None:
        """For the calls of a world."""
        self.world, self.random = world, random
        self.made: list[Call] = []
        self.strays: Counter[str] = Counter()

    def spoiled(self, call: Call) -> Call:
        """The call by somebody else, or with another argument, or with coins; never by the honest."""
        kind = self.random.random()
        sender = call.sender if call.sender not in HONEST else self.random.choice(HOSTILE)
        if kind < 0.2 or not call.args:
            made = replace(call, sender=self.random.choice(HOSTILE))
        elif kind < 0.23:
            made = replace(call, sender=sender, value=1)
        else:
            long = [i for i, arg in enumerate(call.args) if isinstance(arg, bytes) and len(arg) > 32]
            place = self.random.choice([self.random.randrange(len(call.args)), *long])
            args = list(call.args)
            args[place] = self.other(args[place])
            made = replace(call, sender=sender, args=tuple(args))
        self.made.append(made)
        return made

    def other(self, value: Any) -> Any:
        """Another value of the same kind."""
        pick = self.random
        match value:
            case bool():
                return not value
            case int():
                return pick.choice([0, 1, value + 1, value - 1, value ^ 1, value * 2, 2**32]) % 2**256
            case str():
                return pick.choice([*EVERYBODY, NOBODY])
            case bytes() if len(value) == 32:
                return pick.choice([bytes(32), self.flipped(value), pick.choice(self.ids() or [value])])
            case bytes():
                return self._bytes(value)
            case tuple() if value and isinstance(value[0], bytes):
                return self._list(value)
            case tuple() if len(value) == len(TERMS):
                return self._terms(value)
            case tuple() if value:
                place = pick.randrange(len(value))
                return (*value[:place], self.other(value[place]), *value[place + 1 :])
            case _:
                return (bytes(32),)

    def _terms(self, words: tuple[Any, ...]) -> tuple[Any, ...]:
        """The terms of a job with one of them at or beyond its bounds, or another one."""
        named, pick = dict(zip(TERMS, words, strict=True)), self.random
        fields = {"geometry": GEOMETRY, "clocks": CLOCKS}
        name = pick.choice([*TERMS, "geometry", "geometry", "geometry", "clocks", "burn_bps", "answer_time"])
        if name in fields:
            parts = unpacked(named[name], fields[name])
            part, width = pick.choice(fields[name])
            parts[part] = pick.choice([0, 0, parts[part] + 1, 11, 27, 64, 2**31 + 1]) % (1 << width)
            named[name] = packed(parts, fields[name])
        elif name in AMOUNTS:
            named[name] = pick.choice([0, 2**128, 2**128 - 1, named[name] // 2, named[name] + 1])
        elif name == "expiry":
            named[name] = self.world.now
        elif name in ("burn_bps", "answer_time", "scheduled_gas"):
            named[name] = pick.choice([0, 999, 1000, 9000, 9001, 2**32, 2**32 - 1])
        else:
            named[name] = self.other(named[name])
        return tuple(named.values())

    def flipped(self, value: bytes) -> bytes:
        """One bit changed."""
        place = self.random.randrange(8 * len(value))
        number = int.from_bytes(value, "big") ^ 1 << place
        return number.to_bytes(len(value), "big")

    def _bytes(self, value: bytes) -> bytes:
        if not value:
            return bytes(self.random.choice([1, 96, 97]))
        cut = value[: self.random.choice([0, len(value) - 1, len(value) // 2])]
        longer = value + b"\0" if len(value) not in (97, 256) else cut
        return self.random.choice([self.flipped(value), self.flipped(value), cut, longer])

    def _list(self, value: tuple[bytes, ...]) -> tuple[bytes, ...]:
        place = self.random.randrange(len(value))
        changed = (*value[:place], self.flipped(value[place]), *value[place + 1 :])
        return self.random.choice([changed, changed, value[:-1], value[::-1]])

    def ids(self) -> list[bytes]:
        """Everything that has an id."""
        ghost = self.world.ghost
        kinds = (ghost.board.jobs, ghost.board.updates, ghost.court.disputes, ghost.court.positions)
        return [
            known for kind in (*kinds, ghost.court.candidates, ghost.availability.demands) for known in kind
        ]

    def stray(self) -> Call:
        """A call of a function with few arguments about anything; or of one that is not for the sender."""
        ghost, pick, sender = self.world.ghost, self.random, self.random.choice(HOSTILE)
        kinds: dict[str, tuple[str, Any]] = {
            "lease": ("board", ghost.board.jobs),
            "release": ("board", ghost.board.jobs),
            "evict": ("board", ghost.board.jobs),
            "cancel": ("board", ghost.board.jobs),
            "refund": ("board", ghost.board.jobs),
            "claim": ("board", ghost.board.updates),
            "reclaim": ("board", ghost.board.updates),
            "settle": ("court", ghost.court.positions),
            "close": ("court", ghost.court.disputes),
            "free": ("court", ghost.court.candidates),
            "silence": ("court", None),
            "timeout": ("court", None),
            "expire": ("availability", ghost.availability.demands),
            "withdraw": ("board", ()),
        }
        usual = [f for f, (c, _) in kinds.items() if self.may_stray(Call(sender, c, f))]
        function = pick.choice(usual or ["withdraw"])
        contract, among = kinds[function]
        if among == ():
            made = Call(sender, contract, function)
        elif among is None:
            pair = self._any(ghost.court.disputes), self._any(ghost.court.candidates)
            made = Call(sender, contract, function, pair)
        else:
            made = Call(sender, contract, function, (self._any(among),))
        if self.random.random() < 0.15:
            made = self._reserved(sender)
        self.strayed(made)
        return made

    def may_stray(self, call: Call) -> bool:
        """Whether there were few enough strays of a function: at most half as many as successes."""
        return 2 * self.strays[call.function] < self.world.tally.succeeded[f"{call.contract}.{call.function}"]

    def strayed(self, call: Call) -> None:
        """Count a stray."""
        self.strays[call.function] += 1
        self.made.append(call)

    def _any(self, among: Any) -> bytes:
        known = list(among)
        return self.random.choice(known) if known and self.random.random() < 0.95 else bytes(32)

    def _reserved(self, sender: str) -> Call:
        """A function that only another contract, or the deployer, may call."""
        update, job = self._any(self.world.ghost.board.updates), self._any(self.world.ghost.board.jobs)
        who = self.random.choice(EVERYBODY)
        return self.random.choice(
            [
                Call(sender, "board", "lock_bond", (job, False, who)),
                Call(sender, "board", "return_bond", (job, True, who)),
                Call(sender, "board", "lose_challenge_bond", (job, who, sender)),
                Call(sender, "board", "lose_defence_bond", (job, who, sender)),
                Call(sender, "board", "dispute_opened", (update,)),
                Call(sender, "board", "dispute_closed", (update,)),
                Call(sender, "board", "fell", (update, who, sender)),
                Call(sender, "board", "pay_moot", (update, sender)),
                Call(sender, "board", "demand_opened", (update, who, 1)),
                Call(sender, "board", "demand_closed", (update, sender, 1, False)),
                Call(sender, "board", "fell_unanswered", (update, who, sender)),
                Call(sender, "board", "bind", (who, who, sender)),
                Call(sender, "court", "verdict", (bytes(32), bytes(32), sender, True)),
            ]
        )
