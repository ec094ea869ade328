"""Two jobs, honest trainers and a cheat, two watchers, all as processes, on anvil with a block a second.

One of the watchers has two nodes; the first of them goes away in the middle of the dispute and comes back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.torch import load_file

from protocol.chain.court_view import ChainView
from protocol.game.view import DisputeStatus, UpdateStatus
from protocol.job_folder import JobFolder
from tests.e2e.small_job import CHEATED_SEGMENT, setup
from tests.support.anvil import Anvil, anvil
from tests.support.nodes import Fickle
from tests.support.processes import SETTLED, Processes

WATCHERS = ("watcher", "rival")
PARTIES = ("deployer", "requester", "first", "second", "cheat", *WATCHERS)
POLL = ("--poll", "0.3")


@pytest.fixture
def node() -> Iterator[Anvil]:
    with anvil() as node:
        yield node


@pytest.fixture
def fickle(node: Anvil) -> Fickle:
    return Fickle.at(node.url)


@pytest.fixture
def town(node: Anvil, fickle: Fickle, tmp_path: Path) -> Iterator[Processes]:
    town = Processes(tmp_path, node.url, PARTIES)
    with fickle.served() as first:
        town.nodes["watcher"] = f"{first.url} {node.url}"
        yield town
        town.close()


@pytest.mark.slow
def test_several_jobs_on_anvil(node: Anvil, fickle: Fickle, town: Processes) -> None:
    town.deploy()
    terms = ("--steps", "20", "--stride", "4", "--batch", "16", "--preset", town.short_preset())
    for name in ("wrong", "right"):
        town.open_job("requester", name, "tests.e2e.small_job:setup", *terms)
    folders = {name: JobFolder.load(town.folder / "requester" / name) for name in ("wrong", "right")}
    contracts, seen = town.contracts(), Counter[str]()
    view = ChainView(contracts)
    wrong, right = (folder.job.job_id for folder in folders.values())
    money = folders["wrong"].job.money

    def tokens(who: str) -> int:
        return int(contracts.token.view("balanceOf", town.address(who)))

    def happened(name: str, times: int = 1) -> bool:
        seen.update(event.name for event in view.refresh())
        return seen[name] >= times

    before = {who: tokens(who) for who in PARTIES}
    node.rpc("evm_setIntervalMining", 1)
    watchers = [
        town.start(
            who, "watch", town.folder / who / "wrong", town.folder / who / "right", *POLL, "--no-measure"
        )
        for who in WATCHERS
    ]
    cheat = town.start(
        "cheat", "trainer", "run", town.folder / "cheat/wrong", *POLL, "--hooks", "tests.e2e.small_job:cheat"
    )
    first = town.start("first", "trainer", "run", town.folder / "first/right", *POLL, "--per-update", "3")

    # The cheat is found by both watchers, and proven wrong; the other job is left alone.
    town.wait_for("two disputes", lambda: happened("Opened", 2))
    fickle.off = True
    town.wait_for("the fall of a candidate", lambda: happened("CandidateFell"))
    town.wait_for("both updates of the honest job", lambda: happened("Posted", 3))
    cheat.kill()  # or it would post the same once more
    fickle.off = False
    node.pass_time(SETTLED)
    town.wait_for("the fall of the update", lambda: happened("Fallen"))
    town.ended(first)
    assert "done: all that it posted is final and collected" in town.said("first")

    # Somebody else trains the first job from its start.
    second = town.start("second", "trainer", "run", town.folder / "second/wrong", *POLL)
    town.wait_for("the right update", lambda: happened("Posted", 4))
    node.pass_time(SETTLED)
    town.ended(second)
    town.wait_for("what watchers get", lambda: all(tokens(who) >= before[who] for who in WATCHERS))
    for watcher in watchers:
        town.stop(watcher)

    view.refresh()
    assert [update.status for update in view.updates(wrong)] == [UpdateStatus.FALLEN, UpdateStatus.FINAL]
    assert [update.status for update in view.updates(right)] == [UpdateStatus.FINAL] * 2
    disputes = [d for update in view.updates(wrong) for d in view.disputes(update=update.update)]
    assert {d.segment for d in disputes} == {CHEATED_SEGMENT}
    assert DisputeStatus.LOST not in {d.status for d in disputes}
    assert not [d for update in view.updates(right) for d in view.disputes(update=update.update)]
    assert seen["Fallen"] == 1
    change = {who: tokens(who) - before[who] for who in PARTIES}
    assert change["cheat"] == -money.update_bond
    assert change["first"] == change["second"] == 5 * money.reward
    gains = sorted(change[who] for who in WATCHERS)
    assert gains[0] >= 0
    assert gains[1] >= money.bounty
    assert sum(gains) >= money.bounty + money.tip
    said = town.said("watcher")
    assert 0 < said.find("leaves node 1") < said.find("goes back to node 1"), said
    for who in ("first", "second", *WATCHERS):
        assert " ERROR " not in town.said(who), town.said(who)

    out = town.folder / "model.safetensors"
    town.run("requester", "job", "fetch", town.folder / "requester/right", out)
    setup().module.load_state_dict(load_file(out))
