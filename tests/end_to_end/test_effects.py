"""What items have done outside mprun, when workers are killed: whoever exits 0 has done all of it."""

from __future__ import annotations

import re
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

PRELUDE = """
import os, signal, sqlite3
from pathlib import Path

def count(last):
    yield from range(last)

def die_once():
    if not Path("died").exists():
        Path("died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
"""

TOTAL = """
class Handler:
    def __init__(self):
        self.total = 0

    def __call__(self, item):
        if item == 700:
            die_once()
        self.total += 1

    def close(self):
        print("counted", self.total)
"""

BATCHES = """
class Handler:
    def __init__(self):
        self.batch = []

    def __call__(self, item):
        if item == 700:
            die_once()
        self.batch.append(item)
        if len(self.batch) == 32:
            self.close()

    def close(self):
        for item in self.batch:
            print(item)
        self.batch = []
"""

ROWS = """
class Handler:
    def __init__(self):
        self.rows = sqlite3.connect("rows.db")
        self.rows.execute("create table if not exists rows (item)")
        self.pending = 0

    def __call__(self, item):
        if item == 700:
            die_once()
        self.rows.execute("insert into rows values (?)", (item,))
        self.pending += 1
        if self.pending == 500:
            self.close()

    def close(self):
        self.rows.commit()
        self.pending = 0
"""

LINES = """
class Handler:
    def __init__(self):
        self.lines = open("lines.txt", "a")

    def __call__(self, item):
        if item == 700:
            die_once()
        self.lines.write(f"{item}\\n")

    def close(self):
        self.lines.close()
"""

GREETER = """
class Handler:
    def __init__(self):
        self.word = "ate"

    def __call__(self, item):
        if item == 700:
            die_once()
        os.write(1, f"{self.word} {item}\\n".encode())
"""


def run(run_mprun: RunMprun, folder: Path, source: str, *more: str) -> subprocess.CompletedProcess[str]:
    (folder / "kitchen.py").write_text(PRELUDE + source, encoding="utf-8")
    (folder / "kitchen.yaml").write_text(
        "name: kitchen\n"
        "stages:\n"
        "  chef: {run: kitchen:count, with: {last: 1000}, to: q}\n"
        "  eater: {run: kitchen:Handler, from: q}\n",
        encoding="utf-8",
    )
    return run_mprun("run", "kitchen.yaml", "-q", *more, cwd=folder)


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("source", "attribute"),
    [(TOTAL, "total"), (BATCHES, "batch"), (ROWS, "pending"), (LINES, "lines")],
    ids=["a total", "batches of 32", "rows committed by the 500", "lines that are not flushed"],
)
@pytest.mark.quick("a total", "lines that are not flushed")
def test_what_a_killed_worker_kept_of_its_items_is_missed(
    run_mprun: RunMprun, tmp_path: Path, source: str, attribute: str, start: str
) -> None:
    done = run(run_mprun, tmp_path, source, "--set", f"stages.eater.start_method={start}")

    assert done.returncode == 1
    assert re.search(
        rf"kept of 700 items in `self.{attribute}` \(kitchen.py, line \d+\) is lost", done.stderr
    )


OTHER_FILE = """
class Tally:
    def __init__(self):
        self.total = 0

    def add(self, item):
        self.total += 1
"""

IN_OBJECT = """
import atexit
from other import Tally

class Handler:
    def __init__(self):
        self.tally = Tally()

    def __call__(self, item):
        if item == 700:
            die_once()
        self.tally.add(item)

    def close(self):
        print("counted", self.tally.total)
"""

IN_MODULE = """
import atexit

total = 0

def Handler(item):
    global total
    if item == 700:
        die_once()
    total += 1

atexit.register(lambda: print("counted", total))
"""

IN_DEFAULT = """
def Handler(item, seen=set()):
    if item == 700:
        die_once()
    seen.add(item)
    if len(seen) == 1000:
        print("counted", len(seen))
"""

IN_CLOSURE = """
def counter():
    total = 0

    def count_one(item):
        nonlocal total
        if item == 700:
            die_once()
        total += 1

    return count_one

Handler = counter()
"""

IN_PARTIAL = """
from functools import partial
from heapq import heappush

class Handler:
    def __init__(self):
        self.heap = []
        self.push = partial(heappush, self.heap)

    def __call__(self, item):
        if item == 700:
            die_once()
        self.push(item)
"""

