"""Sharded, ordered, bounded by bytes, dropping: real runs, whose workers die, fail and dawdle meanwhile."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.composition import run_file
from runner.events.base import Event
from runner.events.report import Report

KITCHEN = """
import os, random, signal, time
from pathlib import Path

HERE = Path(__file__).parent

def steam(count):
    for number in range(count):
        yield {"guest": {"id": number % 7}, "number": number}

def note(worker, text):
    with open(HERE / f"{worker.name}.txt", "a") as file:
        file.write(f"{text}\\n")

def die_at_times(worker, number, every):
    if worker.attempt == 1 and number % every == every - 1:
        os.kill(os.getpid(), signal.SIGKILL)

def eat(item, worker):
    die_at_times(worker, item["number"], 97)
    note(worker, f"{item['guest']['id']} {item['number']}")

def choke(item, worker):
    if worker.attempt < 3 and item["number"] % 41 == 7:
        raise OSError("too hot")
    eat(item, worker)

def turn(item, worker):
    number = item["number"]
    die_at_times(worker, number, 83)
    time.sleep(random.random() * 0.001)
    if worker.attempt == 1 and number % 53 == 9:
        raise OSError("too hot")
    if number % 59 == 11:
        raise ValueError("burnt")
    for part in range(number % 4):
        yield number, part

def plate(item, worker):
    note(worker, f"{item[0]} {item[1]}")

def sacks(sizes):
    for size in sizes:
        yield os.urandom(size)

def weigh(item, worker):
    note(worker, len(item))

def bring(queue, size):
    try:
        queue.put(bytes(size))
    except ValueError as error:
        (HERE / "refused.txt").write_text(f"{type(error).__name__}: {error}")

def nameless():
    yield {"guest": {"id": 1}, "number": 0}
    yield {"guest": {}, "number": 1}
    yield {"guest": {"id": 1}, "number": 2}

def dawdle(item):
    time.sleep(0.002)

def leave(queue):
    queue.get()
    queue.task_done()
