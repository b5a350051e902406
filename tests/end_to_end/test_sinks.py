"""Built-in sinks, whoever is killed wherever: what a run that exits 0 leaves is complete, and nothing is in it twice.

The oracle reads the files. What a run that fails leaves is what counts as done, and nothing else.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

import pytest
from sink_runs import FILES, SINKS, Sink, json_in
from struck_runs import RunMprun, StruckFolder

HANDLERS = """
    import time
    from pathlib import Path

    def count(last, slowly=0, start=0):
        for number in range(start, last):
            time.sleep(slowly)
            yield {"n": number, "word": f"包 {number}"}

    def endless():
        number = 0
        while True:
            yield {"n": number, "word": f"包 {number}"}
            number += 1

    def odd(last):
        for number in range(last):
            yield {"n": number, "word": {number}} if number % 10 == 3 else {"n": number, "word": "x"}

    def fail_late(item):
        while not any(each.stat().st_size for where in ("out", "out/*", ".out*/*") for each in Path().glob(where)):
            time.sleep(0.01)
        raise ValueError("the other stage")
"""

THINGS = """
    from dataclasses import dataclass
    from enum import Enum

    class Kind(Enum):
        STEAMED = "steamed"

    @dataclass
    class Bun:
        n: int
        kind: Kind

    def make():
        yield Bun(1, Kind.STEAMED)
        yield Bun(2, Kind.STEAMED)
"""


class Folder(StruckFolder):
    """A folder with a workflow in it, and what its sink leaves there."""

    def __init__(self, path: Path, run_mprun: RunMprun) -> None:
        super().__init__(path, run_mprun, file="flow.yaml", victim="sink-1")
        (path / "source.py").write_text(textwrap.dedent(HANDLERS), encoding="utf-8")

    def write(
        self, sink: str, *, source: str = "source:count, with: {last: 1000}", more: str = "", rest: str = ""
    ) -> None:
        """Write a workflow with this sink, with what follows it and the options of the stage."""
        (self.path / "flow.yaml").write_text(
            f"name: flow\nstages:\n  source: {{run: {source}, to: q}}\n  sink: {{run: {sink}, from: q{more}}}\n{rest}",
            encoding="utf-8",
        )

    def left(self) -> set[str]:
        """What is there beside what the test has put there."""
        names = {each.name for each in self.path.iterdir()}
        return names - {"source.py", "flow.yaml", "report.json", "__pycache__", "begun"}


@pytest.fixture
def folder(tmp_path: Path, run_mprun: RunMprun) -> Folder:
    """A folder of its own for each test."""
    return Folder(tmp_path, run_mprun)


def remove(path: Path) -> None:
    """Take away what a sink has left."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def make_mine(path: Path, sink: Sink) -> None:
    """Put something there that is no run's."""
    if sink in (SINKS["dir"], SINKS["parquet folder"]):
        path.mkdir()
        (path / "7.json").write_text("mine", encoding="utf-8")
    elif sink is SINKS["sqlite"]:
        with closing(sqlite3.connect(path)) as rows, rows:
            rows.execute("CREATE TABLE buns (mine)")
            rows.execute("INSERT INTO buns VALUES ('mine')")
    else:
        path.write_text("mine\n", encoding="utf-8")


def is_mine(path: Path, sink: Sink) -> bool:
    """Whether it is as it was."""
    if sink in (SINKS["dir"], SINKS["parquet folder"]):
        return {"7.json": "mine"} == {each.name: each.read_text(encoding="utf-8") for each in path.iterdir()}
    if sink is SINKS["sqlite"]:
        with closing(sqlite3.connect(path)) as rows:
            return [("mine",)] == rows.execute("SELECT mine FROM buns").fetchall()
    return path.read_text(encoding="utf-8") == "mine\n"


ALL = list(range(1000))


@pytest.mark.parametrize("sink", SINKS.values(), ids=SINKS)
@pytest.mark.quick("jsonl")
def test_what_was_written_is_there_once_though_its_writer_was_killed(folder: Folder, sink: Sink) -> None:
    folder.write(sink.options(), more=sink.often)

    done = folder.strike("writing", 3)

    assert (0, "", ALL, {sink.name}) == (
        done.returncode,
        done.stderr,
        sink.read(folder.path / sink.name),
        folder.left(),
    )


