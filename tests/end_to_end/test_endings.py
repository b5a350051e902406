"""How workers end, by what is left behind: files, rows, folders, processes. Real runs, under every transport."""

from __future__ import annotations

import atexit
import gc
import gzip
import io
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.composition import run_file
from runner.events.report import Report

Run = Callable[..., Report]
RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

TRANSPORTS = ("leased", "joinable", "inline")
TWO_STAGES = 'stages: {src: {run: "kitchen:src", to: q}, sink: {run: "kitchen:sink", from: q}}'


class Keeper:
    """Keeps the events of a run."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def observe(self, event: Any) -> None:
        """Keep it."""
        self.events.append(event)

    def close(self) -> None:
        """Nothing to flush."""


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


@pytest.fixture
def events(keeper: Keeper) -> list[Any]:
    """The events of all that `run` has run."""
    return keeper.events


@pytest.fixture
def run(tmp_path: Path, keeper: Keeper) -> Iterator[Run]:
    """Run a workflow of `source` with the handlers of `kitchen`, in a folder of its own."""

    def run_here(
        source: str, kitchen: str, transport: str = "leased", method: str = "fork", *more: str
    ) -> Report:
        (tmp_path / "kitchen.py").write_text(textwrap.dedent(kitchen), encoding="utf-8")
        file = tmp_path / "scene.yaml"
        file.write_text("name: scene\n" + textwrap.dedent(source), encoding="utf-8")
        settings = ["limits.timeout=40s", f"defaults.stage.start_method={method}", *more]
        return run_file(file, overrides=settings, transport=transport, observers=[keeper])

    yield run_here
    close_files_of(tmp_path)


def close_files_of(folder: Path) -> None:
    """Under `inline` a handler's files are this process's, and stay open as the handler leaves them."""
    for each in gc.get_objects():
        if type(each) is io.TextIOWrapper and str(each.name).startswith(str(folder)):
            each.close()


@pytest.mark.parametrize(
    ("transport", "method"), [*((name, "fork") for name in TRANSPORTS), ("leased", "spawn")]
)
@pytest.mark.quick("fork")
def test_a_module_that_leaves_at_its_import_fails_the_run(
    run: Run, tmp_path: Path, transport: str, method: str
) -> None:
    (tmp_path / "script.py").write_text(
        "import sys\ndef src():\n    yield 1\nsys.exit(0)\n", encoding="utf-8"
    )
    source = """
        stages:
          good: {run: "kitchen:src", to: q}
          script: {run: "script:src", to: q}
          sink: {run: "kitchen:sink", from: q}
        """

    report = run(source, "def src():\n    yield 0\ndef sink(item): ...\n", transport, method)

    assert report.exit_code != 0
    assert "script.py called sys.exit while it was imported" in str(report.reason)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_except_exception_round_an_item_does_not_swallow_the_end(run: Run, transport: str) -> None:
    kitchen = """
        def src():
            yield from range(5)
        def sink(queue):
            while True:
                try:
                    queue.get()
                    queue.task_done()
                except Exception:
                    pass
        """

    report = run(
        'stages: {src: {run: "kitchen:src", to: q}, sink: {run: "kitchen:sink", from: q}}', kitchen, transport
    )

    assert (0, 5) == (report.exit_code, report.queue("q").done)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_cancelled_item_obeys_its_stage(run: Run, transport: str) -> None:
    kitchen = """
        import asyncio
        def src():
            yield from range(4)
        def sink(item):
            if item == 2:
                raise asyncio.CancelledError
        """
    source = """
        limits: {max_errors: 1}
        stages:
          src: {run: "kitchen:src", to: q}
          sink: {run: "kitchen:sink", from: q, on_error: skip}
        """

    report = run(source, kitchen, transport)

    assert (0, 3, 1) == (report.exit_code, report.queue("q").done, report.queue("q").dropped)


def unzipped(file: Path) -> str:
    """Read a text file of gzip's; a half one is an error."""
    return gzip.decompress(file.read_bytes()).decode()


PROCESSES = [("leased", "fork"), ("leased", "spawn"), ("joinable", "fork")]


