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

from runner.cli import CLOSE_TIMEOUT, COMPLETE_VARIABLE
from runner.cli.gc_tuning import defer_collection
from runner.cli.help import known_answer
from runner.cli.output import abandon_output, discard_output, print_message, use_utf8, write
from runner.errors import ExitCode, MprunError, MprunInternalError, SpecError

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep  # noqa: PTH120 - pathlib is slow to import


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code. Never raises, whatever the command does.

    Without `argv` this process is the command, from `sys.argv` to its end.
    """
    if argv is not None:
        from runner.process.signals import handlers_kept

        with handlers_kept():
            return _main(argv)
    defer_collection()
    return _main(sys.argv[1:], is_process=True)


def _main(argv: Sequence[str], *, is_process: bool = False) -> int:
    use_utf8()
    try:
        code, bound = _invoke(list(argv))
        if is_process and bound is not None:
            _bound_the_end(bound, code)
        try:
            write("")
        except MprunError:
            if code == ExitCode.DONE:
                raise
        return code
    except BaseException as error:  # the one place where every error becomes an exit code
        return _end_with(error)


def _invoke(argv: list[str]) -> tuple[int, float | None]:
    """Run a command; return its exit code, and how many seconds its handlers' threads may still keep this process."""
    asked = os.environ.get(COMPLETE_VARIABLE)
    if not asked and (answer := known_answer(argv)) is not None:
        write(answer)
        return ExitCode.DONE, None
    from runner.cli.group import cli

    if asked:
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, "mprun", COMPLETE_VARIABLE, asked), None
    with cli.make_context("mprun", argv) as context:
        code = cli.invoke(context)
    return (code if isinstance(code, int) else ExitCode.DONE), context.meta.get(CLOSE_TIMEOUT)


def _bound_the_end(bound: float, code: int) -> None:
    from runner.process.ending import exit_within, lingering

    exit_within(bound, code, lambda names: print_message(f"mprun: {lingering(bound, names)}"))


def _end_with(error: BaseException) -> int:
    try:
        return _explain(error)
    except BrokenPipeError:
        return _explain_broken_pipe()
    except OSError:  # nobody can be told: the terminal is closed, or the disk of the log is full
        abandon_output()
        return error.exit_code if isinstance(error, MprunError) else ExitCode.INTERNAL
    except Exception as worse:
        return _explain_bug(worse)


def _explain(error: BaseException) -> int:
    """Say what went wrong, once, and return the exit code."""
    # By name: a package that Ctrl-C has met as it was imported may lack modules that it has imported.
    from click.exceptions import Abort, ClickException, Exit

    match error:
        case Exit():
            return error.exit_code
        case ClickException():
            error.show()
            return error.exit_code
        case KeyboardInterrupt() | Abort():
            return ExitCode.SIGNAL + 2
        case BrokenPipeError():
            return _explain_broken_pipe()
        case SpecError():
            from runner.cli.checking import print_problems

            print_problems(error.diagnostics)
            return error.exit_code
        case MprunError() if not isinstance(error, MprunInternalError):
            print_message(f"mprun: {error}")
            return error.exit_code
        case FileNotFoundError() if _folder_is_gone():
            print_message("mprun: the folder that mprun was started in has been removed: change to another")
            return ExitCode.USAGE
        case _:
            return _explain_bug(error)


def _folder_is_gone() -> bool:
    try:
        os.getcwd()  # noqa: PTH109 - pathlib is slow to import
    except FileNotFoundError:
        return True
    return False


def _explain_broken_pipe() -> int:
    """Whoever read our output has gone, as `head` does: end as SIGPIPE would have it."""
    discard_output()
    return ExitCode.SIGNAL + 13


def _explain_bug(error: BaseException) -> int:
    import traceback

    if os.environ.get("MPRUN_DEBUG"):
        traceback.print_exception(error)
    own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(_PACKAGE)]
    where = f" at {own[-1].filename.removeprefix(_PACKAGE)}:{own[-1].lineno}" if own else ""
    print_message(f"mprun: internal error: {type(error).__name__}: {error}{where}")
    print_message(
        "  This is a bug in mprun, not in your workflow. Please report it with the command you typed"
    )
    print_message("  and what it prints with MPRUN_DEBUG=1 in the environment.")
    return ExitCode.INTERNAL
