"""Letters are found by what users call their run, go back as that run had them, and are marked once through."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.errors import UsageError
from runner.events.report import QueueLine, Report, StageLine
from runner.ipc.frames import pack_safe
from runner.ipc.messages import DeliveryAttempt, FailedItem, ItemFailure
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.store.dead_letters import (
    DeadLetterQueue,
    DeadLetterStore,
    dead_letter_queues,
    find_dead_letter_queues,
)
from runner.store.run_folder import RunFacts, RunFolder

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

WORKFLOW = """\
name: post
limits: {max_errors: 100%}
params: {suffix: {type: string, default: x}}
stages:
  sender: {run: "post:send", to: bag}
  carrier: {run: "post:carry", with: {suffix: "${{ params.suffix }}"}, from: bag, on_error: dead_letter}
"""
HANDLERS = """\
import time
from pathlib import Path

def send():
    for number in range(20):
        yield number, bytes([number]) * 100_000

def carry(parcel, suffix):
    number, data = parcel
    if not Path("mended").exists():
        raise ValueError(number)
    if number == 2:
        Path("third").touch()
    while number >= 2 and not Path("go").exists():
        time.sleep(0.01)
    print(number, len(data), suffix, flush=True)
"""


def letters(home: Path, run: str, count: int) -> RunFolder:
    run_folder = RunFolder(run, home)
    run_folder.write_facts(RunFacts(run, "post", "post.yaml", 1, float(len(run))))
    carrier = StageSpec("carrier", HandlerRef("python", "m:f"), {}, ("c",), receives="bag")
    plan = make_plan(WorkflowSpec("post", Path("post.yaml"), (carrier,)))
    box = DeadLetterStore(run_folder, plan)
    failed_item = FailedItem(pack_safe(["a"]), 0, (DeliveryAttempt(1, "c", 11, 0.0, "no"),))
    for _ in range(count):
        box.keep(plan.workers[0], ItemFailure("c", "'a'", "no"), failed_item)
    return run_folder


def report(put: int, *, done: int | None = None, dropped: int = 0, waiting: int = 0, lost: int = 0) -> Report:
    done = put - dropped - waiting - lost if done is None else done
    bag = QueueLine("bag", put=put, done=done, dropped=dropped, waiting=waiting, lost=lost)
    source = StageLine("letters of carrier", "producer", sent=put)
    head = ("b", "post", "post.yaml", "leased", "done", 0, None, 0.0, 1.0)
    return Report(*head, (source,), (bag,), (), 0, None)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MPRUN_HOME", str(tmp_path))
    return tmp_path


def test_of_several_runs_of_a_name_the_one_with_letters_left_is_meant(home: Path) -> None:
    letters(home, "a", 2)
    letters(home, "bb", 1)
    letters(home, "ccc", 0)
    (queue,) = find_dead_letter_queues("a")
    queue.mark(report(2), "letters of carrier")

    assert ["bb"] == [each.run_folder.run for each in find_dead_letter_queues("post")]
    assert ["a", "bb"] == [each.run_folder.run for each in dead_letter_queues()]


def test_several_with_letters_left_are_told_apart_by_their_ids(home: Path) -> None:
    for run in ("a", "bb"):
        letters(home, run, 1)

    with pytest.raises(UsageError, match="several runs with dead letters match 'post': a, bb"):
        find_dead_letter_queues("post")


def test_a_run_that_is_not_there_is_refused(home: Path) -> None:
    letters(home, "a", 1)

    with pytest.raises(UsageError, match=f"there is no run 'xx' under {home}; there: a"):
        find_dead_letter_queues("xx")


@pytest.mark.parametrize(
    ("came_of_it", "marked"),
    [
        (report(3), [1, 2, 3]),
        (report(2), [1, 2]),
        (report(0), []),
        (report(3, waiting=1), []),
        (report(3, dropped=1), []),
        (report(3, lost=1), []),
    ],
)
def test_the_letters_that_were_put_back_are_through_once_nothing_is_left(
    home: Path, came_of_it: Report, marked: list[int]
) -> None:
    letters(home, "a", 3)
    (queue,) = find_dead_letter_queues("a")

    count = queue.mark(came_of_it, "letters of carrier")

    (again,) = find_dead_letter_queues("a")
    assert (len(marked), sorted({1, 2, 3} - set(marked))) == (count, again.left)


class Post:
    """A folder with a workflow of which every item has failed once."""

    def __init__(self, folder: Path, mprun: Path, run_mprun: RunMprun, env: dict[str, str]) -> None:
        self.folder = folder
        self._command = [str(mprun)]
        self._run = run_mprun
        self._env = {**env, "MPRUN_HOME": str(folder / "home")}
        (folder / "post.yaml").write_text(WORKFLOW)
        (folder / "post.py").write_text(HANDLERS)
        (folder / "go").touch()

    def mprun(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run(*arguments, cwd=self.folder, env={"MPRUN_HOME": str(self.folder / "home")})

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self._command, *arguments],
            cwd=self.folder,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def mend(self) -> None:
        (self.folder / "mended").touch()

    def queue(self) -> DeadLetterQueue:
        return next(each for each in dead_letter_queues() if len(each.letters) == 20)


@pytest.fixture
def post(
    tmp_path: Path,
    mprun: Path,
    run_mprun: RunMprun,
    plain_env: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Post]:
    monkeypatch.setenv("MPRUN_HOME", str(tmp_path / "home"))
    yield Post(tmp_path, mprun, run_mprun, plain_env)


@pytest.mark.slow
def test_a_replay_has_what_its_run_was_given_and_what_it_is_given_itself_goes_first(post: Post) -> None:
    first = post.mprun("post.yaml", "-q", "--param", "suffix=甲", "--set", "stages.carrier.count=2")
    failed = post.mprun("dlq", "replay", "post", "--param", "suffix=乙")
    post.mend()
    done = post.mprun("dlq", "replay", "post", "--log", "json")

    assert (0, 0, 0) == (first.returncode, failed.returncode, done.returncode), done.stderr
    assert {f"{number} 100000 乙" for number in range(20)} == set(done.stdout.splitlines())
    assert '"worker": "carrier-2"' in done.stderr


@pytest.mark.slow
def test_a_replay_that_is_interrupted_marks_what_got_through(post: Post) -> None:
    post.mprun("post.yaml", "-q")
    post.mend()
    (post.folder / "go").unlink()
    replay = post.start("dlq", "replay", "post")
    deadline = time.monotonic() + 20
    while not (post.folder / "third").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    replay.send_signal(signal.SIGINT)
    (post.folder / "go").touch()
    printed, said = replay.communicate(timeout=20)

    got_through = len(printed.splitlines())
    assert 130 == replay.returncode
    assert f"{got_through} of 20 letters of stage 'carrier' replayed" in said
    assert list(range(got_through + 1, 21)) == post.queue().left
    assert 3 <= got_through < 20


def test_nothing_starts_where_the_letters_could_not_be_kept(post: Post) -> None:
    (post.folder / "home").write_text("no folder")

    done = post.mprun("post.yaml", "-q")

    assert (1, "") == (done.returncode, done.stdout)
    assert (
        f"stage 'carrier' has `on_error: dead_letter`, and '{post.folder / 'home'}' can't be written"
        in done.stderr
    )
