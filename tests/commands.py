"""Every command that `mprun` has, found in the group of all."""

from __future__ import annotations

from collections.abc import Iterator

import click

from runner.cli.group import cli


def all_commands(command: click.Command = cli, words: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield each command below a group, and that itself, under the words that one types behind `mprun`."""
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from all_commands(below, f"{words} {name}".strip())
