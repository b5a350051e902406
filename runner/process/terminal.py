"""The terminal that a run was started at, as its stdin: whether it may be lent, and how it was before.

stdin ──► TERMINAL, and we are in its foreground ──► a job may have it; SavedTerminal puts its modes back
      ├─► BACKGROUND: it is somebody else's now
      └─► OTHER: a pipe or a file, which a job may read
"""

from __future__ import annotations

import os
import termios
from contextlib import suppress
from enum import Enum
from typing import Any


class StdinState(Enum):
    """What the standard input of this process is."""

    TERMINAL = 1
    """A terminal, in whose foreground this process is."""
    BACKGROUND = 2
    """A terminal that is not for this process to read from now."""
    OTHER = 3
    CLOSED = 4


def look_at_stdin() -> StdinState:
    """Say what it is now."""
    try:
        if not os.isatty(0):
            os.fstat(0)
            return StdinState.OTHER
        return StdinState.TERMINAL if os.tcgetpgrp(0) == os.getpgrp() else StdinState.BACKGROUND
    except OSError:
        return StdinState.CLOSED if not _is_open(0) else StdinState.BACKGROUND


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


class SavedTerminal:
    """The modes of the terminal from when it was first lent, to be put back where a killed worker has not done so."""

    def __init__(self) -> None:
        self._modes: list[Any] | None = None

    def save(self) -> None:
        """Note how it is, once."""
        if self._modes is None:
            with suppress(termios.error, OSError):
                self._modes = termios.tcgetattr(0)

    def restore(self) -> None:
        """Put it back, if it was lent and this process is still in its foreground."""
        if self._modes is not None and look_at_stdin() is StdinState.TERMINAL:
            with suppress(termios.error, OSError):
                termios.tcsetattr(0, termios.TCSADRAIN, self._modes)
