"""Whatever field of a move of a dispute is altered, the court refuses it by its own name; a copy too.

On the contracts with the model beside them, in a dispute over a real step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from protocol.errors import RefusedError
from protocol.game import moves as m
from protocol.game.ids import Kind
from protocol.numerics.accumulator import Accumulator
from tests.support.game import TRAINER, WATCHER, Table, challenger, defender
from tests.support.training import training, wrong_word

JUNK = bytes([7]) * 32
Altered = Iterator[tuple[m.Move, str]]


def refused(at: Table, sender: bytes, move: m.Move) -> str:
    """Why contracts and model refuse a move."""
    with pytest.raises(RefusedError) as caught:
        at.model.apply(sender, move)
    return caught.value.reason


Wrong = tuple[bytes, m.Move, str]


def altered_lists(move: m.Move, name: str, reason: str, longer: str | None = None) -> Altered:
    """The move with each element of a list altered, and with the list shorter and longer."""
    found: m.Move
    items = getattr(move, name)
    for place in range(len(items)):
        found = replace(move, **{name: (*items[:place], JUNK, *items[place + 1 :])})  # type: ignore[arg-type]
        yield found, reason
    yield replace(move, **{name: (*items, JUNK)}), longer or reason  # type: ignore[arg-type]
    if items:
        yield replace(move, **{name: items[:-1]}), longer or reason


def of_open(move: m.Open) -> Altered:
    yield replace(move, update=JUNK), "court: update is not live"
    yield replace(move, segment=move.segment + 1), "court: not a segment of it"
    for end in ("first", "last"):
        reason = f"court: {end} state not in history"
        yield replace(move, **{end: JUNK}), reason  # type: ignore[arg-type]
        yield from altered_lists(move, f"{end}_path", reason)
    yield replace(move, first=move.last, first_path=move.last_path), "court: first state not in history"


def of_commit(at: Table, move: m.Commit) -> Altered:
    here, geometry = at.model.position(move.position), at.job.geometry
    yield replace(move, position=JUNK), "court: no such position"
    yield replace(move, children=move.children[:-1]), "court: wrong number of children"
    yield replace(move, children=move.children * 2), "court: wrong number of children"
    last = {Kind.STEPS: geometry.steps_of(0), Kind.NODES: geometry.n_nodes, Kind.FOLD: here.ranges}[here.kind]
    changed = [*move.children]
    changed[last] = JUNK
    yield replace(move, children=tuple(changed)), "court: wrong last end point"
    yield from altered_lists(move, "last_path", "court: wrong last end point")
    if here.kind == Kind.NODES:
        yield replace(move, first_path=(JUNK,)), "court: first path not asked for"
    else:
        yield replace(move, children=(JUNK, *move.children[1:])), "court: wrong first end point"
        yield from altered_lists(move, "first_path", "court: wrong first end point")
    if here.kind == Kind.FOLD:
        total = Accumulator.from_bytes(move.accumulator)
        other = Accumulator(total.flags, -total.value).to_bytes()
        yield replace(move, accumulator=other), "court: accumulator not the word's"
        nearly = Accumulator(total.flags, total.value + 1).to_bytes()
        yield replace(move, accumulator=nearly), "court: wrong last end point"
        for wrong in (b"", move.accumulator[:-1]):
            yield replace(move, accumulator=wrong), "court: accumulator of 97 bytes"
    else:
        yield replace(move, accumulator=bytes(97)), "court: accumulator not asked for"


def of_select(move: m.Select | m.SelectStep) -> Altered:
    yield replace(move, index=move.index ^ 1), "court: not under the cursor"
    yield replace(move, index=1 << len(move.path)), "court: index outside the list"
    yield replace(move, leaf=JUNK), "court: not under the cursor"
    long = "" if len(move.path) == 8 else "court: not under the cursor"
    yield from altered_lists(move, "path", "court: not under the cursor", long)
    if isinstance(move, m.SelectStep):
        yield replace(move, before=JUNK), "court: state before not committed"
        yield from altered_lists(move, "before_path", "court: state before not committed")


def of_word(move: m.SelectWord) -> Altered:
    yield replace(move, index=64), "court: a page has 64 words"
    for place in (0, 100, 255):
        page = move.page[:place] + bytes([move.page[place] ^ 1]) + move.page[place + 1 :]
        yield replace(move, page=page), "court: page is not at the cursor"
    yield replace(move, page=move.page[:-1]), "court: page is not at the cursor"
    for place in range(0, len(move.opening), 16):
        opening = move.opening[:place] + bytes([move.opening[place] ^ 1]) + move.opening[place + 1 :]
        yield replace(move, opening=opening), "verifier: descriptor"
    yield replace(move, opening=move.opening[:-1]), "verifier: short stream"
    yield replace(move, opening=move.opening[:500]), "verifier: short stream"
    yield replace(move, opening=move.opening + b"\0"), "verifier: trailing bytes"


def out_of_place(move: m.Move, kind: Kind) -> Altered:
    """Other moves in this one's stead."""
    here: dict[str, Any] = {"dispute": move.dispute, "candidate": move.candidate}  # type: ignore[union-attr]
    word = m.SelectWord(**here, index=0, page=bytes(256), opening=b"")
    step = m.SelectStep(**here, index=0, leaf=JUNK, path=(), before=JUNK, before_path=())
    if kind != Kind.PAGE:
        yield word, "court: not at a page"
    else:
        yield m.Select(**here, index=0, leaf=JUNK, path=()), "court: word has its own move"
    if kind != Kind.STEPS:
        yield step, "court: not among steps"
    if kind in (Kind.STEPS, Kind.NODES):
        yield m.Prove(**here, index=0, witness=b""), "court: not at a last level"
    if isinstance(move, m.SelectStep):
        select = m.Select(**here, index=move.index, leaf=move.leaf, path=move.path)
        yield select, "court: leaf has its own move"
    yield m.Silence(**here), "court: defence is not late"
    yield m.Timeout(**here), "court: challenger is not late"


