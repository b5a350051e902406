"""Workers that die and are followed by others: real processes, real kills, and every item exactly once."""

from __future__ import annotations

import json
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.composition import run
from runner.events.base import Event
from runner.events.report import Report
from runner.spec.failures import OnError, RestartOn, RestartPolicy, RetryPolicy
from runner.spec.limits import Limits
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.resources import QueueSpec

_PRELUDE = """
import os, signal, sys, time
from pathlib import Path

HERE = Path(__file__).parent

def note(text):
    with (HERE / "notes.txt").open("a", encoding="utf-8") as notes:
        notes.write(f"{text}\\n")

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def count(n):
    yield from range(n)

def eat(item):
    note(item)
"""


class Bench:
    """Runs stages under `leased` whose handlers stand in the test itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []

    def handlers(self, source: str) -> None:
        (self.folder / "mortals.py").write_text(_PRELUDE + textwrap.dedent(source), encoding="utf-8")

    def run(self, *stages: StageSpec, maxsize: int = 10, **limits: Any) -> Report:
        names = dict.fromkeys(q for stage in stages for q in (stage.receives, stage.sends) if q)
        queues = tuple(QueueSpec(name, maxsize) for name in names)
        bounds = Limits(**{"timeout": 40.0, **limits})
        spec = WorkflowSpec("mortals", self.folder / "mortals.yaml", stages, queues, "leased", bounds)
        report = run(make_plan(spec), [self])
        assert report.balanced, report.queues
        return report

    def observe(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        """Nothing to flush."""

    def of(self, name: str) -> list[dict[str, Any]]:
        return [dict(vars(event)) for event in self.events if event.kind == name]

    def notes(self) -> list[str]:
        notes = self.folder / "notes.txt"
        return notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []

    def letters(self) -> list[dict[str, Any]]:
        return [
            json.loads(line)
            for file in self.folder.rglob("dead-letters/*.jsonl")
            for line in file.read_text(encoding="utf-8").splitlines()
        ]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("MPRUN_HOME", str(tmp_path / "home"))
    yield Bench(tmp_path)
    sys.modules.pop("mortals", None)


def stage(name: str, target: str, workers: int = 1, **more: Any) -> StageSpec:
    names = tuple(f"{name}-{number}" for number in range(1, workers + 1))
    return StageSpec(name, HandlerRef("python", f"mortals:{target}"), more.pop("args", {}), names, **more)


def counting(n: int) -> StageSpec:
    return stage("chef", "count", args={"n": n}, sends="q")


def test_an_item_whose_worker_is_killed_is_seen_again_as_a_second_attempt(bench: Bench) -> None:
    bench.handlers("""
        def taste(item, worker):
            if item == 7 and worker.attempt == 1:
                die()
            note(f"{item} {worker.attempt}")
    """)

    report = bench.run(counting(30), stage("eater", "taste", workers=2, receives="q"))

    assert (0, None) == (report.exit_code, report.reason)
    assert sorted(f"{n} {2 if n == 7 else 1}" for n in range(30)) == sorted(bench.notes())
    assert (30, 30) == (report.queue("q").put, report.queue("q").done)
    assert [2] == [event["attempt"] for event in bench.of("item.redelivered")]
    assert 1 == report.stage("eater").retried


def test_a_successor_has_the_same_name_and_the_next_generation(bench: Bench) -> None:
    bench.handlers("""
        def taste(item, worker):
            if item == 3 and worker.attempt == 1:
                die()
    """)

    bench.run(counting(10), stage("eater", "taste", receives="q"))

    eaters = [event for event in bench.of("worker.spawned") if event["stage"] == "eater"]
    assert [("eater-1", 1), ("eater-1", 2)] == [(event["worker"], event["generation"]) for event in eaters]
    (restarted,) = bench.of("worker.restarted")
    assert (2, "killed by SIGKILL") == (restarted["generation"], restarted["reason"])


@pytest.mark.parametrize("where", ["while it yields", "when its output is pickled"])
@pytest.mark.quick("while it yields")
def test_a_pipe_stage_that_is_killed_puts_each_output_exactly_once(bench: Bench, where: str) -> None:
    """Pickling comes after the handler and before the message, which is the worst moment of all."""
    bench.handlers("""
        class Trap:
            def __init__(self, value, deadly):
                self.value, self.deadly = value, deadly
            def __reduce__(self):
                if self.deadly:
                    die()
                return int, (self.value,)

        def split(item, worker):
            deadly = item % 10 == 7 and worker.attempt == 1
            for part in range(3):
                if deadly and part == 2:
                    die()
                yield item * 10 + part

        def wrap(item, worker):
            for part in range(3):
                yield Trap(item * 10 + part, item % 10 == 7 and worker.attempt == 1 and part == 1)
    """)
    target = "split" if where == "while it yields" else "wrap"

    report = bench.run(
        counting(40),
        stage("mill", target, workers=2, receives="q", sends="r"),
        stage("eater", "eat", workers=2, receives="r"),
    )

    assert 0 == report.exit_code, report.reason
    assert Counter(str(n * 10 + part) for n in range(40) for part in range(3)) == Counter(bench.notes())
    assert (120, 120) == (report.queue("r").put, report.queue("r").done)


def test_an_item_that_kills_its_workers_becomes_a_dead_letter_and_its_siblings_get_done(bench: Bench) -> None:
    bench.handlers("""
        def taste(item):
            if item == 7:
                die()
            note(item)
    """)
    eater = stage("eater", "taste", workers=2, receives="q", on_error=OnError.DEAD_LETTER)

    report = bench.run(counting(30), eater, max_errors="1")

    assert (0, None) == (report.exit_code, report.reason)
    assert sorted(str(n) for n in range(30) if n != 7) == sorted(bench.notes())
    assert (29, 1) == (report.queue("q").done, report.queue("q").dead_lettered)
    (letter,) = bench.letters()
    assert ("eater", "q", "7") == (letter["stage"], letter["queue"], letter["item"])
    assert [(1, "killed by SIGKILL"), (2, "killed by SIGKILL")] == [
        (attempt["number"], attempt["ended"]) for attempt in letter["attempts"]
    ]
    deaths = [event["pid"] for event in bench.of("worker.exited") if event["signal"] == "SIGKILL"]
    assert deaths == [attempt["pid"] for attempt in letter["attempts"]]


@pytest.mark.slow
def test_killer_items_are_dead_letters_before_the_budget_of_their_stage_is_gone(bench: Bench) -> None:
    """Four of them kill eight workers, and the stage may lose one."""
    bench.handlers("""
        def taste(item):
            if item % 10 == 7:
                die()
            note(item)
    """)
    restart = RestartPolicy(max=1)
    eater = stage("eater", "taste", receives="q", on_error=OnError.DEAD_LETTER, restart=restart)

    report = bench.run(counting(40), eater, max_errors="10%")

    assert (0, None) == (report.exit_code, report.reason)
    assert 4 == report.stage("eater").dead_lettered == len(bench.letters())
    assert sorted(str(n) for n in range(40) if n % 10 != 7) == sorted(bench.notes())


def test_where_one_failure_ends_the_run_a_killer_item_does_so_too(bench: Bench) -> None:
    bench.handlers("""
        def taste(item):
            if item == 7:
                die()
    """)

    report = bench.run(counting(30), stage("eater", "taste", receives="q"))

    assert 1 == report.exit_code
    assert report.reason is not None
    assert report.reason.startswith("stage 'eater': item 7 was in hand when workers died: 'eater-1' (pid ")
    assert 2 == report.reason.count("killed by SIGKILL")


def test_a_stage_that_loses_too_many_workers_fails_the_run_and_says_what_it_may_lose(bench: Bench) -> None:
    bench.handlers("""
        def taste(item, worker):
            if worker.attempt == 1:
                die()
    """)
    eater = stage("eater", "taste", receives="q", restart=RestartPolicy(max=2))

    report = bench.run(counting(30), eater)

    assert 1 == report.exit_code
    assert report.reason is not None
    assert report.reason.startswith("stage 'eater': worker 'eater-1' (pid ")
    assert report.reason.endswith(
        "killed by SIGKILL; the stage's workers ended 3 times within 1m, and restart.max allows 2"
    )


NO_SPOON = """
    class Taster:
        def __init__(self):
            raise RuntimeError("no spoon")
        def __call__(self, item):
            pass
