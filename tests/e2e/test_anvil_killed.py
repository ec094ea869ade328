"""Watcher and defender as processes on anvil, both killed with SIGKILL after every event of a dispute, and
started again with what is public and a key (actors.md, A-6, A-12).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from protocol.chain.court_view import ChainView
from protocol.game.view import DisputeStatus, UpdateStatus
from protocol.job_folder import JobFolder
from tests.support.anvil import Anvil, anvil
from tests.support.processes import Processes

PARTIES = ("deployer", "cheat", "watcher")
HOOKS = ("--hooks", "tests.e2e.small_job:cheat")
EVENTS = frozenset(
    {
        "Reserved",
        "Opened",
        "Demanded",
        "Committed",
        "Revealed",
        "PageRevealed",
        "Selected",
        "CandidateFell",
    }
)
"""Of a dispute up to the proof, both sides'; both are killed as soon as there is one of a kind."""

SETTLED = 2_000


@pytest.fixture
def node() -> Iterator[Anvil]:
    with anvil() as node:
        yield node


@pytest.fixture
def town(node: Anvil, tmp_path: Path) -> Iterator[Processes]:
    town = Processes(tmp_path, node.url, PARTIES)
    yield town
    town.close()


@pytest.mark.slow
def test_both_killed_after_every_event_nothing_is_lost_or_paid_twice(node: Anvil, town: Processes) -> None:
    town.deploy()
    town.open_job(
        "deployer", "job", "tests.e2e.small_job:setup",
        "--steps", "20", "--stride", "4", "--batch", "16", "--preset", town.short_preset(),
    )  # fmt: skip
    folders = {who: town.folder / who / "job" for who in PARTIES}
    town.run("cheat", "train", folders["cheat"], "--segments", "4", *HOOKS)
    town.run("cheat", "submit", folders["cheat"])
    contracts, seen = town.contracts(), Counter[str]()
    view, job = ChainView(contracts), JobFolder.load(folders["deployer"]).job
    view.refresh()
    floor, first = node.head(), _tokens(town, "watcher")
    node.rpc("evm_setIntervalMining", 1)

    def happened(names: frozenset[str]) -> bool:
        seen.update(event.name for event in view.refresh())
        return bool(names & seen.keys())

    lives = 0
    while left := EVENTS - seen.keys():
        lives += 1
        _live(town, folders, str(lives), lambda left=left: happened(left))  # type: ignore[misc]
    for who in ("watcher", "cheat"):
        for life in range(1, lives + 1):
            assert " ERROR " not in town.said(f"{who}-{life}"), town.said(f"{who}-{life}")
    node.pass_time(SETTLED)
    won = first + job.money.bounty + job.money.tip
    _live(town, folders, "fall", lambda: happened(frozenset({"Fallen"})))
    _live(town, folders, "last", lambda: _tokens(town, "watcher") >= won)
    assert lives > 4

    happened(frozenset())
    [update] = view.updates(job.job_id)
    assert update.status == UpdateStatus.FALLEN
    assert [d.status for d in view.disputes(update=update.update)] == [DisputeStatus.CLOSED]
    assert [seen[name] for name in ("Reserved", "Opened", "Fallen", "DisputeLost")] == [1, 1, 1, 0]
    # Every transaction of both sides did something, and none was sent twice.
    done = list(_transactions(node, floor))
    assert all(accepted for _, accepted in done)
    assert max(Counter(what for what, _ in done).values()) == 1


def _live(town: Processes, folders: dict[str, Path], life: str, happened: Callable[[], object]) -> None:
    """Both run until something has happened, and are killed at once."""
    poll = ("--poll", "0.2")
    with ExitStack() as both:
        both.enter_context(
            town.killed_after("cheat", "defend", folders["cheat"], *poll, *HOOKS, log=f"cheat-{life}")
        )
        both.enter_context(
            town.killed_after(
                "watcher", "watch", folders["watcher"], *poll, "--no-measure", log=f"watcher-{life}"
            )
        )
        town.wait_for(f"something new in life {life}", happened)


def _tokens(town: Processes, who: str) -> int:
    return int(town.contracts().token.view("balanceOf", town.address(who)))


def _transactions(node: Anvil, floor: int) -> Iterator[tuple[tuple[str, str], bool]]:
    """Sender and data of each transaction after a block, and whether it was accepted."""
    for number in range(floor + 1, node.head() + 1):
        for tx in node.rpc("eth_getBlockByNumber", hex(number), True)["transactions"]:
            receipt = node.rpc("eth_getTransactionReceipt", tx["hash"])
            yield (tx["from"], tx["input"]), receipt["status"] == "0x1"
