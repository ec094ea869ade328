"""What the ghost knows of numerics.md: words, exact terms, accumulators, rounding.

Plain fractions and integers. The scalar functions of N-15 have no place here: the ghost's programs use none,
and tests/differential holds them to MPFR.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Final

NAN: Final = 0x7FC00000
INF: Final = 0x7F800000
EMPTY: Final = bytes(97)
SEEN_NAN, SEEN_PLUS, SEEN_MINUS, SEEN = 1, 2, 4, 8
UNIT: Final = 298  # a finite sum is counted in 2^-298 (N-12)

NUMBER, WORD = "number", "word"

Value = Fraction | str
"""A float read from a word: a number, or "nan", "+inf", "-inf"."""


def signed(word: int) -> int:
    """Two's complement (N-6)."""
    return word - (1 << 32) if word >> 31 else word


def read(word: int) -> Value:
    """A float word as a value (N-4: -0 reads as 0, every NaN as the one)."""
    sign, exponent, fraction = word >> 31, word >> 23 & 255, word & 0x7FFFFF
    if exponent == 255:
        return "nan" if fraction else ("-inf" if sign else "+inf")
    magnitude = fraction if exponent == 0 else fraction | 0x800000
    value = Fraction(magnitude) * Fraction(2) ** (max(exponent, 1) - 150)
    return -value if sign else value


def rounded(value: Value) -> int:
    """The float word of a value: nearest, ties to even, subnormals kept (N-1), zero +0 (N-2), NaN (N-3)."""
    if isinstance(value, str):
        return {"nan": NAN, "+inf": INF, "-inf": INF | 1 << 31}[value]
    sign, size = int(value < 0) << 31, abs(value)
    if size == 0:
        return 0
    exponent = max(-126, size.numerator.bit_length() - size.denominator.bit_length() - 1)
    if size >= Fraction(2) ** (exponent + 1):
        exponent += 1
    units = round(size / Fraction(2) ** (exponent - 23))  # to even on a tie, as Python rounds fractions
    if units == 0:
        return 0
    if units == 1 << 24:
        units, exponent = 1 << 23, exponent + 1
    if exponent > 127:
        return sign | INF
    biased = exponent + 127 if units >> 23 else 0
    return sign | biased << 23 | units & 0x7FFFFF


def canonical(word: int) -> int:
    """A float word as it is read: -0 is +0, every NaN the one."""
    return rounded(read(word))


def negated(a: Value) -> Value:
    """-a."""
    if isinstance(a, str):
        return {"nan": "nan", "+inf": "-inf", "-inf": "+inf"}[a]
    return -a


def added(a: Value, b: Value) -> Value:
    """a + b (N-5)."""
    if isinstance(a, str) or isinstance(b, str):
        kinds = {a, b} & {"nan", "+inf", "-inf"}
        return "nan" if "nan" in kinds or len(kinds) > 1 else str(kinds.pop())
    return a + b


def multiplied(a: Value, b: Value) -> Value:
    """a * b (N-5)."""
    if "nan" in (a, b):
        return "nan"
    if isinstance(a, str) or isinstance(b, str):
        signs = [
            x if isinstance(x, str) else ("+inf" if x > 0 else "-inf" if x < 0 else "nan") for x in (a, b)
        ]
        if "nan" in signs:
            return "nan"
        return "+inf" if signs[0] == signs[1] else "-inf"
    return a * b


def below(a: Value, b: Value) -> bool:
    """a < b, false if either is NaN (N-7)."""
    if "nan" in (a, b) or a == b:
        return False
    if isinstance(a, str) or isinstance(b, str):
        return a == "-inf" or b == "+inf"
    return a < b


def larger(a: int, b: int) -> int:
    """The larger of two float words, NaN wins (N-7)."""
    x, y = read(a), read(b)
    return NAN if "nan" in (x, y) else rounded(y if below(x, y) else x)


def _least(x: Value, y: Value) -> int:
    return NAN if "nan" in (x, y) else rounded(x if below(x, y) else y)


_FLOAT: Final[dict[int, Callable[[Value, Value], int]]] = {
    0x10: lambda x, y: rounded(added(x, y)),
    0x11: lambda x, y: rounded(added(x, negated(y))),
    0x12: lambda x, y: rounded(multiplied(x, y)),
    0x14: lambda x, _: rounded(negated(x)),
    0x15: lambda x, _: rounded(negated(x) if below(x, Fraction(0)) else x),
    0x16: lambda x, y: larger(rounded(x), rounded(y)),
    0x17: _least,
    0x20: lambda x, y: int(x == y != "nan"),
    0x21: lambda x, y: int(below(x, y)),
    0x22: lambda x, y: int(below(x, y) or x == y != "nan"),
}
_INTEGER: Final[dict[int, Callable[[int, int, int], int]]] = {
    0x1F: lambda a, _b, _c: a,
    0x28: lambda a, b, c: b if a else c,
    0x29: lambda a, _b, _c: rounded(Fraction(signed(a))),
    0x30: lambda a, b, _c: (a + b) % (1 << 32),
    0x31: lambda a, b, _c: (a - b) % (1 << 32),
    0x32: lambda a, b, _c: a * b % (1 << 32),
    0x33: lambda a, b, _c: int(a == b),
    0x34: lambda a, b, _c: int(signed(a) < signed(b)),
    0x35: lambda a, b, _c: a & b,
    0x36: lambda a, b, _c: a | b,
    0x37: lambda a, b, _c: a ^ b,
    0x38: lambda a, b, _c: a >> b % 32,
}


