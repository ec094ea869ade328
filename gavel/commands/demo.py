"""`gavel demo`."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the story.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the model's start and the batches.")
def demo(as_json: bool, seed: int) -> None:
    """Play the main job on an embedded chain: train, cheat, catch, slash, finish, claim."""
    from gavel.demo.report import Screen, show
    from gavel.demo.story import Narrator, Story

    console = Console()
    narrator = Narrator() if as_json else Screen(console)
    with TemporaryDirectory(prefix="gavel-demo-") as folder:
        report = Story(seed=seed, folder=Path(folder), narrator=narrator).play()
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2))
    else:
        show(console, report)
