"""Signals to the supervisor: a handler notes the number and wakes the loop; nothing else happens in a handler.

Once the run is over there is no loop to wake: `first_signal_ignored` lets its result be shown.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
            for number in _HANDLED:
                # A shell's `nohup` or background job ignores a signal on purpose: leave that be.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
            _restore_in_forks.append(self._restore_in_fork)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if threading.current_thread() is threading.main_thread():
            for number, handler in self._before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(self._wakeup_before)
            _restore_in_forks.remove(self._restore_in_fork)
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

    def _restore_in_fork(self) -> None:
        signal.set_wakeup_fd(-1)  # nobody in this process reads what came
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._pending.append(signal.Signals(number))


_restore_in_forks: list[Callable[[], None]] = []
"""What gives signals back to whom they were of before ours, the last first."""
_forking = threading.local()


def _before_fork() -> None:
    # All code of handlers in this process runs in other threads; what the main thread forks is ours, and settles it.
    if _restore_in_forks and threading.current_thread() is not threading.main_thread():
        # Until the child has its own handlers no signal may come to it that only ours would note.
        _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)


def _after_fork_in_parent() -> None:
    if (mask := _forking.__dict__.pop("mask", None)) is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _after_fork_in_child() -> None:
    if "mask" in _forking.__dict__:
        while _restore_in_forks:
            _restore_in_forks.pop()()
        _after_fork_in_parent()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)


class NobodyReads(Exception):
    """A signal asks to end, and what is still shown waits for a reader."""


@contextmanager
def first_signal_ignored(
    is_stuck: Callable[[], bool] = lambda: False, *, and_all_after: bool = False
) -> Iterator[None]:
    """Let the first signal that asks to end pass by, for what is nearly over and has its result to show yet.

    The second has its usual effect, so that nobody who does not read holds the process. In a thread other than the
    main one this does nothing. `and_all_after` is for a process that has nothing left to do but to end, with an exit
    code that is written down already: no signal changes that any more.

    Raises:
        NobodyReads: the first came while `is_stuck()`.
    """
    before: dict[signal.Signals, Any] = {}

    def take_back(came: int = 0, _frame: FrameType | None = None) -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came and is_stuck():
            raise NobodyReads

    if threading.current_thread() is threading.main_thread():
        handled = (number for number in _HANDLED if signal.getsignal(number) is not signal.SIG_IGN)
        before.update({number: signal.signal(number, take_back) for number in handled})
    _restore_in_forks.append(take_back)
    try:
        yield
    finally:
        _restore_in_forks.remove(take_back)
        take_back()
        if and_all_after:
            for number in before:
                signal.signal(number, signal.SIG_IGN)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Put the handlers of signals back as they are now, whatever is done to them meanwhile."""
    is_main = threading.current_thread() is threading.main_thread()
    before = [(number, signal.getsignal(number)) for number in _HANDLED] if is_main else []
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
