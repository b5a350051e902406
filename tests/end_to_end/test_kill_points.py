"""Kill points, not kill times: a worker of each role dies, or stops, at each boundary of its life.

A run of three stages is struck once, by a failpoint. It has to end by itself, with each item at the sink, a ledger that
adds up, and no process, descriptor or file in /dev/shm left.
"""

from __future__ import annotations

import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from holdings import nothing_left

from runner.composition import run
from runner.errors import UsageError
from runner.events.base import Event
from runner.events.report import Report
from runner.ipc.stream import HEADER
from runner.spec.failures import OnError, RestartPolicy
from runner.spec.limits import Limits
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import QueueSpec
from runner.testing.failpoints import (
    ACTIONS,
    HOOK,
    HOOK_VARIABLE,
    MARK_VARIABLE,
    VARIABLE,
    Failpoint,
    Trigger,
)

KITCHEN = """
    import os, time
    from pathlib import Path
    from runner.testing.failpoints import reached

    class Steam:
        def __init__(self, count, size, offset):
            self.buns, self.stuffing = range(offset, count), b"x" * size
        def __call__(self):
            for bun in self.buns:
                yield (bun, self.stuffing) if self.stuffing else bun
        def close(self):
            reached("close")

    class Halve:
        def __init__(self, fails):
            self.fails = fails
        def __call__(self, item):
            bun, *stuffing = item if isinstance(item, tuple) else (item,)
            if bun == self.fails:
                raise ValueError(bun)
            for half in ("left", "right"):
                reached("handler")
                yield (bun, half, *stuffing)
        def close(self):
            reached("close")

    class Eat:
        def __init__(self, fails, seconds):
            self.fails, self.seconds = fails, seconds
            self.notes = os.open(Path(__file__).with_name("notes.txt"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        def __call__(self, item):
            bun, half, *stuffing = item
            if (bun, half) == (self.fails, "left"):
                raise ValueError(bun)
            time.sleep(self.seconds)
            os.write(self.notes, f"{bun} {half} {len(stuffing and stuffing[0])}\\n".encode())
            reached("handler")
        def close(self):
            reached("close")
"""
BIG = 70_000
"""Bytes of an item that goes through shared memory."""
BOUND = 60.0
"""Seconds after which a run is taken to hang."""

ROLES = {"producer": "chef", "resumable": "chef", "pipe": "cook", "consumer": "eater"}


@dataclass(frozen=True)
class Shape:
    """How much there is to do, and how it travels."""

    maxsize: int = 8
    count: int = 60
    size: int = 0
    seconds: float = 0.0
    """What the sink takes for an item."""
    fails: int | None = None
    """The bun that the struck worker's handler raises on."""


SMALL = Shape()
ONE_BY_ONE = Shape(maxsize=1, count=12)
"""A queue of one: each output is a message of its own, so that an item of the pipe can be half handed over."""
WIDE = Shape(maxsize=10_000, count=3000)
BULKY = Shape(count=8, size=BIG)
LONG = Shape(maxsize=10_000, count=3000, size=1000)
"""Frames that lie in shared memory as a whole."""
FUSSY = Shape(fails=7)
SLOW = Shape(maxsize=2, count=20, seconds=0.002)

# Where to strike, at which arrival, in what shape of run; which roles come there.
ALL, READERS, WRITERS = tuple(ROLES), ("pipe", "consumer"), ("producer", "resumable", "pipe")
PLACES: tuple[tuple[str, int, Shape, tuple[str, ...]], ...] = (
    ("born", 1, SMALL, ALL),
    ("idle", 1, SMALL, READERS),
    ("idle", 3, ONE_BY_ONE, READERS),
    ("received", 2, SMALL, READERS),
    ("received", 3, WIDE, READERS),
    ("marked", 2, SMALL, READERS),
    ("handling", 7, SMALL, ALL),
    ("handling", 900, WIDE, ALL),
    ("handler", 7, SMALL, READERS),
    ("handler", 900, WIDE, READERS),
    ("handler", 6, ONE_BY_ONE, READERS),
    ("handled", 7, SMALL, ALL),
    ("handled", 900, WIDE, ALL),
    ("blocked", 1, SLOW, WRITERS),
    ("sending", 3, SMALL, ALL),
    ("sending", 4, ONE_BY_ONE, ALL),
    ("torn-1", 3, SMALL, ALL),
    (f"torn-{HEADER.size}", 3, SMALL, ALL),
    ("torn-half", 3, SMALL, ALL),
    ("torn-half", 4, ONE_BY_ONE, ALL),
    ("torn-half", 4, WIDE, ALL),
    ("torn-half", 3, BULKY, ALL),
    ("sent", 3, SMALL, ALL),
    ("sent", 4, ONE_BY_ONE, ALL),
    ("sent", 5, ONE_BY_ONE, ALL),
    ("sent", 4, WIDE, ALL),
    ("sent", 3, BULKY, ALL),
    ("copying", 3, BULKY, WRITERS),
    ("copied", 3, BULKY, WRITERS),
    ("handler", 3, BULKY, READERS),
    ("received", 3, LONG, READERS),
    ("handled", 900, LONG, ALL),
    ("torn-half", 4, LONG, ALL),
    ("sent", 4, LONG, ALL),
    ("copying", 2, LONG, WRITERS),
    ("copied", 2, LONG, WRITERS),
    ("close", 1, SMALL, ALL),
    ("finishing", 1, SMALL, ALL),
    ("finished", 1, SMALL, ALL),
)
SWEEP = [
    pytest.param(
        Failpoint(name, action, nth, ROLES[role]),
        shape,
        role,
        id=f"{name}-{nth}-of-{shape.count}-{role}-{action}",
    )
    for name, nth, shape, roles in PLACES
    for role in roles
    for action in ACTIONS
]


