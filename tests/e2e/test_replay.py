"""`gavel replay`: everything in specs/fixtures agrees, and every changed byte is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gavel import cli
from gavel.fixtures.format import INDEX, DifferenceError, Fixture, index_text
from gavel.fixtures.replay import Found, Replay, find
from gavel.fixtures.table import embedded
from gavel.fixtures.trace import Trace
from protocol.chain.devnet import Devnet
from protocol.chain.embedded import EmbeddedChain

FOLDER = Path(__file__).resolve().parents[2] / "specs" / "fixtures"
SAMPLES = {
    "vectors": "numerics/add.json",
    "job": "jobs/small.json",
    "dispute": "refusals/lease-over-the-end.json",
}
"""One small file of each kind."""


@pytest.fixture(scope="module")
def table() -> Iterator[Replay]:
    """One chain for all disputes of a worker, as in one run of the command."""
    replay = Replay(connect=embedded(), trace=Trace(), tell=lambda _: None)
    yield replay
    replay.close()


@pytest.mark.parametrize("found", find([FOLDER]), ids=lambda f: f.listed[0] if f.listed else f.path.name)
def test_this_implementation_agrees(table: Replay, found: Found) -> None:
    assert found.listed is not None
    table.play(found)


def gavel(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Run the command in this process; returns its status."""
    monkeypatch.setattr("sys.argv", ["gavel", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with one file of each kind and an index over them."""
    files = {}
    for name in SAMPLES.values():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(FOLDER / name, tmp_path / name)
        files[name] = (FOLDER / name).read_bytes()
    (tmp_path / INDEX).write_text(index_text(files))
    return tmp_path


def test_a_folder_agrees(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], copied: Path
) -> None:
    assert gavel(monkeypatch, "replay", copied) == 0
    out = capsys.readouterr().out
    assert "refused: board: job has ended" in out
    assert out.splitlines()[-1].startswith(
        "3 fixtures agree: dispute 1 (13 steps), job 1 (12 steps), vectors 1 (307 cases)"
    )


@pytest.mark.parametrize("name", SAMPLES.values())
def test_one_changed_byte_anywhere_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], copied: Path, name: str
) -> None:
    whole = (copied / name).read_bytes()
    for place in (0, len(whole) // 3, len(whole) // 2, len(whole) - 2):
        changed = bytearray(whole)
        changed[place] ^= 1
        (copied / name).write_bytes(changed)
        assert gavel(monkeypatch, "replay", "--quiet", copied / name) == 4
        message = capsys.readouterr().err
        assert f"{name}, sha256 of the file" in message


def _first_hash(value: Any) -> Any:
    """The value with the last digit of its first hash changed."""
    if isinstance(value, str) and value.startswith("0x") and len(value) >= 10:
        return value[:-1] + ("1" if value[-1] == "0" else "0")
    if isinstance(value, dict):
        items = [(key, _first_hash(entry)) for key, entry in value.items()]
        for key, entry in items:
            if entry != value[key]:
                return value | {key: entry}
    if isinstance(value, list):
        for number, entry in enumerate(value):
            if (other := _first_hash(entry)) != entry:
                return [*value[:number], other, *value[number + 1 :]]
    return value


def _vector(body: dict[str, Any]) -> str:
    body["cases"][7]["gives"] = _first_hash(body["cases"][7]["gives"])
    return "case 7 (primitive)"


def _root(body: dict[str, Any]) -> str:
    body["gives"]["steps"][2]["slots"] = _first_hash(body["gives"]["steps"][2]["slots"])
    return "step 2, slots 0"


def _of(body: dict[str, Any], wanted: Callable[[dict[str, Any]], bool]) -> tuple[int, dict[str, Any]]:
    return next((n, step) for n, step in enumerate(body["steps"]) if wanted(step))


def _event(body: dict[str, Any]) -> str:
    number, step = _of(body, lambda step: str(step.get("call")).startswith("lease("))
    step["events"] = _first_hash(step["events"])
    return f"step {number} (trainer: lease), events 0"


def _state(body: dict[str, Any]) -> str:
    number, step = _of(body, lambda step: str(step.get("call")).startswith("lease("))
    step["after"]["job"] = _first_hash(step["after"]["job"])
    return f"step {number} (trainer: lease), after job"


def _balance(body: dict[str, Any]) -> str:
    number, step = _of(body, lambda step: str(step.get("call")).startswith("lease("))
    step["after"]["balance"]["trainer"] = "1" + step["after"]["balance"]["trainer"]
    return f"step {number} (trainer: lease), after balance trainer"


def _reason(body: dict[str, Any]) -> str:
    number, step = _of(body, lambda step: "refused" in step)
    step["refused"] = "board: lease is late"
    return f"step {number} (trainer: post), refused"


def _refused(body: dict[str, Any]) -> str:
    """A move that is accepted, said to be refused."""
    number, step = _of(body, lambda step: str(step.get("call")).startswith("lease("))
    del step["events"], step["after"]
    step["refused"] = "board: leased"
    return f"step {number} (trainer: lease), "


def _late(body: dict[str, Any]) -> str:
    """The last move, a year later: a lease that is late."""
    body["steps"][-1]["time"] += 365 * 86_400
    return f"step {len(body['steps']) - 1} (trainer: release), "


@pytest.mark.parametrize(
    ("kind", "lie"),
    [
        ("vectors", _vector),
        ("job", _root),
        ("dispute", _event),
        ("dispute", _state),
        ("dispute", _balance),
        ("dispute", _reason),
        ("dispute", _refused),
        ("dispute", _late),
    ],
)
def test_what_comes_out_otherwise_is_found_without_an_index_too(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    kind: str,
    lie: Callable[[dict[str, Any]], str],
) -> None:
    fixture = Fixture.parse((FOLDER / SAMPLES[kind]).read_bytes(), where="it")
    place = lie(fixture.body)
    (tmp_path / "lie.json").write_text(fixture.text())
    assert gavel(monkeypatch, "replay", "--quiet", tmp_path / "lie.json") == 4
    message = capsys.readouterr().err
    assert f"{fixture.name}, {place}" in message
    assert "expected" in message
    assert "found" in message


def test_a_job_whose_data_is_not_what_it_commits_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fixture = Fixture.parse((FOLDER / SAMPLES["job"]).read_bytes(), where="it")
    links, features, *others = fixture.body["given"]["inputs"]
    fixture.body["given"]["inputs"] = [links, _first_hash(features), *others]
    (tmp_path / "lie.json").write_text(fixture.text())
    assert gavel(monkeypatch, "replay", "--quiet", tmp_path / "lie.json") == 4
    assert "inputs root" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "status"), [("", 3), ("{}", 3), ("[" * 100_000, 3), ('{"format": "gavel fixture 9"}', 5)]
)
def test_files_that_are_no_fixtures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, status: int
) -> None:
    (tmp_path / "it.json").write_text(text)
    assert gavel(monkeypatch, "replay", tmp_path / "it.json") == status
    assert gavel(monkeypatch, "replay", tmp_path / "nothing") == 2
    assert gavel(monkeypatch, "replay") == 2


def test_the_trace_goes_to_a_file_or_to_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], copied: Path
) -> None:
    trace = copied / "trace"
    names = [copied / SAMPLES["vectors"], copied / SAMPLES["job"], FOLDER / "disputes" / "softmax.json"]
    assert gavel(monkeypatch, "replay", "--trace", trace, *names) == 0
    capsys.readouterr()
    lines = [json.loads(line) for line in trace.read_text().splitlines()]
    assert {line["file"] for line in lines} == {"numerics/add", "jobs/small", "disputes/softmax"}
    exponential = [line for line in lines if line["file"] == "disputes/softmax"]
    assert [line["operation"] for line in exponential] == ["EXP"]
    assert gavel(monkeypatch, "replay", "--trace", "-", *names) == 0
    captured = capsys.readouterr()
    assert captured.out == trace.read_text()
    assert "3 fixtures agree" in captured.err


def test_a_trace_that_cannot_be_written_is_said_before_the_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert gavel(monkeypatch, "replay", "--trace", tmp_path, FOLDER / SAMPLES["vectors"]) == 8
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"gavel: the trace {tmp_path} cannot be written")


# ---------------------------------------------------------------- on a node


def test_a_devnet_is_left_as_it_was_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], copied: Path
) -> None:
    chain = EmbeddedChain()
    with Devnet(chain, port=0, block_time=0.05) as node:
        before = int(chain.rpc("eth_blockNumber", []), 16)
        assert gavel(monkeypatch, "replay", "--rpc", node.url, copied / SAMPLES["dispute"]) == 0
        assert int(chain.rpc("eth_blockNumber", []), 16) <= before + 2  # its own clock goes on
        assert chain.rpc("eth_getTransactionCount", ["0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"]) == "0x0"
    assert "1 fixture agrees" in capsys.readouterr().out


def _used(chain: EmbeddedChain) -> None:
    from protocol.chain.client import Client
    from protocol.chain.embedded import EmbeddedProvider

    client = Client(EmbeddedProvider(chain), key=chain.keys[0])
    client.send(client.address, b"", tag="nothing")


def _plain(chain: EmbeddedChain) -> None:
    del chain._methods["evm_snapshot"]


@pytest.mark.parametrize(
    ("options", "prepare", "status", "why"),
    [
        ({}, _used, 7, "has sent transactions before"),
        ({"chain_id": 5}, lambda _: None, 7, "chain 5"),
        ({"genesis_time": 5_000_000_000}, lambda _: None, 5, "evm_setNextBlockTimestamp"),
        ({}, _plain, 5, "evm_snapshot"),
    ],
)
def test_a_node_that_cannot(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, Any],
    prepare: Callable[[EmbeddedChain], None],
    status: int,
    why: str,
) -> None:
    chain = EmbeddedChain(**options)
    prepare(chain)
    with Devnet(chain, port=0) as node:
        assert gavel(monkeypatch, "replay", "--rpc", node.url, FOLDER / SAMPLES["dispute"]) == status
    assert why in capsys.readouterr().err


def test_no_node_at_all(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert gavel(monkeypatch, "replay", "--rpc", "http://127.0.0.1:9", FOLDER / SAMPLES["dispute"]) == 7
    assert "no answer from the node" in capsys.readouterr().err


def test_a_difference_says_what_it_is() -> None:
    error = DifferenceError(file="a/b", place="step 3", expected={"x": 1}, found="y" * 1000)
    assert (error.exit_code, error.file, error.place) == (4, "a/b", "step 3")
    assert len(str(error)) < 700
