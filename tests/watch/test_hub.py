"""The hub of a run, and what a watcher of it gets to know."""

from __future__ import annotations

import os
import pickle
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_events import READY, SPAWNED, exited, finished, progress, started, state_after, worker_counts

from runner.events.base import Event
from runner.events.jobs import JobStarted, StepStarted
from runner.events.run import ItemFailed, RunResumed, RunStopping, RunWorkers, StageTimed, WorkerLogged
from runner.record.reader import RecordDamaged
from runner.spec.failures import OnError
from runner.store.run_folder import RunFacts, RunFolder
from runner.store.run_socket import WATCH_SOCKET, listen_in
from runner.watch import hub as hub_module
from runner.watch.client import RunWatch, WatchSource
from runner.watch.hello import NoHello, hello_line, read_hello
from runner.watch.hub import MOST_WATCHERS, RunHub
from runner.watch.state import RunPhase, RunState

EVENTS = [
    started(),
    RunResumed(incarnation=2, done=1, unfinished=2, in_hand=0, ended=[]),
    SPAWNED,
    READY,
    RunWorkers(workers=[worker_counts(done=3, item="'x'", since=2.0)]),
    progress(1.0, sent=10, done=3, busy=0.9),
    progress(5.0, sent=50, done=30, busy=4.4),
    ItemFailed(
        worker="parser", stage="parser", queue="pages", item="'1'", error="ValueError: 1", action=OnError.SKIP
    ),
    exited(done=4, items=["'x'"]),
    StageTimed(
        stage="parser", buckets=[{"bucket": 9, "least": 1e-6, "items": 4}], slowest=2.0, slowest_item="'x'"
    ),
    JobStarted(job="test", attempt=1, reason="", log="test.log", worker="w", needs=["build"]),
    StepStarted(job="test", step=1, name="pytest"),
    RunStopping(reason="Ctrl-C", signal="SIGINT", alive=["parser"]),
    finished(),
]


def known(state: RunState) -> object:
    """All that anybody could ask it."""
    return (
        *(state.run, state.phase, state.began, state.told, state.ended, state.stop_reason, state.incarnation),
        *(state.workflow, state.outcome, state.exit_code, state.elapsed, list(state.recent), state.missed),
        *(state.stages(), state.queues(), state.workers(), state.jobs(), state.report(), state.bottleneck()),
        [(k.kind.n, k.kind.error, k.kind.minutes.values, k.samples) for k in state.failures()],
        {
            name: (s.start, s.step, s.values)
            for name in state.series_names()
            if (s := state.series(name)) is not None
        },
        state.eta(),
    )


@given(st.lists(st.sampled_from(EVENTS), max_size=30), st.integers(0, 30))
def test_the_state_at_any_moment_and_what_follows_make_what_all_events_make(
    events: list[Event], at: int
) -> None:
    stamped = [event.stamped(float(n), "d5fc") for n, event in enumerate(events)]
    whole = RunState()
    for event in stamped:
        whole.observe(event)

    early = RunState()
    for event in stamped[:at]:
        early.observe(event)
    late, missed = read_hello(hello_line(early, missed=3).rstrip(b"\n"))
    for event in stamped[at:]:
        late.observe(event)

    assert (known(whole), 3) == (known(late), missed)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{}", "can't be read"),
        (b"nothing", "can't be read"),
        (b'{"refused": "64 others"}', "64 others"),
        (hello_line(RunState()).replace(b'"version": "', b'"version": "9'), "and this is"),
        (hello_line(RunState()).replace(b'"state": "', b'"state": "AAAA'), "can't be read"),
    ],
)
def test_what_is_no_state_is_refused_with_the_reason(line: bytes, why: str) -> None:
    with pytest.raises(NoHello, match=why):
        read_hello(line)


def test_a_state_that_would_do_something_is_not_unpacked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "trap"),)

    monkeypatch.setattr(pickle, "dumps", lambda *_args, dumps=pickle.dumps, **_: dumps(Trap(), protocol=5))
    line = hello_line(RunState())

    with pytest.raises(NoHello, match="no fact of a run"):
        read_hello(line)
    assert not (tmp_path / "trap").exists()


