"""`mprun.run` and `mprun.Flow`: workflows of a program's own objects, checked and supervised as those of files are."""

from __future__ import annotations

import importlib.util
import io
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from holdings import nothing_left
from jobs_workers import is_alive, wait_until

import mprun
from mprun.events import Event, ItemFailed, RunFinished, WorkerReady

NULL = {"null": {}}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder; each test leaves no process, descriptor or thread behind."""
    monkeypatch.chdir(tmp_path)
    mprun.run({"name": "first", "stages": {"a": {"run": lambda: None}}})
    with nothing_left():
        yield tmp_path


class Gathering:
    """An observer."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.is_closed = False

    def observe(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        self.is_closed = True


def fail_at_two(item: int) -> int:
    if item == 2:
        raise ValueError(f"<b>no {item}</b>")
    return item


def test_a_flow_of_closures_runs_and_reports(capsys: pytest.CaptureFixture[str]) -> None:
    factor = 3
    flow = mprun.Flow("prep").source(range(10)).stage(lambda x: x * factor, name="load", count=2)

    report = flow.batch(5).sink(lambda batch: print(sum(batch)), name="save").run()

    assert 3 * 45 == sum(map(int, capsys.readouterr().out.split()))
    assert (10, 10, True) == (report.queue("items").done, report.queue("load").done, report.balanced)


def test_the_file_that_a_flow_stands_for_names_what_lives_in_the_program() -> None:
    flow = mprun.Flow("prep", {"limits": {"timeout": "1m"}}).source(["neo", "alex"], name="chefs")
    flow = flow.queue(maxsize=5).stage("textwrap:dedent", count=2, retry={"attempts": 2}).batch(8, wait="1s")

    assert flow.sink(lambda batch: len(batch) + 1, name="eat").yaml() == textwrap.dedent(
        """\
        name: prep
        limits:
          timeout: 1m
        queues:
          chefs: {maxsize: 5}
        stages:
          chefs:
            run: __live__:chefs   # lives in the program: items of ['neo', 'alex']
            to: chefs
          dedent: {run: textwrap:dedent, count: 2, retry: {attempts: 2}, from: chefs, to: dedent}
          eat:
            run: __live__:lambda  # lives in the program: function <lambda>, test_run.py
            batch: {size: 8, wait: 1s}
            from: dedent
        """
    )


def test_the_same_flow_may_be_run_again_and_gone_on_with_in_two_ways() -> None:
    start = mprun.Flow("twice").source([1, 2, 3])

    assert [3, 3] == [start.sink(NULL).run().queue("items").done for _ in range(2)]
    assert 3 == start.stage(lambda x: x).sink(NULL).run().queue("lambda").done


def test_a_file_written_by_a_flow_of_importable_parts_runs_as_it_stands(place: Path) -> None:
    (place / "words.py").write_text("def shout(word):\n    return word.upper()\n")
    flow = mprun.Flow("words").source({"items": ["a", "b"]}).stage("words:shout").sink({"print": {}})
    (place / "words.yaml").write_text(flow.yaml())

    assert 2 == mprun.run("words.yaml").queue("shout").done
    assert 2 == flow.run().queue("shout").done


def test_objects_under_with_reach_the_handler_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    weights, deep = np.arange(4), {"tables": [object()]}

    def weigh(item: int, weights: Any, deep: Any) -> None:
        print(item + int(weights.sum()), type(deep["tables"][0]).__name__)

    keys = {"run": weigh, "from": "items", "with": {"weights": weights, "deep": deep}}
    mprun.run({"name": "w", "stages": {"items": {"run": {"range": 1}, "to": "items"}, "weigh": keys}})

    assert "6 object\n" == capsys.readouterr().out


def test_a_run_that_fails_raises_with_its_report_and_the_traceback() -> None:
    with pytest.raises(mprun.RunFailed, match="failed on item 2") as caught:
        mprun.Flow("bad").source(range(5)).sink(fail_at_two).run()

    assert 1 == caught.value.report.exit_code
    assert "in fail_at_two" in str(caught.value.__cause__)


def test_with_check_off_a_run_that_fails_returns_its_report() -> None:
    report = mprun.Flow("bad").source(range(5)).sink(fail_at_two).run(check=False)

    assert ("failed", "ValueError: <b>no 2</b>") == (report.outcome, report.failures[0].error)


def test_problems_are_in_the_text_of_the_error_with_their_lines() -> None:
    with pytest.raises(mprun.SpecError) as caught:
        mprun.run({"name": "typo", "stages": {"a": {"run": lambda x: x, "too": "q"}}})

    assert "<typo>:5:5: error[unknown-key]: stage 'a' has no key 'too'" in str(caught.value)
    assert "did you mean 'to'?" in str(caught.value)


def brew(cup: int, strength: int) -> None:
    raise AssertionError(cup * strength)


def test_a_handler_that_does_not_fit_is_a_problem_before_anything_starts() -> None:
    with pytest.raises(mprun.SpecError, match="needs an argument 'strength'"):
        mprun.Flow("tea").source([1]).sink(brew).run()


@pytest.mark.slow
def test_what_lives_in_the_program_cannot_be_spawned_and_what_is_imported_runs_no_file_twice(
    place: Path,
) -> None:
    flow = mprun.Flow("spawned").source({"range": 2})
    with pytest.raises(mprun.MprunError, match="stage 'lambda' has `start_method: spawn`"):
        flow.sink(lambda x: x, start_method="spawn").run()
    (place / "words.py").write_text("def take(item):\n    print('took', item)\n")
    (place / "once.py").write_text(
        "import mprun\nprint('begun', flush=True)\n"
        "mprun.Flow('s').source({'range': 2}).sink('words:take', start_method='spawn').run()\n"
    )

    done = subprocess.run(
        [sys.executable, "once.py"], capture_output=True, text=True, timeout=60, check=False
    )

    assert (0, "begun\ntook 0\ntook 1\n") == (done.returncode, done.stdout)


def test_objects_where_only_data_can_be_are_named_by_their_place() -> None:
    with pytest.raises(mprun.MprunError, match=r"'limits\.timeout' is <ndarray of .*>, of type ndarray"):
        mprun.run({"name": "x", "limits": {"timeout": np.arange(3)}, "stages": {}})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: mprun.Flow("x").sink(str), r"begins with source\(\), before str"),
        (lambda: mprun.Flow("x").run(), r"has no stages: it begins with source\(\)"),
        (lambda: mprun.Flow("x").source([1]).source([2]), "one source, and it comes first"),
        (lambda: mprun.Flow("x").source(3), "3 can't be iterated over, and is no handler"),
        (lambda: mprun.Flow("x").source([1]).sink(str).stage(str), "has ended with its sink"),
        (lambda: mprun.Flow("x").source([1]).batch(3).yaml(), "is for the next stage, and there is none"),
        (lambda: mprun.Flow("x").source([1]).stage(3), "stage 'stage': 3 is no handler"),
        (
            lambda: mprun.Flow("x").source([1]).stage(str, to="b"),
            "stage 'str': 'to' is said by the flow itself",
        ),
    ],
)
def test_steps_that_make_no_flow_say_what_is_missing(build: Any, message: str) -> None:
    with pytest.raises(mprun.MprunError, match=message):
        build()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"params": ["a"]}, "`params` is a mapping"),
        ({"overrides": "a=1"}, "`overrides` is a list of texts"),
        ({"observers": [3]}, "3 has none"),
    ],
)
def test_arguments_of_a_wrong_kind_are_refused_by_name(given: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        mprun.run({}, **given)


def test_params_arrive_as_the_program_has_them() -> None:
    seen: list[object] = []
    given = {"a": None, "b": [True, "x: y"]}
    maker = {"run": lambda value: seen.append(value) or [], "with": {"value": "${{ params.p }}"}}
    workflow = {"name": "x", "params": {"p": {"type": "object"}}, "stages": {"maker": maker}}

    mprun.run(workflow, params={"p": given}, transport="inline")

    assert [given] == seen


def test_what_is_no_workflow_is_refused_with_its_type() -> None:
    with pytest.raises(TypeError, match="3 is of type int"):
        mprun.run(3)  # type: ignore[arg-type]


def test_observers_are_told_in_the_program_and_one_that_raises_is_dropped() -> None:
    class Raising(Gathering):
        def observe(self, event: Event) -> None:
            super().observe(event)
            raise RuntimeError("not my day")

    gathering, raising = Gathering(), Raising()
    mprun.Flow("seen").source(range(3)).sink(fail_at_two, on_error="skip").run(
        [gathering, raising], check=False
    )

    kinds = [type(event) for event in gathering.events]
    assert (2, 1, RunFinished) == (kinds.count(WorkerReady), kinds.count(ItemFailed), kinds[-1])
    assert (1, True) == (len(raising.events), gathering.is_closed)


class Terminal(io.StringIO):
    """Standard error that is a terminal, or is none."""

    is_one = True

    def isatty(self) -> bool:
        return self.is_one


@pytest.mark.parametrize("is_one", [True, False])
def test_progress_is_a_line_on_a_terminal_and_nothing_elsewhere(
    monkeypatch: pytest.MonkeyPatch, is_one: bool
) -> None:
    terminal = Terminal()
    terminal.is_one = is_one
    monkeypatch.setattr(sys, "stderr", terminal)

    mprun.Flow("slow").source(range(4)).sink(lambda _: time.sleep(0.15)).run(progress=True)

    assert (
        is_one
        == ("slow  done after" in terminal.getvalue())
        == ("slow  items 4 · lambda" in terminal.getvalue())
    )


def test_inline_it_runs_in_this_process() -> None:
    seen: list[int] = []
    mprun.Flow("here").source([1, 2]).sink(seen.append, name="keep").run(transport="inline")

    assert [1, 2] == seen


def test_a_run_that_is_recorded_is_one_of_history(place: Path) -> None:
    mprun.Flow("kept").source([1]).sink(NULL).run(record=True)

    assert [] != list(place.glob(".mprun/runs/*/run.db"))


def test_a_run_that_is_not_recorded_leaves_nothing(place: Path) -> None:
    mprun.Flow("gone").source([1]).sink(NULL).run()

    assert [] == list(place.glob(".mprun/runs/*"))


def test_it_runs_beside_threads_of_the_program() -> None:
    stop = threading.Event()
    busy = threading.Thread(target=lambda: [time.sleep(0.001) for _ in iter(stop.is_set, True)])
    busy.start()
    try:
        assert 100 == mprun.Flow("beside").source(range(100)).sink(NULL).run().queue("items").done
    finally:
        stop.set()
        busy.join()


def test_interrupted_it_works_off_what_it_has_and_goes_on_as_keyboard_interrupt() -> None:
    class Interrupting(Gathering):
        def observe(self, event: Event) -> None:
            if isinstance(event, WorkerReady) and event.stage == "endless":
                os.kill(os.getpid(), signal.SIGINT)

    def endless() -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 1
            time.sleep(0.001)

    with pytest.raises(KeyboardInterrupt) as caught:
        mprun.Flow("endless").source(endless).sink(NULL).run([Interrupting()])

    assert "interrupted after" in caught.value.__notes__[0]


PROGRAM = """
import os, sys, time
import mprun

def sleep(item):
    print(os.getpid(), flush=True)
    time.sleep(600)

if sys.argv[1] == "imap":
    list(mprun.imap(sleep, range(9), workers=2))
else:
    mprun.Flow("sleep").source(range(9)).sink(sleep, count=2).run()
"""


@pytest.mark.parametrize("how", ["imap", "run"])
def test_nothing_outlives_a_program_that_is_killed(place: Path, how: str) -> None:
    (place / "program.py").write_text(PROGRAM)
    words = [sys.executable, "program.py", how]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        workers = [int(program.stdout.readline()) for _ in range(2)]
        program.kill()

        assert "" == program.stdout.read()  # it ends when the last that could write there has
    wait_until(lambda: not any(map(is_alive, workers)))  # what it has open is closed before it has ended


def test_a_function_of_a_module_that_no_path_leads_to_lives_in_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loaded.py").write_text("def eat(item):\n    pass\n")
    spec = importlib.util.spec_from_file_location("loaded_by_hand", tmp_path / "loaded.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "loaded_by_hand", module)
    spec.loader.exec_module(module)

    report = mprun.Flow("w").source([1, 2]).sink(module.eat).run()

    assert 2 == report.queue("items").done