def sample() -> list[object]:
    """A place of each kind and each role, once: by SIGKILL but for two."""
    wanted = {
        "received-2",
        "handler-6",
        "torn-half-4-of-12",
        "sent-5",
        "copying",
        "blocked",
        "finished",
        "born",
    }
    picked = [
        each
        for each in SWEEP
        if any(str(each.id).startswith(w) for w in wanted) and str(each.id).endswith("SIGKILL")
    ]
    stopped = [each for each in SWEEP if each.id == "sending-3-of-60-pipe-SIGSTOP"]
    left = [each for each in SWEEP if each.id == "handled-7-of-60-producer-exit-0"]
    return [*picked, *stopped, *left]


class Strike:
    """One run, struck once."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch
        self.events: list[Event] = []

    def run(
        self, failpoint: Failpoint, shape: Shape, *, resumable: bool = False, on_error: OnError = OnError.FAIL
    ) -> Report:
        """Run the three stages with a failpoint armed."""
        mark = self._folder / "struck"
        where = f"{failpoint.name}:{failpoint.action}:{failpoint.nth}:{failpoint.worker}"
        self._monkeypatch.setenv(HOOK_VARIABLE, HOOK)
        self._monkeypatch.setenv(VARIABLE, where)
        self._monkeypatch.setenv(MARK_VARIABLE, str(mark))
        (self._folder / "kitchen.py").write_text(textwrap.dedent(KITCHEN), encoding="utf-8")
        fails = {name: shape.fails if name == failpoint.worker else None for name in ("cook", "eater")}
        restart = RestartPolicy() if resumable else None
        stages = (
            stage("chef", "Steam", None, "q", {"count": shape.count, "size": shape.size}, restart=restart),
            stage("cook", "Halve", "q", "r", {"fails": fails["cook"]}, on_error=on_error),
            stage(
                "eater",
                "Eat",
                "r",
                None,
                {"fails": fails["eater"], "seconds": shape.seconds},
                on_error=on_error,
            ),
        )
        queues = tuple(QueueSpec(name, shape.maxsize) for name in ("q", "r"))
        limits = Limits(timeout=BOUND, max_errors=str(int(shape.fails is not None)))
        spec = WorkflowSpec("strike", self._folder / "w.yaml", stages, queues, "leased", limits)
        report = run(make_plan(spec), [self])
        # A run that has ended for another reason, at its bound on a busy machine, may not have come so far.
        assert mark.exists(), (
            f"nothing was struck: the failpoint was never reached; {report.outcome}: {report.reason}"
        )
        return report

    def observe(self, event: Event) -> None:
        """Keep the event."""
        self.events.append(event)

    def close(self) -> None:
        """Nothing to flush."""

    def eaten(self) -> Counter[str]:
        """What the sink handled, and how often."""
        notes = self._folder / "notes.txt"
        return Counter(notes.read_text().splitlines() if notes.exists() else [])

    def count(self, name: str, **named: object) -> int:
        """How many events there were of that name and with those fields."""
        return sum(e.kind == name and named.items() <= vars(e).items() for e in self.events)


def stage(
    name: str, target: str, reads: str | None, puts: str | None, given: dict[str, object], **more: Any
) -> StageSpec:
    """A stage of one worker that has the stage's name."""
    handler = HandlerRef("python", f"kitchen:{target}")
    return StageSpec(name, handler, given, (name,), receives=reads, sends=puts, **more)


def halves(buns: int, shape: Shape) -> Counter[str]:
    """What the sink should have of so many buns."""
    return Counter(f"{bun} {half} {shape.size}" for bun in range(buns) for half in ("left", "right"))


def shared_files() -> set[str]:
    """What is in shared memory by name."""
    return {entry.name for entry in Path("/dev/shm").iterdir()}


def stays_within(known: set[str], seconds: float) -> bool:
    """Whether no other file is in shared memory; what other programs have there for a moment is theirs."""
    until = time.monotonic() + seconds
    while not (fits := shared_files() <= known) and time.monotonic() < until:
        time.sleep(0.05)
    return fits


