"""A run that is under way, reached from outside: stopped, scaled and looked at by what users type."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.errors import UsageError
from runner.spec.model import HandlerRef, StageSpec, StartMode, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import PipeSpec, QueueSpec
from runner.store.control_socket import ask
from runner.store.discovery import running_folders
from runner.supervisor.admin import ControlHooks, RunController
from runner.supervisor.shutdown import Phase
from runner.supervisor.workers import WorkerTable

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]
PATIENCE = 20.0

HANDLERS = """\
import signal
import time
from pathlib import Path

def make(count):
    for number in range(count):
        yield number
        time.sleep(0.01)

def flood(count):
    yield from range(count)

def take(number):
    while not Path("go").exists():
        time.sleep(0.01)
    print(number, flush=True)

def wait():
    while not Path("go").exists():
        time.sleep(0.01)

class Count:
    def __init__(self):
        self.count = 0

    def __call__(self, number):
        self.count += 1

    def close(self):
        print(self.count)

def deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path("deaf").touch()
    time.sleep(60)
"""


class Scene:
    """A folder in which one workflow runs, and commands that reach it."""

    def __init__(self, folder: Path, mprun: Path, run_mprun: RunMprun, env: dict[str, str]) -> None:
        self.folder = folder
        self._mprun = mprun
        self._run = run_mprun
        self._env = {**env, "MPRUN_HOME": str(folder / "home")}
        self.started: list[subprocess.Popen[str]] = []
        (folder / "h.py").write_text(HANDLERS)

    def start(self, stages: str, head: str = "") -> subprocess.Popen[str]:
        """Begin to run these stages, and return once every worker of theirs has said that it is ready."""
        (self.folder / "w.yaml").write_text(f"name: w\n{head}\nstages:\n{stages}")
        process = subprocess.Popen(
            [self._mprun, "w.yaml", "-q", "--report", "report.json"],
            cwd=self.folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self.started.append(process)
        self.wait_for(lambda: [run for run in self.runs() if run["pid"] == process.pid])
        return process

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run(*arguments, cwd=self.folder, env={"MPRUN_HOME": str(self.folder / "home")})

    def runs(self) -> list[dict[str, Any]]:
        return [
            ask(run_folder.path, {"do": "status"}) for run_folder in running_folders(self.folder / "home")
        ]

    def worker(self, name: str) -> dict[str, Any]:
        (run,) = self.runs()
        return next(dict(worker) for worker in run["workers"] if worker["worker"] == name)

    def wait_for(self, told: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + PATIENCE
        while not (found := told()):
            assert time.monotonic() < deadline, "it never came to that"
            time.sleep(0.02)
        return found

    def go(self) -> None:
        (self.folder / "go").touch()

    def end(self, process: subprocess.Popen[str]) -> tuple[int, list[int], dict[str, Any]]:
        """Wait for the end; return the exit code, what was printed, and the report."""
        printed, _ = process.communicate(timeout=PATIENCE)
        report: dict[str, Any] = json.loads((self.folder / "report.json").read_text())
        return process.returncode, sorted(map(int, printed.split())), report


@pytest.fixture
def scene(tmp_path: Path, mprun: Path, run_mprun: RunMprun, plain_env: dict[str, str]) -> Iterator[Scene]:
    scene = Scene(tmp_path, mprun, run_mprun, plain_env)
    yield scene
    for process in scene.started:
        process.kill()
        process.communicate()


FLOOD = "  p: {run: 'h:flood', with: {count: 40}, to: q}\n"
EATERS = "  c: {run: 'h:take', count: 2, from: q}\n"


@pytest.mark.slow
def test_a_consumer_that_is_stopped_leaves_its_items_to_the_others(scene: Scene) -> None:
    process = scene.start(FLOOD + EATERS, head="limits: {close_timeout: 100ms}")
    scene.wait_for(lambda: scene.worker("c-1")["received"])

    said = scene.command("stop", "w", "--worker", "c-1")
    scene.wait_for(lambda: scene.worker("c-1")["state"] == "ended")
    ending = scene.worker("c-1")["ending"]
    scene.go()

    assert (0, "asked worker 'c-1' to end\n") == (said.returncode, said.stderr)
    assert "stopped by `mprun stop --worker`" == ending
    assert (0, list(range(40))) == scene.end(process)[:2]


MAKE = "  p: {run: 'h:make', with: {count: 60}, to: q}\n"
COUNTERS = "  c: {run: 'h:Count', count: 2, from: q, state: checkpoint}\n"


@pytest.mark.slow
def test_a_consumer_that_is_stopped_closes(scene: Scene) -> None:
    process = scene.start(MAKE + COUNTERS)
    scene.wait_for(lambda: scene.worker("c-1")["received"])

    scene.command("stop", "w", "--worker", "c-1")
    code, printed, _ = scene.end(process)

    assert (0, 2, 60) == (code, len(printed), sum(printed))


@pytest.mark.slow
def test_the_last_reader_of_a_queue_is_not_stopped(scene: Scene) -> None:
    process = scene.start(FLOOD + EATERS)
    first = scene.command("stop", "w", "--worker", "c-2")
    second = scene.command("stop", "w", "--worker", "c-1")
    scene.go()

    assert (0, 2) == (first.returncode, second.returncode)
    assert "worker 'c-1' is the last that reads queue 'q'; kill it (pid " in second.stderr
    assert (0, list(range(40))) == scene.end(process)[:2]


@pytest.mark.slow
def test_a_producer_that_is_stopped_is_cut_short_and_the_run_says_so(scene: Scene) -> None:
    scene.go()
    process = scene.start(
        "  p: {run: 'h:make', with: {count: 100000}, to: q}\n  c: {run: 'h:take', from: q}\n"
    )
    scene.wait_for(lambda: scene.worker("c-1")["received"] > 3)

    scene.command("stop", "w", "--worker", "p-1")
    code, printed, report = scene.end(process)

    assert (1, list(range(len(printed)))) == (code, printed)
    assert "was stopped by `mprun stop --worker`; what it had put, " in report["reason"]
    assert f"{len(printed):,} items, is worked off" in report["reason"]


@pytest.mark.slow
def test_under_joinable_a_worker_at_a_queue_is_not_stopped_alone(scene: Scene) -> None:
    process = scene.start(FLOOD + EATERS, head="transport: joinable")

    said = scene.command("stop", "w", "--worker", "c-1")
    scene.go()

    assert 2 == said.returncode
    assert "under `transport: joinable` worker 'c-1' would take along what it holds" in said.stderr
    assert (0, list(range(40))) == scene.end(process)[:2]


@pytest.mark.slow
def test_a_worker_that_does_not_heed_the_first_request_is_killed_by_the_second(scene: Scene) -> None:
    process = scene.start("  d: {run: 'h:deaf'}\n")
    scene.wait_for((scene.folder / "deaf").exists)

    said = [scene.command("stop", "w", "--worker", "d-1").stderr for _ in range(2)]
    code, _, report = scene.end(process)

    assert ["asked worker 'd-1' to end (SIGTERM)\n", "asked worker 'd-1' to end (SIGKILL)\n"] == said
    assert (0, "done") == (code, report["outcome"])


@pytest.mark.slow
def test_a_stopped_run_exits_as_after_a_sigterm(scene: Scene) -> None:
    scene.go()
    process = scene.start(
        "  p: {run: 'h:make', with: {count: 100000}, to: q}\n  c: {run: 'h:take', from: q}\n"
    )

    scene.command("stop", "w")

    assert 128 + signal.SIGTERM == scene.end(process)[0]


@pytest.mark.parametrize(
    ("stage", "refused"),
    [("p", "stage 'p' makes items"), ("x", "stage 'x' reads no queue")],
)
@pytest.mark.quick("x")
def test_what_would_only_be_done_twice_is_not_scaled(scene: Scene, stage: str, refused: str) -> None:
    process = scene.start(FLOOD + EATERS + "  x: {run: 'h:wait'}\n")

    said = scene.command("scale", "w", f"{stage}=3")
    scene.go()

    assert 2 == said.returncode
    assert refused in said.stderr
    assert 0 == scene.end(process)[0]


@pytest.mark.slow
def test_a_worker_too_many_ends_because_its_stage_was_scaled_down(scene: Scene) -> None:
    process = scene.start(FLOOD + EATERS)
    scene.wait_for(lambda: scene.worker("c-2")["received"])

    said = scene.command("scale", "w", "c=1")
    scene.go()
    code, printed, report = scene.end(process)

    assert "stage 'c' goes to 1 worker\n" == said.stderr
    assert (0, list(range(40)), "done") == (code, printed, report["outcome"])


@pytest.mark.slow
def test_a_run_whose_supervisor_was_killed_is_in_nobodys_way(scene: Scene) -> None:
    killed = scene.start(FLOOD + EATERS)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait(timeout=PATIENCE)
    process = scene.start(FLOOD + EATERS)

    seen = scene.command("ps")
    scaled = scene.command("scale", "w", "c=3")
    stopped = scene.command("stop", "w")
    scene.go()

    assert (0, "") == (seen.returncode, seen.stderr)
    assert (0, 0) == (scaled.returncode, stopped.returncode), scaled.stderr + stopped.stderr
    assert 2 == len(list((scene.folder / "home" / "runs").iterdir()))  # the record of each
    assert 143 == scene.end(process)[0]


class Quiet:
    """As far as it is asked."""

    def __init__(self, *, outlives_workers: bool = True) -> None:
        self.outlives_workers = outlives_workers


def nothing(*_: object) -> None:
    """ControlHooks that move nothing."""


def controller(
    *stages: StageSpec,
    outlives: bool = True,
    phase: Phase = Phase.RUNNING,
    pipes: tuple[PipeSpec, ...] = (),
) -> RunController:
    plan = make_plan(WorkflowSpec("kitchen", Path("kitchen.yaml"), stages, (QueueSpec("q"),), pipes=pipes))
    hooks = ControlHooks(lambda: phase, lambda: 0.0, nothing, nothing, nothing)
    unused: Any = None
    transport: Any = Quiet(outlives_workers=outlives)
    return RunController("r", plan, transport, WorkerTable(plan), unused, unused, hooks)


def stage(**more: Any) -> StageSpec:
    return StageSpec("cook", HandlerRef("python", "kitchen:cook"), workers=("cook-1",), **more)


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (controller(stage(start=StartMode.SERIAL)), "the workers of stage 'cook' run one after the other"),
        (controller(stage(receives="q", shard_by="id")), "stage 'cook' is sharded"),
        (controller(stage(sends="q")), "stage 'cook' makes items"),
        (
            controller(stage(), pipes=(PipeSpec("wire", ("cook", "eater")),)),
            "stage 'cook' is one end of the pipe 'wire', which is one worker's",
        ),
        (
            controller(stage(receives="q"), outlives=False),
            "only a run under `transport: leased` can be scaled",
        ),
        (controller(stage(receives="q"), phase=Phase.DRAINING), "the run is being stopped"),
        (controller(stage(receives="q")), "stage 'cook' has no worker: it has not begun, or has ended"),
    ],
    ids=["serial", "sharded", "a producer", "a pipe's end", "joinable", "being stopped", "ended"],
)
def test_a_stage_that_can_not_be_scaled_is_left_as_it_is_with_the_reason(
    run: RunController, why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        run.resize("cook", 3)
