"""The contract of the scalar functions, and how the verifier is bound to it."""

from __future__ import annotations

import pytest

from protocol.numerics.opcodes import ARITY, SCALAR_FUNCTIONS, Op
from protocol.numerics.primitives import apply
from tests.support import mpfr
from tests.support.evm import FastEvm, Handle, Reverted
from tests.support.gas_evm import GasEvm

NOBODY = "0x" + "11" * 20


@pytest.fixture(scope="module")
def functions() -> Handle:
    return FastEvm().deploy("ScalarFunctions")


@pytest.mark.parametrize("op", SCALAR_FUNCTIONS, ids=lambda op: op.name)
def test_it_answers_as_the_reference(functions: Handle, op: Op) -> None:
    for word in mpfr.EDGE_WORDS:
        assert functions.call("evaluate", op, word) == apply(op, word), hex(word)


@pytest.mark.parametrize("op", [*(op for op in Op if op not in SCALAR_FUNCTIONS), 0x27, 0x40, 2**256 - 1])
def test_it_has_no_other_function(functions: Handle, op: int) -> None:
    with pytest.raises(Reverted, match="scalar: no such function"):
        functions.call("evaluate", op, mpfr.word_of(1.0))


@pytest.mark.parametrize("word", [2**32, 2**255, 2**256 - 1])
def test_it_takes_words_alone(functions: Handle, word: int) -> None:
    with pytest.raises(Reverted, match="scalar: not a word"):
        functions.call("evaluate", Op.EXP, word)


@pytest.mark.parametrize("name", ["StepVerifier", "NumericsMock"])
def test_who_asks_it_names_a_contract(name: str) -> None:
    evm = FastEvm()
    with pytest.raises(Reverted, match="functions: no contract"):
        evm.deploy(name, NOBODY)
    functions = evm.deploy("ScalarFunctions")
    assert evm.deploy(name, functions.address).artifact.name == name


def test_the_verifier_says_whom_it_asks() -> None:
    evm = FastEvm()
    functions = evm.deploy("ScalarFunctions")
    verifier = evm.deploy("StepVerifier", functions.address)
    assert verifier.call("scalar_functions").lower() == functions.address.lower()


def test_the_mock_asks_for_every_scalar_function_and_nothing_else() -> None:
    """By `map_word`, as the verifier does: what the contract at its address says is the result."""
    evm = FastEvm()
    real = evm.deploy_judge("NumericsMock")
    # In place of the functions a contract that has no `evaluate`: a scalar function cannot be evaluated.
    lonely = evm.deploy("NumericsMock", evm.deploy("BondToken", 1).address)
    for op in Op:
        if not ARITY[op]:
            continue
        code = bytes([*range(ARITY[op]), op])
        call = ("map_word", code.ljust(32, b"\0"), len(code), 4, [0x3F000000, 0x40400000, 0xBF800000, 7])
        if op in SCALAR_FUNCTIONS:
            assert real.call(*call) == apply(op, 0x3F000000)
            with pytest.raises(Reverted):
                lonely.call(*call)
        else:
            assert real.call(*call) == lonely.call(*call)


def test_what_a_function_costs() -> None:
    """The dearest arguments of each, on py-evm: far below what opening an operand costs."""
    functions = GasEvm().deploy("ScalarFunctions")
    dearest = {
        Op.SQRT: (0x7F7FFFFF,),
        Op.RSQRT: (0x7F7FFFFF, 0x00000001),
        Op.EXP: (0xC2CF0000, 0x3F31FFFF),
        Op.EXPM1: (0xC2CF0000, 0x3F31FFFF),
        Op.LOG: (0x00000003, 0x3F2AAAAB),
        Op.LOG1P: (0x7F7FFFFF, 0xBF7FFFFF),
        Op.TANH: (0x417FFFFF, 0x3EB17218),
        Op.SIGMOID: (0xC2CF0000, 0x3F31FFFF),
        Op.ERF: (0x407FFFFF,),
        Op.SIN: (0x7F7FFFFF, 0x3FC90FDA),
        Op.COS: (0x7F7FFFFF, 0x3FC90FDA),
    }
    assert set(dearest) == set(SCALAR_FUNCTIONS)
    for op, words in dearest.items():
        for word in words:
            assert functions.call("evaluate", op, word) == apply(op, word)
            gas = functions.gas - 21_000
            print(f"{op.name} of {word:#010x}: {gas} gas")
            assert gas < 30_000, op.name
