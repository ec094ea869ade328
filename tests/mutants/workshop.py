"""A copy of the project in which one place at a time is changed, and tests are run on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parents[2]
_COPIED: Final = ("protocol", "prover", "challenger", "gavel", "contracts_vyper", "tests", "benchmarks")
_LINKED: Final = ("specs", "pyproject.toml", "README.md")
_OPTIONS: Final = ("-x", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=no", "-rfE")
_LIMIT: Final = 300
"""Seconds for one run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One bug that somebody could have written.

    Attributes:
        name: what it does.
        file: from the root of the project.
        old: text that stands there exactly once; new: what stands there instead.
        test: node id of a test that must fail then.
    """

    name: str
    file: str
    old: str
    new: str
    test: str


class Workshop:
    """The copy. Compiled files come along, so that a run imports as fast as the project itself."""

    def __init__(self, folder: Path) -> None:
        """Copy what tests need.

        Args:
            folder: empty.
        """
        self.folder = folder
        for name in _COPIED:
            shutil.copytree(HERE / name, folder / name, ignore=shutil.ignore_patterns(".hypothesis"))
        for name in _LINKED:
            (folder / name).symlink_to(HERE / name)

    def failed(self, mutant: Mutant, *tests: str) -> list[str]:
        """Run tests, or the mutant's own, with the mutant in place; return the node ids of those that failed.

        Raises:
            AssertionError: the text to change is not there once, or the tests cannot be run.
        """
        place = self.folder / mutant.file
        text = place.read_text()
        assert text.count(mutant.old) == 1, f"{mutant.name}: {mutant.file} has changed; adapt the mutant"
        place.write_text(text.replace(mutant.old, mutant.new))
        try:
            return self._run(list(tests or (mutant.test,)))
        finally:
            place.write_text(text)

    def close(self) -> None:
        """Remove the copy."""
        shutil.rmtree(self.folder)

    def _run(self, tests: list[str]) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *_OPTIONS, *tests],
            cwd=self.folder,
            env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
        )
        assert done.returncode in {0, 1}, f"tests {tests} cannot be run:\n{done.stdout}\n{done.stderr}"
        lines = [line.split() for line in done.stdout.splitlines()]
        return [line[1] for line in lines if line[:1] in (["FAILED"], ["ERROR"])]
