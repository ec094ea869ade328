"""Where a branch is in terms of the job, and the witness that proves a leaf there (P-13, P-15)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.commitments.tree import ZERO, Tree
from protocol.errors import MismatchError
from protocol.game.ids import Kind
from protocol.game.moves import Commit
from protocol.game.openings import Committed, Openings, path_in_list
from protocol.game.view import CandidateInfo, CourtView, Cursor, PositionInfo
from protocol.job import Geometry, Job
from protocol.numerics.accumulator import Accumulator
from protocol.program.descriptor import Source
from protocol.program.leaf import ProofContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A candidate in terms of the job.

    Attributes:
        candidate, position: what is attacked.
        nodes: the NODES candidate that a proof here reads operands under; the candidate itself, or for
            FOLD the one above. None for STEPS.
        step: absolute step of NODES and FOLD; 0 for STEPS.
        pre_state: accepted state root before that step.
    """

    candidate: CandidateInfo
    position: PositionInfo
    nodes: CandidateInfo | None
    step: int
    pre_state: bytes


def site(view: CourtView, job: Job, candidate: CandidateInfo) -> Site:
    """Resolve a candidate."""
    position = view.position(candidate.position)
    nodes = candidate if position.kind == Kind.NODES else None
    if position.kind == Kind.FOLD:
        nodes = view.candidate(position.parent)
    of_step = None if nodes is None else view.position(nodes.position)
    return Site(
        candidate=candidate,
        position=position,
        nodes=nodes,
        step=0 if of_step is None else of_step.segment * job.geometry.stride + of_step.a - 1,
        pre_state=ZERO if of_step is None else of_step.first,
    )


def position_tree(openings: Openings, here: PositionInfo, step: int) -> Tree:
    """Return this party's own tree for a position (D-3); `step` as in `Site`."""
    if here.kind == Kind.STEPS:
        return openings.steps_tree(here.segment)
    if here.kind == Kind.NODES:
        return openings.nodes_tree(step)
    return openings.fold_tree(step, here.a, here.b)


def last_leaf(here: PositionInfo, geometry: Geometry) -> int:
    """Return the leaf of a candidate's tree that holds the end of its position (P-13)."""
    return {
        Kind.STEPS: geometry.steps_of(here.segment),
        Kind.NODES: geometry.n_nodes,
        Kind.FOLD: here.ranges,
    }[here.kind]


def commitment(here: PositionInfo, tree: Tree, geometry: Geometry, *, accumulator: bytes = b"") -> Commit:
    """Return the move that commits a tree at a position, with its first list and its end points (D-5).

    Args:
        accumulator: FOLD: that of the whole fold, 97 bytes.
    """
    levels = geometry.levels(tree.height)
    below = tree.height - levels
    return Commit(
        position=here.position,
        children=tuple(tree.children(tree.height, 0, levels)),
        first_path=() if here.kind == Kind.NODES else tuple(tree.path_between(0, 0, below)),
        last_path=tuple(tree.path_between(0, last_leaf(here, geometry), below)),
        accumulator=accumulator,
    )


def cursor_tree(openings: Openings, place: Site, cursor: Cursor) -> Tree:
    """Return this party's own tree that corresponds to a cursor's (a PAGE stands in its tensor)."""
    if cursor.kind in (Kind.TENSOR, Kind.PAGE):
        return openings.tensor_tree(Source.NODE, cursor.node, place.step)
    if cursor.kind == Kind.STATE:
        return openings.state_tree(place.step + 1)
    return position_tree(openings, place.position, place.step)


def proof_context(job: Job, place: Site, cursor: Cursor) -> ProofContext:
    """Return what the verifier will be handed for a proof at the cursor (P-15).

    Raises:
        MismatchError: the site is a STEPS candidate, where nothing can be proven.
    """
    if place.nodes is None:
        raise MismatchError("no leaf of a STEPS commitment can be proven; select a step instead")
    folding = place.position.kind == Kind.FOLD
    return context_of(
        job,
        cursor,
        nodes_root=place.nodes.root,
        pre_state=place.pre_state,
        step=place.step,
        fold=(place.candidate.root, place.position.a, place.position.b) if folding else None,
    )


