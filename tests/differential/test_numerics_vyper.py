"""The contract's arithmetic against the reference, on pyrevm."""

from __future__ import annotations

import hashlib
import random

import pytest

from protocol.numerics.accumulator import Accumulator
from protocol.numerics.expression import fold_term, is_well_formed, map_word
from protocol.numerics.opcodes import ARITY, MAX_LEAVES, Fold, Op
from protocol.numerics.primitives import apply
from tests.support import mpfr
from tests.support.evm import FastEvm, Handle, Reverted

PRIMITIVES = [op for op in Op if ARITY[op] > 0]
CALL = 21_000


@pytest.fixture(scope="module")
def mock() -> Handle:
    return FastEvm().deploy_judge("NumericsMock")


def chain_fold(
    mock: Handle, fold: int, code: bytes, n_leaves: int, terms: list[list[int]], prefix: bytes, index: int
) -> tuple[bytes, int, bytes]:
    """The contract's accumulator bytes, finished word and digest."""
    junk = b"\xa5" * (32 - len(code))  # what follows the code is not looked at
    padded = [
        words + [0xDEADBEEF] * (MAX_LEAVES - len(words)) for words in terms
    ]  # nor words past the leaves
    flags, high, middle, low, word, digest = mock.call(
        "fold_terms", fold, code + junk, len(code), n_leaves, padded, prefix, index
    )
    data = bytes([flags]) + b"".join(limb.to_bytes(32, "big") for limb in (high, middle, low))
    return data, word, digest


def reference_fold(
    fold: int, code: bytes, terms: list[list[int]], prefix: bytes, index: int
) -> tuple[bytes, int, bytes]:
    accumulator = Accumulator.from_bytes(prefix)
    for i, words in enumerate(terms):
        accumulator = fold_term(fold, code, words, accumulator, index + i)
    data = accumulator.to_bytes()
    return data, accumulator.finish(fold), hashlib.sha256(data).digest()


def any_prefix(rng: random.Random) -> bytes:
    """Empty, or what a cheat might commit to: any bytes, or limbs on the edge of a carry."""
    kind = rng.random()
    if kind < 0.4:
        return bytes(97)
    flags = rng.choice((0, 0, 0, 1, 2, 4, 6, 8, 255))
    if kind < 0.6:
        return bytes([flags]) + rng.randbytes(96)
    sign = rng.choice((1, -1))
    return Accumulator(flags, sign * (1 << rng.randrange(767)) + rng.choice((0, 1, -1))).to_bytes()


def finite(word: int) -> int:
    return word if word & 0x7F800000 != 0x7F800000 else word & 0x807FFFFF


@pytest.mark.parametrize("op", PRIMITIVES, ids=lambda op: op.name)
def test_primitive_agrees_with_the_reference(mock: Handle, op: Op) -> None:
    rng = random.Random(f"vyper {op}")
    for _ in range(500):
        a, b = mpfr.hard_pair(rng)
        c = mpfr.hard_word(rng)
        assert mock.call("apply", op, a, b, c) == apply(op, a, b, c), [hex(word) for word in (a, b, c)]
    for a in mpfr.EDGE_WORDS:
        b, c = rng.choice(mpfr.EDGE_WORDS), rng.choice(mpfr.EDGE_WORDS)
        assert mock.call("apply", op, a, b, c) == apply(op, a, b, c), [hex(word) for word in (a, b, c)]


@pytest.mark.parametrize("op", [Op.ADD, Op.MUL, Op.DIV, Op.MAX, Op.LE], ids=lambda op: op.name)
def test_primitive_agrees_at_pairs_of_edges(mock: Handle, op: Op) -> None:
    for a in mpfr.EDGE_WORDS[::3]:
        for b in mpfr.EDGE_WORDS[1::3]:
            assert mock.call("apply", op, a, b, 0) == apply(op, a, b), (hex(a), hex(b))


@pytest.mark.parametrize("op", [0x00, 0x03, 0x0F, 0x27, 0x2A, 0x37, 0x40, 2**256 - 1])
def test_what_is_no_primitive_gives_zero_in_a_map(mock: Handle, op: int) -> None:
    for pushes in range(4):
        code = bytes(pushes) + (op & 0xFF).to_bytes(1, "big")
        assert mock.call("map_word", code.ljust(32, b"\0"), len(code), 4, [1, 1, 1, 1]) == 0
        assert map_word(code, [1, 1, 1, 1]) == 0


def test_map_agrees_with_the_reference(mock: Handle) -> None:
    rng = random.Random("map")
    well_formed = 0
    for _ in range(1000):
        n_leaves = rng.choice((0, 1, 2, 3, 4, 4, 4))
        op = rng.choice(PRIMITIVES) if rng.random() < 0.9 else rng.randrange(256)
        count = ARITY.get(op, 2) if rng.random() < 0.8 else rng.randint(0, 4)
        code = bytes([*(rng.randrange(5 if rng.random() < 0.1 else 4) for _ in range(count)), op])
        words = [mpfr.hard_word(rng) for _ in range(4)]
        got = mock.call("map_word", code.ljust(32, b"\x00"), len(code), n_leaves, words)
        assert got == map_word(code, words[:n_leaves]), (code.hex(), n_leaves, words)
        well_formed += is_well_formed(Fold.NONE, code, n_leaves)
    assert 300 < well_formed < 700


