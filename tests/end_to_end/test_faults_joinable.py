"""Real faults under `joinable`: workers and supervisors that are killed, stopped, or refused by the system.

An observer acts in the supervisor's own loop on the event that it waits for, so that nothing here sleeps and hopes.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from holdings import nothing_left

from runner.composition import run
from runner.errors import StartFailed
from runner.events.base import Event
from runner.events.report import Report
from runner.spec.limits import Limits
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import QueueSpec

_PRELUDE = """
import os, signal, subprocess, sys, time
from pathlib import Path

def note(text):
    with open(Path(__file__).with_name("notes.txt"), "a", encoding="utf-8") as notes:
        notes.write(f"{text}\\n")
"""
SOON = 4
"""Seconds in which a run ends after a death: less than any timeout of its, with room for a machine that is busy."""

Act = Callable[[Event], None]
Test = Callable[[Event], bool]


class Scene:
    """One run whose observer acts on events."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self._acts: list[tuple[str, Test, Act]] = []

    def handlers(self, source: str) -> None:
        """Write the module `kitchen`."""
        (self.folder / "kitchen.py").write_text(_PRELUDE + textwrap.dedent(source), encoding="utf-8")

    def when(self, name: str, act: Act, where: Test = lambda _: True, **fields: Any) -> None:
        """Call `act` on the first event of that name, with those fields, and for which `where` is true."""
        self._acts.append((name, lambda event: fields.items() <= vars(event).items() and where(event), act))

    def note_first(self, name: str, **fields: Any) -> Callable[[], Event]:
        """Keep the first event of that name and with those fields, to be asked for later."""
        found: list[Event] = []
        self.when(name, found.append, **fields)
        return lambda: found[0]

    def plan(self, *stages: StageSpec, **limits: Any) -> WorkflowSpec:
        """The workflow of these stages; a run that hangs ends as a timeout."""
        names = dict.fromkeys(q for stage in stages for q in (stage.receives, stage.sends) if q)
        queues = tuple(QueueSpec(name, 2) for name in names)
        bounds = Limits(**{"timeout": 40.0, **limits})
        return WorkflowSpec("scene", self.folder / "scene.yaml", stages, queues, "joinable", bounds)

    def run(self, *stages: StageSpec, **limits: Any) -> Report:
        """Run these stages."""
        return run(make_plan(self.plan(*stages, **limits)), [self])

    def why_not(self, *stages: StageSpec) -> str:
        """Run these stages; return what kept them from it, or an empty text."""
        try:
            return self.run(*stages).reason or ""
        except StartFailed as error:
            return str(error)

    def observe(self, event: Event) -> None:
        """Keep the event, and act on it."""
        self.events.append(event)
        for number, (name, fits, act) in enumerate(self._acts):
            if name == event.kind and fits(event):
                del self._acts[number]
                act(event)
                return

    def close(self) -> None:
        """Nothing to flush."""

    def one(self, name: str, **fields: Any) -> Event:
        """The only event of that name and with those fields."""
        (found,) = (e for e in self.events if e.kind == name and fields.items() <= vars(e).items())
        return found

    def names(self, worker: str) -> list[str]:
        """The names of a worker's events in order."""
        return [event.kind for event in self.events if getattr(event, "worker", None) == worker]

    def notes(self) -> list[str]:
        """What the handlers noted."""
        return (self.folder / "notes.txt").read_text(encoding="utf-8").splitlines()


def stage(
    name: str, target: str, reads: str | None = None, puts: str | None = None, **more: Any
) -> StageSpec:
    """A stage of one worker that has the stage's name."""
    arguments = more.pop("args", {})
    return StageSpec(
        name,
        HandlerRef("python", f"kitchen:{target}"),
        arguments,
        (name,),
        receives=reads,
        sends=puts,
        **more,
    )


def send(number: signal.Signals) -> Act:
    """Send a signal to the worker that an event is of."""
    return lambda event: os.kill(event.pid, number)


