"""The supervisor itself is killed, at each point of its life: two seconds later nothing of the run is left.

    starting ──► running ──► draining ──► stopping        SIGKILL in each, once its event is seen; then look in /proc

Each worker has children of its own: a plain one, three in sessions of their own, two of these without an environment
and one with all limits as high as they go, one whose parent is gone, one that never ran another program.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

KITCHEN = """
    import os, resource, signal, subprocess, sys, time
    from pathlib import Path

    BIRTHS = Path(__file__).with_name("births.txt")

    def note(pid):
        with BIRTHS.open("a") as file:
            file.write(f"{pid}\\n")

    def born(worker):
        note(os.getpid())
        nowhere = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for apart in (False, True):
            note(subprocess.Popen(["sleep", "300"], start_new_session=apart, **nowhere).pid)
        note(subprocess.Popen(["sleep", "300"], start_new_session=True, env={}, **nowhere).pid)
        note(subprocess.Popen(["sleep", "300"], preexec_fn=grow, start_new_session=True, env={}, **nowhere).pid)
        orphan(lambda: os.execvp("sleep", ["sleep", "300"]))
        orphan(lambda: time.sleep(300))
        worker.log.info("family")

    def grow():
        # As a server does that wants all it may have.
        for limit in [value for name, value in vars(resource).items() if name.startswith("RLIMIT_")]:
            hard = resource.getrlimit(limit)[1]
            resource.setrlimit(limit, (hard, hard))

    def orphan(live):
        # As a daemon is made: a child that ends at once, and its child, in a session of its own, without a descriptor.
        born, bearing = os.pipe()
        if not (child := os.fork()):
            os.setsid()
            if not os.fork():
                note(os.getpid())
                os.closerange(0, 1024)
                live()
            os._exit(0)
        os.waitpid(child, 0)
        os.close(bearing)
        os.read(born, 1)  # the end of the pipe: it has noted itself
        os.close(born)

    def steam(worker):
        born(worker)
        number = 0
        while True:
            yield number
            number += 1

    def eat(item, worker):
        if item == 0:
            born(worker)
        time.sleep(0.01)

    def cling(item, worker):
        if item == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            born(worker)
        time.sleep(300)
