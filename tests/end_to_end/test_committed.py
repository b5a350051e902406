"""A producer that acknowledges upstream what a kept cut has: no message is lost, whoever dies, and no wait hangs.

inbox/ ──► producer ──► queue ──► sink          a message is delivered again until it is acknowledged, that is
acked/ ◄── worker.committed ──┘                 moved; who is acknowledged and lost comes never again
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HANDLERS = """
    import os
    import time
    from collections import deque
    from pathlib import Path

    class Upstream:
        def __init__(self, worker, offset):
            self.worker, self.count = worker, offset
            self.unacknowledged = deque()

        def messages(self):
            for name in sorted(os.listdir("inbox")):
                self.count += 1
                self.unacknowledged.append((self.count, name))
                yield name

        def acknowledge(self):
            while self.unacknowledged and self.unacknowledged[0][0] <= self.worker.committed:
                _, name = self.unacknowledged.popleft()
                os.rename(f"inbox/{name}", f"acked/{name}")

    def yields(worker, offset):
        upstream = Upstream(worker, offset)
        for name in upstream.messages():
            yield name
            upstream.acknowledge()
        assert worker.wait_until_committed()
        upstream.acknowledge()

    def puts(queue, worker, offset):
        upstream = Upstream(worker, offset)
        for name in upstream.messages():
            queue.put(name)
            upstream.acknowledge()
        assert worker.wait_until_committed(upstream.count)
        upstream.acknowledge()

    def slowly(name):
        time.sleep(0.001)
        return name

    def waits(worker, offset, count, timeout):
        for number in range(offset, count):
            yield number
        Path("waits").touch()
        began = time.monotonic()
        found = worker.wait_until_committed(count + 1, timeout=timeout)
        Path("waited").write_text(f"{found} {worker.committed} {time.monotonic() - began}")

    def eat(item):
        pass
"""
FLOW = """
    name: acknowledged
    {policy}
    queues: {{taken: {{maxsize: 30}}, kept: {{maxsize: 30}}}}
    stages:
      taker: {{run: "h:{handler}", to: taken, {more}}}
      slower: {{run: "h:slowly", from: taken, to: kept, count: 2}}
      keeper: {{run: {{jsonl: {{path: out.jsonl, mode: append}}}}, from: kept}}
"""
WAITS = """
    name: waits
    resume: {every: 100ms}
    stages:
      waiter: {run: "h:waits", with: {count: 500, timeout: 2.5}, to: taken}
      eater: {run: "h:eat", from: taken}
"""


class Broker:
    """A folder with an upstream, the workflow that takes from it, and the runs of that."""

    def __init__(self, path: Path, flow: str, messages: int = 0) -> None:
        path.mkdir()
        self.path, self.inbox, self.acked = path, path / "inbox", path / "acked"
        for folder in (self.inbox, self.acked):
            folder.mkdir()
        self.names = [f"{number:05}" for number in range(messages)]
        for name in self.names:
            (self.inbox / name).touch()
        (path / "h.py").write_text(textwrap.dedent(HANDLERS), encoding="utf-8")
        (path / "w.yaml").write_text(textwrap.dedent(flow), encoding="utf-8")

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        command = [str(Path(sys.executable).with_name("mprun")), *words, "--no-progress", "-q"]
        with (self.path / "errors.txt").open("ab") as errors:
            return subprocess.Popen(
                command, cwd=self.path, stdout=errors, stderr=errors, start_new_session=True
            )

    def errors(self) -> str:
        return (self.path / "errors.txt").read_text(encoding="utf-8", errors="replace")

    def acknowledged(self) -> int:
        return len(list(self.acked.iterdir()))

    def kill_once_acknowledged(self, run: subprocess.Popen[bytes], more: int, *, recorder: bool) -> None:
        """Kill all that is of a run once so many messages more are acknowledged, unless it is over before."""
        goal = self.acknowledged() + more
        until(lambda: self.acknowledged() >= goal or run.poll() is not None)
        apart = children_of(run.pid) if recorder else []
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        for pid in apart:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        run.wait(60)

    def kept(self) -> list[str]:
        text = (self.path / "out.jsonl").read_text(encoding="utf-8")
        return [line.strip('"') for line in text.splitlines()]


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def children_of(pid: int) -> list[int]:
    """The processes that a runner has forked, whatever session they are in: workers, recorder, watchdog."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, task.read_text(encoding="ascii").split())
    return found


