"""Asks for pages of what is posted, chosen by a beacon (availability.md, Y-11 and Y-12)."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from challenger.limits import Purse
from protocol.amounts import amount
from protocol.chain.agent import Agent, Log, ids
from protocol.chain.court_view import ChainView
from protocol.chain.deployment import Contracts
from protocol.chain.moves import ensure_allowance
from protocol.commitments.tensor import page_count
from protocol.errors import UsageError
from protocol.game.demand_moves import Demand
from protocol.game.demands import MAX_OPEN, ended, fee_of
from protocol.game.moves import Move
from protocol.game.view import DisputeStatus, UpdateInfo, UpdateStatus
from protocol.job_folder import JobFolder

BEACON_DELAY: Final = 8
"""Blocks between a post and the block whose hash chooses the pages."""

MOST_FEES: Final = 8
"""Times the job's fee that it pays for one demand: while more are open, it waits for answers (Y-9)."""


def choose(beacon: bytes, update: bytes, pages: Sequence[int], number: int) -> list[tuple[int, int]]:
    """Return slot and page of so many different pages, or of all where there are fewer (Y-11).

    Args:
        beacon: hash of a block that whoever posted could not know; update: id; 32 bytes each.
        pages: how many each slot has.
    """
    total, chosen = sum(pages), dict[int, None]()
    draw = 0
    while len(chosen) < min(number, total):
        digest = sha256(beacon + update + draw.to_bytes(32)).digest()
        chosen[int.from_bytes(digest) % total] = None
        draw += 1
    return [_place(at, pages) for at in chosen]


def _place(at: int, pages: Sequence[int]) -> tuple[int, int]:
    for slot, count in enumerate(pages):
        if at < count:
            return slot, at
        at -= count
    raise UsageError("there is no such page; choose below their number")


def detection(share: float, number: int) -> float:
    """Return the probability that a sample finds out that a share of all pages is withheld (Y-12).

    Args:
        share: from 0 to 1; number: pages sampled.
    """
    return float(1 - (1 - share) ** number)


class Sampler(Agent):
    """Asks for some pages of each new update, fells what nobody shows, and takes its fees back."""

    def __init__(
        self,
        *,
        contracts: Contracts,
        folder: JobFolder,
        number: int,
        account: bytes,
        log: Log,
        view: ChainView | None = None,
        dry_run: bool = False,
        purse: Purse | None = None,
    ) -> None:
        """Check the contracts and bind to a client with the asker's key.

        Args:
            number: of pages of each update, at most `MAX_OPEN`.
            account: 20 bytes, who asks, or, dry, whom to look as (A-13).
            view: shared with other agents; dry_run: send nothing.
            purse: holds back what would go beyond the operator's limits (A-30).

        Raises:
            UsageError: the account may not demand pages of this job, or so many not.
            MismatchError: the contracts' code or wiring is not what it should be.
        """
        super().__init__(contracts=contracts, folder=folder, log=log, view=view, dry_run=dry_run)
        if not folder.job.audit.allows(account):
            raise UsageError(
                f"job {folder.job.job_id.hex()} does not let 0x{account.hex()} demand pages "
                "(`gavel job show` says who may); leave out --sample-pages, or use the auditor's key"
            )
        if not 0 < number <= MAX_OPEN:
            raise UsageError(f"{number} pages cannot be demanded of an update at once, only 1 to {MAX_OPEN}")
        self._number, self._account = number, account
        self._pages = [page_count(spec.extent) for spec in folder.program.slots]
        self._chosen: dict[bytes, list[tuple[int, int]]] = {}
        self._fee, self._purse = 0, purse

    def step(self) -> list[Move]:
        """Read the chain, ask, end what is to be ended, send; return the moves that were sent.

        Raises:
            ChainError: the node cannot be read; nothing is lost, call again.
        """
        self.view.refresh()
        sent: list[Move] = []
        for update in self.view.updates(self._folder.job.job_id):
            sent += [move for move in self._ends(update) if self.send(move)]
            if update.status == UpdateStatus.PENDING and not sent:
                sent += self._ask(update)
        return sent

    def _ends(self, update: UpdateInfo) -> list[Move]:
        """How own demands end that are late, or whose update is gone (Y-5, Y-6)."""
        if not self.view.asked(update.update, self._account):
            return []
        mine = [known for known in self.view.open_demands(update.update) if known.asker == self._account]
        live = update.status in (UpdateStatus.PENDING, UpdateStatus.FINAL)
        disputes = self.view.disputes(update=update.update) if mine and live else ()
        disputed = any(known.status == DisputeStatus.OPEN for known in disputes)
        return list(ended(mine, live=live, now=self.view.now(), disputed=disputed))

    def _ask(self, update: UpdateInfo) -> list[Move]:
        audit, known = self._folder.job.audit, self.view.asked(update.update, self._account)
        until, sent = min(update.deadline, audit.demand_until), list[Move]()
        places = [place for place in self._places(update) if place not in known]
        if not places or self.view.now() > until:
            return sent
        waiting = len(self.view.open_demands(update.update))
        for slot, page in places:
            fee = fee_of(audit.demand_fee, waiting + len(sent))
            if waiting + len(sent) >= MAX_OPEN or fee > MOST_FEES * audit.demand_fee:
                self._log.once(
                    f"{waiting + len(sent)} demands are open on update {update.update.hex()[:12]}, and one "
                    f"more costs {amount(fee)}; asks when some are answered",
                    level="warning",
                    update=update.update,
                    fee=fee,
                )
                break
            self._fee, move = fee, Demand(update=update.update, slot=slot, page=page)
            if self.send(move):
                sent.append(move)
        return sent

    def _places(self, update: UpdateInfo) -> list[tuple[int, int]]:
        """What is asked for; nothing before the beacon is there and as deep as the view looks."""
        if update.update not in self._chosen:
            block = self.view.posted_in(update.update) + BEACON_DELAY
            if self.view.block < block:
                return []
            places = choose(self._beacon(block), update.update, self._pages, self._number)
            self._chosen[update.update] = places
            found = detection(0.01, len(places))
            self._log(
                f"update {update.update.hex()[:12]}: samples {len(places)} of {sum(self._pages)} pages by "
                f"the hash of block {block}; finds with probability {found:.3f} that 1 % of them is withheld",
                update=update.update,
                block=block,
                pages=len(places),
            )
        return self._chosen[update.update]

    def _beacon(self, block: int) -> bytes:
        """The hash of a block (Y-11), 32 bytes."""
        return self._contracts.client.block(block)[0]

    def send(self, move: Move) -> bool:
        """Send a move as an agent does, unless it is held back (A-30): then it is said."""
        held = self._purse.held(self.view, move, self.locks(move)) if self._purse is not None else None
        if held is None:
            return super().send(move)
        self._log.once(
            f"asks for no page: {held}",
            level="warning",
            held=True,
            move=type(move).__name__,
            locks=self.locks(move),
            **ids(move),
        )
        return False

    def prepare(self, move: Move) -> None:
        """Approve the fee of a demand."""
        if self.locks(move):
            ensure_allowance(self._contracts, self._fee)

    def locks(self, move: Move) -> int:
        """The fee of a demand, as it is when it is asked."""
        return self._fee if isinstance(move, Demand) else 0
