"""How lines and groups look on a terminal, in a pipe and on GitHub."""

from __future__ import annotations

import pytest

from runner.jobs.dress import MOST_ALIGNED, Dress, GitHubDress, PlainDress, Prefixes, prefixed
from runner.jobs.telling import Said, Tone

GOOD = Said("✓ lint passed", Tone.GOOD)


def group(dress: Dress) -> str:
    return (dress.open_group("lint") + b"checking\n" + dress.close_group() + dress.line(GOOD)).decode()


@pytest.mark.parametrize(
    ("dress", "expected"),
    [
        (PlainDress(), "▸ lint\nchecking\n✓ lint passed\n"),
        (PlainDress(colors=True), "\x1b[1m▸ lint\x1b[0m\nchecking\n\x1b[32m✓ lint passed\x1b[0m\n"),
        (
            GitHubDress("t0"),
            "::group::lint\n::stop-commands::t0\nchecking\n::t0::\n::endgroup::\n✓ lint passed\n",
        ),
    ],
)
def test_a_group_has_a_heading_what_was_printed_and_its_end(dress: Dress, expected: str) -> None:
    assert expected == group(dress)


def test_what_is_not_in_a_group_is_guarded_on_github_alone() -> None:
    plain, github = PlainDress(), GitHubDress("t0")

    assert (b"", b"") == (plain.guard(), plain.unguard())
    assert (b"::stop-commands::t0\n", b"::t0::\n") == (github.guard(), github.unguard())


def test_a_name_that_looks_like_a_command_is_none() -> None:
    dress = GitHubDress("t0")

    assert "✗ # #[error]boom failed\n" == dress.line(Said("✗ ##[error]boom failed")).decode()
    assert dress.open_group("a\n::error::b").startswith(b"::group::a%0A::error::b\n")


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


def test_each_job_has_a_colour_that_it_keeps() -> None:
    prefixes = Prefixes(colors=True)
    first, second, again = (prefixes.of(job) for job in ("a", "b", "a"))

    assert first == again
    assert first.replace(b"a", b"b") != second


def test_every_line_gets_its_prefix() -> None:
    assert b"a | one\na | \na | two\n" == prefixed(b"one\n\ntwo\n", b"a | ")
