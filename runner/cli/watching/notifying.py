"""Telling somebody what becomes of a run, from the command line: `notify` of the file and of the user, and the bell.

plan.notify + user's notify ──► Notifier, beside the run ──► finish: wait for it, and say who could not be told
no run after all ─────────────► the user's alone, as the file is not to be trusted
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import click

from runner.cli.options import refusal
from runner.cli.output import print_message
from runner.errors import MprunError
from runner.spec.notify import NotifySpec
from runner.text import visible
from runner.units import rough_duration

if TYPE_CHECKING:
    from runner.events.report import Report
    from runner.watch.notifier import Notifier

_WITHOUT_OSC = frozenset({"", "dumb", "linux"})
_ENDINGS = {"done": "done in", "failed": "failed after", "interrupted": "interrupted after"}

Kinds = Callable[[], Sequence[Mapping[str, Any]]]


def open_notifier(entries: Sequence[NotifySpec], kinds: Kinds = lambda: ()) -> Notifier | None:
    """Start what tells of a run, before any worker; None where nobody is to be told, or nobody can be."""
    if not entries:
        return None
    from runner.watch.notifier import Notifier  # for those who have some

    try:
        return Notifier(entries, kinds)
    except OSError as error:
        print_message(f"mprun: notify: nobody will be told: {error.strerror}")
        return None


def finish_notifier(notifier: Notifier | None, *, quiet: bool) -> None:
    """Wait until everybody was told, and say who could not be, in a line each."""
    if notifier is None:
        return

    def say() -> None:
        if not quiet:
            with contextlib.suppress(OSError):
                print_message("mprun: waiting for what `notify` runs, 10s at most; Ctrl-C ends it")

    notifier.finish(say)
    for trouble in notifier.troubles:
        print_message(f"mprun: {visible(trouble)}")


def tell_refused(notifier: Notifier | None, error: BaseException, *, quiet: bool) -> None:
    """Tell that there is no run, or none any more, and why. Whoever raised it is not held up beyond the bound."""
    from runner.events.run import RunRefused

    if notifier is None:
        return
    if isinstance(error, click.exceptions.Exit) and error.__cause__ is not None:
        error = error.__cause__  # it has been said in a format for machines
    if isinstance(error, MprunError):
        told, code = refusal(error), int(error.exit_code)
    elif isinstance(error, click.ClickException):
        told, code = {"error": error.format_message(), "problems": []}, error.exit_code
    else:
        told, code = {"error": f"{type(error).__name__}: {error}", "problems": []}, 1
    notifier.observe(RunRefused(exitcode=code, **told).stamped(time.time(), ""))
    finish_notifier(notifier, quiet=quiet)


def ring(report: Report, stream: TextIO) -> None:
    """Ring the bell of a terminal, and have those that can show a message of the desktop; nothing where it is none."""
    if not stream.isatty():
        return
    ending = _ENDINGS.get(report.outcome, "ended after")
    text = visible(f"{report.workflow} {ending} {rough_duration(report.seconds)}")
    message = "" if os.environ.get("TERM", "") in _WITHOUT_OSC else f"\x1b]9;{text}\x07"
    stream.write(f"{message}\a")
    stream.flush()
