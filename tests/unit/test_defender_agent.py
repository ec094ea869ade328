"""The running defender: what it knows follows what is live on the chain (actors.md, A-4 and A-6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from challenger.solver import Challenger, opening, solve
from protocol.chain.moves import send_move
from protocol.commitments.canonical import Words
from protocol.game import moves as m
from protocol.game.ids import dispute_id
from protocol.game.openings import Openings
from protocol.game.view import UpdateInfo, UpdateStatus
from prover.agent import DefenderAgent
from prover.engine.executor import Executor
from tests.support.chain import Sides
from tests.support.game import one_word, segment_end


def _agent(sides: Sides, who: str, states: dict[tuple[int, bytes], Sequence[Words]]) -> DefenderAgent:
    """The shipped agent and the shipped replay over the toy machine."""
    example, geometry = sides.example, sides.job.geometry
    executor = Executor(
        example.program,
        inputs=example.inputs,
        seed=example.seed,
        n_rows=example.n_rows,
        batch=example.batch,
        tensor_height=geometry.tensor_height,
    )
    folder: Any = SimpleNamespace(job=sides.job, program=example.program, genesis=example.state)
    store: Any = SimpleNamespace(load=lambda segments, root: states.get((segments, root)))
    return DefenderAgent(
        contracts=sides.contracts[who],
        folder=folder,
        executor=executor,
        store=store,
        log=lambda _, **__: None,
    )


def _post(sides: Sides, who: str, ends: Sequence[bytes]) -> UpdateInfo:
    """Take the lease and post the next segments."""
    job, contracts = sides.job.job_id, sides.contracts[who]
    sides.view.refresh()
    chain = sides.view.chain(job)
    send_move(contracts, m.Lease(job=job))
    send_move(contracts, m.Post(job=job, parent=chain[-1].update if chain else job, states=tuple(ends)))
    sides.view.refresh()
    return sides.view.chain(job)[-1]


def _accuse(sides: Sides, me: Challenger, update: UpdateInfo, segment: int) -> bytes:
    """Open a dispute in the requester's name, whatever it is worth; returns its position."""
    salt = bytes([9]) * 32
    contracts, me = sides.contracts["requester"], replace(me, address=sides.address["requester"])
    digest = dispute_id(update=update.update, segment=segment, challenger=me.address, salt=salt)
    send_move(contracts, m.Reserve(job=sides.job.job_id, digest=digest))
    send_move(contracts, opening(update, segment, salt, me.job.geometry))
    sides.view.refresh()
    [position] = sides.view.demands(digest)
    return position


def _roots(sides: Sides, position: bytes) -> list[bytes]:
    sides.view.refresh()
    return [candidate.root for candidate in sides.view.candidates(position)]


def _boundary(openings: Openings, segments: int) -> Sequence[Words]:
    geometry = openings.geometry
    return openings.trace.state_words(min(segments * geometry.stride, geometry.steps))


def test_a_defender_forgets_the_states_of_an_update_that_has_fallen() -> None:
    """Its update stood on a lie and fell with it; what it posts instead starts from another state."""
    sides = Sides()
    job, lie, truth = sides.job.job_id, sides.openings(one_word(2, 2, 65)), sides.truth
    wrong, right = ([segment_end(of, segment) for segment in (0, 1)] for of in (lie, truth))
    assert wrong[0] != right[0]
    watcher = Challenger(
        address=sides.address["watcher"],
        job=sides.job,
        openings=truth,
        salt=lambda *_: bytes(32),
        first_difference=truth.first_difference,
    )
    states = {
        (n + 1, ends[n]): _boundary(of, n + 1) for ends, of in ((wrong, lie), (right, truth)) for n in (0, 1)
    }
    agent = _agent(sides, "other", states)

    base = _post(sides, "trainer", wrong[:1])
    send_move(sides.contracts["trainer"], m.Release(job=job))
    built = _post(sides, "other", wrong[1:])
    disputed = _accuse(sides, watcher, built, 1)
    agent.step()
    # It speaks from the state that it has built on, which no replay of its own leads to.
    assert _roots(sides, disputed) == [lie.steps_tree(1).root]

    for _ in range(20):
        if sides.view.update(base.update).status == UpdateStatus.FALLEN:
            break
        for move in solve(sides.view, watcher):
            send_move(sides.contracts["watcher"], move)
        sides.embedded.rpc("evm_increaseTime", [60])
        sides.embedded.rpc("evm_mine", [])
        sides.view.refresh()
    assert sides.view.update(built.update).status == UpdateStatus.VOID

    _post(sides, "trainer", right[:1])
    send_move(sides.contracts["trainer"], m.Release(job=job))
    again = _post(sides, "other", right[1:])
    disputed = _accuse(sides, watcher, again, 1)
    agent.step()
    assert _roots(sides, disputed) == [truth.steps_tree(1).root]
