"""`mprun completion`: the script that a shell needs to complete mprun's commands, options and files."""

from __future__ import annotations

import click

from runner.cli.output import write
from runner.errors import UsageError


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> int:
    """Print the script that completes mprun in SHELL.

    Load it when the shell starts, and open a new shell:

    \b
    bash, in ~/.bashrc:
      eval "$(mprun completion bash)"

    \b
    zsh, in ~/.zshrc, after compinit:
      eval "$(mprun completion zsh)"

    \b
    fish, once:
      mprun completion fish > ~/.config/fish/completions/mprun.fish
    """
    from click.shell_completion import get_completion_class

    from runner.cli.group import COMPLETE_VARIABLE, cli

    found = get_completion_class(shell)
    if found is None:
        raise UsageError(f"this version of click has no completion for {shell}")
    write(found(cli, {}, "mprun", COMPLETE_VARIABLE).source())
    return 0
