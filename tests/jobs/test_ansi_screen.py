"""What a job printed, and what is left of it to show."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runner.jobs.ansi import LONGEST_LINE, LineCleaner, clean

RED, RESET = b"\x1b[31m", b"\x1b[0m"


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (b"plain\n", b"plain\n"),
        ("包子 ready\n".encode(), "包子 ready\n".encode()),
        (b"windows\r\n", b"windows\n"),
        (b"10%\r50%\r100%\n", b"100%\n"),
        (b"10%\r100%\r\nnext\n", b"100%\nnext\n"),
        (b"one\ntwo 1\rtwo 2\nthree\n", b"one\ntwo 2\nthree\n"),
        (b"bad \xff\xfe bytes\n", "bad �� bytes\n".encode()),
        (RED + b"red" + RESET + b"\n", b"red\n"),
        (b"\x1b[2J\x1b[1;1Hover all\n", b"over all\n"),
        (b"\x1b]0;a title\x07text\n", b"text\n"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\n", b"link\n"),
        (b"\x1b(Bset\x1b7saved\x1bc\n", b"setsaved\n"),
        (b"cut \x1b[3\n", b"cut \n"),
        (b"bell\x07 null\x00 back\x08 tab\t.\n", b"bell null back tab\t.\n"),
        ("c1 \x9b31m\n".encode(), b"c1 31m\n"),
        (b"\n\n", b"\n\n"),
    ],
)
def test_without_colours_there_is_nothing_that_a_terminal_obeys(printed: bytes, expected: bytes) -> None:
    assert expected == clean(printed, colors=False)


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (RED + b"red" + RESET + b"\n", RED + b"red" + RESET + RESET + b"\n"),
        (RED + b"red\nplain\n", RED + b"red" + RESET + b"\nplain\n"),
        (b"\x1b[38;5;12mblue\n", b"\x1b[38;5;12mblue" + RESET + b"\n"),
        (b"\x1b[2K\r" + RED + b"over\n", RED + b"over" + RESET + b"\n"),
        (b"\x1b[?25lhidden cursor\n", b"hidden cursor\n"),
    ],
)
def test_with_colours_they_stay_and_end_with_their_line(printed: bytes, expected: bytes) -> None:
    assert expected == clean(printed, colors=True)


@settings(max_examples=300)
@example([b"a", b"\r", b"\x1b", b"\r", b"\x1b", b"\n"])
@given(
    st.lists(
        st.sampled_from([b"a", b"\n", b"\r", "包".encode()[:2], "包".encode(), b"\x1b[31m", b"\x1b", b"["])
    )
)
def test_where_chunks_are_cut_makes_no_difference(pieces: list[bytes]) -> None:
    cut, whole = LineCleaner(colors=True), LineCleaner(colors=True)

    in_pieces = b"".join(cut.feed(piece) for piece in pieces) + cut.rest()

    assert whole.feed(b"".join(pieces)) + whole.rest() == in_pieces


@given(st.binary(max_size=300))
def test_whatever_is_printed_becomes_whole_lines_of_text_that_nobody_obeys(printed: bytes) -> None:
    lines = LineCleaner(colors=False)

    shown = lines.feed(printed) + lines.rest()

    assert shown == b"" or shown.endswith(b"\n")
    assert all(c in "\n\t" or (c >= " " and not "\x7f" <= c <= "\x9f") for c in shown.decode())


def test_a_line_that_is_not_ended_waits_for_its_end() -> None:
    lines = LineCleaner(colors=False)

    assert (b"", b"done\n", b"rest\n", b"") == (
        lines.feed(b"do"),
        lines.feed(b"ne\nrest"),
        lines.rest(),
        lines.rest(),
    )


def test_a_line_without_end_is_shown_in_pieces_and_not_kept() -> None:
    lines = LineCleaner(colors=False)
    printed = "包".encode() * LONGEST_LINE

    shown = lines.feed(printed) + lines.rest()

    assert printed == shown.replace(b"\n", b"")
    assert max(map(len, shown.splitlines())) <= LONGEST_LINE


def test_a_progress_bar_without_end_keeps_its_last_state_alone() -> None:
    lines = LineCleaner(colors=False)
    for percent in range(100_000):
        assert b"" == lines.feed(b"%d%%\r" % percent)

    assert b"99999%\n" == lines.rest()


def test_it_is_quick_enough_for_a_gigabyte() -> None:
    lines = LineCleaner(colors=False)
    chunk = b"a line as long as lines are, in a log that is much too long\n" * 1000
    began = time.perf_counter()
    shown = sum(len(lines.feed(chunk)) for _ in range(500))
    took = time.perf_counter() - began

    assert 500 * len(chunk) == shown
    assert shown / took > 30e6  # bytes per second, on a machine that does something else as well
