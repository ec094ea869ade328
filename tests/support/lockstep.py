"""The pure model and the real contracts, played side by side and held to each other after every move.

`Lockstep` is a `Model`: whatever plays or judges the model plays this, and the contracts follow on an EVM.
Each move is made on both. Both must accept it, with the same result, or refuse it, with the same reason; then
everything that either shows is compared. What may differ is named in `Differences`, and nothing else is
let through.

    NEW_MODEL.set(Lockstep)                     # any game of tests.support.game, from here on
    at = table()
    at.play([challenger(at, at.truth), defender(at, lie)], until=...)
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple
from typing import Any, Final

from protocol.errors import RefusedError
from protocol.game import demand_moves as d
from protocol.game import moves as m
from protocol.game.ids import PAGE_LEVELS, Kind
from protocol.game.model import Model
from protocol.game.model_ledger import BURN
from protocol.game.view import DisputeStatus, Turn
from tests.support.evm import Event, Handle, Reverted
from tests.support.onchain import GOVERNOR, SCHEDULED_GAS, START, Contracts, words

_TURNS: Final = {
    Turn.DEFENDER: 1,
    Turn.CHALLENGER: 2,
    Turn.WAITING: 3,
    Turn.DEFENDER_LATE: 4,
    Turn.CHALLENGER_LATE: 5,
    Turn.CLOSED: 6,
}
_DISPUTES: Final = {DisputeStatus.OPEN: 1, DisputeStatus.LOST: 2, DisputeStatus.CLOSED: 3}


class DivergedError(AssertionError):
    """Model and contracts disagree: one of them breaks the rules."""


class Differences:
    """Every way in which the two may differ, each with the reason why that harms nobody."""

    TOKEN: Final = ("board: token transfer failed", "")
    """A payer without tokens: the reason is the token's own, and the test token gives none (M-10)."""

    RESULTS: Final = (m.Reveal, m.RevealPage, m.Withdraw, m.WithdrawBurned)
    """The court returns the hash of what was revealed, the model how much was withdrawn; both can be seen
    otherwise, and are compared there.
    """

    BOUNDS: Final = {
        (m.Post, "states"): 63,
        (m.Open, "first_path"): 6,
        (m.Open, "last_path"): 6,
        (m.Commit, "children"): 1024,
        (m.Commit, "first_path"): 32,
        (m.Commit, "last_path"): 32,
        (m.Commit, "accumulator"): 97,
        (m.Reveal, "children"): 1024,
        (m.RevealPage, "page"): 256,
        (m.Select, "path"): 10,
        (m.SelectStep, "path"): 10,
        (m.SelectStep, "before_path"): 32,
        (m.SelectWord, "page"): 256,
        (m.SelectWord, "opening"): 2048,
        (m.Prove, "witness"): 98_304,
        (d.Answer, "page"): 256,
        (d.Answer, "page_path"): 26,
        (d.Answer, "slot_path"): 32,
    }
    """Longer arguments never reach the contracts' own checks: decoding refuses them without a reason, where
    the model refuses with one.
    """

    FOLD_NODE: Final = "node"
    """In a fold's cursor the court names the node, which the model reads from the position (D-7)."""


def _beyond_bounds(move: m.Move) -> bool:
    bounds = ((name, bound) for (kind, name), bound in Differences.BOUNDS.items() if kind is type(move))
    return any(len(getattr(move, name)) > bound for name, bound in bounds)


