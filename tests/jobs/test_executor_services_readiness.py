"""The line that a service is to print, found in a log that grows, without holding the log."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest

from runner.jobs.executor.readiness import LineSearch

MIB = 1024 * 1024


def looks(log: Path, pattern: str, *printed: bytes) -> list[bool]:
    """What each look finds, after each piece was printed."""
    line = LineSearch(str(log), pattern)
    found = []
    for piece in printed:
        with log.open("ab") as file:
            file.write(piece)
        found.append(line.look())
    line.close()
    return found


@pytest.mark.parametrize(
    ("pattern", "printed", "expected"),
    [
        ("^ready", (b"not ready\n", b"ready\n"), [False, True]),
        ("ready now", (b"rea", b"dy n", b"ow"), [False, False, True]),
        ("^ready$", (b"ready\r\n",), [True]),
        ("ready now", (b"\x1b[32mready\x1b[0m now\n",), [True]),
        ("^ready now$", (b"\x1b[1mre\x1b[", b"32mady\x1b[0m now\x1b[0m\n"), [False, True]),
        (r"\x1b\[32mready", (b"\x1b[32mready\x1b[0m now\n",), [True]),
        ("^y", (b"x", b"y"), [False, False]),
        ("one\ntwo", (b"one\n", b"two\n"), [False, True]),
        ("包子", ("包子".encode()[:2], "包子".encode()[2:]), [False, True]),
        ("up", (b"up", b"down"), [True, True]),
        ("up", (b"", b""), [False, False]),
    ],
)
def test_it_is_found_wherever_what_is_printed_is_cut(
    pattern: str, printed: tuple[bytes, ...], expected: list[bool], tmp_path: Path
) -> None:
    assert expected == looks(tmp_path / "log", pattern, *printed)


def test_a_log_that_is_not_there_yet_holds_nothing(tmp_path: Path) -> None:
    line = LineSearch(str(tmp_path / "log"), "x")

    assert (False, False) == (line.look(), line.has_more)


@pytest.mark.parametrize("printed", [b"talk\n", b"talk "])
def test_much_that_was_printed_is_read_bit_by_bit_and_not_held(printed: bytes, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(printed * (8 * MIB // len(printed)) + b"ready now\n")
    line = LineSearch(str(log), "ready now")
    tracemalloc.start()

    found = [line.look()]
    while line.has_more:
        found.append(line.look())

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (True, True) == (found[-1], len(found) > 5)
    assert peak < MIB


def test_every_place_of_a_cut_finds_what_stands_across_it(tmp_path: Path) -> None:
    text = b"x" * 70_000 + b"ready\n"
    missed = []
    for number, (begin, end) in enumerate(pairwise(range(69_998, 70_007))):
        pieces = (text[:begin], text[begin:end], text[end:])
        if not looks(tmp_path / str(number), "xready", *pieces)[-1]:
            missed.append(begin)

    assert [] == missed
