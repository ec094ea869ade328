"""Pages sampled by a beacon, and shown by whoever holds the state: the shipped agents (availability.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from challenger.sampling import BEACON_DELAY, MOST_FEES, Sampler, choose, detection
from gavel.jobs import open_job
from gavel.scenarios.job import small_job
from protocol.chain.moves import ensure_allowance, send_move
from protocol.commitments.canonical import Words
from protocol.errors import UsageError
from protocol.game import demand_moves as d
from protocol.game.demands import DemandInfo
from protocol.game.view import UpdateInfo, UpdateStatus
from protocol.job import ANYBODY, Audit
from prover.answers import Answers
from tests.support.watching import Field, Lines

ANSWER_TIME, FEE = 300, 1_000_000
PAGES = 4


# -------------------------------------------------------------------- choosing


def test_pages_are_chosen_by_the_beacon_alone_and_none_twice() -> None:
    pages = [3, 0, 1, 100]
    beacon, update = b"\1" * 32, b"\2" * 32
    chosen = choose(beacon, update, pages, 16)
    assert chosen == choose(beacon, update, pages, 16) != choose(b"\3" * 32, update, pages, 16)
    assert choose(beacon, update, pages, 8) == chosen[:8]
    assert len(set(chosen)) == 16
    assert all(page < pages[slot] for slot, page in chosen)
    assert sorted(choose(beacon, update, pages, 1000)) == [
        (slot, page) for slot, count in enumerate(pages) for page in range(count)
    ]


def test_every_page_is_as_likely_as_every_other() -> None:
    """6,400 draws of one page of 64 (Y-11): each is drawn between half and twice as often as on average."""
    counts = dict.fromkeys(range(64), 0)
    for n in range(6_400):
        ((_, page),) = choose(hashlib.sha256(n.to_bytes(4)).digest(), bytes(32), [64], 1)
        counts[page] += 1
    assert min(counts.values()) > 50
    assert max(counts.values()) < 200


@pytest.mark.parametrize(("share", "number"), [(0.01, 64), (0.1, 16), (0.5, 4)])
def test_a_sample_finds_what_the_specification_says(share: float, number: int) -> None:
    """1 - (1 - f)^N (Y-12), the figures of the table, and what choosing without repetition finds at least."""
    table = (Path(__file__).parents[2] / "specs" / "availability.md").read_text()
    assert f"{detection(share, number):.3f}" in table
    pages, found, tries = 1_000, 0, 400
    withheld = int(share * pages)
    for n in range(tries):
        chosen = choose(hashlib.sha256(n.to_bytes(4)).digest(), bytes(32), [pages], number)
        found += any(page < withheld for _, page in chosen)
    assert found / tries > detection(share, number) - 0.08


# -------------------------------------------------------------------- agents


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Field:
    return Field(tmp_path_factory.mktemp("field"))


@pytest.fixture
def field(built: Field, tmp_path: Path) -> Iterator[Field]:
    yield from built.lent(tmp_path)


def audited(field: Field, auditor: bytes = ANYBODY) -> Any:
    """The small job, opened with demands."""
    contracts = field.contracts["requester"]
    folder = small_job(
        chain_id=field.chain.chain_id,
        board=contracts.board.address_bytes,
        requester=contracts.account,
        expiry=field.now() + 10**6,
    )
    audit = Audit(auditor=auditor, demand_until=folder.job.expiry, answer_time=ANSWER_TIME, demand_fee=FEE)
    folder = replace(folder, job=replace(folder.job, audit=audit))
    open_job(contracts, folder)
    return folder


def sampler(field: Field, folder: Any, *, who: str = "watcher", **options: Any) -> Sampler:
    given: dict[str, Any] = {"log": Lines(), "number": PAGES, **options}
    return Sampler(contracts=field.contracts[who], folder=folder, account=field.account(who), **given)


def answers(field: Field, folder: Any, held: Any, *, who: str = "trainer", **options: Any) -> Answers:
    given: dict[str, Any] = {"log": Lines(), **options}
    return Answers(contracts=field.contracts[who], folder=folder, held=held, **given)


def stored(party: Any) -> Any:
    """What a trainer's store holds."""

    def held(update: UpdateInfo) -> Sequence[Words] | None:
        return party.store.load(update.first_segment + update.segments, update.states[-1])  # type: ignore[no-any-return]

    return held


def open_demands(field: Field, update: bytes) -> Sequence[DemandInfo]:
    field.view.refresh()
    return field.view.open_demands(update)


def test_what_is_sampled_is_shown_and_the_holder_is_paid(field: Field) -> None:
    folder = audited(field)
    party = field.trainer("trainer", folder=folder)
    party.train(1)
    (update,) = field.updates(folder)
    asking = sampler(field, folder)
    assert asking.step() == []  # no beacon yet
    field.mine(BEACON_DELAY)
    asked = asking.step()
    assert [type(move) for move in asked] == [d.Demand] * PAGES
    assert len(open_demands(field, update.update)) == PAGES
    assert asking.step() == []
    assert sampler(field, folder).step() == []  # started again, it knows what it asked for
    holder = answers(field, folder, stored(party))
    assert [type(move) for move in holder.step()] == [d.Answer] * PAGES
    assert holder.step() == []
    field.view.refresh()
    burned = FEE * folder.job.money.burn_bps // 10_000
    assert field.view.credit(field.account("trainer")) == PAGES * (FEE - burned)
    assert open_demands(field, update.update) == []
    assert asking.step() == []


