"""The command `mprun`: runs what the command line asks for, and turns errors into words and exit codes.

    argv ──► main ──► group.cli ──► a command
               ▲                        │
               └── exit code ◄── errors ┘

A worker that is spawned, not forked, imports this module again: so nothing slow is imported at the top, not
even click.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from runner.cli.collector import hold_off
from runner.cli.output import leave_quietly, say, speak_utf8, write
from runner.errors import ExitCode, MprunError, MprunInternalError, SpecError

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep  # noqa: PTH120 - pathlib is slow to import


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code. Never raises, whatever the command does.

    Without `argv` this process is the command, from `sys.argv` to its end.
    """
    if argv is None:
        hold_off()
    speak_utf8()
    try:
        code = _invoke(list(sys.argv[1:] if argv is None else argv))
        write("")
        return code
    except BaseException as error:  # the one place where every error becomes an exit code
        return _end_with(error)


def _invoke(argv: list[str]) -> int:
    from runner.cli.group import COMPLETE_VARIABLE, cli

    asked = os.environ.get(COMPLETE_VARIABLE)
    if asked:
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, "mprun", COMPLETE_VARIABLE, asked)
    with cli.make_context("mprun", argv) as context:
        code = cli.invoke(context)
    return code if isinstance(code, int) else ExitCode.DONE


def _end_with(error: BaseException) -> int:
    try:
        return _explain(error)
    except BrokenPipeError:
        return _explain_broken_pipe()
    except Exception as worse:
        return _explain_bug(worse)


def _explain(error: BaseException) -> int:
    """Say what went wrong, once, and return the exit code."""
    import click

    match error:
        case click.exceptions.Exit():
            return error.exit_code
        case click.ClickException():
            error.show()
            return error.exit_code
        case KeyboardInterrupt() | click.Abort():
            return ExitCode.SIGNAL + 2
        case BrokenPipeError():
            return _explain_broken_pipe()
        case SpecError():
            from runner.cli.checking import print_problems

            print_problems(error.problems)
            return error.exit_code
        case MprunError() if not isinstance(error, MprunInternalError):
            say(f"mprun: {error}")
            return error.exit_code
        case _:
            return _explain_bug(error)


def _explain_broken_pipe() -> int:
    """Whoever read our output has gone, as `head` does: end as SIGPIPE would have it."""
    leave_quietly()
    return ExitCode.SIGNAL + 13


def _explain_bug(error: BaseException) -> int:
    import traceback

    if os.environ.get("MPRUN_DEBUG"):
        traceback.print_exception(error)
    own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(_PACKAGE)]
    where = f" at {own[-1].filename.removeprefix(_PACKAGE)}:{own[-1].lineno}" if own else ""
    say(f"mprun: internal error: {type(error).__name__}: {error}{where}")
    say("  This is a bug in mprun, not in your workflow. Please report it with the command you typed")
    say("  and what it prints with MPRUN_DEBUG=1 in the environment.")
    return ExitCode.INTERNAL
