"""What proofs cost on py-evm, calldata's floor price included, and how large the verifier is."""

from __future__ import annotations

from dataclasses import astuple

import pytest
from eth_account import Account
from web3 import Web3

from protocol.chain.artifacts import MAX_RUNTIME_BYTES, compile_contract
from protocol.chain.contract import creation_code
from protocol.chain.embedded import EmbeddedChain, EmbeddedProvider
from protocol.program.address import range_length
from protocol.program.descriptor import Source
from tests.support.leaf_kinds import middle_range
from tests.support.programs import MUL, SUM, node, view
from tests.support.scenes import Challenge


class Chain:
    """A verifier and a court of one context on py-evm."""

    def __init__(self) -> None:
        chain = EmbeddedChain(accounts=1)
        self.w3 = Web3(EmbeddedProvider(chain))
        self.key = chain.keys[0]
        self.court = self._deploy("CourtMock")
        functions = self._deploy("ScalarFunctions")
        self.verifier = self._deploy("StepVerifier", functions)

    def _send(self, to: str | None, data: bytes) -> tuple[int, str]:
        sender = Account.from_key(self.key)
        transaction = {
            "to": to or b"",
            "data": data,
            "gas": 20_000_000,
            "gasPrice": self.w3.eth.gas_price,
            "nonce": self.w3.eth.get_transaction_count(sender.address),
            "chainId": 31337,
            "value": 0,
        }
        signed = sender.sign_transaction(transaction)
        sent = self.w3.eth.send_raw_transaction(signed.raw_transaction)
        receipt = self.w3.eth.wait_for_transaction_receipt(sent)
        assert receipt["status"] == 1
        return int(receipt["gasUsed"]), str(receipt["contractAddress"])

    def _deploy(self, name: str, *args: str) -> str:
        return self._send(None, creation_code(name, *args))[1]

    def prove(self, challenge: Challenge) -> tuple[int, bool]:
        """Gas of the proof, and its verdict."""
        court = self.w3.eth.contract(address=Web3.to_checksum_address(self.court), abi=_abi("CourtMock"))
        verifier = self.w3.eth.contract(
            address=Web3.to_checksum_address(self.verifier), abi=_abi("StepVerifier")
        )
        context = court.encode_abi("set_context", [astuple(challenge.context)])
        self._send(self.court, bytes.fromhex(context[2:]))
        # Twice, because the mock's first verdict costs 20,000 gas for each word of storage that it fills.
        arguments = [self.court, b"\1" * 32, b"\2" * 32, challenge.index, challenge.witness()]
        for _ in range(2):
            gas, _ = self._send(self.verifier, bytes.fromhex(verifier.encode_abi("prove", arguments)[2:]))
        return gas, bool(court.functions.last().call()[3])


def _abi(name: str) -> list[dict[str, object]]:
    return list(compile_contract(name).abi)


@pytest.fixture(scope="module")
def chain() -> Chain:
    return Chain()


def test_a_range_of_contiguous_products(chain: Chain) -> None:
    made = node(
        SUM,
        (4,),
        (1024,),
        (0, 1, MUL),
        view(Source.NODE, 0, (4, 1024), (1, 0), (0, 1)),
        view(Source.STATE, 0, (4, 1024), (1, 0), (0, 1)),
    )
    challenge = middle_range(made, words=4096, tensor_height=6)
    assert range_length(made, 6) == 32
    gas, fault = chain.prove(challenge)
    print(f"32 contiguous products, H = 6, 128 nodes: {gas} gas, witness {len(challenge.witness())} bytes")
    assert not fault
    # The mock reads its context from 20 storage words, 42,000 of this.
    assert gas < 330_000


def test_a_range_that_opens_a_page_per_term(chain: Chain) -> None:
    made = node(SUM, (4,), (128,), (0,), view(Source.NODE, 0, (128, 64), (0, 1), (1, 0)))
    challenge = middle_range(made, words=1 << 18, tensor_height=14)
    assert range_length(made, 6) == 64
    gas, fault = chain.prove(challenge)
    print(f"64 pages, H = 14, 128 nodes: {gas} gas, witness {len(challenge.witness())} bytes")
    assert not fault
    assert len(challenge.witness()) < 98_304
    assert gas < 2_500_000


def test_the_verifier_can_be_deployed() -> None:
    """EIP-170, and no storage."""
    for name in ("StepVerifier", "ScalarFunctions"):
        artifact = compile_contract(name)
        print(f"{name}: {artifact.deployed_bytes} bytes")
        assert artifact.deployed_bytes <= MAX_RUNTIME_BYTES
        assert not artifact.layout.get("storage_layout")
