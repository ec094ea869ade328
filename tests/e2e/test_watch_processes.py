"""`gavel watch` with processes of this machine and, where Ray is installed, of a cluster (A-15 to A-19)."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from protocol.errors import UsageError
from tests.support.commands import SMALL, TERMS, Town, served

RAY = find_spec("ray") is not None


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A chain with a job of four segments, trained and posted, its states in a store."""
    with served() as devnet:
        town = Town.founded(devnet, tmp_path_factory.mktemp("town"))
        town.done("requester", "job", "new", SMALL, town.folder / "job", *TERMS, "--yes")
        stored = ("--store", town.folder / "store")
        town.done("trainer", "train", town.folder / "job", "--segments", "4", *stored)
        town.done("trainer", "submit", town.folder / "job", *stored)
        yield town


def _watch(town: Town, *options: object) -> str:
    return town.done("watcher", "watch", town.folder / "job", "--once", "--dry-run", "--no-measure", *options)


def test_processes_are_started_used_and_ended_with_the_command(town: Town, tmp_path: Path) -> None:
    stored = ("--store", town.folder / "store", "--cache", tmp_path, "--cache-size", "0.5")
    said = _watch(town, "--processes", "2", *stored)
    assert [f"segment {number}: agrees, state" in said for number in range(1, 5)] == [True] * 4
    assert "segments 1 to 4 agree" in said
    assert ": replayed" not in said
    again = _watch(town, "--processes", "2", *stored)
    assert "segments 1 to 4 agree" in again
    assert "agrees, state" not in again
    alone = _watch(town, "--processes", "1")  # without states, and without a cache of one's own
    assert alone.count("agrees, state") == 4


def test_the_monitor_has_them_too(town: Town) -> None:
    stored = ("--store", town.folder / "store", "--processes", "2")
    said = town.done("watcher", "monitor", town.folder / "job", "--once", *stored)
    assert [f"segment {number}: agrees, state" in said for number in range(1, 5)] == [True] * 4
    assert "segments 1 to 4 agree" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--cache-size", "1"), "there is none; name a --cache"),
        (
            ("--ray", "127.0.0.1:9", "--store", "here"),
            "cannot read here" if RAY else "pip install 'gavel[ray]'",
        ),
    ],
)
def test_what_cannot_be_is_said(town: Town, options: tuple[str, ...], said: str) -> None:
    result = town.run("watcher", "watch", town.folder / "job", "--once", "--dry-run", *options)
    assert isinstance(result.exception, UsageError)
    assert said in str(result.exception)


@pytest.mark.parametrize("number", ["0", "-1", "x"])
def test_a_number_that_is_none_is_refused(town: Town, number: str) -> None:
    for option in ("--processes", "--cache-size"):
        result = town.run("watcher", "watch", town.folder / "job", "--once", "--dry-run", option, number)
        assert result.exit_code == 2


@pytest.mark.skipif(not RAY, reason="ray is not installed; pip install 'gavel[ray]'")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_a_ray_cluster_replays_from_a_store_and_without_one(town: Town) -> None:
    for options in (("--store", town.folder / "store"), ()):
        said = _watch(town, "--ray", "local", "--processes", "2", *options)
        assert [f"segment {number}: agrees" in said for number in range(1, 5)] == [True] * 4
        assert "segments 1 to 4 agree" in said
        assert "failed" not in said
        assert "NOT BELIEVED" not in said
