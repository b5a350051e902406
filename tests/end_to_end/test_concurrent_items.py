"""`threads` and `concurrency` in real runs: several items of a worker at once, each done by itself, whoever dies."""

from __future__ import annotations

import textwrap
from collections import Counter
from pathlib import Path

import pytest

from runner.composition import run_file
from runner.events.base import Event
from runner.events.report import Report
from runner.events.run import WorkerExited

KITCHEN = """
import asyncio, contextvars, logging, os, signal, threading, time
from pathlib import Path

HERE = Path(__file__).parent
NOTES = os.open(HERE / "notes.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
DONE = os.open(HERE / "done.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def steam(n):
    for number in range(n):
        yield number

def note(text):
    os.write(NOTES, f"{text}\\n".encode())

# Nobody goes on before so many are in hand: what is not handled side by side hangs.

class Meet:
    def __init__(self, parties):
        self.parties, self.here = parties, 0
        self.all_here = asyncio.Event()

    async def __call__(self, item):
        self.here += 1
        if self.here >= self.parties:
            self.all_here.set()
        await self.all_here.wait()
        return item

    async def close(self):
        note(f"closed after {self.here}")

class MeetInThreads:
    def __init__(self, parties):
        self.barrier = threading.Barrier(parties)

    def __call__(self, item):
        self.barrier.wait(30)
        return item

async def twice(item):
    for half in ("left", "right"):
        await asyncio.sleep(0)
        yield item, half

def twice_in_a_thread(item):
    for half in ("left", "right"):
        yield item, half

async def die_at_times(item, worker):
    note(item)
    await asyncio.sleep(0.001 * (item % 7))
    if item % 50 == 33 and worker.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    yield item, "left"
    yield item, "right"

def die_at_times_in_a_thread(item, worker):
    note(item)
    time.sleep(0.001 * (item % 7))
    if item % 50 == 33 and worker.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    yield item, "left"
    yield item, "right"

async def deadly(item):
    note(item)
    await asyncio.sleep(0.002)
    if item == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return item

async def fail_at_times(item, worker):
    await asyncio.sleep(0)
    if item % 10 == 3 and worker.attempt == 1:
        raise OSError("too hot")
    if item % 10 == 5:
        raise ValueError("burnt")
    return item

async def last_come_first(item):
    await asyncio.sleep(0.0005 * (20 - item % 20))
    return item

async def overtake(item):
    await asyncio.sleep(0.001 * (item % 3))
    os.write(DONE, f"{item % 4} {item}\\n".encode())

async def hang(item):
    await asyncio.sleep(60 if item == 3 else 0)

def hang_in_a_thread(item):
    note(item)
    time.sleep(60 if item == 3 else 0)

async def hold_the_loop(item):
    note(item)
    time.sleep(60 if item == 3 else 0)

# The first to come is in hand for the last time, as the oldest, while others come in for the first time.

async def fail_and_die(item, worker):
    if item == 0 and worker.attempt == 1:
        raise OSError("once")
    await asyncio.sleep(0.2 if item == 0 else 0.02)
    if item == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return item

class Deadly:
    def __init__(self, number):
        self.number = number

    def __setstate__(self, state):
        self.number = state["number"]
        if self.number == 7:
            os.kill(os.getpid(), signal.SIGKILL)

def steam_deadly(n):
    for number in range(n):
        yield Deadly(number)

async def number_of(item):
    await asyncio.sleep(0.001)
    return item.number

def run_out(item):
    if item == 3:
        next(iter([]))
    return item

async def halves_of(item):
    return ((item, half) for half in ("left", "right"))

class Noted(logging.Handler):
    def emit(self, record):
        note(record.exc_info[1])

logging.getLogger("asyncio").addHandler(Noted())

async def leave_a_task(item):
    async def burn():
        raise ValueError(f"{item} is burnt")
    task = asyncio.create_task(burn())
    await asyncio.sleep(0)

async def rest(item):
    await asyncio.sleep(0)

def eat(item):
    os.write(DONE, f"{item}\\n".encode())

async def ids(item, worker):
    first = worker.item_id
    await asyncio.sleep(0.001)
    assert first == worker.item_id
    return first
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kitchen.py").write_text(textwrap.dedent(KITCHEN))
    return tmp_path


class Seen:
    """Keeps events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def observe(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        """Nothing to flush."""


def run(
    folder: Path,
    n: int,
    middle: str,
    *,
    more: str = "",
    first: str = "steam",
    end: str = "run: 'kitchen:eat'",
    limits: str = "",
) -> Report:
    text = (
        f"name: w\nlimits: {{timeout: 60s, max_errors: 100{limits}}}\nstages:\n"
        f"  chef: {{run: 'kitchen:{first}', with: {{n: {n}}}, to: q}}\n"
        f"  cook: {{{middle}, from: q, to: r{more}}}\n"
        f"  eater: {{{end}, from: r}}\n"
    )
    (folder / "w.yaml").write_text(text)
    report = run_file(folder / "w.yaml")
    assert report.balanced
    return report


def lines(folder: Path, name: str) -> list[str]:
    return (folder / name).read_text().splitlines()


def halves(n: int) -> list[str]:
    return sorted(str((item, half)) for item in range(n) for half in ("left", "right"))


@pytest.mark.parametrize(
    "middle",
    [
        "run: 'kitchen:Meet', with: {parties: 16}, concurrency: 16",
        "run: 'kitchen:MeetInThreads', with: {parties: 16}, threads: 16",
    ],
    ids=["coroutines", "threads"],
)
def test_so_many_items_are_in_hand_at_once(folder: Path, middle: str) -> None:
    report = run(folder, 32, f"{middle}, state: none")

    assert ("done", 32) == (report.outcome, report.queue("r").done)


def test_an_async_close_is_awaited(folder: Path) -> None:
    run(folder, 4, "run: 'kitchen:Meet', with: {parties: 4}, concurrency: 4, state: none")

    assert ["closed after 4"] == lines(folder, "notes.txt")


@pytest.mark.parametrize(
    "middle",
    [
        "run: 'kitchen:twice'",
        "run: 'kitchen:twice', concurrency: 8",
        "run: 'kitchen:twice_in_a_thread', threads: 8, count: 2",
    ],
    ids=["one at a time", "coroutines", "threads"],
)
def test_what_is_made_of_each_item_goes_on(folder: Path, middle: str) -> None:
    run(folder, 100, middle)

    assert halves(100) == sorted(lines(folder, "done.txt"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "middle",
    [
        "run: 'kitchen:die_at_times', concurrency: 8",
        "run: 'kitchen:die_at_times_in_a_thread', threads: 8",
    ],
    ids=["coroutines", "threads"],
)
@pytest.mark.parametrize("order", ["", ", order: keep"], ids=["any order", "order kept"])
def test_a_kill_loses_nothing_and_repeats_at_most_what_was_in_hand(
    folder: Path, middle: str, order: str
) -> None:
    report = run(folder, 200, f"{middle}, count: 2, restart: {{max: 100}}{order}")

    handled = Counter(lines(folder, "notes.txt"))
    again = sum(handled.values()) - len(handled)
    done = lines(folder, "done.txt")
    assert ("done", halves(200)) == (report.outcome, sorted(done))
    assert 4 <= again <= 4 * 8
    if order:
        assert [str((item, half)) for item in range(200) for half in ("left", "right")] == done


def test_only_the_item_that_kills_its_workers_is_a_dead_letter(folder: Path) -> None:
    report = run(folder, 60, "run: 'kitchen:deadly', concurrency: 16, on_error: dead_letter")

    assert ("done", 1, 59) == (
        report.outcome,
        report.queue("q").dead_lettered,
        report.queue("r").done,
    )
    assert [str(item) for item in range(60) if item != 7] == sorted(lines(folder, "done.txt"), key=int)


def test_an_item_at_its_last_attempt_takes_no_other_with_it(folder: Path) -> None:
    report = run(
        folder,
        100,
        "run: 'kitchen:fail_and_die', concurrency: 8, on_error: dead_letter",
        more=", retry: {attempts: 2, backoff: 1ms}",
    )

    assert ("done", 1, 99) == (report.outcome, report.queue("q").dead_lettered, report.queue("r").done)


def test_an_item_that_kills_while_it_is_unpickled_is_to_blame(folder: Path) -> None:
    report = run(
        folder,
        30,
        "run: 'kitchen:number_of', concurrency: 4, on_error: dead_letter",
        first="steam_deadly",
    )

    assert ("done", 1, 29) == (report.outcome, report.queue("q").dead_lettered, report.queue("r").done)


def test_a_thread_may_raise_what_no_future_takes(folder: Path) -> None:
    report = run(folder, 20, "run: 'kitchen:run_out', threads: 4, on_error: skip")

    assert ("done", 1, 19) == (report.outcome, report.queue("q").dropped, report.queue("r").done)
    assert "StopIteration" in str(report.failures)


def test_a_generator_that_a_coroutine_returns_is_run_out(folder: Path) -> None:
    run(folder, 20, "run: 'kitchen:halves_of', concurrency: 4")

    assert halves(20) == sorted(lines(folder, "done.txt"))


def test_a_task_that_nobody_waits_for_is_told_of_when_it_fails(folder: Path) -> None:
    run(folder, 4, "run: 'kitchen:leave_a_task', concurrency: 4")

    assert [f"{item} is burnt" for item in range(4)] == sorted(lines(folder, "notes.txt"))


@pytest.mark.slow
def test_a_wait_for_the_rate_is_no_standstill(folder: Path) -> None:
    report = run(folder, 3, "run: 'kitchen:rest', concurrency: 4, rate: 1/s", limits=", stall_timeout: 300ms")

    assert ("done", 3) == (report.outcome, report.queue("q").done)
    assert report.stage("cook").blocked_seconds > 1.5


def test_what_waits_for_the_rate_goes_back_at_the_end_as_it_came(folder: Path) -> None:
    (folder / "w.yaml").write_text(
        "name: w\nlimits: {timeout: 500ms, stop_timeout: 100ms}\nstages:\n"
        "  chef: {run: 'kitchen:steam', with: {n: 5}, to: q}\n"
        "  eater: {run: 'kitchen:rest', from: q, concurrency: 4, rate: 1/h}\n"
    )
    seen = Seen()
    report = run_file(folder / "w.yaml", observers=[seen])

    ends = {e.worker: e.outcome for e in seen.events if isinstance(e, WorkerExited)}
    assert {"chef-1": "finished", "eater-1": "finished"} == ends
    assert ("timeout", 1, 4) == (report.outcome, report.queue("q").done, report.queue("q").waiting)


def test_an_item_that_fails_is_tried_again_and_the_others_go_on(folder: Path) -> None:
    report = run(
        folder,
        100,
        "run: 'kitchen:fail_at_times', concurrency: 8",
        more=", retry: {attempts: 2, backoff: 1ms, on: OSError}, on_error: skip",
    )

    assert ("done", 10) == (report.outcome, report.queue("q").dropped)
    assert [str(item) for item in range(100) if item % 10 != 5] == sorted(lines(folder, "done.txt"), key=int)


def test_order_is_kept_where_it_is_asked_for(folder: Path) -> None:
    run(folder, 200, "run: 'kitchen:last_come_first', concurrency: 16, count: 2, order: keep")

    assert [str(item) for item in range(200)] == lines(folder, "done.txt")


def test_items_with_equal_keys_keep_their_order(folder: Path) -> None:
    (folder / "w.yaml").write_text(
        "name: w\nlimits: {timeout: 60s}\nstages:\n  chef: {run: 'kitchen:steam', with: {n: 200}, to: q}\n"
        "  eater: {run: 'kitchen:overtake', from: q, count: 2, concurrency: 8, shard_by: item}\n"
    )
    assert "done" == run_file(folder / "w.yaml").outcome

    done = [tuple(map(int, line.split())) for line in lines(folder, "done.txt")]
    assert list(range(200)) == sorted(item for _, item in done)


@pytest.mark.quick("coroutines")
@pytest.mark.parametrize(
    ("middle", "reason"),
    [
        ("run: 'kitchen:hang', concurrency: 4", "TimeoutError"),
        ("run: 'kitchen:hang_in_a_thread', threads: 4", ""),
        ("run: 'kitchen:hold_the_loop', concurrency: 4", ""),
    ],
    ids=["coroutines", "threads", "loop held up"],
)
def test_an_item_that_takes_too_long_is_ended_and_no_other(folder: Path, middle: str, reason: str) -> None:
    report = run(folder, 30, f"{middle}, timeout: 500ms, on_error: dead_letter")

    queue = report.queue("q")
    assert ("done", 29, 1) == (report.outcome, queue.done, queue.dead_lettered)
    assert reason in str(report.failures)


def test_each_of_them_has_its_own_id(folder: Path) -> None:
    run(folder, 50, "run: 'kitchen:ids', concurrency: 16")

    assert {f"q/{place}" for place in range(50)} == {
        line.partition("/")[2] for line in lines(folder, "done.txt")
    }