@pytest.fixture
def strike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Strike]:
    """A run that leaves nothing behind, whatever it is struck by."""
    monkeypatch.setenv("MPRUN_HOME", str(tmp_path / "home"))
    shared = shared_files()
    with nothing_left():
        yield Strike(tmp_path, monkeypatch)

    assert stays_within(shared, seconds=10)


def check(strike: Strike, failpoint: Failpoint, shape: Shape, role: str) -> None:
    """Strike, and hold the run to all that is promised."""
    report = strike.run(failpoint, shape, resumable=role == "resumable")

    put = report.queue("q").put
    # Whoever has said its last word and then leaves with 0 has not died.
    dies = (failpoint.name, failpoint.action) != ("finished", "exit-0")
    # Nobody can tell what its close() was to make safe, and nobody could do that again.
    closes = failpoint.name in ("close", "finishing") and role in ("pipe", "consumer")
    fails = (role == "producer" or closes) and dies
    assert (1 if fails else 0, "failed" if fails else "done") == (report.exit_code, report.outcome), (
        report.reason
    )
    assert put == report.queue("q").done and 2 * put == report.queue("r").put == report.queue("r").done
    assert int(dies and not fails) == strike.count("worker.restarted", worker=ROLES[role])
    if closes:
        assert "it was in its close(), and what that was to make safe of" in str(report.reason)
    elif fails:
        what = f"{put:,} item{'s' * (put != 1)}, is worked off"
        assert "worker 'chef'" in str(report.reason)
        assert ("it had put nothing" if put == 0 else what) in str(report.reason)
    else:
        assert shape.count == put
    check_sink(strike, halves(put, shape), role)


def check_sink(strike: Strike, expected: Counter[str], role: str) -> None:
    """Each item came to the sink once; its handler may have seen once more the one that it was killed on."""
    eaten = strike.eaten()
    again = eaten - expected
    assert expected == eaten - again
    assert sum(again.values()) <= strike.count("item.redelivered", worker="eater") <= int(role == "consumer")


@pytest.mark.parametrize(("failpoint", "shape", "role"), sample())
@pytest.mark.quick(
    "handler-pipe",
    "torn-consumer",
    "blocked-resumable",
    "born-pipe",
    "sent-pipe",
    "received-consumer",
    "finished-resumable",
)
def test_a_worker_that_is_struck_loses_and_repeats_nothing(
    strike: Strike, failpoint: Failpoint, shape: Shape, role: str
) -> None:
    check(strike, failpoint, shape, role)


@pytest.mark.sweep(3)
@pytest.mark.slow
@pytest.mark.parametrize(("failpoint", "shape", "role"), SWEEP)
def test_a_worker_struck_at_any_boundary_loses_and_repeats_nothing(
    strike: Strike, failpoint: Failpoint, shape: Shape, role: str
) -> None:
    check(strike, failpoint, shape, role)


@pytest.mark.parametrize("name", ["failing", "failed"])
@pytest.mark.parametrize("role", READERS)
@pytest.mark.parametrize("on_error", [OnError.SKIP, OnError.DEAD_LETTER])
@pytest.mark.quick("skip-pipe-failing")
def test_an_item_that_fails_is_counted_once_whenever_its_worker_dies(
    strike: Strike, name: str, role: str, on_error: OnError
) -> None:
    report = strike.run(Failpoint(name, "SIGKILL", 1, ROLES[role]), FUSSY, on_error=on_error)

    queue = report.queue("q" if role == "pipe" else "r")
    assert (0, 1) == (report.exit_code, queue.dropped + queue.dead_lettered), report.reason
    assert int(on_error is OnError.DEAD_LETTER) == queue.dead_lettered == strike.count("item.dead_lettered")
    assert queue.put == queue.done + 1
    missing = ["7 left 0", "7 right 0"] if role == "pipe" else ["7 left 0"]
    assert halves(FUSSY.count, FUSSY) - Counter(missing) == strike.eaten()


# The instrument itself.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("born:SIGKILL", Failpoint("born", "SIGKILL")),
        ("sent:exit-3:4", Failpoint("sent", "exit-3", 4)),
        ("torn-7:SIGSTOP:2:neo", Failpoint("torn-7", "SIGSTOP", 2, "neo")),
        ("sent:SIGSEGV::包子", Failpoint("sent", "SIGSEGV", 1, "包子")),
    ],
)
def test_a_failpoint_is_read_as_it_is_written(text: str, expected: Failpoint) -> None:
    assert expected == Failpoint.parse(text)


@pytest.mark.parametrize("text", ["", "born", "born:", ":SIGKILL", "born:SIGPIPE", "born:SIGKILL:often"])
def test_a_failpoint_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="name:action"):
        Failpoint.parse(text)


def test_a_trigger_is_due_once_in_a_run_whoever_arrives(tmp_path: Path) -> None:
    first, second = (Trigger(Failpoint("sent", "SIGKILL", 2), tmp_path / "mark") for _ in range(2))

    assert [False, True, False] == [first.is_due() for _ in range(3)]
    assert [False, False] == [second.is_due() for _ in range(2)]
