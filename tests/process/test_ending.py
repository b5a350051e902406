"""What the end of a process does, and what it leaves alone."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from pathlib import Path

from runner.process.ending import flush_files, open_descriptors, opened_since


def test_files_are_looked_for_while_other_threads_make_tuples() -> None:
    """CPython fails who makes one of an iterator, if somebody else holds it before it is made."""
    gc.freeze()  # what other tests have left would be looked through too, each time
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


def test_a_file_that_is_opened_later_is_told_from_those_that_were_open_before(tmp_path: Path) -> None:
    with (tmp_path / "old").open("w"):
        before = open_descriptors()
        nothing_new = opened_since(before)
        with (tmp_path / "new").open("w"):
            while_open = opened_since(before)
        after_it = opened_since(before)

    assert (False, True, False) == (nothing_new, while_open, after_it)


def test_a_file_that_takes_the_number_of_one_that_was_closed_is_another(tmp_path: Path) -> None:
    with (tmp_path / "old").open("w") as old:
        number, before = old.fileno(), open_descriptors()
    with (tmp_path / "new").open("w") as new:
        assert (number, True) == (new.fileno(), opened_since(before))
