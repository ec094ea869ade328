"""`--help` of every command: nothing is cut off, nothing is left unsaid."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from gavel.cli import cli
from gavel.overview import SECTIONS


def _commands(group: click.Group, *above: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*above, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, *above, name)


COMMANDS = dict(_commands(cli))


def test_every_command_stands_in_one_section_of_the_overview() -> None:
    listed = [name for commands in SECTIONS.values() for name in commands]
    assert sorted(listed) == sorted(cli.commands)
    said = CliRunner().invoke(cli, ["--help"], terminal_width=80).output
    assert "..." not in said.partition("Options:")[2]
    for title, commands in SECTIONS.items():
        assert f"\n{title}:\n" in said
        for name, text in commands.items():
            assert any(line.split() == [name, *text.split()] for line in said.splitlines()), name


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_says_what_it_is_for(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            assert parameter.help.rstrip().endswith((".", "]")), parameter.help
    said = CliRunner().invoke(cli, [*path, "-h"])
    assert said.exit_code == 0
    assert said.output.startswith("Usage: ")
