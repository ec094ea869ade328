"""The envelope, the index and values of fixtures, also when they are hostile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gavel.fixtures import format as form
from gavel.fixtures import values
from gavel.fixtures.calls import NAMES
from gavel.fixtures.format import DifferenceError, Fixture, index_text, read_index, render
from gavel.fixtures.replay import find
from gavel.fixtures.steps import Setting, steps_of
from protocol.errors import MalformedError, UnsupportedError, UsageError

BODY: dict[str, Any] = {"function": "round", "given": {}, "cases": []}


def fixture(**changes: Any) -> Fixture:
    fields: dict[str, Any] = {"kind": "vectors", "name": "a/b", "about": "x", "rules": ("N-1",), "body": BODY}
    return Fixture(**(fields | changes))


def parse(text: str | bytes) -> Fixture:
    return Fixture.parse(text.encode() if isinstance(text, str) else text, where="file")


def test_a_fixture_reads_as_it_was_written() -> None:
    for made in (fixture(), fixture(kind="job", preset="minimal", body={"given": {"a": ["x" * 200]}})):
        assert parse(made.text()) == made


def test_long_lists_have_an_entry_on_each_line() -> None:
    data = {
        "short": [1, 2],
        "long": [{"n": n, "text": "x" * 30} for n in range(5)],
        "map": {"k" * 90: 1, "l": 2},
    }
    text = render(data)
    assert json.loads(text) == data
    assert len(text.splitlines()) == 14


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"format": "gavel fixture 1"}',
        b'{"format": "something else"}',
        b"[" * 100_000,
        b'{"format": "gavel fixture 1", "format": "gavel fixture 1"}',
        fixture(kind="tale").text().encode(),
        fixture(kind="dispute", preset=3).text().encode(),
        fixture().text().encode()[:-20],
    ],
)
def test_what_is_no_fixture_is_said_to_be_none(text: bytes) -> None:
    with pytest.raises(MalformedError):
        parse(text)


def test_another_major_version_is_not_read() -> None:
    with pytest.raises(UnsupportedError, match="gavel fixture 2"):
        parse(fixture().text().replace("gavel fixture 1", "gavel fixture 2"))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"format": "other"}, MalformedError),
        ({"version": "2.0.0"}, UnsupportedError),
        ({"files": []}, MalformedError),
        ({"files": {"../secret.json": "0"}}, MalformedError),
        ({"files": {"/etc/passwd": "0"}}, MalformedError),
        ({"files": {"a.json": 7}}, MalformedError),
    ],
)
def test_an_index_lists_files_of_its_folder(tmp_path: Path, change: dict[str, Any], error: type) -> None:
    path = tmp_path / form.INDEX
    path.write_text(index_text({"a.json": b"x"}))
    assert read_index(path) == {"a.json": form.digest(b"x")}
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(error):
        read_index(path)


def test_files_are_found_once_with_the_hash_that_their_index_has(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.json").write_text("text")
    lone = find([tmp_path, tmp_path / "a", tmp_path / "a" / "b.json"])
    assert [(f.path.name, f.listed) for f in lone] == [("b.json", None)]
    (tmp_path / form.INDEX).write_text(index_text({"a/b.json": b"text"}))
    for paths in ([tmp_path], [tmp_path / "a"], [tmp_path / "a" / "b.json"]):
        [found] = find(paths)
        assert found.listed == ("a/b.json", form.digest(b"text"))


def test_a_folder_holds_what_its_index_lists(tmp_path: Path) -> None:
    (tmp_path / form.INDEX).write_text(index_text({"a/b.json": b"text", "c.json": b""}))
    (tmp_path / "c.json").write_text("")
    with pytest.raises(DifferenceError, match=r"a/b\.json, the index"):
        find([tmp_path])
    assert len(find([tmp_path / "c.json"])) == 1
    (tmp_path / "d.json").write_text("")
    with pytest.raises(DifferenceError, match=r"d\.json, the index"):
        find([tmp_path / "d.json"])


def test_there_must_be_something_to_replay(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        find([tmp_path / "nothing"])
    with pytest.raises(UsageError, match="no fixtures"):
        find([tmp_path])


@pytest.mark.parametrize("text", ["12", "0xabc", "0xzz", 12, None, "0x 12", "0x1234"])
def test_bytes_are_hexadecimal(text: Any) -> None:
    with pytest.raises(MalformedError):
        values.unhexed(text, 1)


@pytest.mark.parametrize("value", [0, 1, -1, 1 << 52, 1 << 53, -(1 << 53), 1 << 256, -(1 << 700)])
def test_integers_come_back(value: int) -> None:
    shown = json.loads(json.dumps(values.number(value)))
    assert values.unnumber(shown) == value
    assert isinstance(shown, str) == (abs(value) >= 1 << 53)


@pytest.mark.parametrize("value", [True, 1.5, None, "", "0x10", "1e3", "9" * 500, [1]])
def test_other_things_are_no_integers(value: Any) -> None:
    with pytest.raises(MalformedError):
        values.unnumber(value)


@pytest.mark.parametrize(
    "steps",
    [
        None,
        [{}],
        [[]],
        [{"tick": "soon"}],
        [{"time": 1, "from": "a", "to": "bank", "call": "f()", "arguments": {}, "refused": "x"}],
        [{"time": 1, "from": "a", "to": "court", "call": "f()", "arguments": {}}],
        [{"time": 1, "from": "a", "to": "court", "calldata": "xyz", "refused": ""}],
        [{"time": 1, "from": ["a"], "to": "court", "calldata": "0x", "refused": ""}],
        [{"time": 1, "from": "a", "to": ["court"], "calldata": "0x", "refused": ""}],
        [{"time": 1, "from": "a", "to": "court", "calldata": "0x", "refused": None}],
        [{"tick": 1, "after": []}],
        [{"tick": 0}],
        [{"tick": 1 << 70}],
    ],
)
def test_steps_that_are_none(steps: Any) -> None:
    with pytest.raises(MalformedError):
        steps_of(steps)


@pytest.mark.parametrize("path", ["chain_id", "accounts", "deployment", "accounts/a/number", "deployment/by"])
def test_a_setting_is_complete(path: str) -> None:
    setting = Setting(
        chain_id=1,
        accounts={"a": (0, bytes(20))},
        deployer="a",
        scheduled_gas=1,
        supply=1 << 60,
        contracts=dict.fromkeys(NAMES, bytes(20)),
    )
    shown: Any = json.loads(json.dumps(setting.shown()))
    assert Setting.of(shown) == setting
    *folders, last = path.split("/")
    place = shown
    for folder in folders:
        place = place[folder]
    for wrong in (str(1 << 300), "nobody", None, [], 10**9):
        place[last] = wrong
        if (path, wrong) != ("chain_id", 10**9):
            with pytest.raises(MalformedError):
                Setting.of(shown)
    del place[last]
    with pytest.raises(MalformedError):
        Setting.of(shown)
