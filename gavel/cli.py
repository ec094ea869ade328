"""The command line: `gavel`."""

from __future__ import annotations

import errno
import os
import sys
from importlib.metadata import version
from typing import Final

import click

from gavel.commands.certify import certify
from gavel.commands.chain import deploy, devnet, tick
from gavel.commands.demo import demo
from gavel.commands.doctor import doctor
from gavel.commands.explain import explain
from gavel.commands.fixtures import fixtures
from gavel.commands.job import job
from gavel.commands.key import key
from gavel.commands.monitor import monitor
from gavel.commands.quote import quote
from gavel.commands.replay import replay
from gavel.commands.status import status
from gavel.commands.trainer import defend, submit, train, trainer
from gavel.commands.verify import verify
from gavel.commands.watcher import watch
from gavel.overview import Overview
from protocol.errors import GavelError, StorageError, UsageError

INTERRUPTED: Final = 130
"""Exit status after Ctrl-C: 128 and the number of the signal, as shells count."""

READER_LEFT: Final = 141
"""Exit status when nobody reads the output any more (`gavel status ... | head -1`)."""

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@click.group(cls=Overview, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("gavel"))
def cli() -> None:
    """Optimistic fraud proofs for machine-learning training.

    Begin with `gavel demo`, which needs nothing. `gavel COMMAND --help` says more of each. The exit
    status is 0 when all is done; specs/errors.md lists the others.
    """


for command in (
    key,
    quote,
    fixtures,
    replay,
    demo,
    devnet,
    tick,
    deploy,
    job,
    train,
    submit,
    defend,
    trainer,
    watch,
    status,
    explain,
    monitor,
    verify,
    certify,
    doctor,
):
    cli.add_command(command)


def main() -> None:
    """Run a command; what goes wrong as expected is one message on standard error and a status (E-1)."""
    sys.exit(_run())


def _run() -> int:
    try:
        done = cli.main(standalone_mode=False)
        sys.stdout.flush()
    except GavelError as error:
        return _say(str(error), error.exit_code)
    except (click.Abort, KeyboardInterrupt) as stop:
        return _stopped(stop)
    except click.ClickException as error:
        error.show()
        return UsageError.exit_code
    except SystemExit as stop:
        # status 1: so click and rich end where the reader has left, and nothing else here does
        return _reader_left() if stop.code == 1 else _status(stop.code)
    except BrokenPipeError:
        return _reader_left()
    except OSError as error:
        return _not_stored(error)
    return _status(done)


def _stopped(stop: click.Abort | KeyboardInterrupt) -> int:
    if isinstance(stop, click.Abort) and not isinstance(
        stop.__cause__ or stop.__context__, KeyboardInterrupt
    ):
        return _say(
            "stopped: the question was not answered with yes, so nothing was done", UsageError.exit_code
        )
    return _say("interrupted", INTERRUPTED)


def _not_stored(error: OSError) -> int:
    if error.errno in _NO_ROOM:
        advice = "there is no room left: make some, then run the command again"
    elif error.filename is not None:
        advice = "check that it is there and that you may use it, then run the command again"
    else:
        raise error
    return _say(f"{error}; {advice}", StorageError.exit_code)


def _say(message: str, status: int) -> int:
    click.echo(f"gavel: {message}", err=True)
    return status


def _status(value: object) -> int:
    """What a command returns or exits with; anything but a number means that it is done."""
    return value if isinstance(value, int) else 0


def _reader_left() -> int:
    # Python flushes once more when it ends, and would complain.
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    return READER_LEFT
