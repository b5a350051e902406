"""The terminal of the run, lent to a step: its keys go to a pseudo-terminal of the step's own, whose output goes back.

    terminal of the run, raw ══ keys ══► TerminalRelay ══► pty ══► the step: a session, in which it controls the pty
                             ◄══ output ═════┘  ◄═════════════      Ctrl-C, sizes and modes are between it and that

A worker has a session of its own, so that what it starts could not have the terminal itself. Modes of the terminal are
as they were once the relay is closed; if the worker is killed before, the runner puts them back (`SavedTerminal`).
"""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import termios
import tty
from contextlib import suppress

SIZE_LOOK = 0.2
"""Seconds between two looks at the size of the terminal: nobody tells a process of another session."""
_CHUNK = 1 << 16
_OF_TERMINALS = (
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGWINCH,
)
Modes = list[int | list[bytes | int]]


def open_stdin(runner: int) -> int:
    """Open what the process that runs the run reads as its standard input. Raises OSError."""
    path = f"/proc/{runner}/fd/0"
    try:
        return os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:  # a pipe, or a file that may only be read
        return os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)


class TerminalRelay:
    """A pseudo-terminal for one step, joined to a terminal. To be pumped, and closed."""

    def __init__(self, terminal: int) -> None:
        """Take over an open terminal. Raises OSError, termios.error."""
        self._terminal = terminal
        self._modes = termios.tcgetattr(terminal)
        self._master, self.slave = pty.openpty()
        os.set_blocking(self._master, False)
        with suppress(termios.error):
            termios.tcsetattr(self.slave, termios.TCSANOW, self._modes)
        self._size = b""
        self._look_at_size()
        self._unsent = b""
        self._is_hung_up = self._is_deaf = False
        tty.setraw(terminal, termios.TCSANOW)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What to wait for."""
        shown = () if self._is_hung_up else (self._master,)
        return shown if self._unsent or self._is_deaf else (*shown, self._terminal)

    def started(self) -> None:
        """The step has its end: when it and all others have closed it, nothing more comes."""
        os.close(self.slave)
        self.slave = -1

    def pump(self, ready: set[int]) -> None:
        """Pass on what there is in both directions."""
        self._look_at_size()
        if self._terminal in ready and not self._unsent:
            with suppress(OSError):
                self._unsent = os.read(self._terminal, _CHUNK)
            self._is_deaf = not self._unsent  # it is gone
        if self._unsent:
            with suppress(OSError):
                self._unsent = self._unsent[os.write(self._master, self._unsent) :]
        if self._master in ready:
            self._show()

    def close(self) -> None:
        """Show what is left, and give the terminal back as it was."""
        while self._show():
            pass
        with suppress(termios.error, OSError):
            termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._modes)
        for descriptor in (self._master, self.slave, self._terminal):
            if descriptor >= 0:
                os.close(descriptor)

    def _show(self) -> bool:
        try:
            chunk = os.read(self._master, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # nobody has the other end any more
            self._is_hung_up = True
            return False
        rest = chunk
        with suppress(OSError):
            while rest:
                rest = rest[os.write(self._terminal, rest) :]
        return bool(chunk)

    def _look_at_size(self) -> None:
        with suppress(OSError):
            size = fcntl.ioctl(self._terminal, termios.TIOCGWINSZ, b"\0" * 8)
            if size != self._size:
                self._size = size
                fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)


def take_control() -> None:
    """Called in a child that leads a session, and has the pseudo-terminal as its stdin: make that its own."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    for number in _OF_TERMINALS:  # a worker takes no notice of some, which a program would inherit
        signal.signal(number, signal.SIG_DFL)
