"""Text files and JSON lines as sources."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import yaml
from sources import PACKED, Bad, context, items_of

from runner.errors import HandlerError
from runner.handlers.kinds import HandlerKind, ItemBlock, Source
from runner.handlers.registry import built_in_kinds, find_kind
from runner.handlers.sources import reading
from runner.spec.model import Role

LINES = find_kind("lines")


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        (b"", {}, []),
        (b"\xef\xbb\xbf", {}, []),
        ("一\n二\n".encode(), {}, ["一", "二"]),
        (b"a\r\n\r\nb", {}, ["a", "", "b"]),
        ("a\x0bb\x0cc\x1cd\u2028e\x85f\n".encode(), {}, ["a\x0bb\x0cc\x1cd\u2028e\x85f"]),
        (b"  a \n", {}, ["  a "]),
        (b"\xef\xbb\xbfa\nb\n", {}, ["a", "b"]),
        ("é\n".encode("latin-1"), {"encoding": "latin-1"}, ["é"]),
        ("一\r\n二".encode("utf-16"), {"encoding": "utf-16"}, ["一", "二"]),
    ],
)
def test_each_line_is_an_item_without_its_end(
    tmp_path: Path, content: bytes, options: dict[str, str], expected: list[str]
) -> None:
    (tmp_path / "in.txt").write_bytes(content)

    assert expected == items_of("lines", {"path": str(tmp_path / "in.txt"), **options})


@pytest.mark.parametrize("suffix", PACKED)
def test_a_file_is_unpacked_by_its_suffix(tmp_path: Path, suffix: str) -> None:
    lines = [f"line {number}" for number in range(5_000)]
    (tmp_path / f"in.txt{suffix}").write_bytes(PACKED[suffix]("\n".join(lines).encode()))

    assert lines == items_of("lines", {"path": str(tmp_path / f"in.txt{suffix}")})


def test_a_pattern_and_a_list_are_read_in_order_each_file_once(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c.log"):
        (tmp_path / name).write_text(f"{name}\n")

    found = items_of("lines", {"path": [str(tmp_path / "c.log"), str(tmp_path / "*")]})

    assert ["c.log", "a.txt", "b.txt"] == found


def test_a_relative_path_starts_from_where_the_worker_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.txt").write_text("here\n")
    monkeypatch.chdir(tmp_path)

    assert ["here"] == items_of("lines", {"path": "in.txt"})


def test_lines_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    """A FIFO that stays open has no end: whoever reads it whole never gets its first line."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    keep_open = os.open(fifo, os.O_RDWR)
    os.write(keep_open, b"first\n" * 2000)

    source = LINES.build({"path": str(fifo)}, context())

    assert isinstance(source, Source)
    items = source.items()
    assert isinstance(items, Iterator)
    assert ItemBlock(["first"] * 2000) == next(items)
    items.close()  # type: ignore[attr-defined]
    os.close(keep_open)


def test_short_lines_come_in_blocks_and_long_ones_alone(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("short\n" * 3 + "x" * 100_000 + "\n")
    source = LINES.build({"path": str(tmp_path / "in.txt")}, context())
    assert isinstance(source, Source)

    first, *others = source.items()

    assert (ItemBlock(["short"] * 3), ["x" * 100_000]) == (first, others)


@pytest.mark.parametrize("kind", ["lines", "parquet"])
@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("memory://nowhere", "there is no such file"),
        ("s4://bucket/key", "Protocol not known: s4"),
        ("hdfs://host:x/key", ""),
    ],
)
def test_a_url_that_can_not_be_opened_is_named(kind: str, url: str, why: str) -> None:
    pytest.importorskip("fsspec")

    with pytest.raises(HandlerError) as caught:
        items_of(kind, {"path": url})

    assert str(caught.value).startswith(f"'{url}' can't be opened: {why}")


