"""Arguments and options that several commands share, declared once."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import click

from runner.cli.output import write
from runner.errors import MprunError, SpecError, UsageError
from runner.facts import dataclass

Decorated = Callable[..., Any]

# Whether a path can be read is for the loader to say: it says so as a problem, with its code and exit status.
FILE = click.Path(path_type=Path)

workflow_file = click.argument("file", type=FILE)
workflow_files = click.argument("files", metavar="FILE...", type=FILE, nargs=-1, required=True)

_param = click.option(
    "--param",
    "params",
    metavar="NAME=VALUE",
    multiple=True,
    help="Give a parameter of the file its value. May be repeated.",
)
_set = click.option(
    "--set",
    "overrides",
    metavar="KEY.PATH=VALUE",
    multiple=True,
    help="Set any key of the file, as in queues.steamer.maxsize=5. May be repeated.",
)


_context = click.option(
    "--context",
    "contexts",
    metavar="NAME=VALUE",
    multiple=True,
    help="Say what a context is to jobs: github.ref=refs/heads/main, github.event=@event.json. May be repeated.",
)


def values(command: Decorated) -> Decorated:
    """Add `--param`, `--set` and `--context`. The last comes as a param with a dot, which the file does not declare."""

    @functools.wraps(command)
    def called(*args: Any, contexts: Sequence[str], params: Sequence[str], **given: Any) -> Any:
        said = [_said_of_context(each) for each in contexts]
        return command(*args, params=(*params, *said), **given)

    return _param(_set(_context(called)))


def _said_of_context(setting: str) -> str:
    """Return one `--context` with the path of its file made whole, for who runs it again elsewhere."""
    from runner.jobs.contexts.given import wrong_option  # only those who say something wait for it

    if (wrong := wrong_option(setting)) is not None:
        raise UsageError(wrong)
    name, _, value = setting.partition("=")
    names = name.strip().split(".")
    if value.startswith("@") and names[0] == "github" and names[1:2] in ([], ["event"]):
        value = f"@{Path(value[1:]).absolute()}"
    return f"{name.strip()}={value}"


def output_format(forms: Iterable[str]) -> Callable[[Decorated], Decorated]:
    """
    Add `--format`; the first of `forms` is the default.

    What a command refuses is a document too where the form is `json`: a program that reads it has one to read.
    """
    known = list(forms)
    option = click.option(
        "--format",
        "form",
        type=click.Choice(known),
        default=known[0],
        show_default=True,
        help="How to print it.",
    )

    def declare(command: Decorated) -> Decorated:
        return option(_refusing_in_json(command) if "json" in known else command)

    return declare


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line asks of a run, beyond the values of the file."""

    events: Path | None
    report_file: Path | None
    log: Literal["auto", "text", "json"]
    level: str
    progress: bool | None
    quiet: bool
    transport: str | None = None
    output: str | None = None
    junit: Path | None = None
    job: Sequence[str] = ()
    jobs: int | None = None
    only: Sequence[str] = ()
    skip: Sequence[str] = ()
    force: bool = False
    record: bool = True
    bell: bool | None = None
    metrics: Sequence[str] = ()
    html: Path | None = None
    keep_workspace: bool = False
    otel: bool = False


class WithArguments(click.Command):
    """A command in whose words those behind `--` are for what it runs, and none of its own."""

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """As `click` has it, with what is behind `--`."""
        return [*super().collect_usage_pieces(ctx), "[-- ARG...]"]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take them away before the others are looked at."""
        if "--" in args:
            at = args.index("--")
            args, ctx.meta[_ARGUMENTS] = args[:at], args[at + 1 :]
        return super().parse_args(ctx, args)


_ARGUMENTS = "mprun.arguments"


def arguments_given() -> tuple[str, ...]:
    """Return what stands behind `--` on the command line of a `WithArguments`."""
    return tuple(click.get_current_context().meta.get(_ARGUMENTS, ()))


def _refusing_in_json(command: Decorated) -> Decorated:
    @functools.wraps(command)
    def called(*args: Any, **given: Any) -> Any:
        try:
            return command(*args, **given)
        except MprunError as error:
            if given["form"] == "json":
                write(json.dumps(refusal(error), indent=2, ensure_ascii=False) + "\n")
            raise

    return called


def refusal(error: MprunError) -> dict[str, Any]:
    """Return what a program is told instead of what it asked for: why, and of a wrong file every problem."""
    if not isinstance(error, SpecError):
        return {"error": str(error), "problems": []}
    from runner.render.diagnostics import as_dicts, count_line

    return {"error": count_line(error.diagnostics), "problems": as_dicts(error.diagnostics)}


def examples(*lines: str) -> str:
    """Return the end of a command's help. `\\b` keeps click from wrapping it."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
