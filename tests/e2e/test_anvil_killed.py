"""Watcher and defender as processes on anvil, killed with SIGKILL after every event of a dispute, and started
again with what is public and a key (actors.md, A-6, A-12).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from challenger.agent import Watcher
from gavel.jobs import make_executor
from protocol.chain.client import Client
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts, Deployment
from protocol.game.view import DisputeStatus, UpdateStatus
from protocol.job_folder import JobFolder
from tests.e2e.small_job import cheat
from tests.support.anvil import Anvil, anvil
from tests.support.processes import SETTLED, Processes
from tests.support.watching import Lines

PARTIES = ("deployer", "trainer", "watcher")
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

WITHDRAW = "0x3ccfd60b"


@pytest.fixture
def node() -> Iterator[Anvil]:
    with anvil() as node:
        yield node


@pytest.fixture
def town(node: Anvil, tmp_path: Path) -> Iterator[Processes]:
    town = Processes(tmp_path, node.url, PARTIES)
    yield town
    town.close()


class Scene:
    """A job in which a trainer has posted four segments, and what has happened since."""

    def __init__(self, node: Anvil, town: Processes, *hooks: str) -> None:
        self.node, self.town = node, town
        town.deploy()
        town.open_job(
            "deployer", "job", "tests.e2e.small_job:setup",
            "--steps", "20", "--stride", "4", "--batch", "16", "--preset", town.short_preset(),
        )  # fmt: skip
        self.folders = {who: town.folder / who / "job" for who in PARTIES}
        self.folder = JobFolder.load(self.folders["deployer"])
        town.run("trainer", "train", self.folders["trainer"], "--segments", "4", *hooks)
        town.run("trainer", "submit", self.folders["trainer"])
        self.seen, self.view = Counter[str](), ChainView(town.contracts())
        self.view.refresh()
        self.first = {who: self.tokens(who) for who in PARTIES}
        self._floor, self._lives = node.head(), list[str]()
        node.rpc("evm_setIntervalMining", 1)

    def tokens(self, who: str) -> int:
        return int(self.town.contracts().token.view("balanceOf", self.town.address(who)))

    def happened(self, *names: str) -> bool:
        """Whether one of some events has been seen."""
        self.seen.update(event.name for event in self.view.refresh())
        return bool(set(names) & self.seen.keys())

    def live(self, happened: Callable[[], object], *who: str, hooks: Sequence[str] = ()) -> None:
        """Some run until something has happened, and are killed at once."""
        life = str(len(self._lives) + 1)
        commands = {
            "trainer": ("defend", self.folders["trainer"], *hooks),
            "watcher": ("watch", self.folders["watcher"], "--no-measure"),
        }
        with ExitStack() as running:
            for party in who:
                log = f"{party}-{life}"
                self._lives.append(log)
                running.enter_context(
                    self.town.killed_after(party, *commands[party], "--poll", "0.2", log=log)
                )
            self.town.wait_for(f"something new in life {life}", happened)

    def check(self, *senders: str) -> None:
        """Every transaction of some did something, none was sent twice, and no operator was called."""
        addresses = {self.town.address(who).lower() for who in senders}
        done = Counter[tuple[str, str]]()
        for number in range(self._floor + 1, self.node.head() + 1):
            for tx in self.node.rpc("eth_getBlockByNumber", hex(number), True)["transactions"]:
                if tx["from"].lower() in addresses:
                    receipt = self.node.rpc("eth_getTransactionReceipt", tx["hash"])
                    assert receipt["status"] == "0x1", tx
                    done[tx["from"].lower(), tx["input"]] += 1
        done.pop((self.town.address("trainer").lower(), WITHDRAW), None)  # of each credit anew
        assert max(done.values()) == 1
        assert len(self._lives) > 4
        for log in self._lives:
            assert " ERROR " not in self.town.said(log), self.town.said(log)


@pytest.mark.slow
def test_both_killed_after_every_event_nothing_is_lost_or_paid_twice(node: Anvil, town: Processes) -> None:
    scene = Scene(node, town, *HOOKS)
    both = partial(scene.live, hooks=HOOKS)
    while left := EVENTS - scene.seen.keys():
        both(lambda left=left: scene.happened(*left), "trainer", "watcher")  # type: ignore[misc]
    node.pass_time(SETTLED)
    money = scene.folder.job.money
    won = scene.first["watcher"] + money.bounty + money.tip
    both(lambda: scene.happened("Fallen"), "trainer", "watcher")
    both(lambda: scene.tokens("watcher") >= won, "trainer", "watcher")

    scene.happened()
    [update] = scene.view.updates(scene.folder.job.job_id)
    assert update.status == UpdateStatus.FALLEN
    assert [d.status for d in scene.view.disputes(update=update.update)] == [DisputeStatus.CLOSED]
    assert [scene.seen[name] for name in ("Reserved", "Opened", "Fallen", "DisputeLost")] == [1, 1, 1, 0]
    scene.check("trainer", "watcher")


@pytest.mark.slow
def test_an_honest_defender_killed_after_every_event_keeps_its_bond(node: Anvil, town: Processes) -> None:
    """Against a watcher in this process whose replay is wrong."""
    scene = Scene(node, town)
    key = town.keys["watcher"]
    bound = Contracts.bind(Client.connect(node.url, key=key), Deployment.load(town.deployment))
    log = Lines()
    accuser = Watcher(
        contracts=bound,
        folder=scene.folder,
        executor=make_executor(scene.folder),
        key=key,
        log=log,
        hooks=cheat(scene.folder),
    )

    def accused(*names: str) -> bool:
        accuser.step()
        return scene.happened(*names)

    for _ in range(3):  # its moves that nobody need answer
        accused()
    while left := EVENTS - {"CandidateFell"} - scene.seen.keys():
        scene.live(lambda left=left: accused(*left), "trainer")  # type: ignore[misc]
    # There is nothing to prove, so it loses at the leaf, or by silence there.
    scene.live(lambda: accused("DisputeLost") or log.saying("Prove"), "trainer")
    node.pass_time(SETTLED)
    scene.live(lambda: scene.happened("DisputeLost"), "trainer")
    node.pass_time(SETTLED)
    earned = scene.first["trainer"] + scene.folder.job.money.update_bond + 4 * scene.folder.job.money.reward
    scene.live(lambda: scene.tokens("trainer") >= earned, "trainer")

    scene.happened()
    [update] = scene.view.updates(scene.folder.job.job_id)
    assert update.status == UpdateStatus.FINAL
    assert [d.status for d in scene.view.disputes(update=update.update)] == [DisputeStatus.LOST]
    assert scene.tokens("watcher") == scene.first["watcher"] - scene.folder.job.money.challenge_bond
    scene.check("trainer")
