"""Each bug of a catalogue, put into a copy of the project, is caught by the test that is named for it.

The same tests pass on the project as it is: they belong to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutants.agents import AGENTS
from tests.mutants.contracts import CONTRACTS
from tests.mutants.workshop import Mutant, Workshop

MUTANTS = (*CONTRACTS, *AGENTS)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    made = Workshop(tmp_path_factory.mktemp("workshop"))
    yield made
    made.close()


def test_there_are_enough_of_them() -> None:
    assert len(MUTANTS) >= 40
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert len({mutant.file for mutant in MUTANTS}) >= 15


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_mutant_is_caught_by_its_test(workshop: Workshop, mutant: Mutant) -> None:
    failed = workshop.failed(mutant)
    assert [name for name in failed if name.startswith(mutant.test)], f"{mutant.test} does not see it"


def test_a_place_that_is_not_there_is_an_error_and_not_a_catch(workshop: Workshop, tmp_path: Path) -> None:
    gone = Mutant(name="none", file="protocol/errors.py", old="no such text", new="", test=str(tmp_path))
    with pytest.raises(AssertionError, match="has changed"):
        workshop.failed(gone)
