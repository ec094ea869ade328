"""A dispute from a fixture, replayed on a chain in this process, as `gavel replay` does: no node, no key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gavel.fixtures.calls import move_of
from gavel.fixtures.format import Fixture
from gavel.fixtures.play import replay_dispute
from gavel.fixtures.replay import find, loaded
from gavel.fixtures.steps import Call, Setting, steps_of
from gavel.fixtures.table import ChainSide, embedded
from gavel.fixtures.trace import Trace
from gavel.scenarios.job import small_job
from protocol.chain.contract import Event
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts
from protocol.errors import MismatchError, UsageError
from protocol.game.moves import OpenJob
from protocol.job import Job
from protocol.job_folder import JobFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A chain on which a fixture was played to its end.

    Attributes:
        view: refreshed; events: all that were logged.
        jobs: that were opened, oldest first.
        names: of the fixture's accounts, by address.
    """

    contracts: Contracts
    view: ChainView
    events: Sequence[Event]
    jobs: Sequence[Job]
    names: dict[bytes, str]

    def disputed(self) -> Job:
        """Return the first job of which an update was disputed. Raises UsageError if there is none."""
        for job in self.jobs:
            updates = self.view.updates(job.job_id)
            if any(self.view.disputes(update=update.update) for update in updates):
                return job
        raise UsageError("nobody disputes anything in this fixture; name one of specs/fixtures/disputes")


@contextmanager
def replayed(path: Path) -> Iterator[Replayed]:
    """Replay a fixture, and hold every outcome to what it says.

    Raises:
        UsageError: there is no such file, or it is no dispute.
        MalformedError, UnsupportedError: it is no fixture of this version.
        DifferenceError: something else comes out.
    """
    if path.is_dir():
        raise UsageError(
            f"{path} is a folder; name one dispute, such as specs/fixtures/disputes/softmax.json"
        )
    fixture = loaded(find([path])[0])
    if fixture.kind != "dispute":
        raise UsageError(f"{path} holds no dispute but a {fixture.kind}; name one of specs/fixtures/disputes")
    chain = ChainSide(embedded())
    try:
        replay_dispute(fixture, chain, Trace(), lambda _line: None)
        view = ChainView(chain.contracts)
        events = view.refresh()
        accounts = Setting.of(fixture.body).accounts
        yield Replayed(
            contracts=chain.contracts,
            view=view,
            events=events,
            jobs=_opened(fixture, view),
            names={address: name for name, (_, address) in accounts.items()},
        )
    finally:
        chain.close()


def _opened(fixture: Fixture, view: ChainView) -> list[Job]:
    """The terms of the jobs that the fixture opens."""
    on_board = set(view.jobs())
    calls = [step for step in steps_of(fixture.body.get("steps")) if isinstance(step, Call)]
    moves = [move_of(c.to, c.call, c.arguments) for c in calls if c.to == "board" and c.call is not None]
    return [move.terms for move in moves if isinstance(move, OpenJob) and move.terms.job_id in on_board]


def folder_of(job: Job) -> JobFolder:
    """Return the program and data of a fixture's job: the small one that gavel carries, under other terms.

    Raises:
        MismatchError: it is another one.
    """
    small = small_job()
    for name in ("manifest", "program_root", "inputs_root", "genesis", "seed", "geometry"):
        if getattr(small.job, name) != getattr(job, name):
            raise MismatchError(
                f"the fixture's job is not the small one that gavel carries: another {name}; name the FOLDER "
                "of its job"
            )
    return replace(small, job=job)
