# pragma version 0.4.3
# pragma evm-version prague
"""
@title A token for tests that can be told to misbehave
@license Apache-2.0
@dev Honest by default. `behave(1)` keeps a tenth of each transfer, `behave(2)` reports false, `behave(3)` reverts,
     `behave(4)` makes the call of `strike` before each transfer. `poke` makes the token a party of its own.
"""

MAX_CALLDATA: constant(uint256) = 4096

balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])
mode: public(uint256)
target: address
calldata: Bytes[MAX_CALLDATA]
struck: public(uint256)
accepted: public(uint256)
said: public(Bytes[96])


@external
def behave(mode: uint256):
    """
    @notice Choose how transfers misbehave from now on.
    @param mode 0 honest, 1 fee, 2 false, 3 revert, 4 call back.
    """
    self.mode = mode


@external
def strike(target: address, calldata: Bytes[MAX_CALLDATA]):
    """
    @notice Choose what to call before each transfer in mode 4; counts start again.
    @param target A contract.
    @param calldata For it.
    """
    self.target = target
    self.calldata = calldata
    self.struck = 0
    self.accepted = 0
    self.said = b""


@external
def poke(target: address, calldata: Bytes[MAX_CALLDATA]):
    """
    @notice Call a contract as the token.
    @param target A contract.
    @param calldata For it.
    """
    raw_call(target, calldata)


@external
def mint(to: address, amount: uint256):
    """
    @notice Make tokens.
    @param to Owner.
    @param amount Smallest units.
    """
    self.balanceOf[to] += amount


@external
def approve(spender: address, amount: uint256) -> bool:
    """
    @notice Set an allowance.
    @param spender Who may spend.
    @param amount Smallest units.
    @return ok True.
    """
    self.allowance[msg.sender][spender] = amount
    return True


@external
def transfer(to: address, amount: uint256) -> bool:
    """
    @notice Send tokens.
    @param to Receiver.
    @param amount Smallest units.
    @return ok Whether it worked, if it tells the truth.
    """
    return self._move(msg.sender, to, amount)


@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    """
    @notice Send an owner's tokens.
    @param owner Who approved the sender.
    @param to Receiver.
    @param amount Smallest units.
    @return ok Whether it worked, if it tells the truth.
    """
    self.allowance[owner][msg.sender] -= amount
    return self._move(owner, to, amount)


@internal
def _move(owner: address, to: address, amount: uint256) -> bool:
    assert self.mode != 3, "token: refuses"
    if self.mode == 2:
        return False
    if self.mode == 4:
        accepted: bool = False
        said: Bytes[96] = b""
        accepted, said = raw_call(self.target, self.calldata, max_outsize=96, revert_on_failure=False)
        self.struck += 1
        self.accepted += 1 if accepted else 0
        self.said = said
    self.balanceOf[owner] -= amount
    self.balanceOf[to] += amount - (amount // 10 if self.mode == 1 else 0)
    return True
