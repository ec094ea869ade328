"""Where anvil cannot be had, its tests say why they did not run, and nothing else goes wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support import anvil


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which nothing is installed yet."""
    monkeypatch.setattr(anvil, "FOLDER", tmp_path / "anvil")
    monkeypatch.setattr(anvil, "DONE", tmp_path / "anvil/installed")
    return tmp_path


def _reason() -> str:
    with pytest.raises(pytest.skip.Exception) as skipped:
        anvil.binary.__wrapped__()
    return str(skipped.value)


def test_without_npm_it_is_said(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(bare))
    assert _reason() == "anvil is not here: there is no npm or node to get it with"


def test_without_a_registry_it_is_said(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("npm") is None:
        pytest.skip("there is no npm to be without a registry")
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_cache", str(bare / "cache"))
    assert _reason().startswith("anvil is not here: npm could not get it (npm error")
    assert not (bare / "anvil/installed").exists()  # and it is tried again
