"""What a handler leaves undone in ways that no source shows, when its worker is killed: the run fails and says what.

The handlers call what does it by a name that only running them tells, so that the look at their source finds nothing.
"""

from __future__ import annotations

import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

PRELUDE = """
import asyncio, functools, gzip, logging, logging.handlers, multiprocessing, os, signal, sqlite3, subprocess
import threading, time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

def count(last):
    yield from range(last)

def Handler(item):
    if item == 700 and not Path("died").exists():
        Path("died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    globals()["store"](item)

def write(item):
    os.write(1, f"{item}\\n".encode())

def write_later(item, seconds=0.005):
    time.sleep(seconds)
    write(item)

"""

LEFT = {
    "a file of a cached function": (
        """
        @functools.cache
        def lines(): return open("lines.txt", "a")
        def store(item): lines().write(f"{item}\\n")
        """,
        "lines.txt was not flushed",
    ),
    "one of many files": (
        """
        files = {}
        def store(item):
            name = f"lines-{item % 3}.txt"
            if name not in files: files[name] = open(name, "a")
            files[name].write(f"{item}\\n")
        """,
        ".txt was not flushed",
    ),
    "a packed file": (
        """
        packed = gzip.open("lines.gz", "at")
        def store(item): packed.write(f"{item}\\n")
        """,
        "a GzipFile is whole only once it is closed",
    ),
    "rows of a database in a default": (
        """
        def store(item, rows=sqlite3.connect("rows.db")):
            rows.execute("create table if not exists rows (item)")
            rows.execute("insert into rows values (?)", (item,))
        """,
        "a transaction in SQLite is not committed",
    ),
    "work for an executor": (
        """
        pool = ThreadPoolExecutor(2)
        def store(item): pool.submit(write_later, item)
        """,
        "of an executor has work to do",
    ),
    "work for processes": (
        """
        pool = None
        def store(item):
            global pool
            pool = pool or ProcessPoolExecutor(2)
            pool.submit(write_later, item)
        """,
        "of a pool of processes has work to do",
    ),
    "a thread": (
        """
        def store(item): threading.Thread(target=write_later, args=(item, 0.1)).start()
        """,
        "which a call has begun, is at work",
    ),
    "a program": (
        """
        def store(item):
            if item % 100 == 0: subprocess.Popen(["sleep", "5"])
        """,
        "), which a call has begun, is still running",
    ),
    "a task": (
        """
        loop = asyncio.new_event_loop()
        async def later(item):
            await asyncio.sleep(5)
        async def begin(item):
            loop.create_task(later(item))
        def store(item): loop.run_until_complete(begin(item))
        """,
        "a task of asyncio, later(), has not ended",
    ),
    "lines of a log": (
        """
        log = logging.getLogger("rows")
        log.setLevel("INFO")
        log.propagate = False
        log.addHandler(logging.handlers.MemoryHandler(10_000, target=logging.FileHandler("lines.txt")))
        def store(item): log.info("%s", item)
        """,
        "a MemoryHandler has lines in its buffer",
    ),
}

WAITED_FOR = {
    "a file that is flushed": """
        @functools.cache
        def lines(): return open("lines.txt", "a")
        def store(item):
            print(item, file=lines(), flush=True)
            write(item)
        """,
    "rows that are committed": """
        @functools.cache
        def rows():
            rows = sqlite3.connect("rows.db")
            rows.execute("create table if not exists rows (item)")
            return rows
        def store(item):
            with rows() as open_rows: open_rows.execute("insert into rows values (?)", (item,))
            write(item)
        """,
    "work for an executor": """
        pool = ThreadPoolExecutor(2)
        def store(item): list(pool.map(write, [item]))
        """,
    "work for processes": """
        pool = None
        def store(item):
            global pool
            pool = pool or ProcessPoolExecutor(2)
            write(pool.submit(abs, item).result())
        """,
    "a thread": """
        def store(item):
            begun = threading.Thread(target=write, args=(item,))
            begun.start()
            begun.join()
        """,
}

START = pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])


def run(
    run_mprun: RunMprun, folder: Path, source: str, start: str, more: str = ""
) -> subprocess.CompletedProcess[str]:
    (folder / "kitchen.py").write_text(PRELUDE + textwrap.dedent(source), encoding="utf-8")
    (folder / "kitchen.yaml").write_text(
        "name: kitchen\n"
        "stages:\n"
        "  chef: {run: kitchen:count, with: {last: 1000}, to: q}\n"
        f"  eater: {{run: kitchen:Handler, from: q, start_method: {start}{more}}}\n",
        encoding="utf-8",
    )
    return run_mprun("run", "kitchen.yaml", "--log-level", "warning", cwd=folder)


@START
@pytest.mark.parametrize(("source", "what"), LEFT.values(), ids=LEFT)
@pytest.mark.quick("a thread", "one of many files", "work for an executor", "a program")
def test_what_a_killed_worker_had_left_undone_is_missed(
    run_mprun: RunMprun, tmp_path: Path, source: str, what: str, start: str
) -> None:
    done = run(run_mprun, tmp_path, source, start)

    assert 1 == done.returncode, done.stderr
    assert "what it had not made safe of 700 items is lost: " in done.stderr
    assert what in done.stderr
    assert "state.held" in done.stderr


@START
@pytest.mark.parametrize("source", WAITED_FOR.values(), ids=WAITED_FOR)
@pytest.mark.quick("a file that is flushed-fork")
def test_what_a_call_waits_for_is_safe(run_mprun: RunMprun, tmp_path: Path, source: str, start: str) -> None:
    done = run(run_mprun, tmp_path, source, start)

    assert (0, [str(item) for item in range(1000)]) == (done.returncode, done.stdout.splitlines()), (
        done.stderr
    )
    assert "state.held" not in done.stderr


def test_in_batches_it_is_missed_too(run_mprun: RunMprun, tmp_path: Path) -> None:
    source = """
    @functools.cache
    def lines(): return open("lines.txt", "a")
    def Handler(items):
        if 700 in items and not Path("died").exists():
            Path("died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        globals()["lines"]().writelines(f"{item}\\n" for item in items)
    """
    done = run(run_mprun, tmp_path, source, "fork", ", batch: 7")

    assert 1 == done.returncode, done.stderr
    assert "of 700 items is lost: lines.txt was not flushed" in done.stderr


@pytest.mark.parametrize("more", [", state: none", ", restart: crash"])
def test_where_the_file_says_that_it_does_not_matter_nobody_looks(
    run_mprun: RunMprun, tmp_path: Path, more: str
) -> None:
    done = run(run_mprun, tmp_path, LEFT["a file of a cached function"][0], "fork", more)

    assert 0 == done.returncode, done.stderr
    assert "state.held" not in done.stderr