@pytest.mark.parametrize(("transport", "method"), PROCESSES)
@pytest.mark.quick("leased-fork")
def test_a_worker_ends_as_python_ends(run: Run, tmp_path: Path, transport: str, method: str) -> None:
    kitchen = """
        import atexit, gzip, os, tempfile, threading, time
        from pathlib import Path
        HERE = Path(__file__).parent
        STATE = {"lines": open(HERE / f"lines-{os.getpid()}.txt", "w")}
        ZIPPED = gzip.open(HERE / f"zipped-{os.getpid()}.gz", "wt")
        SCRATCH = tempfile.TemporaryDirectory(dir=HERE, prefix="scratch-")
        atexit.register(lambda: (HERE / f"atexit-{os.getpid()}").touch())
        def src():
            yield from range(10)
        def late():
            time.sleep(0.2)
            (HERE / "thread").touch()
        def sink(item):
            STATE["lines"].write(f"{item}\\n")
            ZIPPED.write(f"{item}\\n")
            if item == 9:
                threading.Thread(target=late).start()
        """

    report = run(TWO_STAGES, kitchen, transport, method)

    assert 0 == report.exit_code
    wanted = [f"{n}\n" for n in range(10)]
    assert wanted == [line for file in tmp_path.glob("lines-*") for line in file.read_text().splitlines(True)]
    assert wanted == [
        line + "\n" for file in tmp_path.glob("zipped-*") for line in unzipped(file).splitlines()
    ]
    assert [] == list(tmp_path.glob("scratch-*"))
    assert 2 == len(list(tmp_path.glob("atexit-*")))
    assert (tmp_path / "thread").exists()


def test_a_command_that_leaves_a_program_behind_is_no_longer_waited_for(run: Run, events: list[Any]) -> None:
    source = """
        stages:
          src: {run: {command: "echo a; (sleep 600) &"}, to: q}
          pipe: {run: {command: "echo ${{ item }}; (sleep 600) &"}, from: q, to: r}
          sink: {run: {command: "sleep 600 & test ${{ item }} = a"}, from: r}
        """

    report = run(source, "")

    assert (report.exit_code, [queue.done for queue in report.queues]) == (0, [1, 1])
    assert [event for event in events if event.kind == "worker.logged"] == []


@pytest.mark.parametrize("end", ["r", "w"])
@pytest.mark.slow
def test_a_thread_that_waits_at_a_file_keeps_no_worker_for_ever(run: Run, end: str) -> None:
    kitchen = f"""
        import os, threading

        def src():
            ends = dict(zip("rw", os.pipe()))
            global kept
            kept = ends, open(ends["{end}"], "{end}b")
            wait = kept[1].read if "{end}" == "r" else lambda: kept[1].write(bytes(1 << 20))
            threading.Thread(target=wait, daemon=True).start()
            yield 1

        def sink(item): ...
        """

    report = run(TWO_STAGES + "\nlimits: {close_timeout: 500ms}", kitchen)

    assert report.exit_code == 0
    assert report.seconds < 20


def test_an_inline_worker_leaves_no_program_and_no_unwritten_line(run: Run, tmp_path: Path) -> None:
    kitchen = """
        import os
        from pathlib import Path
        STATE = {}
        def job():
            STATE["out"] = open(Path(__file__).parent / "out", "w")
            STATE["out"].write("line")
            STATE["pid"] = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "777")
            STATE["out"].write(f" {STATE['pid']}")
        """

    report = run('stages: {job: {run: "kitchen:job"}}', kitchen, "inline")

    word, pid = (tmp_path / "out").read_text().split()
    assert (0, "line") == (report.exit_code, word)
    assert signal.SIGKILL == os.WTERMSIG(os.waitpid(int(pid), 0)[1])
    # Or its end would be a warning in whichever test it falls into.
    sys.modules["kitchen"].STATE["out"].close()


def test_what_belongs_to_the_program_does_not_end_with_a_worker(run: Run, tmp_path: Path) -> None:
    ended: list[int] = []
    atexit.register(ended.append, 1)
    folder = tempfile.TemporaryDirectory(dir=tmp_path)
    with (tmp_path / "own.txt").open("w") as own:
        own.write("once\n")

        report = run('stages: {one: {run: "kitchen:one"}}', "def one(): ...\n")

    assert (0, "once\n") == (report.exit_code, (tmp_path / "own.txt").read_text())
    assert Path(folder.name).exists()
    folder.cleanup()
    atexit.unregister(ended.append)


