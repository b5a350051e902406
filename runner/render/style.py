"""How lines and groups look where they are shown: on a terminal, in a pipe, in the log of GitHub Actions. Pure.

terminal, pipe                GitHub Actions
▸ lint                        ::group::lint
checking…                     ::stop-commands::f3a9…      what a job prints must not command the runner
✓ lint passed in 3.1s         checking…
                              ::f3a9…::
                              ::endgroup::
                              ✓ lint passed in 3.1s
"""

from __future__ import annotations

from itertools import cycle

from runner.facts import dataclass
from runner.render.github import disarm, workflow_command
from runner.render.lines import Emphasis, OutputLine
from runner.text import cells, pad, visible

_PREFIX_COLOURS = ("36", "35", "34", "33", "32", "96", "95", "94", "93", "92")
MOST_ALIGNED = 24
"""Columns that prefixes are made alike for; a longer name sticks out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputStyle:
    """How text becomes the bytes that are written, here for people: headings and lines, in colour if that is wanted.

    What a job printed goes between `guard` and `unguard`.
    """

    colors: bool = False
    """Also whether what jobs print keeps its colours."""

    def line(self, line: OutputLine) -> bytes:
        """Return a line of our own."""
        return colorize(line.text, line.emphasis, colors=self.colors) + b"\n"

    def open_group(self, title: str) -> bytes:
        """Return what begins the output of one job."""
        return self.line(OutputLine(f"▸ {title}", Emphasis.HEADING))

    def close_group(self) -> bytes:
        """Return what ends it: here nothing, as the line on how the job ended is the end of its group."""
        return b""

    def guard(self) -> bytes:
        """Return what has to come before anything that a job printed, and not in a group: here nobody obeys it."""
        return b""

    def unguard(self) -> bytes:
        """Return what takes `guard` back."""
        return b""


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubStyle(OutputStyle):
    """For the log of GitHub Actions: groups that fold, and a job's output that can't command the runner.

    `token` ends the guard; it must be one that no job can guess.
    """

    token: str

    def line(self, line: OutputLine) -> bytes:
        """Return a line of our own. A job's name or reason in it can't be taken for a command of the older form."""
        return colorize(disarm(line.text), line.emphasis, colors=self.colors) + b"\n"

    def open_group(self, title: str) -> bytes:
        """Open a group and stop listening to commands."""
        return _line(workflow_command("group", title)) + self.guard()

    def close_group(self) -> bytes:
        """Listen to commands again and close the group."""
        return self.unguard() + _line(workflow_command("endgroup"))

    def guard(self) -> bytes:
        """Stop listening to commands."""
        return _line(workflow_command("stop-commands", self.token))

    def unguard(self) -> bytes:
        """Listen to commands again."""
        return _line(workflow_command(self.token))


class Prefixes:
    """What stands before each line of a job where the lines of all are mixed: its name, in a colour of its own."""

    def __init__(self, *, colors: bool) -> None:
        self._colors = colors
        self._cycle = cycle(_PREFIX_COLOURS)
        self._paint: dict[str, str] = {}
        self._width = 0

    def of(self, job: str) -> bytes:
        """Return the prefix. It is as wide as the widest so far, so that most lines stand in one column."""
        if job not in self._paint:
            self._paint[job] = next(self._cycle)
            self._width = max(self._width, min(cells(visible(job)), MOST_ALIGNED))
        text = f"{pad(visible(job), self._width)} |"
        return (f"\x1b[{self._paint[job]}m{text}\x1b[0m" if self._colors else text).encode() + b" "


def colorize(text: str, emphasis: Emphasis, *, colors: bool) -> bytes:
    """Return text as UTF-8, in the colour of its emphasis."""
    shown = f"\x1b[{emphasis}m{text}\x1b[0m" if colors and emphasis else text
    return shown.encode("utf-8", "backslashreplace")


def add_prefix(lines: bytes, prefix: bytes) -> bytes:
    """Put `prefix` before each of some whole lines."""
    return prefix + lines[:-1].replace(b"\n", b"\n" + prefix) + b"\n"


def _line(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace") + b"\n"