"""


class Notes:
    """Keeps the events of a run."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def observe(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        """Nothing to flush."""

    def of(self, name: str) -> list[Event]:
        return [event for event in self.events if event.kind == name]


Cook = Callable[[str], tuple[Report, Notes]]


@pytest.fixture
def cook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cook:
    """Run a workflow beside the kitchen above."""
    monkeypatch.setenv("MPRUN_HOME", str(tmp_path / "home"))
    (tmp_path / "kitchen.py").write_text(KITCHEN, encoding="utf-8")

    def run(workflow: str) -> tuple[Report, Notes]:
        (tmp_path / "flow.yaml").write_text(textwrap.dedent(workflow), encoding="utf-8")
        notes = Notes()
        return run_file(tmp_path / "flow.yaml", observers=[notes]), notes

    return run


def noted(folder: Path, worker: str) -> list[tuple[int, ...]]:
    file = folder / f"{worker}.txt"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [tuple(map(int, line.split())) for line in lines]


@pytest.mark.parametrize("handler", ["eat", "choke"])
@pytest.mark.slow
def test_equal_keys_meet_one_worker_in_order_however_often_it_dies_or_fails(
    tmp_path: Path, cook: Cook, handler: str
) -> None:
    report, notes = cook(f"""
        name: shards
        queues: {{steamer: {{maxsize: 50}}}}
        stages:
          chef: {{run: "kitchen:steam", with: {{count: 1500}}, to: steamer}}
          eater:
            run: kitchen:{handler}
            count: 3
            from: steamer
            shard_by: guest.id
            restart: {{max: 100}}
            retry: {{attempts: {2 if handler == "eat" else 5}, backoff: 1ms}}
    """)

    assert "done" == report.outcome, report.reason
    assert 10 < len(notes.of("worker.restarted"))
    numbers: dict[int, list[int]] = defaultdict(list)
    for worker in ("eater-1", "eater-2", "eater-3"):
        eaten = noted(tmp_path, worker)
        assert numbers.keys().isdisjoint(guest for guest, _ in eaten), "a key has one worker"
        for guest, number in eaten:
            numbers[guest].append(number)
    assert {guest: list(range(guest, 1500, 7)) for guest in range(7)} == numbers


@pytest.mark.slow
@pytest.mark.parametrize("maxsize", [1, 3, 100])
def test_outputs_go_on_in_the_order_of_the_items_whoever_made_them(
    tmp_path: Path, cook: Cook, maxsize: int
) -> None:
    report, notes = cook(f"""
        name: order
        limits: {{max_errors: 100}}
        queues: {{raw: {{maxsize: 200}}, done: {{maxsize: {maxsize}}}}}
        stages:
          chef: {{run: "kitchen:steam", with: {{count: 700}}, to: raw}}
          cook:
            run: kitchen:turn
            count: 4
            from: raw
            to: done
            order: keep
            on_error: skip
            restart: {{max: 100}}
            retry: {{attempts: 3, backoff: 5ms, on: OSError}}
          waiter: {{run: "kitchen:plate", from: done}}
    """)

    assert "done" == report.outcome, report.reason
    assert 5 < len(notes.of("worker.restarted"))
    expected = [(number, part) for number in range(700) if number % 59 != 11 for part in range(number % 4)]
    assert expected == noted(tmp_path, "waiter-1")


def test_bytes_that_wait_are_bounded_big_and_small(tmp_path: Path, cook: Cook) -> None:
    sizes = [100_000, 10, 400, 70_000, 99_000, *[20_000] * 40, 5, 100_000]

    report, _ = cook(f"""
        name: heavy
        queues: {{sacks: {{max_bytes: 120KB, maxsize: 10}}}}
        stages:
          mill: {{run: "kitchen:sacks", with: {{sizes: {sizes}}}, to: sacks}}
          baker: {{run: "kitchen:weigh", from: sacks}}
    """)

    assert "done" == report.outcome, report.reason
    assert [(size,) for size in sizes] == noted(tmp_path, "baker-1")
    assert 100_000 <= report.queue("sacks").peak_bytes <= 120_000


@pytest.mark.parametrize("size", [50_000, 300_000])
def test_an_item_that_never_fits_fails_at_its_put_and_the_others_go_on(
    tmp_path: Path, cook: Cook, size: int
) -> None:
    report, notes = cook(f"""
        name: heavy
        limits: {{max_errors: 1}}
        queues: {{sacks: {{max_bytes: 40KiB}}}}
        stages:
          mill: {{run: "kitchen:sacks", with: {{sizes: [10, {size}, 20]}}, to: sacks, on_error: skip}}
          baker: {{run: "kitchen:weigh", from: sacks}}
    """)

    assert "done" == report.outcome, report.reason
    assert [(10,), (20,)] == noted(tmp_path, "baker-1")
    (failed,) = notes.of("item.failed")
    assert failed.error.startswith("ItemTooBig: the item takes ")
    assert failed.error.endswith("KiB, and queue 'sacks' has `max_bytes: 40KiB`")


def test_a_handler_that_puts_by_itself_gets_a_value_error_for_what_never_fits(
    tmp_path: Path, cook: Cook
) -> None:
    report, _ = cook("""
        name: heavy
        queues: {sacks: {max_bytes: 1000B}}
        stages:
          mill: {run: "kitchen:bring", with: {size: 5000}, to: sacks}
          baker: {run: "kitchen:weigh", from: sacks}
    """)

    assert ("done", 0) == (report.outcome, report.queue("sacks").put)
    assert "ItemTooBig: the item takes 4.9KiB, and queue 'sacks' has `max_bytes: 1KB`" == (
        tmp_path / "refused.txt"
    ).read_text(encoding="utf-8")


@pytest.mark.parametrize("when_full", ["drop_newest", "drop_oldest"])
@pytest.mark.quick("drop_oldest")
def test_what_a_full_queue_drops_is_counted_and_told_of_now_and_then(cook: Cook, when_full: str) -> None:
    report, notes = cook(f"""
        name: flood
        queues: {{steamer: {{maxsize: 20, when_full: {when_full}}}}}
        stages:
          chef: {{run: "kitchen:steam", with: {{count: 3000}}, count: 2, to: steamer}}
          eater: {{run: "kitchen:dawdle", from: steamer}}
    """)

    steamer = report.queue("steamer")
    told = notes.of("item.dropped")
    assert ("done", 6000) == (report.outcome, steamer.put), report.reason
    assert steamer.dropped > 0
    assert 6000 == steamer.done + steamer.dropped
    assert steamer.dropped == sum(event.count for event in told)
    assert len(told) <= 4 + 4 * report.seconds
    assert {f"the queue was full (maxsize 20), and drops the {when_full[5:]}"} == {
        event.reason for event in told
    }
    assert steamer.peak <= 20


def test_a_full_queue_may_be_a_failure_that_names_queue_and_writer(cook: Cook) -> None:
    report, _ = cook("""
        name: flood
        queues: {steamer: {maxsize: 5, when_full: fail}}
        stages:
          chef: {run: "kitchen:steam", with: {count: 3000}, to: steamer}
          eater: {run: "kitchen:dawdle", from: steamer}
    """)

    why = (
        "worker 'chef-1' put an item on queue 'steamer', which is full (maxsize 5) and has `when_full: fail`"
    )
    assert ("failed", f"stage 'chef': {why}") == (report.outcome, report.reason)


def test_an_item_without_a_key_fails_at_its_put(tmp_path: Path, cook: Cook) -> None:
    report, notes = cook("""
        name: shards
        limits: {max_errors: 1}
        stages:
          chef: {run: "kitchen:nameless", to: steamer, on_error: skip}
          eater: {run: "kitchen:eat", from: steamer, shard_by: guest.id}
    """)

    assert "done" == report.outcome, report.reason
    assert [(1, 0), (1, 2)] == noted(tmp_path, "eater-1")
    assert ["ShardKeyError: shard_by: guest.id: a dict has no 'id'"] == [
        event.error for event in notes.of("item.failed")
    ]


def test_a_reader_that_ends_early_leaves_a_shard_to_nobody_and_the_run_fails(cook: Cook) -> None:
    report, _ = cook("""
        name: shards
        stages:
          chef: {run: "kitchen:steam", with: {count: 500}, to: steamer}
          eater: {run: "kitchen:leave", count: 2, from: steamer, shard_by: number}
    """)

    assert "failed" == report.outcome
    assert report.reason is not None
    assert "queue 'steamer': a reader has ended, and no other may take its shard" in report.reason
