"""What the contracts show, against what the ghost knows."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from tests.stateful.calls import EVERYBODY, Call
from tests.stateful.ghost import Ghost
from tests.stateful.ghost_base import BURN, NOBODY, ZERO, Refused, in_word
from tests.stateful.ghost_records import CLOSED, NONE, WAITING
from tests.stateful.ghost_terms import TERMS
from tests.stateful.ghost_verifier import FOLD
from tests.support.evm import FastEvm, Handle, Reverted

_READER = FastEvm.account(0)
ANY = ...
"""Where the specification leaves open what a view shows."""


class Views:
    """Compares views; gives back what differs, in words."""

    def __init__(self, ghost: Ghost, handles: dict[str, Handle]) -> None:
        """The views of a deployment."""
        self.ghost, self.handles = ghost, handles
        self._outputs = {
            (name, entry["name"]): _names(entry["outputs"])
            for name, handle in handles.items()
            for entry in handle.artifact.abi
            if entry["type"] == "function"
        }
        self._selectors = {
            (name, signature.split("(")[0]): bytes.fromhex(selector[2:])
            for name, handle in handles.items()
            for signature, selector in handle.artifact.method_identifiers.items()
        }

    # ---------------------------------------------------------------- reading

    def read(self, contract: str, function: str, *args: Any) -> bytes:
        """The bytes that a view with static arguments returns. Raises Reverted."""
        handle = self.handles[contract]
        data = self._selectors[contract, function] + b"".join(in_word(arg) for arg in args)
        return handle.evm.send(handle.address, data, sender=_READER)[0]

    def _view(
        self, contract: str, function: str, args: tuple[Any, ...], expected: dict[str, Any]
    ) -> list[str]:
        """What differs in one view, field by field."""
        output, names = self.read(contract, function, *args), self._outputs[contract, function]
        assert names == list(expected), f"{contract}.{function} shows {names}, not {list(expected)}"
        found = [output[32 * i : 32 * i + 32] for i in range(len(names))]
        return [
            f"{contract}.{function}{_shown(args)}.{name}: spec {_shown((value,))}, contract {word.hex()}"
            for (name, value), word in zip(expected.items(), found, strict=True)
            if value is not ANY and in_word(value) != word
        ]

    def one(self, contract: str, function: str, args: tuple[Any, ...], expected: Any) -> list[str]:
        """What differs in a view of one value."""
        return self._view(contract, function, args, {"": expected})

    # ---------------------------------------------------------------- what a call touched

    def touched(self, call: Call) -> list[str]:
        """Compare everything that a call names, and what its events name, and all money."""
        ids = {arg for arg in call.args if isinstance(arg, bytes) and len(arg) == 32}
        for event in self.ghost.log:
            ids |= {arg for arg in event.args.values() if isinstance(arg, bytes) and len(arg) == 32}
        differing = self.money()
        for known in sorted(ids):
            differing += self.of_id(known, call.sender)
        for dispute in ids & self.ghost.court.disputes.keys():
            for candidate in ids & self.ghost.court.candidates.keys():
                differing += self.branch(dispute, candidate)
        return differing

    def of_id(self, known: bytes, sender: str) -> list[str]:
        """Compare what an id names, whatever it is."""
        ghost, differing = self.ghost, list[str]()
        if known in ghost.board.jobs:
            differing += self.job(known)
        if known in ghost.board.updates:
            differing += self.update(known)
        if known in ghost.court.disputes:
            differing += self.dispute(known)
        if known in ghost.court.positions:
            differing += self.position(known)
        if known in ghost.court.candidates:
            differing += self.candidate(known)
        if known in ghost.availability.demands:
            differing += self.demand(known)
        return differing + self.reservation(sender, known)

    def everything(self) -> list[str]:
        """Compare all there is."""
        court, differing = self.ghost.court, self.money()
        everything = [
            *self.ghost.board.jobs,
            *self.ghost.board.updates,
            *court.disputes,
            *court.positions,
            *court.candidates,
            *self.ghost.availability.demands,
        ]
        for known in everything:
            differing += self.of_id(known, _READER.lower())
        for sender, digest in court.reserved:
            differing += self.reservation(sender, digest)
        for dispute in court.disputes:
            for candidate in court.candidates:
                if court.exists(dispute, candidate):
                    differing += self.branch(dispute, candidate)
        for (node, levels), time in court.revealed.items():
            differing += self.one("court", "revealed_at", (node, levels), time)
        for job, known_job in self.ghost.board.jobs.items():
            words = dict(zip(TERMS, known_job.terms.words, strict=True))
            differing += self._view("board", "terms", (job,), words)
        return differing

    # ---------------------------------------------------------------- money

    def money(self) -> list[str]:
        """Credits and balances of everybody, and what the board can be set to."""
        ghost, differing = self.ghost, list[str]()
        for who in (*EVERYBODY, BURN):
            differing += self.one("board", "credit", (who,), ghost.board.credit[who])
            differing += self.one("token", "balanceOf", (who,), ghost.token.balance[who])
        differing += self.one("token", "balanceOf", (ghost.at.board,), ghost.token.balance[ghost.at.board])
        differing += self.one("token", "totalSupply", (), ghost.token.supply)
        differing += self.one("board", "scheduled_gas", (), ghost.board.least_gas)
        return differing + self.one("board", "governor", (), ghost.board.governor)

    # ---------------------------------------------------------------- board

    def job(self, job: bytes) -> list[str]:
        """A job and its chain."""
        board, known = self.ghost.board, self.ghost.board.jobs[job]
        following, held = board.next_segment(known), known.leaseholder != NOBODY
        state = {
            "next_segment": following,
            "chain_length": len(known.chain),
            "final_length": known.recorded,
            "falls": known.falls,
            "leaseholder": known.leaseholder,
            "lease_due": known.lease_due if held else ANY,
            "ends_at": known.ends_at,
            "refunded": known.refunded,
            "posted": known.posted if held else ANY,
        }
        differing = self._view("board", "job_state", (job,), state)
        for index, update in enumerate(known.chain):
            differing += self.one("board", "chain_at", (job, index), update)
        tip = known.chain[-1] if known.chain else ZERO
        expected = {"0": tip, "1": following, "2": board.last_state(known)}
        return differing + self._view("board", "tip", (job,), expected)

    def update(self, update: bytes) -> list[str]:
        """An update."""
        board, known = self.ghost.board, self.ghost.board.updates[update]
        terms, live, common = (
            board.terms_of(update),
            board.is_live(update),
            {
                "index": known.index,
                "first_segment": known.first_segment,
                "segments": len(known.states),
                "history_root": known.history_root,
            },
        )
        info = {
            "job": known.job,
            "parent": known.parent,
            "trainer": known.trainer,
            **common,
            "last_state": known.states[-1],
            "deadline": known.deadline,
            "open_disputes": known.open_disputes,
            "open_demands": known.open_demands,
            "settled": known.settled,
            "moot_share": known.moot_share,
        }
        names = self._outputs["board", "update_info"]
        differing = self._view("board", "update_info", (update,), {name: info[name] for name in names})
        context = {
            **info,
            "live": live,
            "final": board.is_final(update),
            "geometry": terms.geometry,
            "clocks": terms.clocks,
            "auditor": terms.auditor,
            "demand_until": terms.demand_until,
            "answer_time": terms.answer_time,
            "demand_fee": terms.demand_fee,
        }
        for view in ("dispute_context", "demand_context"):
            shown = {name: context[name] for name in self._outputs["board", view]}
            differing += self._view("board", view, (update,), shown)
        differing += self.one("board", "is_live", (update,), live)
        differing += self.one("board", "fallen", (update,), known.fallen)
        differing += self.one("court", "traces", (update,), self.ghost.court.traces[update])
        differing += self.one("availability", "made", (update,), self.ghost.availability.made[update])
        status = board.status(update).encode()
        text = in_word(32) + in_word(len(status)) + status.ljust(32, b"\0")
        if self.read("board", "update_status", update) != text:
            differing.append(f"board.update_status({update.hex()}): spec {status!r}")
        return differing

    def demand(self, demand: bytes) -> list[str]:
        """An open demand for a page."""
        known = self.ghost.availability.demands[demand]
        info = {
            "update": known.update,
            "asker": known.asker,
            "slot": known.slot,
            "page": known.page,
            "due": known.due,
            "fee": known.fee,
            "place": ANY,
        }
        return self._view("availability", "demand_info", (demand,), info)

    # ---------------------------------------------------------------- court

    def reservation(self, sender: str, digest: bytes) -> list[str]:
        """A reservation, or none."""
        known = self.ghost.court.reserved.get((sender, digest))
        shown = (known.job, known.time, known.opened) if known else (0, 0, 0)
        expected = dict(zip(("job", "reserved_at", "opened"), shown, strict=True))
        return self._view("court", "reservation", (sender, digest), expected)

    def dispute(self, dispute: bytes) -> list[str]:
        """A dispute."""
        known = self.ghost.court.disputes[dispute]
        info = {
            "update": known.update,
            "job": self.ghost.board.updates[known.update].job,
            "segment": known.segment,
            "challenger": known.challenger,
            "reserved_at": known.reserved_at,
            "opened_at": known.opened_at,
            "status": known.status,
        }
        return self._view("court", "dispute", (dispute,), info)

    def position(self, position: bytes) -> list[str]:
        """A position and the list of its candidates."""
        court, known = self.ghost.court, self.ghost.court.positions[position]
        info: dict[str, Any] = {
            "kind": known.kind,
            "parent": known.parent,
            "a": known.a,
            "b": known.b,
            "first": known.first,
            "last": known.last,
            "demanded_at": known.demanded_at,
            "ends_at": known.ends_at,
            "allowance": known.allowance,
            "defence_reserve": known.reserve,
            "standing": len(court.standing(position)),
            "candidates": len(known.candidates),
            "covered": known.covered is not None,
            "claimant": known.claimant,
            "credit": known.credit or 0,
        }
        if known.kind == FOLD:  # the view packs word, fold and ranges into one field
            word = int.from_bytes(known.first, "big")
            info |= {"first": 0, "last": word | known.fold[0] << 64 | known.fold[1] << 128}
        differing = self._view("court", "position", (position,), info)
        for place, candidate in enumerate([*known.candidates, ZERO]):
            differing += self.one("court", "candidates_of", (position, place), candidate)
        return differing

    def candidate(self, candidate: bytes) -> list[str]:
        """A candidate."""
        known = self.ghost.court.candidates[candidate]
        info = {
            "position": known.position,
            "root": known.root,
            "poster": known.poster,
            "posted_at": known.posted_at,
            "status": 2 if known.fallen else 1,
            "bonded": known.bonded,
        }
        return self._view("court", "candidate", (candidate,), info)

    def branch(self, dispute: bytes, candidate: bytes) -> list[str]:
        """A branch, whose turn it is there, and what a proof there would be judged by."""
        court, here = self.ghost.court, (dispute, candidate)
        turn, due, reserve = court.classify(*here)
        nobody = turn in (CLOSED, WAITING)
        clock = {"0": turn, "1": ANY if nobody else due, "2": ANY if nobody else reserve}
        differing = self._view("court", "classify", here, clock)
        if turn == NONE:
            return differing + self._context(dispute, candidate)
        known, position = court.branch(*here), court.positions[court.candidates[candidate].position]
        info = {
            "kind": known.cursor.kind,
            "hash": known.cursor.hash,
            "height": known.cursor.height,
            "index": known.cursor.index,
            "node": known.cursor.node,
            "word_index": position.b if known.cursor.kind == FOLD else 0,
            "moved_at": known.moved_at or 0,
            "waiting": known.demanded is not None,
            "demanded": known.demanded or 0,
            "challenger_reserve": known.challenger_reserve,
            "defence_reserve": known.defence_reserve,
        }
        differing += self._view("court", "branch", here, info)
        return differing + self._context(dispute, candidate)

    def _context(self, dispute: bytes, candidate: bytes) -> list[str]:
        try:
            context = self.ghost.court.proof_context(dispute, candidate)
        except Refused as refusal:
            return self._refused_context(dispute, candidate, refusal)
        shape = context.shape
        plain = [getattr(context, f.name) for f in fields(context) if f.name != "shape"]
        words = [*plain, *(getattr(shape, f.name) for f in fields(shape))]
        names = self._outputs["court", "proof_context"]
        return self._view(
            "court", "proof_context", (dispute, candidate), dict(zip(names, words, strict=True))
        )

    def _refused_context(self, dispute: bytes, candidate: bytes, refusal: Refused) -> list[str]:
        try:
            self.read("court", "proof_context", dispute, candidate)
            found = None
        except Reverted as error:
            found = error.reason
        among = found is None and any(reason.startswith("verifier:") for reason in refusal.reasons)
        if among or found in refusal.reasons:  # the verifier may be the one to say it
            return []
        return [
            f"court.proof_context{_shown((dispute, candidate))}: spec {refusal.reasons}, contract {found}"
        ]


def _names(outputs: list[dict[str, Any]]) -> list[str]:
    """The names of what a view returns: a struct's fields, or numbers of several values, or one nameless."""
    if len(outputs) == 1:
        return [item["name"] for item in outputs[0].get("components", [])] or [""]
    return [str(place) for place in range(len(outputs))]


def _shown(values: tuple[Any, ...]) -> str:
    return "(" + ", ".join(v.hex() if isinstance(v, bytes) else str(v) for v in values) + ")"
