"""Products by torch on a device: the same bits as the reference and as the engine's own tiles.

The code for "cuda" is the code that runs here on "cpu"; on a machine with a CUDA device the same tests run on
it too.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from protocol.errors import UnsupportedError, UsageError
from protocol.numerics.opcodes import Op
from protocol.program.descriptor import Node
from protocol.program.interpreter import tensor_height
from prover.engine import device
from prover.engine.device import DeviceProductStep, check_device
from prover.engine.executor import Executor
from prover.engine.steps import TIER2
from tests.support.engine import KINDS, check, executor_of, operand, words
from tests.support.zoo import SEED, played

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
MODELS = ("lenet5-max", "gpt", "autoencoder")


def matrices(batch: int, m: int, n: int, k: int) -> Node:
    """A batch of products of a matrix and a transposed one."""
    left = operand((batch, m, k), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 0, 1))
    right = operand((batch, n, k), (1, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), input_id=2)
    return Node(fold=1, out=(batch, m, n), reduce=(k,), code=bytes([0, 1, Op.MUL]), leaves=(left, right))


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("most", [1 << 24, 200])
def test_products_are_those_of_the_reference(
    name: str, kind: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "GATHERED_MOST", most)
    rng = np.random.default_rng([most, len(kind)])
    inputs = [words(rng, 3 * 7 * 37, kind), words(rng, 3 * 5 * 37, kind)]
    executor = check([matrices(3, 7, 5, 37)], inputs, device=name)
    assert [type(step) for step in executor._steps] == [DeviceProductStep]


@pytest.mark.parametrize("name", DEVICES)
def test_sums_without_a_product_are_zero_and_ties_go_to_the_exact_tiers(name: str) -> None:
    left, right = np.zeros((4, 64), np.float32), np.zeros((8, 64), np.float32)
    left[:, ::2], right[:, 1::2] = 3.0, -5.0
    node = matrices(1, 4, 8, 64)
    executor = check([node], [left.ravel().view(np.uint32), right.ravel().view(np.uint32)], device=name)
    assert executor.flags[0, TIER2] == 0
    # 1 + 2^-24 lies halfway between two binary32 numbers.
    left[:, 1], right[:, 0], right[:, 1] = 2.0**-12, 1.0 / 3.0, 2.0**-12
    left[:, 0], right[:, 0] = 1.0, 1.0
    left[:, 2:], right[:, 2:] = 0.0, 0.0
    executor = check([node], [left.ravel().view(np.uint32), right.ravel().view(np.uint32)], device=name)
    assert executor.flags[0, TIER2] == 4 * 8


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("model", MODELS)
def test_models_give_the_same_bits_as_with_tiles(name: str, model: str) -> None:
    run = played(model)
    made, rows = run.captured, run.captured.program.inputs[1].shape[0]
    executor = Executor(
        made.program,
        inputs=made.inputs,
        seed=SEED,
        n_rows=rows,
        batch=run.entry.batch,
        tensor_height=tensor_height(made.program),
        device=name,
    )
    assert any(isinstance(step, DeviceProductStep) for step in executor._steps)
    for step in range(2):
        outputs = executor.run(run.states[step], step).outputs
        for number, (got, wanted) in enumerate(zip(outputs, run.nodes[step], strict=True)):
            assert np.array_equal(got, wanted), made.program.labels[number]


@pytest.mark.parametrize("name", ["nonsense", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    node = matrices(1, 8, 8, 64)
    inputs = [np.zeros(8 * 64, np.uint32)] * 2
    with pytest.raises(UsageError, match="no device"):
        executor_of([node], inputs, device=name)


def test_emulated_binary64_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(device.EMULATION[0], "1")
    with pytest.raises(UnsupportedError, match="emulate"):
        device.refuse_emulation("cuda")
    device.refuse_emulation("cpu")
    assert check_device("cpu").type == "cpu"
