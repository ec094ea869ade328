"""The running watcher: killed at any moment, under reorganisations, dry, poor, cut off (A-6 to A-14)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from challenger.agent import Watcher
from challenger.pace import Pace
from protocol.chain.agent import run
from protocol.chain.court_view import ChainView
from protocol.errors import ChainError, UsageError
from protocol.game.moves import Move, Open, Reserve, Silence
from protocol.game.view import DisputeStatus, UpdateStatus
from tests.support.watching import PURSE, Cut, Field, Lines


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Field:
    return Field(tmp_path_factory.mktemp("field"), provider=Cut)


@pytest.fixture
def field(opened: Field, tmp_path: Path) -> Iterator[Field]:
    yield from opened.lent(tmp_path)


def _won(field: Field) -> None:
    """The wrong update fell, the watcher lost no bond, and what it won is in its wallet."""
    assert [update.status for update in field.updates()][-1] == UpdateStatus.FALLEN
    assert DisputeStatus.LOST not in field.disputes()
    money = field.folder.job.money
    assert field.view.credit(field.account("watcher")) == 0
    assert field.view.balance(field.account("watcher")) >= PURSE + money.bounty


def _kinds(moves: list[Move]) -> list[str]:
    return [type(move).__name__ for move in moves]


def test_a_new_watcher_before_every_single_step_wins_and_pays_for_nothing_twice(field: Field) -> None:
    cheat = field.cheat()
    cheat.train(2)
    before = field.nonce()
    moves = field.play(lambda: field.watcher(fresh=True), cheat)
    _won(field)
    # No transaction but the moves, none of them again, and one approval.
    assert field.nonce() - before == len(moves) + 1
    assert len(set(moves)) == len(moves)
    kinds = _kinds(moves)
    assert kinds[:2] == ["Reserve", "Open"]
    assert kinds[-3:] == ["Prove", "Settle", "Withdraw"]
    assert {"Select", "SelectStep"} < set(kinds)


def test_a_restart_under_confirmations_pays_for_nothing_twice(field: Field) -> None:
    field.cheat().train(2)
    field.mine(3)

    def restarted() -> Watcher:
        return field.watcher(fresh=True, view=ChainView(field.contracts["watcher"], confirmations=3))

    watcher = restarted()
    assert _kinds(watcher.step()) == ["Reserve"]
    before = field.nonce()
    assert watcher.step() == []  # what was just sent is not seen yet, and not sent again
    # Killed, and started again where its reservation is too young to be seen: the node refuses it beforehand.
    assert restarted().step() == []
    assert field.nonce() == before
    field.mine(3)
    assert _kinds(restarted().step()) == ["Open"]


@pytest.mark.parametrize("confirmations", [0, 2])
def test_no_reorganisation_costs_a_bond(field: Field, confirmations: int) -> None:
    """Before every step the last blocks are undone, with what both sides have sent in them."""
    cheat = field.cheat()
    cheat.train(2)
    field.mine(2)
    before, sent = field.nonce(), 0
    watcher = field.watcher(view=ChainView(field.contracts["watcher"], confirmations=confirmations))
    undone = idle = 0
    while idle < 5:
        snapshot = field.chain.rpc("evm_snapshot", [])
        lost = watcher.step() + cheat.agent.step()
        if lost:
            assert field.chain.rpc("evm_revert", [snapshot])
            undone += len(lost)
        moves = watcher.step()
        sent += len(moves)
        made = moves + cheat.agent.step()
        field.mine(1)
        idle = 0 if made or lost else idle + 1
        if idle == 4 and field.wait_for_ends():
            idle = 0
    assert undone > 10
    assert field.nonce() - before == sent + 1  # the moves that stand, and an approval: nothing twice
    _won(field)


def test_a_dry_run_says_what_it_would_send_and_sends_nothing(field: Field) -> None:
    field.cheat().train(2)
    before = field.nonce()
    for options in ({}, {"key": None, "account": field.account("other")}, {"key": None}):
        log = Lines()
        watcher = field.watcher(log=log, dry_run=True, **options)
        for _ in range(3):
            assert watcher.step() == []
        [text] = log.saying("would send")
        assert text == "would send Reserve, which would lock 6 x 10^7 tokens"
        assert log.at("error") == []
    assert field.nonce() == before
    assert field.view.reservations(field.account("watcher")) == []
    with pytest.raises(UsageError, match="run it dry"):
        field.watcher(key=None)


def test_a_watcher_started_with_nothing_calls_silence_before_it_has_replayed(field: Field) -> None:
    cheat = field.cheat(step=10)
    cheat.train(4)
    _until_open(field.watcher())
    cheat.agent.step()  # it commits, and is silent from then on
    first = field.watcher(fresh=True)
    assert first.step()  # selects
    field.pass_time(1000)
    log = Lines()
    late = field.watcher(fresh=True, log=log)
    assert late.turn()
    assert log.saying("replayed") == []
    assert log.saying("showed that the other side's time is over")


def _until_open(watcher: Watcher) -> list[Move]:
    moves: list[Move] = []
    while not any(isinstance(move, Open) for move in moves):
        moves += watcher.step()
    return moves


def test_one_turn_replays_one_segment_and_an_open_dispute_comes_first(field: Field) -> None:
    cheat = field.cheat(step=10)
    cheat.train(4)
    log = Lines()
    watcher = field.watcher(log=log)
    for segment in range(1, 5):
        assert watcher.turn()
        assert len(log.saying("replayed")) == segment
    assert watcher.turn()  # the comparison
    assert log.saying("segment 4: WRONG")
    _until_open(watcher)
    cheat.agent.step()
    log = Lines()
    again = field.watcher(log=log, fresh=True)
    sent: list[list[Move]] = []
    while not sent:
        again.view.refresh()
        sent += [moves] if (moves := again._look()) else []
        if not sent:
            assert again._work()
    # It has come to the disputed segment's start, three segments on, and no further, before it selects.
    assert len(log.saying("replayed")) == 3


def test_an_account_without_means_is_told_once_and_nothing_is_spent(field: Field) -> None:
    field.cheat().train(2)
    contracts = field.contracts["watcher"]
    contracts.token.send("transfer", field.contracts["other"].client.address, PURSE)
    log = Lines()
    watcher, before = field.watcher(log=log), field.nonce()
    for _ in range(3):
        assert watcher.step() == []
    [said] = log.at("error")
    assert "fewer than the" in said
    assert "get some" in said
    assert field.nonce() == before
    poor = Lines()
    coins = int(field.chain.rpc("eth_getBalance", [contracts.client.address]), 16)
    contracts.client.send(
        field.contracts["other"].client.address, b"", tag="all", gas=21_000, value=coins - 21_000 * 10**10
    )
    field.contracts["other"].token.send("transfer", contracts.client.address, PURSE)
    assert field.watcher(log=poor, fresh=True).step() == []
    [said] = poor.at("error")
    assert "wei of coin and this takes up to" in said
    assert "send it some" in said


def test_a_node_that_is_cut_off_is_said_once_and_the_watcher_goes_on(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    field.cheat().train(2)
    log, stop = Lines(), threading.Event()
    watcher = field.watcher(log=log, fresh=True)
    node: Any = watcher._contracts.client.web3.provider
    node.off = True
    looks = 0
    refresh = watcher.view.refresh

    def counted() -> Any:
        nonlocal looks
        looks += 1
        if looks == 4:
            node.off = False
        return refresh()

    monkeypatch.setattr(watcher.view, "refresh", counted)
    monkeypatch.setattr(watcher, "_collect", stop.set)
    run([watcher], poll=0.01, stop=stop, log=log)
    assert len(log.saying("no route to the node")) == 1
    assert log.saying("the node answers again")
    assert log.saying("opened the dispute") or log.saying("reserved a dispute")
    assert log.at("error") == []
    node.off = True
    with pytest.raises(ChainError, match="no route"):
        run([watcher], poll=0.01, stop=threading.Event(), log=log, once=True)


def test_a_node_that_stands_still_is_said(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    for behind, level in ((5, None), (16, "error"), (600, "error")):
        log, stop = Lines(), threading.Event()
        watcher = field.watcher(log=log)
        monkeypatch.setattr("protocol.chain.agent.time.time", lambda behind=behind: field.now() + behind)
        run([watcher], poll=0.01, stop=stop, log=log, once=True)
        assert [found for found, text, _ in log.told if "STALE NODE" in text] == ([level] if level else [])


def test_two_jobs_of_one_account_are_followed_side_by_side(field: Field) -> None:
    second = field.open("other", later=2 * 10**6)
    cheats = [field.cheat(), field.cheat(folder=second)]
    for cheat in cheats:
        cheat.train(2)
    view = ChainView(field.contracts["watcher"])
    watchers = [field.watcher(view=view), field.watcher(view=view, folder=second)]
    for _ in range(400):
        busy = [watcher.turn() for watcher in watchers] + [bool(cheat.agent.step()) for cheat in cheats]
        if not any(busy) and not field.wait_for_ends():
            break
    for folder in (field.folder, second):
        assert [update.status for update in field.updates(folder)] == [UpdateStatus.FALLEN]
    assert field.disputes() == [DisputeStatus.CLOSED] * 2
    assert all(watcher.idle for watcher in watchers)


def test_what_is_or_will_be_too_late_asks_for_an_operator(field: Field) -> None:
    field.cheat().train(2)
    log = Lines()
    watcher = field.watcher(log=log, dry_run=True)
    watcher.pace = Pace(step=200.0, state=0.0, outputs=0.0)  # 600 s a segment, and 620 s are left for two
    watcher.step()
    [said] = log.at("error")
    assert "cannot be compared before its deadline: 2 segments" in said
    field.pass_time(650)
    watcher.step()
    assert "is wrong and cannot be disputed any more" in log.at("error")[-1]
    late = Lines()
    field.watcher(log=late).turn()
    assert "was not compared before its deadline" in late.at("error")[0]
    field.pass_time(200)
    watcher.step()
    assert "FINAL THOUGH WRONG" in log.at("error")[-1]


def test_moves_are_told_in_fields(field: Field) -> None:
    field.cheat().train(2)
    log = Lines()
    watcher = field.watcher(log=log)
    [reserve] = watcher.step()
    assert isinstance(reserve, Reserve)
    [told] = [fields for _, text, fields in log.told if text.startswith("reserved")]
    assert told["move"] == "Reserve"
    assert told["digest"] == reserve.digest
    assert isinstance(told["gas"], int)
    receipt = field.chain.rpc("eth_getTransactionReceipt", [told["tx"]])
    assert int(receipt["gasUsed"], 16) == told["gas"]
    [wrong] = [fields for _, text, fields in log.told if "WRONG" in text]
    assert (wrong["segment"], wrong["posted"] == wrong["state"]) == (1, False)
    assert not any(isinstance(move, Silence) for move in [reserve])