def test_a_line_that_is_no_text_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(b"ok\n" * 90_000 + b"ab\xffc\r\nlast")

    *good, bad, last = items_of("lines", {"path": str(path)})

    position = f"{path}:90001"
    why = "not utf-8: byte 0xff at byte 3 of the line: invalid start byte; `encoding` may say another"
    assert (["ok"] * 90_000, Bad(b"ab\xffc\r", f"ValueError: {position}: {why}", position), "last") == (
        good,
        bad,
        last,
    )


def test_what_is_packed_and_does_not_say_so_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(gzip.compress(b"a\n", mtime=0))

    first, *_ = items_of("lines", {"path": str(tmp_path / "in.txt")})

    assert isinstance(first, Bad)
    assert first.error.endswith("this is a gzip file: say `compression: gzip`")
    assert ["a"] == items_of("lines", {"path": str(tmp_path / "in.txt"), "compression": "gzip"})


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
@pytest.mark.quick(".gz")
def test_a_packed_file_that_is_cut_short_gives_what_it_has_and_fails(tmp_path: Path, suffix: str) -> None:
    noise = os.urandom(600_000).hex()
    lines = [noise[at : at + 100] for at in range(0, len(noise), 100)]
    path = tmp_path / f"in.txt{suffix}"
    path.write_bytes(PACKED[suffix]("\n".join(lines).encode())[:-20_000])
    source = LINES.build({"path": str(path)}, context())
    assert isinstance(source, Source)
    found: list[object] = []

    with pytest.raises(HandlerError, match=rf"in\.txt{suffix}' is cut short: the \w+ data in it has no end"):
        for each in source.items():
            found += each  # type: ignore[call-overload]

    assert found == lines[: len(found)]
    assert len(found) > len(lines) / 2


def test_what_has_no_lines_is_not_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LONGEST_LINE", 1 << 20)
    path = tmp_path / "in.txt"
    path.write_bytes(b"ok\n" + bytes(3 << 20))

    with pytest.raises(
        HandlerError, match=r"in\.txt': the line that begins at byte 3 is longer than 1MiB: is this t"
    ):
        items_of("lines", {"path": str(path)})


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", "zst"])
def test_a_packed_file_that_is_none_is_named(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"in.{suffix}").write_text("plain")

    with pytest.raises(HandlerError, match=rf"in\.{suffix}' can't be read as [a-z0-9]+: "):
        items_of("lines", {"path": str(tmp_path / f"in.{suffix}")})


def test_an_encoding_that_does_not_exist_is_named(tmp_path: Path) -> None:
    (tmp_path / "in.txt").touch()

    with pytest.raises(HandlerError, match="there is no encoding 'utf-9'"):
        items_of("lines", {"path": str(tmp_path / "in.txt"), "encoding": "utf-9"})


def test_json_lines_skip_what_is_empty(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"包": 1}\n\n[2]\n \t\n"x"')

    assert [{"包": 1}, [2], "x"] == items_of("jsonl", {"path": str(tmp_path / "in.jsonl")})


def test_a_line_that_is_not_json_is_named_by_its_number_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('1\n{"a": }\n3')

    expected = Bad('{"a": }', f"ValueError: {path}:2:7: not JSON: Expecting value", f"{path}:2")
    assert [1, expected, 3] == items_of("jsonl", {"path": str(path)})


@pytest.mark.parametrize("options", [{}, {"path": ""}, {"path": []}, {"path": "a", "x": 1}, "a", {"path": 3}])
def test_other_options_do_not_validate(options: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(options, dict(LINES.options))


@pytest.mark.parametrize("kind", built_in_kinds().values(), ids=lambda kind: kind.name)
def test_every_example_is_one_and_shows_each_role(kind: HandlerKind) -> None:
    stages = yaml.safe_load(kind.example)["stages"].values()

    for stage in stages:
        jsonschema.validate(stage["run"][kind.name], dict(kind.options))
    assert kind.roles >= {Role.of(stage.get("from"), stage.get("to")) for stage in stages}
