"""Every transport keeps the same promises: one suite, run for each of them. A transport joins by its name below."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from multiprocessing import current_process, resource_tracker
from pathlib import Path
from typing import Any

import pytest
from holdings import nothing_left

from runner.composition import run
from runner.events.base import Event, as_dict
from runner.events.bus import Observer
from runner.events.catalogue import event_schema
from runner.events.report import Report
from runner.events.run import RunProgress
from runner.spec.commits import BatchSpec
from runner.spec.failures import OnError
from runner.spec.limits import Limits
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import QueueSpec
from runner.supervisor.supervisor import Supervisor

TRANSPORTS = ("leased", "joinable", "inline")
WITH_PROCESSES = tuple(name for name in TRANSPORTS if name != "inline")

_PRELUDE = """
import os, queue as queues, sys, time
from pathlib import Path

def note(text):
    with open(Path(__file__).with_name("notes.txt"), "a", encoding="utf-8") as notes:
        notes.write(f"{text}\\n")

def count(n):
    yield from range(n)

def eat(item):
    note(item)

def share(item):
    note(item)
    return item
"""


class Bench:
    """Runs stages whose handlers stand in the test itself, and checks what is true of every run."""

    def __init__(self, folder: Path, transport: str) -> None:
        self.folder = folder
        self.transport = transport
        self.events: list[Event] = []
        self.handlers("")

    def handlers(self, source: str) -> None:
        """Write the module `kitchen`, which `note`s what it has to tell the test."""
        (self.folder / "kitchen.py").write_text(_PRELUDE + textwrap.dedent(source), encoding="utf-8")

    def run(
        self, *stages: StageSpec, maxsize: int | None = 10, others: Sequence[Observer] = (), **limits: Any
    ) -> Report:
        """Run the stages. A run that hangs ends as a timeout, which no test expects."""
        names = dict.fromkeys(q for stage in stages for q in (stage.receives, stage.sends) if q)
        queues = tuple(QueueSpec(name, maxsize) for name in names)
        spec = WorkflowSpec(
            "suite",
            self.folder / "suite.yaml",
            stages,
            queues,
            self.transport,
            Limits(**{"timeout": 40.0, **limits}),
        )
        self.events.clear()
        report = run(make_plan(spec), [self, *others])
        self._check(report)
        return report

    def observe(self, event: Event) -> None:
        """Keep an event."""
        self.events.append(event)

    def close(self) -> None:
        """Nothing to flush."""

    def of(self, name: str, **fields: Any) -> list[dict[str, Any]]:
        """The fields of the events of that name and with those fields."""
        found = [dict(vars(event)) for event in self.events if event.kind == name]
        return [each for each in found if fields.items() <= each.items()]

    def notes(self) -> list[str]:
        """What the handlers noted, in order."""
        notes = self.folder / "notes.txt"
        return notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []

    def _check(self, report: Report) -> None:
        names = [event.kind for event in self.events]
        assert ("run.started", "run.finished") == (names[0], names[-1])
        assert [] == [error.message for e in self.events for error in _validator().iter_errors(as_dict(e))]
        assert report.balanced, report.queues
        assert report.exit_code in (0, 1, 5, 130), report.reason
        for spawned in self.of("worker.spawned"):
            life = [e.kind for e in self.events if getattr(e, "worker", None) == spawned["worker"]]
            lived = [name for name in life if name in ("worker.spawned", "worker.ready", "worker.exited")]
            # A restarted worker lives again, from the beginning.
            lives = " ".join(lived).removesuffix("worker.exited").split("worker.exited")
            assert {life.strip() for life in lives} <= {"worker.spawned worker.ready", "worker.spawned"}


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(event_schema())


def stage(
    name: str,
    target: str,
    reads: str | None = None,
    puts: str | None = None,
    workers: int | str = 1,
    **more: Any,
) -> StageSpec:
    """A stage of the module `kitchen`. `workers` is how many, or their names; `args` is the file's `with`."""
    names = tuple(workers.split()) if isinstance(workers, str) else _numbered(name, workers)
    handler = HandlerRef("python", target if ":" in target else f"kitchen:{target}")
    return StageSpec(name, handler, more.pop("args", {}), names, receives=reads, sends=puts, **more)


def _numbered(name: str, count: int) -> tuple[str, ...]:
    return tuple(f"{name}-{number}" for number in range(1, count + 1))


def counting(n: int, puts: str = "q", **more: Any) -> StageSpec:
    """A producer of the numbers below `n`."""
    return stage("chef", "count", puts=puts, args={"n": n}, **more)


@pytest.fixture(params=TRANSPORTS)
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A bench for the transport named by the parameter. Whatever the run, it leaves nothing behind."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    with nothing_left():
        yield Bench(tmp_path, request.param)
        sys.modules.pop("kitchen", None)


processes_only = pytest.mark.parametrize("bench", WITH_PROCESSES, indirect=True)


# Handlers, from the simplest to the most explicit.

PRODUCERS = {
    "a generator": "def steam():\n    yield from ['a', 'b', 'c']",
    "a function that returns a list": "def steam():\n    return ['a', 'b', 'c']",
    "a class with __call__": "class steam:\n    def __call__(self):\n        yield from 'abc'",
    "a driver": """
        def steam(queue):
            for bun in "abc":
                queue.put(bun)
            queue.join()
            note("joined")
        """,
}


