"""Where words go: data on stdout, the rest on stderr; UTF-8 in any locale, colour on a terminal only."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

from runner.errors import MprunError


def speak_utf8() -> None:
    """Make both streams take any text. Workers inherit this, so what handlers print is UTF-8 too."""
    # Python has no stream at all where the shell closed it, as `2>&-` does.
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # File names may hold bytes that are no text: better spelt out than a crash.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def write(text: str) -> None:
    """
    Print data, all of it now: what is said on stderr next must come after it.

    Raises:
        BrokenPipeError: the reader has gone.
        MprunError: it could not be written, as on a full disk.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        leave_quietly()
        raise MprunError(f"standard output can't be written: {error.strerror}") from error


def say(text: str) -> None:
    """Print a line for people."""
    sys.stderr.write(text + "\n")


def colour_allowed(stream: TextIO) -> bool:
    """Say whether colour may be used on `stream`: a terminal, and nobody asked for none."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - pathlib is slow to import, and `--help` is measured


def leave_quietly() -> None:
    """Point streams that can't be written nowhere: Python's own flush at exit would complain of them."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
