# pragma version 0.4.3
# pragma evm-version prague
# pragma nonreentrancy off
"""
@title Timelock for deployments: announces a change of the board's least scheduled gas before it is made
@license Apache-2.0 for this file; what it imports from the installed snekmate package is AGPL-3.0-only
@notice Proposers schedule calls, which anybody can execute once the delay is over. It administers itself: nobody
        stands above the delay. Gavel's own contracts do not import it: a board names whatever governor it is bound to.
@dev specs/deployment.md, B-5; the board's governor is in money.md, M-1. Delays are seconds.
"""
from snekmate.auth import access_control
from snekmate.governance import timelock_controller

initializes: access_control
initializes: timelock_controller[access_control := access_control]

exports: (
    timelock_controller.hasRole,
    timelock_controller.grantRole,
    timelock_controller.revokeRole,
    timelock_controller.PROPOSER_ROLE,
    timelock_controller.EXECUTOR_ROLE,
    timelock_controller.CANCELLER_ROLE,
    timelock_controller.get_minimum_delay,
    timelock_controller.get_timestamp,
    timelock_controller.is_operation_ready,
    timelock_controller.is_operation_done,
    timelock_controller.hash_operation,
    timelock_controller.schedule,
    timelock_controller.cancel,
    timelock_controller.execute,
    timelock_controller.update_delay,
)


@deploy
def __init__(delay: uint256, proposer: address):
    """
    @notice Create the timelock. Anybody may execute what is due.
    @param delay Least seconds between a call's announcement and its execution.
    @param proposer Who may schedule and cancel calls.
    """
    access_control.__init__()
    # the zero address in the role of executors opens it to everybody
    timelock_controller.__init__(delay, [proposer], [empty(address)], empty(address))
