"""What the demo shows on a terminal, from a report made up here."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from rich.console import Console

from gavel.demo.record import (
    Evidence,
    Report,
    Sent,
    Verdict,
    dispute_transactions,
    element_of,
    float_of,
    transactions,
)
from gavel.demo.report import Screen, show
from protocol.chain.client import SentTransaction
from prover.trainer import Segment

SENT = [
    Sent(who="watcher", what="reserve", gas=100_000, calldata=68, block=7),
    Sent(who="watcher", what="prove", gas=350_001, calldata=3_044, block=8),
]


def _report() -> Report:
    return Report(
        job="ab" * 32,
        segments=40,
        evidence=Evidence(
            segment=8,
            step=147,
            node=6,
            label="addmm model.py:31",
            page=5,
            word=321,
            element=(32, 1),
            range=2,
            ranges=2,
            terms=(32, 63),
            posted_bits="0x3e303e35",
            right_bits="0x3e302e35",
            posted=float_of(0x3E303E35),
            right=float_of(0x3E302E35),
            leaf="range",
        ),
        verdict=Verdict(
            status="fallen",
            void=1,
            winner="watcher",
            bond=1000 * 10**18,
            to_winner=320 * 10**18,
            burned=200 * 10**18,
            to_requester=479 * 10**18,
            tip=10**18,
        ),
        dispute={"transactions": 2, "gas": 450_001, "each": [asdict(sent) for sent in SENT]},
        balances={"watcher": {"before": 10**22, "after": 10**22 + 321 * 10**18}},
        conserved=True,
        accuracy=0.9639,
        loss=0.1,
        seconds={"open": 1.0},
    )


def _console() -> Console:
    return Console(record=True, width=120, force_terminal=False, quiet=False)


def test_the_screen_shows_path_bits_gas_and_balances(capsys: pytest.CaptureFixture[str]) -> None:
    console = _console()
    show(console, _report())
    capsys.readouterr()
    text = console.export_text()
    path = ["segment 8", "step 147", "node 6: addmm model.py:31", "page 5", "element [32, 1]", "range 2 of 2"]
    places = [text.index(part) for part in path]
    assert places == sorted(places)
    for part in ("0x3e303e35", "0x3e302e35", "0.172112301", "450,001", "3,044 B", "+321.00", "96.4%"):
        assert part in text
    assert "2 transactions" in text
    assert "Not proven" in text


def test_the_story_names_who_speaks(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(Console(width=120))
    screen.chapter("1. A chapter")
    screen.say("watcher", "segment 1 [agrees]")
    screen.trained("first trainer", Segment(number=0, root=b"\xab" * 32, losses=(1.0, 2.0), seconds=0.5))
    text = capsys.readouterr().out
    assert "1. A chapter" in text
    assert "watcher  segment 1 [agrees]" in text
    assert "segment  1: mean loss 1.5000, state abababababab" in text


def test_amounts_in_json_keep_every_digit() -> None:
    data = json.loads(json.dumps(_report().to_json()))
    assert data["balances"]["watcher"]["after"] == str(10**22 + 321 * 10**18)
    assert data["verdict"]["bond"] == str(1000 * 10**18)
    assert data["dispute"]["transactions"] == 2


def test_a_dispute_runs_from_reserving_to_settling() -> None:
    def sent(tag: str, block: int) -> SentTransaction:
        return SentTransaction(tag=tag, tx_hash=bytes(32), gas=1, block=block, calldata=4)

    clients = {
        "watcher": [sent("approve", 1), sent("reserve", 2), sent("settle", 5), sent("withdraw", 7)],
        "trainer": [sent("commit", 3), sent("reclaim", 6)],
    }
    found = dispute_transactions(transactions(clients))
    assert [(tx.who, tx.what) for tx in found] == [
        ("watcher", "reserve"),
        ("trainer", "commit"),
        ("watcher", "settle"),
    ]


@pytest.mark.parametrize(
    ("word", "sizes", "index"),
    [(321, (64, 10), (32, 1)), (0, (3,), (0,)), (0, (), ()), (23, (2, 3, 4), (1, 2, 3))],
)
def test_elements_are_row_major(word: int, sizes: tuple[int, ...], index: tuple[int, ...]) -> None:
    assert element_of(word, sizes) == index
