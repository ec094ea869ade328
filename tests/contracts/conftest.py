"""The court that the tests of one module share, put back after each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.court import CourtWorld


@pytest.fixture(scope="module")
def built() -> CourtWorld:
    return CourtWorld()


@pytest.fixture
def world(built: CourtWorld) -> Iterator[CourtWorld]:
    mark = built.evm.snapshot()
    yield built
    built.evm.revert_to(mark)
