"""A file for each item: whole under its name or not there, and never out of the folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from sink_handlers import built, prepared

from runner.errors import OutputFailed
from runner.handlers.outputs import OutputRefused
from runner.handlers.sinks.folder import NameTaken


def written(folder: Path) -> dict[str, bytes]:
    """The files there, by their way from the folder."""
    found = (each for each in sorted(folder.rglob("*")) if each.is_file())
    return {str(each.relative_to(folder)): each.read_bytes() for each in found}


@pytest.mark.parametrize(
    ("options", "item", "expected"),
    [
        ({"name": "${{ item.stem }}.json"}, {"stem": "a"}, {"a.json": b'{"stem": "a"}\n'}),
        (
            {"name": "${{ item.n }}/x", "content": "${{ item.page }}"},
            {"n": 1, "page": "包"},
            {"1/x": "包".encode()},
        ),
        ({}, b"\x00", {"r1-q-7.bin": b"\x00"}),
        ({}, "text", {"r1-q-7.txt": b"text"}),
        ({}, [1], {"r1-q-7.json": b"[1]\n"}),
        ({"name": "name"}, "", {"name": b""}),
    ],
)
def test_an_item_becomes_a_file(
    tmp_path: Path, options: dict[str, str], item: object, expected: dict[str, bytes]
) -> None:
    output = prepared("dir", {"path": "out", **options}, tmp_path)
    built("dir", {"path": "out", **options}, prepared=output.prepared, ids=lambda: ["r1/q/7"]).call(item)
    output.finish(complete=True, states=None)

    assert expected == written(tmp_path / "out")


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/x", "", ".", "..", "a//b", "a\0b", ".mprun/x", "out/link/x"]
)
def test_a_name_that_leads_out_fails_its_item(tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    output = prepared("dir", {"path": "out"}, tmp_path)
    (tmp_path / "out" / "out").mkdir()
    (tmp_path / "out" / "out" / "link").symlink_to(tmp_path / "elsewhere")
    sink = built("dir", {"path": "out", "name": "${{ item }}", "content": "x"}, prepared=output.prepared)

    with pytest.raises(ValueError, match=r"is no name of a file in|leads out of"):
        sink.call(name)

    assert {} == written(tmp_path / "elsewhere")


def test_the_same_file_again_is_no_clash_and_another_is(tmp_path: Path) -> None:
    options = {"path": str(tmp_path), "name": "x", "content": "${{ item }}"}
    first, second = built("dir", options), built("dir", options)
    first.call("a")
    second.call("a")

    with pytest.raises(NameTaken, match="x: a file of this name is there, with something else in it"):
        second.call("b")

    assert b"a" == (tmp_path / "x").read_bytes()


def test_a_full_disk_is_no_items_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = built("dir", {"path": str(tmp_path), "name": "x"})

    def full(_descriptor: int, _data: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OutputFailed, match="x: no space is left on the device: make room"):
        sink.call("a")


def test_a_name_that_is_too_long_is_its_items(tmp_path: Path) -> None:
    sink = built("dir", {"path": str(tmp_path), "name": "${{ item }}"})

    with pytest.raises(OSError, match="File name too long"):
        sink.call("x" * 300)


def test_a_folder_takes_the_place_of_the_old_one_in_the_end(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    options = {"path": "out", "name": "new", "mode": "replace"}
    output = prepared("dir", options, tmp_path)
    built("dir", options, prepared=output.prepared).call("a")
    before = written(tmp_path / "out")
    output.finish(complete=True, states=None)

    assert ({"old": b""}, {"new": b"a"}) == (before, written(tmp_path / "out"))
    assert ["out"] == [each.name for each in tmp_path.iterdir()]


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()

    with pytest.raises(OutputRefused, match="it is a file, and a folder is to be written"):
        prepared("dir", {"path": "out"}, tmp_path)


def test_a_run_that_wrote_nothing_and_failed_leaves_no_folder(tmp_path: Path) -> None:
    prepared("dir", {"path": "out"}, tmp_path).finish(complete=False, states=None)

    assert [] == list(tmp_path.iterdir())