class Lockstep(Model):
    """A model that the contracts follow.

    Attributes:
        contracts: the same game on an EVM.
        accepted, refused: how many moves of each kind were.
        gas: of each accepted move, in order, with 21,000 and calldata, without the floor price.
        every: everything is compared after each so many moves, and by `compare`.
    """

    def __init__(self, *, every: int = 1) -> None:
        self.contracts = Contracts()
        super().__init__(
            board=bytes.fromhex(self.contracts.board.address[2:]),
            chain_id=1,
            scheduled_gas=SCHEDULED_GAS,
            now=START,
            governor=bytes.fromhex(GOVERNOR[2:]),
        )
        self.accepted: Counter[str] = Counter()
        self.refused: Counter[tuple[str, str]] = Counter()
        self.gas: list[tuple[str, int]] = []
        self.every = every
        self._made = 0
        self._parties: set[bytes] = {BURN}
        self._recorded: dict[bytes, int] = {}
        self._logged = Logged()

    # ---------------------------------------------------------------- time, tokens, moves

    def mint(self, owner: bytes, amount: int) -> None:
        """Give a party tokens, all approved."""
        super().mint(owner, amount)
        self.contracts.mint(owner, amount)
        self._parties.add(owner)

    def __deepcopy__(self, memo: dict[int, Any]) -> Lockstep:
        """A second game of the same past, on a chain of its own."""
        twin = type(self).__new__(type(self))
        memo[id(self)], memo[id(self.contracts)] = twin, self.contracts.again()
        for name, value in vars(self).items():
            setattr(twin, name, copy.deepcopy(value, memo))
        return twin

    def apply(self, sender: bytes, move: m.Move) -> Any:
        """Make a move on both sides.

        Raises:
            RefusedError: both refuse, for the same reason.
            DivergedError: they disagree in anything.
        """
        kind = type(move).__name__
        self._parties.add(sender)
        modelled, reason = self._on_model(sender, move)
        found, on_chain, events = self._on_chain(sender, move)
        same = reason == on_chain or (reason, on_chain) == Differences.TOKEN
        if not same and not (reason and on_chain == "" and _beyond_bounds(move)):
            raise DivergedError(f"{kind} of {sender.hex()}: model {reason!r}, contracts {on_chain!r}: {move}")
        self._made += 1
        if reason is None:
            self.accepted[kind] += 1
            self.gas.append((kind, self.contracts.gas))
            self._record(move)
            self._logged.take(events)
            if isinstance(move, m.Prove):
                # The verifier tells the court, not the sender.
                found = any(event.name == "CandidateFell" for event in events)
            if not isinstance(move, Differences.RESULTS):
                _same(f"result of {kind}", modelled, found)
        else:
            self.refused[kind, reason] += 1
        if self._made % self.every == 0:
            self.compare()
        if reason is not None:
            raise RefusedError(reason)
        return modelled

    def _on_model(self, sender: bytes, move: m.Move) -> tuple[Any, str | None]:
        try:
            return super().apply(sender, move), None
        except RefusedError as error:
            return None, error.reason

    def _on_chain(self, sender: bytes, move: m.Move) -> tuple[Any, str | None, list[Event]]:
        self.contracts.evm.timestamp = self.now()
        try:
            found, events = self.contracts.send(sender, move)
        except Reverted as error:
            return None, error.reason, []
        return found, None, events

    def _record(self, move: m.Move) -> None:
        """Keep which updates the board has recorded as final: it says so only once told (U-6)."""
        if isinstance(move, m.Finalise | m.Refund) and move.job in self.board.jobs:
            self._recorded[move.job] = self.board.final_length(move.job)
        if isinstance(move, m.Claim):
            job = self.board.updates[move.update].job
            self._recorded[job] = self.board.final_length(job)

    # ---------------------------------------------------------------- comparison

    def compare(self) -> None:
        """Compare everything that both sides show.

        Raises:
            DivergedError: something differs.
        """
        self.contracts.evm.timestamp = self.now()
        self._compare_money()
        for job in self.board.jobs:
            self._compare_job(job)
        for update in self.board.updates:
            self._compare_update(update)
        for (sender, digest), known in self.court.reserved.items():
            expected = words(known.job, known.time, known.opened)
            self._view(self.contracts.court, "reservation", (sender, digest), expected)
        for dispute in self.court.disputes:
            self._compare_dispute(dispute)
        for position in self.court.positions:
            self._compare_position(position)
        for candidate in self.court.candidates:
            self._compare_candidate(candidate)
            for dispute in self.court.disputes:
                self._compare_branch(dispute, candidate)
        self._compare_reveals()
        for demand in self._logged.demanded:
            self._compare_demand(demand)
        self._logged.compare(self)

    def _view(self, handle: Handle, function: str, args: tuple[int | bytes, ...], expected: bytes) -> None:
        found = self.contracts.read(handle, function, *args)
        if found != expected:
            shown = [a.hex() if isinstance(a, bytes) else a for a in args]
            raise DivergedError(
                f"{handle.artifact.name}.{function}{tuple(shown)} at {self.now()}:\n"
                f"  contracts {handle.decode(function, found)}\n"
                f"  model     {handle.decode(function, expected)}"
            )

    def _compare_money(self) -> None:
        token, board = self.contracts.token, self.contracts.board
        for party in self._parties:
            self._view(board, "credit", (party,), words(self.board.credits.get(party, 0)))
            self._view(token, "balanceOf", (party,), words(self.board.wallets.get(party, 0)))
        self._view(token, "balanceOf", (self.board.address,), words(self.board.balance))

    def _compare_job(self, job: bytes) -> None:
        record, board = self.board.jobs[job], self.contracts.board
        following = self.board.next_segment(job)
        recorded = self._recorded.get(job, 0)
        state = words(following, len(record.chain), recorded, record.falls, record.leaseholder or 0)
        state += words(record.lease_due, record.ends_at, record.refunded, record.posted)
        self._view(board, "job_state", (job,), state)
        self._view(board, "terms", (job,), words(*record.terms.words()))
        for index, update in enumerate(record.chain):
            self._view(board, "chain_at", (job, index), words(update))
        tip = record.chain[-1] if record.chain else bytes(32)
        last = self.board.updates[tip].states[-1] if record.chain else record.terms.genesis
        self._view(board, "tip", (job,), words(tip, following, last))

    def _compare_update(self, update: bytes) -> None:
        u, board = self.board.updates[update], self.contracts.board
        info = words(u.job, u.parent, u.trainer, u.index, u.first_segment, len(u.states), u.history_root)
        info += words(u.states[-1], u.deadline, u.open_disputes, u.settled, u.moot_share, u.open_demands)
        self._view(board, "update_info", (update,), info)
        self._view(board, "is_live", (update,), words(self.board.is_live(update)))
        self._view(board, "fallen", (update,), words(u.fallen))
        status = self.update(update).status.value.encode()
        made = self.availability.made.get(update, 0)
        self._view(self.contracts.availability, "made", (update,), words(made))
        listed = self.contracts.read(self.contracts.availability, "open_demands", update)[64:]
        found = sorted(listed[at : at + 32] for at in range(0, len(listed), 32))
        _same("open demands", sorted(self.availability.open_demands(update)), found)
        text = words(32, len(status)) + status.ljust(32, b"\0")
        self._view(board, "update_status", (update,), text)
        self._view(self.contracts.court, "traces", (update,), words(self.court.traces.get(update, 0)))

    def _compare_demand(self, demand: bytes) -> None:
        known = self.availability.demands.get(demand)
        info = bytes(7 * 32)
        if known is not None:
            info = words(known.update, known.asker, known.slot, known.page, known.due, known.fee)
            # Its place in the list is the contract's own affair.
            info += self.contracts.read(self.contracts.availability, "demand_info", demand)[6 * 32 :]
        self._view(self.contracts.availability, "demand_info", (demand,), info)

    def _compare_dispute(self, dispute: bytes) -> None:
        d = self.court.disputes[dispute]
        opened_at = next(iter(d.demands.values()))
        record = words(d.update, self.board.updates[d.update].job, d.segment, d.challenger, d.reserved_at)
        record += words(opened_at, _DISPUTES[d.status])
        self._view(self.contracts.court, "dispute", (dispute,), record)

    def _compare_position(self, position: bytes) -> None:
        p, court = self.court.positions[position], self.contracts.court
        folding = p.kind == Kind.FOLD
        last = words(p.word | p.fold << 64 | p.ranges << 128) if folding else p.last
        standing = sum(not self.court.candidates[c].fallen for c in p.candidates)
        record = words(p.kind, p.parent, p.a, p.b, p.first, last, p.demanded_at, p.ends_at, p.allowance)
        record += words(
            p.reserve, standing, len(p.candidates), p.covered is not None, p.claimant, p.credit or 0
        )
        self._view(court, "position", (position,), record)
        self._view(court, "position_id", (p.parent, p.kind, p.a, p.b), position)
        for place, candidate in enumerate([*p.candidates, bytes(32)]):
            self._view(court, "candidates_of", (position, place), candidate)

    def _compare_candidate(self, candidate: bytes) -> None:
        c = self.court.candidates[candidate]
        record = words(c.position, c.root, c.poster, c.posted_at, 2 if c.fallen else 1, c.bonded)
        self._view(self.contracts.court, "candidate", (candidate,), record)

    def _compare_branch(self, dispute: bytes, candidate: bytes) -> None:
        court, here = self.contracts.court, (dispute, candidate)
        if not self.court.exists(dispute, candidate):
            self._view(court, "classify", here, words(0, 0, 0))
            self._view(court, "branch", here, bytes(11 * 32))
            return
        judged = self.court.judge(dispute, candidate)
        clock = words(_TURNS[judged.turn], judged.due, judged.limit - judged.due)
        self._view(court, "classify", here, clock)
        b = self.court.branch(dispute, candidate)
        position = self.court.positions[self.court.candidates[candidate].position]
        shown = {
            "kind": words(b.cursor.kind),
            "hash": words(b.cursor.hash),
            "height": words(b.cursor.height),
            "index": words(b.cursor.index),
            "node": words(b.cursor.node),
            "word_index": words(position.b if b.cursor.kind == Kind.FOLD else 0),
            "moved_at": words(b.moved_at or 0),
            "waiting": words(b.demanded is not None),
            "demanded": words(b.demanded or 0),
            "challenger_reserve": words(b.challenger_reserve),
            "defence_reserve": words(b.defender_reserve),
        }
        if b.cursor.kind == Kind.FOLD:
            shown[Differences.FOLD_NODE] = words(position.a)
        self._view(court, "branch", here, b"".join(shown.values()))
        self._compare_context(dispute, candidate)

    def _compare_context(self, dispute: bytes, candidate: bytes) -> None:
        modelled: bytes | str
        found: bytes | str
        try:
            modelled = words(*astuple(self.court.proof_context(dispute, candidate)))
        except RefusedError as error:
            modelled = error.reason
        try:
            found = self.contracts.read(self.contracts.court, "proof_context", dispute, candidate)
        except Reverted as error:
            found = error.reason
        _same("proof context", modelled, found)

    def _compare_reveals(self) -> None:
        for (node, levels), (time, _) in self.court.revealed.items():
            self._view(self.contracts.court, "revealed_at", (node, levels), words(time))
        for page, (time, _) in self.court.pages.items():
            self._view(self.contracts.court, "revealed_at", (page, PAGE_LEVELS), words(time))