SUM_CODES = (
    "00",
    "000112",  # a product
    "00011214",  # less a product
    "0001120203121400",  # a product less a product and a word
    "0029",  # an integer
    "000133020328",  # scatter
    "0001332902",  # a comparison counted, and a word
    "000102122803",  # malformed: SELECT of two
    "0001021203280114",  # a product or a word, less a word
    "0001340203120028",  # by signed comparison
    "00011400020328",  # a word left below a selection
    "0001021228",  # malformed: SELECT of two
    "0001140228",  # a word condition, an exact value, a word
    "0014010228",  # malformed: an exact condition
    "00011202120314",  # malformed: MUL of an exact value
    "00010112022829",  # malformed: I2F of an exact value, also where the condition chooses a word
    "",
)


@pytest.mark.parametrize("code", SUM_CODES)
def test_sum_agrees_with_the_reference(mock: Handle, code: str) -> None:
    rng = random.Random(code)
    for case in range(60):
        n_leaves = rng.choice((1, 2, 3, 4, 4, 4))
        terms = [[mpfr.hard_word(rng) for _ in range(n_leaves)] for _ in range(rng.choice((0, 1, 2, 6)))]
        if case % 2:
            terms = [[0, *words[1:]] for words in terms]  # conditions that choose the second value
        if case % 3:
            terms = [[finite(word) for word in words] for words in terms]
        prefix, raw = any_prefix(rng), bytes.fromhex(code)
        want = reference_fold(Fold.SUM, raw, terms, prefix, 0)
        assert chain_fold(mock, Fold.SUM, raw, n_leaves, terms, prefix, 0) == want


@pytest.mark.parametrize("fold", [Fold.MAX, Fold.ARGMAX])
def test_extremes_agree_with_the_reference(mock: Handle, fold: Fold) -> None:
    rng = random.Random(fold)
    for _ in range(300):
        code = rng.choice((b"\x00", b"\x00", b"\x00\x1f", b"\x01", b"\x00\x14"))
        terms = [[mpfr.hard_word(rng)] for _ in range(rng.choice((0, 1, 2, 6)))]
        terms += rng.choices(terms, k=2) if terms else []
        prefix, index = any_prefix(rng), rng.choice((0, 5, 2**32 - 2))
        want = reference_fold(fold, code, terms, prefix, index)
        assert chain_fold(mock, fold, code, 1, terms, prefix, index) == want


def test_carries_and_borrows_run_through_all_limbs(mock: Handle) -> None:
    code = b"\x00\x01\x12"
    for value in (0, -1, (1 << 256) - 1, 1 << 256, (1 << 512) - 1, 1 << 512, (1 << 767) - 1, -(1 << 767)):
        for word in (1, 0x80000001, 0x3F800000, 0xBF800000, 0x7F7FFFFF, 0xFF7FFFFF):
            for other in (1, 0x3F800000, 0x7F7FFFFF, 0x35800000, 0x35000000):
                prefix = Accumulator(0, value).to_bytes()
                want = reference_fold(Fold.SUM, code, [[word, other]], prefix, 0)
                assert chain_fold(mock, Fold.SUM, code, 2, [[word, other]], prefix, 0) == want


def test_finish_rounds_any_accumulator(mock: Handle) -> None:
    rng = random.Random("finish")
    for _ in range(600):
        # Halfway points and their neighbours, at every height.
        top = rng.randrange(1, 767)
        value = rng.getrandbits(25) << top >> 25 | (1 << top)
        value = rng.choice((1, -1)) * min(
            value + rng.choice((0, 1, -1, rng.getrandbits(max(top - 30, 1)))), (1 << 767) - 1
        )
        prefix = Accumulator(rng.choice((0, 0, 0, 2, 4, 6, 1, 8)), value).to_bytes()
        assert chain_fold(mock, Fold.SUM, b"\x00", 1, [], prefix, 0) == reference_fold(
            Fold.SUM, b"\x00", [], prefix, 0
        )


def test_an_accumulator_has_97_bytes(mock: Handle) -> None:
    with pytest.raises(Reverted, match="accumulator: length"):
        mock.call("fold_terms", 1, bytes(32), 1, 1, [], bytes(96), 0)


def test_a_range_of_32_products_is_cheap(mock: Handle) -> None:
    """Arithmetic alone: what a range costs above an empty one, less its calldata."""
    rng = random.Random("gas")
    costs = []
    for count in (0, 32):
        terms = [[finite(mpfr.hard_word(rng)) for _ in range(4)] for _ in range(count)]
        call = ("fold_terms", 1, b"\x00\x01\x12".ljust(32, b"\0"), 3, 2, terms, bytes(97), 0)
        mock.call(*call)
        costs.append(mock.gas - CALL - sum(16 if byte else 4 for byte in mock.encode(*call)))
    assert 0 < costs[1] - costs[0] < 70_000
