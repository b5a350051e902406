"""What `mprun --help` and `mprun --version` print, at once: click alone takes longer to import than Python to start.

cli of group.py ── a test writes it ──► help.txt ──► --help, on a terminal that is wide enough for it
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from runner import __version__

_WIDTH = 80
"""Columns that click fills at the most, however many there are."""
HELP_FILE = os.path.join(os.path.dirname(__file__), "help.txt")  # noqa: PTH118, PTH120 - pathlib is slow to import


def known_answer(argv: Sequence[str]) -> str | None:
    """Return what is to be printed for a command line that asks for help with all, or for the version; else None."""
    if list(argv) == ["--version"]:
        return f"mprun {__version__}\n"
    if list(argv) not in ([], ["--help"], ["-h"]) or _columns() < _WIDTH:
        return None
    try:
        with open(HELP_FILE, encoding="utf-8") as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return None


def _columns() -> int:
    """The width of the terminal, found as click finds it."""
    try:
        columns = int(os.environ.get("COLUMNS", ""))
    except ValueError:
        columns = 0
    if columns > 0:
        return columns
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or _WIDTH  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):
        return _WIDTH
