"""Who asks for pages and who shows them, beside a watcher or trainer of the process (availability.md)."""

from __future__ import annotations

from collections.abc import Sequence

from challenger.agent import Watcher
from challenger.limits import Purse
from challenger.sampling import Sampler
from protocol.chain.agent import Agent, Log
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts
from protocol.checkpoints import CheckpointStore
from protocol.commitments.canonical import Words
from protocol.game.view import UpdateInfo
from protocol.job import NOBODY
from protocol.job_folder import JobFolder
from prover.agent import DefenderAgent
from prover.answers import Answers

LEFT: float = 0.5
"""The share of the time for an answer that a watcher leaves to the trainer (Y-14)."""


def pages_of_watcher(
    watcher: Watcher,
    contracts: Contracts,
    folder: JobFolder,
    *,
    log: Log,
    account: bytes,
    dry_run: bool = False,
    sample: int | None = None,
    defend: bool = False,
    purse: Purse | None = None,
) -> list[Agent]:
    """Return what asks for pages, and what shows pages of updates that the watcher has found right.

    Args:
        account: 20 bytes, who sends, or whom to look as; dry_run: send nothing (A-13).
        sample: pages that it asks for of each update, if the job lets the account; None: it asks for none.
        defend: whether it shows any.
        purse: of the account's limits (A-30).

    Raises:
        UsageError: so many pages cannot be asked for.
        MismatchError: the contracts' code or wiring is not what it should be.
    """
    agents: list[Agent] = []
    if sample is not None and not folder.job.audit.allows(account):
        log("the job does not let this account demand pages, so none are sampled", level="warning")
    elif sample is not None:
        agents.append(
            Sampler(
                contracts=contracts,
                folder=folder,
                number=sample,
                account=account,
                log=log,
                view=watcher.view,
                dry_run=dry_run,
                purse=purse,
            )
        )

    def held(update: UpdateInfo) -> Sequence[Words] | None:
        if not watcher.confirms(update):
            return None
        return watcher.openings.trace.state_words(_last_step(folder, update))

    if defend and folder.job.audit.auditor != NOBODY:
        agents.append(
            Answers(
                contracts=contracts,
                folder=folder,
                held=held,
                log=log,
                view=watcher.view,
                dry_run=dry_run,
                leave=LEFT,
            )
        )
    return agents


def pages_of_trainer(
    defender: DefenderAgent,
    contracts: Contracts,
    folder: JobFolder,
    *,
    store: CheckpointStore,
    log: Log,
    view: ChainView | None = None,
) -> list[Agent]:
    """Return what shows pages of the account's own updates, from its store, else from its trace.

    Raises:
        MismatchError: the contracts' code or wiring is not what it should be.
    """

    def held(update: UpdateInfo) -> Sequence[Words] | None:
        if update.trainer != contracts.account:
            return None
        segments = update.first_segment + update.segments
        found = store.load(segments, update.states[-1])
        return found or defender.openings.trace.state_words(_last_step(folder, update))

    if folder.job.audit.auditor == NOBODY:
        return []
    return [Answers(contracts=contracts, folder=folder, held=held, log=log, view=view or defender.view)]


def _last_step(folder: JobFolder, update: UpdateInfo) -> int:
    geometry = folder.job.geometry
    return min((update.first_segment + update.segments) * geometry.stride, geometry.steps)