@pytest.mark.parametrize("style", PRODUCERS)
@pytest.mark.quick("leased", "inline")
def test_each_style_of_producer_puts_its_items(bench: Bench, style: str) -> None:
    bench.handlers(PRODUCERS[style])

    report = bench.run(stage("chef", "steam", puts="q"), stage("eater", "eat", "q"))

    assert 0 == report.exit_code
    assert ["a", "b", "c"] == [line for line in bench.notes() if line != "joined"]
    assert 3 == report.queue("q").put == report.queue("q").done


CONSUMERS = {
    "a function": "def taste(item):\n    note(item)",
    "a class": "class taste:\n    def __call__(self, item):\n        note(item)",
    "a driver that is ended by EndOfStream": """
        def taste(queue):
            while True:
                note(queue.get())
                queue.task_done()
        """,
}


@pytest.mark.parametrize("daemon", [False, True])
@pytest.mark.parametrize("style", CONSUMERS)
@pytest.mark.quick(
    "leased-a driver that is ended by EndOfStream-True", "inline-a function-True", "inline-a class-True"
)
def test_each_style_of_consumer_gets_each_item_once(bench: Bench, style: str, daemon: bool) -> None:
    bench.handlers(textwrap.dedent(CONSUMERS[style]))

    report = bench.run(counting(20), stage("eater", "taste", "q", workers=2, daemon=daemon), maxsize=3)

    assert 0 == report.exit_code, report.reason
    assert sorted(map(str, range(20))) == sorted(bench.notes())
    assert {"finished"} == {e["outcome"] for e in bench.of("worker.exited", stage="eater")}


PIPES = {
    "None puts nothing": ("def cook(item):\n    return None if item % 2 else item", "0 2"),
    "a generator puts each": ("def cook(item):\n    yield item\n    yield -item", "0 0 1 -1 2 -2"),
    "a list is one item": ("def cook(item):\n    return [item] * 2", "[0,0] [1,1] [2,2]"),
    "a class may yield": ("class cook:\n    def __call__(self, item):\n        yield item", "0 1 2"),
    "a driver": (
        "def cook(inbox, outbox):\n    while True:\n        outbox.put(inbox.get())\n        inbox.task_done()",
        "0 1 2",
    ),
}


@pytest.mark.parametrize("daemon", [False, True])
@pytest.mark.parametrize("style", PIPES)
@pytest.mark.quick(
    "leased-None puts nothing-False", "inline-None puts nothing-False", "inline-a list is one item-False"
)
def test_each_style_of_pipe_puts_what_it_should(bench: Bench, style: str, daemon: bool) -> None:
    source, expected = PIPES[style]
    bench.handlers(source)
    stages = (counting(3), stage("cook", "cook", "q", "out", daemon=daemon), stage("eater", "eat", "out"))

    report = bench.run(*stages)

    assert (0, None) == (report.exit_code, report.reason)
    assert expected.split() == [line.replace(" ", "") for line in bench.notes()]


def test_a_consumer_that_yields_is_run_to_its_end(bench: Bench) -> None:
    bench.handlers("def taste(item):\n    note(item)\n    yield")

    report = bench.run(counting(2), stage("eater", "taste", "q"))

    assert (0, ["0", "1"]) == (report.exit_code, bench.notes())


def test_a_class_is_built_once_in_each_worker_and_closed(bench: Bench) -> None:
    bench.handlers("""
        class Oven:
            def __init__(self, worker, heat):
                note(f"{worker.name} built at {heat}")
                self.name = worker.name
            def __call__(self, item):
                pass
            def close(self):
                note(f"{self.name} closed")
        """)

    report = bench.run(counting(9), stage("oven", "Oven", "q", workers="左 右", args={"heat": 200}))

    assert 0 == report.exit_code
    assert ["右 built at 200", "右 closed", "左 built at 200", "左 closed"] == sorted(bench.notes())


def test_a_class_is_closed_after_a_failure_too(bench: Bench) -> None:
    bench.handlers("""
        class Oven:
            def __call__(self, item):
                raise ValueError("too hot")
            def close(self):
                time.sleep(0.05)  # as flushing a file may take
                note("closed")
        """)

    report = bench.run(counting(9), stage("oven", "Oven", "q"))

    assert (1, ["closed"]) == (report.exit_code, bench.notes())


@pytest.mark.parametrize("raised", ["ValueError('bad state')", "SystemExit(0)"])
@pytest.mark.parametrize("puts", [None, "r"], ids=["consumer", "pipe"])
@pytest.mark.quick("leased")
def test_an_item_that_cannot_be_unpickled_fails_like_one_on_which_the_handler_raised(
    bench: Bench, raised: str, puts: str | None
) -> None:
    bench.handlers(f"""
        class Bad:
            def __getstate__(self):
                return {{"n": 1}}
            def __setstate__(self, state):
                raise {raised}
        def make():
            yield from ("a", Bad(), "b")
        def take(item):
            note(item)
        """)
    last = [] if puts is None else [stage("eater", "eat", puts)]

    report = bench.run(
        stage("chef", "make", puts="q"),
        stage("oven", "take", "q", puts, on_error=OnError.SKIP),
        *last,
        max_errors="5",
    )

    assert (0, ["a", "b"]) == (report.exit_code, bench.notes()), report.reason
    (failed,) = bench.of("item.failed")
    assert "<an item that can't be unpickled>" == failed["item"]
    assert raised.partition("(")[0] == failed["error"].partition(":")[0]


