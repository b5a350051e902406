"""Sources in real runs: readers that are killed, input that is wrong, and what there is to share.

The oracle looks at what arrived, line for line, and compares it with the exit code: each item once, whatever happens.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from json_api import Answer, Api
from sources import PACKED

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

# A failpoint of the workflow's own: each reader kills itself at random moments, some times over its lives.
HANDLERS = """
import os, signal, threading, random, time
from pathlib import Path

class Note:
    def __init__(self, worker):
        self.file = open(f"got-{worker.name}", "a", buffering=1 << 16)
    def __call__(self, item):
        self.file.write(f"{item}\\n")
    def flush(self):
        self.file.flush()

def bad(item):
    raise ValueError(item)
"""

# Imported by each worker before anything else of ours: it kills readers after so many messages that they have sent.
KILLER = """
import os, random, signal
from pathlib import Path
from runner.ipc import stream

def arm(name):
    if not name.startswith("reader"):
        return
    lives = Path(f"lives-{name}")
    lived = len(lives.read_text()) if lives.exists() else 0
    if lived >= KILLS:
        return
    lives.write_text("x" * (lived + 1))
    left = random.Random(f"{name}{lived}{SEED}").randrange(1, 12)
    real = stream.WorkerStream.send
    def send(self, message):
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        real(self, message)
    stream.WorkerStream.send = send
