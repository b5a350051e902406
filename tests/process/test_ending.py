"""What the end of a process does, and what it leaves alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from runner.process.ending import flush_files


def test_files_are_looked_for_while_other_threads_make_tuples() -> None:
    """CPython fails who makes one of an iterator, if somebody else holds it before it is made."""
    failed, over = list[BaseException](), threading.Event()

    def make() -> None:
        try:
            while not over.is_set():
                tuple(slowly())
        except SystemError as error:
            failed.append(error)

    def slowly() -> Iterator[object]:
        for _ in range(30):
            yield [object() for _ in range(1000)]

    thread = threading.Thread(target=make)
    thread.start()
    for _ in range(20):
        flush_files(failed.append)
    over.set()
    thread.join()

    assert [] == failed
