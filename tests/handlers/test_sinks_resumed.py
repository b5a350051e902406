"""Outputs that another runner has opened before: gone on in where all that was acknowledged is there, else refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sink_handlers import built, flush, prepared, write

from runner.handlers.kinds import Mapper
from runner.handlers.outputs import KeptOutput, OutputRefused


def options(path: Path, mode: str = "fail") -> dict[str, str]:
    return {"path": str(path), "mode": mode}


def killed(output: Any) -> None:
    """Let go of what its process would have let go of by its death, and do nothing else."""
    for name in ("_descriptor", "_mark"):
        if getattr(output, name, -1) >= 0:
            os.close(getattr(output, name))
            setattr(output, name, -1)


def some_acknowledged(handler: Mapper) -> bytes:
    """Have a sink write `a`, acknowledged, and `b`, which is not; return its state."""
    handler.call({"n": "a"})
    flush(handler)
    assert handler.capture is not None
    state = handler.capture()
    handler.call({"n": "b"})
    flush(handler)
    return state


def before(output: Any, states: Mapping[str, bytes], *, over: bool = False) -> KeptOutput:
    return KeptOutput(output.kept(), states, over)


@pytest.mark.parametrize("mode", ["fail", "append", "replace"])
def test_another_runner_goes_on_behind_what_is_acknowledged(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "out"
    if mode != "fail":
        path.write_text('"there"\n', encoding="utf-8")
    first = prepared("jsonl", options(path, mode), tmp_path, resumable=True)
    state = some_acknowledged(built("jsonl", options(path), prepared=first.prepared))
    left = before(first, {"neo": state})
    killed(first)

    second = prepared("jsonl", options(path, mode), tmp_path, resumable=True, before=left)
    state = write("jsonl", options(path), ["c"], prepared=second.prepared, state=state)
    second.finish(complete=True, states={"neo": state}, stays=True)

    there = '"there"\n' if mode == "append" else ""
    assert there + '{"n": "a"}\n"c"\n' == path.read_text(encoding="utf-8")
    assert ["out"] == [each.name for each in tmp_path.iterdir()]


def test_parts_stay_where_a_run_that_has_failed_can_be_resumed(tmp_path: Path) -> None:
    path = tmp_path / "out"
    first = prepared("jsonl", options(path, "replace"), tmp_path, resumable=True)
    state = some_acknowledged(built("jsonl", options(path), prepared=first.prepared))
    left = before(first, {"neo": state})
    first.finish(complete=False, states={"neo": state}, stays=True)

    second = prepared("jsonl", options(path, "replace"), tmp_path, resumable=True, before=left)
    second.finish(complete=True, states={"neo": state}, stays=True)

    assert '{"n": "a"}\n' == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_where_another_run_has_written_since_there_is_no_going_on(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "out"
    first = prepared("jsonl", options(path, mode), tmp_path, resumable=True)
    state = some_acknowledged(built("jsonl", options(path), prepared=first.prepared))
    left = before(first, {"neo": state})
    killed(first)
    other = prepared("jsonl", options(path, mode), tmp_path, "other")
    other.finish(complete=True, states={})

    with pytest.raises(OutputRefused, match="another run"):
        prepared("jsonl", options(path, mode), tmp_path, resumable=True, before=left)


def test_a_runner_killed_right_behind_the_rename_has_nothing_left_to_do(tmp_path: Path) -> None:
    path = tmp_path / "out"
    first = prepared("jsonl", options(path, "replace"), tmp_path, resumable=True)
    state = write("jsonl", options(path), ["a"], prepared=first.prepared)
    left = before(first, {"neo": state}, over=True)
    first.finish(complete=True, states={"neo": state}, stays=True)

    second = prepared("jsonl", options(path, "replace"), tmp_path, resumable=True, before=left)
    second.finish(complete=True, states={"neo": state}, stays=True)

    assert '"a"\n' == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_what_is_gone_is_refused_before_anything_starts(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "out"
    first = prepared("jsonl", options(path, mode), tmp_path, resumable=True)
    state = some_acknowledged(built("jsonl", options(path), prepared=first.prepared))
    left = before(first, {"neo": state})
    killed(first)
    path.unlink() if mode == "append" else shutil.rmtree(first.prepared.path)

    with pytest.raises(OutputRefused, match="gone"):
        prepared("jsonl", options(path, mode), tmp_path, resumable=True, before=left)


def test_a_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out"
    first = prepared("jsonl", options(path), tmp_path, resumable=True)
    state = some_acknowledged(built("jsonl", options(path), prepared=first.prepared))
    left = before(first, {"neo": state})
    killed(first)
    path.write_text("", encoding="utf-8")

    with pytest.raises(OutputRefused, match="it has 0 bytes, and 11 were written"):
        prepared("jsonl", options(path), tmp_path, resumable=True, before=left)


def test_another_file_in_its_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out"
    first = prepared("jsonl", options(path), tmp_path, resumable=True)
    state = some_acknowledged(built("jsonl", options(path), prepared=first.prepared))
    left = before(first, {"neo": state})
    killed(first)
    path.rename(tmp_path / "elsewhere")
    path.write_text("x" * 100, encoding="utf-8")

    with pytest.raises(OutputRefused, match="another file has taken its place"):
        prepared("jsonl", options(path), tmp_path, resumable=True, before=left)