"""
SOON = 2.0


class Run:
    """One run of the installed command, whose events are read as they come."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process = process
        self._folder = folder
        self.workers: list[int] = []

    def wait_for(self, name: str, **fields: Any) -> None:
        """Read events up to one of that name and with those fields."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            event = json.loads(line)
            if event["event"] == "worker.spawned":
                self.workers.append(event["pid"])
            if event["event"] == name and fields.items() <= event.items():
                return
        pytest.fail(f"there was no {name} with {fields}")

    def family(self) -> list[int]:
        """Everyone of whom it is known that they were born."""
        births = self._folder / "births.txt"
        return sorted({*self.workers, *map(int, births.read_text().split() if births.exists() else [])})


@pytest.fixture
def own_env(tmp_path: Path, plain_env: Mapping[str, str]) -> Mapping[str, str]:
    """The environment, with a place for what runs leave behind that no other test has."""
    return {**plain_env, "MPRUN_HOME": str(tmp_path / "home")}


@pytest.fixture
def launch(tmp_path: Path, mprun: Path, own_env: Mapping[str, str]) -> Iterator[Callable[..., Run]]:
    """Start a run of `chef: steam` and of an eater; whatever is left of it at the end is killed."""
    runs: list[Run] = []

    def start(eater: str, transport: str = "leased", workers: int = 1, **limits: Any) -> Run:
        (tmp_path / "kitchen.py").write_text(textwrap.dedent(KITCHEN), encoding="utf-8")
        stages = {
            "chef": {"run": "kitchen:steam", "to": "q"},
            "eater": {"run": f"kitchen:{eater}", "from": "q", "count": workers},
        }
        whole = {"name": "family", "transport": transport, "limits": limits, "stages": stages}
        (tmp_path / "family.yaml").write_text(json.dumps(whole), encoding="utf-8")
        command = [mprun, "run", tmp_path / "family.yaml", "--log", "json"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=own_env, cwd=tmp_path)
        runs.append(Run(process, tmp_path))
        return runs[-1]

    yield start
    for run in runs:
        run.process.kill()
        run.process.wait()
        assert run.process.stderr is not None
        run.process.stderr.close()


def starting(run: Run) -> None:
    """Some workers are there and some are not."""
    run.wait_for("worker.spawned")


def running(run: Run) -> None:
    """Both have families."""
    run.wait_for("worker.logged", message="family")
    run.wait_for("worker.logged", message="family")


def draining(run: Run) -> None:
    """It was asked to stop, and the queue is being emptied."""
    running(run)
    run.process.send_signal(signal.SIGINT)
    run.wait_for("run.stopping")


def stopping(run: Run) -> None:
    """The time to drain has passed, and one of them does not heed SIGTERM."""
    draining(run)
    run.wait_for("worker.terminating", stage="eater")


@pytest.mark.parametrize("transport", ["leased", "joinable"])
@pytest.mark.parametrize(
    ("reach", "options"),
    [
        (starting, {"eater": "eat", "workers": 12}),
        (running, {"eater": "eat"}),
        (draining, {"eater": "eat", "stop_timeout": 60}),
        pytest.param(stopping, {"eater": "cling", "stop_timeout": "100ms"}, marks=pytest.mark.slow),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.quick("running--leased")
def test_nothing_is_left_of_a_run_whose_supervisor_is_killed(
    launch: Callable[..., Run], transport: str, reach: Callable[[Run], None], options: dict[str, Any]
) -> None:
    run = launch(transport=transport, **options)
    reach(run)

    run.process.kill()

    assert -signal.SIGKILL == run.process.wait(10)
    until = time.monotonic() + SOON
    while (left := [pid for pid in run.family() if is_alive(pid)]) and time.monotonic() < until:
        time.sleep(0.02)
    assert [] == [f"{pid} {words(pid)}" for pid in left]


@pytest.mark.slow
def test_the_family_of_a_worker_is_there_before(launch: Callable[..., Run]) -> None:
    """What the other tests find gone was alive."""
    run = launch("eat", stop_timeout="300ms")
    running(run)

    family = run.family()

    assert 2 + 2 * 6 == len(family) == sum(map(is_alive, family))
    run.process.send_signal(signal.SIGTERM)
    run.wait_for("run.finished")
    run.process.wait(10)
    assert [] == [f"{pid} {words(pid)}" for pid in family if is_alive(pid)]


def put_in(seen: Path) -> int:
    """How many items had been put, by what was last known of a run."""
    with contextlib.suppress(FileNotFoundError):  # it has been replaced by a later one
        return sum(queue["put"] for queue in json.loads(seen.read_text())["queues"])
    return 0


@pytest.mark.parametrize("reach", [starting, pytest.param(draining, marks=pytest.mark.slow)])
def test_a_run_whose_supervisor_was_killed_is_told_as_killed_with_what_was_known_last(
    launch: Callable[..., Run],
    reach: Callable[[Run], None],
    mprun: Path,
    own_env: Mapping[str, str],
    tmp_path: Path,
) -> None:
    run = launch("eat", stop_timeout=60)
    reach(run)
    until = time.monotonic() + 10
    while not any(put_in(seen) for seen in Path(own_env["MPRUN_HOME"]).glob("runs/*/run.json.seen")):
        assert time.monotonic() < until
        time.sleep(0.01)

    run.process.kill()
    run.process.wait(10)

    def ask(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [mprun, *words], cwd=tmp_path, env=own_env, capture_output=True, text=True, check=False
        )

    for _ in range(2):  # to be asked makes nobody forget it
        (told,) = json.loads(ask("ps", "family", "--format", "json").stdout)
    assert ("killed", run.process.pid) == (told["phase"], told["pid"])
    states = {worker["state"] for worker in told["workers"]}
    assert "gone" in states <= {"gone", "ended"}
    assert told["queues"][0]["put"] > 0
    head, why, *more = ask("ps").stdout.splitlines()
    assert [told["run"], "family", "killed", "pid", str(run.process.pid)] == [
        *head.split()[:3],
        *head.split()[4:],
    ]
    assert why == "its runner was killed, or the machine went down: nothing of it runs any more"
    # Where it was killed before anything was kept to go on from, nothing is said of that.
    how = [line for line in more if line.startswith(f"`mprun resume {told['run']}` goes on with it")]
    assert more[len(how)].endswith("this was known of it")
    stopped = ask("stop", "family")
    assert (2, True) == (stopped.returncode, "run 'family' was killed" in stopped.stderr)


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie, whose parent is yet to take note."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def words(pid: int) -> str:
    """What a process was started as."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
