"""Text files as sources."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import yaml

from runner.handlers.base import Source, WorkerContext
from runner.handlers.sources import LINES, json_lines
from runner.spec import Role

CONTEXT = WorkerContext("neo", "reader", os.getpid(), os.getppid(), role=Role.PRODUCER)


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        (b"", {}, []),
        ("一\n二\n".encode(), {}, ["一", "二"]),
        (b"a\r\n\r\nb", {}, ["a", "", "b"]),
        (b"  a \n", {}, ["  a "]),
        ("é\n".encode("latin-1"), {"encoding": "latin-1"}, ["é"]),
    ],
)
def test_each_line_is_an_item_without_its_end(
    tmp_path: Path, content: bytes, options: dict[str, str], expected: list[str]
) -> None:
    (tmp_path / "in.txt").write_bytes(content)

    source = LINES.build({"path": str(tmp_path / "in.txt"), **options}, CONTEXT)

    assert isinstance(source, Source)
    assert list(source.items()) == expected


def test_a_relative_path_starts_from_where_the_worker_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.txt").write_text("here\n")
    monkeypatch.chdir(tmp_path)

    source = LINES.build({"path": "in.txt"}, CONTEXT)

    assert isinstance(source, Source)
    assert list(source.items()) == ["here"]


def test_lines_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    """A FIFO that stays open has no end: whoever reads it whole never gets its first line."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    keep_open = os.open(fifo, os.O_RDWR)
    os.write(keep_open, b"first\n" * 2000)

    source = LINES.build({"path": str(fifo)}, CONTEXT)

    assert isinstance(source, Source)
    items = source.items()
    assert isinstance(items, Iterator)
    assert next(items) == "first"
    items.close()  # type: ignore[attr-defined]
    os.close(keep_open)


def test_json_lines_skip_what_is_empty(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"包": 1}\n\n[2]\n"x"')

    assert list(json_lines(str(tmp_path / "in.jsonl"))) == [{"包": 1}, [2], "x"]


def test_a_line_that_is_not_json_is_named_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('1\n{"a": }\n3')
    items = json_lines(str(path))
    next(items)

    with pytest.raises(ValueError, match=r"in\.jsonl:2:7: not JSON: Expecting value"):
        next(items)


@pytest.mark.parametrize("options", [{}, {"path": ""}, {"path": "a", "x": 1}, "a", {"path": 3}])
def test_other_options_do_not_validate(options: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(options, dict(LINES.options))


def test_the_example_validates() -> None:
    (stage,) = yaml.safe_load(LINES.example)["stages"].values()

    jsonschema.validate(stage["run"]["lines"], dict(LINES.options))
    assert Role.of(stage.get("from"), stage.get("to")) in LINES.roles
