"""`gavel explain`: a page that says what the chain says, fetches nothing, and runs nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from gavel.cli import cli
from gavel.explain.facts import Facts, facts_of, resolve
from gavel.explain.page import page
from gavel.explain.right import openings_of
from gavel.scenarios.decision import Leaf
from protocol.chain.court_view import ChainView
from protocol.chain.devnet import Devnet
from protocol.errors import UsageError
from protocol.game.moves import Prove
from tests.support.watching import Field, Lines

BROWSER = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Field:
    """A dispute from its reservation to the fall of the update, and a second one that is only opened."""
    field = Field(tmp_path_factory.mktemp("field"))
    party = field.cheat()
    party.train(2)
    watcher = field.watcher()
    for role in ("watcher", "cheat"):
        field.contracts[role].client.sent.clear()
    field.play(lambda: watcher, party)
    return field


def _facts(field: Field, *, replayed: bool = True) -> Facts:
    view = ChainView(field.contracts["other"])
    events = view.refresh()
    [dispute] = view.disputes(challenger=field.account("watcher"))
    openings = None
    if replayed:
        openings = openings_of(
            field.folder, view.update(dispute.update), dispute.segment, stores=(), threads=1, log=Lines()
        )
    return facts_of(field.contracts["other"], view, events, dispute, folder=field.folder, openings=openings)


@pytest.fixture(scope="module")
def facts(played: Field) -> Facts:
    return _facts(played)


class _Text(HTMLParser):
    """The text of a page, its tags and what they refer to."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.tags = "", list[tuple[str, dict[str, str | None]]]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def _read(text: str) -> _Text:
    reader = _Text()
    reader.feed(text)
    return reader


def test_it_holds_every_transaction_of_the_dispute_and_no_other(played: Field, facts: Facts) -> None:
    sent = [tx for who in ("watcher", "cheat") for tx in played.contracts[who].client.sent]
    apart = {"approve", "withdraw"}
    wanted = {tx.tx_hash: tx for tx in sent if tx.tag not in apart}
    assert {move.tx_hash for move in facts.moves} == set(wanted)
    for move in facts.moves:
        tx = wanted[move.tx_hash]
        assert (move.gas, move.calldata, move.block, move.price) == (tx.gas, tx.calldata, tx.block, tx.price)
        assert move.move is not None
        assert facts.names[move.sender] in ("challenger", "trainer")
    assert [m.block for m in facts.moves] == sorted(m.block for m in facts.moves)


def test_money_and_decision_are_the_chains(played: Field, facts: Facts) -> None:
    bond = played.folder.job.money.update_bond
    assert sum(paid.amount for paid in facts.payments) == bond
    assert {facts.names[paid.to] for paid in facts.payments} >= {"burned", "challenger"}
    assert facts.decision is not None
    assert facts.decision.leaf == Leaf.RANGE
    assert facts.found is not None
    assert facts.found.posted_bits != facts.found.right_bits
    assert facts.levels[-1].index == next(m.move.index for m in facts.moves if isinstance(m.move, Prove))


def test_the_page_says_it_and_needs_nothing_else(facts: Facts) -> None:
    text = page(facts)
    reader = _read(text)
    for words in (
        facts.dispute.dispute.hex(),
        "The number in dispute",
        f"{facts.found.posted:.9g}" if facts.found and facts.found.posted is not None else "?",
        f"{len(facts.moves)} transactions",
        f"{sum(move.gas for move in facts.moves):,}",
        "found WRONG",
    ):
        assert words in reader.text
    assert not {tag for tag, _ in reader.tags} & {"script", "img", "link", "iframe", "object", "form", "a"}
    named = {name for _, attributes in reader.tags for name in attributes}
    assert not {name for name in named if name.startswith("on") or name in ("src", "href")}
    assert "url(" not in text
    assert "@import" not in text
    bits = re.findall(r'<span class="bits">(.*?)</span></td>', text)
    words = ["".join(re.findall(r">([01])</span>", row)) for row in bits]
    assert facts.found is not None
    assert [f"0x{int(word, 2):08x}" for word in words] == [facts.found.posted_bits, facts.found.right_bits]
    marked = text.count("class=diff")
    assert marked == 2 * (int(words[0], 2) ^ int(words[1], 2)).bit_count()


