# pragma version 0.4.3
"""
@title Packed words of a job: geometry and clocks
@license Apache-2.0
@dev Rule U-1. The only place that knows where a field lies.
"""

MASK_32: constant(uint256) = 2**32 - 1
MASK_24: constant(uint256) = 2**24 - 1
MASK_8: constant(uint256) = 2**8 - 1

N_NODES: constant(uint256) = 0
N_SLOTS: constant(uint256) = 1
N_INPUTS: constant(uint256) = 2
N_ROWS: constant(uint256) = 3
BATCH: constant(uint256) = 4
STEPS: constant(uint256) = 5
STRIDE: constant(uint256) = 6
MAX_SEGMENTS: constant(uint256) = 7
TENSOR_HEIGHT: constant(uint256) = 8
FANOUT_LOG2: constant(uint256) = 9
RANGE_LOG2: constant(uint256) = 10
INPUT_HEIGHT: constant(uint256) = 11

WINDOW: constant(uint256) = 0
REPLAY: constant(uint256) = 1
RESPONSE: constant(uint256) = 2
ALLOWANCE: constant(uint256) = 3
RESERVE: constant(uint256) = 4
OPENING: constant(uint256) = 5
LEASE: constant(uint256) = 6
NOTICE: constant(uint256) = 7


@internal
@pure
def geometry(word: uint256, field: uint256) -> uint256:
    # fields up to STRIDE are 32 bits wide, the others 8, but N_INPUTS leaves its last 8 bits to INPUT_HEIGHT
    if field == N_INPUTS:
        return (word >> 168) & MASK_24
    if field == INPUT_HEIGHT:
        return (word >> 160) & MASK_8
    if field <= STRIDE:
        return (word >> unsafe_sub(224, unsafe_mul(32, field))) & MASK_32
    return (word >> unsafe_sub(80, unsafe_mul(8, field))) & MASK_8


@internal
@pure
def clock(word: uint256, field: uint256) -> uint256:
    return (word >> unsafe_sub(224, unsafe_mul(32, field))) & MASK_32


@internal
@pure
def levels(word: uint256, height_: uint256) -> uint256:
    # D-6: of one list under a subtree, so that a tree is cut into few lists of about the same length
    if height_ == 0:
        return 0
    fanout: uint256 = self.geometry(word, FANOUT_LOG2)
    lists: uint256 = (height_ + fanout - 1) // fanout
    return (height_ + lists - 1) // lists


@internal
@pure
def segments(word: uint256) -> uint256:
    # ceil(T / C)
    stride: uint256 = self.geometry(word, STRIDE)
    return (self.geometry(word, STEPS) + stride - 1) // stride


@internal
@pure
def height(n: uint256) -> uint256:
    # C-4: the least h with 2^h >= n
    h: uint256 = 0
    for i: uint256 in range(33):
        if (1 << h) >= n:
            break
        h += 1
    return h
