"""Logs that grow, end, are missing or are much too long."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from holdings import nothing_left

from runner.jobs.log import CHUNK, Tail, last_lines, log_size


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "job.log"


def append(log: Path, text: bytes) -> None:
    with log.open("ab") as file:
        file.write(text)


def test_it_reads_what_was_added_and_then_nothing(log: Path) -> None:
    tail = Tail(str(log))
    append(log, b"one\n")
    first = tail.read()
    append(log, b"two\n")

    assert (b"one\n", b"two\n", b"") == (first, tail.read(), tail.read())
    tail.close()


def test_a_log_that_is_not_there_yet_is_empty(log: Path) -> None:
    tail = Tail(str(log))
    before = tail.read(), tail.left
    append(log, b"late\n")

    assert ((b"", 0), b"late\n") == (before, tail.read())
    tail.close()


def test_it_is_over_when_all_was_read_that_was_there_at_the_end(log: Path) -> None:
    tail = Tail(str(log))
    append(log, b"mine\n")
    tail.end()
    append(log, b"somebody else's\n")
    was_over = tail.is_over

    assert (False, b"mine\n", True, b"") == (was_over, tail.read(), tail.is_over, tail.read())
    tail.close()


def test_it_begins_where_it_is_told(log: Path) -> None:
    append(log, b"attempt 1\n")
    tail = Tail(str(log), start=log_size(str(log)))
    append(log, b"attempt 2\n")

    assert b"attempt 2\n" == tail.read()
    tail.close()


@pytest.mark.parametrize("spoil", [Path.unlink, lambda log: os.truncate(log, 0)])
def test_a_log_that_is_gone_or_shorter_still_comes_to_its_end(log: Path, spoil: object) -> None:
    tail = Tail(str(log))
    append(log, b"text\n")
    tail.end()
    spoil(log)  # type: ignore[operator]
    tail.read()

    assert tail.is_over
    tail.close()


def test_a_log_of_gigabytes_is_read_in_chunks(log: Path) -> None:
    log.touch()
    os.truncate(log, 3 * 2**30)  # a hole: it takes no room on the disk
    tail = Tail(str(log))
    tail.end()

    assert (CHUNK, 3 * 2**30 - CHUNK) == (len(tail.read()), tail.left)
    tail.close()


def test_it_holds_no_descriptor_before_it_reads_and_none_after_it_is_closed(log: Path) -> None:
    append(log, b"text\n")
    with nothing_left():
        with nothing_left():
            tail = Tail(str(log))
        tail.read()
        tail.close()
        tail.close()


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        (b"", 3, []),
        (b"\n\n", 3, []),
        (b"one\ntwo\nthree\n", 2, ["two", "three"]),
        (b"one\ntwo", 5, ["one", "two"]),
        (b"\x1b[31mred\x1b[0m\n\n", 5, ["red"]),
        (b"10%\r100%\n", 5, ["100%"]),
        (b"one\n", 0, []),
        ("unit\u2028separator\n".encode(), 5, ["unit\u2028separator"]),
    ],
)
def test_the_last_lines_are_clean_and_few(log: Path, text: bytes, most: int, expected: list[str]) -> None:
    log.write_bytes(text)

    assert expected == last_lines(str(log), most)


def test_the_last_lines_of_a_log_of_gigabytes_are_read_from_its_end(log: Path) -> None:
    log.touch()
    os.truncate(log, 2 * 2**30)
    append(log, b"\nlast\n")

    assert ["last"] == last_lines(str(log), 1)


@pytest.mark.parametrize("path", [None, "/nowhere/at/all.log"])
def test_without_a_log_there_are_no_last_lines(path: str | None) -> None:
    assert [] == last_lines(path, 5)