def test_what_strangers_wrote_is_text(facts: Facts) -> None:
    evil = "</style><script>alert(1)</script><img src=x onerror=alert(2)>"
    assert facts.found is not None
    hostile = replace(
        facts,
        found=replace(facts.found, label=evil),
        levels=[replace(level, chosen=evil) for level in facts.levels],
    )
    text = page(hostile)
    assert evil not in text
    reader = _read(text)
    assert not {tag for tag, _ in reader.tags} & {"script", "img"}
    assert evil in unescape(reader.text)


def test_without_a_replay_only_the_chain_speaks(played: Field) -> None:
    told = _facts(played, replayed=False)
    assert told.found is None
    assert told.decision is not None
    assert "The number in dispute" not in page(told)


def test_an_open_dispute_says_what_it_waits_for(tmp_path: Path) -> None:
    field = Field(tmp_path)
    party, watcher = field.cheat(), field.watcher()
    party.train(2)
    for _ in range(2):
        watcher.step()
    party.agent.step()
    text = page(_facts(field))
    assert "What it waits for" in text
    assert "nothing is decided yet" in text
    assert "No bond was lost" in text


def test_ids_are_found_by_their_first_digits(played: Field) -> None:
    view = ChainView(played.contracts["other"])
    view.refresh()
    [dispute] = view.disputes(challenger=played.account("watcher"))
    job = played.folder.job.job_id
    for name in (dispute.dispute.hex(), dispute.dispute.hex()[:10], "0x" + dispute.update.hex()[:8].upper()):
        assert resolve(view, name, job) == dispute
    for wrong in ("", "0x", "xyz", "ff" * 32):
        with pytest.raises(UsageError):
            resolve(view, wrong, job)


def test_the_command_writes_a_file_and_none_over_another(played: Field, tmp_path: Path) -> None:
    played.deployment.save(tmp_path / "deployment.json")
    played.folder.save(tmp_path / "job")
    view = ChainView(played.contracts["other"])
    view.refresh()
    [dispute] = view.disputes()
    out = tmp_path / "page.html"
    with Devnet(played.chain, port=0) as devnet:
        arguments = ["explain", dispute.dispute.hex()[:12], str(tmp_path / "job"), "--out", str(out)]
        where = ["--rpc", devnet.url, "--deployment", str(tmp_path / "deployment.json")]
        done = CliRunner().invoke(cli, [*arguments, *where])
        assert done.exit_code == 0, (done.exception, done.output)
        again = CliRunner().invoke(cli, [*arguments, *where])
        assert isinstance(again.exception, UsageError)
        assert "--force" in str(again.exception)
        assert CliRunner().invoke(cli, [*arguments, *where, "--force", "--no-replay"]).exit_code == 0
    assert "The number in dispute" not in out.read_text()


@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
def test_a_browser_renders_it(facts: Facts, tmp_path: Path) -> None:
    path, shot = tmp_path / "page.html", tmp_path / "page.png"
    path.write_text(page(facts))
    assert BROWSER is not None
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    done = subprocess.run(
        [*command, "--dump-dom", path.as_uri()], capture_output=True, text=True, timeout=90, check=True
    )
    rendered = _read(done.stdout).text
    assert "What was sent" in rendered
    assert facts.update.update.hex() in rendered
    subprocess.run(
        [*command, "--window-size=1000,1600", f"--screenshot={shot}", path.as_uri()],
        capture_output=True,
        timeout=90,
        check=True,
    )
    assert shot.read_bytes().startswith(b"\x89PNG")
    assert shot.stat().st_size > 20_000  # something is drawn on it