@pytest.mark.parametrize("place", ["taken", "flushing", "flushed", "sending"])
@pytest.mark.quick("sending")
def test_no_line_is_missing_on_standard_output_though_its_writer_was_killed(
    folder: Folder, place: str
) -> None:
    folder.write('{print: {line: "${{ item.n }}"}}', more=", flush: {items: 100}")

    done = folder.strike(place, 3)

    printed = [int(line) for line in done.stdout.splitlines()]
    assert (0, ALL) == (done.returncode, sorted(set(printed)))
    again = len(printed) - len(ALL)
    assert again == 0 if place in ("taken", "flushing") else again <= 100, "what was printed may come twice"


@pytest.mark.parametrize("transport", ["joinable", "inline"])
@pytest.mark.parametrize("sink", SINKS.values(), ids=SINKS)
@pytest.mark.quick("jsonl-joinable")
def test_a_sink_writes_under_every_transport(folder: Folder, sink: Sink, transport: str) -> None:
    folder.write(sink.options())

    done = folder.run("--transport", transport)

    assert (0, "", ALL) == (done.returncode, done.stderr, sink.read(folder.path / sink.name))


@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.parametrize(
    ("sink", "mode"),
    [pytest.param(sink, mode, id=f"{name}-{mode}") for name, sink in SINKS.items() for mode in sink.modes],
)
def test_wherever_the_writer_is_killed_all_is_there_once_and_in_order(
    folder: Folder, sink: Sink, mode: str, start: str
) -> None:
    folder.write(sink.options(f", mode: {mode}"), more=f"{sink.often}, start_method: {start}")

    for place, nth in sink.places:
        done = folder.strike(place, nth)

        found = sink.read(folder.path / sink.name)
        assert (place, nth, 0, ALL, {sink.name}) == (place, nth, done.returncode, found, folder.left())
        remove(folder.path / sink.name)


def has_something(path: Path) -> bool:
    """Whether a file has something in it, if it is there still."""
    with suppress(FileNotFoundError):
        return path.stat().st_size > 0
    return False


