"""What the demo shows on a terminal, from a report made up here."""

from __future__ import annotations

import json
import time
from dataclasses import asdict

import pytest
from click.testing import CliRunner
from rich.console import Console

from gavel.cli import cli
from gavel.demo.evidence import element_of, float_of
from gavel.demo.record import Evidence, Report, Sent, Told, Verdict, dispute_transactions, transactions
from gavel.demo.report import Screen, cheats, show
from gavel.demo.story import CHEAT_STEPS, NO_PLACE, playable
from gavel.scenarios.cheats import CHEATS, DEFAULT
from gavel.scenarios.decision import Leaf
from protocol.chain.client import SentTransaction
from protocol.errors import UsageError
from prover.trainer import Segment

SENT = [
    Sent(who="watcher", what="reserve", gas=100_000, calldata=68, block=7),
    Sent(who="watcher", what="prove", gas=350_001, calldata=3_044, block=8),
]


RANGE = Evidence(
    segment=8,
    level="FOLD",
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
)
VERDICT = Verdict(
    status="fallen",
    void=1,
    winner="watcher",
    bond=1000 * 10**18,
    to_winner=320 * 10**18,
    burned=200 * 10**18,
    to_requester=479 * 10**18,
    tip=10**18,
)


def _report(evidence: Evidence | None = RANGE) -> Report:
    return Report(
        job="ab" * 32,
        segments=40,
        cheat=Told(name="partial-sum", text="a corrupted partial sum", step=147),
        evidence=evidence,
        verdict=VERDICT if evidence else None,
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


def test_a_dispute_runs_from_opening_to_settling() -> None:
    def sent(tag: str, block: int) -> SentTransaction:
        return SentTransaction(tag=tag, tx_hash=bytes(32), gas=1, block=block, calldata=4)

    clients = {
        "watcher": [sent("approve", 1), sent("open", 2), sent("settle", 5), sent("withdraw", 7)],
        "trainer": [sent("commit", 3), sent("reclaim", 6)],
    }
    found = dispute_transactions(transactions(clients))
    assert [(tx.who, tx.what) for tx in found] == [
        ("watcher", "open"),
        ("trainer", "commit"),
        ("watcher", "settle"),
    ]


@pytest.mark.parametrize(
    ("word", "sizes", "index"),
    [(321, (64, 10), (32, 1)), (0, (3,), (0,)), (0, (), ()), (23, (2, 3, 4), (1, 2, 3))],
)
def test_elements_are_row_major(word: int, sizes: tuple[int, ...], index: tuple[int, ...]) -> None:
    assert element_of(word, sizes) == index


# -------------------------------------------------------------------- other leaves


def _told(evidence: Evidence | None, capsys: pytest.CaptureFixture[str]) -> str:
    console = Console(record=True, width=400, force_terminal=False)
    show(console, _report(evidence))
    capsys.readouterr()
    return console.export_text()


@pytest.mark.parametrize(
    ("evidence", "parts"),
    [
        (
            Evidence(
                segment=8,
                level="PAGE",
                leaf=Leaf.WORD,
                step=147,
                node=9,
                label="softmax a.py:1",
                page=0,
                word=3,
                element=(1, 0),
                posted_bits="0x3f800001",
                right_bits="0x3f800000",
                posted=1.1,
                right=1.0,
            ),
            [
                "step 147",
                "node 9: softmax a.py:1",
                "page 0",
                "word 3: element [1, 0]; the contract computed it",
                "0x3f800001",
                "0x3f800000",
            ],
        ),
        (
            Evidence(
                segment=8,
                level="STATE",
                leaf=Leaf.LINK,
                step=147,
                slot=2,
                slot_name="output.weight",
                posted_hash="ab" * 32,
                right_hash="cd" * 32,
            ),
            ["step 147", "slot 2, output.weight: all outputs are right", "ab" * 32, "cd" * 32],
        ),
        (
            Evidence(
                segment=8,
                level="STATE",
                leaf=Leaf.ZERO_SLOT,
                step=147,
                slot=12,
                posted_hash="ab" * 32,
                right_hash="00" * 32,
            ),
            ["slot 12: past the last slot", "ab" * 32, "00" * 32],
        ),
        (
            Evidence(
                segment=8,
                level="PAGE",
                leaf=Leaf.ZERO_WORD,
                step=147,
                node=70,
                label="addcdiv",
                page=0,
                word=10,
                posted_bits="0x00000007",
                right_bits="0x00000000",
                posted=0.0,
                right=0.0,
            ),
            ["node 70: addcdiv", "word 10: past the end of the tensor", "0x00000007"],
        ),
        (
            Evidence(
                segment=8,
                level="TENSOR",
                leaf=Leaf.ZERO_PAGE,
                step=147,
                node=70,
                label="addcdiv",
                page=1,
                posted_hash="ab" * 32,
                right_hash="00" * 32,
            ),
            ["page 1: past the end of the tensor", "ab" * 32],
        ),
        (
            Evidence(
                segment=8,
                level="TENSOR",
                leaf=Leaf.ABSENT_PAGE,
                step=147,
                node=70,
                label="addcdiv",
                page=1,
                posted_hash="00" * 32,
                right_hash="ab" * 32,
            ),
            ["page 1: within the tensor, and left out", "ab" * 32],
        ),
        (
            Evidence(segment=8, level="TENSOR", leaf=Leaf.SILENCE, step=147),
            ["step 147", "no answer: the pages of the output that differs were not revealed in time"],
        ),
        (
            Evidence(segment=9, level="STEPS", leaf=Leaf.NO_COMMITMENT),
            ["segment 9", "no answer: nobody committed to the states within the segment in time"],
        ),
    ],
    ids=lambda value: str(value.leaf) if isinstance(value, Evidence) else "",
)
def test_each_leaf_is_told_in_its_own_words(
    evidence: Evidence, parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = _told(evidence, capsys)
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert "None" not in text
    assert "The watcher was paid 320.00" in text


def test_no_fault_is_told_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    text = _told(None, capsys)
    assert "In step 147 there was a corrupted partial sum. Every state that was posted is right" in text
    assert "transaction by transaction" not in text
    assert json.loads(json.dumps(_report(None).to_json()))["verdict"] is None


def test_the_list_has_every_cheat_that_can_be_played() -> None:
    console = Console(record=True, width=200)
    console.print(cheats())
    text = console.export_text()
    for name in CHEATS:
        assert (f"│ {name} " in text) == (name not in NO_PLACE)
    assert f"{DEFAULT} (default)" in text


@pytest.mark.parametrize("step", [CHEAT_STEPS[0], 147, CHEAT_STEPS[-1]])
def test_steps_of_the_first_cheated_segments_can_be_named(step: int) -> None:
    assert playable(DEFAULT, step) is CHEATS[DEFAULT]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--cheat", "nonsense"], "there is no cheat 'nonsense'; choose one of: partial-sum,"),
        (["--cheat", "padded-slot"], "has no place for the cheat 'padded-slot'"),
        (["--step", "119"], "from 120 to 159"),
        (["--step", "160"], "from 120 to 159"),
        (["--cheat", "weight-bit", "--step", "-1"], "cannot cheat in step -1"),
    ],
)
def test_a_bad_cheat_or_step_is_refused_before_anything_runs(arguments: list[str], says: str) -> None:
    began = time.monotonic()
    result = CliRunner().invoke(cli, ["demo", *arguments])
    assert isinstance(result.exception, UsageError)
    assert says in str(result.exception)
    assert not result.output
    assert time.monotonic() - began < 20  # imports alone


def test_the_list_is_printed_and_nothing_played() -> None:
    result = CliRunner().invoke(cli, ["demo", "--cheat", "list"])
    assert result.exit_code == 0
    assert "weight-bit" in result.output
