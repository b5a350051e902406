"""Who pays for a death: the item, its stage, or nobody. Real workers that die, hang, and never come up."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from holdings import nothing_left

from runner.composition import run_file
from runner.events.base import Event
from runner.events.report import Report
from runner.events.run import WorkerExited

_PRELUDE = """
import os, signal, threading, time
from pathlib import Path

HERE = Path(__file__).parent

def count(n):
    yield from range(n)

def eat(item):
    pass

def die():
    os.kill(os.getpid(), signal.SIGSEGV)

def killer(item):
    if item == 7:
        die()

def kill_all(item):
    die()

def kill_once(item, worker):
    if item % 10 == 0 and worker.attempt == 1:
        die()

def hang(item):
    if item == 3:
        time.sleep(60)

class Patient:
    def __init__(self):
        (HERE / f"try.{os.getpid()}").touch()
        if len(list(HERE.glob("try.*"))) < 4:
            raise ConnectionError("not there yet")
    def __call__(self, item):
        pass

class Never:
    def __init__(self):
        raise ConnectionError("never there")
    def __call__(self, item):
        pass
"""


class Scene:
    """Runs of one folder, and what they told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []

    def run(self, source: str, handlers: str = "") -> Report:
        """Run a workflow file that has only the keys that matter; it ends as a timeout where it would hang."""
        (self.folder / "kitchen.py").write_text(_PRELUDE + textwrap.dedent(handlers), encoding="utf-8")
        file = self.folder / "scene.yaml"
        file.write_text("name: scene\n" + textwrap.dedent(source), encoding="utf-8")
        return run_file(file, overrides=["limits.timeout=40s"], observers=[self])

    def observe(self, event: Event) -> None:
        """Keep the event."""
        self.events.append(event)

    def close(self) -> None:
        """Nothing to flush."""

    def all(self, name: str, **fields: Any) -> list[Event]:
        """The events of that name and with those fields."""
        return [e for e in self.events if e.kind == name and fields.items() <= vars(e).items()]

    def letters(self) -> list[dict[str, Any]]:
        """The dead letters, as they are kept."""
        files = self.folder.glob("home/**/dead-letters/*.jsonl")
        return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A scene that leaves no process and no descriptor behind, whatever happens in it."""
    monkeypatch.setenv("MPRUN_HOME", str(tmp_path / "home"))
    with nothing_left():
        yield Scene(tmp_path)


@pytest.mark.parametrize(
    ("attempts", "restart"), [(7, ""), (4, ", restart: {max: 1}")], ids=["default-budget", "one"]
)
@pytest.mark.quick("one")
def test_an_item_that_kills_its_workers_is_a_dead_letter_before_the_budget_of_its_stage_is_gone(
    scene: Scene, attempts: int, restart: str
) -> None:
    report = scene.run(f"""
        stages:
          chef: {{run: "kitchen:count", with: {{n: 60}}, to: q}}
          eater:
            {{run: "kitchen:killer", from: q, on_error: dead_letter, retry: {{attempts: {attempts}}}{restart}}}
        limits: {{max_errors: 1}}
        """)

    assert (0, "done") == (report.exit_code, report.outcome), report.reason
    assert [("7", attempts)] == [(each["item"], len(each["attempts"])) for each in scene.letters()]
    assert (59, 1) == (report.queue("q").done, report.queue("q").dead_lettered)


@pytest.mark.slow
def test_many_deadly_items_at_once_are_all_dead_letters(scene: Scene) -> None:
    report = scene.run("""
        stages:
          chef: {run: "kitchen:count", with: {n: 8}, to: q}
          eater: {run: "kitchen:kill_all", from: q, count: 8, on_error: dead_letter}
        limits: {max_errors: 100%}
        """)

    assert (0, "done") == (report.exit_code, report.outcome), report.reason
    assert [str(n) for n in range(8)] == sorted(each["item"] for each in scene.letters())
    assert (0, 8) == (report.queue("q").done, report.queue("q").dead_lettered)


def test_the_run_fails_by_the_item_where_it_says_so(scene: Scene) -> None:
    report = scene.run("""
        stages:
          chef: {run: "kitchen:count", with: {n: 60}, to: q}
          eater: {run: "kitchen:killer", from: q, retry: {attempts: 3}}
        """)

    assert 1 == report.exit_code
    assert str(report.reason).startswith("stage 'eater': item 7 was in hand when workers died: 'eater-1'")
    assert ["7"] == [each["item"] for each in scene.letters()]


@pytest.mark.slow
def test_innocent_items_are_no_excuse_and_their_deaths_are_charged_to_the_stage(scene: Scene) -> None:
    """Each goes through at its second attempt: it was not the item, so it was the stage."""
    report = scene.run("""
        stages:
          chef: {run: "kitchen:count", with: {n: 60}, to: q}
          eater: {run: "kitchen:kill_once", from: q}
        """)

    why = "killed by SIGSEGV; the stage's workers ended 6 times within 1m, and restart.max allows 5"
    assert 1 == report.exit_code
    assert str(report.reason).endswith(why)
    assert [] == scene.letters()


@pytest.mark.slow
def test_a_stage_whose_every_item_kills_ends_once_that_is_clear(scene: Scene) -> None:
    report = scene.run("""
        stages:
          chef: {run: "kitchen:count", with: {n: 1000}, to: q}
          eater: {run: "kitchen:kill_all", from: q, on_error: dead_letter, restart: {max: 2}}
        """)

    why = (
        "stage 'eater': 3 items in a row killed their workers, and none went through: "
        "the handler itself seems to be at fault"
    )
    assert (1, why) == (report.exit_code, report.reason)
    assert 3 == len(scene.letters())


@pytest.mark.slow
def test_a_budget_that_the_user_wrote_is_kept_to_by_workers_that_do_not_come_up(scene: Scene) -> None:
    report = scene.run("""
        stages:
          chef: {run: "kitchen:count", with: {n: 6}, to: q}
          eater: {run: "kitchen:Patient", from: q, restart: {on: crash, max: 20, within: 1m}}
        """)

    assert (0, "done") == (report.exit_code, report.outcome), report.reason
    assert 6 == report.queue("q").done
    assert 3 == len(scene.all("worker.exited", stage="eater", outcome="died"))


@pytest.mark.slow
def test_who_never_comes_up_is_given_up_after_as_many_lives_as_the_user_allows(scene: Scene) -> None:
    report = scene.run("""
        stages:
          chef: {run: "kitchen:count", with: {n: 6}, to: q}
          eater: {run: "kitchen:Never", from: q, restart: {max: 2, within: 10ms}}
        """)

    assert 1 == report.exit_code
    assert str(report.reason).endswith(
        "ConnectionError: never there; it ended 3 times in a row before its first item, and restart.max allows 2"
    )


@pytest.mark.slow
def test_an_item_that_hangs_says_so_and_leaves_its_stack(scene: Scene) -> None:
    report = scene.run("""
        stages:
          chef: {run: "kitchen:count", with: {n: 8}, to: q}
          eater: {run: "kitchen:hang", from: q, timeout: 300ms}
        """)

    (letter,) = scene.letters()
    assert ["timed out after 300ms"] * 2 == [each["ended"] for each in letter["attempts"]]
    assert "timed out after 300ms on item 3" == letter["error"]
    assert "in hang" in letter["traceback"]
    assert 2 == str(report.reason).count("timed out after 300ms")
    assert "SIGKILL" not in str(report.reason)
    assert ["in hang" in str(each.traceback) for each in report.failures] == [True, True]


def test_a_run_that_stalls_keeps_the_stack_of_whom_it_waited_for(scene: Scene) -> None:
    report = scene.run("""
        stages:
          chef: {run: "kitchen:count", with: {n: 8}, to: q}
          eater: {run: "kitchen:hang", from: q}
        limits: {stall_timeout: 500ms}
        """)

    cause = report.root_cause
    assert cause is not None
    assert (5, "timeout", "eater-1") == (report.exit_code, report.outcome, cause.worker)
    assert cause.error.startswith("has been at work on an item of queue 'q' for ")
    assert "in hang" in str(cause.traceback)


@pytest.mark.slow
def test_a_thread_that_keeps_a_worker_from_ending_is_called_by_its_name(scene: Scene) -> None:
    report = scene.run(
        """
        stages:
          chef: {run: "kitchen:count", with: {n: 3}, to: q}
          eater: {run: "kitchen:leave_thread", from: q}
        limits: {stall_timeout: 500ms}
        """,
        """
        def leave_thread(item):
            threading.Thread(target=time.sleep, args=(60,)).start()
        """,
    )

    assert 5 == report.exit_code
    assert "is done with all its work, and a thread of its handler has kept it from ending" in str(
        report.reason
    )


@pytest.mark.slow
def test_what_stages_took_did_and_put_agrees_with_the_ledger_whoever_was_killed(scene: Scene) -> None:
    report = scene.run(
        """
        stages:
          chef: {run: "kitchen:count", with: {n: 2000}, to: q}
          cook: {run: "kitchen:triple", from: q, to: r, restart: {max: 100}}
          eater: {run: "kitchen:kill_often", from: r, restart: {max: 100}}
        """,
        """
        def triple(item, worker):
            if item % 400 == 7 and worker.attempt == 1:
                die()
            for part in range(3):
                yield item * 3 + part

        def kill_often(item, worker):
            if item % 1000 == 3 and worker.attempt == 1:
                die()
        """,
    )

    assert (0, "done") == (report.exit_code, report.outcome), report.reason
    chef, cook, eater = (report.stage(name) for name in ("chef", "cook", "eater"))
    assert (2000, 6000) == (report.queue("q").put, report.queue("r").put)
    assert (2000, 6000) == (chef.sent, cook.sent)
    assert (2000, 6000) == (cook.done, eater.done)
    assert (2005, 6006) == (cook.received, eater.received)
    assert (5, 6) == (cook.retried, eater.retried)


@pytest.mark.parametrize(
    "stage",
    [
        'run: "kitchen:picky"',
        pytest.param('run: "kitchen:picky", batch: 4', marks=pytest.mark.slow),
        pytest.param('run: "kitchen:Picky"', marks=pytest.mark.slow),
        pytest.param('run: "kitchen:picky", to: r', marks=pytest.mark.slow),
        pytest.param('run: "kitchen:picky", to: r, order: keep', marks=pytest.mark.slow),
        pytest.param('run: "kitchen:picky", shard_by: item', marks=pytest.mark.slow),
    ],
)
def test_what_failed_are_items_and_other_attempts_count_apart(scene: Scene, stage: str) -> None:
    """Of nine items each is tried three times: three are done at the third, the others never."""
    report = scene.run(
        f"""
        stages:
          cook: {{{stage}, from: q, retry: {{attempts: 3, backoff: 1ms}}, on_error: dead_letter}}
          chef: {{run: "kitchen:count", with: {{n: 9}}, to: q}}
          {'eater: {run: "kitchen:eat", from: r}' if "to: r" in stage else ""}
        limits: {{max_errors: 6}}
        """,
        """
        def picky(item, worker=None):
            if isinstance(item, list):
                if len(item) > 1 or item[0] % 3 or worker.attempt < 3:
                    raise ValueError(item)
            elif item % 3 or worker.attempt < 3:
                raise ValueError(item)

        class Picky:
            def __init__(self, worker):
                self.worker = worker
            def __call__(self, item):
                picky(item, self.worker)
            def flush(self):
                pass
        """,
    )

    assert ["chef", "cook"] == [line.name for line in report.stages][:2]  # the chef feeds the cook
    cook = report.stage("cook")
    exited = scene.all("worker.exited", stage="cook")
    assert (0, 3, 6, 6, 18) == (report.exit_code, cook.done, cook.failed, cook.dead_lettered, cook.retried)
    assert [(6, 18)] == [(each.failed, each.retried) for each in exited if isinstance(each, WorkerExited)]


def test_an_item_that_kills_its_workers_counts_as_failed(scene: Scene) -> None:
    report = scene.run("""
        stages:
          chef: {run: "kitchen:count", with: {n: 20}, to: q}
          eater: {run: "kitchen:killer", from: q, on_error: skip}
        limits: {max_errors: 1}
        """)

    eater = report.stage("eater")
    assert (0, 1, 1, 19) == (report.exit_code, eater.failed, eater.dead_lettered, eater.done)
    assert 21 == eater.received


def test_what_overflows_a_queue_was_not_put(scene: Scene) -> None:
    report = scene.run(
        """
        queues: {q: {maxsize: 5, when_full: fail}}
        stages:
          chef: {run: "kitchen:count", with: {n: 100}, to: q}
          eater: {run: "kitchen:doze", from: q}
        limits: {close_timeout: 100ms}
        """,
        """
        def doze(item):
            time.sleep(60)
        """,
    )

    assert (1, report.queue("q").put) == (report.exit_code, report.stage("chef").sent)
