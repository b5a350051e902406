"""While a run writes to a place, another that would is refused; two may add to a folder or a table side by side."""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from sink_handlers import prepared

from runner.handlers.outputs import OutputRefused

PLACES: dict[str, dict[str, Any]] = {
    "text": {"path": "out"},
    "jsonl": {"path": "out"},
    "csv": {"path": "out"},
    "sqlite": {"path": "out", "table": "buns"},
    "parquet": {"path": "out"},
    "parquet folder": {"path": "out/"},
    "dir": {"path": "out"},
}
SHARED = ("sqlite", "parquet folder", "dir")
"""Each adds rows or files of its own."""


def modes(place: str) -> list[str]:
    return ["fail", "replace"] if place == "parquet" else ["fail", "append", "replace"]


PAIRS = [(place, *pair) for place in PLACES for pair in product(modes(place), repeat=2)]


def begin(place: str, mode: str, folder: Path, run: str, *, resumable: bool = False) -> Any:
    return prepared(place.split()[0], {**PLACES[place], "mode": mode}, folder, run, resumable=resumable)


@pytest.mark.parametrize("resumable", [False, True], ids=["once", "resumable"])
@pytest.mark.parametrize(("place", "mode", "other"), PAIRS)
@pytest.mark.quick("jsonl-replace-replace-once")
def test_whoever_comes_second_is_refused_until_the_first_has_ended(
    tmp_path: Path, place: str, mode: str, other: str, resumable: bool
) -> None:
    first = begin(place, mode, tmp_path, "first", resumable=resumable)
    there = sorted(tmp_path.rglob("*"))

    if place in SHARED and mode == other == "append":
        begin(place, other, tmp_path, "second").finish(complete=False, states={})
    else:
        with pytest.raises(OutputRefused, match=r"out.*: another run writes it.* in process \d+$") as refused:
            begin(place, other, tmp_path, "second")
        assert str(os.getpid()) in str(refused.value)
        assert there == sorted(tmp_path.rglob("*")), "who is refused changes nothing"
    first.finish(complete=False, states={})
    begin(place, other, tmp_path, "second").finish(complete=False, states={})


@pytest.mark.parametrize("mode", ["append", "replace"])
@pytest.mark.parametrize("other", ["append", "replace"])
def test_a_link_to_a_file_is_that_file(tmp_path: Path, mode: str, other: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "real").touch()
    (tmp_path / "out").symlink_to("elsewhere/real")
    prepared("text", {"path": "elsewhere/real", "mode": mode}, tmp_path, "first", resumable=True)

    with pytest.raises(OutputRefused, match="another run writes it"):
        begin("text", other, tmp_path, "second")


def test_a_run_is_named_by_its_id(tmp_path: Path) -> None:
    begin("dir", "append", tmp_path, "d5fc81aa")

    with pytest.raises(
        OutputRefused, match=rf"another run writes it: run d5fc81aa, in process {os.getpid()}$"
    ):
        begin("dir", "replace", tmp_path, "second")
