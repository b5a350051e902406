"""`mprun completion`: the script that a shell needs to complete mprun's commands, options, files and names of jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.cli import COMPLETE_VARIABLE
from runner.cli.options import examples
from runner.cli.output import write
from runner.errors import UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

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


def complete_jobs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the jobs of FILE that begin so; none where it is no file of jobs, or is not right yet."""
    from click.shell_completion import CompletionItem

    from runner.loader.load import MISSING_PARAM, check

    file = ctx.params.get("file")
    if not isinstance(file, Path) or not file.is_file():
        return []
    spec = check(file, forgiven=frozenset({MISSING_PARAM})).spec
    typed = set(ctx.params.get(param.name or "") or ())
    return [
        CompletionItem(job.name, help=" ".join(job.description.split()))
        for job in (() if spec is None else spec.jobs)
        if job.name.startswith(incomplete) and job.name not in typed
    ]