def interrupted(folder: Folder, mprun: Path, env: Mapping[str, str]) -> int:
    """Run it until something is written, end it by Ctrl-C, and return the exit code."""
    process = subprocess.Popen(
        [mprun, "run", "flow.yaml", "-q", "--report", "report.json"],
        cwd=folder.path,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    while not any(map(has_something, (folder.path / "out", *folder.path.glob(".out*/*")))):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    try:
        return process.wait(30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("sink", SINKS.values(), ids=SINKS)
@pytest.mark.quick("jsonl")
def test_ctrl_c_with_a_full_queue_leaves_what_counts_as_done(
    folder: Folder, sink: Sink, mprun: Path, plain_env: Mapping[str, str]
) -> None:
    folder.write(sink.options(), source="source:endless", rest="limits: {stop_timeout: 500ms}\n")

    code = interrupted(folder, mprun, plain_env)

    assert (130, list(range(folder.done()))) == (code, sink.read(folder.path / sink.name))


@pytest.mark.parametrize("sink", SINKS.values(), ids=SINKS)
@pytest.mark.quick("jsonl", "sqlite")
def test_another_stages_failure_leaves_what_counts_as_done(folder: Folder, sink: Sink) -> None:
    folder.write(
        sink.options(),
        source="source:endless",
        rest="  other: {run: source:count, with: {last: 1}, to: r}\n"
        "  failing: {run: source:fail_late, from: r}\n",
    )

    done = folder.run()

    assert (1, list(range(folder.done()))) == (done.returncode, sink.read(folder.path / sink.name))


@pytest.mark.parametrize("place", ["writing", "flushed"])
@pytest.mark.parametrize("sink", FILES.values(), ids=FILES)
@pytest.mark.quick("jsonl-flushed")
def test_nothing_that_is_not_done_stays_where_nobody_takes_over(
    folder: Folder, sink: Sink, place: str
) -> None:
    folder.write(sink.options(), more=", flush: {items: 100}, restart: never")

    done = folder.strike(place, 3)

    assert (1, list(range(folder.done()))) == (done.returncode, sink.read(folder.path / sink.name))
    assert 0 < folder.done() < 1000


@pytest.mark.parametrize("sink", SINKS.values(), ids=SINKS)
@pytest.mark.quick("dir")
def test_a_file_that_is_there_is_not_written_to_unasked(folder: Folder, sink: Sink) -> None:
    folder.write(sink.options())
    make_mine(folder.path / "out", sink)

    done = folder.run()

    where = str(folder.path / "out") + ("/" if "out/" in sink.run else "")
    said = f"mprun: stage 'sink': {where}: {sink.is_taken}; {sink.remedy}\n"
    assert (1, said) == (done.returncode, done.stderr)
    assert is_mine(folder.path / "out", sink)


ADDING = {name: sink for name, sink in SINKS.items() if "append" in sink.modes}


@pytest.mark.parametrize("sink", ADDING.values(), ids=ADDING)
@pytest.mark.slow
def test_a_second_run_adds_to_what_is_there(folder: Folder, sink: Sink) -> None:
    folder.write(sink.options(", mode: append"))
    folder.run()
    folder.write(sink.options(", mode: append"), source="source:count, with: {last: 2000, start: 1000}")

    done = folder.strike("writing", 1)

    assert (0, [*ALL, *range(1000, 2000)]) == (done.returncode, sink.read(folder.path / "out"))


@pytest.mark.parametrize("sink", SINKS.values(), ids=SINKS)
@pytest.mark.quick("jsonl", "sqlite", "dir")
def test_a_run_that_fails_replaces_nothing(folder: Folder, sink: Sink) -> None:
    folder.write(sink.options(", mode: replace"), source="source:odd, with: {last: 1000}")
    make_mine(folder.path / "out", sink)
    if sink is SINKS["text"]:
        folder.write(
            '{text: {path: out, line: "${{ item.word }}", mode: replace}}',
            source="source:odd, with: {last: 1000}",
        )
    elif sink is SINKS["csv"]:
        folder.write("{csv: {path: out, mode: replace, columns: [n]}}")

    done = folder.run("--no-record")

    assert (1, {"out"}) == (done.returncode, folder.left())
    assert is_mine(folder.path / "out", sink)


@pytest.mark.parametrize("sink", SINKS.values(), ids=SINKS)
@pytest.mark.quick("jsonl")
def test_what_a_run_that_can_be_resumed_has_left_is_taken_away_by_the_next(
    folder: Folder, sink: Sink
) -> None:
    run = sink.options(", mode: replace")
    folder.write(
        run,
        source="source:endless",
        rest="  other: {run: source:count, with: {last: 1}, to: r}\n"
        "  failing: {run: source:fail_late, from: r}\n",
    )
    failed = folder.run()
    left = folder.left()
    folder.write(run)
    done = folder.run()

    assert (1, 0, ALL) == (failed.returncode, done.returncode, sink.read(folder.path / "out"))
    assert ({"out"} < left | {"out"}, {"out"}) == (True, folder.left())


@pytest.mark.parametrize("place", ["writing", "flushed", "closing"])
@pytest.mark.slow
def test_several_workers_write_parts_that_are_joined_in_the_end(folder: Folder, place: str) -> None:
    sink = SINKS["csv"]
    folder.write(
        sink.options(", mode: replace, columns: [n, word]"),
        source="source:count, with: {last: 1000, slowly: 0.0005}",
        more=", flush: {every: 50ms}, count: 3",
    )

    done = folder.strike(place, 1)

    assert (0, "", ALL, {"out"}) == (
        done.returncode,
        done.stderr,
        sorted(sink.read(folder.path / "out")),
        folder.left(),
    )


def test_items_without_a_form_fail_alone_and_the_others_are_written(folder: Folder) -> None:
    folder.write("{jsonl: {path: out}}", source="source:odd, with: {last: 100}", more=", on_error: skip")

    done = folder.run("--set", "limits.max_errors=10", "--log-level", "warning")

    assert (0, [n for n in range(100) if n % 10 != 3]) == (done.returncode, json_in(folder.path / "out"))


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.parametrize(
    "sink",
    [
        "{jsonl: {path: out}}",
        "{command: {run: [sh, -c, cat >> out], stdin: json}}",
    ],
    ids=["a sink", "a command"],
)
@pytest.mark.quick("a sink-fork", "a command-spawn")
def test_items_may_be_of_a_class_beside_the_file(folder: Folder, sink: str, start: str) -> None:
    folder.write(sink, source="things:make", more=f", start_method: {start}")
    (folder.path / "things.py").write_text(textwrap.dedent(THINGS), encoding="utf-8")

    done = folder.run()

    written = (folder.path / "out").read_text(encoding="utf-8") if done.returncode == 0 else done.stderr
    assert (0, '{"n": 1, "kind": "steamed"}\n{"n": 2, "kind": "steamed"}\n') == (done.returncode, written)


def test_a_full_disk_is_said_with_the_file_and_nothing_that_is_done_is_lost(folder: Folder) -> None:
    folder.write("{jsonl: {path: /dev/full}}")

    done = folder.run()

    assert 1 == done.returncode
    assert "OSError: /dev/full: no space is left on the device: make room" in done.stderr


@pytest.mark.slow
def test_a_reader_that_has_gone_is_said(folder: Folder, mprun: Path, plain_env: Mapping[str, str]) -> None:
    folder.write("{print: {}}", source="source:endless")

    done = subprocess.run(
        ["bash", "-c", '"$0" flow.yaml -q | head -1; exit "${PIPESTATUS[0]}"', mprun],
        cwd=folder.path,
        env=dict(plain_env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (1, '{"n": 0, "word": "包 0"}\n') == (done.returncode, done.stdout)
    assert "OSError: standard output: whoever read it has gone" in done.stderr


def test_a_run_without_items_leaves_a_file_with_the_columns(folder: Folder) -> None:
    folder.write("{csv: {path: out, columns: [a, b]}}", source="source:count, with: {last: 0}")

    done = folder.run()

    assert (0, "a,b\n") == (done.returncode, (folder.path / "out").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_ctrl_c_while_the_outputs_are_made_ready_is_obeyed(
    folder: Folder, plain_env: Mapping[str, str]
) -> None:
    folder.write("{jsonl: {path: out}}", source="source:endless")
    (folder.path / "early.py").write_text(
        textwrap.dedent("""
            import signal
            from mprun.__main__ import main
            from runner.handlers.sinks.file_output import FileOutput

            made = FileOutput.__init__

            def interrupted(self, *arguments):
                made(self, *arguments)
                signal.raise_signal(signal.SIGINT)

            FileOutput.__init__ = interrupted
            raise SystemExit(main())
        """),
        encoding="utf-8",
    )

    done = subprocess.run(
        [sys.executable, "early.py", "run", "flow.yaml", "-q"],
        cwd=folder.path,
        env=dict(plain_env),
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert 130 == done.returncode


@pytest.mark.parametrize(
    ("sink", "left"),
    [
        ("{jsonl: {path: out.jsonl}}", "out.jsonl"),
        ("{csv: {path: out.csv, mode: replace}}", "out.csv"),
        ("{sqlite: {path: out.db, table: t}}", "out.db"),
        ('{dir: {path: out, name: "${{ item.n }}"}}', "out"),
    ],
)
def test_a_sink_in_a_folder_of_its_own_writes_there_wherever_that_is_told_from(
    folder: Folder, sink: str, left: str
) -> None:
    (folder.path / "below").mkdir()
    folder.write(sink, source="source:count, with: {last: 3}", more=", cwd: below")

    done = folder.run()

    assert (0, [left]) == (done.returncode, [each.name for each in (folder.path / "below").iterdir()]), (
        done.stderr
    )