class Logged:
    """What a client knows from the logs alone: ids and lists, to be found again after a restart (A-6)."""

    def __init__(self) -> None:
        self.demands: dict[bytes, list[bytes]] = {}
        self.demanded: set[bytes] = set()
        self.children: dict[tuple[bytes, int], tuple[bytes, ...]] = {}
        self.pages: dict[bytes, bytes] = {}
        self.states: dict[bytes, tuple[bytes, ...]] = {}

    def take(self, events: Iterable[Event]) -> None:
        """Take the logs of one move."""
        for event in events:
            args = event.args
            match event.name:
                case "Demanded":
                    self.demands.setdefault(args["dispute"], []).append(args["position"])
                case "PageDemanded":
                    self.demanded.add(args["demand"])
                case "Revealed":
                    self.children[args["hash"], args["levels"]] = tuple(args["children"])
                case "PageRevealed":
                    self.pages[args["hash"]] = args["page"]
                case "Posted":
                    self.states[args["update"]] = tuple(args["states"])

    def compare(self, model: Model) -> None:
        """Raise DivergedError where the logs tell less, more or something else."""
        court = model.court
        _same("logged demands", {d: list(known.demands) for d, known in court.disputes.items()}, self.demands)
        _same("logged lists", {key: known[1] for key, known in court.revealed.items()}, self.children)
        _same("logged pages", {key: known[1] for key, known in court.pages.items()}, self.pages)
        _same("logged states", {u: known.states for u, known in model.board.updates.items()}, self.states)


def _same(what: str, modelled: object, found: object) -> None:
    if modelled != found:
        raise DivergedError(f"{what}: model {modelled!r}, contracts {found!r}")
