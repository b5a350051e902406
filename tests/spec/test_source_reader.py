"""Reading a file: what can't be read says why, and what can comes with the place of everything in it."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from runner.errors import SpecError
from runner.spec.diagnostics import DataPath, LocatedDiagnostic
from runner.spec.source.positions import Location, Text
from runner.spec.source.reader import MAX_BYTES, SourceDocument, read, read_text, read_value


def refused(text: str) -> list[LocatedDiagnostic]:
    with pytest.raises(SpecError) as caught:
        read_text(text, "w.yaml")
    return list(caught.value.diagnostics)


def refused_file(path: Path, shown: str | None = None) -> LocatedDiagnostic:
    with pytest.raises(SpecError) as caught:
        read(path, shown)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def test_a_file_is_read_and_called_what_the_user_calls_it(tmp_path: Path) -> None:
    path = tmp_path / "baozi.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: \xe5\x8c\x85\xe5\xad\x90\n")

    source = read(path, "baozi.yaml")

    assert {"name": "包子"} == source.data
    assert ("baozi.yaml", path) == (source.file, source.path)
    assert (1, 7, 2) == _place(source.locate(("name",)))


def test_a_missing_file_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "baozi.yaml").write_text("a: 1")

    diagnostic = refused_file(tmp_path / "baozy.yaml", "baozy.yaml")

    assert ("no-file", "there is no file 'baozy.yaml'") == (diagnostic.code, diagnostic.message)
    assert f"did you mean '{tmp_path / 'baozi.yaml'}'?" == diagnostic.help


def test_a_missing_folder_is_told_without_a_guess(tmp_path: Path) -> None:
    diagnostic = refused_file(tmp_path / "nowhere" / "baozi.yaml", "x")

    assert ("no-file", None) == (diagnostic.code, diagnostic.help)


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
    diagnostic = refused_file(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert "too-large" == diagnostic.code
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

    diagnostic = refused_file(path)

    assert ("not-utf8", line, column) == (diagnostic.code, diagnostic.span.line, diagnostic.span.column)
    assert words in diagnostic.message


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
        ("a: 1 # note\u2028b: 2", "control-character", 1, 12),
        ("a: 1\nb: |\n  c\x85d\n", "control-character", 3, 4),
        ("a: 'b\u2029c'", "control-character", 1, 6),
        ("a: [1\nb: 2", "yaml-syntax", 1, 4),
    ],
)
def test_what_is_no_workflow_is_told_at_its_place(text: str, code: str, line: int, column: int) -> None:
    (diagnostic,) = refused(text)

    assert (code, line, column) == (diagnostic.code, diagnostic.span.line, diagnostic.span.column)


def test_a_comment_alone_is_told_as_such() -> None:
    (diagnostic,) = refused("# only a comment\n")

    assert "the file holds nothing but comments" == diagnostic.message


@pytest.mark.parametrize(
    "text",
    [
        "a: 1 # one\n",
        "a: !!float # why\n  3.10\n",
        "a: &x # why\n\n  # and\n  3.10\n",
        'a: !!float "3.10"\n',
        "a: !!float &x '3.10'\n",
    ],
)
def test_a_number_is_known_as_it_was_typed_whatever_stands_before_it(text: str) -> None:
    source = read_text(text, "w.yaml")

    assert ("1" if "one" in text else "3.10") == source.scalar_text(("a",))


JSON_TEXT = st.text(st.sampled_from("ab :#-?'\"\\/\n\t\x1f\u2028é包😀🏽"), max_size=5)
JSON = st.recursive(
    JSON_TEXT | st.integers() | st.booleans(),
    lambda inner: st.lists(inner) | st.dictionaries(JSON_TEXT, inner),
    max_leaves=10,
)


@given(st.dictionaries(JSON_TEXT, JSON, min_size=1), st.sampled_from([None, 2, "\t"]))
@example({"a": "\U0001f600 and \\ud83d\\ude00"}, None)
@pytest.mark.slow
def test_json_is_read_as_json_is(data: dict[str, Any], indent: int | str | None) -> None:
    """
    Programs write workflows as JSON, by default with each character beyond ASCII as an escape or two.
    """
    assert data == read_text(json.dumps(data, indent=indent), "w.json").data


@pytest.mark.parametrize("in_c", [True, False], ids=["c", "python"])
def test_what_follows_a_character_in_two_escapes_has_its_place(
    in_c: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not in_c:
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    text = r"""# \ud83d\ude00
a: "\ud83d\ude00 \ud83d\ude01"
b: "\ud83d\ude02"  # \ud83d\ude00
c: [x, '\ud83d\ude00']
"""

    source = read_text(text, "w.yaml")

    assert {"a": "😀 😁", "b": "😂", "c": ["x", r"\ud83d\ude00"]} == source.data
    assert [(2, 4, 27), (3, 4, 14), (4, 8, 14)] == [
        _place(source.locate(path)) for path in (("a",), ("b",), ("c", 1))
    ]


def test_a_slip_behind_a_character_in_two_escapes_has_its_place() -> None:
    (diagnostic,) = refused('a: "\\ud83d\\ude00"\nb: ["\\ud83d\\ude00"]\nc: @x\n')

    assert ("yaml-syntax", 3, 4) == (diagnostic.code, diagnostic.span.line, diagnostic.span.column)


def test_half_a_character_is_told_at_its_escape() -> None:
    (diagnostic,) = refused('a: "\\ud83d\\ude00"\nb: "x \\ud83d y"\n')

    assert ("yaml-syntax", 2) == (diagnostic.code, diagnostic.span.line)
    assert "half a character" in diagnostic.message


def test_traps_before_a_syntax_error_are_told_too() -> None:
    diagnostics = refused("a: 1\na: 2\nb: @x\n")

    assert ["duplicate-key", "yaml-syntax"] == [diagnostic.code for diagnostic in diagnostics]


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
        assert error.diagnostics
        _assert_inside(text, [Location(p.file, p.span, p.snippet) for p in error.diagnostics])
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
            assert isinstance(read_text(text, "w.yaml"), SourceDocument)
        except SpecError as error:
            assert error.diagnostics


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
    lines = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    for location in locations:
        line = lines.split("\n")[location.span.line - 1]
        assert line == location.snippet
        assert location.span.column >= 1
        assert 1 <= location.span.width
        assert location.span.column + location.span.width - 1 <= max(len(line), 1)
