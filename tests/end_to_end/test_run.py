"""Putting the parts together: what `run` leaves as it was, and what `run_file` needs no more than a path for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.composition import run, run_file
from runner.errors import SpecError, UsageError
from runner.events.base import Event
from runner.events.report import Report
from runner.process.child import children
from runner.process.watchdog import RUN_VARIABLE
from runner.record.recorder import NoRecord
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import Plan, make_plan

WORKFLOW = """
    name: 早餐
    params:
      buns: {type: integer, default: 2}
    queues:
      steamer: {maxsize: 4}
    stages:
      chef:
        run: breakfast:steam
        with: {buns: "${{ params.buns }}"}
        to: steamer
      eater:
        run: breakfast:eat
        from: steamer
    """
HANDLERS = """
    def steam(buns: int):
        yield from range(buns)
    def eat(item):
        pass
    """


class Witness:
    """An observer that keeps what it sees."""

    def __init__(self) -> None:
        self.seen: list[Event] = []
        self.closed = 0

    def observe(self, event: Event) -> None:
        """Keep an event."""
        self.seen.append(event)

    def close(self) -> None:
        """Note it."""
        self.closed += 1


class Fainting(Witness):
    """An observer that raises at the third event."""

    def observe(self, event: Event) -> None:
        """Keep two events."""
        super().observe(event)
        if len(self.seen) == 3:
            raise RuntimeError("too much")


@pytest.fixture
def kitchen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a workflow and its handlers."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "breakfast.yaml").write_text(textwrap.dedent(WORKFLOW), encoding="utf-8")
    (tmp_path / "breakfast.py").write_text(textwrap.dedent(HANDLERS), encoding="utf-8")
    yield tmp_path
    sys.modules.pop("breakfast", None)
    sys.modules.pop("chores", None)


def chore(folder: Path, source: str, transport: str = "joinable") -> Plan:
    """The plan of one plain worker that runs `do`."""
    (folder / "chores.py").write_text("import os\n" + textwrap.dedent(source), encoding="utf-8")
    stage = StageSpec("chore", HandlerRef("python", "chores:do"), {}, ("neo",))
    return make_plan(WorkflowSpec("chores", folder / "chores.yaml", (stage,), transport=transport))


@pytest.mark.parametrize("transport", ["inline", "joinable"])
def test_a_file_is_checked_and_run(kitchen: Path, transport: str) -> None:
    report = run_file(kitchen / "breakfast.yaml", transport=transport, params={"buns": 5})

    assert (0, "早餐", transport) == (report.exit_code, report.workflow, report.transport)
    assert (5, 5) == (report.queue("steamer").put, report.queue("steamer").done)


def test_keys_of_a_file_may_be_overridden(kitchen: Path) -> None:
    report = run_file(
        str(kitchen / "breakfast.yaml"), transport="inline", overrides=["queues.steamer.maxsize=1"]
    )

    assert (0, 1) == (report.exit_code, report.queue("steamer").maxsize)


def test_a_file_with_problems_starts_nothing(kitchen: Path) -> None:
    file = kitchen / "breakfast.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("maxsize", "maxsise"), encoding="utf-8")
    witness = Witness()

    with pytest.raises(SpecError) as caught:
        run_file(file, transport="inline", observers=[witness])

    assert (1, "unknown-key") == (len(caught.value.diagnostics), caught.value.diagnostics[0].code)
    assert [] == witness.seen


def test_an_observer_that_raises_is_dropped_and_the_run_goes_on(kitchen: Path) -> None:
    witness, fainting = Witness(), Fainting()

    report = run_file(kitchen / "breakfast.yaml", transport="inline", observers=[fainting, witness])

    assert (0, 3, 0) == (report.exit_code, len(fainting.seen), fainting.closed)
    assert ("run.finished", 1) == (witness.seen[-1].kind, witness.closed)


def test_all_events_of_a_run_carry_its_id(kitchen: Path) -> None:
    witness = Witness()

    reports = [
        run_file(kitchen / "breakfast.yaml", transport="inline", observers=[witness]) for _ in range(2)
    ]

    assert {report.run for report in reports} == {event.run for event in witness.seen}
    assert 2 == len({report.run for report in reports})


def test_the_caller_gets_its_signals_and_environment_back(
    kitchen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RUN_VARIABLE, "an outer run")
    heeded = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
    before = [signal.getsignal(number) for number in heeded]
    plan = chore(kitchen, f"def do(worker):\n    worker.log.info(os.environ['{RUN_VARIABLE}'])")
    witness = Witness()

    report = run(plan, [witness])

    (said,) = [event.message for event in witness.seen if event.kind == "worker.logged"]
    assert (0, report.run) == (report.exit_code, said)
    assert "an outer run" == os.environ[RUN_VARIABLE]
    assert before == [signal.getsignal(number) for number in heeded]


def test_a_signal_that_comes_while_the_run_is_still_put_together_stops_it(kitchen: Path) -> None:
    class Early(NoRecord):
        def begin(self, *_about: object, **_more: object) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        report = run(chore(kitchen, "import time\ndef do():\n    time.sleep(60)"), recorder=Early())
    finally:
        signal.signal(signal.SIGTERM, before)

    assert ("interrupted", 143) == (report.outcome, report.exit_code)


def test_the_callers_own_children_are_left_alone(kitchen: Path) -> None:
    plan = chore(kitchen, "def do():\n    pass")
    with subprocess.Popen(["sleep", "60"]) as own:
        before = children()

        report = run(plan)

        after, state = children(), own.poll()
        own.kill()

    assert (0, None) == (report.exit_code, state)
    assert before == after


def test_the_callers_working_folder_and_umask_are_its_own(kitchen: Path) -> None:
    plan = chore(kitchen, "def do():\n    os.chdir('/')\n    os.umask(0o077)")
    before = Path.cwd()

    report = run(plan)

    umask = os.umask(0o022)
    os.umask(umask)
    assert (0, before, False) == (report.exit_code, Path.cwd(), umask == 0o077)


def test_a_run_may_be_started_from_another_thread(kitchen: Path) -> None:
    reports: list[Report] = []
    thread = threading.Thread(
        target=lambda: reports.append(run_file(kitchen / "breakfast.yaml", transport="inline"))
    )

    thread.start()
    thread.join(30)

    assert [0] == [report.exit_code for report in reports]


def test_processes_are_refused_where_there_is_no_linux(
    kitchen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = chore(kitchen, "def do():\n    pass")
    monkeypatch.setattr(sys, "platform", "darwin")

    with pytest.raises(UsageError, match="workers need Linux"):
        run(plan)


def test_inline_runs_where_there_is_no_linux(kitchen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = chore(kitchen, "def do():\n    pass", transport="inline")
    monkeypatch.setattr(sys, "platform", "darwin")

    report = run(plan)

    assert 0 == report.exit_code


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_a_stopped_inline_run_leaves_no_command_behind(kitchen: Path) -> None:
    note = kitchen / "pids"
    script = f"sleep 300 & setsid sleep 300 & echo $$ $! > {note}; wait"
    (kitchen / "long.yaml").write_text(
        "name: long\nlimits: {stop_timeout: 300ms}\nstages:\n"
        f"  nap: {{run: {{command: [sh, -c, '{script}']}}}}\n",
        encoding="utf-8",
    )
    mprun = "import sys; from runner.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", mprun, str(kitchen / "long.yaml"), "--transport", "inline", "-q"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as started:
        until(lambda: note.exists() and len(note.read_text().split()) == 2)
        started.send_signal(signal.SIGTERM)

    assert 143 == started.returncode
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in note.read_text().split()))


STUCK = {
    "a producer": 'stages: {stuck: {run: "stuck:make", to: q}, eater: {run: "stuck:eat", from: q}}',
    "a consumer": 'stages: {maker: {run: "stuck:count", to: q}, stuck: {run: "stuck:Sits", from: q}}',
    "a plain worker": 'stages: {stuck: {run: "stuck:Sits"}}',
}


@pytest.mark.slow
@pytest.mark.parametrize("stages", STUCK.values(), ids=STUCK)
def test_nothing_of_a_stuck_handler_runs_once_its_inline_run_is_over(tmp_path: Path, stages: str) -> None:
    (tmp_path / "stuck.yaml").write_text(f"name: stuck\n{stages}\n")
    (tmp_path / "stuck.py").write_text(
        textwrap.dedent("""
            import os, signal, threading
            from runner.composition import run_file

            go, came = threading.Event(), threading.Event()

            def sit():
                os.kill(os.getpid(), signal.SIGINT)
                threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
                go.wait(20)
                came.set()

            def count():
                yield 1

            def eat(item):
                print("ate")

            def make():
                try:
                    sit()
                    yield 1
                finally:
                    print("finally")

            class Sits:
                def __call__(self, item=None):
                    sit()
                def close(self):
                    print("close")

            def main():
                print(run_file("stuck.yaml", transport="inline").exit_code)
                (left,) = [each for each in threading.enumerate() if each.name == "stuck-1"]
                go.set()
                print(came.wait(10))
                left.join(0.3)
            """)
    )

    ran = subprocess.run(
        [sys.executable, "-c", "import stuck; stuck.main()"],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=40,
    )

    assert (["130", "True"], "") == (ran.stdout.split(), ran.stderr)


def test_inline_runs_alike_each_time(kitchen: Path) -> None:
    (kitchen / "breakfast.py").write_text(
        textwrap.dedent("""
        seen = []
        def steam(buns: int, worker):
            for bun in range(buns):
                seen.append(f"{worker.name} {bun}")
                yield bun
        def eat(item, worker):
            seen.append(f"{worker.name} ate {item}")
        """),
        encoding="utf-8",
    )
    orders = []
    for _ in range(3):
        sys.modules.pop("breakfast", None)
        run_file(
            kitchen / "breakfast.yaml",
            transport="inline",
            params={"buns": 6},
            overrides=["stages.chef.count=2", "stages.eater.count=2"],
        )
        orders.append(list(sys.modules["breakfast"].seen))

    assert 24 == len(orders[0])
    assert [orders[0]] * 3 == orders
