"""The terminal that `mprun top` has to itself: keys one by one, the alternate screen, and all of it given back.

    TopTerminal ── wait ──► keys · a new size · that it is to end
                └─ show ──► lines, from the upper left corner, in one write

Signal handlers only note that there was one. Whatever ends `top`, the modes of the terminal are those of before, but
where nobody can see to it: after SIGKILL.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from types import FrameType, TracebackType
from typing import Any, Self

from runner.errors import UsageError
from runner.render.top.drawing import ENTER_SCREEN, LEAVE_SCREEN, frame

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NOTED = (*_ENDING, signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)
_MOST_BYTES = 1024


class TopTerminal:
    """Entered, it is ours: no echo, keys at once, another screen. Left, it is as it was."""

    def __init__(self) -> None:
        self.is_ending = False
        """Whether a signal has asked for the end."""
        self.is_stale = True
        """Whether what is shown may be gone: at first, after a resize, after it was stopped."""
        self._out = sys.stdout.fileno()
        self._keys = _keyboard()
        self._before: list[Any] | None = None
        self._handlers: dict[signal.Signals, Any] = {}
        self._wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup_before = -1
        self._signals: set[int] = set()

    def __enter__(self) -> Self:
        self._wakeup_before = signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        self._handlers = {number: signal.signal(number, self._note) for number in _NOTED}
        self._take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        for descriptor in (self._wake, self._waker):
            os.close(descriptor)

    def size(self) -> tuple[int, int]:
        """Return its columns and rows."""
        columns, rows = os.get_terminal_size(self._out)
        return columns, rows

    def show(self, lines: Sequence[str]) -> None:
        """Show lines, and nothing else."""
        self.is_stale = False
        self._write(frame(lines))

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Give it back for as long as another program has it. A Ctrl-C is that program's then."""
        self._give_back()
        try:
            yield
        finally:
            self._signals.discard(signal.SIGINT)
            self._take()
            self.is_stale = True

    def wait(self, seconds: float, *others: int) -> str:
        """Wait for keys, a signal, or something to read from others, so long at the most; return what was typed."""
        watched = [self._keys, self._wake, *(fd for fd in others if fd >= 0)]
        ready, _, _ = select.select(watched, [], [], max(seconds, 0.0))
        if self._wake in ready:
            with contextlib.suppress(BlockingIOError):
                while os.read(self._wake, _MOST_BYTES):
                    pass
        self._heed_signals()
        if self._keys not in ready:
            return ""
        typed = os.read(self._keys, _MOST_BYTES)
        self.is_ending = self.is_ending or not typed  # the terminal is gone
        return typed.decode("utf-8", "replace")

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._signals.add(number)

    def _heed_signals(self) -> None:
        came, self._signals = self._signals, set()
        self.is_ending = self.is_ending or not came.isdisjoint(_ENDING)
        if signal.SIGTSTP in came:
            self._give_back()
            os.kill(os.getpid(), signal.SIGSTOP)
        if signal.SIGCONT in came or signal.SIGTSTP in came:
            self._take()
        self.is_stale = self.is_stale or bool(came)

    def _take(self) -> None:
        """Make it ours. What a shell has done to it meanwhile does not matter."""
        if self._before is None:
            self._before = termios.tcgetattr(self._keys)
        tty.setcbreak(self._keys, termios.TCSADRAIN)
        self._write(ENTER_SCREEN)

    def _give_back(self) -> None:
        if self._before is not None:
            before, self._before = self._before, None
            with contextlib.suppress(OSError, termios.error):
                self._write(LEAVE_SCREEN)
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._keys, termios.TCSADRAIN, before)

    def _write(self, text: str) -> None:
        rest = text.encode("utf-8", "backslashreplace")
        while rest:
            rest = rest[os.write(self._out, rest) :]


def _keyboard() -> int:
    """Return where keys come from: standard input may be a pipe."""
    if not sys.stdout.isatty():
        raise UsageError("top needs a terminal; `--once` prints what it would show, also as JSON")
    if sys.stdin is not None and sys.stdin.isatty():
        return sys.stdin.fileno()
    try:
        return os.open("/dev/tty", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(
            f"top needs a terminal for its keys ({error.strerror}); `--once` needs none"
        ) from error
