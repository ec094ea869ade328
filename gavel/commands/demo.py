"""`gavel demo`."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the story.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Of the model's start, the batches and the cheat."
)
@click.option(
    "--cheat",
    "name",
    metavar="NAME",
    default=None,
    help="What the cheating trainer does; `--cheat list` says what there is.  [default: partial-sum]",
)
@click.option(
    "--step",
    type=int,
    default=None,
    help="The step that it does it in, 120 to 159.  [default: 147]",
)
@click.option(
    "--explain",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Also write the dispute to this file as an HTML page for people.",
)
def demo(as_json: bool, seed: int, name: str | None, step: int | None, page: Path | None) -> None:
    """Play the main job on an embedded chain: train, cheat, catch, slash, finish, claim."""
    from gavel.demo.report import Screen, cheats, show
    from gavel.demo.story import CHEAT_STEP, Narrator, Story
    from gavel.scenarios.cheats import DEFAULT
    from protocol.files import written

    console = Console()
    if name == "list":
        console.print(cheats())
        return
    narrator = Narrator() if as_json else Screen(console)
    with TemporaryDirectory(prefix="gavel-demo-") as folder:
        story = Story(
            seed=seed,
            folder=Path(folder),
            narrator=narrator,
            cheat_name=name or DEFAULT,
            step=CHEAT_STEP if step is None else step,
        )
        report = story.play()
        if page is not None:
            with written(page) as file:
                file.write(story.explanation().encode())
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2))
    else:
        show(console, report)