def interrupt(number: signal.Signals) -> Act:
    """Send a signal to the supervisor, which is this process."""
    return lambda _event: os.kill(os.getpid(), number)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A scene that leaves no process and no descriptor behind, whatever happens in it."""
    with nothing_left():
        yield Scene(tmp_path)


# Deaths of workers.

KITCHEN = """
    def steam(worker):
        worker.log.info("steaming")
        for bun in range(1000):
            yield f"包子{bun}"
    def idle(worker):
        worker.log.info("idle")
        time.sleep(60)
        yield 1
    def share(item, worker):
        worker.log.info("sharing")
        return item
    def hold(item, worker):
        worker.log.info("holding")
        time.sleep(60)
    def eat(item):
        pass
    def drive(queue, worker):
        item = queue.get()
        worker.log.info("driving")
        time.sleep(60)
    """
DEADLY = (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM)

# Where a worker is struck: its stage among the four, the event that says it is there, and what it holds.
PLACES: dict[str, tuple[dict[str, str], str, str, str]] = {
    "consumer in an item": ({"eater": "hold"}, "eater", "holding", "; it held '包子0'"),
    "pipe in an item": ({"cook": "hold"}, "cook", "holding", "; it held '包子0'"),
    "consumer that drives": ({"eater": "drive"}, "eater", "driving", "; it held '包子0'"),
    "idle producer": ({"chef": "idle"}, "chef", "idle", ""),
    "idle pipe": ({"chef": "idle"}, "cook", "", ""),
    "idle consumer": ({"chef": "idle"}, "eater", "", ""),
}


def row(**handlers: str) -> tuple[StageSpec, StageSpec, StageSpec]:
    """A producer, a pipe and a consumer, with other handlers than the usual where they are given."""
    usual = {"chef": "steam", "cook": "share", "eater": "eat", **handlers}
    return (
        stage("chef", usual["chef"], puts="q"),
        stage("cook", usual["cook"], "q", "r"),
        stage("eater", usual["eater"], "r"),
    )


class Strike:
    """Sends a signal to the worker that an event is of, and remembers when."""

    def __init__(self, *numbers: signal.Signals) -> None:
        self._numbers = numbers
        self.at = 0.0

    def __call__(self, event: Event) -> None:
        self.at = time.time()
        for number in self._numbers:
            os.kill(event.pid, number)


@pytest.mark.parametrize("number", DEADLY, ids=lambda number: number.name)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.quick("idle consumer-SIGKILL", "consumer in an item-SIGKILL", "idle producer-SIGKILL")
def test_a_worker_that_is_killed_ends_the_run_at_once_and_is_named(
    scene: Scene, number: signal.Signals, place: str
) -> None:
    handlers, victim, word, held = PLACES[place]
    scene.handlers(KITCHEN)
    strike = Strike(number)
    if word:
        scene.when("worker.logged", strike, message=word)
    else:
        scene.when("worker.ready", strike, worker=victim)

    report = scene.run(*row(**handlers))

    pid = scene.one("worker.spawned", worker=victim).pid
    assert (1, "failed") == (report.exit_code, report.outcome)
    assert f"stage '{victim}': worker '{victim}' (pid {pid}) killed by {number.name}{held}" == report.reason
    assert number.name == scene.one("worker.exited", worker=victim).signal
    assert scene.one("run.finished").at - strike.at < SOON


@pytest.mark.parametrize("victim", ["chef", "cook"])
@pytest.mark.quick("cook")
def test_a_worker_killed_while_it_waits_for_room_ends_the_run_at_once(scene: Scene, victim: str) -> None:
    scene.handlers(KITCHEN)
    strike = Strike(signal.SIGKILL)
    spawned = scene.note_first("worker.spawned", worker=victim)
    scene.when("run.progress", lambda _: strike(spawned()), where=waits_for_room(victim))

    report = scene.run(*row(eater="hold"))

    reason = str(report.reason)
    assert 1 == report.exit_code
    assert f"worker '{victim}' (pid {spawned().pid}) killed by SIGKILL" in reason
    assert victim == "chef" or "it held '包子" in reason
    assert scene.one("run.finished").at - strike.at < SOON


def waits_for_room(victim: str) -> Callable[[Event], bool]:
    """Whether a snapshot shows that the stage's worker waits for room."""
    return lambda event: any(s["name"] == victim and s["blocked"] > 0 for s in event.stages)


LEAVES = {
    "producer": {"chef": "leave_with_nothing"},
    "pipe": {"cook": "leave_with_item"},
    "consumer": {"eater": "leave_with_item"},
}


@pytest.mark.parametrize("role", LEAVES)
@pytest.mark.parametrize("code", [0, 7])
@pytest.mark.quick("0-producer")
def test_a_worker_that_exits_without_a_word_has_died_whatever_its_code(
    scene: Scene, role: str, code: int
) -> None:
    leave = f"""
    def leave_with_nothing():
        os._exit({code})
        yield
    def leave_with_item(item):
        os._exit({code})
    """
    scene.handlers(KITCHEN + leave)
    (victim,) = LEAVES[role]

    report = scene.run(*row(**LEAVES[role]))

    held = "" if role == "producer" else "; it held '包子0'"
    assert 1 == report.exit_code
    assert f"worker '{victim}'" in str(report.reason)
    assert f"exited with code {code} in the middle of its work{held}" in str(report.reason)