def primitive(code: int, words: list[int]) -> int:
    """The result of a primitive (the table of numerics.md)."""
    a, b, c = (*words, 0, 0)[:3]
    if code in _FLOAT:
        return _FLOAT[code](read(a), read(b))
    if code in _INTEGER:
        return _INTEGER[code](a, b, c)
    raise ValueError(f"the ghost does not know primitive {code:#x}: keep it out of its programs")


ONE: Final = frozenset({0x14, 0x15, 0x18, 0x19, *range(0x1A, 0x20), 0x23, 0x24, 0x25, 0x26, 0x29})
TWO: Final = frozenset({*range(0x10, 0x14), 0x16, 0x17, *range(0x20, 0x23), *range(0x30, 0x39)})


def operands_of(code: int) -> int:
    """How many operands a primitive takes, 0 for no primitive."""
    return 1 if code in ONE else 2 if code in TWO else 3 if code == 0x28 else 0


# ---------------------------------------------------------------- codes (N-8 to N-11)


def well_formed(fold: int, code: bytes, leaves: int) -> bool:
    """Whether a code means anything under a fold (N-11)."""
    if fold in (2, 3):
        return leaves > 0 and code in (b"\x00", b"\x00\x1f")
    if fold > 3:
        return False
    return _map_formed(code, leaves) if fold == 0 else _sum_formed(code, leaves)


def _map_formed(code: bytes, leaves: int) -> bool:
    *pushes, last = code or b"\0"
    if any(push > 3 or push >= leaves for push in pushes) or len(pushes) > 8:
        return False
    return operands_of(last) == len(pushes) > 0


def _sum_formed(code: bytes, leaves: int) -> bool:
    stack: list[str] = []
    for byte in code:
        if byte <= 3:
            if byte >= leaves:
                return False
            stack.append(WORD)
        elif byte not in (0x12, 0x14, 0x28, 0x29, 0x33, 0x34) or len(stack) < operands_of(byte):
            return False
        else:
            taken = stack[len(stack) - operands_of(byte) :]
            del stack[len(stack) - len(taken) :]
            if byte in (0x12, 0x29, 0x33, 0x34) and NUMBER in taken:
                return False
            if byte == 0x28 and taken[0] == NUMBER:
                return False
            plain = byte in (0x33, 0x34) or (byte == 0x28 and NUMBER not in taken[1:])
            stack.append(WORD if plain else NUMBER)
        if len(stack) > 8:
            return False
    return True


def terms_of(code: bytes, words: list[int]) -> list[Value]:
    """What a well-formed code under a sum adds for one set of leaf words (N-9)."""
    stack: list[tuple[str, int, Value]] = []  # the kind, the word, the value

    def word(number: int) -> tuple[str, int, Value]:
        return WORD, number, read(number)

    for byte in code:
        if byte <= 3:
            stack.append(word(words[byte]))
            continue
        count = operands_of(byte)
        taken = stack[len(stack) - count :]
        del stack[len(stack) - count :]
        match byte:
            case 0x12:
                stack.append((NUMBER, 0, multiplied(taken[0][2], taken[1][2])))
            case 0x14:
                stack.append((NUMBER, 0, negated(taken[0][2])))
            case 0x29:
                stack.append((NUMBER, 0, Fraction(signed(taken[0][1]))))
            case 0x28:
                chosen = taken[1] if taken[0][1] else taken[2]
                exact = NUMBER in (taken[1][0], taken[2][0])
                stack.append((NUMBER, 0, chosen[2]) if exact else chosen)
            case _:
                stack.append(word(primitive(byte, [taken[0][1], taken[1][1]])))
    return [value for _, _, value in stack]


# ---------------------------------------------------------------- accumulators (N-12, N-13)


def unpack(total: bytes) -> tuple[int, int]:
    """Flags and V of an accumulator."""
    return total[0], int.from_bytes(total[1:], "big", signed=True)


def pack(flags: int, v: int) -> bytes:
    """97 bytes; V wraps modulo 2^768."""
    return bytes([flags]) + (v % (1 << 768)).to_bytes(96, "big")


def plus(total: bytes, terms: list[Value]) -> bytes:
    """A sum's accumulator with further terms."""
    flags, v = unpack(total)
    for term in terms:
        if isinstance(term, str):
            flags |= {"nan": SEEN_NAN, "+inf": SEEN_PLUS, "-inf": SEEN_MINUS}[term]
        else:
            v += int(term * (1 << UNIT))
    return pack(flags, v)


def beaten(total: bytes, index: int, word: int) -> bytes:
    """A maximum's accumulator with one further word."""
    flags, v = unpack(total)
    if flags & SEEN:
        winner, challenger = read(v % (1 << 32)), read(word)
        if winner == "nan" or (challenger != "nan" and not below(winner, challenger)):
            return total
    return pack(flags | SEEN, index << 32 | canonical(word))


def finished(fold: int, total: bytes) -> int:
    """The word of a total (N-13)."""
    flags, v = unpack(total)
    if fold == 1:
        both = flags & SEEN_PLUS and flags & SEEN_MINUS
        if flags & SEEN_NAN or both:
            return NAN
        if flags & (SEEN_PLUS | SEEN_MINUS):
            return INF if flags & SEEN_PLUS else INF | 1 << 31
        return rounded(Fraction(v, 1 << UNIT))
    if not flags & SEEN:
        return 0
    return v % (1 << 32) if fold == 2 else (v >> 32) % (1 << 32)
