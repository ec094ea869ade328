# pragma version 0.4.3
# pragma evm-version prague
"""
@title The batch schedule
@license Apache-2.0
@notice Which dataset row stands at which place of which batch (specs/program.md, P-7).
"""

MAX_ROWS: constant(uint256) = 2**32
MAX_WALKS: constant(uint256) = 64
ROUNDS: constant(uint256) = 4


@internal
@pure
def row(seed: bytes32, n_rows: uint256, batch: uint256, step: uint256, position: uint256) -> uint256:
    """
    @notice Dataset row at one batch position of one step.
    @dev Total for every n_rows and batch; step * batch + position has to stay below 2**256.
    @param seed Of the job.
    @param n_rows Rows of the dataset; 0 gives row 0, more than 2**32 count as 2**32.
    @param batch Rows per step.
    @param step From the start of the job.
    @param position In the batch.
    @return The row, below 2**32.
    """
    count: uint256 = min(n_rows, MAX_ROWS)
    if count == 0:
        return 0
    samples: uint256 = count
    if batch != 0 and batch <= count:
        samples = count - count % batch
    sample: uint256 = step * batch + position
    # epoch (8 bytes), then room for the round (1 byte) and the right half (4 bytes)
    epoch: uint256 = ((sample // samples) % 2**64) << 40
    place: uint256 = sample % samples

    half: uint256 = 1
    for i: uint256 in range(16):
        if (1 << (2 * half)) >= count:
            break
        half += 1
    mask: uint256 = (1 << half) - 1

    for walk: uint256 in range(MAX_WALKS):
        left: uint256 = place >> half
        right: uint256 = place & mask
        for i: uint256 in range(ROUNDS):
            key: uint104 = convert(epoch | (i << 32) | right, uint104)
            noise: bytes32 = sha256(concat(seed, convert(key, bytes13)))
            swapped: uint256 = left ^ ((convert(noise, uint256) >> 224) & mask)
            left = right
            right = swapped
        place = (left << half) | right
        if place < count:
            break
    return place % count
