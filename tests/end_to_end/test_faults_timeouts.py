"""Real workers that hang, are stopped, or eat memory, and runs in which nothing moves. An observer acts on events."""

from __future__ import annotations

import os
import resource
import signal
import socket
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from holdings import nothing_left

from runner.composition import run
from runner.errors import StartFailed
from runner.events.base import Event
from runner.events.report import Report
from runner.process.memory import own_bytes
from runner.spec.failures import OnError
from runner.spec.limits import Limits
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import QueueSpec

_PRELUDE = """
import os, signal, time
from pathlib import Path

def note(text):
    with open(Path(__file__).with_name("notes.txt"), "a", encoding="utf-8") as notes:
        notes.write(f"{text}\\n")

def count(n):
    yield from range(n)
"""
Act = Callable[[Event], None]


class Scene:
    """One run whose observer acts on events."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self._acts: list[tuple[str, Mapping[str, Any], Act]] = []

    def handlers(self, source: str) -> None:
        """Write the module `kitchen`."""
        (self.folder / "kitchen.py").write_text(_PRELUDE + textwrap.dedent(source), encoding="utf-8")

    def when(self, name: str, act: Act, **fields: Any) -> None:
        """Call `act` on the first event of that name and with those fields."""
        self._acts.append((name, fields, act))

    def run(self, *stages: StageSpec, transport: str = "leased", maxsize: int = 2, **limits: Any) -> Report:
        """Run these stages; a run that hangs ends as a timeout."""
        names = dict.fromkeys(q for stage in stages for q in (stage.receives, stage.sends) if q)
        queues = tuple(QueueSpec(name, maxsize) for name in names)
        bounds = Limits(**{"timeout": 40.0, **limits})
        spec = WorkflowSpec("scene", self.folder / "scene.yaml", stages, queues, transport, bounds)
        return run(make_plan(spec), [self])

    def observe(self, event: Event) -> None:
        """Keep the event, and act on it."""
        self.events.append(event)
        for number, (name, fields, act) in enumerate(self._acts):
            if name == event.kind and fields.items() <= vars(event).items():
                del self._acts[number]
                act(event)
                return

    def close(self) -> None:
        """Nothing to flush."""

    def all(self, name: str, **fields: Any) -> list[Event]:
        """The events of that name and with those fields."""
        return [e for e in self.events if e.kind == name and fields.items() <= vars(e).items()]

    def notes(self) -> Counter[str]:
        """What the handlers noted, and how often."""
        return Counter((self.folder / "notes.txt").read_text(encoding="utf-8").splitlines())


def stage(
    name: str, target: str, reads: str | None = None, puts: str | None = None, **more: Any
) -> StageSpec:
    """A stage of one worker that has the stage's name."""
    arguments = more.pop("args", {})
    workers = more.pop("workers", (name,))
    handler = HandlerRef("python", f"kitchen:{target}")
    return StageSpec(name, handler, arguments, workers, receives=reads, sends=puts, **more)