@pytest.mark.parametrize(("transport", "method"), PROCESSES)
@pytest.mark.parametrize("ends", ["pass", "raise ValueError"])
@pytest.mark.quick("raise ValueError-leased-fork")
def test_no_shared_memory_is_left(run: Run, tmp_path: Path, transport: str, method: str, ends: str) -> None:
    kitchen = f"""
        from multiprocessing import shared_memory
        from pathlib import Path
        def job():
            block = shared_memory.SharedMemory(create=True, size=1000)
            (Path(__file__).parent / "name").write_text(block.name)
            {ends}
        """

    run('stages: {job: {run: "kitchen:job"}}', kitchen, transport, method)

    left = Path("/dev/shm") / (tmp_path / "name").read_text()
    # Where a worker is spawned, the tracker is this program's, and looks at its end.
    assert method == "spawn" or not left.exists()
    left.unlink(missing_ok=True)


@pytest.mark.parametrize(("transport", "method"), PROCESSES)
@pytest.mark.quick("leased-fork")
def test_a_thread_that_does_not_end_keeps_no_worker_for_ever(
    run: Run, events: list[Any], transport: str, method: str
) -> None:
    kitchen = """
        import threading, time
        def beat():
            while True:
                time.sleep(0.1)
        def src():
            yield from range(3)
        class Sink:
            def __init__(self):
                threading.Thread(target=beat, name="heartbeat").start()
            def __call__(self, item): ...
        """
    source = "limits: {close_timeout: 300ms}\n" + TWO_STAGES.replace('sink"', 'Sink"')

    report = run(source, kitchen, transport, method)

    assert (0, 3) == (report.exit_code, report.queue("q").done)
    (warning,) = [event.message for event in events if event.kind == "worker.logged"]
    assert "limits.close_timeout, 300ms" in warning
    assert "thread 'heartbeat'" in warning


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.quick("leased")
def test_a_thread_of_a_handler_is_waited_for(run: Run, tmp_path: Path, transport: str) -> None:
    kitchen = """
        import threading, time
        from pathlib import Path
        def work():
            time.sleep(0.2)
            (Path(__file__).parent / "late").write_text("done")
        def job():
            threading.Thread(target=work).start()
        """

    report = run('stages: {job: {run: "kitchen:job"}}', kitchen, transport)

    assert (0, "done") == (report.exit_code, (tmp_path / "late").read_text())


@pytest.mark.parametrize(
    ("starts", "name"),
    [
        ("threading.Thread(target=beat, name='heartbeat').start()", "heartbeat"),
        ("self.pool = ThreadPoolExecutor(1, 'heartbeat'); self.pool.submit(beat)", "heartbeat_0"),
    ],
)
@pytest.mark.quick("self.pool = ThreadPoolExecutor(1, 'heartbeat'); self.pool.submit(beat)-heartbeat_0")
def test_a_thread_under_inline_keeps_the_command_no_longer_than_a_worker(
    run_mprun: RunMprun, tmp_path: Path, starts: str, name: str
) -> None:
    (tmp_path / "kitchen.py").write_text(
        "import threading, time\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "def beat():\n    while True: time.sleep(0.1)\n"
        "def src():\n    yield from range(3)\n"
        f"class Sink:\n    def __init__(self):\n        {starts}\n    def __call__(self, item): ...\n"
    )
    (tmp_path / "w.yaml").write_text(
        "name: w\nlimits: {close_timeout: 300ms}\nstages:\n"
        "  src: {run: 'kitchen:src', to: q}\n  sink: {run: 'kitchen:Sink', from: q}\n"
    )

    ended = run_mprun("run", "w.yaml", "--transport", "inline", cwd=tmp_path)

    assert 0 == ended.returncode, ended.stderr
    assert "ledger: 3 put = 3 done" in ended.stderr
    assert (
        f"ended after limits.close_timeout, 300ms, although there still was thread '{name}'" in ended.stderr
    )


