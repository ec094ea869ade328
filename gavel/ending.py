"""How a requester ends a job and gets its tokens back (requester.md, J-8)."""

from __future__ import annotations

from typing import Any, Final

from gavel.preflight import check_coins
from gavel.summary import moment
from protocol.amounts import amount
from protocol.chain.agent import Log
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts
from protocol.chain.moves import MOVE_GAS, send_move
from protocol.errors import RefusedError
from protocol.game.moves import Cancel, Evict, Finalise, Move, Refund, Withdraw
from protocol.game.view import UpdateStatus
from protocol.job import Job
from protocol.job_folder import JobFolder

RECORDED: Final = 64
"""Updates that one call of the board records as final (U-6)."""


class JobEnding:
    """What the requester of one job can still ask of the board."""

    def __init__(self, contracts: Contracts, folder: JobFolder, log: Log) -> None:
        """Look at the chain; nothing is sent.

        Raises:
            RefusedError: the board does not know the job.
        """
        self._contracts, self._job, self._log = contracts, folder.job, log
        self._view = ChainView(contracts)
        self._view.refresh()
        require_opened(self._view, self._job)

    def cancel(self) -> None:
        """Give notice of the end of the job.

        Raises:
            RefusedError: it is somebody else's job.
        """
        self._require_requester()
        ends_at = int(self._state["ends_at"])
        if ends_at <= self._view.now() + self._job.clocks.notice:
            self._log(f"nothing to do: the job ends at {moment(ends_at)}, before a notice would end it (U-9)")
            return
        self._send(Cancel(job=self._job.job_id))
        self._view.refresh()
        self._log(
            f"gave notice: nothing can be posted after {moment(int(self._state['ends_at']))}; then "
            "`gavel job refund`, once what was posted is final"
        )

    def refund(self) -> None:
        """Get back what nobody has earned, and withdraw the account's credit.

        Raises:
            RefusedError: too early, or refunded before; says when it will be possible.
        """
        self._require_requester()
        state, now = self._state, self._view.now()
        if state["refunded"]:
            raise RefusedError("board: refunded", "`gavel job withdraw` moves what is left of the credit")
        if now <= int(state["ends_at"]):
            raise RefusedError(
                "board: job has not ended",
                f"it ends at {moment(int(state['ends_at']))}; `gavel job cancel` can end it earlier",
            )
        chain = self._view.chain(self._job.job_id)
        pending = [update for update in chain if update.status != UpdateStatus.FINAL]
        if pending:
            last = pending[-1]
            disputed = sum(1 for update in pending if self._disputed(update.update))
            when = moment(last.deadline + self._job.clocks.opening)
            raise RefusedError(
                "board: updates are pending",
                f"{len(pending)} of them, {disputed} under dispute; not before {when}",
            )
        for _ in range((len(chain) - int(state["final_length"]) - 1) // RECORDED):
            self._send(Finalise(job=self._job.job_id))
        self._send(Refund(job=self._job.job_id))
        withdraw_credit(self._contracts, self._log)

    def evict(self) -> None:
        """End a late lease.

        Raises:
            RefusedError: there is none, or it is not late; says when it will be.
        """
        state = self._state
        if not any(state["leaseholder"]):
            raise RefusedError("board: not leased", "anybody can lease the job")
        if self._view.now() <= int(state["lease_due"]):
            raise RefusedError(
                "board: lease is not late", f"its holder has time until {moment(int(state['lease_due']))}"
            )
        self._send(Evict(job=self._job.job_id))
        self._log("the lease has ended and its deposit is lost; anybody can lease the job")

    @property
    def _state(self) -> dict[str, Any]:
        return self._view.job_state(self._job.job_id)

    def _disputed(self, update: bytes) -> bool:
        return any(dispute.status.value == "open" for dispute in self._view.disputes(update=update))

    def _require_requester(self) -> None:
        if self._contracts.account != self._job.requester:
            raise RefusedError(
                "board: not the requester",
                f"the job is 0x{self._job.requester.hex()}'s, the key {self._contracts.client.address}'s",
            )

    def _send(self, move: Move) -> None:
        _send(self._contracts, move, self._log)


def require_opened(view: ChainView, job: Job) -> None:
    """Raise RefusedError if the board does not know the job."""
    if not any(view.terms(job.job_id)["board"]):
        raise RefusedError(
            "board: unknown job", "it was never opened on this board; check --deployment and the folder"
        )


def withdraw_credit(contracts: Contracts, log: Log) -> None:
    """Move the account's credit into the account.

    Raises:
        RefusedError: there is none.
    """
    credit = int(contracts.board.view("credit", contracts.account))
    if not credit:
        raise RefusedError("board: nothing to withdraw", f"{contracts.client.address} has no credit there")
    _send(contracts, Withdraw(), log)
    log(f"withdrew {amount(credit)} tokens (smallest unit) to {contracts.client.address}")


def _send(contracts: Contracts, move: Move, log: Log) -> None:
    check_coins(contracts.client, MOVE_GAS)
    sent = send_move(contracts, move, tried=True)
    log(f"{type(move).__name__.lower()}: transaction 0x{sent.tx_hash.hex()} ({sent.gas:,} gas)")