"""


def test_a_handler_that_can_t_be_built_is_given_up_before_the_budget_is_gone(bench: Bench) -> None:
    bench.handlers(NO_SPOON)

    eater = stage("eater", "Taster", receives="q", restart=RestartPolicy(max=50, failed_starts=1))

    report = bench.run(counting(30), eater)

    assert 1 == report.exit_code
    assert report.reason is not None
    assert "RuntimeError: no spoon" in report.reason
    assert report.reason.endswith("before its first item, so the handler itself seems to be at fault")
    assert 1 == len(bench.of("worker.restarted"))


def test_an_exception_outside_any_item_is_not_hidden_by_a_restart_that_nobody_asked_for(bench: Bench) -> None:
    bench.handlers(NO_SPOON)

    report = bench.run(counting(30), stage("eater", "Taster", receives="q"))

    assert 1 == report.exit_code
    assert report.reason is not None
    assert report.reason.endswith("RuntimeError: no spoon")
    assert [] == bench.of("worker.restarted")


def test_never_means_that_the_first_death_ends_the_run(bench: Bench) -> None:
    bench.handlers("def taste(item):\n    die()")
    eater = stage("eater", "taste", receives="q", restart=RestartPolicy(on=RestartOn.NEVER))

    report = bench.run(counting(30), eater)

    assert 1 == report.exit_code
    assert [] == bench.of("worker.restarted")


@pytest.mark.slow
def test_always_replaces_a_driver_that_ends_before_its_stream(bench: Bench) -> None:
    """As a handler may want that leaks memory: a fresh process every three items."""
    bench.handlers("""
        def taste(queue):
            for _ in range(3):
                note(queue.get())
                queue.task_done()
    """)
    eater = stage("eater", "taste", receives="q", restart=RestartPolicy(on=RestartOn.ALWAYS))

    report = bench.run(counting(12), eater)

    assert (0, None) == (report.exit_code, report.reason)
    assert sorted(map(str, range(12))) == sorted(bench.notes())


def test_a_failed_item_is_tried_again_until_it_works(bench: Bench) -> None:
    bench.handlers("""
        def taste(item, worker):
            if item in (3, 5) and worker.attempt < 3:
                raise ConnectionError(f"no {item}")
            note(f"{item} {worker.attempt}")
    """)
    eater = stage("eater", "taste", workers=2, receives="q", retry=RetryPolicy(3, 0.01))

    report = bench.run(counting(20), eater)

    assert (0, None) == (report.exit_code, report.reason)
    assert sorted(f"{n} {3 if n in (3, 5) else 1}" for n in range(20)) == sorted(bench.notes())
    assert [0.01, 0.01, 0.02, 0.02] == sorted(event["delay"] for event in bench.of("item.retried"))


def test_a_failure_that_is_not_worth_a_retry_is_final_at_once(bench: Bench) -> None:
    bench.handlers("""
        def taste(item, worker):
            note(f"{item} {worker.attempt}")
            raise KeyError(item) if item % 2 else ConnectionError
    """)
    retry = RetryPolicy(2, 0.01, on=("OSError",))
    eater = stage("eater", "taste", receives="q", retry=retry, on_error=OnError.SKIP)

    report = bench.run(counting(4), eater, max_errors="4")

    assert 0 == report.exit_code, report.reason
    assert ["0 1", "0 2", "1 1", "2 1", "2 2", "3 1"] == sorted(bench.notes())
    assert 4 == report.queue("q").dropped


def test_a_retry_puts_no_output_twice(bench: Bench) -> None:
    bench.handlers("""
        def split(item, worker):
            for part in range(3):
                if part == 2 and worker.attempt < 3:
                    raise ConnectionError
                yield item * 10 + part
    """)

    report = bench.run(
        counting(10),
        stage("mill", "split", workers=2, receives="q", sends="r", retry=RetryPolicy(3, 0.01)),
        stage("eater", "eat", receives="r"),
    )

    assert 0 == report.exit_code, report.reason
    assert Counter(str(n * 10 + part) for n in range(10) for part in range(3)) == Counter(bench.notes())


def test_an_item_that_fails_for_good_is_kept_with_its_history(bench: Bench) -> None:
    bench.handlers("""
        def taste(item):
            if item["n"] == 3:
                raise ValueError("bad 包子")

        def bake(n):
            for number in range(n):
                yield {"n": number}
    """)
    eater = stage("eater", "taste", receives="q", on_error=OnError.DEAD_LETTER, retry=RetryPolicy(2, 0.01))

    report = bench.run(stage("chef", "bake", args={"n": 6}, sends="q"), eater)

    assert "1 item failed; limits.max_errors allows 0" == report.reason
    (letter,) = bench.letters()
    assert ("{'n': 3}", "ValueError: bad 包子") == (letter["item"], letter["error"])
    assert ["ValueError: bad 包子"] * 2 == [attempt["ended"] for attempt in letter["attempts"]]
    assert "in taste" in letter["traceback"]
    assert [2] == [event["attempts"] for event in bench.of("item.dead_lettered")]


def test_a_producer_that_dies_fails_the_run_after_what_it_had_put_is_done(bench: Bench) -> None:
    bench.handlers("""
        def bake(queue):
            for number in range(50):
                queue.put(number)
            queue.join()
            die()
    """)

    report = bench.run(stage("chef", "bake", sends="q"), stage("eater", "eat", receives="q"))

    assert 1 == report.exit_code
    assert report.reason is not None
    assert report.reason.endswith("killed by SIGKILL; what it had put, 50 items, is worked off")
    assert sorted(map(str, range(50))) == sorted(bench.notes())
    assert (50, 50) == (report.queue("q").put, report.queue("q").done)


@pytest.mark.slow
def test_a_producer_that_asks_for_its_offset_goes_on_where_it_was(bench: Bench) -> None:
    bench.handlers("""
        def bake(n, offset, worker):
            note(f"from {offset}")
            for number in range(offset, n):
                if number == n // 2 and not offset:
                    time.sleep(0.02)  # some of what was gathered leaves, and some does not
                    die()
                yield number
    """)
    chef = stage("chef", "bake", args={"n": 2000}, sends="q", restart=RestartPolicy())

    report = bench.run(chef, stage("eater", "eat", workers=2, receives="q"))

    assert (0, None) == (report.exit_code, report.reason)
    assert sorted(map(str, range(2000))) == sorted(note for note in bench.notes() if note.isdigit())
    assert 2000 == report.queue("q").put == report.queue("q").done
    assert "from 0" in bench.notes()


@pytest.mark.slow
def test_the_runner_leaves_out_what_a_deterministic_producer_had_put(bench: Bench) -> None:
    """Also past an item that could not be put: it took its place in the order all the same."""
    bench.handlers("""
        def bake(n):
            first = not (HERE / "died").exists()
            for number in range(n):
                if number == n // 2 and first:
                    (HERE / "died").touch()
                    die()
                yield number if number != 10 else (lambda: number)
    """)
    chef = stage(
        "chef",
        "bake",
        args={"n": 2000},
        sends="q",
        deterministic=True,
        restart=RestartPolicy(),
        on_error=OnError.SKIP,
    )

    report = bench.run(chef, stage("eater", "eat", workers=2, receives="q"), max_errors="1")

    assert (0, None) == (report.exit_code, report.reason)
    assert Counter(str(n) for n in range(2000) if n != 10) == Counter(bench.notes())


@pytest.mark.slow
@pytest.mark.parametrize("how", ["made", "put"])
def test_a_deterministic_producer_that_gives_something_else_ends_the_run_with_code_6(
    bench: Bench, how: str
) -> None:
    bench.handlers("""
        def made(n):
            first = not (HERE / "died").exists()
            for number in range(n):
                if number == n // 2 and first:
                    (HERE / "died").touch()
                    die()
                yield number if first else -number

        def put(n, queue):
            for item in made(n):
                queue.put(item)
    """)
    chef = stage("chef", how, args={"n": 20_000}, sends="q", deterministic=True, restart=RestartPolicy())

    report = bench.run(chef, stage("eater", "eat", receives="q"))

    assert (6, "failed") == (report.exit_code, report.outcome)
    assert report.reason is not None
    assert report.reason.startswith("stage 'chef' gave something else at item ")


def test_the_runner_leaves_out_what_a_deterministic_producer_had_put_by_hand(bench: Bench) -> None:
    bench.handlers("""
        def put(n, queue):
            first = not (HERE / "died").exists()
            for number in range(n):
                if number == n // 2 and first:
                    (HERE / "died").touch()
                    die()
                queue.put(number)
    """)
    chef = stage("chef", "put", args={"n": 2000}, sends="q", deterministic=True, restart=RestartPolicy())

    report = bench.run(chef, stage("eater", "eat", receives="q"))

    assert (0, None) == (report.exit_code, report.reason)
    assert Counter(map(str, range(2000))) == Counter(bench.notes())


@pytest.mark.slow
def test_a_spawned_worker_is_replaced_like_a_forked_one(bench: Bench) -> None:
    bench.handlers("""
        def taste(item, worker):
            if item == 3 and worker.attempt == 1:
                die()
            note(item)
    """)

    report = bench.run(counting(6), stage("eater", "taste", receives="q", start_method="spawn"))

    assert (0, None) == (report.exit_code, report.reason)
    assert sorted(map(str, range(6))) == sorted(bench.notes())
