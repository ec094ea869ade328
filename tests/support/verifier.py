"""The step verifier on pyrevm and its Python mirror, asked the same question."""

from __future__ import annotations

from dataclasses import astuple

from protocol.errors import RefusedError
from protocol.program.leaf import ProofContext, verdict
from tests.support.evm import FastEvm, Reverted

DISPUTE, CANDIDATE = b"\xd1" * 32, b"\xca" * 32


class VerifierBench:
    """A verifier and a court of one context.

    Attributes:
        gas: of the last `on_chain`, with 21,000 and calldata, without the floor price.
    """

    def __init__(self) -> None:
        self.evm = FastEvm()
        self.court = self.evm.deploy("CourtMock")
        self.verifier = self.evm.deploy_judge("StepVerifier")
        self.gas = 0
        self._verdicts = 0

    def on_chain(self, context: ProofContext, index: int, witness: bytes) -> bool | str:
        """The contract's verdict, or the reason that it refuses with."""
        self.court.call("set_context", astuple(context))
        prover = self.evm.account(5)
        try:
            self.verifier.call("prove", self.court.address, DISPUTE, CANDIDATE, index, witness, sender=prover)
        except Reverted as error:
            return error.reason
        self.gas = self.verifier.gas
        self._verdicts += 1
        assert self.court.call("verdicts") == self._verdicts
        dispute, candidate, sender, fault = self.court.call("last")
        assert (dispute, candidate) == (DISPUTE, CANDIDATE)
        assert sender.lower() == prover.lower()
        return bool(fault)

    def both(self, context: ProofContext, index: int, witness: bytes) -> bool | str:
        """What contract and mirror agree on: a verdict or a reason."""
        chain, mirror = self.on_chain(context, index, witness), in_python(context, index, witness)
        assert chain == mirror, f"contract: {chain}, mirror: {mirror}"
        return mirror


def in_python(context: ProofContext, index: int, witness: bytes) -> bool | str:
    """The mirror's verdict, or the reason that it refuses with."""
    try:
        return verdict(context, index, witness)
    except RefusedError as error:
        return error.reason
