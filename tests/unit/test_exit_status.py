"""How a command ends: the status of each error (errors.md, E-1), and nothing but a message."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from gavel import cli
from protocol import errors
from protocol.chain.artifacts import CONTRACTS, CompileError
from protocol.game.rules import BrokenRuleError

SPECIFIED = CONTRACTS.parent / "specs" / "errors.md"


def _raising(problem: BaseException) -> Callable[..., object]:
    def main(**_: object) -> object:
        raise problem

    return main


def _status(monkeypatch: pytest.MonkeyPatch, problem: BaseException) -> int:
    monkeypatch.setattr(cli.cli, "main", _raising(problem))
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_the_specification_gives_every_class_its_status() -> None:
    rows = re.findall(r"^\| (\d+) \|.*\| (\w+Error)\b", SPECIFIED.read_text(), re.MULTILINE)
    classes = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and kind.__module__ == errors.__name__
    ]
    assert {name: int(number) for number, name in rows} == {
        kind.__name__: kind.exit_code for kind in classes if kind is not errors.GavelError
    }
    assert (CompileError.exit_code, BrokenRuleError.exit_code) == (errors.MalformedError.exit_code, 1)


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (errors.MalformedError("bad"), 3),
        (errors.MismatchError("bad"), 4),
        (errors.UnsupportedError("bad"), 5),
        (errors.RefusedError("court: bad"), 6),
        (errors.ChainError("bad"), 7),
        (errors.StorageError("bad"), 8),
        (errors.UsageError("bad"), 2),
        (click.UsageError("bad"), 2),
        (click.FileError("bad"), 2),
        (click.Abort(), 2),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 141),
        (OSError(errno.ENOSPC, "No space left on device"), 8),
        (PermissionError(errno.EACCES, "Permission denied", "/place"), 8),
    ],
)
def test_an_error_is_one_message_and_its_status(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], problem: BaseException, status: int
) -> None:
    if isinstance(problem, BrokenPipeError):
        monkeypatch.setattr(os, "dup2", lambda *_: None)  # this process still needs its output
    assert _status(monkeypatch, problem) == status
    out, err = capfd.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert (err.count("\n") == 1) is (status != 141)


@pytest.mark.parametrize("problem", [ValueError("a bug"), ConnectionResetError("a bug")])
def test_a_bug_shows_where_it_is(monkeypatch: pytest.MonkeyPatch, problem: Exception) -> None:
    monkeypatch.setattr(cli.cli, "main", _raising(problem))
    with pytest.raises(type(problem)):
        cli.main()


def _gavel(arguments: list[str], **streams: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gavel", *arguments]
    return subprocess.Popen(command, text=True, stderr=subprocess.PIPE, **streams)


def test_a_full_disk_behind_the_output_is_said() -> None:
    full = Path("/dev/full")
    if not full.exists():
        return  # such a device is Linux's own
    with full.open("w") as output, _gavel(["--help"], stdout=output.fileno()) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 8
    assert "no room left" in err
    assert "Traceback" not in err


def test_a_reader_that_leaves_ends_the_command_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with _gavel(["--help"], stdout=writing) as process:
        os.close(writing)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, "")


def test_an_interrupted_command_leaves_no_traceback() -> None:
    script = "\n".join(
        [
            "import os, signal",
            "from gavel import cli",
            "cli.cli.callback = lambda: os.kill(os.getpid(), signal.SIGINT)",
            "cli.main()",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "job", "show", "x"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert "gavel: interrupted" in done.stderr
