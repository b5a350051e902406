"""How lines and groups look on a terminal, in a pipe and on GitHub."""

from __future__ import annotations

import pytest

from runner.render.lines import Emphasis, OutputLine
from runner.render.style import MOST_ALIGNED, GitHubStyle, OutputStyle, Prefixes, add_prefix

GOOD = OutputLine("✓ lint passed", Emphasis.GOOD)


def group(style: OutputStyle) -> str:
    return (style.open_group("lint") + b"checking\n" + style.close_group() + style.line(GOOD)).decode()


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        (OutputStyle(), "▸ lint\nchecking\n✓ lint passed\n"),
        (OutputStyle(colors=True), "\x1b[1m▸ lint\x1b[0m\nchecking\n\x1b[32m✓ lint passed\x1b[0m\n"),
        (
            GitHubStyle(token="t0"),
            "::group::lint\n::stop-commands::t0\nchecking\n::t0::\n::endgroup::\n✓ lint passed\n",
        ),
    ],
)
def test_a_group_has_a_heading_what_was_printed_and_its_end(style: OutputStyle, expected: str) -> None:
    assert expected == group(style)


def test_what_is_not_in_a_group_is_guarded_on_github_alone() -> None:
    plain, github = OutputStyle(), GitHubStyle(token="t0")

    assert (b"", b"") == (plain.guard(), plain.unguard())
    assert (b"::stop-commands::t0\n", b"::t0::\n") == (github.guard(), github.unguard())


def test_a_name_that_looks_like_a_command_is_none() -> None:
    style = GitHubStyle(token="t0")

    assert "✗ # #[error]boom failed\n" == style.line(OutputLine("✗ ##[error]boom failed")).decode()
    assert style.open_group("a\n::error::b").startswith(b"::group::a%0A::error::b\n")


def test_prefixes_stand_in_one_column_that_only_grows_and_only_so_far() -> None:
    prefixes = Prefixes(colors=False)

    assert ["lint | ", "test (3.11) | ", "lint        | "] == [
        prefixes.of(job).decode() for job in ("lint", "test (3.11)", "lint")
    ]
    assert f"{'x' * 80} | " == prefixes.of("x" * 80).decode()
    assert MOST_ALIGNED + len(" | ") == len(prefixes.of("lint"))


def test_names_in_chinese_stand_in_the_same_column() -> None:
    prefixes = Prefixes(colors=False)

    assert ["测试 | ", "lint | ", "a    | "] == [prefixes.of(job).decode() for job in ("测试", "lint", "a")]


def test_names_of_joined_emoji_or_with_escapes_stand_in_the_same_column() -> None:
    prefixes = Prefixes(colors=False)

    assert ["👨\u200d👩\u200d👧 | ", "❤\ufe0f | ", "a  | ", "\\x1b | ", "a    | "] == [
        prefixes.of(job).decode() for job in ("👨\u200d👩\u200d👧", "❤\ufe0f", "a", "\x1b", "a")
    ]


def test_each_job_has_a_colour_that_it_keeps() -> None:
    prefixes = Prefixes(colors=True)
    first, second, again = (prefixes.of(job) for job in ("a", "b", "a"))

    assert first == again
    assert first.replace(b"a", b"b") != second


def test_every_line_gets_its_prefix() -> None:
    assert b"a | one\na | \na | two\n" == add_prefix(b"one\n\ntwo\n", b"a | ")
