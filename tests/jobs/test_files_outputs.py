"""The output file: lines, heredocs, and the line of each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.jobs.files import MOST_BYTES, Outputs, outputs_by_leg, parse_outputs, read_outputs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("a=1\n", {"a": "1"}),
        ("a=1", {"a": "1"}),
        ("a=\n", {"a": ""}),
        ("a=b=c\n", {"a": "b=c"}),
        ("a= b \n", {"a": " b "}),
        ("a=x<<y\n", {"a": "x<<y"}),
        ("a=1\n\n  \nb=2\n", {"a": "1", "b": "2"}),
        ("a=1\na=2\n", {"a": "2"}),
        ("a=1\r\nb=2\r\n", {"a": "1", "b": "2"}),
        ("a<<END\nx\n\ny=z\nEND\nb=1\n", {"a": "x\n\ny=z", "b": "1"}),
        ("a<<END\nEND\n", {"a": ""}),
        ("a<<=\nx\n=\n", {"a": "x"}),
        ("a<<END\r\nx\r\nEND\r\n", {"a": "x"}),
        ("größe-1=ü\n", {"größe-1": "ü"}),
    ],
)
def test_outputs_are_read_as_they_were_written(text: str, expected: dict[str, str]) -> None:
    assert Outputs(expected) == parse_outputs(text.encode())


@pytest.mark.parametrize(
    ("content", "line", "words", "values"),
    [
        (b"a=1\nnonsense\nb=2\n", 2, "expected name=value", {"a": "1", "b": "2"}),
        (b"a b=1\n", 1, "'a b' is no name", {}),
        (b" a =1\n", 1, "write 'a' without spaces", {}),
        (b"=1\n", 1, "is no name", {}),
        (b"1a=1\n", 1, "begins with a letter", {}),
        (b"x=1\na<<END\nb=2\n", 2, "no line is 'END'", {"x": "1"}),
        (b"a<<\nb\n", 1, "no word comes after 'a<<'", {}),
        (b"1a<<END\nb=1\nEND\nc=2\n", 1, "'1a' is no name", {"c": "2"}),
        (b"a=1\nb=\xff\n", 2, "byte 0xff is not UTF-8", {}),
        (b"a=1\n\nb=\0\n", 3, "NUL", {}),
        (b"a=" + b"x" * MOST_BYTES, 1, "larger than 1 MiB", {}),
    ],
)
def test_a_mistake_has_its_line_and_the_rest_is_read(
    content: bytes, line: int, words: str, values: dict[str, str]
) -> None:
    outputs = parse_outputs(content)

    (mistake,) = outputs.mistakes
    assert (line, values) == (mistake.line, outputs.values)
    assert words in str(mistake)
    assert str(mistake).startswith(f"line {line} of the output file: ")


def test_all_mistakes_are_told_at_once() -> None:
    assert [1, 3] == [mistake.line for mistake in parse_outputs(b"x\na=1\ny\n").mistakes]


def test_a_file_that_nobody_wrote_holds_nothing(tmp_path: Path) -> None:
    assert Outputs() == read_outputs(tmp_path / "none")


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a=1\n")

    assert Outputs({"a": "1"}) == read_outputs(tmp_path / "out")


def test_outputs_of_a_matrix_are_maps_of_its_legs() -> None:
    legs = {"3.11": {"wheel": "a", "size": "1"}, "3.12": {"wheel": "b"}}

    assert {"wheel": {"3.11": "a", "3.12": "b"}, "size": {"3.11": "1"}} == outputs_by_leg(legs)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_][a-z0-9_-]{0,5}", fullmatch=True),
        st.text(st.characters(blacklist_characters="\0\r", codec="utf-8")),
    )
)
def test_any_values_written_as_heredocs_are_read_back(values: dict[str, str]) -> None:
    written = "".join(f"{name}<<~~END~~\n{value}\n~~END~~\n" for name, value in values.items())

    assert Outputs(values) == parse_outputs(written.encode())


@given(st.binary(max_size=80))
def test_no_content_raises(content: bytes) -> None:
    lines = content.count(b"\n") + 1

    assert all(1 <= mistake.line <= lines for mistake in parse_outputs(content).mistakes)
