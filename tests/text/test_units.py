"""Durations and sizes: every way to write one, and everything that is none."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.units import (
    DURATION_PATTERN,
    SIZE_PATTERN,
    counted,
    duration,
    format_duration,
    format_rate,
    format_size,
    rate,
    size,
)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("300ms", 0.3),
        ("1.5s", 1.5),
        ("2m", 120.0),
        ("1h30m", 5400.0),
        ("1h1m1s1ms", 3661.001),
        ("0s", 0.0),
        ("5ms", 0.005),
        ("1m5ms", 60.005),
        (2, 2.0),
        (0.5, 0.5),
        (0, 0.0),
    ],
)
def test_a_duration_is_read_in_seconds(written: str | float, seconds: float) -> None:
    assert seconds == pytest.approx(duration(written))


@pytest.mark.parametrize(
    "written",
    [
        "",
        "5",
        "s",
        "1.s",
        ".5s",
        "-1s",
        "1s1m",
        "1d",
        "1 h",
        "fast",
        "９s",
        -1,
        True,
        math.nan,
        math.inf,
        None,
        "9" * 400 + "h",
    ],
)
def test_what_is_no_duration_is_refused_with_examples(written: object) -> None:
    with pytest.raises(ValueError, match="expected a duration such as 300ms") as caught:
        duration(written)  # type: ignore[arg-type]

    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("64KiB", 65536),
        ("10MB", 10_000_000),
        ("1.5GiB", 1610612736),
        ("7B", 7),
        ("1TB", 10**12),
        (1024, 1024),
    ],
)
def test_a_size_is_read_in_bytes(written: str | float, amount: int) -> None:
    assert amount == size(written)


@pytest.mark.parametrize(
    "written", ["", "5", "KB", "5 KB", "5kb", "-5KB", "5PB", -1, False, math.nan, "9" * 400 + "TB"]
)
def test_what_is_no_size_is_refused_with_examples(written: object) -> None:
    with pytest.raises(ValueError, match="expected a size such as 1024B"):
        size(written)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "often", "shortest"),
    [
        ("20/s", 20, "20/s"),
        ("5/10s", 0.5, "30/m"),
        ("100/m", 5 / 3, "100/m"),
        ("1/ms", 1000, "1000/s"),
        ("7/h", 7 / 3600, "7/h"),
        ("1/d", 1 / 86400, "1/d"),
        (2.5, 2.5, "150/m"),
    ],
)
def test_a_rate_is_read_by_the_second_and_written_as_short_as_it_can_be(
    written: str | float, often: float, shortest: str
) -> None:
    assert (pytest.approx(often), shortest) == (rate(written), format_rate(rate(written)))


@pytest.mark.parametrize(
    "written", ["", "20", "/s", "20/", "20 /s", "20/x", "0/s", "5/0s", 0, -1, True, math.nan]
)
def test_what_is_no_rate_is_refused_with_examples(written: object) -> None:
    with pytest.raises(ValueError, match="expected a rate such as 20/s"):
        rate(written)  # type: ignore[arg-type]


@given(st.floats(min_value=1e-4, max_value=1e6))
def test_a_written_rate_reads_back(often: float) -> None:
    assert rate(format_rate(often)) == pytest.approx(often, rel=1e-3)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0s"),
        (0.3, "300ms"),
        (0.0005, "0.5ms"),
        (0.9999999, "1s"),
        (1.5, "1.5s"),
        (59.9999999, "1m"),
        (90, "1m30s"),
        (5400, "1h30m"),
        (3661.5, "1h1m1.5s"),
        (36000, "10h"),
    ],
)
def test_a_duration_is_written_as_short_as_it_can_be(seconds: float, written: str) -> None:
    assert written == format_duration(seconds)


@given(st.floats(min_value=0.000001, max_value=1e8))
def test_a_written_duration_reads_back(seconds: float) -> None:
    assert duration(format_duration(seconds)) == pytest.approx(seconds, rel=1e-3, abs=1e-6)


@given(st.one_of(st.text(), st.from_regex(r"[0-9.]{0,4}(h|m|s|ms)?[0-9]{0,2}(m|s|ms)?", fullmatch=True)))
def test_the_schema_pattern_and_the_reader_agree_on_durations(text: str) -> None:
    matches = re.fullmatch(DURATION_PATTERN, text.strip()) is not None

    assert matches == _accepts(duration, text)


@given(st.one_of(st.text(), st.from_regex(r"[0-9.]{0,4}[KMGT]?i?B?", fullmatch=True)))
def test_the_schema_pattern_and_the_reader_agree_on_sizes(text: str) -> None:
    matches = re.fullmatch(SIZE_PATTERN, text.strip()) is not None

    assert matches == _accepts(size, text)


def _accepts(read: object, text: str) -> bool:
    try:
        read(text)  # type: ignore[operator]
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1KB"),
        (1024, "1KiB"),
        (2_000_000, "2MB"),
        (2 << 20, "2MiB"),
        (1_900_000, "1.8MiB"),
    ],
)
def test_a_size_is_shown_as_it_may_have_been_written(amount: int, expected: str) -> None:
    assert expected == format_size(amount)


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0 letters"), (1, "1 letter"), (2, "2 letters"), (1000, "1,000 letters")]
)
def test_one_is_no_plural(number: int, expected: str) -> None:
    assert expected == counted(number, "letter")