STOPPED = """
    import os, signal, time
    from pathlib import Path
    HERE = Path(__file__).parent
    def stop():
        os.kill(int(os.environ["RUN_PID"]), signal.SIGTERM)
    def many():
        yield from range(20000)
    def idle():
        yield from range(5)
        time.sleep(60)
    class Save:
        def __init__(self):
            self.rows = 0
        def __call__(self, item):
            if item == 3:
                stop()
            time.sleep(0.005)
            self.rows += 1
        def close(self):
            (HERE / "rows").write_text(str(self.rows))
    class Pass:
        def __call__(self, item):
            return item
        def close(self):
            (HERE / "passed").touch()
    """
STOPPED_RUNS = [
    ("leased", "fork", "many"),
    ("leased", "fork", "idle"),
    ("leased", "spawn", "many"),
    ("joinable", "fork", "many"),
    ("joinable", "fork", "idle"),
    ("inline", "fork", "many"),
]


@pytest.mark.parametrize(("transport", "method", "source"), STOPPED_RUNS)
@pytest.mark.quick("leased-fork-many")
def test_a_stopped_run_closes_what_is_done(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: str, method: str, source: str
) -> None:
    monkeypatch.setenv("RUN_PID", str(os.getpid()))
    workflow = f"""
        limits: {{stop_timeout: 300ms}}
        queues: {{mid: {{maxsize: 3}}}}
        stages:
          src: {{run: "kitchen:{source}", to: q}}
          pass: {{run: "kitchen:Pass", from: q, to: mid}}
          save: {{run: "kitchen:Save", from: mid, state: none}}
        """

    report = run(workflow, STOPPED, transport, method)

    done = report.queue("mid").done
    assert (143, str(done)) == (report.exit_code, (tmp_path / "rows").read_text())
    assert done >= 4
    assert (tmp_path / "passed").exists()


FAILED = """
    import time
    from pathlib import Path
    HERE = Path(__file__).parent
    def many():
        try:
            yield from range(20000)
        finally:
            (HERE / "finally").touch()
    class Pass:
        def __call__(self, item):
            return item
        def close(self):
            (HERE / "passed").touch()
    class Save:
        def __init__(self):
            self.rows = 0
        def __call__(self, item):
            time.sleep(0.002)
            self.rows += 1
            if self.rows == 3:
                (HERE / "enough").touch()
        def close(self):
            (HERE / "rows").write_text(str(self.rows))
    def one():
        yield 1
    def bad(item):
        while not (HERE / "enough").exists():
            time.sleep(0.01)
        raise ValueError("too much")
    """
FAILED_STAGES = """
    queues: {mid: {maxsize: 3}}
    stages:
      src: {run: "kitchen:many", to: q}
      pass: {run: "kitchen:Pass", from: q, to: mid}
      save: {run: "kitchen:Save", from: mid, state: none}
    """
FAILED_RUN = f"""{FAILED_STAGES}  one: {{run: "kitchen:one", to: other}}
      bad: {{run: "kitchen:bad", from: other}}
    """
SPAWNED = pytest.param("leased", "spawn", marks=pytest.mark.slow)


@pytest.mark.parametrize(("transport", "method"), [("leased", "fork"), SPAWNED, ("joinable", "fork")])
@pytest.mark.quick("leased-fork")
def test_the_failure_of_one_stage_lets_the_others_close(
    run: Run, tmp_path: Path, transport: str, method: str
) -> None:
    report = run(FAILED_RUN, FAILED, transport, method)

    done = report.queue("mid").done
    assert (1, str(done)) == (report.exit_code, (tmp_path / "rows").read_text())
    assert "ValueError: too much" in str(report.reason)
    assert done >= 3
    assert (tmp_path / "passed").exists()
    assert (tmp_path / "finally").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("transport", "method"), [*PROCESSES, ("inline", "fork")])