@pytest.fixture
def timeout() -> float:
    return 2.5


@pytest.fixture
def waiting(tmp_path: Path, timeout: float) -> Iterator[tuple[Broker, subprocess.Popen[bytes]]]:
    """A run whose producer has put all that it will, and waits for one more, which never comes."""
    broker = Broker(tmp_path / "run", WAITS.replace("2.5", str(timeout)))
    run = broker.start("run", "w.yaml")
    until(lambda: (broker.path / "waits").exists() or run.poll() is not None)
    assert run.poll() is None, broker.errors()
    yield broker, run
    with contextlib.suppress(ProcessLookupError):
        os.killpg(run.pid, signal.SIGKILL)
    run.wait(60)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(int(os.environ.get("MPRUN_KILL_SEEDS", "1"))))
@pytest.mark.parametrize(
    ("handler", "more", "policy"),
    [
        ("yields", "count: 1", ""),
        ("puts", "count: 1", ""),
        ("yields", "start_method: spawn", "resume: {fsync: true, every: 1s}"),
    ],
    ids=["yields", "puts", "spawned, on the disk, seldom"],
)
def test_no_message_that_was_acknowledged_is_lost_however_often_all_is_killed(
    tmp_path: Path, handler: str, more: str, policy: str, seed: int
) -> None:
    dice = random.Random(f"{handler} {policy} {seed}")
    broker = Broker(tmp_path / "run", FLOW.format(handler=handler, more=more, policy=policy), 1000)
    words, kills = ["run", "w.yaml"], 0
    for _ in range(4):
        run = broker.start(*words)
        broker.kill_once_acknowledged(run, dice.randrange(1, 150), recorder=dice.random() < 0.5)
        if run.returncode == 0:
            break
        assert run.returncode == -signal.SIGKILL, broker.errors()
        kills, words = kills + 1, ["resume", "latest"]
    assert kills
    assert broker.start(*words).wait(120) == 0, broker.errors()

    assert broker.names == sorted(set(broker.kept()))
    assert [] == list(broker.inbox.iterdir())


@pytest.mark.slow
def test_a_wait_in_vain_ends_in_time_and_the_run_is_done(
    waiting: tuple[Broker, subprocess.Popen[bytes]],
) -> None:
    broker, run = waiting

    assert run.wait(60) == 0, broker.errors()
    found, committed, took = (broker.path / "waited").read_text().split()
    assert ("False", "500") == (found, committed)
    assert float(took) >= 2.5


@pytest.mark.slow
def test_a_recorder_that_dies_holds_up_neither_the_wait_nor_the_run(
    waiting: tuple[Broker, subprocess.Popen[bytes]],
) -> None:
    broker, run = waiting
    until(lambda: recorder_of(run.pid, broker.path) is not None)
    os.kill(recorder_of(run.pid, broker.path) or 0, signal.SIGKILL)

    assert run.wait(60) == 0, broker.errors()
    found, _, took = (broker.path / "waited").read_text().split()
    assert found == "False"
    assert 2.5 <= float(took) < 30


@pytest.mark.slow
@pytest.mark.parametrize("timeout", [600.0])
def test_ctrl_c_ends_a_wait_before_its_time(waiting: tuple[Broker, subprocess.Popen[bytes]]) -> None:
    broker, run = waiting
    run.send_signal(signal.SIGINT)

    assert run.wait(60) == 128 + signal.SIGINT, broker.errors()
    assert (broker.path / "waited").read_text().startswith("False 500 ")


def recorder_of(pid: int, folder: Path) -> int | None:
    """Whichever child of a runner has the database of its run open, which is some way into the run."""
    for child in children_of(pid):
        for each in Path(f"/proc/{child}/fd").iterdir():
            with contextlib.suppress(OSError):
                if each.readlink().name == "run.db" and each.readlink().is_relative_to(folder):
                    return child
    return None
