"""Where words go: data on stdout, the rest on stderr; UTF-8 in any locale, colour on a terminal only."""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, TextIO

from runner.errors import MprunError

if TYPE_CHECKING:
    from runner.render.process_main import JobOutputOptions


_AT_ONCE = 200
"""Lines that a pager gets at once."""


def use_utf8() -> None:
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
        discard_output()
        raise MprunError(f"standard output can't be written: {error.strerror}") from error


def page(lines: Iterable[str]) -> None:
    """
    Print lines, on a terminal through $PAGER, or less, as git does; what fits on one screen less leaves standing there.

    Raises what `write` does, and whatever making the lines does.
    """
    is_shown = sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
    if not is_shown or os.environ.get("PAGER", "less").strip() in ("", "cat"):
        for line in lines:
            write(f"{line}\n")
        return
    import click

    os.environ.setdefault("LESS", "FRX")
    rest = iter(lines)
    click.echo_via_pager("".join(f"{line}\n" for line in some) for some in _chunks(rest))


def _chunks(lines: Iterator[str]) -> Iterator[list[str]]:
    while some := list(islice(lines, _AT_ONCE)):
        yield some


def print_message(text: str) -> None:
    """Print a line for people."""
    sys.stderr.write(text + "\n")


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - pathlib is slow to import, and `--help` is measured


def discard_output() -> None:
    """Point streams that can't be written nowhere: Python's own flush at exit would complain of them."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def has_room(stream: TextIO) -> bool:
    """Say whether a write to `stream` goes through at once: not to a terminal that is stopped, nor to a full pipe."""
    poll = select.poll()
    poll.register(stream, select.POLLOUT)
    return bool(poll.poll(0))


def abandon_output() -> None:
    """Point both streams nowhere, with whatever has not been written yet: nobody reads it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def output_mode(mode: str | None, *, quiet: bool, log: str) -> JobOutputOptions:
    """Return how to show what jobs print; `mode` is what `--output` says, `log` what `--log` says.

    On a terminal all jobs stream: whoever sits there wants to see that things move. In a pipe they are grouped: what
    is read later, by a person or in the log of a CI system, is read job by job.
    """
    from runner.render.process_main import JobOutputOptions
    from runner.text import colour_allowed

    live = sys.stdout.isatty() and not in_github(os.environ)
    chosen = mode or ("quiet" if quiet else "stream" if live else "group")
    return JobOutputOptions(
        fd=sys.stdout.fileno(),
        mode=chosen,
        colors=colour_allowed(sys.stdout),
        for_github=in_github(os.environ) and chosen in ("stream", "group"),
        with_log=log != "auto",
    )


def in_github(environ: Mapping[str, str]) -> bool:
    """Whether this runs in GitHub Actions."""
    return environ.get("GITHUB_ACTIONS") == "true"
