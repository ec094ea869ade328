"""The committed fixtures are those that `gavel fixtures fill` makes.

Vectors and the job are all made anew; of refusals and disputes some, since test_replay.py plays every
one of them. `GAVEL_PROFILE=long` makes them all, as `gavel fixtures fill --check` does.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from gavel import cli
from gavel.fixtures.fill import Kitchen, Recipe, stale, write
from gavel.fixtures.format import INDEX, index_text, read_index

FOLDER = Path(__file__).resolve().parents[2] / "specs" / "fixtures"
SOME = (
    "refusals/leases",
    "refusals/words",
    "disputes/learning-rate",
    "disputes/stall-steps",
    "disputes/expired",
)
KITCHEN = Kitchen()
RECIPES = list(KITCHEN.recipes())


def made_anew() -> list[Recipe]:
    """Those that this run makes."""
    if os.environ.get("GAVEL_PROFILE") == "long":
        return RECIPES
    played = ("refusals/", "disputes/")
    return [recipe for recipe in RECIPES if not recipe.name.startswith(played) or recipe.name in SOME]


def test_the_index_lists_what_is_made_and_what_is_there() -> None:
    listed = read_index(FOLDER / INDEX)
    assert set(listed) == {f"{recipe.name}.json" for recipe in RECIPES}
    assert {*listed, INDEX} == {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.json")}
    texts = {name: (FOLDER / name).read_bytes() for name in listed}
    assert index_text(texts) == (FOLDER / INDEX).read_text(), "run `gavel fixtures fill`"
    assert sum(map(len, texts.values())) < 6_000_000


@pytest.mark.parametrize("recipe", made_anew(), ids=lambda recipe: recipe.name)
def test_a_fixture_is_not_stale(recipe: Recipe) -> None:
    text = recipe.make(lambda _: None).text()
    assert text == (FOLDER / f"{recipe.name}.json").read_text(), "run `gavel fixtures fill`"


def gavel(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Run the command in this process; returns its status."""
    monkeypatch.setattr("sys.argv", ["gavel", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_the_command_says_what_is_stale_and_puts_it_right(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    copied = tmp_path / "fixtures"
    shutil.copytree(FOLDER / "numerics", copied / "numerics")
    command = ("fixtures", "fill", "--only", "numerics/", "--out", copied)
    assert gavel(monkeypatch, *command) == 0
    assert f"31 files in {copied}, 1 of them changed" in capsys.readouterr().out
    assert gavel(monkeypatch, *command, "--check") == 0
    (copied / "numerics" / "add.json").write_text("{}")
    (copied / "more.json").write_text("{}")
    (copied / "numerics" / "mul.json").unlink()
    assert gavel(monkeypatch, *command, "--check") == 4
    said = capsys.readouterr().out
    for line in (
        "more.json is not made any more",
        "numerics/add.json is another one now",
        "mul.json is missing",
    ):
        assert line in said
    assert gavel(monkeypatch, *command) == 0
    assert not (copied / "more.json").exists()
    assert (copied / "numerics" / "mul.json").read_bytes() == (FOLDER / "numerics" / "mul.json").read_bytes()
    assert gavel(monkeypatch, "fixtures", "fill", "--only", "nothing/", "--out", copied) == 2


def test_writing_touches_only_what_changed(tmp_path: Path) -> None:
    made = {"a/b.json": b"1", INDEX: b"2"}
    assert write(tmp_path, made) == 2
    assert write(tmp_path, made) == 0
    assert stale(tmp_path, made) == []
    assert stale(tmp_path, made | {"c.json": b""}) == ["c.json is missing"]
