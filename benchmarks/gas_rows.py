"""Gas of every external function, from scripted games on py-evm: the same figures every time.

Two games of the tests' random walk are sent again to a token, board, verifier and court as they are deployed;
then every view is asked about everything that came to be. Lists of 128 children and each kind of leaf are
scripts of their own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple
from itertools import product
from typing import Any, Final

from protocol.numerics.accumulator import EMPTY
from tests.support.demands import demand_game
from tests.support.evm import Handle
from tests.support.full_lists import full_dispute
from tests.support.game import NEW_MODEL, table
from tests.support.gas_evm import GasEvm
from tests.support.hostile import decoded
from tests.support.leaf_kinds import HEIGHT, NODES, folds, leaf_kinds, scene_of
from tests.support.lockstep import Lockstep
from tests.support.onchain import GOVERNOR, SCHEDULED_GAS, START
from tests.support.walk import Walk, traces_of

WALKS: Final = (4, 7)
"""Seeds of two walks in which every move is made."""

Call = tuple[Handle, str, tuple[Any, ...]]
Rows = Mapping[tuple[str, str], Sequence[int]]
"""By contract and function the gas of each call, as a receipt gives it."""


def games() -> Rows:
    """Gas of every function of every contract: transactions of three games, and views at their ends."""
    rows: dict[tuple[str, str], list[int]] = defaultdict(list)
    for game in _played():
        evm = GasEvm(timestamp=START)
        deployer = evm.account(0)
        token = evm.deploy("BondToken", 10**30)
        board = evm.deploy("JobBoard", token.address, SCHEDULED_GAS)
        verifier = evm.deploy_judge("StepVerifier")
        court = evm.deploy("Court", board.address, verifier.address)
        availability = evm.deploy("Availability", board.address)
        board.call("bind", court.address, availability.address, GOVERNOR)
        rows["JobBoard", "bind"].append(board.gas)
        contracts = {handle.address: handle for handle in (token, board, verifier, court, availability)}
        for evm.timestamp, sender, to, data in game.contracts.tape:
            handle = contracts[to]
            function, args = decoded(handle, data)
            if function == "prove":
                court.call("proof_context", args[1], args[2])
                rows["Court", "proof_context"].append(court.gas)
            right = deployer if function == "mint" else sender
            rows[handle.artifact.name, function].append(evm.send(to, data, sender=right)[1])
        for handle, function, args in _questions(game, token, board, verifier, court, availability):
            handle.call(function, *args)
            rows[handle.artifact.name, function].append(handle.gas)
    return rows


def full_lists() -> Sequence[tuple[str, int]]:
    """Function and gas of each transaction of a dispute over lists of 128; `judge` is the mock verifier's."""
    return full_dispute(GasEvm())[1]


def leaves() -> Iterator[tuple[str, int, int]]:
    """For every kind of leaf its name, the bytes of its witness, and the gas of its proof."""
    evm = GasEvm()
    court, verifier = evm.deploy("CourtMock"), evm.deploy_judge("StepVerifier")
    for name, challenge in leaf_kinds():
        court.call("set_context", astuple(challenge.context))
        witness = challenge.witness()
        for _ in range(2):  # the first verdict of all fills storage
            verifier.call("prove", court.address, bytes(32), bytes(32), challenge.index, witness)
        yield name, len(witness), verifier.gas


def _played() -> Iterator[Lockstep]:
    traces = traces_of(table())
    token = NEW_MODEL.set(lambda: Lockstep(every=10**9))
    try:
        for seed in WALKS:
            walk = Walk(seed, traces)
            walk.run(500)
            assert isinstance(walk.model, Lockstep)
            yield walk.model
        yield demand_game()
    finally:
        NEW_MODEL.reset(token)


def _questions(
    game: Lockstep, token: Handle, board: Handle, verifier: Handle, court: Handle, availability: Handle
) -> Iterator[Call]:
    """Every other function, with every id that it can be asked about."""
    you, other = token.evm.account(0), token.evm.account(1)
    for handle in (token, board, court, availability):
        for entry in handle.artifact.abi:
            if (
                entry["type"] == "function"
                and entry["stateMutability"] in ("view", "pure")
                and not entry["inputs"]
            ):
                yield handle, entry["name"], ()
    yield token, "balanceOf", (you,)
    yield token, "allowance", (you, other)
    yield token, "transfer", (other, 1)
    yield token, "burn", (1,)
    yield token, "approve", (you, 1)
    yield token, "transferFrom", (you, other, 1)
    scene = scene_of(next(made for _, made in folds()), words=64, tensor_height=HEIGHT)
    opening = scene.descriptors[-1] + b"".join(scene.program_tree.path(NODES - 1))
    yield verifier, "fold_shape", (scene.program_tree.root, NODES, NODES - 1, 6, HEIGHT, 2, opening)
    yield verifier, "schedule_row", (scene.base.seed, 50_000, 128, 7, 5)
    yield verifier, "finish", (1, EMPTY.to_bytes())
    yield from _of_board(game, board)
    yield from _of_court(game, court)
    for update in game.board.updates:
        yield board, "demand_context", (update,)
        for view in ("made", "open_demands"):
            yield availability, view, (update,)
    for demand in game.availability.demands or (bytes(32),):
        yield availability, "demand_info", (demand,)


def _of_board(game: Lockstep, board: Handle) -> Iterator[Call]:
    for job in game.board.jobs:
        for view in ("terms", "job_state", "tip", "proof_terms"):
            yield board, view, (job,)
        yield board, "chain_at", (job, 0)
    for update in game.board.updates:
        for view in ("update_info", "update_status", "dispute_context", "is_live", "fallen"):
            yield board, view, (update,)
    for party in game.board.credits:
        yield board, "credit", (_address(party),)


def _of_court(game: Lockstep, court: Handle) -> Iterator[Call]:
    known = game.court
    for update in game.board.updates:
        yield court, "traces", (update,)
    for position, p in known.positions.items():
        yield court, "position", (position,)
        yield court, "candidates_of", (position, 0)
        yield court, "position_id", (p.parent, int(p.kind), p.a, p.b)
    for sender, digest in known.reserved:
        yield court, "reservation", (_address(sender), digest)
    for trainer, delegate in known.delegates:
        yield court, "is_delegate", (_address(trainer), _address(delegate))
    for hash_, levels in known.revealed:
        yield court, "revealed_at", (hash_, levels)
    for candidate in known.candidates:
        yield court, "candidate", (candidate,)
    for dispute in known.disputes:
        yield court, "dispute", (dispute,)
    for dispute, candidate in product(known.disputes, known.candidates):
        if known.exists(dispute, candidate):
            yield court, "branch", (dispute, candidate)
            yield court, "classify", (dispute, candidate)


def _address(party: bytes) -> str:
    return "0x" + party.hex()