def send(number: signal.Signals) -> Act:
    """Send a signal to the worker that an event is of."""
    return lambda event: os.kill(event.pid, number)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A scene that leaves no process and no descriptor behind, whatever happens in it."""
    monkeypatch.setenv("MPRUN_HOME", str(tmp_path / "home"))
    with nothing_left():
        yield Scene(tmp_path)


# An item that takes too long.

SLEEPER = """
    def eat(item, worker):
        if item == 3 and worker.attempt == 1:
            time.sleep(60)
        note(item)
    def hang(item):
        if item == 3:
            time.sleep(60)
        note(item)
    """


@pytest.mark.slow
def test_an_item_that_takes_too_long_costs_its_worker_and_no_other_item_suffers(scene: Scene) -> None:
    scene.handlers(SLEEPER)

    report = scene.run(
        stage("chef", "count", puts="q", args={"n": 8}), stage("eater", "eat", "q", timeout=0.4)
    )

    first, second = scene.all("worker.exited", worker="eater")
    assert (0, "done") == (report.exit_code, report.outcome), report.reason
    assert ("timed out after 400ms on item 3", "died", "SIGKILL") == tuple(
        getattr(first, key) for key in ("reason", "outcome", "signal")
    )
    assert "finished" == second.outcome
    assert Counter(map(str, range(8))) == scene.notes()
    (stacks,) = scene.all("worker.stacks", worker="eater")
    assert "in eat" in stacks.stacks


@pytest.mark.slow
def test_an_item_that_always_takes_too_long_is_a_dead_letter_and_the_rest_is_done(scene: Scene) -> None:
    scene.handlers(SLEEPER)
    eater = stage("eater", "hang", "q", timeout=0.3, on_error=OnError.DEAD_LETTER)

    report = scene.run(stage("chef", "count", puts="q", args={"n": 8}), eater, max_errors="1")

    assert (0, "done") == (report.exit_code, report.outcome), report.reason
    assert Counter(str(n) for n in range(8) if n != 3) == scene.notes()
    assert (8, 7, 1) == (report.queue("q").put, report.queue("q").done, report.queue("q").dead_lettered)


@pytest.mark.slow
def test_under_joinable_an_item_that_takes_too_long_ends_the_run(scene: Scene) -> None:
    scene.handlers(SLEEPER)
    chef, eater = stage("chef", "count", puts="q", args={"n": 8}), stage("eater", "hang", "q", timeout=0.3)

    report = scene.run(chef, eater, transport="joinable")

    (exited,) = scene.all("worker.exited", worker="eater")
    assert (1, "failed") == (report.exit_code, report.outcome)
    who = f"stage 'eater': worker 'eater' (pid {exited.pid})"
    assert f"{who} timed out after 300ms on item 3" == report.reason


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["leased", "joinable"])
def test_time_spent_waiting_for_room_does_not_count(scene: Scene, transport: str) -> None:
    """The pipe stage waits for the eater for most of the time, within one item of its own."""
    scene.handlers(
        """
        def burst(item):
            for part in range(6):
                yield part
        def eat(item):
            time.sleep(0.2)
            note(item)
        """
    )
    chef = stage("chef", "count", puts="q", args={"n": 1})
    pipe = stage("pipe", "burst", "q", "r", timeout=0.4)

    report = scene.run(chef, pipe, stage("eater", "eat", "r"), transport=transport, maxsize=1)

    assert (0, "done") == (report.exit_code, report.outcome), report.reason


# A run in which nothing moves.


def test_a_stall_is_reported_with_queue_holder_item_and_stack(scene: Scene) -> None:
    scene.handlers(SLEEPER)
    chef, eater = stage("chef", "count", puts="q", args={"n": 8}), stage("eater", "hang", "q")

    report = scene.run(chef, eater, stall_timeout=0.5)

    (stacks,) = scene.all("worker.stacks")
    assert (5, "timeout") == (report.exit_code, report.outcome)
    assert report.reason is not None
    assert report.reason.startswith("nothing moved for limits.stall_timeout, 500ms: worker 'eater' (pid ")
    assert "of stage 'eater' has been at work on an item of queue 'q' for" in report.reason
    assert report.reason.endswith("it holds 3")
    assert ("eater", True) == (stacks.worker, "in hang" in stacks.stacks)


def test_a_stall_ends_a_run_in_one_process_too(scene: Scene) -> None:
    scene.handlers("""
        def hang(item):
            while item == 3:
                time.sleep(0.01)
        """)
    chef, eater = stage("chef", "count", puts="q", args={"n": 8}), stage("eater", "hang", "q")

    report = scene.run(chef, eater, transport="inline", stall_timeout=0.3, close_timeout=0.1)

    assert (5, "timeout") == (report.exit_code, report.outcome)
    assert report.reason is not None
    assert "of stage 'eater' has been at work on an item of queue 'q' for" in report.reason
    assert report.reason.endswith("it holds 3")


@pytest.mark.slow
def test_a_worker_that_never_acknowledges_is_named(scene: Scene) -> None:
    scene.handlers(
        """
        def ask(queue):
            queue.put("bun")
            queue.join()
        def forget(queue):
            while True:
                queue.get()
        """
    )

    report = scene.run(stage("chef", "ask", puts="q"), stage("eater", "forget", "q"), stall_timeout=0.5)

    assert 5 == report.exit_code
    assert report.reason is not None
    assert "waits for more of queue 'q' and has not acknowledged 1 item (task_done)" in report.reason


@pytest.mark.slow
def test_two_that_wait_for_each_other_are_found_without_any_limit(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.supervisor.timeouts.DEADLOCK", 0.5)
    scene.handlers(
        """
        def ask(queue):
            queue.put("bun")
            queue.join()
        def wait(queue):
            queue.get()
            queue.get()
            queue.task_done()
            queue.task_done()
        """
    )

    report = scene.run(stage("chef", "ask", puts="q"), stage("eater", "wait", "q"))

    assert 5 == report.exit_code
    assert report.reason is not None
    assert report.reason.startswith(
        "every worker waits for another, and nothing can move: worker 'eater' (pid "
    )


@pytest.mark.slow
def test_those_who_wait_for_one_that_works_within_its_own_time_do_not_stall(scene: Scene) -> None:
    """The eater takes five times the stall timeout for an item, as its stage allows; the chef waits all the while."""
    scene.handlers(
        """
        def eat(item):
            time.sleep(1.5)
            note(item)
        """
    )
    chef, eater = stage("chef", "count", puts="q", args={"n": 2}), stage("eater", "eat", "q", timeout=20.0)

    report = scene.run(chef, eater, maxsize=1, stall_timeout=0.3)

    assert (0, "done") == (report.exit_code, report.outcome), report.reason


# A worker that is stopped.


@pytest.mark.slow
def test_a_worker_that_is_stopped_in_an_item_is_replaced_and_every_item_is_done_once(scene: Scene) -> None:
    scene.handlers(
        """
        def eat(item, worker):
            if item == 3 and worker.attempt == 1:
                os.kill(os.getpid(), signal.SIGSTOP)
            note(item)
        """
    )
    eater = stage("eater", "eat", "q", workers=("neo", "alex"))

    report = scene.run(stage("chef", "count", puts="q", args={"n": 20}), eater)

    stopped = [e for e in scene.all("worker.exited") if e.outcome == "died"]
    assert (0, "done") == (report.exit_code, report.outcome), report.reason
    assert ["was stopped (SIGSTOP)"] == [event.reason for event in stopped]
    assert Counter(map(str, range(20))) == scene.notes()


@pytest.mark.slow
def test_under_joinable_a_stopped_worker_ends_the_run(scene: Scene) -> None:
    scene.handlers("def hold(item, worker):\n    worker.log.info('holding')\n    time.sleep(60)\n")
    scene.when("worker.logged", send(signal.SIGSTOP), message="holding")
    chef, eater = stage("chef", "count", puts="q", args={"n": 3}), stage("eater", "hold", "q")

    report = scene.run(chef, eater, transport="joinable")

    assert (1, True) == (report.exit_code, "was stopped (SIGSTOP)" in (report.reason or ""))


def test_a_worker_that_goes_on_in_time_is_left_alone(scene: Scene) -> None:
    scene.handlers("def eat(item, worker):\n    worker.log.info('eating')\n    note(item)\n")

    def pause(event: Event) -> None:
        os.kill(event.pid, signal.SIGSTOP)
        os.kill(event.pid, signal.SIGCONT)

    scene.when("worker.logged", pause, message="eating")

    report = scene.run(stage("chef", "count", puts="q", args={"n": 3}), stage("eater", "eat", "q"))

    assert (0, 1) == (report.exit_code, len(scene.all("worker.exited", worker="eater"))), report.reason


# Memory.


@pytest.mark.parametrize("transport", ["leased", "joinable"])
def test_a_handler_that_asks_for_more_than_its_memory_limit_fails_that_item_alone(
    scene: Scene, transport: str
) -> None:
    scene.handlers(
        """
        def eat(item):
            if item == 3:
                bytearray(1 << 30)
            note(item)
        """
    )
    eater = stage("eater", "eat", "q", memory_limit=own_bytes() + (256 << 20), on_error=OnError.SKIP)

    report = scene.run(
        stage("chef", "count", puts="q", args={"n": 8}), eater, transport=transport, max_errors="1"
    )

    assert (0, "done") == (report.exit_code, report.outcome), report.reason
    assert Counter(str(n) for n in range(8) if n != 3) == scene.notes()
    assert "MemoryError" == scene.all("item.failed")[0].error


def test_a_memory_limit_that_no_worker_can_keep_is_told_in_words(scene: Scene) -> None:
    scene.handlers("def eat(item):\n    pass\n")
    eater = stage("eater", "eat", "q", memory_limit=1 << 20)

    report = scene.run(stage("chef", "count", puts="q", args={"n": 3}), eater)

    assert (1, True) == (report.exit_code, "memory_limit is 1 MiB, and a worker has" in (report.reason or ""))


# Limits of the machine.


@pytest.mark.parametrize("transport", ["leased", "joinable"])
def test_a_run_that_does_not_fit_starts_nothing_and_says_what_is_short(scene: Scene, transport: str) -> None:
    scene.handlers("def eat(item):\n    pass\n")
    eater = stage("eater", "eat", "q", workers=tuple(f"e{n}" for n in range(1000)))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    chef = stage("chef", "count", puts="q", args={"n": 3})
    pid = os.fork()
    if pid == 0:  # a hard limit can't be raised again: in a process of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
        try:
            scene.run(chef, eater, transport=transport)
        except StartFailed as error:
            said = str(error)
            os._exit(0 if "1,001 workers need" in said and "descriptors, the limit is 1,024" in said else 1)
        os._exit(2)
    _, status = os.waitpid(pid, 0)

    assert (0, before) == (os.waitstatus_to_exitcode(status), resource.getrlimit(resource.RLIMIT_NOFILE))


@pytest.mark.slow
def test_the_soft_limit_of_descriptors_is_raised_while_it_is_needed(scene: Scene) -> None:
    scene.handlers("def eat(item):\n    pass\n")
    eater = stage("eater", "eat", "q", workers=tuple(f"e{n}" for n in range(20)))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        report = scene.run(stage("chef", "count", puts="q", args={"n": 3}), eater)
        after = resource.getrlimit(resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert ("done", (100, hard)) == (report.outcome, after), report.reason


@pytest.mark.parametrize("transport", ["leased", "joinable"])
@pytest.mark.parametrize(("module", "refused"), [(os, "fork"), (os, "pidfd_open"), (socket, "socketpair")])
@pytest.mark.quick("leased")
def test_a_start_that_is_refused_half_way_leaves_nothing(
    scene: Scene, transport: str, module: ModuleType, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.handlers("def eat(item):\n    pass\n")
    real, calls = getattr(module, refused), [0]

    def refuse(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] > 4:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return real(*arguments)

    scene.when("run.started", lambda _: monkeypatch.setattr(module, refused, refuse))
    eater = stage("eater", "eat", "q", workers=tuple(f"e{n}" for n in range(8)))

    report = scene.run(stage("chef", "count", puts="q", args={"n": 3}), eater, transport=transport)

    assert (1, True) == (
        report.exit_code,
        "could not be started: Resource temporarily" in (report.reason or ""),
    )


# A stop that takes too long.


@pytest.mark.slow
def test_who_overruns_the_time_to_stop_is_named_with_what_it_does(scene: Scene) -> None:
    scene.handlers("def hold(item, worker):\n    worker.log.info('holding')\n    time.sleep(60)\n")
    scene.when("worker.logged", lambda _: os.kill(os.getpid(), signal.SIGTERM), message="holding")

    report = scene.run(
        *(stage("chef", "count", puts="q", args={"n": 1}), stage("eater", "hold", "q")),
        stop_timeout=0.3,
        close_timeout=0.4,
    )

    (closing,) = scene.all("worker.closing", worker="eater")
    (asked,) = scene.all("worker.terminating", worker="eater")
    assert 128 + signal.SIGTERM == report.exit_code
    assert (
        "it was at work on an item of queue 'q', 0, when limits.stop_timeout, 300ms, had passed"
        == closing.reason
    )
    assert asked.reason.endswith("when limits.close_timeout, 400ms, had passed")
    assert "in hold" in scene.all("worker.stacks", worker="eater")[0].stacks
