"""The errors that a caller of gavel can expect, and the exit status of a command that ends in one (E-1).

    GavelError
    |-- MalformedError      3   bytes, files or messages that are not what they claim to be
    |-- MismatchError       4   two things that must agree bit for bit do not
    |-- UnsupportedError    5   a model, optimizer or option that has no meaning here (yet)
    |-- RefusedError        6   a move that the contract (or its model) refuses; carries the named reason
    |-- ChainError          7   the node, the account or a transaction
    |   `-- AccountError    7   tokens or coins that the account has not
    |-- StorageError        8   a disk or store that cannot be read or written
    |-- UsageError          2   a command that cannot be carried out as given
    |-- AttentionError      9   a command that looked for trouble and found some
    |-- CompileError        3   a contract that the compiler refuses (protocol.chain.artifacts)
    `-- BrokenRuleError     1   a safety rule that does not hold, in simulations (protocol.game.rules)

Every message says what happened, what it means and what to do.
"""

from __future__ import annotations

from typing import ClassVar

from protocol.game.reasons import explained


class GavelError(Exception):
    """Base of all errors that gavel raises on purpose.

    Attributes:
        exit_code: status that a command ends with.
    """

    exit_code: ClassVar[int] = 1


class MalformedError(GavelError):
    """Data that is not in the canonical form the specs ask for."""

    exit_code = 3


class UnsupportedError(GavelError):
    """A request outside what gavel gives a meaning to."""

    exit_code = 5


class MismatchError(GavelError):
    """Two values that have to agree bit for bit, and do not."""

    exit_code = 4


class RefusedError(GavelError):
    """A move refused by the contract or by its model.

    The message explains the reason (protocol.game.reasons): its rule, what it means, what to do.

    Attributes:
        reason: the named reason, ``"module: reason"``, as the contract gives it.
    """

    exit_code = 6

    def __init__(self, reason: str, advice: str = "") -> None:
        """Refuse.

        Args:
            reason: see above.
            advice: what to do here, where more is known of it than the reason says.
        """
        super().__init__(f"refused: {explained(reason, advice)}")
        self.reason = reason


class ChainError(GavelError):
    """The chain could not be reached, or a transaction did not do what it should."""

    exit_code = 7


class AccountError(ChainError):
    """An account that cannot pay: too few bond tokens, or coins for gas. The node is well."""


class StorageError(GavelError):
    """A disk or store that cannot be read or written: full, out of reach, not permitted."""

    exit_code = 8


class UsageError(GavelError):
    """A command that cannot be carried out as it was given."""

    exit_code = 2


class AttentionError(GavelError):
    """A command that looks for trouble has ended, and found some: an operator must act."""

    exit_code = 9


class PeerError(GavelError):
    """A process that shares a training's steps has gone, answers no more, or did not come."""

    exit_code = 10
