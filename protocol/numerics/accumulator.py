"""The accumulator of a fold: what has been folded so far, exactly (N-12 to N-14)."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.errors import MalformedError
from protocol.numerics.opcodes import Fold
from protocol.numerics.words import MASK, NAN, NEG_INF, POS_INF, decode, is_infinite, is_nan, round_dyadic

FLAG_NAN = 1
FLAG_POS_INF = 2
FLAG_NEG_INF = 4
FLAG_SEEN = 8

SCALE = 298
"""A sum's V is the sum times 2**SCALE: twice 149, so that every product of two floats is an integer."""

BYTES = 97
_BITS = 768


@dataclass(frozen=True, slots=True)
class Accumulator:
    """What has been folded so far.

    Attributes:
        flags: 0 to 255, N-12.
        value: V, with -2**767 <= V < 2**767.
    """

    flags: int
    value: int

    def to_bytes(self) -> bytes:
        """The 97 bytes that are hashed (N-12)."""
        return bytes([self.flags]) + self.value.to_bytes(BYTES - 1, "big", signed=True)

    @staticmethod
    def from_bytes(data: bytes) -> Accumulator:
        """Inverse of `to_bytes`; any 97 bytes are an accumulator.

        Raises:
            MalformedError: not 97 bytes.
        """
        if len(data) != BYTES:
            raise MalformedError(
                f"an accumulator is {BYTES} bytes, not {len(data)}: read it from its place again"
            )
        return Accumulator(data[0], int.from_bytes(data[1:], "big", signed=True))

    def add(self, flags: int, value: int) -> Accumulator:
        """With one more term of a sum: its flags, or its value times 2**SCALE; wraps modulo 2**768."""
        wrapped = (self.value + value + (1 << _BITS - 1)) % (1 << _BITS) - (1 << _BITS - 1)
        return Accumulator(self.flags | flags, wrapped)

    def finish(self, fold: int) -> int:
        """The word that the fold writes (N-13).

        Args:
            fold: a `Fold`; any number but sum, max and argmax gives 0 (N-11).
        """
        if fold == Fold.SUM:
            return self._finish_sum()
        if fold not in (Fold.MAX, Fold.ARGMAX) or not self.flags & FLAG_SEEN:
            return 0
        return (self.value >> 32 if fold == Fold.ARGMAX else self.value) & MASK

    def _finish_sum(self) -> int:
        both = FLAG_POS_INF | FLAG_NEG_INF
        if self.flags & FLAG_NAN or self.flags & both == both:
            return NAN
        if self.flags & FLAG_POS_INF:
            return POS_INF
        if self.flags & FLAG_NEG_INF:
            return NEG_INF
        return round_dyadic(self.value, -SCALE)


EMPTY = Accumulator(0, 0)
"""Nothing folded yet."""


def exact_word(word: int) -> tuple[int, int]:
    """A float word as a term: its flags and its value times 2**SCALE."""
    if is_nan(word):
        return FLAG_NAN, 0
    if is_infinite(word):
        return (FLAG_POS_INF if word == POS_INF else FLAG_NEG_INF), 0
    mantissa, exponent = decode(word)
    return 0, mantissa << exponent + SCALE