def test_a_queue_says_empty_and_full_to_those_who_do_not_wait(bench: Bench) -> None:
    bench.handlers("""
        def fill(queue):
            try:
                while True:
                    queue.put("bun", block=False)
            except queues.Full:
                note(f"full at {queue.qsize()}: {queue.full()}")
            try:
                queue.put("bun", timeout=0.01)
            except queues.Full:
                note("still full")
        def drain(queue):
            try:
                while True:
                    queue.get(timeout=5)
                    queue.task_done()
            except EndOfStream:
                note("end of stream")
        from runner.errors import EndOfStream
        """)
    eater = stage("eater", "drain", "q", needs=("chef",))

    report = bench.run(stage("chef", "fill", puts="q"), eater, maxsize=2)

    assert (0, 2) == (report.exit_code, report.queue("q").done)
    assert ["full at 2: True", "still full", "end of stream"] == bench.notes()


def test_a_reader_that_does_not_wait_is_told_that_nothing_is_there(bench: Bench) -> None:
    bench.handlers("""
        def peek(inbox, outbox):
            for how in ({"block": False}, {"timeout": 0.02}):
                try:
                    inbox.get(**how)
                except queues.Empty:
                    note(f"nothing there: {inbox.empty()}")
            outbox.put("looked")
            note(inbox.get())
            inbox.task_done()
        def take_one(queue):
            note(queue.get())
            queue.task_done()
        """)
    # The chef starts when the opener has ended, so that the queue is empty for as long as the eater looks.
    opener = stage("opener", "take_one", "go")
    stages = (stage("eater", "peek", "q", "go"), opener, counting(1, needs=("opener",)))

    report = bench.run(*stages)

    assert (0, None) == (report.exit_code, report.reason)
    assert [*["nothing there: True"] * 2, "looked", "0"] == bench.notes()


def test_a_plain_function_gets_its_arguments(bench: Bench) -> None:
    bench.handlers("def tidy(what, times=1):\n    note(what * times)")

    report = bench.run(stage("tidy", "tidy", args={"what": "扫", "times": 3}))

    assert (0, ["扫扫扫"]) == (report.exit_code, bench.notes())


def test_a_process_subclass_runs_as_its_worker(bench: Bench) -> None:
    bench.handlers("""
        import multiprocessing
        class Chef(multiprocessing.Process):
            def __init__(self, dish):
                super().__init__()
                self.dish = dish
            def run(self):
                me = multiprocessing.current_process()
                note(f"{me is self} {me.name} {self.dish} {os.getpid()}")
        """)

    report = bench.run(stage("chef", "Chef", workers="neo", args={"dish": "包子"}))

    (spawned,) = bench.of("worker.spawned")
    assert (0, [f"True neo 包子 {spawned['pid']}"]) == (report.exit_code, bench.notes())


def test_a_handler_is_told_who_it_is_and_may_log(bench: Bench) -> None:
    bench.handlers("""
        def steam(worker):
            worker.log.warning("蒸好了", bun=1)
            yield f"{worker.name} {worker.stage} {worker.pid} {worker.attempt}"
        """)

    report = bench.run(stage("厨师", "steam", puts="蒸笼", workers="neo"), stage("食客", "eat", "蒸笼"))

    (said,) = bench.of("worker.logged", worker="neo", stage="厨师", level="warning")
    assert ("蒸好了", {"bun": 1}) == (said["message"], said["fields"])
    assert (0, [f"neo 厨师 {said['pid']} 1"]) == (report.exit_code, bench.notes())


# Topologies.


def test_fan_in_and_fan_out_hand_over_each_item_once(bench: Bench) -> None:
    stages = (
        stage("neo", "count", puts="q", workers=2, args={"n": 30}),
        stage("alex", "count", puts="q", args={"n": 30}),
        stage("eater", "eat", "q", workers=2),
        stage("guest", "eat", "q"),
    )

    report = bench.run(*stages, maxsize=4)

    assert 0 == report.exit_code
    assert sorted(list(map(str, range(30))) * 3) == sorted(bench.notes())


@pytest.mark.slow
def test_a_row_of_stages_hands_on_every_item(bench: Bench) -> None:
    stages = (
        counting(40, "a", workers=2),
        stage("first", "share", "a", "b", workers=2),
        stage("second", "share", "b", "c", workers=2, daemon=True),
        stage("last", "eat", "c", workers=2),
    )

    report = bench.run(*stages, maxsize=2)

    assert (0, None) == (report.exit_code, report.reason)
    assert sorted(list(map(str, range(40))) * 6) == sorted(bench.notes())


@pytest.mark.slow
@processes_only
def test_a_long_chain_ends_stage_after_stage(bench: Bench) -> None:
    names = [f"stage{number:02}" for number in range(60)]
    chain = (
        stage(names[0], "count", puts="q0", args={"n": 1}),
        *(stage(names[n], "share", f"q{n - 1}", f"q{n}") for n in range(1, 59)),
        stage(names[59], "eat", "q58"),
    )

    report = bench.run(*chain)

    assert (0, 59) == (report.exit_code, len(bench.notes()))
    assert names == [each["stage"] for each in bench.of("worker.exited")]
    assert {(1, 1)} == {(queue.put, queue.done) for queue in report.queues}


