# pragma version 0.4.3
"""
@title Packed words of the court's records
@license Apache-2.0
@dev Several small integers in one storage slot, the lowest bits first. Times have 36 bits, seconds of a job 32. Disputes
     have numbers from 1, of 26 bits, so that a position can name two of them in its own word.
"""

MASK_4: constant(uint256) = 2**4 - 1
MASK_10: constant(uint256) = 2**10 - 1
MASK_32: constant(uint256) = 2**32 - 1
MASK_36: constant(uint256) = 2**36 - 1
MASK_160: constant(uint256) = 2**160 - 1

# ---- dispute: challenger 160, opened_at 36, segment 32, number 26, status 2

NUMBER_AT: constant(uint256) = 228
STATUS_AT: constant(uint256) = 254
MAX_NUMBER: constant(uint256) = 2**26 - 1


@internal
@pure
def dispute(challenger: address, opened_at: uint256, segment: uint256, number: uint256, status: uint256) -> uint256:
    return (
        convert(challenger, uint256)
        | (opened_at << 160)
        | (segment << 196)
        | (number << NUMBER_AT)
        | (status << STATUS_AT)
    )


@internal
@pure
def poster(word: uint256) -> address:
    # of a dispute the challenger, of a candidate its poster
    return convert(word & MASK_160, address)


@internal
@pure
def since(word: uint256) -> uint256:
    # of a dispute when it was opened, of a candidate when it was posted
    return (word >> 160) & MASK_36


@internal
@pure
def segment(word: uint256) -> uint256:
    return (word >> 196) & MASK_32


# ---- candidate: poster 160, posted_at 36, place 10, bonded 1, ..., status 2

BONDED: constant(uint256) = 2**206


@internal
@pure
def candidate(poster: address, posted_at: uint256, place: uint256, bonded: bool, status: uint256) -> uint256:
    word: uint256 = convert(poster, uint256) | (posted_at << 160) | (place << 196) | (status << STATUS_AT)
    return word | BONDED if bonded else word


@internal
@pure
def place(word: uint256) -> uint256:
    return (word >> 196) & MASK_10


@internal
@pure
def covered(word: uint256, poster: address) -> uint256:
    # a candidate's word, taken over by the trainer's side: all but poster and bond stays
    return (word & ~MASK_160 & ~BONDED) | convert(poster, uint256)


@internal
@pure
def status(word: uint256) -> uint256:
    # of a dispute or a candidate
    return word >> STATUS_AT


@internal
@pure
def with_status(word: uint256, status: uint256) -> uint256:
    return (word & (2**STATUS_AT - 1)) | (status << STATUS_AT)


# ---- position: kind 4, traces that count 4, demanded_at 36, ends_at 36, defence reserve 32, a 32, b 32, standing 10,
# candidates 10, covered 1, whether the covered one stands 1, claimant 26, credit 26

STANDING_ONE: constant(uint256) = 2**176
CANDIDATES_ONE: constant(uint256) = 2**186
COVERED: constant(uint256) = 2**196
COVERED_STANDS: constant(uint256) = 2**197
CLAIMANT_AT: constant(uint256) = 198
CREDIT_AT: constant(uint256) = 224


@internal
@pure
def position(
    kind: uint256,
    traces: uint256,
    demanded_at: uint256,
    ends_at: uint256,
    defence_reserve: uint256,
    a: uint256,
    b: uint256,
) -> uint256:
    return (
        kind
        | (traces << 4)
        | (demanded_at << 8)
        | (ends_at << 44)
        | (defence_reserve << 80)
        | (a << 112)
        | (b << 144)
    )


@internal
@pure
def kind(word: uint256) -> uint256:
    return word & MASK_4


@internal
@pure
def traces(word: uint256) -> uint256:
    return (word >> 4) & MASK_4


@internal
@pure
def demanded_at(word: uint256) -> uint256:
    return (word >> 8) & MASK_36


@internal
@pure
def ends_at(word: uint256) -> uint256:
    return (word >> 44) & MASK_36


@internal
@pure
def defence_reserve(word: uint256) -> uint256:
    return (word >> 80) & MASK_32


@internal
@pure
def a(word: uint256) -> uint256:
    return (word >> 112) & MASK_32


@internal
@pure
def b(word: uint256) -> uint256:
    return (word >> 144) & MASK_32


@internal
@pure
def standing(word: uint256) -> uint256:
    return (word >> 176) & MASK_10


@internal
@pure
def candidates(word: uint256) -> uint256:
    return (word >> 186) & MASK_10


@internal
@pure
def number_at(word: uint256, at: uint256) -> uint256:
    # of the dispute that a position names there
    return (word >> at) & MAX_NUMBER


@internal
@pure
def with_number(word: uint256, at: uint256, dispute: uint256) -> uint256:
    # a position's word, with the number that is in a dispute's word
    return (word & ~(MAX_NUMBER << at)) | (((dispute >> NUMBER_AT) & MAX_NUMBER) << at)


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
    return (convert(end, uint256) >> 64) & MASK_4


@internal
@pure
def fold_word(end: bytes32) -> uint256:
    return convert(end, uint256) & MASK_32
