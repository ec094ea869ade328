"""The comparison with eager PyTorch before a job is opened, where eager PyTorch is itself far off."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from protocol.commitments.canonical import Words
from protocol.errors import MismatchError
from protocol.program.interpreter import tensor_height
from prover.capture import Captured, capture, check_against_eager
from prover.engine.executor import Executor

ROWS = np.array([[1e8, 1.0, -1e8]] * 2, np.float32)
"""Their sum is 1; eager PyTorch in binary32 finds 0, on the other side of a ReLU's kink."""


def _loss(out: Tensor, target: Tensor) -> Tensor:
    return (out - target).sum()


def _checked(module: nn.Module, weight: float) -> None:
    columns = {"x": ROWS, "y": np.zeros(2, np.float32)}
    optimizer = functools.partial(torch.optim.SGD, lr=0.1)
    captured: Captured = capture(
        module=module, loss=_loss, optimizer=optimizer, columns=columns, batch=2, steps=1
    )
    executor = Executor(
        captured.program,
        inputs=captured.inputs,
        seed=bytes(32),
        n_rows=2,
        batch=2,
        tensor_height=tensor_height(captured.program),
    )

    def run_step(state: Sequence[Words], step: int) -> Sequence[Words]:
        outputs = executor.run(state, step).outputs
        scaled = (outputs[captured.program.loss].view(np.float32) * np.float32(weight)).view(np.uint32)
        return [scaled if node == captured.program.loss else words for node, words in enumerate(outputs)]

    check_against_eager(captured, module=module, loss=_loss, optimizer=optimizer, run_step=run_step)


class Sum(nn.Module):
    """The same terms in one sum, which the program rounds once and eager PyTorch at every addition."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu((x * self.weight).sum(1) - 0.5)


def test_a_program_nearer_to_binary64_than_eager_pytorch_passes() -> None:
    eager = Sum()(torch.from_numpy(ROWS))
    assert eager.tolist() == [0.0, 0.0]  # exact: 0.5
    _checked(Sum(), 1.0)


def test_a_program_further_off_than_eager_pytorch_is_refused() -> None:
    with pytest.raises(MismatchError, match="the loss: program and eager PyTorch differ by 3"):
        _checked(Sum(), 3.0)
