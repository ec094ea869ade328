"""The Merkle module on chain against Python (C-3), good and bad proofs alike."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.commitments.tree import fold_path, root_of
from tests.support.evm import FastEvm, Handle, Reverted

OUTSIDE = "merkle: index outside the tree"

hashes = st.binary(min_size=32, max_size=32)


@pytest.fixture(scope="module")
def mock() -> Handle:
    return FastEvm().deploy("MerkleMock")


def padded(siblings: list[bytes]) -> bytes:
    return b"".join(siblings)


@st.composite
def proofs(draw: st.DrawFn, highest: int) -> tuple[bytes, int, list[bytes]]:
    path = draw(st.lists(hashes, max_size=highest))
    return draw(hashes), draw(st.integers(0, 2 ** len(path) - 1)), path


@settings(max_examples=100, deadline=None)
@given(proof=proofs(highest=32))
def test_paths_in_memory(mock: Handle, proof: tuple[bytes, int, list[bytes]]) -> None:
    leaf, index, path = proof
    assert mock.call("root_from_path", leaf, index, path) == fold_path(leaf, index, path)


@settings(max_examples=100, deadline=None)
@given(proof=proofs(highest=64))
def test_paths_in_calldata(mock: Handle, proof: tuple[bytes, int, list[bytes]]) -> None:
    leaf, index, path = proof
    root = mock.call("root_from_calldata", leaf, index, len(path), padded(path))
    assert root == fold_path(leaf, index, path)


@pytest.mark.parametrize("levels", [0, 1, 5, 32])
def test_the_index_lies_in_the_tree(mock: Handle, levels: int) -> None:
    path = [bytes([i]) * 32 for i in range(levels)]
    last = 2**levels - 1
    assert mock.call("root_from_path", bytes(32), last, path) == fold_path(bytes(32), last, path)
    for index in (2**levels, 2**levels + last, 2**255, 2**256 - 1):
        with pytest.raises(Reverted) as memory:
            mock.call("root_from_path", bytes(32), index, path)
        with pytest.raises(Reverted) as calldata:
            mock.call("root_from_calldata", bytes(32), index, levels, padded(path))
        assert memory.value.reason == calldata.value.reason == OUTSIDE


def test_no_tree_is_higher_than_64(mock: Handle) -> None:
    for height in (65, 256, 2**256 - 1):
        with pytest.raises(Reverted) as caught:
            mock.call("root_from_calldata", bytes(32), 0, height, bytes(32 * 65))
        assert caught.value.reason == "merkle: height above 64"


def test_siblings_past_the_end_of_calldata_are_refused(mock: Handle) -> None:
    size = 4 + 4 * 32
    args = (bytes(32), 0)
    words = [bytes(32), bytes(32), (2).to_bytes(32, "big"), (4 + 2 * 32).to_bytes(32, "big")]
    # the last two words of calldata, height and position, serve as siblings
    assert mock.call("root_from_calldata_at", *args, 2, 4 + 2 * 32) == fold_path(bytes(32), 0, words[2:])
    for height, pos in [
        (1, size - 31),
        (1, size),
        (3, size - 64),
        (1, 2**255),
        (1, 2**256 - 1),
        (2, 2**256 - 32),
        (3, 2**256 - 64),
    ]:
        with pytest.raises(Reverted):
            mock.call("root_from_calldata_at", *args, height, pos)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_children(mock: Handle, data: st.DataObject) -> None:
    log2 = data.draw(st.integers(0, 6))
    children = data.draw(st.lists(hashes, min_size=2**log2, max_size=2**log2))
    expected = root_of(children)
    assert mock.call("root_of_children", children) == expected
    assert mock.call("root_of_calldata", log2, children) == expected


@pytest.mark.parametrize("log2", range(11))
def test_children_of_every_fanout(mock: Handle, log2: int) -> None:
    children = [i.to_bytes(2) * 16 for i in range(2**log2)]
    assert mock.call("root_of_children", children) == root_of(children)
    assert mock.call("root_of_calldata", log2, children) == root_of(children)


@pytest.mark.parametrize("count", [0, 3, 5, 6, 7, 9, 255, 1023])
def test_children_are_a_power_of_two(mock: Handle, count: int) -> None:
    with pytest.raises(Reverted) as caught:
        mock.call("root_of_children", [bytes(32)] * count)
    assert caught.value.reason == "merkle: children not a power of two"


def test_children_in_calldata_are_bounded(mock: Handle) -> None:
    with pytest.raises(Reverted) as caught:
        mock.call("root_of_calldata", 11, [bytes(32)] * 1024)
    assert caught.value.reason == "merkle: more than 1024 children"
    with pytest.raises(Reverted):
        mock.call("root_of_calldata", 3, [bytes(32)] * 7)
    with pytest.raises(Reverted):
        mock.call("root_of_calldata", 0, [])


def test_gas_of_a_hash(mock: Handle) -> None:
    """Each further level costs about what the module's text says; calldata is left out."""

    def gas(function: str, levels: int) -> int:
        path = [b"\x01" * 32] * levels
        index = 2**levels - 1
        if function == "root_from_path":
            mock.call(function, b"\x01" * 32, index, path)
            data = mock.encode(function, b"\x01" * 32, index, path)
        else:
            mock.call(function, b"\x01" * 32, index, levels, padded(path))
            data = mock.encode(function, b"\x01" * 32, index, levels, padded(path))
        return mock.gas - sum(16 if byte else 4 for byte in data)

    for function, most in (("root_from_path", 420), ("root_from_calldata", 520)):
        assert 184 < (gas(function, 30) - gas(function, 10)) / 20 <= most