@pytest.mark.quick("leased")
def test_a_slow_consumer_holds_its_producer_back(bench: Bench) -> None:
    bench.handlers("""
        def steam():
            for bun in range(12):
                yield note(f"put {bun}") or bun
        def taste(item):
            time.sleep(0.01)
            note(f"ate {item}")
        """)

    report = bench.run(stage("chef", "steam", puts="q"), stage("eater", "taste", "q"), maxsize=2)

    ahead = [line.startswith("put") or -1 for line in bench.notes()]
    most_ahead = max(sum(ahead[: upto + 1]) for upto in range(len(ahead)))
    assert 0 == report.exit_code
    assert report.queue("q").peak <= 2
    # Two wait in the queue, one is being eaten, one is being made; one more may have been eaten and not noted yet.
    assert most_ahead <= 5


@pytest.mark.quick("leased")
def test_a_daemonic_pipe_keeps_big_items_for_a_slow_reader(bench: Bench) -> None:
    bench.handlers("""
        def swell(item):
            return bytes(300_000)
        def taste(item):
            time.sleep(0.02)
            note(len(item))
        """)
    pipe = stage("pipe", "swell", "q", "out", daemon=True)

    report = bench.run(counting(8), pipe, stage("eater", "taste", "out"), maxsize=8)

    assert (0, ["300000"] * 8) == (report.exit_code, bench.notes())


def test_a_daemonic_producer_does_not_keep_the_run_alive(bench: Bench) -> None:
    bench.handlers("""
        def beat():
            while True:
                yield "beat"
        def work():
            while not Path(__file__).with_name("notes.txt").exists():
                yield "work"
                time.sleep(0.001)
        """)
    stages = (
        stage("heart", "beat", puts="q", daemon=True),
        stage("ear", "eat", "q"),
        stage("chef", "work", puts="other"),
        stage("eater", "share", "other", "more"),
        stage("last", "eat", "more"),
    )

    report = bench.run(*stages, maxsize=2)

    assert (0, None) == (report.exit_code, report.reason)
    assert report.queue("q").put == report.queue("q").done > 0


@pytest.mark.slow
def test_a_stage_starts_when_those_it_needs_have_ended(bench: Bench) -> None:
    bench.handlers("def first():\n    note(1)\ndef second():\n    note(2)")

    report = bench.run(stage("b", "second", needs=("a",)), stage("a", "first", workers=3))

    assert (0, ["1", "1", "1", "2"]) == (report.exit_code, bench.notes())


@pytest.mark.parametrize("daemon", [False, True])
@pytest.mark.quick("leased-False", "inline-False", "inline-True")
def test_no_item_at_all_is_a_run_like_any_other(bench: Bench, daemon: bool) -> None:
    stages = (
        counting(0),
        stage("pipe", "share", "q", "r", daemon=daemon),
        stage("eater", "eat", "r", daemon=daemon),
    )

    report = bench.run(*stages)

    assert (0, 0, []) == (report.exit_code, report.queue("r").put, bench.notes())


@pytest.mark.slow
def test_fifty_workers_share_the_work(bench: Bench) -> None:
    report = bench.run(counting(10, workers=25), stage("eater", "eat", "q", workers=25, daemon=True))

    assert (0, 250, 250) == (report.exit_code, report.queue("q").done, len(bench.notes()))


# Where the worker lives.


@pytest.mark.slow
@processes_only
def test_a_worker_gets_its_environment_folder_and_niceness(bench: Bench) -> None:
    bench.handlers("def look():\n    note(f\"{os.environ['WHERE']} {Path.cwd().name} {os.nice(0)}\")")
    there = bench.folder / "那里"
    there.mkdir()
    here = os.nice(0)

    report = bench.run(stage("look", "look", env={"WHERE": "厨房"}, cwd=there, nice=3))

    assert (0, [f"厨房 那里 {min(19, here + 3)}"]) == (report.exit_code, bench.notes())


@processes_only
def test_a_daemonic_worker_may_not_have_multiprocessing_children(bench: Bench) -> None:
    bench.handlers("""
        import multiprocessing
        def cook(item):
            multiprocessing.Process(target=print).start()
        """)

    report = bench.run(counting(1), stage("cook", "cook", "q", daemon=True))

    assert 1 == report.exit_code
    assert "daemonic processes are not allowed to have children" in str(report.reason)


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard library's watcher over names of semaphores: one serves the whole program, so it is no leftover."""
    resource_tracker.ensure_running()
    config: dict[str, Any] = current_process()._config  # type: ignore[attr-defined]  # how to tell ours from others'
    monkeypatch.setitem(config, "semprefix", f"/suite-{os.getpid()}")


def _semaphores() -> set[Path]:
    """The semaphores that this process made and that have names."""
    return set(Path("/dev/shm").glob(f"sem.suite-{os.getpid()}-*"))


@pytest.mark.slow
@pytest.mark.usefixtures("tracker")
@pytest.mark.parametrize("bench", ["joinable"], indirect=True)
def test_spawned_workers_leave_no_semaphore_behind(bench: Bench) -> None:
    stages = (
        counting(9, workers=2, start_method="spawn"),
        stage("pipe", "share", "q", "r"),
        stage("eater", "eat", "r", daemon=True, start_method="spawn"),
    )

    # Twice: what the first run leaves of multiprocessing's own machinery must serve the second.
    reports = [bench.run(*stages, maxsize=2) for _ in range(2)]

    assert [(0, 18), (0, 18)] == [(each.exit_code, each.queue("r").done) for each in reports]
    assert set() == _semaphores()


