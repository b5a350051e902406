"""`mprun run --metrics`: what a run tells to whoever asks, and to a file, is the contract and equals its report."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from runner.telemetry.contract import CONTRACT, TIME_BOUNDS, Action, MetricType

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

KITCHEN = """\
name: kitchen
queues:
  orders: {maxsize: 10}
  plates: {maxsize: 5, max_bytes: 1MB}
stages:
  taker: {run: "kitchen:take", to: orders}
  chef: {run: "kitchen:cook", from: orders, to: plates, count: 2, on_error: dead_letter,
         retry: {attempts: 2, backoff: 1ms}}
  eater: {run: "kitchen:eat", from: plates, on_error: skip}
limits: {max_errors: 100}
"""
HANDLERS = """\
import os, signal, time
from pathlib import Path

def take():
    yield from range(30)
    while not Path("go").exists():
        time.sleep(0.01)

def cook(order):
    if order == 5:
        raise ValueError(order)
    if order == 7 and not Path("killed").exists():
        Path("killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return order

def eat(order):
    if order == 9:
        raise ValueError(order)
"""
JOBS = """\
name: ci
jobs:
  build: {steps: [{run: echo built}]}
  test: {needs: build, steps: [{run: exit 3}]}
  publish: {needs: test, steps: [{run: echo never}]}
"""
PATIENCE = 60.0


class Told(NamedTuple):
    """What a run has told, while it went on and at its end."""

    during: str
    openmetrics: str
    content_type: str
    at_end: str
    report: Mapping[str, Any]
    stderr: str


def ask(address: str, accept: str = "", path: str = "/metrics") -> tuple[str, str]:
    request = urllib.request.Request(f"http://{address}{path}", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, mprun: Path, plain_env: dict[str, str]) -> Iterator[Told]:
    """A run in which a worker is killed, and items are skipped and kept as letters."""
    folder = tmp_path_factory.mktemp("metrics")
    (folder / "kitchen.yaml").write_text(KITCHEN)
    (folder / "kitchen.py").write_text(HANDLERS)
    words = ["run", "kitchen.yaml", "--report", "r.json", "--metrics", "127.0.0.1:0", "--metrics", "run.prom"]
    log = folder / "log"
    with log.open("wb") as stderr:
        run = subprocess.Popen(
            [mprun, *words], cwd=folder, env=plain_env, stderr=stderr, stdin=subprocess.DEVNULL
        )
    try:
        until(lambda: "/metrics\n" in log.read_text())
        found = re.search(r"^mprun: metrics at http://(.+)/metrics$", log.read_text(), re.MULTILINE)
        assert found is not None
        address = found[1]
        until(
            lambda: 'mprun_stage_items_done_total{stage="eater",workflow="kitchen"} 28.0' in ask(address)[1]
        )
        until(lambda: "\nmprun_record_cut_age_seconds{" in ask(address)[1])
        during = ask(address)[1]
        content_type, openmetrics = ask(address, "application/openmetrics-text; version=1.0.0")
        with pytest.raises(urllib.request.HTTPError, match="404"):
            ask(address, path="/")
        (folder / "go").touch()
        assert 0 == run.wait(PATIENCE)
    finally:
        run.kill()
        run.wait()
    at_end, report = (folder / "run.prom").read_text(), json.loads((folder / "r.json").read_text())
    yield Told(during, openmetrics, content_type, at_end, report, log.read_text())


def families(text: str) -> dict[str, Metric]:
    read = read_openmetrics if text.endswith("# EOF\n") else read_text
    found = list(read(text))
    assert len({family.name for family in found}) == len(found), "told twice"
    return {family.name: family for family in found}


def number(text: str, name: str, **labels: str) -> float:
    (found,) = [
        sample.value
        for family in families(text).values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return found


def require_as_declared(text: str, workflow: str) -> set[str]:
    """Return which metrics are told; fail where one is not, or is otherwise than, what was declared."""
    declared = {each.family: each for each in CONTRACT}
    seen = set()
    for name, family in families(text).items():
        # A text without OpenMetrics knows no type `info`, and has it in the name.
        declaration = declared[name.removesuffix("_info")]
        seen.add(declaration.name)
        is_info = declaration.type is MetricType.INFO
        assert family.documentation == declaration.help
        assert family.type in (declaration.type.value, *(["gauge"] if is_info else []))
        assert len({(each.name, *sorted(each.labels.items())) for each in family.samples}) == len(
            family.samples
        )
        for sample in family.samples:
            is_histogram = declaration.type is MetricType.HISTOGRAM
            ends = ("_bucket", "_count", "_sum") if is_histogram else ("",)
            assert sample.name in [f"{declaration.name}{end}" for end in ends]
            bounds = {"le"} if sample.name.endswith("_bucket") else set()
            assert set(sample.labels) == {"workflow", *declaration.labels} | bounds
            assert sample.labels["workflow"] == workflow
            for label, words in declaration.words.items():
                assert sample.labels[label] in words
    return seen


def test_what_is_told_of_stages_and_of_jobs_is_the_contract_no_more_and_no_less(
    told: Told, tmp_path: Path, run_mprun: RunMprun
) -> None:
    (tmp_path / "ci.yaml").write_text(JOBS)
    done = run_mprun("run", "ci.yaml", "-q", "--metrics", "ci.prom", cwd=tmp_path)
    of_jobs = (tmp_path / "ci.prom").read_text()

    seen = [require_as_declared(text, "kitchen") for text in (told.during, told.openmetrics, told.at_end)]
    assert seen[0] == seen[1] == seen[2] | {"mprun_record_cut_age_seconds"}
    assert {each.name for each in CONTRACT} == seen[0] | require_as_declared(of_jobs, "ci")
    assert 1 == done.returncode
    states = {state: number(of_jobs, "mprun_jobs", state=state) for state in ("passed", "failed", "skipped")}
    assert {"passed": 1.0, "failed": 1.0, "skipped": 1.0} == states
    assert number(of_jobs, "mprun_job_duration_seconds", job="build") > 0


def test_who_asks_for_openmetrics_gets_it(told: Told) -> None:
    assert told.content_type.startswith("application/openmetrics-text")
    assert {"mprun_run"} == {name for name, each in families(told.openmetrics).items() if each.type == "info"}


def test_counters_at_the_end_equal_the_report_also_of_a_worker_that_was_killed(told: Told) -> None:
    text = told.at_end
    for line in told.report["stages"]:
        stage = line["name"]
        for word in ("received", "sent", "done"):
            assert line[word] == number(text, f"mprun_stage_items_{word}_total", stage=stage), (stage, word)
        attempts = {
            action: number(text, "mprun_stage_attempts_failed_total", stage=stage, action=action)
            for action in Action
        }
        redelivered = number(text, "mprun_stage_items_redelivered_total", stage=stage)
        assert line["retried"] == attempts.pop(Action.RETRIED) + redelivered
        assert line["failed"] == sum(attempts.values())
        for state in ("busy", "starved", "blocked"):
            seconds = number(text, "mprun_stage_worker_seconds_total", stage=stage, state=state)
            assert line[f"{state}_seconds"] == pytest.approx(seconds, abs=1e-5)
    for line in told.report["queues"]:
        for word in ("put", "done", "dropped", "dead_lettered", "full_seconds"):
            assert line[word] == number(text, f"mprun_queue_{word}_total", queue=line["name"])
    assert 1.0 == number(text, "mprun_stage_restarts_total", stage="chef", reason="signal")
    assert 1.0 == number(text, "mprun_stage_items_redelivered_total", stage="chef")
    assert 1.0 == number(text, "mprun_stage_attempts_failed_total", stage="chef", action="dead_lettered")
    assert 1.0 == number(text, "mprun_stage_attempts_failed_total", stage="eater", action="skipped")
    assert 1.0 == number(text, "mprun_run_phase", phase="done")


def test_every_item_that_a_handler_had_is_timed_once(told: Told) -> None:
    for line in (each for each in told.report["stages"] if each["name"] == "eater"):
        items = number(told.at_end, "mprun_item_duration_seconds_count", stage=line["name"])
        assert line["done"] + line["failed"] == items
        last = number(
            told.at_end, "mprun_item_duration_seconds_bucket", stage="eater", le=f"{TIME_BOUNDS[-1]}"
        )
        assert items == last


def test_gauges_tell_what_is_there_while_it_runs_and_what_is_left_at_the_end(told: Told) -> None:
    assert 2.0 == number(told.during, "mprun_stage_workers_alive", stage="chef")
    assert 0.0 == number(told.at_end, "mprun_stage_workers_alive", stage="chef")
    assert 5.0 == number(told.during, "mprun_queue_capacity_items", queue="plates")
    assert 1e6 == number(told.during, "mprun_queue_capacity_bytes", queue="plates")
    assert 1.0 == number(told.during, "mprun_run_phase", phase="running")
    assert 0.0 <= number(told.during, "mprun_record_cut_age_seconds") < PATIENCE
    assert (
        0.0
        == number(told.during, "mprun_record_incomplete")
        == number(told.at_end, "mprun_record_incomplete")
    )


def test_what_only_grows_does_not_fall_at_the_end(told: Told) -> None:
    before, after = families(told.during), families(told.at_end)
    for name in (each.family for each in CONTRACT if each.type is MetricType.COUNTER):
        for one, other in zip(before[name].samples, after[name].samples, strict=True):
            assert one.labels == other.labels and one.value <= other.value


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["--metrics", "9464"],
            "--metrics: expected an address such as 127.0.0.1:9464 or [::1]:9464, or a file",
        ),
        (
            ["--metrics", "no/run.prom"],
            "--metrics: 'no/run.prom' can't be written: No such file or directory",
        ),
        (
            ["--metrics", "203.0.113.9:9464"],
            "--metrics: can't listen on 203.0.113.9:9464: this machine has no",
        ),
        (["--metrics", "a.prom", "--metrics", "./a.prom"], "--metrics and --metrics name the same file"),
        (["--metrics", "a.prom", "--report", "a.prom"], "--report and --metrics name the same file"),
    ],
)
def test_what_cannot_be_had_is_refused_before_anything_runs(
    words: list[str], expected: str, tmp_path: Path, run_mprun: RunMprun
) -> None:
    (tmp_path / "kitchen.yaml").write_text(KITCHEN)
    (tmp_path / "kitchen.py").write_text(HANDLERS)

    done = run_mprun("run", "kitchen.yaml", *words, cwd=tmp_path)

    assert 2 == done.returncode
    assert expected in done.stderr and "worker.spawned" not in done.stderr


def test_a_port_that_only_words_would_tell_needs_words(tmp_path: Path, run_mprun: RunMprun) -> None:
    (tmp_path / "ci.yaml").write_text(JOBS)

    done = run_mprun(
        "run", "ci.yaml", "--log", "json", "--metrics", "127.0.0.1:0", "--events", "e.jsonl", cwd=tmp_path
    )

    (refused,) = map(json.loads, (tmp_path / "e.jsonl").read_text().splitlines())
    assert 2 == done.returncode
    assert "which port 0 becomes is said in words" in refused["error"]


def test_whoever_lets_others_read_is_told_so(tmp_path: Path, run_mprun: RunMprun) -> None:
    (tmp_path / "ci.yaml").write_text(JOBS)

    done = run_mprun("run", "ci.yaml", "-q", "--metrics", "0.0.0.0:0", cwd=tmp_path)

    assert re.search(r"^mprun: metrics at http://0\.0\.0\.0:\d+/metrics$", done.stderr, re.MULTILINE)
    assert "whoever reaches this machine may read the metrics" in done.stderr


def test_a_file_that_vanishes_under_the_run_is_one_warning_and_no_failure(
    tmp_path: Path, run_mprun: RunMprun
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "flow.yaml").write_text('name: flow\nstages: {one: {run: "flow:one"}}\n')
    (tmp_path / "flow.py").write_text("import shutil\ndef one():\n    shutil.rmtree('out')\n")

    done = run_mprun("run", "flow.yaml", "--metrics", "out/run.prom", cwd=tmp_path)

    assert 0 == done.returncode
    warnings = [line for line in done.stderr.splitlines() if "run.prom" in line]
    assert [
        "mprun: the metrics in 'out/run.prom' are not those of the end: No such file or directory"
    ] == warnings


@pytest.mark.slow
def test_a_log_that_nobody_reads_holds_up_nobody_who_asks(
    tmp_path: Path, mprun: Path, plain_env: dict[str, str]
) -> None:
    (tmp_path / "talk.yaml").write_text(
        "name: talk\nqueues: {words: {maxsize: 10}}\nstages:\n"
        '  one: {run: "talk:one", to: words}\n  other: {run: "talk:other", from: words}\n'
    )
    (tmp_path / "talk.py").write_text(
        "import time\n\ndef one():\n    yield from range(3000)\n    time.sleep(600)\n\n"
        "def other(item, worker):\n    worker.log.info('talk ' * 20, item=item)\n"
    )
    words = [mprun, "run", "talk.yaml", "--metrics", "127.0.0.1:0"]
    run = subprocess.Popen(words, cwd=tmp_path, env=plain_env, stderr=subprocess.PIPE, text=True, bufsize=1)
    try:
        assert run.stderr is not None
        address = next(found[1] for line in run.stderr if (found := re.search(r"http://(.+)/metrics$", line)))
        until(lambda: 'done_total{stage="other",workflow="talk"} 3000.0' in ask(address)[1])
    finally:
        run.kill()
        run.communicate(timeout=PATIENCE)


def test_without_the_library_it_is_said_how_to_install_it(tmp_path: Path, run_mprun: RunMprun) -> None:
    (tmp_path / "ci.yaml").write_text(JOBS)
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as util\nfound = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'prometheus_client' else found(name, *more)\n"
    )

    done = run_mprun("run", "ci.yaml", "--metrics", "a.prom", cwd=tmp_path, env={"PYTHONPATH": str(hidden)})

    assert 2 == done.returncode
    assert "--metrics needs the package 'prometheus-client'" in done.stderr
    assert "pip install 'mprun[metrics]'" in done.stderr
