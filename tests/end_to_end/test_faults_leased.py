"""The faults that runs meet, each with a test named after it, on `leased` and where it makes sense on `joinable`."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from holdings import nothing_left

from runner.composition import run
from runner.errors import StartFailed
from runner.events.base import Event
from runner.events.report import Report
from runner.ipc.stream import PutMessage
from runner.process.memory import own_bytes
from runner.spec.failures import OnError
from runner.spec.limits import Limits
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import QueueSpec

RunMprun = Callable[..., Any]

PRELUDE = """
import os, sys, time
from pathlib import Path

def note(text):
    with open(Path(__file__).with_name("notes.txt"), "a", encoding="utf-8") as notes:
        notes.write(f"{text}\\n")

def count(n):
    yield from range(n)

def share(item):
    return item

def eat(item):
    note(item)
"""


class Scene:
    """One run of three stages on one transport."""

    def __init__(self, folder: Path, transport: str) -> None:
        self._folder = folder
        self.transport = transport
        self.events: list[Event] = []
        self._acts: dict[str, Callable[[], object]] = {}

    def when(self, name: str, act: Callable[[], object]) -> None:
        """Call `act` on the first event of that name."""
        self._acts[name] = act

    def run(self, source: str, *, buns: int = 10, **more: Any) -> Report:
        """Run `count ──► share ──► eat`, but for what `source` defines instead; `more` are keys of all stages."""
        (self._folder / "kitchen.py").write_text(PRELUDE + textwrap.dedent(source), encoding="utf-8")
        max_errors = more.pop("max_errors", "0")
        stages = (
            self._stage("chef", "count", None, "q", {"n": buns}, **more),
            self._stage("cook", "share", "q", "r", {}, **more),
            self._stage("eater", "eat", "r", None, {}, **more),
        )
        queues, limits = (QueueSpec("q", 4), QueueSpec("r", 4)), Limits(timeout=40.0, max_errors=max_errors)
        spec = WorkflowSpec("scene", self._folder / "scene.yaml", stages, queues, self.transport, limits)
        return run(make_plan(spec), [self])

    def observe(self, event: Event) -> None:
        """Keep the event."""
        self.events.append(event)
        self._acts.pop(event.kind, lambda: None)()

    def close(self) -> None:
        """Nothing to flush."""

    def one(self, name: str) -> Event:
        """The only event of that name."""
        (found,) = (event for event in self.events if event.kind == name)
        return found

    def notes(self) -> Counter[str]:
        """What the handlers noted, and how often."""
        return Counter((self._folder / "notes.txt").read_text(encoding="utf-8").splitlines())

    def _stage(
        self, name: str, target: str, reads: str | None, puts: str | None, given: dict[str, Any], **more: Any
    ) -> StageSpec:
        handler = HandlerRef("python", f"kitchen:{target}")
        return StageSpec(name, handler, given, (name,), receives=reads, sends=puts, **more)


@pytest.fixture(params=["leased", "joinable"])
def scene(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A scene that leaves no process and no descriptor behind, whatever happens in it."""
    monkeypatch.setenv("MPRUN_HOME", str(tmp_path / "home"))
    with nothing_left():
        yield Scene(tmp_path, request.param)


leased_only = pytest.mark.parametrize("scene", ["leased"], indirect=True)


def all_but(missing: int | None = None, buns: int = 10) -> Counter[str]:
    """What the sink notes of so many buns."""
    return Counter(str(bun) for bun in range(buns) if bun != missing)


# What a handler does.

UNPICKLABLE = {
    "a producer": """
        def count(n):
            for bun in range(n):
                yield (lambda: 3) if bun == 3 else bun
        """,
    "a producer that drives": """
        def count(n, queue):
            for bun in range(n):
                try:
                    queue.put((lambda: 3) if bun == 3 else bun)
                except Exception as error:
                    note(type(error).__name__)
        """,
    "a pipe": "def share(item):\n    return (lambda: 3) if item == 3 else item",
}