@pytest.mark.quick("leased")
def test_a_timeout_ends_the_run(bench: Bench) -> None:
    bench.handlers("def rest():\n    while True:\n        time.sleep(0.01)")

    report = bench.run(stage("idler", "rest"), timeout=0.3)

    assert (5, "timeout") == (report.exit_code, report.outcome)
    assert "limits.timeout" in str(report.reason)


@pytest.mark.slow
def test_two_runs_in_one_process_do_not_meet(bench: Bench) -> None:
    stages = (counting(5), stage("eater", "eat", "q", daemon=True))

    codes = [bench.run(*stages).exit_code for _ in range(2)]

    assert ([0, 0], 10) == (codes, len(bench.notes()))


@pytest.mark.parametrize("place", ["_worker_exited", "_do_what_is_due"])
@pytest.mark.quick("leased-_do_what_is_due")
def test_a_bug_of_ours_is_raised_and_leaves_nobody_alive(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Whether it strikes while a death is told or at any other time."""

    def stumble(*_: object) -> None:
        raise RuntimeError("our tables disagree")

    bench.handlers("def rest():\n    time.sleep(0.2)")
    monkeypatch.setattr(Supervisor, place, stumble)

    with pytest.raises(RuntimeError, match="our tables disagree"):
        bench.run(counting(1000), stage("eater", "eat", "q"), stage("idler", "rest"))


@pytest.mark.slow
def test_what_a_producer_raises_when_it_is_closed_fails_the_run(bench: Bench) -> None:
    bench.handlers("""
        def endless():
            try:
                while True:
                    yield 1
            finally:
                raise OSError("not committed")
        def once():
            pass
        """)

    report = bench.run(
        stage("maker", "endless", puts="q", daemon=True),
        stage("eater", "eat", "q", daemon=True),
        stage("main", "once"),
    )

    assert 1 == report.exit_code
    assert "OSError: not committed" in str(report.reason)


@pytest.mark.parametrize("bench", ["inline"], indirect=True)
def test_a_killed_fiber_is_unwound_before_the_run_is_over(bench: Bench) -> None:
    bench.handlers("""
        import signal
        def impatient():
            try:
                for _ in range(2):
                    os.kill(os.getpid(), signal.SIGINT)
                    time.sleep(0.1)
                yield 1
            finally:
                time.sleep(0.15)
                note("closed")
        """)

    report = bench.run(stage("maker", "impatient", puts="q"), stage("eater", "eat", "q"))

    assert (130, ["closed"]) == (report.exit_code, bench.notes())


class BusySeen:
    """Lets the handlers go on once a stage is seen to be busy. Until then it has not come to the end of anything."""

    def __init__(self, stage: str, go: Path) -> None:
        self._stage, self._go = stage, go

    def observe(self, event: Event) -> None:
        """Look at each progress."""
        if isinstance(event, RunProgress) and any(
            line["busy"] > 0.3 for line in event.stages if line["name"] == self._stage
        ):
            self._go.touch()

    def close(self) -> None:
        """Nothing to flush."""


LONG = {
    "a consumer": (counting(2), stage("busy", "wait", "q")),
    "a consumer of batches": (counting(2), stage("busy", "wait", "q", batch=BatchSpec(size=2))),
    "a consumer that flushes": (counting(2), stage("busy", "Flushes", "q")),
    "a pipe stage": (counting(2), stage("busy", "wait", "q", "r"), stage("eater", "eat", "r")),
    "a pipe stage that yields": (
        counting(2),
        stage("busy", "wait_often", "q", "r"),
        stage("eater", "eat", "r"),
    ),
    "a reader that drives": (counting(2), stage("busy", "drive", "q")),
    "a producer": (stage("busy", "make", puts="q"), stage("eater", "eat", "q")),
    "a producer that drives": (stage("busy", "put_all", puts="q"), stage("eater", "eat", "q")),
    "a plain worker": (stage("busy", "plain"),),
}


@pytest.mark.parametrize(
    "shape",
    [name if name == "a consumer" else pytest.param(name, marks=pytest.mark.slow) for name in LONG],
)
@pytest.mark.quick("leased-a consumer")
def test_a_worker_is_busy_while_it_is_inside_a_long_item(bench: Bench, shape: str) -> None:
    bench.handlers("""
        def wait(item):
            while not Path(__file__).with_name("go").exists():
                time.sleep(0.01)
        def wait_often(item):
            wait(item)
            yield item
        class Flushes:
            def __call__(self, item): wait(item)
            def flush(self): pass
        def drive(queue):
            for _ in range(2):
                wait(queue.get())
                queue.task_done()
        def make():
            wait(0)
            yield 1
        def put_all(queue):
            wait(0)
            queue.put(1)
        def plain():
            wait(0)
        """)

    report = bench.run(*LONG[shape], others=[BusySeen("busy", bench.folder / "go")])

    assert ("done", 0) == (report.outcome, report.exit_code), report.reason
    assert 0.3 < report.stage("busy").busy_seconds <= report.seconds


TIMED = {
    "a consumer": (counting(2), stage("timed", "sleep", "q")),
    "a consumer of batches": (counting(2), stage("timed", "sleep_all", "q", batch=BatchSpec(size=2))),
    "a consumer that flushes": (counting(2), stage("timed", "Flushes", "q")),
    "a consumer that fails": (counting(2), stage("timed", "fail", "q", on_error=OnError.SKIP)),
    "a pipe stage": (counting(2), stage("timed", "sleep", "q", "r"), stage("eater", "eat", "r")),
    "a pipe stage of batches": (
        counting(2),
        stage("timed", "sleep_all", "q", "r", batch=BatchSpec(size=2)),
        stage("eater", "eat", "r"),
    ),
    "a pipe stage that flushes": (
        counting(2),
        stage("timed", "Flushes", "q", "r"),
        stage("eater", "eat", "r"),
    ),
    "a reader that drives": (counting(2), stage("timed", "drive", "q")),
    "a producer": (stage("timed", "make", puts="q"), stage("eater", "eat", "q")),
}


@pytest.mark.parametrize("shape", TIMED)
@pytest.mark.quick("leased-a consumer", "inline-a consumer", "leased-a producer")
def test_how_long_each_item_took_is_told(bench: Bench, shape: str) -> None:
    bench.handlers("""
        def sleep(item):
            time.sleep(0.02)
            return item
        def sleep_all(items):
            time.sleep(0.02 * len(items))
            yield from items
        def fail(item):
            time.sleep(0.02)
            raise ValueError(item)
        class Flushes:
            def __call__(self, item): return sleep(item)
            def flush(self): time.sleep(0.5)
        def drive(queue):
            for _ in range(2):
                sleep(queue.get())
                queue.task_done()
        def make():
            yield sleep(0)
            yield sleep(1)
        """)

    report = bench.run(*TIMED[shape], max_errors="10")

    assert 0 == report.exit_code, report.reason
    timed = report.stage("timed")
    if "drives" in shape and bench.transport in ("joinable", "inline"):
        assert (None, []) == (timed.p50_seconds, bench.of("stage.timed", stage="timed"))
        return
    *_, last = bench.of("stage.timed", stage="timed")
    assert 2 == sum(each["items"] for each in last["buckets"])
    assert timed.p50_seconds is not None and timed.p95_seconds is not None
    assert 0.02 * 7 / 8 < timed.p50_seconds <= timed.p95_seconds < 0.5
    if "batches" not in shape:
        assert timed.slowest_seconds is not None and 0.02 <= timed.slowest_seconds < 0.5
        assert timed.slowest_item in ([None] if "producer" in shape else ["0", "1"])


@pytest.mark.parametrize("bench", WITH_PROCESSES, indirect=True)
def test_readers_learn_of_the_end_though_a_handler_has_stopped_the_clock(bench: Bench) -> None:
    bench.handlers("time.monotonic = lambda: 5.0")

    report = bench.run(counting(3), stage("pipe", "share", "q", "r"), stage("eater", "eat", "r"), maxsize=2)

    assert (0, 3) == (report.exit_code, report.queue("r").done), report.reason


@pytest.mark.parametrize("bench", WITH_PROCESSES, indirect=True)
@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
@pytest.mark.usefixtures("tracker")
def test_handlers_read_nothing_from_where_the_run_was_started(bench: Bench, method: str) -> None:
    """Neither by themselves nor by the programs that they start, nor any file that has been opened since."""
    bench.handlers("""
        import subprocess
        def read(worker):
            files = [open(__file__) for _ in range(40)]
            note(repr(sys.stdin.read()))
            note(repr(subprocess.run(["cat"], capture_output=True).stdout))
            try:
                note(input())
            except EOFError:
                note("EOFError")
        """)
    reading, writing = os.pipe()
    os.write(writing, b"typed\n")
    os.close(writing)
    own = os.dup(0)
    os.dup2(reading, 0)
    try:
        report = bench.run(stage("reader", "read", start_method=method))
    finally:
        os.dup2(own, 0)
        os.close(own)
        os.close(reading)

    assert (0, ["''", "b''", "EOFError"]) == (report.exit_code, bench.notes()), report.reason


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_process_that_a_handler_forks_dies_of_signals_as_everywhere(bench: Bench, number: int) -> None:
    bench.handlers("""
        import signal
        def fork(number):
            if not (pid := os.fork()):
                while True:
                    time.sleep(1)  # goes on sleeping after a signal that is only noted
            os.kill(pid, number)
            until = time.monotonic() + 10
            while not (ended := os.waitpid(pid, os.WNOHANG))[0] and time.monotonic() < until:
                time.sleep(0.01)
            note(os.waitstatus_to_exitcode(ended[1]))
            if not ended[0]:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        """)

    report = bench.run(stage("forker", "fork", args={"number": int(number)}))

    assert (0, [str(-number)]) == (report.exit_code, bench.notes()), report.reason


@pytest.mark.slow
def test_pools_of_processes_work_in_a_handler(bench: Bench) -> None:
    bench.handlers("""
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import Pool
        def twice(item):
            return 2 * item
        def compute(item):
            for _ in range(3):
                with Pool(2) as pool:
                    note(pool.map(twice, [item]))
            with ProcessPoolExecutor(2) as pool:
                note(list(pool.map(twice, [item])))
        """)

    report = bench.run(counting(2), stage("pool", "compute", "q"))

    assert (0, ["[0]"] * 4 + ["[2]"] * 4) == (report.exit_code, bench.notes()), report.reason


# Asked to stop.


class Interrupter:
    """Sends this process, the supervisor's, a signal at an event."""

    def __init__(self, *names: str, where: Callable[[Any], bool] = lambda _: True) -> None:
        """`where` says which of the events of those names."""
        self._names, self._where = list(names), where

    def observe(self, event: Event) -> None:
        """Send it at each of the events in turn."""
        if self._names and event.kind == self._names[0] and self._where(event):
            del self._names[0]
            os.kill(os.getpid(), signal.SIGINT)

    def close(self) -> None:
        """Nothing to flush."""


def all_queues_are_used(progress: Any) -> bool:
    return all(queue["put"] for queue in progress.queues)


@pytest.mark.quick("leased")
def test_an_interrupt_stops_the_producers_and_drains_the_rest(bench: Bench) -> None:
    bench.handlers("def steam():\n    while True:\n        yield 1\ndef ignore(item):\n    pass")
    stages = (
        stage("chef", "steam", puts="q", workers=2),
        stage("pipe", "operator:neg", "q", "r"),
        stage("eater", "ignore", "r"),
    )

    report = bench.run(*stages, others=[Interrupter("run.progress", where=all_queues_are_used)])

    assert (130, "interrupted") == (report.exit_code, report.outcome)
    assert report.queue("q").put == report.queue("r").done > 0
    assert {"finished"} == {exited["outcome"] for exited in bench.of("worker.exited")}


def test_a_second_interrupt_kills_at_once(bench: Bench) -> None:
    bench.handlers("""
        def steam():
            while True:
                yield 1
        def chew(item, worker):
            worker.log.info("chewing")
            while True:
                time.sleep(0.001)
        """)
    stages = (stage("chef", "steam", puts="q"), stage("eater", "chew", "q"))

    report = bench.run(*stages, others=[Interrupter("worker.logged", "run.stopping")], stop_timeout=30.0)

    assert 130 == report.exit_code
    assert {"SIGKILL"} == {asked["signal"] for asked in bench.of("worker.terminating")}


# What goes wrong, and what becomes of the rest.


def test_a_failed_item_names_its_worker_and_itself_and_ends_the_run(bench: Bench) -> None:
    bench.handlers("""
        def taste(item):
            if item == 3:
                raise ValueError("坏了")
        """)

    report = bench.run(counting(5), stage("食客", "taste", "q", workers="吃货"))

    (failure,) = bench.of("item.failed", worker="吃货", stage="食客", queue="q")
    assert ("3", "ValueError: 坏了", "fail") == (failure["item"], failure["error"], failure["action"])
    assert 'kitchen.py", line' in failure["traceback"]
    assert "/runner/" not in failure["traceback"]
    assert (1, "stage '食客': worker '吃货' failed on item 3: ValueError: 坏了") == (
        report.exit_code,
        report.reason,
    )


@pytest.mark.parametrize(
    ("allowed", "exit_code"),
    [("0", 1), ("1", 1), ("2", 0), ("100", 0), ("0%", 1), ("19.9%", 1), ("20%", 0), ("100%", 0)],
)
@pytest.mark.parametrize("daemon", [False, True])
@pytest.mark.quick("leased-False-20%", "leased-False-1", "joinable-True-20%", "inline")
def test_skipped_failures_count_against_the_budget(
    bench: Bench, allowed: str, exit_code: int, daemon: bool
) -> None:
    bench.handlers("def taste(item):\n    if item % 5 == 0:\n        raise ValueError(item)\n    note(item)")
    eater = stage("eater", "taste", "q", daemon=daemon, on_error=OnError.SKIP)

    report = bench.run(counting(10), eater, max_errors=allowed)

    assert exit_code == report.exit_code
    assert (10, 8, 2) == (report.queue("q").put, report.queue("q").done, report.queue("q").dropped)
    assert ["1", "2", "3", "4", "6", "7", "8", "9"] == bench.notes()
    assert ["0", "5"] == [failure["item"] for failure in bench.of("item.failed", action="skip")]


def test_an_item_that_can_not_travel_fails_at_its_put(bench: Bench) -> None:
    bench.handlers("""
        class Secret:
            def __reduce__(self):
                raise TypeError("not for others")
            def __repr__(self):
                return "<the recipe>"
        def steam():
            yield from ["a", Secret(), "b"]
        """)
    chef = stage("chef", "steam", puts="q", on_error=OnError.SKIP)

    report = bench.run(chef, stage("eater", "eat", "q"))

    (failure,) = bench.of("item.failed", worker="chef-1", queue=None)
    assert ("<the recipe>", "TypeError: not for others") == (failure["item"], failure["error"])
    assert (1, ["a", "b"]) == (report.exit_code, bench.notes())


PUTS_A_LAMBDA = {
    "a producer": ("def go():\n    yield lambda: 0", None, "r"),
    "a producer that drives": ("def go(queue):\n    queue.put(lambda: 0)\n    queue.join()", None, "r"),
    "a pipe": ("def go(item):\n    return lambda: 0", "q", "r"),
    "a pipe that yields": ("def go(item):\n    yield lambda: 0", "q", "r"),
    "a pipe that drives": ("def go(inbox, outbox):\n    outbox.put(lambda: inbox.get())", "q", "r"),
}


@pytest.mark.parametrize("style", PUTS_A_LAMBDA)
@pytest.mark.quick("leased")
def test_whoever_puts_what_can_not_travel_is_told_so(bench: Bench, style: str) -> None:
    source, reads, puts = PUTS_A_LAMBDA[style]
    bench.handlers(source)
    before = [counting(1)] if reads else []

    report = bench.run(*before, stage("going", "go", reads, puts), stage("eater", "eat", puts))

    assert 1 == report.exit_code
    assert "worker 'going-1'" in str(report.reason)
    assert "local object" in str(report.reason), "the words of pickle differ from version to version"


LEAVES = [
    ("sys.exit()", 0, None),
    ("sys.exit(0)", 0, None),
    ("sys.exit(3)", 1, "SystemExit: 3"),
    ("sys.exit('the oven is cold')", 1, "SystemExit: the oven is cold"),
]


@pytest.mark.parametrize(("leave", "exit_code", "reason"), LEAVES)
def test_a_plain_stage_may_leave_with_an_exit_code(
    bench: Bench, leave: str, exit_code: int, reason: str | None
) -> None:
    bench.handlers(f"def tidy():\n    {leave}")

    report = bench.run(stage("tidy", "tidy"))

    assert exit_code == report.exit_code
    assert reason is None or reason in str(report.reason)


def test_leaving_in_the_middle_of_an_item_fails_the_item(bench: Bench) -> None:
    bench.handlers("def taste(item):\n    if item == 1:\n        sys.exit(0)\n    note(item)")

    report = bench.run(counting(3), stage("eater", "taste", "q", on_error=OnError.SKIP))

    assert (1, ["0", "2"]) == (report.exit_code, bench.notes())
    assert ["1"] == [failure["item"] for failure in bench.of("item.failed")]


BREAKS = {
    "while items are made": "def broken():\n    yield 1\n    raise ValueError('no flour')",
    "before any item": "def broken():\n    raise ValueError('no flour')",
    "when the class is built": """
        class broken:
            def __init__(self):
                raise ValueError("no flour")
            def __call__(self):
                yield 1
        """,
    "when it closes": """
        class broken:
            def __call__(self):
                yield 1
            def close(self):
                raise ValueError("no flour")
        """,
    "when the module is imported": "raise ValueError('no flour')",
}


@pytest.mark.parametrize("style", BREAKS)
@pytest.mark.quick("leased")
def test_what_a_handler_raises_is_the_root_cause(bench: Bench, style: str) -> None:
    bench.handlers(BREAKS[style])

    report = bench.run(stage("chef", "broken", puts="q"), stage("eater", "operator:neg", "q"))

    (exited,) = bench.of("worker.exited", worker="chef-1")
    assert ("died", "ValueError: no flour") == (exited["outcome"], exited["reason"])
    assert 'kitchen.py", line' in exited["traceback"]
    assert "/runner/" not in exited["traceback"]
    assert 1 == report.exit_code
    assert "worker 'chef-1'" in str(report.reason)


def test_a_producer_that_makes_no_items_says_what_it_made(bench: Bench) -> None:
    bench.handlers("def steam():\n    return 7")

    report = bench.run(stage("chef", "steam", puts="q"), stage("eater", "eat", "q"))

    assert 1 == report.exit_code
    assert "got int" in str(report.reason)


@pytest.mark.parametrize("target", ["vanished:steam", "kitchen:steem"])
def test_a_handler_that_is_gone_since_the_check_is_named(bench: Bench, target: str) -> None:
    bench.handlers("def steam():\n    yield 1")

    report = bench.run(stage("chef", target, puts="q"), stage("eater", "eat", "q"))

    assert 1 == report.exit_code
    assert "worker 'chef-1'" in str(report.reason)
    assert "HandlerNotFound" in str(report.reason)


@pytest.mark.parametrize("daemon", [False, True])
def test_readers_that_end_early_fail_the_run(bench: Bench, daemon: bool) -> None:
    bench.handlers("""
        def taste(queue):
            queue.get()
            queue.task_done()
        """)

    report = bench.run(counting(50), stage("eater", "taste", "q", workers=2, daemon=daemon), maxsize=2)

    assert 1 == report.exit_code
    assert "queue 'q'" in str(report.reason)


def test_a_reader_that_never_acknowledges_fails_the_run(bench: Bench) -> None:
    bench.handlers("def taste(queue):\n    while True:\n        note(queue.get())")

    report = bench.run(counting(3), stage("eater", "taste", "q"))

    queue = report.queue("q")
    assert (1, 0, 3) == (report.exit_code, queue.done, queue.waiting + queue.leased)
    assert "'q'" in str(report.reason)


def test_acknowledging_more_than_was_taken_is_refused(bench: Bench) -> None:
    bench.handlers("""
        def taste(queue):
            while True:
                queue.get()
                queue.task_done()
                queue.task_done()
        """)

    report = bench.run(counting(3), stage("eater", "taste", "q"))

    assert 1 == report.exit_code
    assert "task_done() called too many times" in str(report.reason)


@processes_only
def test_what_a_handler_started_ends_with_the_run(bench: Bench) -> None:
    bench.handlers("""
        import subprocess
        def start(apart):
            with open(os.devnull, "w") as nowhere:
                note(subprocess.Popen(["sleep", "60"], stdout=nowhere, start_new_session=apart).pid)
        """)

    report = bench.run(*(stage(f"s{apart}", "start", args={"apart": apart}) for apart in (False, True)))

    sleepers = [Path("/proc", pid) for pid in bench.notes()]
    assert (0, 2) == (report.exit_code, len(sleepers))
    assert [] == [sleeper for sleeper in sleepers if sleeper.exists()]
