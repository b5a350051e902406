"""A bound on how long a regular expression of a user's may take: some come to no end before the sun burns out.

    (a+)+$  on  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!      each `a` more doubles the time

The engine looks for signals while it matches, so a timer can break it off. It counts the time of this process alone, so
that a machine that is busy with others breaks nothing off.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

MOST_SECONDS = 1.0
"""Of the processor's time: what a sane expression needs is a thousandth of that."""
ENDLESS = "it came to no end: something that repeats is repeated, as in (a+)+"


class EndlessPattern(Exception):
    """The time that there was for a match is over."""


@contextmanager
def bounded_matching(seconds: float = MOST_SECONDS) -> Iterator[None]:
    """
    Bound what is matched inside. Not to be nested.

    Only the main thread hears signals: in another one, of a program that has imported mprun, there is no bound.

    Raises:
        EndlessPattern: it took longer.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGVTALRM, _give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)


def _give_up(_number: int, _frame: object) -> None:
    raise EndlessPattern(ENDLESS)
