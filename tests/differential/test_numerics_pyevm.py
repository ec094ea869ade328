"""A sample of the contract's arithmetic on py-evm, the other EVM."""

from __future__ import annotations

import random
import warnings
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from protocol.chain.artifacts import compile_contract
from protocol.numerics.accumulator import EMPTY
from protocol.numerics.expression import fold_term
from protocol.numerics.opcodes import ARITY, Fold, Op
from protocol.numerics.primitives import apply
from tests.support import mpfr
from tests.support.evm import FastEvm

FOLD_TERMS = ("uint256", "bytes32", "uint256", "uint256", "uint256[4][]", "bytes", "uint256")


class PyEvm:
    """NumericsMock as code at an address of a py-evm state, called without transactions."""

    address = b"\x11" * 20
    functions = b"\x22" * 20

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from eth import constants
            from eth.chains.base import MiningChain
            from eth.db.atomic import AtomicDB
            from eth.vm.forks.prague import PragueVM

        chain_class: Any = MiningChain.configure(
            __name__="TestChain", vm_configuration=((constants.GENESIS_BLOCK_NUMBER, PragueVM),)
        )
        chain = chain_class.from_genesis(
            AtomicDB(),
            {"difficulty": 0, "gas_limit": 10**8, "timestamp": 1},
            {
                address: {"balance": 0, "nonce": 1, "storage": {}, "code": code}
                for address, code in (
                    # Behind its code the mock has its immutable, the address of the functions.
                    (
                        self.address,
                        compile_contract("NumericsMock").runtime + self.functions.rjust(32, b"\0"),
                    ),
                    (self.functions, compile_contract("ScalarFunctions").runtime),
                )
            },
        )
        self._vm = chain.get_vm()

    def call(self, signature: str, outputs: list[str], *args: Any) -> tuple[tuple[Any, ...], int]:
        """The decoded outputs, and the gas without 21,000 and calldata."""
        name, types = signature.split("(", 1)
        arguments = FOLD_TERMS if name == "fold_terms" else tuple(types[:-1].split(","))
        data = keccak(signature.encode())[:4] + encode(arguments, args)
        computation = self._vm.execute_bytecode(
            origin=bytes(20),
            gas_price=0,
            gas=30_000_000,
            to=self.address,
            sender=bytes(20),
            value=0,
            data=data,
            code=self._vm.state.get_code(self.address),
            code_address=self.address,
        )
        computation.raise_if_error()
        return decode(outputs, computation.output), computation.get_gas_used()


@pytest.fixture(scope="module")
def evm() -> PyEvm:
    return PyEvm()


@pytest.mark.parametrize("op", [op for op in Op if ARITY[op] > 0], ids=lambda op: op.name)
def test_primitive_on_py_evm(evm: PyEvm, op: Op) -> None:
    rng = random.Random(f"pyevm {op}")
    for _ in range(10):
        a, b, c = *mpfr.hard_pair(rng), mpfr.hard_word(rng)
        (word,), _ = evm.call("apply(uint256,uint256,uint256,uint256)", ["uint256"], int(op), a, b, c)
        assert word == apply(op, a, b, c), [hex(operand) for operand in (a, b, c)]


@pytest.mark.parametrize("fold", [Fold.SUM, Fold.MAX, Fold.ARGMAX])
def test_fold_on_py_evm(evm: PyEvm, fold: Fold) -> None:
    rng = random.Random(f"pyevm fold {fold}")
    code = b"\x00\x01\x12" if fold == Fold.SUM else b"\x00"
    signature = f"fold_terms({','.join(FOLD_TERMS)})"
    outputs = ["uint256"] * 5 + ["bytes32"]
    mock = FastEvm().deploy_judge("NumericsMock")
    for count in (0, 1, 7, 32):
        terms = [[mpfr.hard_word(rng) & 0xBFFFFFFF for _ in range(4)] for _ in range(count)]
        call = (int(fold), code.ljust(32, b"\0"), len(code), 2, terms, bytes(97), 0)
        values, gas = evm.call(signature, outputs, *call)
        accumulator = EMPTY
        for index, words in enumerate(terms):
            accumulator = fold_term(fold, code, words[:2], accumulator, index)
        flags, high, middle, low, word, _digest = values
        got = bytes([flags]) + b"".join(limb.to_bytes(32, "big") for limb in (high, middle, low))
        assert (got, word) == (accumulator.to_bytes(), accumulator.finish(fold))
        assert values == mock.call("fold_terms", *call)
        assert gas < 20_000 + 2_500 * count