@pytest.mark.parametrize("who", UNPICKLABLE)
@pytest.mark.quick("leased-a pipe")
def test_unpicklable_item(scene: Scene, who: str) -> None:
    drives = "drives" in who

    report = scene.run(UNPICKLABLE[who], on_error=OnError.SKIP, max_errors="1")

    assert (0, "done") == (report.exit_code, report.outcome), report.reason
    refused = Counter(name for name in scene.notes() if name.endswith("Error"))
    assert all_but(3) == scene.notes() - refused
    assert int(drives) == sum(refused.values())
    if not drives:
        failed = scene.one("item.failed")
        shown = "3" if who == "a pipe" else "<lambda>"
        words = failed.error.lower()
        assert shown in failed.item and ("pickle" in words or "local object" in words)
        made = "What could not be put is an output of the handler: <function " in failed.traceback
        assert made == (who == "a pipe")


def test_exception(scene: Scene) -> None:
    report = scene.run("def eat(item):\n    note(10 // (item - 3) and item)", on_error=OnError.SKIP)

    failed = scene.one("item.failed")
    assert (1, "1 item failed; limits.max_errors allows 0") == (report.exit_code, report.reason)
    assert ("3", "eater", True) == (
        failed.item,
        failed.worker,
        "ZeroDivision" in failed.error,
    )
    assert 9 == sum(scene.notes().values())
    assert (10, 9, 1) == (report.queue("r").put, report.queue("r").done, report.queue("r").dropped)


@pytest.mark.parametrize("code", ["", "0", "7", "'enough'"])
@pytest.mark.quick("leased-'enough'")
def test_sys_exit_in_a_handler(scene: Scene, code: str) -> None:
    source = f"def eat(item):\n    if item == 3:\n        sys.exit({code})\n    note(item)"

    report = scene.run(source, on_error=OnError.SKIP)

    assert (1, True) == (report.exit_code, "SystemExit" in scene.one("item.failed").error)
    assert all_but(3) == scene.notes()
    assert (10, 9, 1) == (report.queue("r").put, report.queue("r").done, report.queue("r").dropped)


FORKS = {
    "os.fork, and the child lives on": """
        def eat(item):
            if item == 3 and not os.fork():
                time.sleep(60)
                os._exit(0)
            note(item)
        """,
    "os.fork in a session of its own": """
        def eat(item):
            if item == 3 and not os.fork():
                os.setsid()
                time.sleep(60)
                os._exit(0)
            note(item)
        """,
    "a child of multiprocessing that is not joined": """
        import multiprocessing
        def eat(item):
            if item == 3:
                multiprocessing.Process(target=time.sleep, args=(60,), daemon=True).start()
            note(item)
        """,
    "a child of multiprocessing that is joined": """
        import multiprocessing
        def eat(item):
            child = multiprocessing.Process(target=note, args=(item,))
            child.start()
            child.join()
        """,
}


@pytest.mark.parametrize("how", FORKS)
@pytest.mark.quick("leased-os.fork in a session of its own")
def test_a_handler_that_forks(scene: Scene, how: str) -> None:
    report = scene.run(FORKS[how])

    assert (0, "done") == (report.exit_code, report.outcome), report.reason
    assert all_but() == scene.notes()
    assert report.seconds < 30


@pytest.mark.parametrize("stage", ["count", "share", "eat"])
@pytest.mark.quick("leased-share")
def test_a_handler_that_forks_and_goes_on_twice(scene: Scene, stage: str) -> None:
    """The child returns into the runner, which must not take it for the worker."""
    sources = {
        "count": """
            def count(n):
                for bun in range(n):
                    if bun == 3:
                        os.fork()
                    yield bun
            """,
        "share": "def share(item):\n    if item == 3:\n        os.fork()\n    return item",
        "eat": "def eat(item):\n    if item == 3 and not os.fork():\n        return\n    note(item)",
    }

    report = scene.run(sources[stage], buns=200)

    assert (0, "done") == (report.exit_code, report.outcome), report.reason
    assert [(200, 200)] * 2 == [(queue.put, queue.done) for queue in report.queues]


