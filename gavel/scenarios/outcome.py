"""What came of a scenario, read from the chain, and the rules that hold for every one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, get_args

from gavel.scenarios.decision import Decision
from gavel.scenarios.stage import BURN, DEPLOYER, PURSE, REQUESTER, ROLES, Stage
from protocol.chain.deployment import Deployment
from protocol.chain.moves import function_name
from protocol.errors import MismatchError
from protocol.game.demand_moves import DemandMove
from protocol.game.moves import CourtMove
from protocol.game.view import UpdateStatus

DISPUTE_MOVES: Final = frozenset(function_name(move) for move in get_args(CourtMove))
"""Functions that are called in disputes, as clients tag their transactions."""

DEMAND_MOVES: Final = frozenset(function_name(move) for move in get_args(DemandMove))
"""Functions that are called about pages that are demanded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a scenario.

    Attributes:
        name: of the scenario.
        decision: what ended the first dispute that ended; None where none was decided.
        updates: final statuses of all updates, oldest first; disputes: of all disputes.
        changes: per role, and for `burned`, bond tokens after the job was over and everybody paid out, less
            those before it was opened; they sum to zero.
        transactions, gas: of the moves of disputes, all parties together.
        all_transactions, all_gas: of everything after the job was opened, approvals and withdrawals too.
        rewards: per role, tokens for final segments, the requester's negative; part of `changes`.
        gas_of: per role, all gas after the job was opened; defence_of: of the moves of disputes and demands.
        refused: reasons of the moves that a party tried and that were refused, in order.
        deployment: where the contracts are.
        accounts: 20 bytes per role, and the deployer's.
    """

    name: str
    decision: Decision | None
    updates: tuple[str, ...]
    disputes: tuple[str, ...]
    changes: Mapping[str, int]
    transactions: int
    gas: int
    all_transactions: int
    all_gas: int
    rewards: Mapping[str, int]
    gas_of: Mapping[str, int]
    defence_of: Mapping[str, int]
    refused: tuple[str, ...]
    deployment: Deployment
    accounts: Mapping[str, bytes]


def outcome(
    stage: Stage, *, name: str, honest: frozenset[str], decided: Decision | None, refused: tuple[str, ...]
) -> Outcome:
    """Read the outcome of a stage that is finished, and check the rules about money.

    Args:
        honest: roles that followed the protocol.
        decided: what ended the dispute.
        refused: reasons of refused moves.

    Raises:
        MismatchError: an honest party has lost bond tokens, or tokens are not conserved.
    """
    view, board, job = stage.view, stage.contracts[DEPLOYER].board, stage.folder.job
    view.refresh()
    updates = view.updates(job.job_id)
    changes = {role: view.balance(stage.address(role)) - PURSE for role in ROLES}
    changes["burned"] = view.credit(BURN)
    held = view.balance(board.address_bytes)
    if sum(changes.values()) or held != changes["burned"]:
        raise MismatchError(
            f"{name}: tokens are not conserved (I-1): changes {changes}, and the board holds {held}"
        )
    rewards = dict.fromkeys(ROLES, 0)
    for update in updates:
        if update.status == UpdateStatus.FINAL:
            earned = update.segments * job.money.reward
            rewards[next(role for role in ROLES if stage.address(role) == update.trainer)] += earned
            rewards[REQUESTER] -= earned
    for role in honest:
        least = min(rewards[role], 0)  # a trainer's claim may be outstanding, a bond may not
        if changes[role] < least:
            raise MismatchError(f"{name}: the honest {role} has lost {least - changes[role]} tokens (M-9)")
    sent = stage.sent()
    moves = [tx for tx in sent if tx.tag in DISPUTE_MOVES]
    return Outcome(
        name=name,
        decision=decided,
        updates=tuple(update.status.value for update in updates),
        disputes=tuple(dispute.status.value for dispute in view.disputes()),
        changes=changes,
        transactions=len(moves),
        gas=sum(tx.gas for tx in moves),
        all_transactions=len(sent),
        all_gas=sum(tx.gas for tx in sent),
        rewards=rewards,
        gas_of={role: sum(tx.gas for tx in stage.sent(role)) for role in ROLES},
        defence_of={
            role: sum(tx.gas for tx in stage.sent(role) if tx.tag in DISPUTE_MOVES | DEMAND_MOVES)
            for role in ROLES
        },
        refused=refused,
        deployment=stage.contracts[DEPLOYER].deployment,
        accounts={role: stage.address(role) for role in (DEPLOYER, *ROLES)},
    )
