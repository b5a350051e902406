"""Logs in pieces: whole lines before or behind a byte, however long the log is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.jobs.log_pages import MOST_BYTES, NO_LOG, read_log_page


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "job.log"
    file.write_text("".join(f"line {n}\n" for n in range(1000)))
    return file


def test_the_end_is_shown_first_and_then_page_by_page_what_is_before_it(log: Path) -> None:
    shown: list[str] = []
    before = None
    while before != 0:
        page = read_log_page(log, before=before)
        shown = [*page.lines, *shown]
        before = page.begin

    assert [f"line {n}" for n in range(1000)] == shown


def test_a_page_can_be_gone_forward_from(log: Path) -> None:
    shown: list[str] = []
    after = 0
    while after < log.stat().st_size:
        page = read_log_page(log, after=after)
        shown += page.lines
        after = page.end

    assert [f"line {n}" for n in range(1000)] == shown


def test_only_lines_with_some_words_are_shown(log: Path) -> None:
    assert ("line 998", "line 999") == read_log_page(log, words="LINE 99", most=2).lines
    assert () == read_log_page(log, words="nothing").lines


def test_colours_and_what_was_drawn_over_are_left_out(log: Path) -> None:
    log.write_bytes(b"10%\r50%\r\x1b[32mdone\x1b[0m\nlast, without an end")

    assert ("done", "last, without an end") == read_log_page(log).lines


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert NO_LOG == read_log_page(tmp_path / "none")
    assert NO_LOG == read_log_page(tmp_path)


def test_of_a_line_without_end_a_bounded_piece_is_read(log: Path) -> None:
    log.write_bytes(b"x" * 3 * MOST_BYTES)

    page = read_log_page(log)

    assert MOST_BYTES == len(page.lines[0])
    assert 2 * MOST_BYTES == page.begin


@given(
    lines=st.lists(st.text("ab ", max_size=5), max_size=30), most=st.integers(1, 7), at=st.integers(0, 200)
)
def test_before_and_behind_a_byte_nothing_is_lost(
    lines: list[str], most: int, at: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = tmp_path_factory.mktemp("logs") / "job.log"
    log.write_text("".join(f"{line}\n" for line in lines))

    page = read_log_page(log, most=most)

    assert lines[len(lines) - len(page.lines) :] == list(page.lines)
    assert log.stat().st_size == page.end
    assert read_log_page(log, after=at, most=most).begin <= log.stat().st_size
