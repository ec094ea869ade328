"""The errors that a caller of gavel can expect.

    GavelError
    |-- MalformedError      bytes, files or messages that are not what they claim to be
    |-- UnsupportedError    a model, optimizer or option that has no meaning here (yet)
    |-- MismatchError       two things that must agree bit for bit do not
    |-- RefusedError        a move that the contract (or its model) refuses; carries the named reason
    |-- ChainError          the node, the account or a transaction
    |-- UsageError          a command that cannot be carried out as given
    |-- CompileError        a contract that the compiler refuses (protocol.chain.artifacts)
    `-- BrokenRuleError     a safety rule that does not hold, in simulations (protocol.game.rules)

Every message says what happened, what it means and what to do.
"""

from __future__ import annotations


class GavelError(Exception):
    """Base of all errors that gavel raises on purpose."""


class MalformedError(GavelError):
    """Data that is not in the canonical form the specs ask for."""


class UnsupportedError(GavelError):
    """A request outside what gavel gives a meaning to."""


class MismatchError(GavelError):
    """Two values that have to agree bit for bit, and do not."""


class RefusedError(GavelError):
    """A move refused by the contract or by its model.

    Attributes:
        reason: the named reason, ``"module: reason"``, as the contract gives it.
    """

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(f"refused: {reason}" + (f". {advice}" if advice else ""))
        self.reason = reason


class ChainError(GavelError):
    """The chain could not be reached, or a transaction did not do what it should."""


class UsageError(GavelError):
    """A command that cannot be carried out as it was given."""
