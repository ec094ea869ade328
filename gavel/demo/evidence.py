"""Where a dispute ended, in terms of the user's model: read from the chain, and beside it what is right."""

from __future__ import annotations

import struct
from typing import Any

from gavel.demo.record import Evidence
from gavel.scenarios.decision import Decision, Leaf
from protocol.chain.court_view import ChainView
from protocol.commitments.tensor import words_of_page
from protocol.game.ids import Kind
from protocol.game.moves import Prove
from protocol.game.openings import Openings
from protocol.game.proofs import committed_children, committed_page
from protocol.game.view import Cursor
from protocol.job_folder import JobFolder
from protocol.program.address import n_ranges, range_length
from protocol.program.descriptor import Source


def evidence(
    view: ChainView,
    decided: Decision,
    *,
    segment: int,
    proof: Prove | None,
    folder: JobFolder,
    openings: Openings,
) -> Evidence:
    """Describe what decided a dispute.

    Args:
        view: the chain after it.
        segment: disputed, from 0.
        proof: the move that proved it, if one did.
        openings: of the party that replayed rightly.
    """
    found: dict[str, Any] = {
        "segment": segment + 1,
        "step": decided.step,
        "leaf": decided.leaf.value,
        "level": decided.level.name,
    }
    if proof is None:
        return Evidence(**found)
    cursor = view.branch(proof.dispute, proof.candidate).cursor
    if decided.level == Kind.STATE:
        return Evidence(**(found | _slot(view, decided, cursor, folder, openings)))
    found |= _node(decided, folder)
    if decided.leaf in (Leaf.ZERO_PAGE, Leaf.ABSENT_PAGE):
        step, node, page = decided.step or 0, decided.node or 0, decided.index or 0
        right = openings.tensor_tree(Source.NODE, node, step).node(0, page)
        found |= {"page": page, "posted_hash": _leaf(view, cursor, page, folder), "right_hash": right.hex()}
        return Evidence(**found)
    return Evidence(**(found | _word(view, decided, proof, cursor, folder, openings)))


def _node(decided: Decision, folder: JobFolder) -> dict[str, Any]:
    return {"node": decided.node, "label": folder.program.labels[decided.node or 0]}


def _slot(
    view: ChainView, decided: Decision, cursor: Cursor, folder: JobFolder, openings: Openings
) -> dict[str, Any]:
    slot, slots = decided.index or 0, folder.program.slots
    right = openings.state_tree((decided.step or 0) + 1).node(0, slot)
    return {
        "slot": slot,
        "slot_name": slots[slot].name if slot < len(slots) else None,
        "posted_hash": _leaf(view, cursor, slot, folder),
        "right_hash": right.hex(),
    }


def _leaf(view: ChainView, cursor: Cursor, index: int, folder: JobFolder) -> str:
    """The committed leaf with an index, below a cursor at the last level."""
    levels = folder.job.geometry.levels(cursor.height)
    return bytes(committed_children(view, cursor, levels)[index - (cursor.index << cursor.height)]).hex()


def _word(
    view: ChainView,
    decided: Decision,
    proof: Prove,
    cursor: Cursor,
    folder: JobFolder,
    openings: Openings,
) -> dict[str, Any]:
    step, node, word = decided.step or 0, decided.node or 0, decided.index or 0
    descriptor = folder.program.nodes[node]
    found: dict[str, Any] = {"page": word // 64, "word": word}
    if decided.leaf == Leaf.RANGE:
        posted = view.position(view.candidate(proof.candidate).position).word
        length = range_length(descriptor, folder.job.geometry.range_log2)
        found |= {
            "range": decided.range,
            "ranges": n_ranges(descriptor, folder.job.geometry.range_log2),
            "terms": (
                (decided.range - 1) * length,
                min(decided.range * length, descriptor.terms) - 1,
            ),
        }
    else:
        posted = int(words_of_page(committed_page(view, cursor))[word % 64])
    right = 0
    if decided.leaf != Leaf.ZERO_WORD:
        right = int(openings.trace.node_words(step, node)[word])
        found["element"] = element_of(word, descriptor.out)
    return found | {
        "posted_bits": f"0x{posted:08x}",
        "right_bits": f"0x{right:08x}",
        "posted": float_of(posted),
        "right": float_of(right),
    }


def float_of(word: int) -> float:
    """The binary32 number of a word."""
    return float(struct.unpack(">f", word.to_bytes(4))[0])


def element_of(word: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Index by dimension of a flat index, row-major."""
    index: list[int] = []
    for size in reversed(sizes):
        word, place = divmod(word, size)
        index.append(place)
    return tuple(reversed(index))
