"""Views against torch's own strides; the normal form of nodes against the loops it replaces."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from protocol.numerics.opcodes import Fold, Op
from protocol.program.address import flat_address
from protocol.program.descriptor import Source
from prover.capture import capture
from prover.capture.builder import Builder
from prover.capture.views import View, contiguous_strides

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


def whole(shape: tuple[int, ...]) -> tuple[View, Tensor]:
    """A dense view and the tensor that holds the address of each of its words."""
    view = View.dense(Source.INPUT, 1, shape, torch.float32)
    return view, torch.arange(math.prod(shape)).reshape(shape)


def moved(draw: st.DrawFn, view: View, tensor: Tensor) -> tuple[View, Tensor]:
    """One random layout operator on both."""
    dim = draw(st.integers(0, view.rank - 1)) if view.rank else 0
    kind = draw(st.sampled_from(["permute", "slice", "select", "unsqueeze", "expand", "squeeze", "flip"]))
    if view.rank == 0 or kind == "unsqueeze":
        place = draw(st.integers(0, view.rank))
        return view.unsqueeze(place), tensor.unsqueeze(place)
    if kind == "permute":
        order = draw(st.permutations(range(view.rank)))
        return view.permute(order), tensor.permute(order)
    if kind == "slice":
        start = draw(st.integers(0, view.shape[dim] - 1))
        step = draw(st.integers(1, 3))
        length = len(range(start, view.shape[dim], step))
        return view.slice(dim, start, length, step), torch.narrow_copy(
            tensor, dim, start, view.shape[dim] - start
        ).index_select(dim, torch.arange(0, view.shape[dim] - start, step))
    if kind == "select":
        index = draw(st.integers(-view.shape[dim], view.shape[dim] - 1))
        return view.select(dim, index), tensor.select(dim, index)
    if kind == "flip":
        return view.slice(dim, view.shape[dim] - 1, view.shape[dim], -1), tensor.flip(dim)
    if kind == "squeeze":
        return view.squeeze([dim]), tensor.squeeze(dim)
    shape = (draw(st.integers(1, 2)), *(draw(st.integers(1, 3)) if n == 1 else n for n in view.shape))
    return view.broadcast(shape), tensor.expand(shape)


@st.composite
def views(draw: st.DrawFn) -> tuple[View, Tensor]:
    """A random chain of layout operators."""
    view, tensor = whole(draw(SHAPES))
    for _ in range(draw(st.integers(0, 5))):
        if view.rank < 5:
            view, tensor = moved(draw, view, tensor)
    return view, tensor


@settings(deadline=None, max_examples=200)
@given(views())
def test_a_chain_of_layout_operators_reads_the_words_that_torch_reads(pair: tuple[View, Tensor]) -> None:
    view, tensor = pair
    assert view.shape == tuple(tensor.shape)
    assert np.array_equal(view.addresses(), tensor.numpy())


@settings(deadline=None, max_examples=200)
@given(views(), st.data())
def test_a_reshape_is_affine_or_refused(pair: tuple[View, Tensor], data: st.DataObject) -> None:
    view, tensor = pair
    factors = [p for n in view.shape for p in ([2, 2] if n == 4 else [n])]
    shape: list[int] = [1]
    for factor in data.draw(st.permutations(factors)) if data.draw(st.booleans()) else factors:
        if data.draw(st.booleans()):
            shape.append(factor)
        else:
            shape[-1] *= factor
    result = view.reshape(shape)
    strided = torch.as_strided(
        torch.arange(view.extent), view.shape, [max(s, 0) for s in view.strides], view.offset
    )
    if result is not None:
        assert np.array_equal(result.addresses(), tensor.reshape(shape).numpy())
    elif all(s >= 0 for s in view.strides):
        try:
            strided.view(shape)
        except RuntimeError:
            return
        raise AssertionError(f"torch views {view.shape} {view.strides} as {shape}, the view does not")


@settings(deadline=None, max_examples=150)
@given(views(), st.integers(0, 2))
def test_the_normal_form_of_a_node_walks_the_same_words_in_the_same_order(
    pair: tuple[View, Tensor], folds: int
) -> None:
    view, _ = pair
    folds = min(folds, view.rank)
    out, reduce = view.shape[: view.rank - folds], view.shape[view.rank - folds :]
    builder = Builder()
    builder.input("x", np.zeros(view.extent, np.uint32), (view.extent,), torch.float32)
    fold = Fold.SUM if folds else Fold.NONE
    result = builder.expression(
        [] if folds else [Op.COPY], [view], out, dtype=torch.float32, reduce=reduce, fold=fold
    )
    node = builder.nodes[result.source_id]
    assert (node.extent, node.terms) == (math.prod(out), math.prod(reduce))
    assert 1 not in (*node.out, *node.reduce)
    loops = itertools.product(*(range(n) for n in (*node.out, *node.reduce)))
    walked = [flat_address(node.leaves[0], indices, 0) for indices in loops]
    assert walked == view.addresses().ravel().tolist()
    again = builder.expression(
        [] if folds else [Op.COPY], [view], out, dtype=torch.float32, reduce=reduce, fold=fold
    )
    assert again == result
    assert len(builder.nodes) == 1


@settings(deadline=None, max_examples=6)
@given(
    rate=st.floats(1e-5, 1.0),
    first=st.floats(0.0, 0.999),
    second=st.floats(0.5, 0.9999),
    steps=st.integers(1, 20),
)
def test_the_step_table_holds_what_adam_computes_in_python(
    rate: float, first: float, second: float, steps: int
) -> None:
    captured = capture(
        module=nn.Linear(2, 1),
        loss=nn.functional.mse_loss,
        optimizer=functools.partial(torch.optim.Adam, lr=rate, betas=(first, second)),
        columns={"x": np.ones((2, 2), np.float32), "y": np.ones((2, 1), np.float32)},
        batch=1,
        steps=steps,
    )
    numbers = [
        ((1 - second**t) ** 0.5, -(rate / (1 - first**t))) for t in (float(k + 1) for k in range(steps))
    ]
    table = captured.inputs[-1].view(np.float32).reshape(captured.program.inputs[-1].shape)
    wanted = {np.array(column, np.float32).tobytes() for column in zip(*numbers, strict=True)}
    assert {column.tobytes() for column in table.T.copy()} == wanted


def test_contiguous_strides_are_those_of_torch() -> None:
    for shape in itertools.product((1, 2, 3), repeat=3):
        assert contiguous_strides(shape) == tuple(torch.empty(shape).contiguous().stride())
