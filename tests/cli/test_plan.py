"""`mprun plan`: every worker, every queue, the order of start and stop."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from jobs_specs import job

from runner.cli.plan import plan_as_dict, plan_as_text
from runner.jobs.plan import plan_jobs
from runner.loader.load import load
from runner.spec.failures import RestartPolicy, RetryPolicy
from runner.spec.limits import Limits
from runner.spec.model import HandlerRef, StageSpec, StartMode, WorkflowSpec
from runner.spec.pace import RatePolicy
from runner.spec.plan import Plan, QueuePlan, WorkerPlan, make_plan
from runner.spec.resources import LockSpec, PipeSpec, QueueSpec, SharedSpec

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def baozi() -> Plan:
    chef = StageSpec(
        "chef",
        HandlerRef("python", "baozi:steam"),
        arguments=MappingProxyType({"buns": 3, "nested": MappingProxyType({"at": Path("x")})}),
        workers=("neo", "包子师傅"),
        sends="steamer",
        env=MappingProxyType({"TOKEN": "secret"}),
    )
    eater = StageSpec(
        "eater", HandlerRef("python", "baozi:eat"), workers=("eater-1",), receives="steamer", daemon=True
    )
    clean = StageSpec("clean", HandlerRef("python", "baozi:clean"), workers=("clean-1",), needs=("chef",))
    spec = WorkflowSpec(
        "baozi", Path("baozi.yaml"), (chef, eater, clean), (QueueSpec("steamer", 10),), description="Buns."
    )
    return make_plan(spec)


def test_the_text_is_aligned_with_wide_names(baozi: Plan) -> None:
    assert plan_as_text(baozi) == (
        "baozi: 3 stages, 4 workers, 1 queue, transport leased\n"
        "Buns.\n"
        "\n"
        "WORKER    STAGE  ROLE      RUNS         FROM     TO       DONE WHEN  RESUME  DAEMON\n"
        "neo       chef   producer  baozi:steam  -        steamer  -          not     -\n"
        "包子师傅  chef   producer  baozi:steam  -        steamer  -          not     -\n"
        "eater-1   eater  consumer  baozi:eat    steamer  -        at return  not     yes\n"
        "clean-1   clean  plain     baozi:clean  -        -        -          not     -\n"
        "\n"
        "QUEUE    SIZE  WRITERS        READERS\n"
        "steamer  ≤10   neo, 包子师傅  eater-1\n"
        "\n"
        "start order      eater, clean, chef\n"
        "stop order       chef, clean, eater\n"
        "clean waits for  chef\n"
    )


def test_who_takes_turns_is_told() -> None:
    wash = StageSpec("wash", HandlerRef("python", "kitchen:wash"), workers=("a", "b"), start=StartMode.SERIAL)
    dry = StageSpec("dry", HandlerRef("python", "kitchen:dry"), workers=("c",), lock="towel", places=(1, "x"))
    plan = make_plan(WorkflowSpec("kitchen", Path("k.yaml"), (wash, dry), locks=(LockSpec("towel"),)))

    told, shown = plan_as_dict(plan), plan_as_text(plan).splitlines()

    assert ["serial", "parallel"] == [stage["start"] for stage in told["stages"]]
    assert [(None, []), ("towel", [1, "x"])] == [(s["run"]["lock"], s["run"]["args"]) for s in told["stages"]]
    assert ["towel"] == told["locks"]
    assert ["wash starts  one worker after the other", "dry holds    the lock towel"] == shown[-2:]


def test_how_fast_a_stage_may_go_is_told() -> None:
    eater = StageSpec(
        "eater",
        HandlerRef("python", "baozi:eat"),
        workers=("eater-1",),
        receives="steamer",
        rate=RatePolicy(20, burst=5, per="item.host"),
    )
    shown = plan_as_text(make_plan(WorkflowSpec("w", Path("w.yaml"), (eater,), (QueueSpec("steamer"),))))

    assert shown.endswith("eater begins  at most 20/s, burst 5, per item.host\n")


def test_the_json_tells_who_works_where_and_in_which_order(baozi: Plan) -> None:
    shown = json.loads(json.dumps(plan_as_dict(baozi), default=str))

    chef = shown["stages"][0]
    assert chef["workers"] == ["neo", "包子师傅"]
    assert chef["run"]["with"] == {"buns": 3, "nested": {"at": "x"}}
    assert shown["queues"][0]["readers"] == ["eater-1"]
    assert (shown["start_order"], shown["stop_order"]) == (
        ["eater", "clean", "chef"],
        ["chef", "clean", "eater"],
    )


SAID_OTHERWISE = {
    Plan: {
        "path": "as `file`",
        "jobs": "of a plan with stages there are none",
        "params": "filled in; kept for jobs alone",
        "contexts": "filled in; kept for jobs alone",
        "context_sources": "for jobs alone",
        "keeps_trees": "for jobs alone",
        "env": "in that of each worker",
        "given": "what was written on the command line",
        "origin": "known once there is a run",
        "notify": "no part of what is run, and a URL may hold a secret",
    },
    StageSpec: {
        "handler": "as kind, target and options",
        **dict.fromkeys(("arguments", "places"), "as `with` and `args`"),
        **dict.fromkeys(("receives", "sends", "routes"), "as `from` and `to`"),
    },
    WorkerPlan: {
        "handler": "as kind, target and options",
        **dict.fromkeys(("arguments", "places"), "as `with` and `args`"),
        **dict.fromkeys(
            ("name", "stage", "role", "receives", "sends", "routes", "errors_to", "daemon"), "of the stage"
        ),
    },
    QueueSpec: {"declared": "whether the file has it"},
    QueuePlan: {"spec": "its fields beside the others"},
    Limits: {},
    RetryPolicy: {},
    RestartPolicy: {},
}


def test_the_json_holds_all_that_the_plan_does(baozi: Plan) -> None:
    shown = json.loads(json.dumps(plan_as_dict(baozi), default=str))
    run, stage, queue = shown["stages"][0]["run"], shown["stages"][0], shown["queues"][0]
    places: dict[Any, dict[str, Any]] = {
        Plan: shown,
        StageSpec: {**run, **stage},
        WorkerPlan: run,
        QueueSpec: queue,
        QueuePlan: queue,
        Limits: shown["limits"],
        RetryPolicy: run["retry"],
        RestartPolicy: run["restart"],
    }

    missing = {
        fact.__name__: {field.name for field in fields(fact)} - set(place) for fact, place in places.items()
    }
    assert {fact.__name__: set(reasons) for fact, reasons in SAID_OTHERWISE.items()} == missing


def test_the_ways_of_items_are_shown_and_no_environment_with_them(tmp_path: Path) -> None:
    (tmp_path / "k.py").write_text("def make():\n    yield 1\n\ndef eat(item):\n    return item\n")
    (tmp_path / "w.yaml").write_text(
        "name: w\nenv: {TOKEN: secret}\nqueues: {b: {loop: true, unique: item.id}}\nstages:\n"
        "  a: {run: 'k:make', to: b}\n"
        "  b: {run: 'k:eat', from: b, to: {b: item.x, else: c}, on_error: {to: d}}\n"
        "  c: {run: 'k:eat', from: c}\n  d: {run: 'k:eat', from: d}\n"
    )
    plan = make_plan(load(tmp_path / "w.yaml"))
    shown = plan_as_dict(plan)["stages"][1]

    assert [("b", "item.x", False), ("c", None, True)] == [tuple(each.values()) for each in shown["to"]]
    assert "d" == shown["errors_to"]
    assert "secret" not in json.dumps(plan_as_dict(plan), default=str)
    text = plan_as_text(plan)
    assert "b sends       b (item.x), c (else), d (failures)" in text
    assert "b goes round  b writes back to it" in text
    assert "b takes once  each item.id" in text


def test_values_of_the_environment_are_never_shown(baozi: Plan) -> None:
    assert plan_as_dict(baozi)["stages"][0]["run"]["env"] == ["TOKEN"]
    assert "secret" not in plan_as_text(baozi) + json.dumps(plan_as_dict(baozi), default=str)


def test_the_command_prints_every_worker_of_a_shipped_workflow(run_mprun: RunMprun) -> None:
    done = run_mprun("plan", "workflows/baozi.yaml", "--format", "json")

    shown = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert {stage["name"]: len(stage["workers"]) for stage in shown["stages"]} == {"chef": 3, "eater": 2}


def test_overrides_show_in_the_plan(run_mprun: RunMprun) -> None:
    done = run_mprun("plan", "workflows/baozi.yaml", "--set", "queues.steamer.maxsize=77")

    assert "≤77" in done.stdout


def test_a_file_with_errors_has_no_plan(run_mprun: RunMprun) -> None:
    done = run_mprun("plan", "workflows/baozi.yaml", "--set", "queues.steamer.maxsize=none")

    assert (done.returncode, done.stdout) == (3, "")
    assert "1 error in --set" in done.stderr


def test_what_handlers_share_and_where_stages_listen_is_said() -> None:
    serve = HandlerRef("serve", "serve", {"handler": "m:talk", "port": 8080})
    stages = tuple(
        StageSpec(name, HandlerRef("python", "m:f"), workers=(name,)) for name in ("ask", "answer")
    )
    spec = WorkflowSpec(
        "door",
        Path("door.yaml"),
        (*stages, StageSpec("door", serve, workers=("door-1",))),
        shared=(SharedSpec("board", "dict"),),
        pipes=(PipeSpec("wire", ("ask", "answer")),),
    )

    text, told = plan_as_text(make_plan(spec)), plan_as_dict(make_plan(spec))

    assert [
        "door listens  on 127.0.0.1, port 8080",
        "pipe wire     joins ask and answer",
        "shared board  a dict in a process of its own",
    ] == text.splitlines()[-3:]
    assert [("board", "dict")] == [(each["name"], each["kind"]) for each in told["shared"]]
    assert [{"name": "wire", "ends": ["ask", "answer"], "description": ""}] == told["pipes"]


def test_jobs_stand_in_waves_with_what_is_said_of_them_where_anything_is() -> None:
    jobs = (replace(job("a"), description="Say a."), job("b", needs="a"))
    described, bare = (
        plan_as_text(plan_jobs(WorkflowSpec("w", Path("w.yaml"), (), jobs=each), 2)).splitlines()[2:]
        for each in (jobs, (job("a"),))
    )

    assert [["WAVE", "JOB", "NEEDS", "IF", "RUNS", "DESCRIPTION"], ["1", "a", "-", "-"]] == [
        described[0].split(),
        described[1].split()[:4],
    ]
    assert described[1].endswith("Say a.")
    assert bare[0].split() == ["WAVE", "JOB", "NEEDS", "IF", "RUNS"]