@leased_only
def test_memory_limit_hit(scene: Scene) -> None:
    source = "def eat(item):\n    hoard = bytearray((item == 3) << 30)\n    note(item)"

    report = scene.run(source, on_error=OnError.SKIP, max_errors="1", memory_limit=own_bytes() + (256 << 20))

    assert (0, True) == (report.exit_code, "MemoryError" in scene.one("item.failed").error)
    assert all_but(3) == scene.notes()


# What the system refuses.


def write_workflow(folder: Path, transport: str) -> Path:
    """A file of two stages, for the installed command."""
    (folder / "kitchen.py").write_text(PRELUDE, encoding="utf-8")
    stages = {
        "chef": {"run": "kitchen:count", "with": {"n": 10}, "to": "q"},
        "eater": {"run": "kitchen:eat", "from": "q"},
    }
    (folder / "w.yaml").write_text(json.dumps({"name": "w", "transport": transport, "stages": stages}))
    return folder / "w.yaml"


@pytest.mark.parametrize("transport", ["leased", "joinable"])
def test_disk_full_under_the_events_file(run_mprun: RunMprun, tmp_path: Path, transport: str) -> None:
    workflow = write_workflow(tmp_path, transport)

    done = run_mprun("run", workflow, "--events", "/dev/full")

    assert 0 == done.returncode, done.stderr
    assert "No space left on device" in done.stderr
    assert [str(bun) for bun in range(10)] == (tmp_path / "notes.txt").read_text().split()


@pytest.mark.parametrize("transport", ["leased", "joinable"])
@pytest.mark.parametrize(("most", "code"), [(8, 1), (40, 1), (400, 0)])
@pytest.mark.quick("40-1-leased", "8-1-joinable")
def test_emfile_at_the_start(
    mprun: Path, plain_env: dict[str, str], tmp_path: Path, transport: str, most: int, code: int
) -> None:
    """A limit that nobody can raise: the run says what it lacks, or does all its work."""
    workflow = write_workflow(tmp_path, transport)
    limited = ["bash", "-c", f'ulimit -n {most} && exec "$@"', "bash", mprun, "run", workflow]

    done = subprocess.run(
        limited, capture_output=True, check=False, text=True, env=plain_env, cwd=tmp_path, timeout=60
    )

    assert (code, code) == (done.returncode, int("descriptors" in done.stderr)), done.stderr
    assert (code == 0) == (tmp_path / "notes.txt").exists()


def test_emfile_in_a_handler(scene: Scene) -> None:
    report = scene.run(
        """
        import resource
        def eat(item):
            if item == 3:
                resource.setrlimit(resource.RLIMIT_NOFILE, (20, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
                hoard = [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]
            if item > 3:
                resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            note(item)
        """,
        on_error=OnError.SKIP,
        max_errors="1",
    )

    assert (0, True) == (report.exit_code, "Too many open files" in scene.one("item.failed").error)
    assert all_but(3) == scene.notes()


def lowest_free() -> int:
    """The number that the next descriptor gets: as a limit, it refuses that one and lets those go on that are open."""
    number = os.dup(0)
    os.close(number)
    return number


@leased_only
def test_emfile_at_the_birth_of_a_successor(scene: Scene) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    scene.when("worker.logged", lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free(), hard)))
    try:
        report = scene.run(
            "def eat(item, worker):\n    worker.log.info('here')\n    time.sleep(0.5)\n    os._exit(9)"
        )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert (1, "failed") == (report.exit_code, report.outcome)
    assert "worker 'eater' could not be started: Too many open files" == report.reason


@pytest.mark.parametrize("refused", [1, 2, 3, 4])
def test_eagain_at_fork(scene: Scene, monkeypatch: pytest.MonkeyPatch, refused: int) -> None:
    """RLIMIT_NPROC does not bind root, so that the refusal is put in place of the fork. The first is the watchdog's."""
    fork, left = os.fork, [True] * (refused - 1)

    def fork_or_refuse() -> int:
        if not left:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        left.pop()
        return fork()

    monkeypatch.setattr(os, "fork", fork_or_refuse)

    reason = why_not(scene)

    who = ["the run", "worker 'eater'", "worker 'cook'", "worker 'chef'"][refused - 1]
    assert f"{who} could not be started: Resource temporarily unavailable" == reason
    assert max(0, refused - 2) == sum(event.kind == "worker.exited" for event in scene.events)