def test_the_time_limit_lets_all_close(run: Run, tmp_path: Path, transport: str, method: str) -> None:
    limit = "6s" if method == "spawn" else "1500ms"
    report = run(FAILED_STAGES, FAILED, transport, method, f"limits.timeout={limit}")

    done = report.queue("mid").done
    assert (5, str(done)) == (report.exit_code, (tmp_path / "rows").read_text())
    assert (tmp_path / "passed").exists()
    assert (tmp_path / "finally").exists()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.quick("leased")
def test_who_is_at_a_queue_holds_up_no_run_that_has_failed(
    run: Run, events: list[Any], transport: str
) -> None:
    kitchen = """
        import time
        def full():
            yield from range(100)
        def joins(queue):
            queue.put(1)
            queue.join()
        def idle(item):
            return item
        def takes(queue):
            queue.get()
            queue.get()
        def one():
            yield 1
        def bad(item):
            time.sleep(0.3)
            raise ValueError("too much")
        """
    source = """
        limits: {close_timeout: 30s}
        queues: {never: {maxsize: 2}}
        stages:
          full: {run: "kitchen:full", to: never}
          joins: {run: "kitchen:joins", to: joined}
          idle: {run: "kitchen:idle", from: joined, to: empty}
          takes: {run: "kitchen:takes", from: empty}
          late: {run: "kitchen:idle", from: never, needs: [one]}
          one: {run: "kitchen:one", to: other}
          bad: {run: "kitchen:bad", from: other}
        """

    report = run(source, kitchen, transport)

    assert 1 == report.exit_code, report.reason
    assert report.seconds < 15
    assert [] == [event for event in events if event.kind == "worker.terminating"]


@pytest.mark.parametrize(("transport", "method"), [("leased", "fork"), SPAWNED, ("joinable", "fork")])
def test_a_daemon_that_nothing_needs_closes(run: Run, tmp_path: Path, transport: str, method: str) -> None:
    source = """
        stages:
          one: {run: "kitchen:one", to: q}
          save: {run: "kitchen:Save", from: q, daemon: true}
        """

    report = run(source, FAILED, transport, method)

    assert (0, "1") == (report.exit_code, (tmp_path / "rows").read_text())


INTERRUPTED = """
    import os, signal, threading, time
    from pathlib import Path
    HERE = Path(__file__).parent
    def src():
        while True:
            yield 1
            time.sleep(0.01)
    class Save:
        def __call__(self, item): ...
        def close(self):
            for _ in range(SIGNALS):
                os.kill(int(os.environ["RUN_PID"]), signal.SIGINT)
                time.sleep(0.2)
            time.sleep(0.5)
            (HERE / "closed").touch()
    def one():
        yield 1
    def bad(item):
        raise ValueError("too much")
    """


@pytest.mark.parametrize(("signals", "closed"), [(1, True), (2, False)])
@pytest.mark.quick("2-False")
def test_who_interrupts_a_run_that_has_failed_lets_it_close_unless_twice(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: int, closed: bool
) -> None:
    monkeypatch.setenv("RUN_PID", str(os.getpid()))
    source = """
        stages:
          src: {run: "kitchen:src", to: q}
          save: {run: "kitchen:Save", from: q}
          wait: {run: "kitchen:one", to: r}
          bad: {run: "kitchen:bad", from: r}
        """
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        report = run(source, INTERRUPTED.replace("SIGNALS", str(signals)))
    finally:
        signal.signal(signal.SIGINT, before)

    assert (1, closed) == (report.exit_code, (tmp_path / "closed").exists()), report.reason


CLOSING = """
    import os, signal, threading, time
    from pathlib import Path
    HERE = Path(__file__).parent
    def src():
        yield from range(3)
    class Sink:
        def __call__(self, item): ...
        def close(self):
            if (HERE / "kill").exists():
                (HERE / "kill").unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            if not (HERE / "quick").exists():
                threading.Event().wait(WAIT)
            (HERE / "closed").write_text("")
    class Source:
        def __iter__(self):
            return iter(range(3))
        close = Sink.close
    def sink(item): ...
    """
SINK = TWO_STAGES.replace('sink"', 'Sink"')
SOURCE = TWO_STAGES.replace('src"', 'Source"')
BOUND = "\nlimits: {close_timeout: 300ms}"


