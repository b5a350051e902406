"""The dump of a worker's stacks, cut down to the handler's frames."""

from __future__ import annotations

from runner.text import own_frames
from runner.transports import worker

_HANDLER = '  File "/home/neo/kitchen.py", line 8 in eat\n'
_LOOP = '  File "/somewhere/transports/leased_loops.py", line 113 in consume\n'
_REST = (
    f'  File "{worker.__file__}", line 89 in run\n'
    f'  File "{worker.__file__}", line 39 in work\n'
    '  File "/usr/lib/python3.11/multiprocessing/process.py", line 108 in run\n'
)


def test_what_is_the_same_in_every_worker_is_left_out() -> None:
    head = "Current thread 0x00007fcb12a31b80 (most recent call first):\n"

    assert head + _HANDLER + _LOOP == own_frames(head + _HANDLER + _LOOP + _REST)


def test_a_stack_of_the_handlers_own_thread_is_left_whole() -> None:
    first = "Thread 0x00007fcb12a31b81 (most recent call first):\n" + _HANDLER + "\n"
    second = "Current thread 0x00007fcb12a31b80 (most recent call first):\n" + _HANDLER

    assert first + second == own_frames(first + second + _REST)
    assert second + first == own_frames(second + _REST + first)


def test_nothing_said_is_nothing_shown() -> None:
    assert "" == own_frames("")