def test_a_worker_that_was_stopped_can_still_be_killed(scene: Scene) -> None:
    scene.handlers(KITCHEN)
    strike = Strike(signal.SIGSTOP, signal.SIGKILL)
    scene.when("worker.logged", strike, message="holding")

    report = scene.run(*row(eater="hold"))

    assert (1, True) == (report.exit_code, "killed by SIGKILL; it held '包子0'" in str(report.reason))
    assert scene.one("run.finished").at - strike.at < SOON


@pytest.mark.slow
def test_a_stopped_worker_does_not_hold_up_the_end(scene: Scene) -> None:
    scene.handlers(KITCHEN)
    strike = Strike(signal.SIGKILL)
    held: list[Event] = []
    stopped: list[Event] = []

    def strike_when_both() -> None:
        if held and stopped:
            strike(held[0])

    def stop(event: Event) -> None:
        send(signal.SIGSTOP)(event)
        stopped.append(event)
        strike_when_both()

    def hold(event: Event) -> None:
        held.append(event)
        strike_when_both()

    scene.when("worker.ready", stop, worker="eater")
    scene.when("worker.logged", hold, message="holding")

    report = scene.run(*row(cook="hold"))

    assert (1, True) == (report.exit_code, "worker 'cook'" in str(report.reason))
    assert "SIGKILL" == scene.one("worker.exited", worker="eater").signal
    assert scene.one("run.finished").at - strike.at < SOON


# Signals to the supervisor.

ENDLESS = """
    def steam():
        bun = 0
        while True:
            yield bun
            bun += 1
    def drive(queue):
        while True:
            queue.put("包子")
    def share(item):
        return item
    def eat(item):
        pass
    def hold(item, worker):
        worker.log.info("holding")
        time.sleep(60)
    def cling(item, worker):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        worker.log.info("clinging")
        while True:
            time.sleep(60)
    """


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
@pytest.mark.parametrize("producer", ["steam", "drive"])
@pytest.mark.quick("steam-SIGINT")
def test_a_signal_stops_the_producers_and_drains_the_rest(
    scene: Scene, number: signal.Signals, producer: str
) -> None:
    scene.handlers(ENDLESS)
    scene.when("run.progress", interrupt(number), lambda event: all(q["put"] for q in event.queues))

    report = scene.run(*row(chef=producer))

    assert (128 + number, "interrupted") == (report.exit_code, report.outcome)
    assert number.name in str(report.reason)
    assert {"finished"} == {e.outcome for e in scene.events if e.kind == "worker.exited"}
    for name in ("q", "r"):
        assert report.queue(name).put == report.queue(name).done > 0


@pytest.mark.slow
def test_who_overruns_the_time_to_stop_is_shown_and_terminated(scene: Scene) -> None:
    scene.handlers(ENDLESS)
    scene.when("worker.logged", interrupt(signal.SIGINT), message="holding")

    report = scene.run(*row(eater="hold"), stop_timeout=0.1)

    end = ["worker.stacks", "worker.terminating", "worker.exited"]
    assert (130, end) == (report.exit_code, scene.names("eater")[-3:])
    assert "in hold" in scene.one("worker.stacks", worker="eater").stacks
    assert "SIGTERM" == scene.one("worker.exited", worker="eater").signal


@pytest.mark.slow
def test_who_ignores_the_request_to_end_is_killed(scene: Scene) -> None:
    scene.handlers(ENDLESS)
    scene.when("worker.logged", interrupt(signal.SIGTERM), message="clinging")

    report = scene.run(*row(eater="cling"), stop_timeout=0.1)

    asked = [e.signal for e in scene.events if e.kind == "worker.terminating"]
    assert (143, ["SIGTERM", "SIGKILL"]) == (report.exit_code, asked[-2:])
    assert "SIGKILL" == scene.one("worker.exited", worker="eater").signal


def test_a_second_signal_kills_at_once(scene: Scene) -> None:
    scene.handlers(ENDLESS)
    scene.when("worker.logged", interrupt(signal.SIGINT), message="clinging")
    scene.when("run.stopping", interrupt(signal.SIGINT))

    report = scene.run(*row(eater="cling"), stop_timeout=30.0)

    asked = scene.one("worker.terminating", worker="eater")
    assert (130, "SIGKILL") == (report.exit_code, asked.signal)
    assert scene.one("run.finished").at - scene.events[0].at < 20


