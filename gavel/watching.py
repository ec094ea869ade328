"""A process that watches: its watchers, one for each job, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from challenger.agent import Watcher
from challenger.ledger import Ledger
from challenger.limits import Limits, Purse
from challenger.pace import Machine, block_time, check_confirmations, measure
from gavel.guarding import guards_of
from gavel.jobs import make_executor
from gavel.metrics.meter import Meter
from gavel.pages import pages_of_watcher
from gavel.pools import replaying
from gavel.selection import Criteria, UnwantedError
from protocol.chain.agent import Turns
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts
from protocol.chain.log import Log
from protocol.job_folder import JobFolder
from prover.engine.checkpoints import store_of_job


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What an operator chose for all jobs of a process.

    Attributes:
        key: None where nothing is sent; account: whom to look as, 20 bytes, None for nobody.
        dry_run: send nothing (A-13).
        stores: folders or URLs with states; cache: folder for states of one's own, None for none.
        cache_size: GiB of states in it, for each job; None for the usual.
        processes, ray: where segments are replayed side by side (A-15); both None for this process.
        threads: for large nodes of a program.
        direct: open disputes without reserving them (A-1).
        defend: answer for right updates whose trainer is silent; defend_limit: most tokens in its bonds at
            a time, for each job, None for any.
        sample: pages that it demands of each update, where a job lets it; None for none.
        limits: of what may be begun (A-30); criteria: which jobs are followed (A-31).
    """

    key: bytes | None = None
    account: bytes | None = None
    dry_run: bool = False
    stores: tuple[str, ...] = ()
    cache: Path | None = None
    cache_size: float | None = None
    processes: int | None = None
    ray: str | None = None
    threads: int = 1
    direct: bool = False
    defend: bool = False
    defend_limit: int | None = None
    sample: int | None = None
    limits: Limits = field(default_factory=Limits)
    criteria: Criteria = field(default_factory=Criteria)


class Patrol:
    """Makes the watchers of a process.

    Attributes:
        agents: what takes turns; grows with each job that is followed.
    """

    def __init__(
        self,
        choices: Choices,
        *,
        contracts: Contracts,
        view: ChainView,
        log: Callable[[JobFolder | None], Log],
        confirmations: int = 0,
        machine: Machine | None = None,
        meter: Meter | None = None,
    ) -> None:
        """Follow nothing yet.

        Args:
            contracts: verified, bound to a client with the key, or to none.
            view: that all share.
            log: returns the log of a job, or of the process for None.
            confirmations: N of the view (A-10).
            machine: judges the pace of each job, if it is to be measured.
            meter: told of each job, if there is one.
        """
        self.agents: list[Turns] = []
        self._choices, self._contracts, self._view, self._log = choices, contracts, view, log
        self._confirmations, self._machine, self._meter = confirmations, machine, meter
        account = choices.account
        self._ledger = Ledger(contracts, account, log=log(None)) if account is not None else None
        self._purse = Purse(choices.limits, contracts, account) if account is not None else None
        self._followed: set[bytes] = set()

    def follow(self, path: Path, job: JobFolder) -> Watcher:
        """Follow one more job.

        Args:
            path: of its folder; job: what was loaded from there.

        Raises:
            UnwantedError: it is followed already, or not one that was asked for (A-31).
            MismatchError: the board does not know it.
            UsageError: with these confirmations every move would be late.
            ChainError: the node failed.
        """
        terms, choices = job.job, self._choices
        if terms.job_id in self._followed:
            raise UnwantedError(f"job {terms.job_id.hex()} is followed already, from another folder")
        self._refuse(choices.criteria.against(terms))
        self._contracts.verify(terms)
        executor, log = make_executor(job, threads=choices.threads), self._log(job)
        if choices.criteria.max_segment_seconds is not None:
            pace = measure(executor, job)
            self._refuse(choices.criteria.against_pace(pace.segment(terms.geometry.steps_of(0))))
        if self._confirmations:
            seconds = block_time(self._contracts.client)
            finding = check_confirmations(self._confirmations, seconds, terms.clocks)
            if finding is not None:
                log(finding.text, level=finding.level)
        stores = [store_of_job(job, url) for url in choices.stores]
        cache, pool = replaying(
            path,
            job,
            cache=choices.cache,
            size=choices.cache_size,
            processes=choices.processes,
            ray=choices.ray,
            stores=choices.stores,
            threads=choices.threads,
            log=log,
        )
        watcher = Watcher(
            contracts=self._contracts,
            folder=job,
            executor=executor,
            key=choices.key,
            log=log,
            view=self._view,
            stores=stores,
            cache=cache,
            pool=pool,
            listed=stores,
            dry_run=choices.dry_run,
            account=choices.account,
            machine=self._machine,
            ledger=self._ledger,
            purse=self._purse,
            direct=choices.direct,
        )
        guards = guards_of(
            watcher,
            self._contracts,
            job,
            log=log,
            account=choices.account or bytes(20),
            dry_run=choices.dry_run,
            defend=choices.defend,
            limit=choices.defend_limit,
            held=None if self._purse is None else self._purse.held,
        )
        pages = pages_of_watcher(
            watcher,
            self._contracts,
            job,
            log=log,
            account=choices.account or bytes(20),
            dry_run=choices.dry_run,
            sample=choices.sample,
            defend=choices.defend,
            purse=self._purse,
        )
        self._followed.add(terms.job_id)
        quiet = ", and sends nothing" if choices.dry_run else ""
        log(f"follows job {terms.job_id.hex()}{quiet}", **_about(job))
        if self._ledger is not None and not choices.dry_run:
            self._ledger.check_means(terms)
        if self._meter is not None:
            self._meter.follow(terms.job_id, watcher.patience, watcher)
        self.agents += [watcher, *guards, *pages]
        return watcher

    def _refuse(self, against: Sequence[str]) -> None:
        if against:
            raise UnwantedError("; ".join(against))


def _about(job: JobFolder) -> dict[str, Any]:
    clocks = job.job.clocks
    return {
        "segments": job.job.geometry.segments,
        "window": clocks.window,
        "replay": clocks.replay,
        "response": clocks.response,
    }