"""
"""Each reader is killed so often, in the middle of what it sends."""
KILLS = 3


def workflow(run: dict[str, Any], count: int, **reader: Any) -> str:
    stages = {
        "reader": {"run": run, "to": "items", "count": count, **reader},
        "note": {"run": "handlers:Note", "from": "items"},
    }
    return json.dumps({"name": "reading", "stages": stages, "limits": {"max_errors": 1000}})


def start(
    folder: Path, run_mprun: RunMprun, text: str, *, seed: int | None = None, transport: str = "leased"
) -> subprocess.CompletedProcess[str]:
    """Run a workflow in a folder; with a seed its readers are killed."""
    (folder / "handlers.py").write_text(HANDLERS)
    (folder / "w.yaml").write_text(text)
    env = {}
    if seed is not None:
        (folder / "killer.py").write_text(KILLER.replace("SEED", str(seed)).replace("KILLS", str(KILLS)))
        env = {"MPRUN_WORKER_HOOK": "killer:arm", "PYTHONPATH": str(folder)}
    return run_mprun("w.yaml", "--transport", transport, cwd=folder, env=env)


def got(folder: Path) -> list[str]:
    """What has arrived, in order within each reader of the queue."""
    return [line for path in sorted(folder.glob("got-*")) for line in path.read_text().splitlines()]


LINES = [f"line {number} " + "x" * (number % 50) for number in range(4000)]
KINDS: dict[str, tuple[Callable[[str], str], Callable[[str], object], dict[str, Any]]] = {
    "lines": (str, str, {}),
    "jsonl": (json.dumps, str, {}),
    "csv": (lambda line: f'"{line}",1', lambda line: {"text": line, "n": 1}, {"types": {"n": "integer"}}),
}
"""How a line is written for each kind, what item it makes, and other options."""


def write(folder: Path, kind: str, suffix: str, files: int) -> list[str]:
    """Write files of lines, and return the items that they make."""
    written, item, _ = KINDS[kind]
    for number in range(files):
        lines = [f"{number} {line}" for line in LINES]
        head = ["text,n"] if kind == "csv" else []
        content = "".join(f"{line}\n" for line in [*head, *map(written, lines)])
        (folder / f"in{number}.txt{suffix}").write_bytes(PACKED[suffix](content.encode()))
    return [str(item(f"{number} {line}")) for number in range(files) for line in LINES]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(int(os.environ.get("MPRUN_KILL_SEEDS", "3"))))
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("suffix", PACKED)
@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_that_is_killed_loses_no_line_and_doubles_none(
    tmp_path: Path, run_mprun: RunMprun, kind: str, suffix: str, count: int, seed: int
) -> None:
    expected = write(tmp_path, kind, suffix, 3)
    run = {kind: {"path": "in*", **KINDS[kind][2]}}
    text = workflow(run, count, restart={"max": 20})

    done = start(tmp_path, run_mprun, text, seed=seed)

    assert 0 == done.returncode, done.stderr
    assert sorted(expected) == sorted(got(tmp_path))
    assert count <= sum(len(path.read_text()) for path in tmp_path.glob("lives-*"))


def test_a_killed_reader_is_replaced_without_a_word_in_the_file(tmp_path: Path, run_mprun: RunMprun) -> None:
    expected = write(tmp_path, "lines", "", 1)

    done = start(tmp_path, run_mprun, workflow({"lines": {"path": "in*"}}, 1), seed=1)

    assert (0, expected) == (done.returncode, got(tmp_path)), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ({"range": {"stop": 20_000}}, [*map(str, range(20_000))]),
        ({"files": {"path": "many/*"}}, [f"many/{number:03}" for number in range(300)]),
    ],
    ids=["range", "files"],
)
def test_so_do_numbers_and_files(
    tmp_path: Path, run_mprun: RunMprun, run: dict[str, Any], expected: list[str], count: int
) -> None:
    (tmp_path / "many").mkdir()
    for number in range(300):
        (tmp_path / "many" / f"{number:03}").touch()

    done = start(tmp_path, run_mprun, workflow(run, count, restart={"max": 20}), seed=7)

    assert 0 == done.returncode, done.stderr
    found = [eval(line)["path"] if "files" in run else line for line in got(tmp_path)]
    assert sorted(expected) == sorted(found)


@pytest.mark.slow
def test_what_was_read_of_a_pipe_is_gone_with_its_reader_and_the_run_says_so(
    tmp_path: Path, run_mprun: RunMprun
) -> None:
    os.mkfifo(tmp_path / "fifo")
    keep_open = os.open(tmp_path / "fifo", os.O_RDWR)
    os.write(keep_open, b"line\n" * 2000)

    text = json.loads(workflow({"lines": {"path": "fifo"}}, 1))
    few = {"items": {"maxsize": 20}}  # so that it takes many messages, of which one is its last

    done = start(tmp_path, run_mprun, json.dumps({**text, "queues": few}), seed=1)
    os.close(keep_open)

    assert 1 == done.returncode
    words = "worker 'reader-1' can't be replaced: what it had read of a pipe or a terminal is gone with it"
    assert words in done.stderr


FEW = {"items": {"maxsize": 20}}
"""A queue that takes many messages, so that a reader comes to its end in the middle of what it sends."""


def killed_reader(
    folder: Path, run_mprun: RunMprun, run: dict[str, Any], seed: int = 1
) -> subprocess.CompletedProcess[str]:
    """Run a source whose worker is killed some times, without a word of that in the file."""
    text = json.loads(workflow(run, 1))
    return start(folder, run_mprun, json.dumps({**text, "queues": FEW}), seed=seed)


@pytest.mark.slow
def test_ticks_come_once_each_though_their_clock_is_killed(tmp_path: Path, run_mprun: RunMprun) -> None:
    done = killed_reader(tmp_path, run_mprun, {"timer": {"every": "1ms", "count": 200}})

    assert 0 == done.returncode, done.stderr
    assert list(range(200)) == [eval(line)["tick"] for line in got(tmp_path)]
    assert "xxx" == (tmp_path / "lives-reader-1").read_text()


PAGES = 30


def page_of(_path: str, query: dict[str, list[str]], _before: int) -> Answer:
    """30 pages of 20 entries; by a link, or by a number."""
    page = int(query.get("page", ["1"])[0])
    entries = [20 * (page - 1) + each for each in range(20)] if page <= PAGES else []
    return 200, {"data": entries, "next": f"?page={page + 1}" if page < PAGES else None}, {}


@pytest.mark.parametrize(
    "options", [{"next": "next"}, {"counter": {"name": "page"}}], ids=["by link", "by number"]
)
@pytest.mark.parametrize("seed", range(int(os.environ.get("MPRUN_KILL_SEEDS", "1"))))
@pytest.mark.quick("0-by number")
def test_pages_are_gone_on_with_where_their_reader_was_killed(
    tmp_path: Path, run_mprun: RunMprun, options: dict[str, Any], seed: int
) -> None:
    api = Api(page_of)

    with closing(api):
        done = killed_reader(
            tmp_path, run_mprun, {"http": {"url": api.url, "items": "data", **options}}, seed
        )

    assert 0 == done.returncode, done.stderr
    assert list(range(20 * PAGES)) == list(map(int, got(tmp_path)))
    assert "xxx" == (tmp_path / "lives-reader-1").read_text()
    again = len(api.asked) - PAGES - (1 if "counter" in options else 0)
    assert again <= 3 * 3, "of what is in already only that page is asked for once more, of which some is not"


@pytest.mark.slow
def test_a_page_that_changes_while_its_reader_is_killed_ends_the_run(
    tmp_path: Path, run_mprun: RunMprun
) -> None:
    api = Api(lambda _path, _query, before: (200, [-before, *range(1, 2000)], {}))

    with closing(api):
        done = killed_reader(tmp_path, run_mprun, {"http": {"url": api.url}})

    assert 1 == done.returncode
    assert f"{api.url}: the page has changed since " in done.stderr
    found = got(tmp_path)
    assert len(set(found)) == len(found)


@pytest.mark.slow
def test_what_was_on_its_way_over_a_connection_is_gone_with_its_reader_and_the_run_says_so(
    tmp_path: Path, run_mprun: RunMprun
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        feed = threading.Thread(target=send_lines, args=(server, 5000))
        feed.start()
        run = {"tcp": {"host": "127.0.0.1", "port": server.getsockname()[1]}}
        text = json.loads(workflow(run, 1))
        done = start(tmp_path, run_mprun, json.dumps({**text, "queues": FEW}), seed=1)
        feed.join()

    assert 1 == done.returncode
    found = list(map(int, got(tmp_path)))
    assert list(range(len(found))) == found, "what came before is there, once"
    assert f"killed by SIGKILL; what it had put, {len(found):,} items, is worked off" in done.stderr


def send_lines(server: socket.socket, count: int) -> None:
    """Send numbers to whoever connects first, as far as it listens."""
    connection, _ = server.accept()
    with connection, suppress(OSError):
        connection.sendall(b"".join(b"%d\n" % number for number in range(count)))


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("kind", ["parquet", "sqlite", "lines"])
def test_so_do_tables_and_what_zstandard_has_packed(
    tmp_path: Path, run_mprun: RunMprun, kind: str, count: int
) -> None:
    rows = [{"n": number} for number in range(30_000)]
    run: dict[str, Any] = {"path": "in.*"}
    if kind == "parquet":
        table = pytest.importorskip("pyarrow").Table.from_pylist(rows)
        pytest.importorskip("pyarrow.parquet").write_table(
            table, tmp_path / "in.parquet", row_group_size=1000
        )
    elif kind == "lines":
        packed = pytest.importorskip("zstandard").compress("".join(f"{row}\n" for row in rows).encode())
        for number in range(3):
            (tmp_path / f"in.{number}.zst").write_bytes(packed)
    elif count == 1:
        with closing(sqlite3.connect(tmp_path / "in.db")) as shop, shop:
            shop.execute("CREATE TABLE t (n)")
            shop.executemany("INSERT INTO t VALUES (:n)", rows)
        run = {"path": "in.db", "table": "t"}
    else:
        pytest.skip("a query is one worker's")

    done = start(tmp_path, run_mprun, workflow({kind: run}, count, restart={"max": 20}), seed=11)

    assert 0 == done.returncode, done.stderr
    assert sorted(map(str, rows * (3 if kind == "lines" else 1))) == sorted(got(tmp_path))
    assert count <= sum(len(path.read_text()) for path in tmp_path.glob("lives-*"))


BAD = b"1\n{\n3\n\xff\n5\n"


@pytest.mark.parametrize("transport", ["leased", "joinable", "inline"])
def test_a_bad_line_fails_the_run_at_once_and_says_where_it_is(
    tmp_path: Path, run_mprun: RunMprun, transport: str
) -> None:
    (tmp_path / "in.jsonl").write_bytes(BAD)

    done = start(tmp_path, run_mprun, workflow({"jsonl": {"path": "in.jsonl"}}, 1), transport=transport)

    assert 1 == done.returncode
    assert "failed on item '{': ValueError: in.jsonl:2:2: not JSON: Expecting property name" in done.stderr


@pytest.mark.parametrize(
    ("transport", "on_error"),
    [("leased", "dead_letter"), ("leased", "skip"), ("joinable", "skip"), ("inline", "skip")],
)
@pytest.mark.quick("leased-skip", "inline-skip")
def test_a_bad_line_goes_its_way_and_the_ledger_counts_it(
    tmp_path: Path, run_mprun: RunMprun, transport: str, on_error: str
) -> None:
    (tmp_path / "in.jsonl").write_bytes(BAD)
    text = workflow({"jsonl": {"path": "in.jsonl"}}, 1, on_error=on_error)

    done = start(tmp_path, run_mprun, text, transport=transport)

    where = "2 dead-lettered" if on_error == "dead_letter" else "2 dropped"
    assert 0 == done.returncode, done.stderr
    assert f"ledger: 5 put = 3 done + {where}" in done.stderr
    assert ["1", "3", "5"] == got(tmp_path)


@pytest.mark.slow
def test_bad_lines_are_counted_once_whatever_is_killed(tmp_path: Path, run_mprun: RunMprun) -> None:
    lines = ["{" if number % 10 == 0 else str(number) for number in range(3000)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    text = workflow({"jsonl": {"path": "in.jsonl"}}, 2, on_error="skip", restart={"max": 20})

    done = start(tmp_path, run_mprun, text, seed=3)

    assert 0 == done.returncode, done.stderr
    assert "ledger: 3,000 put = 2,700 done + 300 dropped" in done.stderr
    assert sorted(line for line in lines if line != "{") == sorted(got(tmp_path))


def test_so_many_bad_lines_are_too_many(tmp_path: Path, run_mprun: RunMprun) -> None:
    (tmp_path / "in.jsonl").write_bytes(BAD)
    text = json.loads(workflow({"jsonl": {"path": "in.jsonl"}}, 1, on_error="skip"))

    done = start(tmp_path, run_mprun, json.dumps({**text, "limits": {"max_errors": 1}}))

    assert 1 == done.returncode
    assert "2 items failed" in done.stderr


def test_a_letter_has_the_line_and_where_it_was(tmp_path: Path, run_mprun: RunMprun) -> None:
    (tmp_path / "in.jsonl").write_text("1\n" + "{" + "x" * 5000 + "\n")
    home = {"MPRUN_HOME": str(tmp_path / "home")}
    (tmp_path / "handlers.py").write_text(HANDLERS)
    (tmp_path / "w.yaml").write_text(workflow({"jsonl": {"path": "in.jsonl"}}, 1, on_error="dead_letter"))

    run_mprun("w.yaml", cwd=tmp_path, env=home)
    shown = run_mprun("dlq", "show", "reading", "--unpickle", "--format", "json", cwd=tmp_path, env=home)

    letter = json.loads(shown.stdout)
    assert ("in.jsonl:2", "reader") == (letter["position"], letter["stage"])
    assert "{" + "x" * 5000 in shown.stdout


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("acess.log", "there is no file 'acess.log'; did you mean 'access.log'?"),
        ("*.gz", "no file matches '*.gz'"),
        ("memory://*.gz", "'memory://*.gz': a URL names one file, and no pattern: list each"),
        ("logs", "'logs' is a folder; `logs/*` is all that is in it"),
        (["access.log", "b/c.log"], "there is no file 'b/c.log': there is no folder 'b'"),
    ],
)
@pytest.mark.quick("path4-there is no file 'b/c.log': there is no folder 'b'")
def test_what_is_not_there_is_named(
    tmp_path: Path, run_mprun: RunMprun, path: str | list[str], words: str
) -> None:
    (tmp_path / "access.log").write_text("x\n")
    (tmp_path / "logs").mkdir()

    done = start(tmp_path, run_mprun, workflow({"lines": {"path": path}}, 1))

    assert 1 == done.returncode
    assert f"stage 'reader' can't begin: {words}" in done.stderr


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, run_mprun: RunMprun) -> None:
    (tmp_path / "in.txt").symlink_to("/proc/self/mem")  # nobody reads its beginning, root included

    done = start(tmp_path, run_mprun, workflow({"lines": {"path": "in.txt"}}, 1))

    assert 1 == done.returncode
    assert "'in.txt' can't be read: Input/output error" in done.stderr


@pytest.mark.parametrize("stage", ["lines", "timer"])
@pytest.mark.quick("lines")
def test_whoever_waits_for_input_ends_when_the_run_is_stopped(
    tmp_path: Path, mprun: Path, plain_env: dict[str, str], stage: str
) -> None:
    os.mkfifo(tmp_path / "fifo")
    keep_open = os.open(tmp_path / "fifo", os.O_RDWR)
    os.write(keep_open, b"first\nhalf a line")
    run = {"lines": {"path": "fifo"}} if stage == "lines" else {"timer": {"every": "1h"}}
    (tmp_path / "handlers.py").write_text("import sys\ndef say(item): print('got', flush=True)\n")
    text = json.loads(workflow(run, 1))
    text["stages"]["note"]["run"] = "handlers:say"
    (tmp_path / "w.yaml").write_text(
        json.dumps({**text, "limits": {"close_timeout": "1h", "stop_timeout": "1h"}})
    )

    with subprocess.Popen(
        [mprun, "w.yaml"],
        cwd=tmp_path,
        env=plain_env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert "got" == process.stdout.readline().strip()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    os.close(keep_open)

    assert 130 == process.returncode
    assert "ledger: 1 put = 1 done" in stderr


def test_a_file_that_another_stage_has_written_is_found(tmp_path: Path, run_mprun: RunMprun) -> None:
    text = json.loads(workflow({"lines": {"path": "late.txt"}}, 1, needs=["write"]))
    text["stages"]["write"] = {"run": {"command": "echo late > late.txt"}}

    done = start(tmp_path, run_mprun, json.dumps(text))

    assert (0, ["late"]) == (done.returncode, got(tmp_path)), done.stderr


@pytest.mark.parametrize(
    ("kind", "lines", "wrong", "right", "expected"),
    [
        ("lines", b"a\n\xe9\n", {}, {"encoding": "latin-1"}, ["é"]),
        ("csv", b"n\n1\nx\n", {"types": {"n": "integer"}}, {"types": {"n": "text"}}, ["{'n': 'x'}"]),
    ],
)
@pytest.mark.quick("lines")
def test_a_letter_is_read_anew_with_the_options_of_its_replay(
    tmp_path: Path,
    run_mprun: RunMprun,
    kind: str,
    lines: bytes,
    wrong: dict[str, Any],
    right: dict[str, Any],
    expected: list[str],
) -> None:
    home = {"MPRUN_HOME": str(tmp_path / "home")}
    (tmp_path / "in.txt").write_bytes(lines)
    (tmp_path / "handlers.py").write_text(HANDLERS)
    (tmp_path / "w.yaml").write_text(workflow({kind: {"path": "in.txt", **wrong}}, 1, on_error="dead_letter"))
    run_mprun("w.yaml", cwd=tmp_path, env=home)
    (tmp_path / "got-note-1").unlink()

    in_vain = run_mprun("dlq", "replay", "reading", cwd=tmp_path, env=home)
    (tmp_path / "w.yaml").write_text(workflow({kind: {"path": "in.txt", **right}}, 1, on_error="dead_letter"))
    done = run_mprun("dlq", "replay", "reading", cwd=tmp_path, env=home)

    assert "ledger: 1 put = 0 done + 1 dead-lettered" in in_vain.stderr
    assert (0, expected) == (done.returncode, got(tmp_path)), done.stderr


@pytest.mark.slow
def test_how_far_it_is_is_told_once_a_second(tmp_path: Path, run_mprun: RunMprun) -> None:
    (tmp_path / "in.txt").write_text("0.001\n" * 2500)
    (tmp_path / "handlers.py").write_text("import time\ndef wait(line): time.sleep(float(line))\n")
    text = json.loads(workflow({"lines": {"path": "in.txt"}}, 2))
    text["stages"]["note"]["run"] = "handlers:wait"
    (tmp_path / "w.yaml").write_text(json.dumps({**text, "queues": {"items": {"maxsize": 10}}}))

    run_mprun("w.yaml", "--events", "events.jsonl", cwd=tmp_path)

    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    told = [each["stages"] for each in events if each["event"] == "run.progress"]
    shown = [
        (stage["read"], stage["to_read"]) for stages in told for stage in stages if stage["name"] == "reader"
    ]
    assert (15_000, 15_000) in shown