def test_an_update_whose_pages_nobody_shows_is_felled_by_the_sampler(field: Field) -> None:
    folder = audited(field)
    party = field.trainer("cheat", folder=folder)
    party.train(1)
    (update,) = field.updates(folder)
    field.mine(BEACON_DELAY)
    asking = sampler(field, folder)
    assert len(asking.step()) == PAGES
    holder = answers(field, folder, lambda _: None, who="cheat")
    assert holder.step() == []
    first = min(known.due for known in open_demands(field, update.update))
    field.pass_time(first - field.now())
    assert asking.step() == []  # at the due time an answer is in time
    field.pass_time(PAGES)
    before = field.view.balance(field.account("watcher"))
    assert [type(move) for move in asking.step()] == [d.Expire]
    assert field.updates(folder)[0].status == UpdateStatus.FALLEN
    # what is left of its own demands comes back
    assert [type(move) for move in asking.step()] == [d.CloseDemand] * (PAGES - 1)
    assert asking.step() == []
    field.view.refresh()
    money = folder.job.money
    prize = money.gas_price * money.scheduled_gas + money.bounty + money.tip
    assert field.view.credit(field.account("watcher")) == prize + PAGES * FEE
    assert field.view.balance(field.account("watcher")) == before


def test_a_watcher_that_holds_the_state_saves_an_update_whose_trainer_is_gone(field: Field) -> None:
    """It leaves half of the time to the trainer, and answers from its own replay."""
    folder = audited(field)
    field.trainer("trainer", folder=folder).train(2)
    field.mine(BEACON_DELAY)
    watcher = field.watcher(who="other", folder=folder)
    watcher.step()
    (update,) = field.updates(folder)
    assert watcher.differences[update.update] is None

    def held(known: UpdateInfo) -> Sequence[Words] | None:
        if not watcher.confirms(known):
            return None
        geometry, last = folder.job.geometry, known.first_segment + known.segments - 1
        return watcher.openings.trace.state_words(last * geometry.stride + geometry.steps_of(last))

    helper = answers(field, folder, held, who="other", leave=0.5)
    sampler(field, folder).step()
    assert helper.step() == []
    field.pass_time(ANSWER_TIME // 2 + PAGES)
    assert len(helper.step()) == PAGES
    assert field.updates(folder)[0].status == UpdateStatus.PENDING


def test_a_damaged_state_answers_nothing_and_says_so(field: Field) -> None:
    folder = audited(field)
    party = field.trainer("trainer", folder=folder)
    party.train(1)
    field.mine(BEACON_DELAY)
    sampler(field, folder).step()
    lines = Lines()
    holder = answers(field, folder, lambda _: folder.genesis, log=lines)
    assert holder.step() == []
    assert any("hashes to" in text for text in lines.at("error"))


def test_a_sampler_waits_while_a_flood_makes_asking_dear(field: Field) -> None:
    folder = audited(field)
    field.trainer("trainer", folder=folder).train(1)
    (update,) = field.updates(folder)
    contracts = field.contracts["other"]
    for _ in range(16 * (MOST_FEES.bit_length() - 1)):
        ensure_allowance(contracts, FEE * MOST_FEES)
        send_move(contracts, d.Demand(update=update.update, slot=0, page=0))
    field.mine(BEACON_DELAY)
    lines = Lines()
    asking = sampler(field, folder, log=lines)
    assert len(asking.step()) == PAGES  # at eight times the fee, and no more than that
    for _ in range(16 - PAGES):
        send_move(contracts, d.Demand(update=update.update, slot=0, page=0))
    assert sampler(field, folder, who="requester", log=lines).step() == []
    assert lines.saying("asks when some are answered")


def test_who_may_not_ask_is_told_before_anything_is_sent(field: Field) -> None:
    with pytest.raises(UsageError, match="does not let"):
        sampler(field, field.folder)
    folder = audited(field, field.account("other"))
    with pytest.raises(UsageError, match="does not let"):
        sampler(field, folder)
    sampler(field, folder, who="other")
    for number in (0, 129):
        with pytest.raises(UsageError, match="only 1 to 128"):
            sampler(field, folder, who="other", number=number)


def test_a_dry_run_asks_nothing_and_says_what_it_would_lock(field: Field) -> None:
    folder = audited(field)
    field.trainer("trainer", folder=folder).train(1)
    field.mine(BEACON_DELAY)
    lines, before = Lines(), field.nonce("watcher")
    assert sampler(field, folder, dry_run=True, log=lines).step() == []
    assert lines.saying("would send Demand, which would lock")
    assert field.nonce("watcher") == before
