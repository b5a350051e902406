"""What is not seen of a job's output, and where what is seen came from."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.jobs.ansi import StrippedText, clean, strip_unseen

PIECES = st.lists(
    st.sampled_from(
        [
            b"a",
            b"b",
            b"[",
            b"]",
            b"m",
            b"\n",
            b"\t",
            b"\0",
            b"\x07",
            b"\x1b",
            b"\x1b[31m",
            b"\x1b]0;t\x07",
            b"\xc2\x85",
        ]
    ),
    max_size=12,
).map(b"".join)


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (b"plain \xc2\xa3", b"plain \xc2\xa3"),
        (b"a\x1b[31mb\x1b[0m", b"ab"),
        (b"a\x1b]8;;http://x\x1b\\b", b"ab"),
        (b"a\0\x07\x08b", b"ab"),
        (b"a\xc2\x85b", b"ab"),
        (b"a\xc2\0\x85b", b"ab"),
        (b"a\x1b[3", b"a"),
        (b"a\xc2", b"a"),
        (b"a\tb\nc\rd", b"a\tb\nc\rd"),
    ],
)
def test_what_is_taken_out_before_output_is_shown_is_gone(printed: bytes, expected: bytes) -> None:
    assert expected == strip_unseen(printed)


@given(PIECES)
def test_of_a_whole_line_that_nothing_draws_over_the_very_same_is_left_as_is_shown(printed: bytes) -> None:
    line = printed.replace(b"\n", b"") + b"\n"

    assert clean(line, colors=False) == strip_unseen(line)


@given(PIECES, st.data())
def test_a_stretch_of_what_is_seen_is_found_in_what_was_printed(printed: bytes, data: st.DataObject) -> None:
    stripped = StrippedText(printed)
    if not stripped.text:
        return
    start = data.draw(st.integers(0, len(stripped.text) - 1))
    end = data.draw(st.integers(start + 1, len(stripped.text)))

    first, last = stripped.within(start, end)

    assert (strip_unseen(printed), stripped.text[start], stripped.text[end - 1]) == (
        stripped.text,
        printed[first],
        printed[last - 1],
    )


def test_no_output_takes_longer_than_its_length() -> None:
    began = time.monotonic()

    left = strip_unseen(b"\xc2" + b"\x1b]\0\0\0" * 10_000 + b"\nx")

    assert (b"\xc2\nx", True) == (left, time.monotonic() - began < 5)
