"""Files that sinks append to: cut back to what was acknowledged, put in place as a whole, never taken from others."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sink_handlers import built, flush, prepared, write

from runner.handlers.outputs import OutputRefused


def options(path: Path, mode: str = "fail") -> dict[str, str]:
    return {"path": str(path), "mode": mode}


def length(state: bytes) -> int:
    return int(json.loads(state)["length"])


def test_whoever_takes_over_goes_on_behind_what_is_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "out"
    output = prepared("text", options(path), tmp_path)
    first = built("text", options(path), prepared=output.prepared)
    first.call("a")
    flush(first)
    assert first.capture is not None
    state = first.capture()
    first.call("not acknowledged")
    flush(first)

    write("text", options(path), ["b"], prepared=output.prepared, state=state)

    assert "a\nb\n" == path.read_text(encoding="utf-8")


def test_whoever_takes_over_before_anything_is_acknowledged_begins_where_the_run_did(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("there\n", encoding="utf-8")
    output = prepared("text", options(path, "append"), tmp_path)
    write("text", options(path), ["not acknowledged"], prepared=output.prepared)

    write("text", options(path), ["a"], prepared=output.prepared)

    assert "there\na\n" == path.read_text(encoding="utf-8")


@settings(max_examples=50)
@given(st.lists(st.tuples(st.lists(st.text("ab\né"), max_size=4), st.booleans(), st.booleans()), max_size=8))
def test_any_deaths_leave_each_acknowledged_item_once(
    tmp_path_factory: pytest.TempPathFactory, lives: list[tuple[list[str], bool, bool]]
) -> None:
    """Each life writes some items, or half of their bytes, and may die before that is acknowledged."""
    folder = tmp_path_factory.mktemp("lives")
    path = folder / "out"
    output = prepared("jsonl", options(path), folder)
    acknowledged: list[str] = []
    state = b""
    for items, is_acknowledged, is_torn in lives:
        handler = built("jsonl", options(path), prepared=output.prepared, state=state)
        for item in items:
            handler.call(item)
        flush(handler)
        assert handler.capture is not None
        if is_acknowledged:
            acknowledged += items
            state = handler.capture()
        elif is_torn:
            os.truncate(
                path, max(length(state or handler.capture()) if state else 0, path.stat().st_size - 2)
            )

    output.finish(complete=False, states={"neo": state})

    found = (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    )
    assert acknowledged == found


def test_a_file_that_was_moved_away_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "out"
    output = prepared("text", options(path), tmp_path)
    path.rename(tmp_path / "elsewhere")
    path.touch()

    with pytest.raises(OSError, match="it was moved away while the run wrote to it"):
        built("text", options(path), prepared=output.prepared)


def test_a_file_that_somebody_else_writes_is_noticed_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "out"
    output = prepared("text", options(path), tmp_path)
    handler = built("text", options(path), prepared=output.prepared)
    path.write_text("theirs\n", encoding="utf-8")
    handler.call("a")

    with pytest.raises(OSError, match=r"somebody else has changed it .* it has 7 bytes, and 0 were written"):
        flush(handler)

    assert "theirs\n" == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("mode", ["append", "fail"])
def test_a_file_that_another_run_writes_is_refused(tmp_path: Path, mode: str) -> None:
    output = prepared("text", options(tmp_path / "out"), tmp_path)

    with pytest.raises(OutputRefused):
        prepared("text", options(tmp_path / "out", mode), tmp_path, "other")

    output.finish(complete=True, states={})


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputRefused, match="it is a folder, and a file is to be written"):
        prepared("text", options(tmp_path), tmp_path)


def test_a_run_that_wrote_nothing_and_failed_leaves_no_file_and_no_folder(tmp_path: Path) -> None:
    output = prepared("text", options(tmp_path / "a" / "b" / "out"), tmp_path)
    output.finish(complete=False, states={})

    assert [] == list(tmp_path.iterdir())


def test_a_new_file_takes_the_place_of_the_old_one_in_the_end_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("old\n", encoding="utf-8")
    path.chmod(0o640)
    output = prepared("text", options(path, "replace"), tmp_path)
    state = write("text", options(path), ["new"], prepared=output.prepared)
    before = path.read_text(encoding="utf-8")
    output.finish(complete=True, states={"neo": state})

    assert ("old\n", "new\n", 0o640) == (
        before,
        path.read_text(encoding="utf-8"),
        path.stat().st_mode & 0o777,
    )
    assert ["out"] == [each.name for each in tmp_path.iterdir()]


def test_a_link_stays_one_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old\n", encoding="utf-8")
    path = tmp_path / "out"
    path.symlink_to("real")
    output = prepared("text", options(path, "replace"), tmp_path)
    state = write("text", options(path), ["new"], prepared=output.prepared)
    output.finish(complete=True, states={"neo": state})

    assert (True, "new\n") == (path.is_symlink(), (tmp_path / "real").read_text(encoding="utf-8"))


def test_what_a_killed_run_left_is_taken_away_by_the_next_and_what_goes_on_is_not(tmp_path: Path) -> None:
    path = tmp_path / "out"
    killed = tmp_path / ".out.0000.mprun"
    killed.mkdir()
    running = prepared("text", options(path, "replace"), tmp_path, "aaaa")

    with pytest.raises(OutputRefused, match="out: another run writes it: run aaaa"):
        prepared("text", options(path, "replace"), tmp_path, "bbbb")

    assert [".out.aaaa.mprun"] == [each.name for each in tmp_path.iterdir()]
    running.finish(complete=False, states={})


def test_a_pipe_is_written_to_whatever_the_mode(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(path.read_text(encoding="utf-8")))
    reader.start()
    output = prepared("text", options(path), tmp_path)
    write("text", options(path), ["a", "b"], prepared=output.prepared)
    reader.join(10)
    output.finish(complete=True, states={})

    assert ["a\nb\n"] == found
