"""A watcher that also defends what it has found right (actors.md, A-40)."""

from __future__ import annotations

from challenger.agent import Watcher
from protocol.chain.agent import Log
from protocol.chain.deployment import Contracts
from protocol.errors import UsageError
from protocol.job_folder import JobFolder
from prover.guard import Guard, Held


def guards_of(
    watcher: Watcher,
    contracts: Contracts,
    folder: JobFolder,
    *,
    log: Log,
    account: bytes,
    dry_run: bool = False,
    defend: bool = True,
    limit: int | None = None,
    held: Held | None = None,
) -> list[Guard]:
    """Return what answers for the updates that a watcher confirms, if anything is to; it shares its view and
    its replay.

    Args:
        account: 20 bytes, who sends, or whom to look as; dry_run: send nothing (A-13).
        defend: whether anything is.
        limit: most tokens in defence bonds at a time, in the smallest unit.
        held: says why a move is held back by the account's limits (A-30).

    Raises:
        UsageError: the limit is not enough for one bond, or is one of nothing.
        MismatchError: the contracts' code or wiring is not what it should be.
    """
    if not defend:
        if limit is not None:
            raise UsageError("--defend-limit limits what --defend locks; give both, or neither")
        return []
    guard = Guard(
        contracts=contracts,
        folder=folder,
        openings=watcher.openings,
        confirms=watcher.confirms,
        log=log,
        view=watcher.view,
        dry_run=dry_run,
        account=account,
        limit=limit,
        held=held,
    )
    return [guard]
