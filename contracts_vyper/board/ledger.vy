# pragma version 0.4.3
# pragma nonreentrancy on
"""
@title Ledger: who is owed what, in one token
@license Apache-2.0
@notice Tokens come in by allowance and go out only when their owner asks.
@dev Rules M-7, M-10, U-10. INVARIANT I-1 is the job of whoever uses this module: what it takes it accounts for.
"""
from ethereum.ercs import IERC20

BPS: constant(uint256) = 10_000
BURN: constant(address) = 0x000000000000000000000000000000000000dEaD

event Withdrawn:
    payee: indexed(address)
    amount: uint256

token: public(immutable(IERC20))
credit: public(HashMap[address, uint256])


@deploy
def __init__(token_: address):
    """
    @param token_ ERC-20 that moves exactly what it says.
    """
    assert token_.is_contract, "board: no token"
    token = IERC20(token_)


@internal
def take(payer: address, amount: uint256):
    # INVARIANT: I-1, a token that moves another amount than it says is refused (M-10).
    before: uint256 = staticcall token.balanceOf(self)
    assert extcall token.transferFrom(payer, self, amount, default_return_value=True), "board: token transfer failed"
    assert staticcall token.balanceOf(self) == before + amount, "board: token moved another amount"


@internal
def give(payee: address, amount: uint256):
    self.credit[payee] += amount


@internal
def burn_share(amount: uint256, burn_bps: uint256) -> uint256:
    burned: uint256 = amount * burn_bps // BPS
    self.credit[BURN] += burned
    return burned


@internal
def _send(payee: address):
    amount: uint256 = self.credit[payee]
    assert amount > 0, "board: nothing to withdraw"
    self.credit[payee] = 0
    log Withdrawn(payee=payee, amount=amount)
    assert extcall token.transfer(payee, amount, default_return_value=True), "board: token transfer failed"


@external
def withdraw():
    """
    @notice Pay the sender's credit (U-10).
    """
    self._send(msg.sender)


@external
def withdraw_burned():
    """
    @notice Move what was burned out of the ledger (M-7). Anyone.
    """
    self._send(BURN)
