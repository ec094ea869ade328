"""The reference interpreter against an oracle that shares nothing with it: numpy places, MPFR values."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import gmpy2
import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.commitments.canonical import Words
from protocol.numerics.accumulator import EMPTY
from protocol.program import schedule
from protocol.program.address import n_ranges
from tests.support.programs import classifier, counter

Floats = NDArray[np.float32]


def correctly(function: Callable[..., Any], *args: float | Fraction) -> np.float32:
    """One rounding to binary32, by MPFR; zero is +0."""
    with gmpy2.context(gmpy2.context(), precision=24, emin=-148, emax=128, subnormalize=True):
        exact = [gmpy2.mpq(arg) if isinstance(arg, Fraction) else gmpy2.mpfr(arg) for arg in args]
        return np.float32(float(function(*exact)) + 0.0)


def exact_sum(terms: NDArray[Any]) -> np.float32:
    return correctly(gmpy2.mpfr, sum((Fraction(float(t)) for t in terms.ravel()), Fraction(0)))


def matmul(a: Floats, b: Floats) -> Floats:
    """a @ b.T; products of two binary32 are exact in binary64."""
    products = a.astype(np.float64)[:, None, :] * b.astype(np.float64)[None, :, :]
    return np.array([[exact_sum(p) for p in row] for row in products], dtype=np.float32)


def each(function: Callable[..., Any], *arrays: Floats) -> Floats:
    spread = np.broadcast_arrays(*arrays)
    words = [
        correctly(function, *(float(x) for x in xs)) for xs in zip(*(a.flat for a in spread), strict=True)
    ]
    return np.array(words, dtype=np.float32).reshape(spread[0].shape)


def bits(array: NDArray[Any]) -> Words:
    return np.ascontiguousarray(array).ravel().view(np.uint32)


@pytest.mark.parametrize("steps_before", [0, 3])
def test_a_step_of_the_classifier(steps_before: int) -> None:
    example = classifier()
    interpreter = example.interpreter()
    state = list(example.state)
    for step in range(steps_before):
        state = interpreter.run_step(state, step)[1]
    nodes, after = interpreter.run_step(state, steps_before)

    w1, w2 = state[0].view(np.float32).reshape(70, 5), state[1].view(np.float32).reshape(3, 70)
    rows = schedule.rows(example.seed, example.n_rows, example.batch, steps_before)
    x = example.inputs[1].view(np.float32).reshape(7, 5)[rows]
    y = example.inputs[2][rows]
    rate = example.inputs[3].view(np.float32)[steps_before]
    hidden = matmul(x, w1)
    relu = np.maximum(hidden, np.float32(0)) + np.float32(0)
    logits = matmul(relu, w2)
    largest = logits.max(axis=1)
    shifted = each(lambda a, b: a - b, logits, largest[:, None])
    exp = each(gmpy2.exp, shifted)
    partition = np.array([exact_sum(row) for row in exp], dtype=np.float32)
    softmax = each(lambda a, b: a / b, exp, partition[:, None])
    hot = (y[:, None] == np.arange(3)[None, :]).astype(np.uint32)
    gradient = each(lambda a, b: a - b, softmax, hot.astype(np.float32))
    weight_gradient = matmul(gradient.T, relu.T)
    scaled = each(lambda a, b: a * b, weight_gradient, rate)
    updated = each(lambda a, b: a - b, w2, scaled)
    log = each(gmpy2.log, softmax)
    loss = exact_sum(-np.where(hot == 1, log, np.float32(0)))

    expected = [
        bits(x),
        y,
        bits(hidden),
        bits(relu),
        bits(logits),
        bits(largest),
        bits(shifted),
        bits(exp),
        bits(partition),
        bits(softmax),
        hot.ravel(),
        bits(hot.astype(np.float32)),
        bits(gradient),
        bits(weight_gradient),
        bits(scaled),
        bits(updated),
        bits(log),
        bits(np.array([loss], dtype=np.float32)),
        logits.argmax(axis=1).astype(np.uint32),
        np.array([steps_before + 1], dtype=np.uint32),
    ]
    assert len(nodes) == len(expected)
    for label, words, right in zip(example.program.labels, nodes, expected, strict=True):
        assert np.array_equal(words, right), label
    for words, right in zip(after, (bits(w1), bits(updated), expected[-1]), strict=True):
        assert np.array_equal(words, right)


def test_the_loss_falls() -> None:
    example = classifier()
    interpreter, state, losses = example.interpreter(), list(example.state), []
    for step in range(8):
        nodes, state = interpreter.run_step(state, step)
        losses.append(float(nodes[example.program.loss].view(np.float32)[0]))
    assert sum(losses[4:]) < sum(losses[:4])


def test_single_elements_are_the_elements_of_the_step() -> None:
    example = classifier()
    interpreter = example.interpreter()
    nodes, _ = interpreter.run_step(example.state, 0)
    for k, words in enumerate(nodes):
        for index in {0, words.size // 2, words.size - 1}:
            assert interpreter.word(0, k, index, state=example.state, nodes=nodes) == words[index]
        assert interpreter.word(0, k, words.size, state=example.state, nodes=nodes) == 0


def test_prefixes_of_a_fold_lead_to_the_word() -> None:
    example = classifier()
    interpreter = example.interpreter()
    nodes, _ = interpreter.run_step(example.state, 0)
    for k, made in enumerate(example.program.nodes):
        if not made.fold:
            continue
        prefixes = interpreter.accumulators(0, k, 0, state=example.state, nodes=nodes)
        assert len(prefixes) == n_ranges(made, example.range_log2) + 1
        assert prefixes[0] == EMPTY
        assert prefixes[-1].finish(made.fold) == nodes[k][0]
        assert len({prefix.to_bytes() for prefix in prefixes}) > 1


def test_counters_wrap() -> None:
    example = counter(slots=2, start=0xFFFFFFFE)
    interpreter, state = example.interpreter(), list(example.state)
    for step in range(2):
        _, state = interpreter.run_step(state, step)
    assert [int(words[0]) for words in state] == [0, 2]