def context_of(
    job: Job,
    cursor: Cursor,
    *,
    nodes_root: bytes,
    pre_state: bytes,
    step: int,
    fold: tuple[bytes, int, int] | None,
) -> ProofContext:
    """Put together what the court hands to the verifier (P-15).

    Args:
        nodes_root, pre_state, step: of the NODES candidate that operands are read under.
        fold: under FOLD the candidate's root, and node and word index of its position.
    """
    fold_root, node, word_index = fold or (ZERO, cursor.node, 0)
    geometry = job.geometry
    return ProofContext(
        program_root=job.program_root,
        inputs_root=job.inputs_root,
        seed=job.seed,
        nodes_root=nodes_root,
        pre_state=pre_state,
        fold_root=fold_root,
        cursor=cursor.hash,
        kind=int(cursor.kind),
        cursor_height=cursor.height,
        cursor_index=cursor.index,
        node=node,
        word_index=word_index,
        step=step,
        n_nodes=geometry.n_nodes,
        n_slots=geometry.n_slots,
        n_inputs=geometry.n_inputs,
        n_rows=geometry.n_rows,
        batch=geometry.batch,
        tensor_height=geometry.tensor_height,
        input_height=geometry.input_height,
        range_log2=geometry.range_log2,
    )


class TraceOpener:
    """Opens operands from one's own trace, and the commitment under attack from what was revealed.

    Implements `protocol.program.witness.Opener`. Below the first difference both sides agree.
    """

    def __init__(self, view: CourtView, openings: Openings, place: Site, cursor: Cursor) -> None:
        """An opener for one cursor."""
        self._view = view
        self._openings = openings
        self._place = place
        self._cursor = cursor

    def descriptor(self, node: int, /) -> tuple[bytes, Sequence[bytes]]:
        """Return the 1024 bytes of a descriptor and its path (C-8)."""
        return self._openings.program.nodes[node].encode(), self._openings.program_tree().path(node)

    def tensor_root(self, source: Source, source_id: int, /) -> bytes:
        """Return the root of an operand's tensor."""
        return self._openings.source_tree(source, self._place.step).node(0, source_id)

    def source_path(self, source: Source, source_id: int, /) -> Sequence[bytes]:
        """Return its path: for a node under the root that the other side committed."""
        own = self._openings.source_tree(source, self._place.step)
        if source != Source.NODE or self._place.nodes is None:
            return own.path(source_id)
        return self._committed(own, self._place.nodes.root).path(source_id)

    def page(self, source: Source, source_id: int, page: int, /) -> tuple[bytes | None, Sequence[bytes]]:
        """Return a page of that tensor and its siblings."""
        tree = self._openings.tensor_tree(source, source_id, self._place.step)
        return self._openings.page(source, source_id, self._place.step, page), tree.path(page)

    def committed_leaf(self, index: int, /) -> tuple[bytes, Sequence[bytes]]:
        """Return a leaf below the cursor as it was committed."""
        children = committed_children(self._view, self._cursor, self._cursor.height)
        return children[index], path_in_list(children, index)

    def committed_page(self) -> bytes:
        """Return the page that hashes to the cursor."""
        return committed_page(self._view, self._cursor)

    def accumulator(self, number: int, /) -> tuple[Accumulator, Sequence[bytes]]:
        """Return a leaf of the fold tree under attack and its path."""
        here, step = self._place.position, self._place.step
        own = self._openings.fold_tree(step, here.a, here.b)
        accumulators = self._openings.trace.accumulators(step, here.a, here.b)
        return accumulators[number], self._committed(own, self._place.candidate.root).path(number)

    def _committed(self, own: Tree, root: bytes) -> Committed:
        return Committed(self._view, own=own, root=root, fanout_log2=self._openings.geometry.fanout_log2)


def committed_children(view: CourtView, cursor: Cursor, levels: int) -> Sequence[bytes]:
    """Return what was revealed below a cursor; a tree of height 0 is its own leaf.

    Raises:
        MismatchError: nothing was, though it is the challenger's turn.
    """
    children = [cursor.hash] if levels == 0 else view.children(cursor.hash, levels)
    if children is None:
        raise MismatchError(f"the children of {cursor.hash.hex()} are not revealed; read the chain again")
    return children


def committed_page(view: CourtView, cursor: Cursor) -> bytes:
    """Return the page that hashes to the cursor. Raises MismatchError if it is not revealed."""
    page = view.page(cursor.hash)
    if page is None:
        raise MismatchError(f"the page {cursor.hash.hex()} is not revealed; read the chain again")
    return page
