"""What the contracts have logged, by what it is about: ids and bytes that no view of them lists.

Nothing here is believed alone: ids are looked up on the chain, child lists and pages are known by their hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from protocol.chain.contract import Event

Key = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A demand that was made. `fee`: tokens paid for it."""

    update: bytes
    asker: bytes
    slot: int
    page: int
    fee: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """Tokens paid for demands, in the smallest unit: of open ones, of answered ones, and given back."""

    locked: int
    spent: int
    returned: int


@dataclass(frozen=True, slots=True)
class Logged:
    """The logs of board, court and availability, as they come.

    Attributes:
        jobs, posted: the event of each, by id.
        reserved: by challenger and digest the job, by transaction: one that a reorganisation has moved is
            told again, and counts once. withdrawn: by payee the amount, by transaction.
        opened: by dispute its update and challenger.
        demanded: by dispute the positions that it demands; positions: by update those demanded against it.
        bonded: by poster the candidates that it has ever posted with a defence bond.
        children: by hash and levels; pages: by hash.
        asked: by id every demand; of_update: ids by update; by_asker: ids by asker.
        shown, returned: ids of demands whose fee was paid to a holder, and given back.
    """

    jobs: dict[bytes, Event] = field(default_factory=dict)
    posted: dict[bytes, Event] = field(default_factory=dict)
    reserved: dict[Key, dict[bytes, bytes]] = field(default_factory=dict)
    withdrawn: dict[bytes, dict[bytes, int]] = field(default_factory=dict)
    opened: dict[bytes, Key] = field(default_factory=dict)
    demanded: dict[bytes, dict[bytes, None]] = field(default_factory=dict)
    positions: dict[bytes, dict[bytes, None]] = field(default_factory=dict)
    bonded: dict[bytes, dict[bytes, None]] = field(default_factory=dict)
    children: dict[tuple[bytes, int], tuple[bytes, ...]] = field(default_factory=dict)
    pages: dict[bytes, bytes] = field(default_factory=dict)
    asked: dict[bytes, Asked] = field(default_factory=dict)
    of_update: dict[bytes, dict[bytes, None]] = field(default_factory=dict)
    by_asker: dict[bytes, dict[bytes, None]] = field(default_factory=dict)
    shown: dict[bytes, None] = field(default_factory=dict)
    returned: dict[bytes, None] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Keep one more event, if it is of a kind that is kept."""
        self._of_board(event)
        self._of_court(event)
        self._of_availability(event)

    def _of_board(self, event: Event) -> None:
        args = event.args
        match event.name:
            case "JobOpened":
                self.jobs[args["job"]] = event
            case "Posted":
                self.posted[args["update"]] = event
            case "Withdrawn":
                self.withdrawn.setdefault(args["payee"], {})[event.transaction] = int(args["amount"])

    def _of_court(self, event: Event) -> None:
        args = event.args
        match event.name:
            case "Reserved":
                made = self.reserved.setdefault((args["challenger"], args["digest"]), {})
                made[event.transaction] = args["job"]
            case "Opened":
                self.opened[args["dispute"]] = args["update"], args["challenger"]
            case "Demanded":
                self.demanded.setdefault(args["dispute"], {})[args["position"]] = None
                self.positions.setdefault(args["update"], {})[args["position"]] = None
            case "Committed" if args["bonded"]:
                self.bonded.setdefault(args["poster"], {})[args["candidate"]] = None
            case "Revealed":
                self.children[args["hash"], int(args["levels"])] = tuple(args["children"])
            case "PageRevealed":
                self.pages[args["hash"]] = bytes(args["page"])

    def _of_availability(self, event: Event) -> None:
        args = event.args
        match event.name:
            case "PageDemanded":
                self._ask(args["demand"], args)
            case "PageShown":
                self.shown[args["demand"]] = None
            case "DemandExpired" | "DemandClosed":
                self.returned[args["demand"]] = None

    def _ask(self, demand: bytes, args: Mapping[str, Any]) -> None:
        made = Asked(**{name: args[name] for name in ("update", "asker", "slot", "page", "fee")})
        self.asked[demand] = made
        self.of_update.setdefault(made.update, {})[demand] = None
        self.by_asker.setdefault(made.asker, {})[demand] = None

    def fees(self, asker: bytes) -> tuple[dict[bytes, int], int, int]:
        """Return the fees of an asker: by demand those of which no end was logged, the sum of those that
        holders got, and of those given back.
        """
        paid = {demand: self.asked[demand].fee for demand in self.by_asker.get(asker, ())}
        spent = {demand: fee for demand, fee in paid.items() if demand in self.shown}
        returned = {demand: fee for demand, fee in paid.items() if demand in self.returned}
        waiting = {d: fee for d, fee in paid.items() if d not in spent and d not in returned}
        return waiting, sum(spent.values()), sum(returned.values())