@pytest.mark.parametrize(("transport", "method"), [("leased", "fork"), SPAWNED, ("joinable", "fork")])
@pytest.mark.parametrize(
    ("source", "worker"), [(SINK, "sink-1"), (SOURCE, "src-1")], ids=["reader", "producer"]
)
@pytest.mark.quick("reader-leased-fork")
def test_a_close_at_the_end_that_never_returns_fails_the_run(
    run: Run, source: str, worker: str, transport: str, method: str
) -> None:
    report = run(source + BOUND, CLOSING.replace("WAIT", ""), transport, method)

    assert 1 == report.exit_code
    assert f"worker '{worker}' (pid " in report.reason
    assert "was in its close() for limits.close_timeout, 300ms" in report.reason
    assert report.seconds < 20


SLOW_READER = """
    import time
    def src():
        for _ in range(3):
            yield bytes(300_000)      # more than a pipe takes: it waits in this process
    def drive(queue):
        for item in src():
            queue.put(item)
    def sink(item):
        time.sleep(0.4)
    """


@pytest.mark.parametrize(("transport", "method"), PROCESSES)
@pytest.mark.parametrize("shape", ["src", "drive"])
@pytest.mark.slow
def test_a_slow_reader_gets_all_that_was_put_however_little_time_there_is_to_end(
    run: Run, shape: str, transport: str, method: str
) -> None:
    """Under `joinable` what waits in the memory of a worker that ends would be lost, and waited for in vain."""
    source = TWO_STAGES.replace("kitchen:src", f"kitchen:{shape}") + "\nlimits: {close_timeout: 100ms}"

    report = run(source, SLOW_READER, transport, method)

    assert (0, 3, 3) == (report.exit_code, report.queue("q").put, report.queue("q").done), report.reason


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_close_at_the_end_has_more_time_than_one_that_is_asked_for(
    run: Run, tmp_path: Path, transport: str
) -> None:
    report = run(SINK, CLOSING.replace("WAIT", "6"), transport)

    assert (0, True) == (report.exit_code, (tmp_path / "closed").exists()), report.reason


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_reader_that_is_killed_in_its_close_fails_the_run(run: Run, tmp_path: Path, method: str) -> None:
    (tmp_path / "kill").touch()

    report = run(SINK, CLOSING.replace("WAIT", "0"), "leased", method)

    assert (1, False) == (report.exit_code, (tmp_path / "closed").exists())
    assert "it was in its close(), and what that was to make safe of 3 items may be lost" in report.reason


@pytest.mark.parametrize("words", ["restart=crash", "state=none", "state=checkpoint"])
@pytest.mark.quick("state=checkpoint")
def test_where_the_file_says_so_another_closes(run: Run, tmp_path: Path, words: str) -> None:
    (tmp_path / "kill").touch()

    report = run(SINK, CLOSING.replace("WAIT", "0"), "leased", "fork", f"stages.sink.{words}")

    assert (0, True) == (report.exit_code, (tmp_path / "closed").exists()), report.reason


@pytest.mark.slow
@pytest.mark.parametrize("words", ["restart=crash", "state=none", "state=checkpoint"])
def test_a_close_that_never_returns_is_not_tried_for_ever(run: Run, words: str) -> None:
    report = run(SINK + BOUND, CLOSING.replace("WAIT", ""), "leased", "fork", f"stages.sink.{words}")

    assert 1 == report.exit_code
    assert "was in its close() for limits.close_timeout, 300ms" in report.reason
    assert report.seconds < 30


@pytest.mark.parametrize("limit", ["stall_timeout", "timeout"])
@pytest.mark.slow
def test_other_bounds_end_a_close_at_the_end_too(run: Run, limit: str) -> None:
    limits = (
        "{stall_timeout: 300ms, close_timeout: 20s}" if limit == "stall_timeout" else "{close_timeout: 200ms}"
    )
    more = "limits.timeout=1s" if limit == "timeout" else "limits.timeout=30s"

    report = run(f"{SINK}\nlimits: {limits}", CLOSING.replace("WAIT", ""), "leased", "fork", more)

    assert report.exit_code in ({"stall_timeout": (5,), "timeout": (1, 5)}[limit])
    assert report.seconds < 30
