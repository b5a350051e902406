"""`mprun completion`: the script that a shell needs to complete mprun's commands, options and files."""

from __future__ import annotations

import click

from runner.cli import COMPLETE_VARIABLE
from runner.cli.options import examples
from runner.cli.output import write
from runner.errors import UsageError

EXAMPLES = examples(
    'eval "$(mprun completion bash)"       in ~/.bashrc',
    'eval "$(mprun completion zsh)"        in ~/.zshrc, after compinit',
    "mprun completion fish > ~/.config/fish/completions/mprun.fish",
)


@click.command(epilog=EXAMPLES)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> int:
    """Print the script that completes mprun in SHELL.

    Load it when the shell starts, as the examples do, and open a new shell.
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is None:
        raise UsageError(f"this version of click has no completion for {shell}")
    group = click.get_current_context().find_root().command
    write(found(group, {}, "mprun", COMPLETE_VARIABLE).source())
    return 0