class Run:
    """A run as far as it is watched: its folder, and the hub in it."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.path = folder.make()
        self.hub = RunHub(listen_in(self.path, WATCH_SOCKET, 64))
        self.now = 0.0

    def watch(self) -> RunWatch:
        """Begin to watch: this process is both who calls and who answers."""
        line = socket.socket(socket.AF_UNIX)
        line.connect(str(self.path / WATCH_SOCKET))
        self.hub.serve()
        return RunWatch(self.folder, line)

    def tell(self, *events: Event) -> None:
        for event in events:
            self.now += 1.0
            self.hub.observe(event.stamped(self.now, "d5fc"))
        self.hub.flush()
        self.hub.serve()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(RunFolder("d5fc", tmp_path / "home"))
    yield made
    made.hub.close()


def all_of(watch: RunWatch) -> list[str]:
    """Read what has come."""
    kinds: list[str] = []
    while select.select([watch], [], [], 0.0)[0] and not watch.is_over:
        kinds += [event.kind for event in watch.wait(0.0)]
    return kinds


def test_a_late_watcher_sees_the_past_in_its_first_line_and_then_what_comes(run: Run) -> None:
    run.tell(started(), SPAWNED, progress(1.0, sent=7))
    with run.watch() as watch:
        assert (7, []) == (watch.state.stages()[0].passed, all_of(watch))

        run.tell(progress(2.0, sent=9), finished())
        assert ["run.progress", "run.finished"] == all_of(watch)
        assert (9, RunPhase.ENDED, WatchSource.LIVE) == (
            watch.state.stages()[0].passed,
            watch.state.phase,
            watch.source,
        )


def said(text: str) -> Event:
    return WorkerLogged(worker="parser", stage="parser", pid=9, message=text, fields={})


def test_who_does_not_read_is_told_how_much_it_missed_and_is_up_to_date_at_once(run: Run) -> None:
    run.tell(started())
    with run.watch() as slow, run.watch() as quick:
        for n in range(400):
            run.tell(said("x" * 10_000), progress(n / 4, sent=n))
            all_of(quick)
        assert 0 == quick.missed

        rounds = 0
        while slow.state.told < run.now and (rounds := rounds + 1) < 100:
            all_of(slow)
            run.hub.serve()  # which has room again each time that some of it was read
        assert 0 < slow.missed < 800
        assert known(quick.state) == known(slow.state)

        run.tell(progress(200.0, sent=999))
        assert (["run.progress"], 999) == (all_of(slow), slow.state.stages()[0].passed)


def test_what_waits_for_a_watcher_is_bounded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "MOST_BYTES", 10_000)
    run.tell(started())
    with run.watch():
        for _ in range(1000):
            run.tell(said("x" * 1000))
        (waiting,) = run.hub.waiting_bytes()

    assert 10_000 <= waiting < 100_000


def test_who_is_gone_is_forgotten_and_too_many_are_refused(run: Run) -> None:
    run.tell(started())
    watches = [run.watch() for _ in range(MOST_WATCHERS)]
    with pytest.raises(RecordDamaged):  # it is refused, and nothing was recorded
        run.watch()
    assert MOST_WATCHERS == run.hub.watchers

    for each in watches:
        each.close()
    run.tell(finished())
    assert 0 == run.hub.watchers


def test_a_run_that_has_just_begun_is_waited_for_until_it_tells_of_itself(tmp_path: Path) -> None:
    folder = RunFolder("d5fc", tmp_path / "home")
    folder.write_facts(RunFacts("d5fc", "shop", "shop.yaml", os.getpid(), 1.0))
    with ThreadPoolExecutor() as pool:
        begun = pool.submit(RunWatch, folder)
        with pytest.raises(TimeoutError):
            begun.result(0.2)
        hub = RunHub(listen_in(folder.path, WATCH_SOCKET, 64))
        hub.observe(started().stamped(1.0, "d5fc"))
        while not begun.done():
            hub.serve()
    with begun.result() as watch:
        assert (WatchSource.LIVE, "") == (watch.source, watch.trouble)
    hub.close()


def test_a_run_that_was_killed_before_it_told_anything_is_not_waited_for(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    folder = RunFolder("d5fc", tmp_path / "home")
    folder.write_facts(RunFacts("d5fc", "shop", "shop.yaml", gone.pid, 1.0))

    with pytest.raises(RecordDamaged, match="can't be read"):
        RunWatch(folder)


def test_the_end_waits_for_nobody_who_does_not_read(run: Run) -> None:
    run.tell(started())
    with run.watch(), run.watch():
        run.tell(*(said("x" * 10_000) for _ in range(500)), finished())
        began = time.monotonic()
        run.hub.close()

    assert time.monotonic() - began < 2.0


def test_state_after_no_event_at_all_can_be_sent() -> None:
    state, _ = read_hello(hello_line(RunState()))
    assert known(RunState()) == known(state)
    assert known(state_after((1.0, started()))) != known(state)
