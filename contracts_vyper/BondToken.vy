# pragma version 0.4.3
# pragma evm-version prague
# pragma nonreentrancy off
"""
@title Bond token for demonstrations and development chains
@license Apache-2.0 for this file; what it imports from the installed snekmate package is AGPL-3.0-only
@notice A plain ERC-20 whose deployer gets the whole supply and may mint more. Gavel's own contracts do not import it:
        a job on a public chain names whatever token its board was deployed with.
@dev Units: 18 decimals. No transfer fees, no rebasing (money.md, M-10).
"""
from snekmate.auth import ownable
from snekmate.tokens import erc20

initializes: ownable
initializes: erc20[ownable := ownable]

exports: (
    erc20.name,
    erc20.symbol,
    erc20.decimals,
    erc20.totalSupply,
    erc20.balanceOf,
    erc20.allowance,
    erc20.transfer,
    erc20.approve,
    erc20.transferFrom,
    erc20.burn,
    erc20.mint,
    erc20.owner,
)


@deploy
def __init__(supply: uint256):
    """
    @notice Create the token.
    @param supply Tokens credited to the deployer, in the smallest unit.
    """
    ownable.__init__()
    erc20.__init__("Gavel bond token", "BOND", 18, "Gavel bond token", "1")
    erc20._mint(msg.sender, supply)
