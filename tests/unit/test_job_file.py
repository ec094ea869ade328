"""Job files: what specs/requester.md, J-1, takes and refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gavel.job_file import DAY, checked, money_of, read_job_file, request_of
from protocol.errors import MalformedError, UsageError
from protocol.job import ANYBODY, NO_AUDIT, NOBODY, load_preset

GOOD = """
entry = "package.module:function"
folder = "out"
steps = 100
stride = 20
batch = 64
days = 2.5
seed = "0x{seed}"
initial = "start.safetensors"

[money]
reward = 7_000
bounty = "100_000_000_000_000_000_000_000"
""".format(seed="ab" * 32)


def _file(folder: Path, text: str) -> Path:
    path = folder / "job.toml"
    path.write_text(text)
    return path


def test_a_good_file(tmp_path: Path) -> None:
    request = request_of(read_job_file(_file(tmp_path, GOOD)))
    assert (request.steps, request.stride, request.batch) == (100, 20, 64)
    assert request.lifetime == 216_000
    assert request.seed == b"\xab" * 32
    assert request.folder == tmp_path / "out"
    assert request.initial == tmp_path / "start.safetensors"
    preset, full = request.load_preset(), load_preset("full")
    assert (preset.money.reward, preset.money.bounty) == (7_000, 10**23)
    assert (preset.money.tip, preset.clocks) == (full.money.tip, full.clocks)


def test_seeds_are_random_unless_given() -> None:
    values = checked({"entry": "a:b", "folder": "f", "steps": 1, "stride": 1, "batch": 1})
    assert len({request_of(values).seed for _ in range(8)}) == 8


def test_a_preset_can_be_a_file_beside_it(tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "specs" / "presets" / "minimal.toml"
    (tmp_path / "own.toml").write_text(source.read_text().replace("window = 600", "window = 601"))
    text = GOOD.replace('folder = "out"', 'folder = "out"\npreset = "own.toml"')
    assert request_of(read_job_file(_file(tmp_path, text))).load_preset().clocks.window == 601


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("entry", 3),
        ("entry", ""),
        ("folder", 1),
        ("steps", "100"),
        ("steps", 1.0),
        ("steps", True),
        ("steps", 0),
        ("steps", (1 << 31) + 1),
        ("stride", -1),
        ("batch", None),
        ("days", "30"),
        ("days", 0),
        ("days", float("nan")),
        ("days", float("inf")),
        ("days", True),
        ("seed", "ab"),
        ("seed", "zz" * 32),
        ("seed", 5),
        ("preset", []),
        ("initial", 0),
        ("money", 5),
        ("money", {"rewards": 5}),
        ("money", {"reward": -5}),
        ("money", {"reward": 1 << 128}),
        ("money", {"reward": 1.5}),
        ("money", {"reward": True}),
        ("money", {"reward": "five"}),
        ("money", {"reward": "\u0665"}),
        ("strides", 5),
    ],
)
def test_wrong_values_are_named(key: str, value: Any) -> None:
    with pytest.raises(UsageError, match=key):
        checked({key: value})


def test_a_file_with_a_wrong_value_is_named_too(tmp_path: Path) -> None:
    path = _file(tmp_path, GOOD.replace("stride = 20", "stride = 'x'"))
    with pytest.raises(MalformedError, match=r"job.toml: stride is 'x'"):
        read_job_file(path)


@pytest.mark.parametrize("text", ["steps = ", "\x00", "a = 1\na = 2", "[" * 2000, "a = " + "[" * 100_000])
def test_what_is_not_toml_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match="cannot be read"):
        read_job_file(_file(tmp_path, text))


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"entry = '\xff'")
    (tmp_path / "large.toml").write_text("#" * (1 << 20) + "\n")
    for name, message in (("none", "no file"), ("latin", "cannot be read"), ("large", "bytes, more than")):
        with pytest.raises(MalformedError, match=message):
            read_job_file(tmp_path / f"{name}.toml")
    with pytest.raises(MalformedError, match="not a regular file"):
        read_job_file(tmp_path)


@pytest.mark.parametrize("missing", ["entry", "folder", "steps", "stride", "batch"])
def test_what_is_missing_is_named(missing: str) -> None:
    values = {"entry": "a:b", "folder": "f", "steps": 2, "stride": 1, "batch": 1}
    del values[missing]
    with pytest.raises(UsageError, match=f"lacks {missing}"):
        request_of(checked(values))


def test_a_segment_is_no_longer_than_the_job() -> None:
    with pytest.raises(UsageError, match="stride 3 is more than the job's 2 steps"):
        request_of(checked({"entry": "a:b", "folder": "f", "steps": 2, "stride": 3, "batch": 1}))


def test_amounts_on_the_command_line() -> None:
    assert money_of(["reward=5", " tip = 1_000 "]) == {"reward": 5, "tip": 1000}
    for wrong in ("reward", "reward=", "=5", "price=5"):
        with pytest.raises(UsageError):
            money_of([wrong])


ADDRESS = "0x5FbDB2315678afecb367f032d93F642f64180aa3"


@pytest.mark.parametrize(
    ("text", "auditor"),
    [("anyone", ANYBODY), ("nobody", NOBODY), (ADDRESS, bytes.fromhex(ADDRESS[2:]))],
)
def test_who_may_demand_pages_and_how_is_read(text: str, auditor: bytes) -> None:
    given = {"entry": "a:b", "folder": "f", "steps": 4, "stride": 2, "batch": 1}
    own = {"auditor": text, "demand_days": 2, "answer_time": 99, "money": {"demand_fee": "8_000_000"}}
    request = request_of(checked({**given, "preset": "minimal", "days": 5, **own}))
    audit = request.audit(request.load_preset(), 1_000)
    if auditor == NOBODY:
        assert audit == NO_AUDIT
        return
    assert (audit.auditor, audit.demand_until) == (auditor, 1_000 + 2 * DAY)
    assert (audit.answer_time, audit.demand_fee) == (99, 8_000_000)


def test_pages_can_be_demanded_by_anyone_as_long_as_the_job_unless_said_otherwise() -> None:
    given = {"entry": "a:b", "folder": "f", "steps": 4, "stride": 2, "batch": 1, "preset": "minimal"}
    for days in ({"days": 3}, {"days": 3, "demand_days": 9}):
        request = request_of(checked({**given, **days}))
        preset = request.load_preset()
        audit = request.audit(preset, 0)
        assert (audit.auditor, audit.demand_until) == (ANYBODY, 3 * DAY)
        assert (audit.answer_time, audit.demand_fee) == (preset.answer_time, preset.demand_fee)


@pytest.mark.parametrize("text", ["everybody", "0x", "0x" + "00" * 20, ADDRESS.replace("F", "f", 1), "", 7])
def test_an_auditor_that_is_none_is_refused(text: object) -> None:
    with pytest.raises(UsageError, match="auditor"):
        checked({"auditor": text})
