# pragma version 0.4.3
"""
@title Packed words of the court's records
@license Apache-2.0
@dev Several small integers in one storage slot, the lowest bits first. Times have 40 bits, seconds of a job 32.
"""

MASK_8: constant(uint256) = 2**8 - 1
MASK_32: constant(uint256) = 2**32 - 1
MASK_40: constant(uint256) = 2**40 - 1
MASK_160: constant(uint256) = 2**160 - 1

# ---- dispute: challenger 160, opened_at 40, segment 32, status 8

DISPUTE_STATUS_AT: constant(uint256) = 232


@internal
@pure
def dispute(challenger: address, opened_at: uint256, segment: uint256, status: uint256) -> uint256:
    return convert(challenger, uint256) | (opened_at << 160) | (segment << 200) | (status << DISPUTE_STATUS_AT)


@internal
@pure
def poster(word: uint256) -> address:
    # of a dispute the challenger, of a candidate its poster
    return convert(word & MASK_160, address)


@internal
@pure
def since(word: uint256) -> uint256:
    # of a dispute when it was opened, of a candidate when it was posted
    return (word >> 160) & MASK_40


@internal
@pure
def segment(word: uint256) -> uint256:
    return (word >> 200) & MASK_32


@internal
@pure
def dispute_status(word: uint256) -> uint256:
    return word >> DISPUTE_STATUS_AT


# ---- candidate: poster 160, posted_at 40, status 8, bonded 8

CANDIDATE_STATUS_AT: constant(uint256) = 200
BONDED: constant(uint256) = 2**208


@internal
@pure
def candidate(poster: address, posted_at: uint256, status: uint256, bonded: bool) -> uint256:
    word: uint256 = convert(poster, uint256) | (posted_at << 160) | (status << CANDIDATE_STATUS_AT)
    return word | BONDED if bonded else word


@internal
@pure
def candidate_status(word: uint256) -> uint256:
    return (word >> CANDIDATE_STATUS_AT) & MASK_8


@internal
@pure
def with_candidate_status(word: uint256, status: uint256) -> uint256:
    return (word & ~(MASK_8 << CANDIDATE_STATUS_AT)) | (status << CANDIDATE_STATUS_AT)


# ---- position: kind 8, demanded_at 40, ends_at 40, allowance 40, defence reserve 32, a 32, b 32, standing 8,
# candidates 8, covered 8

STANDING_ONE: constant(uint256) = 2**224
CANDIDATES_ONE: constant(uint256) = 2**232
COVERED: constant(uint256) = 2**240


@internal
@pure
def position(
    kind: uint256,
    demanded_at: uint256,
    ends_at: uint256,
    allowance: uint256,
    defence_reserve: uint256,
    a: uint256,
    b: uint256,
) -> uint256:
    return (
        kind
        | (demanded_at << 8)
        | (ends_at << 48)
        | (allowance << 88)
        | (defence_reserve << 128)
        | (a << 160)
        | (b << 192)
    )


@internal
@pure
def kind(word: uint256) -> uint256:
    return word & MASK_8


@internal
@pure
def demanded_at(word: uint256) -> uint256:
    return (word >> 8) & MASK_40


@internal
@pure
def ends_at(word: uint256) -> uint256:
    return (word >> 48) & MASK_40


@internal
@pure
def allowance(word: uint256) -> uint256:
    return (word >> 88) & MASK_40


@internal
@pure
def defence_reserve(word: uint256) -> uint256:
    return (word >> 128) & MASK_32


@internal
@pure
def a(word: uint256) -> uint256:
    return (word >> 160) & MASK_32


@internal
@pure
def b(word: uint256) -> uint256:
    return (word >> 192) & MASK_32


@internal
@pure
def standing(word: uint256) -> uint256:
    return (word >> 224) & MASK_8


@internal
@pure
def candidates(word: uint256) -> uint256:
    return (word >> 232) & MASK_8


# ---- FOLD end point: word 32, fold 8 at bit 64, ranges at bit 128


@internal
@pure
def fold_end(word: uint256, fold: uint256, ranges: uint256) -> bytes32:
    return convert(word | (fold << 64) | (ranges << 128), bytes32)


@internal
@pure
def fold_ranges(end: bytes32) -> uint256:
    return convert(end, uint256) >> 128


@internal
@pure
def fold_kind(end: bytes32) -> uint256:
    return (convert(end, uint256) >> 64) & MASK_8


@internal
@pure
def fold_word(end: bytes32) -> uint256:
    return convert(end, uint256) & MASK_32