def wrongs(at: Table, sender: bytes, move: m.Move) -> Iterator[Wrong]:
    """Everything that can be wrong with a move, and what must be said."""
    found: list[tuple[m.Move, str]] = []
    if isinstance(move, m.Open):
        found += of_open(move)
    elif isinstance(move, m.Commit):
        found += of_commit(at, move)
    elif isinstance(move, m.Select | m.SelectStep | m.SelectWord):
        found += of_word(move) if isinstance(move, m.SelectWord) else of_select(move)
        found += out_of_place(move, at.model.branch(move.dispute, move.candidate).cursor.kind)
        found.append((replace(move, candidate=JUNK), "court: no such branch"))
        found.append((replace(move, dispute=JUNK), "court: not the challenger"))
        yield TRAINER, move, "court: not the challenger"
    elif isinstance(move, m.Reveal):
        for count in (1, 3, len(move.children) - 1):
            found.append((replace(move, children=move.children[:count]), "court: children not 2^n"))
    elif isinstance(move, m.RevealPage):
        found.append((replace(move, page=move.page[:-1]), "court: a page has 256 bytes"))
    elif isinstance(move, m.Settle):
        found.append((replace(move, position=JUNK), "court: no such position"))
    yield from ((sender, wrong, reason) for wrong, reason in found)


def twice(move: m.Move) -> str | None:
    """What is said to a move that was made already; None where it may be made again."""
    match move:
        case m.Reserve():
            return "court: reserved before"
        case m.Open():
            return "court: opened before"
        case m.Commit():
            return "court: candidate exists"
        case m.Reveal():
            return "court: revealed before"
        case m.RevealPage():
            return "court: page revealed before"
        case m.Select() | m.SelectStep() | m.SelectWord():
            return "court: not the challenger's turn"
        case m.Settle():
            return "court: fallen above"
    return None


def test_no_field_of_any_move_can_be_altered_and_no_move_made_twice() -> None:
    made = training(lambda p: torch.optim.SGD(p, lr=0.1), frozen=True)
    node = next(n for n in range(made.geometry.n_nodes) if made.ranges(n) == 2)
    at = made.table(WATCHER, every=20)
    false = made.openings(made.trace(wrong_word(node, 100, range_number=2)))
    at.post(false, segments=1)
    players = [challenger(at, at.truth), defender(at, false)]
    seen: dict[str, int] = {}
    while not at.moves(m.Settle):
        moves = [sent for player in players for sent in player(at.model)]
        if not moves:
            at.model.advance(15)
            continue
        sender, move = moves[0]
        for wrong_sender, wrong, reason in wrongs(at, sender, move):
            assert refused(at, wrong_sender, wrong) == reason, wrong
            kind = type(move).__name__
            seen[kind] = seen.get(kind, 0) + 1
        at.send(sender, move)
        again = twice(move)
        if again is not None:
            assert refused(at, sender, move) == again
    assert at.decided() == {"range": 1, "settle": 1}
    assert set(seen) == {
        "Open",
        "Commit",
        "SelectStep",
        "Select",
        "Reveal",
        "RevealPage",
        "SelectWord",
        "Settle",
    }
    assert sum(seen.values()) > 150
