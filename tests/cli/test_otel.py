"""`mprun run --otel`: spans and metrics as a collector of OpenTelemetry gets them, and a run that is none the worse."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from otlp_collector import Collector, collecting, points

from runner.telemetry.semantic_conventions import INSTRUMENTS, SCHEMA_URL

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

KITCHEN = """\
name: kitchen
queues: {orders: {maxsize: 10}}
stages:
  taker: {run: "kitchen:take", to: orders, names: [trinity]}
  chef: {run: "kitchen:cook", from: orders, names: [neo], on_error: dead_letter, retry: {attempts: 2, backoff: 1ms}}
limits: {max_errors: 100}
"""
HANDLERS = """\
import os, signal
from pathlib import Path

def take():
    yield from range(10)

def cook(order):
    if order == 5:
        raise ValueError(order)
    if order == 7 and not Path("killed").exists():
        Path("killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if order == 9:
        Path("told").write_text(os.environ["TRACEPARENT"])
"""
JOBS = """\
name: ci
jobs:
  build: {steps: [{run: 'echo $TRACEPARENT > told'}]}
  test: {needs: build, attempts: {max: 2, backoff: 1ms}, steps: [{name: try it, run: exit 3}]}
"""
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def kitchen(tmp_path: Path) -> Path:
    (tmp_path / "kitchen.yaml").write_text(KITCHEN)
    (tmp_path / "kitchen.py").write_text(HANDLERS)
    (tmp_path / "ci.yaml").write_text(JOBS)
    return tmp_path


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


def sent(collector: Collector, **more: str) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_BSP_EXPORT_TIMEOUT": "30000",  # this machine may be busy
        **more,
    }


def named(collector: Collector, name: str) -> list[dict[str, Any]]:
    return [span for span in collector.spans() if span["name"] == name]


@pytest.mark.slow
def test_a_run_is_a_span_below_its_caller_and_workers_are_below_it(
    kitchen: Path, collector: Collector, run_mprun: RunMprun
) -> None:
    env = sent(collector, TRACEPARENT=f"00-{TRACE}-{CALLER}-01")

    done = run_mprun("run", "kitchen.yaml", "-q", "--otel", cwd=kitchen, env=env)

    (run,) = named(collector, "run kitchen")
    assert (0, TRACE, CALLER) == (done.returncode, run["trace"], run["parent"])
    assert f"00-{TRACE}-{run['span']}-01" == (kitchen / "told").read_text()
    (trinity,), neo = named(collector, "worker trinity"), named(collector, "worker neo")
    assert {run["span"]} == {each["parent"] for each in (trinity, *neo)}
    assert [(2, "killed by SIGKILL"), (0, "")] == [each["status"] for each in neo]
    assert [1, 2] == [each["attributes"]["mprun.worker.generation"] for each in neo]
    assert all(run["begin"] <= each["begin"] <= each["end"] <= run["end"] for each in collector.spans())
    assert {"OpenTelemetry" in done.stderr, "kitchen" == collector.resources()[0]["service.name"]} == {
        False,
        True,
    }


def test_each_attempt_of_an_item_that_failed_is_a_span_linked_to_the_one_before(
    kitchen: Path, collector: Collector, run_mprun: RunMprun
) -> None:
    run_mprun("run", "kitchen.yaml", "-q", "--otel", cwd=kitchen, env=sent(collector))

    first, last = named(collector, "process orders")
    assert ([], [first["span"]]) == (first["links"], last["links"])
    assert {"retry", "dead_letter"} == {each["attributes"]["mprun.action"] for each in (first, last)}
    for each in (first, last):
        assert ("5", "ValueError") == (each["attributes"]["mprun.item"], each["attributes"]["error.type"])
        assert "in cook" in each["events"]["exception"]["exception.stacktrace"]
        assert each["parent"] in {span["span"] for span in named(collector, "worker neo")}


def test_a_workflow_of_stages_is_told_as_messaging_with_the_numbers_of_its_report(
    kitchen: Path, collector: Collector, run_mprun: RunMprun
) -> None:
    run_mprun("run", "kitchen.yaml", "-q", "--otel", cwd=kitchen, env=sent(collector))

    metrics = collector.metrics()
    common = {"messaging.system": "mprun", "messaging.destination.name": "orders"}
    ((attributes, items),) = points(metrics["messaging.client.sent.messages"])
    assert ({**common, "messaging.operation.name": "send"}, 10) == (attributes, items)
    ((attributes, items),) = points(metrics["messaging.client.consumed.messages"])
    assert {
        **common,
        "messaging.operation.name": "receive",
        "messaging.consumer.group.name": "chef",
    } == attributes
    assert 12 == items  # one was tried again, one handed out again
    ((_, items),) = points(metrics["messaging.process.duration"])
    assert items >= 10
    assert {SCHEMA_URL} == collector.schemas()
    assert {"application/x-protobuf"} == collector.content_types


def test_a_workflow_of_jobs_is_told_as_a_pipeline_and_what_a_job_starts_is_below_it(
    kitchen: Path, collector: Collector, run_mprun: RunMprun
) -> None:
    done = run_mprun("run", "ci.yaml", "-q", "--otel", cwd=kitchen, env=sent(collector))

    (run,), (build,), test = (named(collector, name) for name in ("run ci", "build", "test"))
    assert (1, "", "failure") == (done.returncode, run["parent"], run["attributes"]["cicd.pipeline.result"])
    assert f"00-{run['trace']}-{build['span']}-01\n" == (kitchen / "told").read_text()
    assert {run["span"]} == {each["parent"] for each in (build, *test)}
    assert ["success", "failure", "failure"] == [
        each["attributes"]["cicd.pipeline.task.run.result"] for each in (build, *test)
    ]
    assert [each["span"] for each in test] == [each["parent"] for each in named(collector, "try it")]
    metrics = collector.metrics()
    assert [0] == [number for _, number in points(metrics["cicd.pipeline.run.active"])]
    assert [({"cicd.pipeline.name": "ci", "error.type": "failed"}, 1)] == points(
        metrics["cicd.pipeline.run.errors"]
    )
    ((attributes, runs),) = points(metrics["cicd.pipeline.run.duration"])
    assert ("failure", 1) == (attributes["cicd.pipeline.result"], runs)


def test_nothing_is_sent_but_what_the_table_has(
    kitchen: Path, collector: Collector, run_mprun: RunMprun
) -> None:
    for file in ("kitchen.yaml", "ci.yaml"):
        run_mprun("run", file, "-q", cwd=kitchen, env=sent(collector, MPRUN_OTEL="1"))

    declared = {each.name: each for each in INSTRUMENTS}
    metrics = collector.metrics()
    assert declared.keys() == metrics.keys()
    for name, metric in metrics.items():
        instrument = declared[name]
        assert (instrument.unit, instrument.help) == (metric.unit, metric.description)
        assert (instrument.kind == "histogram") == metric.HasField("histogram")
        assert (instrument.kind == "counter") == (metric.HasField("sum") and metric.sum.is_monotonic)
        for attributes, _ in points(metric):
            assert attributes.keys() <= {each.value for each in instrument.attributes}


def test_what_the_environment_says_of_service_and_exporters_is_obeyed(
    kitchen: Path, collector: Collector, run_mprun: RunMprun
) -> None:
    env = sent(
        collector,
        OTEL_SERVICE_NAME="bakery",
        OTEL_RESOURCE_ATTRIBUTES="team=night",
        OTEL_TRACES_EXPORTER="none",
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
    )

    run_mprun("run", "ci.yaml", "-q", "--otel", cwd=kitchen, env=env)

    assert [] == collector.spans() and collector.metrics()
    assert {("bakery", "night")} == {(each["service.name"], each["team"]) for each in collector.resources()}


@pytest.mark.parametrize("words", [[], ["--no-otel"]])
def test_nothing_is_sent_unless_it_is_asked_for(
    words: list[str], kitchen: Path, collector: Collector, run_mprun: RunMprun
) -> None:
    env = sent(collector, **({"MPRUN_OTEL": "1"} if words else {}))

    run_mprun("run", "ci.yaml", "-q", *words, cwd=kitchen, env=env)
    run_mprun("run", "ci.yaml", "-q", "--otel", cwd=kitchen, env={**env, "OTEL_SDK_DISABLED": "true"})

    assert [] == collector.requests


@pytest.mark.slow
@pytest.mark.parametrize("answers", [False, True], ids=["refused", "silent"])
def test_a_collector_that_cannot_be_reached_costs_one_warning_and_nothing_else(
    answers: bool, kitchen: Path, run_mprun: RunMprun
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        if not answers:
            server.close()
        done = run_mprun(
            "run", "kitchen.yaml", "-q", "--otel", cwd=kitchen, env={"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
        )

    warnings = [line for line in done.stderr.splitlines() if "OpenTelemetry" in line]
    assert 0 == done.returncode
    assert len(warnings) == 1 and warnings[0].startswith("mprun: OpenTelemetry did not get all of the run: ")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_run_that_is_killed_is_told_of_as_far_as_it_came(
    kitchen: Path, collector: Collector, mprun: Path, plain_env: dict[str, str]
) -> None:
    (kitchen / "kitchen.py").write_text(
        "import time\nfrom pathlib import Path\n\ndef take():\n    yield 1\n\n"
        "def cook(order):\n    Path('begun').touch()\n    time.sleep(60)\n"
    )
    env = {**plain_env, **sent(collector)}
    run = subprocess.Popen([mprun, "run", "kitchen.yaml", "-q", "--otel"], cwd=kitchen, env=env)
    deadline = time.monotonic() + 60
    try:
        while not (kitchen / "begun").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()

    while not named(collector, "run kitchen"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (span,) = named(collector, "run kitchen")
    assert (2, "the runner was killed") == span["status"]


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "is 'grpc', and mprun speaks http/protobuf alone"),
        (
            {"OTEL_METRICS_EXPORTER": "prometheus"},
            "expected otlp or none in OTEL_METRICS_EXPORTER, got 'prometheus'",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_runs(
    env: dict[str, str], expected: str, kitchen: Path, run_mprun: RunMprun
) -> None:
    done = run_mprun("run", "ci.yaml", "--otel", cwd=kitchen, env=env)

    assert 2 == done.returncode and expected in done.stderr


def test_without_the_libraries_it_is_said_how_to_install_them(kitchen: Path, run_mprun: RunMprun) -> None:
    hidden = kitchen / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as util\nfound = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name.startswith('opentelemetry') else found(name, *more)\n"
    )

    done = run_mprun("run", "ci.yaml", "--otel", cwd=kitchen, env={"PYTHONPATH": str(hidden)})

    assert 2 == done.returncode
    assert "--otel needs the package 'opentelemetry-sdk'" in done.stderr
    assert "pip install 'mprun[otel]'" in done.stderr
