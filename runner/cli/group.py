"""The group of all commands: which one is meant, imported when it is used.

argv ──► MprunGroup ──► the command of that name in COMMANDS
             └── a file ──► run
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any, NamedTuple

import click

from runner import __version__


class Entry(NamedTuple):
    """A command, as far as `mprun --help` shows it, which imports none of them."""

    summary: str
    home: str
    """Where it is: `module:attribute`."""


COMMANDS = {
    "run": Entry("Run a workflow. `mprun FILE` does the same.", "runner.cli.run:command"),
    "map": Entry("Run a command for each of many items, as xargs and parallel do.", "runner.cli.map:command"),
    "validate": Entry("Check files and show every problem; start nothing.", "runner.cli.validate:command"),
    "list": Entry("List what a file has to run, and the params it takes.", "runner.cli.jobs.list:command"),
    "plan": Entry("Show every worker and queue that a run would have.", "runner.cli.plan:command"),
    "expand": Entry(
        "Print a file with all that it is put together from, and where each value is from.",
        "runner.cli.files.expand:command",
    ),
    "watch": Entry("Run jobs again whenever files change.", "runner.cli.jobs.watch:command"),
    "test": Entry("Run the tests that stand in workflow files.", "runner.cli.files.test:command"),
    "graph": Entry("Draw the stages and queues.", "runner.cli.graph:command"),
    "schema": Entry(
        "Print the schema of workflows, events, reports or `top`, or its page.", "runner.cli.schema:command"
    ),
    "handlers": Entry("List the kinds of handlers, or explain one.", "runner.cli.handlers:command"),
    "new": Entry("Write a first workflow with a test, or copy an example.", "runner.cli.new:command"),
    "import": Entry(
        "Make an mprun file of a workflow of GitHub, a Taskfile and others.",
        "runner.cli.jobs.importing:command",
    ),
    "dlq": Entry("Look at dead letters, and put them back.", "runner.cli.dead_letters:command"),
    "cache": Entry("Look at what jobs have kept by `cache`, and remove it.", "runner.cli.jobs.cache:command"),
    "ps": Entry("Show the runs under way, with their workers and queues.", "runner.cli.running:ps"),
    "top": Entry("Watch a run on a terminal, and act on it.", "runner.cli.watching.top:command"),
    "stop": Entry("Stop a run, or one of its workers.", "runner.cli.running:stop"),
    "scale": Entry("Give a stage of a run more or fewer workers.", "runner.cli.running:scale"),
    "tap": Entry("Show some of the items that pass in a run.", "runner.cli.watching.tap:command"),
    "dashboard": Entry("Show all runs in a browser, live and past.", "runner.cli.watching.dashboard:command"),
    "history": Entry("List past runs.", "runner.cli.past_runs.history:command"),
    "show": Entry(
        "Show a past run: its end again, its events, its failures.", "runner.cli.past_runs.show:command"
    ),
    "report": Entry("Write the page of a run, to be read and mailed.", "runner.cli.watching.report:report"),
    "plot": Entry("Draw a chart of a run.", "runner.cli.watching.report:plot"),
    "logs": Entry("Show what the handlers or jobs of a run said.", "runner.cli.past_runs.logs:command"),
    "diff": Entry("Compare two past runs; a gate for CI.", "runner.cli.past_runs.diff:command"),
    "resume": Entry("Go on with a run that was killed or stopped.", "runner.cli.past_runs.resume:command"),
    "rerun": Entry("Run a past run again, or what failed of it.", "runner.cli.past_runs.rerun:command"),
    "completion": Entry(
        "Print a script that completes mprun in your shell.", "runner.cli.completion:command"
    ),
}

_HELP = """
Run declarative multi-process workflows.

One YAML file names stages of worker processes and the bounded queues between them. All of it is checked
before anything starts, and every item is accounted for at the end.
"""

_EPILOG = """
\b
Exit codes:
  0      done: every item is accounted for
  1      the run failed
  2      the command line is wrong
  3      the file is not valid, or a handler can't be found
  5      a timeout passed
  6      a past run can't be run again, or gone on with
  70     a bug in mprun
  128+n  ended by signal n (130 is Ctrl-C)

\b
Examples:
  mprun new hello                     write a first workflow
  mprun hello/workflow.yaml           run it
  mprun validate workflows/*.yaml     check files without starting anything
  mprun map -j4 'gzip ${{ item }}' -- *.log
                                      run a command for each of many items
  mprun run --help                    all options of a run
"""


class MprunGroup(click.Group):
    """A group whose commands live in modules of `runner.cli`, and where a file means `run FILE`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].home.partition(":")
        found: click.Command = getattr(import_module(module), attribute)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] in COMMANDS:
            return super().resolve_command(ctx, args)
        if looks_like_file(args[0]):
            return super().resolve_command(ctx, ["run", *args])
        raise click.UsageError(_no_such_command(args[0]), ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:  # noqa: ARG002 - click's
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=entry.summary)
            for name, entry in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        # Where no command fits, what is being typed is the FILE of `mprun FILE`.
        return names or [CompletionItem(incomplete, type="file")]


@click.group(
    cls=MprunGroup,
    help=_HELP,
    epilog=_EPILOG,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="mprun", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def looks_like_file(word: str) -> bool:
    """Tell a file that is meant to be run from a misspelt command."""
    return word == "-" or word.endswith((".yaml", ".yml")) or "/" in word or os.path.lexists(word)


def _no_such_command(word: str) -> str:
    from runner.spec.suggestions import did_you_mean

    return f"no such command or file '{word}'; {did_you_mean(word, COMMANDS)}"
