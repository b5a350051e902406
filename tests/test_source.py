"""Reading a file: what can't be read says why, and what can comes with the place of everything in it."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from runner.errors import SpecError
from runner.problems import Problem
from runner.source import MAX_BYTES, Source, read, read_text, read_value
from runner.source_marks import DataPath, Location, Text


def refused(text: str) -> list[Problem]:
    with pytest.raises(SpecError) as caught:
        read_text(text, "w.yaml")
    return list(caught.value.problems)


def refused_file(path: Path, shown: str | None = None) -> Problem:
    with pytest.raises(SpecError) as caught:
        read(path, shown)
    (problem,) = caught.value.problems
    return problem


def test_a_file_is_read_and_called_what_the_user_calls_it(tmp_path: Path) -> None:
    path = tmp_path / "baozi.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: \xe5\x8c\x85\xe5\xad\x90\n")

    source = read(path, "baozi.yaml")

    assert {"name": "包子"} == source.data
    assert ("baozi.yaml", path) == (source.file, source.path)
    assert (1, 7, 2) == _place(source.locate(("name",)))


def test_a_missing_file_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "baozi.yaml").write_text("a: 1")

    problem = refused_file(tmp_path / "baozy.yaml", "baozy.yaml")

    assert ("no-file", "there is no file 'baozy.yaml'") == (problem.code, problem.message)
    assert f"did you mean '{tmp_path / 'baozi.yaml'}'?" == problem.help


def test_a_missing_folder_is_told_without_a_guess(tmp_path: Path) -> None:
    problem = refused_file(tmp_path / "nowhere" / "baozi.yaml", "x")

    assert ("no-file", None) == (problem.code, problem.help)


@pytest.mark.parametrize("name", ["", "bad\0name"])
def test_what_is_no_file_is_unreadable(tmp_path: Path, name: str) -> None:
    assert "unreadable" == refused_file(Path(f"{tmp_path}/{name}")).code


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "secret.yaml"
    path.touch(mode=0o000)

    assert "unreadable" == refused_file(path).code


def test_a_file_over_the_limit_is_refused_without_reading_it_all(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    with path.open("wb") as stream:
        stream.truncate(40 * MAX_BYTES)

    tracemalloc.start()
    problem = refused_file(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert "too-large" == problem.code
    assert peak < 3 * MAX_BYTES


@pytest.mark.parametrize(
    ("content", "line", "column", "words"),
    [
        (b"name: a\nother: \xff\n", 2, 8, "byte 0xff is not"),
        ("包: é".encode("gbk", "ignore"), 1, 1, "byte 0xb0 is not"),
        ("a: 1".encode("utf-16"), 1, 1, "looks like UTF-16"),
    ],
)
def test_what_is_not_utf8_is_told_at_the_byte(
    tmp_path: Path, content: bytes, line: int, column: int, words: str
) -> None:
    path = tmp_path / "w.yaml"
    path.write_bytes(content)

    problem = refused_file(path)

    assert ("not-utf8", line, column) == (problem.code, problem.span.line, problem.span.column)
    assert words in problem.message


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("", "empty-file", 1, 1),
        ("# only a comment\n", "empty-file", 1, 1),
        ("~", "empty-file", 1, 1),
        ("- a\n- b\n", "not-a-mapping", 1, 1),
        ("name:baozi", "not-a-mapping", 1, 1),
        ("a: \0", "control-character", 1, 4),
        ("a: b\n\x1b[31m: c", "control-character", 2, 1),
        ("a: \ud800", "control-character", 1, 4),
        ("a: [1\nb: 2", "yaml-syntax", 1, 4),
    ],
)
def test_what_is_no_workflow_is_told_at_its_place(text: str, code: str, line: int, column: int) -> None:
    (problem,) = refused(text)

    assert (code, line, column) == (problem.code, problem.span.line, problem.span.column)


def test_traps_before_a_syntax_error_are_told_too() -> None:
    problems = refused("a: 1\na: 2\nb: @x\n")

    assert ["duplicate-key", "yaml-syntax"] == [problem.code for problem in problems]


def test_a_value_inside_an_argument_has_its_place_there() -> None:
    text = Text("--set", "a.b=[x, y]")

    node, traps = read_value(text, 4)

    assert (["x", "y"], ()) == (node.data, traps)
    assert (1, 9, 1) == _place(node.items()[1].mark.at_value())


def test_a_value_left_out_is_null() -> None:
    node, _ = read_value(Text("--set", "a="), 2)

    assert node.data is None
    assert (1, 2, 1) == _place(node.mark.at_value())


ODD_TEXT = st.text(
    alphabet=st.one_of(st.sampled_from("ab:-[]{}&*!|>'\"%@`#,?~<= \n\t\r\u2028\x85\ufeff0"), st.characters())
)
YAML_TEXT = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=20,
).map(lambda data: str(yaml.safe_dump({"top": data}, allow_unicode=True)))


@given(st.one_of(ODD_TEXT, YAML_TEXT))
@example('a: "\\U00110000"')
@example("? a\r: b\r\n\u2028c: |\n\n  d\n\n")
@example("\ufeff\ufeffa: 1")
def test_any_text_gives_a_source_or_problems_and_every_place_is_inside_it(text: str) -> None:
    try:
        source = read_text(text, "w.yaml")
    except SpecError as error:
        assert error.problems
        _assert_inside(text, [Location(p.file, p.span, p.snippet) for p in error.problems])
        return
    places = [source.locate(path, part) for path in _paths(source.data) for part in ("key", "value")]
    traps = [Location(p.file, p.span, p.snippet) for p in source.traps]
    _assert_inside(text, [*places, *traps])


@given(ODD_TEXT)
@example('a: "\\U00110000"')
@example('a: "\\ud800"')
def test_the_parser_in_python_is_as_safe_as_that_in_c(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(yaml, "CSafeLoader", raising=False)
        try:
            assert isinstance(read_text(text, "w.yaml"), Source)
        except SpecError as error:
            assert error.problems


@given(YAML_TEXT)
def test_text_in_quotes_or_blocks_comes_back_as_it_was_dumped(text: str) -> None:
    expected = yaml.safe_load(text)

    try:
        found = read_text(text, "w.yaml").data
    except SpecError:
        return
    assert _texts(expected) <= _texts(found)


def _place(location: Location) -> tuple[int, int, int]:
    return location.span.line, location.span.column, location.span.width


def _paths(data: Any, path: DataPath = ()) -> list[DataPath]:
    entries = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [
        path,
        (*path, "missing"),
        *(below for key, value in entries for below in _paths(value, (*path, key))),
    ]


def _texts(data: Any) -> set[str]:
    """Return the texts in values that no reader of YAML could take for anything else."""
    if isinstance(data, str):
        return {data} if data.isalpha() and len(data) > 5 else set()
    entries = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return set().union(*(_texts(entry) for entry in entries))


def _assert_inside(text: str, locations: list[Location]) -> None:
    lines = text.lstrip("\ufeff").replace("\r\n", "\n")
    for wanted in "\r\x85\u2028\u2029":
        lines = lines.replace(wanted, "\n")
    for location in locations:
        line = lines.split("\n")[location.span.line - 1]
        assert line == location.snippet
        assert location.span.column >= 1
        assert 1 <= location.span.width
        assert location.span.column + location.span.width - 1 <= max(len(line), 1)
