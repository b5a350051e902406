"""What programs read of a run that was refused: the file did not check, or the run could not be started.

error ──► refusal ──► --report FILE           {"error": …, "problems": […]}, as other commands print it
                 ├──► --events FILE           the event run.refused
                 ├──► --log json (stderr)     the same, instead of words for people
                 ├──► --output json (stdout)  the same
                 └──► --junit FILE            one test case, which is an error
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.cli.options import RunOptions, refusal
from runner.cli.output import print_message, write
from runner.errors import ExitCode, MprunError, MprunInternalError, RunFailed

if TYPE_CHECKING:
    from runner.events.run import RunRefused


@contextmanager
def refusals_told(chosen: RunOptions) -> Iterator[None]:
    """Tell whoever reads a format for machines why there is no run after all, and let the error pass.

    Where stderr is for JSON lines alone nothing more is said of it.
    """
    try:
        yield
    except click.ClickException as error:
        _tell({"error": error.format_message(), "problems": []}, error.exit_code, chosen)
        raise
    except MprunError as error:
        _tell(
            refusal(error), error.exit_code, chosen, begun=isinstance(error, RunFailed | MprunInternalError)
        )
        if chosen.log == "json" and not isinstance(error, MprunInternalError):
            raise click.exceptions.Exit(error.exit_code) from error
        raise
    except Exception as error:
        text = f"internal error: {type(error).__name__}: {error}"
        _tell({"error": text, "problems": []}, ExitCode.INTERNAL, chosen, begun=True)
        raise


def _tell(told: dict[str, Any], code: int, chosen: RunOptions, *, begun: bool = False) -> None:
    """`begun`: the file of events is this run's own already, and something may be in it."""
    from runner.events.run import RunRefused
    from runner.render.log import event_line

    event = RunRefused(exitcode=int(code), **told).stamped(time.time(), "")
    line = event_line(event)
    writers: list[tuple[str, Path | None, Callable[[Path], object]]] = [
        ("JUnit file", chosen.junit, partial(_write_junit, event)),
        ("file of events", chosen.events, partial(_write_line, line, append=begun)),
        ("report", chosen.report_file, partial(_write_json, told)),
    ]
    for what, path, write_to in writers:
        try:
            if path is not None:
                write_to(path)
        except OSError as error:
            if chosen.log != "json" and str(path) not in told["error"]:  # it may be why there is no run
                print_message(f"mprun: the {what} '{path}' can't be written: {error.strerror}")
    if chosen.log == "json":
        sys.stderr.write(line.decode("utf-8", "backslashreplace"))
    if chosen.output == "json":
        write(line.decode("utf-8", "backslashreplace"))


def _write_line(line: bytes, path: Path, *, append: bool) -> None:
    kept = os.O_APPEND if append else os.O_TRUNC
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | kept, 0o666), "wb") as file:
        file.write(line)


def _write_json(told: dict[str, Any], path: Path) -> None:
    text = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def _write_junit(event: RunRefused, path: Path) -> None:
    from runner.render.junit import refused

    path.write_bytes(refused(event))
