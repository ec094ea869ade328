# pragma version 0.4.3
"""
@title Refusals of the court
@license Apache-2.0
@dev An assert with a reason costs 130 bytes of code, a call of this 70, and the court has 70 of them. Reasons have at most
     33 characters; specs/errors.md (E-3) lists them with the rules that they uphold.
"""


@internal
@pure
def that(ok: bool, reason: String[33]):
    assert ok, reason
