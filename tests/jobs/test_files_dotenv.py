"""Dotenv files: what each line means, and the place of each that means nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.jobs.files import MOST_BYTES, parse_dotenv, read_dotenv


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("# only\n\n   # comments\n", {}),
        ("A=1\n", {"A": "1"}),
        ("A=1", {"A": "1"}),
        ("A=", {"A": ""}),
        ("A=\nB=2\n", {"A": "", "B": "2"}),
        ("  A  =  b c  \n", {"A": "b c"}),
        ("export A=1\n", {"A": "1"}),
        ("A=1 # one\n", {"A": "1"}),
        ("A=# none\n", {"A": ""}),
        ("A=a#b\n", {"A": "a#b"}),
        ("A=b=c\n", {"A": "b=c"}),
        ("A=$HOME/${x}\n", {"A": "$HOME/${x}"}),
        ("A='$x \\n # y'\n", {"A": "$x \\n # y"}),
        ('A="two\\nlines" # c\n', {"A": "two\nlines"}),
        ('A="\\t\\r\\\\\\"\\$x"\n', {"A": '\t\r\\"$x'}),
        ('A="a\nb"\nB=1\n', {"A": "a\nb", "B": "1"}),
        ('A="a\\\nb"\n', {"A": "ab"}),
        ("A='a\nb'\n", {"A": "a\nb"}),
        ("A=''\n", {"A": ""}),
        ("A=it's\n", {"A": "it's"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("A=ü 中\n", {"A": "ü 中"}),
    ],
)
def test_variables_are_read(text: str, expected: dict[str, str]) -> None:
    dotenv = parse_dotenv(text, ".env")

    assert (expected, ()) == (dict(dotenv.values), dotenv.diagnostics)


@pytest.mark.parametrize(
    ("text", "line", "column", "width", "words"),
    [
        ("A=1\nnonsense\n", 2, 1, 8, "expected NAME=value"),
        ("A: 1\n", 1, 1, 4, "expected NAME=value"),
        ("1A=1\n", 1, 1, 2, "'1A' is no name"),
        ("A-B=1\n", 1, 1, 3, "'A-B' is no name"),
        ("Ä=1\n", 1, 1, 1, "'Ä' is no name"),
        ("=1\n", 1, 1, 1, "'' is no name"),
        ("A='x\nB=1\n", 1, 3, 2, "this ' is not closed"),
        ('A="x\n', 1, 3, 2, 'this " is not closed'),
        ("A='x' y\n", 1, 6, 2, "something follows the closed quotes"),
        ('A="\\q"\n', 1, 4, 2, "'\\q' is no escape"),
        ("A=1\nA=2\n", 2, 1, 1, "'A' is set twice; first on line 1"),
        ("A=a\0b\n", 1, 4, 1, "NUL"),
    ],
)
def test_each_wrong_line_is_a_problem_with_its_place(
    text: str, line: int, column: int, width: int, words: str
) -> None:
    (diagnostic,) = parse_dotenv(text, "ci.env").diagnostics

    assert ("ci.env", line, column, width) == (
        diagnostic.file,
        diagnostic.span.line,
        diagnostic.span.column,
        diagnostic.span.width,
    )
    assert words in diagnostic.message


def test_all_wrong_lines_are_told_and_the_others_read() -> None:
    dotenv = parse_dotenv("x\nA=1\n2=2\nB=3\n", ".env")

    assert ([1, 3], {"A": "1", "B": "3"}) == (
        [diagnostic.span.line for diagnostic in dotenv.diagnostics],
        dict(dotenv.values),
    )


def test_a_file_is_read_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"\xef\xbb\xbfA=1\n")

    assert {"A": "1"} == read_dotenv(path, ".env").values


def test_a_file_that_is_not_utf8_is_a_problem_at_its_byte(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"A=1\nB=\xe9\n")

    (diagnostic,) = read_dotenv(path, ".env").diagnostics
    assert (2, 3) == (diagnostic.span.line, diagnostic.span.column)


def test_a_file_too_large_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"#" * (MOST_BYTES + 1))

    (diagnostic,) = read_dotenv(path, ".env").diagnostics
    assert "larger than 1 MiB" in diagnostic.message


def test_a_file_that_is_not_there_is_for_the_caller_to_tell(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_dotenv(tmp_path / "none", "none")


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z_][A-Z0-9_]{0,5}", fullmatch=True),
        st.text(st.characters(blacklist_characters="\0\r'", codec="utf-8")),
    )
)
def test_any_values_in_single_quotes_are_read_back(values: dict[str, str]) -> None:
    written = "".join(f"{name}='{value}'\n" for name, value in values.items())

    dotenv = parse_dotenv(written, ".env")

    assert (values, ()) == (dict(dotenv.values), dotenv.diagnostics)


@given(st.text(alphabet="A=1'\"\\ #\n\rexport$-", max_size=40))
def test_any_text_is_read_to_its_end(text: str) -> None:
    lines = text.count("\n") + text.count("\r") + 1

    assert all(1 <= diagnostic.span.line <= lines for diagnostic in parse_dotenv(text, ".env").diagnostics)


def test_of_a_file_that_is_wrong_no_line_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "shadow"
    path.write_text("root:$6$abc:20228::\n" + "K" * 64 + "/==\nA='open\n")

    diagnostics = read_dotenv(path, "shadow").diagnostics

    assert [1, 2, 3] == [diagnostic.span.line for diagnostic in diagnostics]
    assert not any(secret in str(diagnostics) for secret in ("root", "KKK", "open"))
