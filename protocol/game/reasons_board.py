"""Why the job board refuses (updates.md, money.md), and the bond token that comes with gavel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from protocol.game.refusal import Refusal

_TERMS: Final = "change the job's terms and open it again; nothing was taken"
_DEPLOY: Final = "deploy again with `gavel deploy`, which binds the contracts to each other"

BOARD: Final[Mapping[str, Refusal]] = {
    "board: no token": Refusal("M-1", "deployment: the token is an address without code", _DEPLOY),
    "board: not the deployer": Refusal("B-5", "another account than the board's deployer binds it", _DEPLOY),
    "board: is bound": Refusal(
        "B-5", "the board has court and availability already, or one of those named is none", _DEPLOY
    ),
    "board: no court": Refusal("U-1", "no court is bound to the board yet", _DEPLOY),
    "board: not the court": Refusal("U-8", "only the court may do this", "use the court's own moves"),
    "board: not availability": Refusal("Y-2", "only Availability may do this", "use its own moves"),
    "board: not the governor": Refusal(
        "M-1",
        "only the board's governor may do this",
        "schedule it at the timelock that governs, if you are a proposer",
    ),
    "board: scheduled gas": Refusal(
        "M-1, U-1",
        "the gas that the job schedules for a dispute is below the board's, or not from 1 to 2^32 - 1",
        "set scheduled_gas of the job's money to at least that of the board (`gavel doctor` shows it)",
    ),
    "board: answer time": Refusal(
        "U-1", "pages can be demanded, and the answer time is zero or 2^32 or more", _TERMS
    ),
    "board: demand fee too small": Refusal(
        "M-2", "what is kept of the fee of a demand does not pay the gas of its answer", _TERMS
    ),
    "board: terms are for another board": Refusal(
        "U-1",
        "the terms name another chain or board",
        "make the job for this deployment; check --rpc and --deployment",
    ),
    "board: not the requester": Refusal(
        "U-1, U-9",
        "only the job's requester may do this, and there must be such a job",
        "use the requester's key",
    ),
    "board: geometry is zero": Refusal("U-1", "a count of the job's geometry is zero", _TERMS),
    "board: steps or stride": Refusal("U-1", "more than 2^31 steps, or a stride longer than the job", _TERMS),
    "board: max_segments": Refusal("U-1", "an update could have more than 63 segments", _TERMS),
    "board: tensor height": Refusal("U-1, C-5", "a tensor of more than 64 * 2^26 words", _TERMS),
    "board: input height": Refusal("U-1, C-5", "an input of more than 64 * 2^26 words", _TERMS),
    "board: fan-out or range": Refusal("U-1", "fanout_log2 is not 1 to 10, or range_log2 above 6", _TERMS),
    "board: a clock is zero": Refusal("U-1", "window, response, opening or lease is zero", _TERMS),
    "board: expired": Refusal("U-1", "the job's expiry is not in the future", _TERMS),
    "board: amount too large": Refusal("U-1", "an amount of 2^128 or more", _TERMS),
    "board: burned share": Refusal(
        "U-1, M-8", "less than a tenth or more than nine tenths would be burned", _TERMS
    ),
    "board: update bond too small": Refusal(
        "M-2", "what is kept of it pays neither gas nor bounty and tip", _TERMS
    ),
    "board: challenge bond too small": Refusal(
        "M-2", "what is kept of it pays neither gas nor bounty and tip", _TERMS
    ),
    "board: defence bond too small": Refusal("M-2", "what is kept of it does not pay gas and tip", _TERMS),
    "board: lease deposit too small": Refusal("M-2", "what is kept of it does not pay the tip", _TERMS),
    "board: no reward": Refusal("M-2", "the reward per segment is zero", _TERMS),
    "board: job exists": Refusal(
        "U-1", "a job of the same terms was opened before", "use it, or take another salt"
    ),
    "board: unknown job": Refusal(
        "U-1", "no job of this id was opened on this board", "check the job folder, --deployment and --rpc"
    ),
    "board: leased": Refusal(
        "U-3",
        "another trainer holds the lease and is not late",
        "wait until it is due or given back (`gavel status`)",
    ),
    "board: job has ended": Refusal(
        "U-4, U-9", "past expiry or notice: nothing can be posted", "look for another job"
    ),
    "board: nothing left to post": Refusal(
        "U-3", "the last segment was posted", "nothing: wait for finality"
    ),
    "board: not leased": Refusal("U-3", "nobody holds the lease of the job", "nothing: anybody can lease it"),
    "board: lease is not late": Refusal("U-3", "the leaseholder is in time", "wait until after its due time"),
    "board: not the leaseholder": Refusal(
        "U-3, U-4",
        "the sender does not hold the lease",
        "lease the job first (`gavel submit` does), with the same key",
    ),
    "board: lease is late": Refusal(
        "U-3, U-4",
        "the lease was due before; it can only be taken away now",
        "lease again, before somebody else does",
    ),
    "board: number of segments": Refusal(
        "U-4", "no segment, or more than max_segments", "post 1 to max_segments"
    ),
    "board: beyond the last segment": Refusal("U-4", "the job has fewer segments", "post only what is left"),
    "board: not the tip": Refusal(
        "U-4, I-9",
        "the chain has changed since: an update was posted or fell",
        "train on from the tip as it is now",
    ),
    "board: update exists": Refusal(
        "U-4", "this very update was posted before", "nothing: it stands or has fallen"
    ),
    "board: unknown update": Refusal(
        "U-4", "no update of this id was posted", "take the id from `gavel status`"
    ),
    "board: not final": Refusal(
        "U-6, U-7",
        "its deadline, its parent's or a dispute is not over, or it fell",
        "wait; see `gavel status`",
    ),
    "board: claimed": Refusal("U-7", "its rewards and bond were credited before", "withdraw the credit"),
    "board: update is live": Refusal(
        "U-8, D-16", "the update stands, so its bond stays locked", "claim it once it is final"
    ),
    "board: bond is gone": Refusal(
        "U-8", "the bond was reclaimed before, or lost by the fall", "withdraw any credit"
    ),
    "board: job has not ended": Refusal(
        "U-9", "neither expiry nor notice has passed", "wait, or cancel and wait"
    ),
    "board: updates are pending": Refusal(
        "U-9", "a live update is not final yet", "wait until all are final"
    ),
    "board: refunded": Refusal("U-9", "what was left was credited before", "withdraw the credit"),
    "board: update is not live": Refusal(
        "U-8", "the update fell, is void, or was never posted", "nothing: it is gone"
    ),
    "board: final": Refusal(
        "U-8, I-3", "the update is recorded as final and stays", "nothing: it can no longer fall"
    ),
    "board: nothing to withdraw": Refusal(
        "U-10", "the sender has no credit", "claim, reclaim or close first"
    ),
    "board: token transfer failed": Refusal(
        "U-10, M-10",
        "the token reports that it did not move",
        "approve the board and hold enough bond tokens",
    ),
    "board: token moved another amount": Refusal(
        "M-10", "the token takes a fee or changes balances by itself", "use a board with a plain ERC-20"
    ),
    "erc20: insufficient allowance": Refusal(
        "U-10", "the board may not take that much from the sender", "approve the board for the amount"
    ),
    "erc20: transfer amount exceeds balance": Refusal(
        "U-10", "the account holds fewer tokens than that", "get bond tokens, then try again"
    ),
    "erc20: transfer to the zero address": Refusal(
        "M-10", "the receiver is the zero address", "name a receiver"
    ),
    "erc20: transfer from the zero address": Refusal(
        "M-10", "the owner is the zero address", "name an owner"
    ),
    "erc20: approve from the zero address": Refusal("M-10", "the owner is the zero address", "name an owner"),
    "erc20: approve to the zero address": Refusal(
        "M-10", "the spender is the zero address", "name a spender"
    ),
    "erc20: mint to the zero address": Refusal("M-10", "the receiver is the zero address", "name a receiver"),
    "erc20: access is denied": Refusal(
        "M-10", "only a minter may mint", "use the key that deployed the token"
    ),
    "erc20: burn amount exceeds balance": Refusal(
        "M-10", "the sender holds fewer tokens than that", "burn fewer"
    ),
}