def why_not(scene: Scene) -> str:
    """Run; return what kept it from that, or an empty text."""
    try:
        return scene.run("", buns=1).reason or ""
    except StartFailed as error:
        return str(error)


@leased_only
def test_eagain_at_the_fork_of_a_successor(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    fork, born = os.fork, []

    def fork_or_refuse() -> int:
        if len(born) == 4:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        born.append(True)
        return fork()

    monkeypatch.setattr(os, "fork", fork_or_refuse)

    report = scene.run("def eat(item):\n    os._exit(9)")

    assert (1, "failed") == (report.exit_code, report.outcome)
    assert "worker 'eater' could not be started: Resource temporarily unavailable" == report.reason


# What a handler does to descriptors that are not its own, and what a machine may not have.

SOIL = """
    import stat

    def soil():
        for number in range(3, 4096):  # the process that runs the tests may have many
            try:
                if stat.S_ISSOCK(os.fstat(number).st_mode):
                    os.write(number, {junk!r})
            except OSError:
                pass
    """


@leased_only
@pytest.mark.parametrize(
    "junk", [b"garbage" * 100, b"\x01" * 7, b"x"], ids=["a lot", "less than a header", "a byte"]
)
@pytest.mark.parametrize(
    "handler",
    ["def count(n):\n    soil()\n    yield from range(n)", "def eat(item):\n    soil()"],
    ids=["a producer", "a consumer"],
)
@pytest.mark.quick("a producer-a byte-leased")
def test_a_handler_that_writes_into_its_workers_stream_ends_the_run_with_the_reason(
    scene: Scene, junk: bytes, handler: str
) -> None:
    report = scene.run(textwrap.dedent(SOIL.format(junk=junk)) + handler)

    assert 1 == report.exit_code
    assert "wrote to a descriptor that it does not own" in report.reason


@pytest.mark.slow
@leased_only
def test_a_worker_that_finishes_with_its_last_message_cut_off_has_not_done_its_work(scene: Scene) -> None:
    """As by what it forgot to wait for: a lost frame that nobody tells of would be items lost with exit code 0."""
    begun = PutMessage(count=1, body=bytes(1_000_000)).header()
    report = scene.run(
        f"""
        import gc
        from runner.ipc.stream import WorkerStream

        def count(n):
            try:
                yield from range(n)
            finally:
                gc.unfreeze()
                streams = [each for each in gc.get_objects() if isinstance(each, WorkerStream)]
                (own,) = (each.fileno() for each in streams if each.fileno() >= 0)
                os.write(own, {begun!r})
        """
    )

    assert 1 == report.exit_code
    assert "its last message to the supervisor is cut off: items may be lost" in report.reason


@pytest.mark.slow
@pytest.mark.parametrize("limit", [("-v", 1_500_000), ("-f", 1_000_000)], ids=["addresses", "size of files"])
def test_a_run_under_a_limit_of_the_shell_runs_or_says_why_not(
    tmp_path: Path, mprun: Path, plain_env: dict[str, str], limit: tuple[str, int]
) -> None:
    (tmp_path / "k.py").write_text(
        "def steam():\n    yield bytes(1 << 20)\n\ndef eat(bun):\n    print(len(bun))\n"
    )
    (tmp_path / "k.yaml").write_text(
        'name: k\nstages:\n  chef: {run: "k:steam", to: q}\n  eater: {run: "k:eat", from: q}\n'
    )
    option, amount = limit

    done = subprocess.run(
        ["bash", "-c", f"ulimit {option} {amount}; exec {mprun} k.yaml -q"],
        cwd=tmp_path,
        env=plain_env,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )

    if option == "-v":
        assert (0, "1048576\n") == (done.returncode, done.stdout)
    else:
        assert 1 == done.returncode
        assert "`ulimit -f unlimited` takes the limit away" in done.stderr
