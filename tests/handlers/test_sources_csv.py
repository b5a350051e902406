"""CSV files as a source: what is wrong in them stays where it is."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from sources import Bad, context, items_of

from runner.errors import HandlerError
from runner.handlers.registry import find_kind
from runner.spec.model import Role
from runner.spec.plan import InputShare

ODD = b'id,text\n1,"abc\n\xff\ntail,junk"\n2,x\n'
"""A row of three lines, of which the second is no text."""
NO_TEXT = "not utf-8: byte 0xff at byte 1 of the line: invalid start byte; `encoding` may say another"


def rows_of(path: Path, content: bytes, **options: Any) -> list[object]:
    path.write_bytes(content)
    return items_of("csv", {"path": str(path), **options})


def test_a_row_with_a_line_in_it_that_is_no_text_fails_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"

    raw = b'1,"abc\n\xff\ntail,junk"'
    bad = Bad(raw, f"ValueError: {path}:3: {NO_TEXT}", f"{path}:2")
    assert [bad, {"id": "2", "text": "x"}] == rows_of(path, ODD)


def test_a_row_that_was_no_text_is_whole_in_the_encoding_that_it_has(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    bad, _ = rows_of(path, ODD)
    assert isinstance(bad, Bad)

    options = {"path": str(path), "encoding": "latin-1"}
    remade = find_kind("csv").of_role(Role.PRODUCER).remake(options, bad.raw, bad.position)

    assert {"id": "1", "text": "abc\nÿ\ntail,junk"} == remade == items_of("csv", options)[0]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"\xff,price", f":1: {NO_TEXT}; this is the header"),
        (b'item,"pri"ce', ":1: not CSV: ',' expected after '\"'; this is the header"),
        (b'item,"pri\nce', ":1: not CSV: unexpected end of data; this is the header"),
    ],
)
@pytest.mark.parametrize("multiline", [True, False])
def test_a_row_is_not_taken_for_a_header_that_can_not_be_read(
    tmp_path: Path, header: bytes, words: str, multiline: bool
) -> None:
    good, path = tmp_path / "1.csv", tmp_path / "2.csv"
    good.write_bytes(b"item,price\ncustard,3\n")
    path.write_bytes(header + b"\nlotus,4\nchar siu,5\n" * 9)
    options = {"path": [str(good), str(path)], "multiline": multiline}

    for share in (InputShare(), InputShare(1, 2))[
        : 1 if multiline else 2
    ]:  # the second begins behind the header
        with pytest.raises(HandlerError) as caught:
            items_of("csv", options, context(share=share))

        assert f"{path}{words}" in str(caught.value)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_field_keeps_its_line_ends(tmp_path: Path, end: str) -> None:
    content = end.join(["a,b", '1,"x\r\ny"', "", '"\r\n\n",2']) + end

    expected = [*csv.DictReader(io.StringIO(content, newline=""))]

    assert expected == rows_of(tmp_path / "in.csv", content.encode())
    assert expected == rows_of(tmp_path / "in.csv", b"\xef\xbb\xbf" + content.removesuffix(end).encode())


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_row_that_is_kept_has_its_line_ends(tmp_path: Path, end: str) -> None:
    path = tmp_path / "in.csv"
    (bad,) = rows_of(path, f'n,b{end}four,"x\ny"{end}'.encode(), types={"n": "integer"})
    assert isinstance(bad, Bad)

    remade = find_kind("csv").of_role(Role.PRODUCER).remake({"path": str(path)}, bad.raw, bad.position)

    assert ('four,"x\ny"', {"n": "four", "b": "x\ny"}) == (bad.raw, remade)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"header": ["price"], "types": {"prise": "number"}}, "has no column 'prise'; did you mean 'price'?"),
        ({"header": False, "types": {"price": "number"}}, "`header: false` gives them none"),
    ],
)
def test_types_of_columns_that_no_row_has_are_named(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(HandlerError) as caught:
        rows_of(tmp_path / "in.csv", b"1\n", **options)

    assert words in str(caught.value)
