"""Signals to the supervisor: a handler notes the number and wakes the loop; nothing else happens in a handler.

Once the run is over there is no loop to wake: `spared_once` lets its result be told.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

_HEEDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SignalInbox:
    """Collects SIGINT, SIGTERM and SIGHUP while it is entered; `wake` becomes readable when one comes.

    Python delivers signals to the main thread alone: entered in another one, this collects nothing.
    """

    def __init__(self) -> None:
        self.wake, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._pending: deque[signal.Signals] = deque()
        self._before: dict[signal.Signals, Any] = {}
        self._wakeup_before = -1

    def __enter__(self) -> SignalInbox:
        if threading.current_thread() is threading.main_thread():
            self._wakeup_before = signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
            for number in _HEEDED:
                # A shell's `nohup` or background job ignores a signal on purpose: leave that be.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(self._wakeup_before)
        os.close(self.wake)
        os.close(self._waker)

    def take(self) -> list[signal.Signals]:
        """Return the signals that came since the last call, in order."""
        try:
            while os.read(self.wake, 512):
                pass
        except BlockingIOError:
            pass
        taken = []
        while self._pending:
            taken.append(self._pending.popleft())
        return taken

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._pending.append(signal.Signals(number))


@contextmanager
def spared_once() -> Iterator[None]:
    """Let the first signal that asks to end pass by, for what is nearly over and has its result to tell yet.

    The second has its usual effect, so that nobody who can't be told holds the process. In a thread other than the
    main one this does nothing.
    """
    before: dict[signal.Signals, Any] = {}

    def take_back(_number: int = 0, _frame: FrameType | None = None) -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    if threading.current_thread() is threading.main_thread():
        heeded = (number for number in _HEEDED if signal.getsignal(number) is not signal.SIG_IGN)
        before.update({number: signal.signal(number, take_back) for number in heeded})
    try:
        yield
    finally:
        take_back()
