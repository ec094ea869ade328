"""What an account has at stake and what it has earned, read from the chain (actors.md, A-14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from protocol.amounts import amount
from protocol.chain.agent import Log, Said
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts
from protocol.game.view import DisputeInfo, DisputeStatus
from protocol.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """One account on one board. Amounts are in the token's smallest unit.

    Attributes:
        balance: bond tokens in the wallet; credit: what `Withdraw` would pay.
        open: disputes open; lost: disputes lost; won: those closed.
        locked: bonds of open disputes, reservations and standing candidates, and fees of open demands.
        forfeited: bonds of lost disputes and of candidates that fell.
        spent: fees of demands that were answered.
        earned: what came from others, withdrawn or credited.
    """

    balance: int
    credit: int
    open: int
    won: int
    lost: int
    locked: int
    forfeited: int
    spent: int
    earned: int

    def __str__(self) -> str:
        return (
            f"disputes: {self.open} open, {self.won} closed, {self.lost} lost; tokens: "
            f"{amount(self.locked)} locked, {amount(self.earned)} earned, "
            f"{amount(self.forfeited)} forfeited, {amount(self.spent)} paid for pages, "
            f"{amount(self.credit)} to withdraw, "
            f"{amount(self.balance)} in the wallet"
        )


def exposure(view: ChainView, account: bytes) -> Exposure:
    """Read what an account has on the board, in all jobs together.

    Raises:
        ChainError: the node failed.
    """
    disputes = view.disputes(challenger=account)
    by_status = {status: [d for d in disputes if d.status == status] for status in DisputeStatus}
    credit = view.credit(account)
    stakes = (_challenges(view, account, by_status), _defences(view, account), _demands(view, account))
    locked, forfeited, spent, returned = (sum(parts) for parts in zip(*stakes, strict=True))
    return Exposure(
        balance=view.balance(account),
        credit=credit,
        open=len(by_status[DisputeStatus.OPEN]),
        won=len(by_status[DisputeStatus.CLOSED]),
        lost=len(by_status[DisputeStatus.LOST]),
        locked=locked,
        forfeited=forfeited,
        spent=spent,
        earned=view.withdrawn(account) + credit - returned,
    )


_Stake = tuple[int, int, int, int]
"""Tokens locked, forfeited, spent, and come back."""


def _challenges(
    view: ChainView, account: bytes, disputes: Mapping[DisputeStatus, Sequence[DisputeInfo]]
) -> _Stake:
    jobs = [view.update(d.update).job for d in disputes[DisputeStatus.OPEN]]
    jobs += [r.job for r in view.reservations(account) if not r.opened]
    locked = sum(_bond(view, job) for job in jobs)
    forfeited = sum(_bond(view, view.update(d.update).job) for d in disputes[DisputeStatus.LOST])
    made = sum(_bond(view, job) for job in view.reserved_jobs(account))
    return locked, forfeited, 0, made - locked - forfeited


def _defences(view: ChainView, account: bytes) -> _Stake:
    locked = forfeited = returned = 0
    for posted in view.defence_bonds(account):
        candidate = view.candidate(posted)
        job = view.update(view.position(candidate.position).update).job
        bond = int(view.terms(job)["defence_bond"])
        if candidate.poster != account:  # the trainer's side took it over, and the bond came back (D-5)
            returned += bond
        elif candidate.fallen:
            forfeited += bond
        elif candidate.bonded:
            locked += bond
        else:
            returned += bond
    return locked, forfeited, 0, returned


def _demands(view: ChainView, account: bytes) -> _Stake:
    fees = view.fees(account)
    return fees.locked, 0, fees.spent, fees.returned


class Ledger:
    """Says what an account has at stake when it starts, and whenever that has changed."""

    def __init__(self, contracts: Contracts, account: bytes, *, log: Log) -> None:
        """Args: account: 20 bytes; contracts: bound to a client with its key, or with none to look only."""
        self._contracts, self._account, self._log = contracts, account, Said(log)
        self._last: Exposure | None = None

    def tell(self, view: ChainView) -> None:
        """Say it if it is news. Raises ChainError if the node fails."""
        now = exposure(view, self._account)
        if now == self._last:
            return
        self._last = now
        lost = now.forfeited and now.open == 0
        self._log(str(now), level="warning" if lost else "info", account=self._account, **asdict(now))

    def check_means(self, job: Job) -> None:
        """Say what the account lacks for a dispute in a job, before one is needed (A-14).

        Raises:
            ChainError: the node failed.
        """
        contracts, bond = self._contracts, job.money.challenge_bond
        held = int(contracts.token.view("balanceOf", self._account))
        if held < bond:
            self._log(
                f"the account has {amount(held)} bond tokens, and a dispute locks {amount(bond)}: it "
                "could not dispute; send it some",
                level="error",
                account=self._account,
            )
        if contracts.client.account is None:
            return
        need = job.money.scheduled_gas * contracts.client.fee()
        coins = contracts.client.coins()
        if coins < need:
            self._log(
                f"the account has {coins:,} wei of coin, and a dispute may take {need:,}: it could not "
                "finish one; send it some",
                level="error",
                account=self._account,
            )


def _bond(view: ChainView, job: bytes) -> int:
    return int(view.terms(job)["challenge_bond"])
