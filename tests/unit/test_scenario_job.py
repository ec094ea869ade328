"""The small job that scenarios, fixtures and self-tests share."""

from __future__ import annotations

import torch

from gavel.jobs import make_executor
from gavel.scenarios.job import STEPS, small_job
from protocol.program.address import n_ranges
from prover.engine.trace import trace_of_job


def test_terms_do_not_change_what_it_computes() -> None:
    torch.manual_seed(1)
    here = small_job()
    assert torch.initial_seed() == 1
    there = small_job(chain_id=5, board=b"\1" * 20, requester=b"\2" * 20, expiry=9)
    assert there.job.job_id != here.job.job_id
    assert (there.job.chain_id, there.job.expiry) == (5, 9)
    there.check()
    assert there.job.genesis == here.job.genesis


def test_it_has_what_a_dispute_can_meet() -> None:
    folder = small_job()
    geometry = folder.job.geometry
    assert (geometry.segments, geometry.steps) == (4, STEPS)
    assert max(n_ranges(node, geometry.range_log2) for node in folder.program.nodes) > 3
    assert geometry.tensor_height >= 1
    assert geometry.n_slots < 1 << geometry.state_height
    trace = trace_of_job(make_executor(folder), folder)
    assert len({trace.state_root(step) for step in range(STEPS + 1)}) == STEPS + 1