IN_TABLE = """
class Handler:
    def __init__(self):
        self.even, self.table = 0, {0: self.count, 1: self.skip}

    def __call__(self, item):
        if item == 700:
            die_once()
        self.table[item % 2](item)

    def count(self, item):
        self.even += 1

    def skip(self, item):
        pass
"""


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (IN_OBJECT, r"`self.tally.total` \(other.py, line 7\)"),
        (IN_MODULE, r"the global `total` \(kitchen.py, line \d+\)"),
        (IN_DEFAULT, r"`seen`, a default in kitchen.py \(line \d+\)"),
        (IN_CLOSURE, r"the global `Handler` \(kitchen.py, line \d+\)"),
        (IN_PARTIAL, r"`self.heap` \(kitchen.py, line \d+\)"),
        (IN_TABLE, r"`self.even` \(kitchen.py, line \d+\)"),
    ],
    ids=[
        "an object of another file",
        "a global",
        "a default",
        "a closure",
        "a partial",
        "a table of methods",
    ],
)
@pytest.mark.quick("a global", "a closure")
def test_what_a_killed_worker_kept_is_missed_wherever_it_kept_it(
    run_mprun: RunMprun, tmp_path: Path, source: str, shown: str
) -> None:
    (tmp_path / "other.py").write_text(OTHER_FILE, encoding="utf-8")

    done = run(run_mprun, tmp_path, source)

    assert 1 == done.returncode, done.stderr
    assert re.search(rf"kept of 700 items in {shown} is lost", done.stderr)


def test_a_cache_and_a_model_are_made_again_and_nothing_is_missed(
    run_mprun: RunMprun, tmp_path: Path
) -> None:
    source = """
    model, squares = None, {}

    def Handler(item):
        global model
        if model is None:
            model = str()
        if item == 700:
            die_once()
        if item not in squares:
            squares[item] = pow(item, 2)
        os.write(1, f"{model}{squares[item]}\\n".encode())
    """
    done = run(run_mprun, tmp_path, textwrap.dedent(source))

    assert (0, [str(item * item) for item in range(1000)]) == (done.returncode, done.stdout.splitlines())


@pytest.mark.parametrize(
    "more", [["--set", "stages.eater.state=none"], ["--set", "stages.eater.restart=crash"]]
)
def test_where_the_file_says_so_another_begins_anew(
    run_mprun: RunMprun, tmp_path: Path, more: list[str]
) -> None:
    done = run(run_mprun, tmp_path, TOTAL, *more)

    assert (0, "counted 300\n") == (done.returncode, done.stdout)


def test_a_class_that_keeps_nothing_is_replaced_and_all_is_done(run_mprun: RunMprun, tmp_path: Path) -> None:
    done = run(run_mprun, tmp_path, GREETER)

    assert (0, [f"ate {item}" for item in range(1000)]) == (done.returncode, done.stdout.splitlines())


def test_lines_that_are_flushed_are_all_there(run_mprun: RunMprun, tmp_path: Path) -> None:
    flushed = LINES.replace('\\n")\n', '\\n")\n        self.lines.flush()\n')

    done = run(run_mprun, tmp_path, flushed)

    lines = (tmp_path / "lines.txt").read_text(encoding="utf-8").splitlines()
    assert (0, [str(item) for item in range(1000)]) == (done.returncode, lines)


def test_a_class_that_only_running_its_module_tells_of_is_missed_too(
    run_mprun: RunMprun, tmp_path: Path
) -> None:
    done = run(run_mprun, tmp_path, TOTAL + "\nHandler = type('Summer', (Handler,), {})\n")

    assert done.returncode == 1
    assert "kept of 700 items is lost, if it kept anything: the source of Summer can't be read" in done.stderr


def test_a_decorated_function_is_done_when_it_has_returned(run_mprun: RunMprun, tmp_path: Path) -> None:
    source = """
    class Logged:
        def __init__(self, call):
            self.__wrapped__ = call

        def __call__(self, item):
            return self.__wrapped__(item)

    @Logged
    def Handler(item):
        if item == 700:
            die_once()
        os.write(1, f"{item}\\n".encode())
    """
    done = run(run_mprun, tmp_path, textwrap.dedent(source))

    assert (0, [str(item) for item in range(1000)]) == (done.returncode, done.stdout.splitlines())


def test_a_worker_that_is_killed_at_its_first_item_has_nothing_to_lose(
    run_mprun: RunMprun, tmp_path: Path
) -> None:
    done = run(run_mprun, tmp_path, TOTAL.replace("item == 700", "item == 0"))

    assert (0, "counted 1000\n") == (done.returncode, done.stdout)


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
@pytest.mark.parametrize("transport", ["leased", "joinable"])
def test_shared_memory_of_a_killed_worker_is_removed(
    run_mprun: RunMprun, tmp_path: Path, transport: str, start: str
) -> None:
    (tmp_path / "kitchen.py").write_text(
        "import os, signal\n"
        "from multiprocessing import shared_memory\n"
        "from pathlib import Path\n"
        "def job():\n"
        "    block = shared_memory.SharedMemory(create=True, size=1000)\n"
        "    Path('name').write_text(block.name)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n",
        encoding="utf-8",
    )
    (tmp_path / "kitchen.yaml").write_text(
        f"name: kitchen\ntransport: {transport}\nstages:\n  job: {{run: kitchen:job, start_method: {start}}}\n",
        encoding="utf-8",
    )

    ended = run_mprun("run", "kitchen.yaml", "-q", cwd=tmp_path)

    assert 1 == ended.returncode, ended.stderr
    assert not (Path("/dev/shm") / (tmp_path / "name").read_text()).exists()
