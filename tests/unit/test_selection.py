"""Which jobs are followed (A-31): criteria, and a folder that fills while the watcher runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gavel import selection
from gavel.selection import Criteria, Scout
from gavel.watching import Choices, Patrol
from protocol.errors import MalformedError, StorageError
from protocol.job_folder import JobFolder
from tests.support.watching import Field, Lines


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Field:
    return Field(tmp_path_factory.mktemp("field"))


@pytest.fixture
def field(opened: Field, tmp_path: Path) -> Iterator[Field]:
    yield from opened.lent(tmp_path)


def _criteria(tmp_path: Path, text: str) -> Criteria:
    (tmp_path / "select.toml").write_text(text)
    return Criteria.load(tmp_path / "select.toml")


def test_criteria_are_read(tmp_path: Path) -> None:
    read = _criteria(
        tmp_path,
        'min_bounty = "5_000_000_000_000_000_000_000"\nmin_update_bond = 7\nmax_segment_seconds = 2\n'
        f'requesters = ["0x{"ab" * 20}"]\n',
    )
    assert read == Criteria(
        min_bounty=5 * 10**21,
        min_update_bond=7,
        max_segment_seconds=2.0,
        requesters=frozenset({b"\xab" * 20}),
    )
    assert _criteria(tmp_path, "") == Criteria()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("min_bouny = 1", "min_bouny"),
        ("min_bounty = -1", "min_bounty"),
        ("min_bounty = 1.5", "min_bounty"),
        ("min_bounty = true", "min_bounty"),
        ('min_bounty = "1e18"', "min_bounty"),
        ('requesters = ["me"]', "requesters"),
        ('requesters = "0x00"', "requesters"),
        ("max_segment_seconds = 0", "max_segment_seconds"),
        ("max_segment_seconds = nan", "max_segment_seconds"),
        ("max_segment_seconds = inf", "max_segment_seconds"),
        ("[", "TOML"),
        ("\udcff", "TOML"),
    ],
)
def test_what_is_no_criterion_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "select.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(MalformedError, match=said):
        Criteria.load(tmp_path / "select.toml")


def test_every_reason_against_a_job_is_given(field: Field) -> None:
    job, money = field.folder.job, field.folder.job.money
    fits = Criteria(
        min_bounty=money.bounty,
        min_update_bond=money.update_bond,
        max_challenge_bond=money.challenge_bond,
        requesters=frozenset({job.requester}),
        max_segment_seconds=2.0,
    )
    assert fits.against(job) == []
    assert fits.against_pace(2.0) == []
    assert len(fits.against_pace(2.1)) == 1
    strict = replace(
        fits,
        min_bounty=money.bounty + 1,
        min_update_bond=money.update_bond + 1,
        max_challenge_bond=money.challenge_bond - 1,
        requesters=frozenset(),
    )
    assert [reason.split()[1] for reason in strict.against(job)] == [
        "bounty",
        "update",
        "dispute",
        "requester",
    ]


def test_a_folder_may_fill_while_it_is_watched(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "LOOK", 0.0)
    lines, jobs = Lines(), field.tmp / "jobs"
    patrol = Patrol(
        Choices(dry_run=True, criteria=Criteria(max_challenge_bond=field.folder.job.money.challenge_bond)),
        contracts=field.contracts["other"],
        view=field.view,
        log=lambda _: lines,
    )
    scout = Scout(jobs, view=field.view, follow=patrol.follow, log=lines)
    with pytest.raises(StorageError, match="jobs"):
        scout.turn()
    jobs.mkdir()
    assert not scout.turn()
    field.folder.save(jobs / "first")
    shutil.copytree(jobs / "first", jobs / "again")
    (jobs / "notes.txt").write_text("no folder")
    (jobs / "half").mkdir()
    (jobs / "half" / "job.json").write_text("{")
    assert scout.turn()
    [watcher] = patrol.agents
    watcher.turn()
    assert len(lines.saying("does not follow")) == 2
    assert lines.saying("followed already")
    assert not scout.turn()  # and is quiet about what has not changed
    assert len(lines.saying("does not follow")) == 2
    shutil.rmtree(jobs / "half")
    later = field.open("other", later=10**6 + 1)
    later.save(jobs / "half")
    assert scout.turn()
    assert len(patrol.agents) == 2
    assert JobFolder.load(jobs / "half").job.job_id == later.job.job_id