# The end of the supervisor itself, in a process of its own.

FAMILY = """
    def hold(item, worker):
        with open(os.devnull, "w") as nowhere:
            for apart in (False, True):
                note(subprocess.Popen(["sleep", "120"], stdout=nowhere, start_new_session=apart).pid)
        note(os.getpid())
        worker.log.info("holding")
        if item == "for ever":
            time.sleep(120)
    def one(what):
        yield what
    """
_SUPERVISOR = """
import sys
from pathlib import Path
from runner.spec.plan import make_plan
from runner.composition import run
from runner.spec.limits import Limits
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.resources import QueueSpec

class Tell:
    def observe(self, event):
        if event.kind == "worker.logged":
            print("holding", flush=True)
    def close(self):
        pass

chef = StageSpec("chef", HandlerRef("python", "kitchen:one"), {"what": sys.argv[2]}, ("chef",), sends="q")
eater = StageSpec("eater", HandlerRef("python", "kitchen:hold"), {}, ("eater",), receives="q")
limits = Limits(stop_timeout=0.1)
spec = WorkflowSpec("w", Path(sys.argv[1], "w.yaml"), (chef, eater), (QueueSpec("q"),), "joinable", limits)
sys.exit(run(make_plan(spec), [Tell()]).exit_code)
"""


@pytest.mark.parametrize(
    ("what", "number", "code"),
    [
        ("for ever", signal.SIGKILL, -signal.SIGKILL),
        pytest.param("for ever", signal.SIGINT, 130, marks=pytest.mark.slow),
        ("for a moment", None, 0),
    ],
)
@pytest.mark.quick("for ever-9--9")
def test_nothing_outlives_the_supervisor(
    scene: Scene, what: str, number: signal.Signals | None, code: int
) -> None:
    scene.handlers(FAMILY)
    command = [sys.executable, "-c", _SUPERVISOR, scene.folder, what]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        assert "holding\n" == supervisor.stdout.readline()
        if number is not None:
            supervisor.send_signal(number)
        exit_code = supervisor.wait(30)

    family = [Path("/proc", pid) for pid in scene.notes()]
    assert (code, 3) == (exit_code, len(family))
    assert wait_until(lambda: not any(is_running(member) for member in family), seconds=2.0)


def is_running(folder: Path) -> bool:
    """Whether a process of /proc is there and no zombie, whose parent is yet to take note."""
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(true: Callable[[], bool], seconds: float) -> bool:
    """Look until it is true or the time is over."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


# A system that has nothing left to give.


@pytest.mark.parametrize("refused", [1, 2, 3])
def test_a_start_that_the_system_refuses_is_rolled_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, refused: int
) -> None:
    """RLIMIT_NPROC does not bind root, so that the refusal is put in place of the fork."""
    scene.handlers(KITCHEN)
    fork, left = os.fork, [0, *[True] * (refused - 1)]  # the first is the watchdog's

    def fork_or_refuse() -> int:
        if not left:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        left.pop()
        return fork()

    monkeypatch.setattr(os, "fork", fork_or_refuse)

    report = scene.run(*row(chef="idle"))

    victim = ["eater", "cook", "chef"][refused - 1]
    assert 1 == report.exit_code
    assert f"worker '{victim}' could not be started: Resource temporarily unavailable" == report.reason
    assert refused - 1 == sum(event.kind == "worker.exited" for event in scene.events)


def test_a_watchdog_that_the_system_refuses_starts_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.handlers(KITCHEN)

    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", refuse)

    with pytest.raises(StartFailed, match="Resource temporarily unavailable"):
        scene.run(*row())

    assert [] == scene.events


@pytest.mark.slow
def test_too_few_descriptors_are_told_and_leave_nothing(scene: Scene) -> None:
    scene.handlers("def count():\n    yield 1\ndef eat(item):\n    pass")
    few = (stage("chef", "count", puts="q"), stage("eater", "eat", "q"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)  # a limit of n refuses the number n and those above, whatever is open there already
    os.close(lowest)
    reasons = []
    try:
        for more in range(1, 60):
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + more, hard))
            reasons.append(scene.why_not(*few))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    refusals = [reason for reason in reasons if reason]
    assert "" == reasons[-1]
    assert [] == [reason for reason in refusals if "Too many open files" not in reason]
    assert [""] * (59 - len(refusals)) == reasons[len(refusals) :]
