"""`mprun plan`: every worker, every queue, the order of start and stop."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import pytest

from runner.cli.plan import as_dict, as_text
from runner.plan import Plan, make_plan
from runner.spec import (
    HandlerRef,
    LockSpec,
    PipeSpec,
    QueueSpec,
    SharedSpec,
    StageSpec,
    Start,
    WorkflowSpec,
)

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
    assert as_text(baozi) == (
        "baozi: 3 stages, 4 workers, 1 queue, transport leased\n"
        "Buns.\n"
        "\n"
        "WORKER    STAGE  ROLE      RUNS         FROM     TO       DAEMON\n"
        "neo       chef   producer  baozi:steam  -        steamer  -\n"
        "包子师傅  chef   producer  baozi:steam  -        steamer  -\n"
        "eater-1   eater  consumer  baozi:eat    steamer  -        yes\n"
        "clean-1   clean  plain     baozi:clean  -        -        -\n"
        "\n"
        "QUEUE    SIZE  WRITERS        READERS\n"
        "steamer  ≤10   neo, 包子师傅  eater-1\n"
        "\n"
        "start order      eater, clean, chef\n"
        "stop order       chef, clean, eater\n"
        "clean waits for  chef\n"
    )


def test_who_takes_turns_is_told() -> None:
    wash = StageSpec("wash", HandlerRef("python", "kitchen:wash"), workers=("a", "b"), start=Start.SERIAL)
    dry = StageSpec("dry", HandlerRef("python", "kitchen:dry"), workers=("c",), lock="towel", places=(1, "x"))
    plan = make_plan(WorkflowSpec("kitchen", Path("k.yaml"), (wash, dry), locks=(LockSpec("towel"),)))

    told, shown = as_dict(plan), as_text(plan).splitlines()

    assert ["serial", "parallel"] == [stage["start"] for stage in told["stages"]]
    assert [(None, []), ("towel", [1, "x"])] == [(s["run"]["lock"], s["run"]["args"]) for s in told["stages"]]
    assert ["towel"] == told["locks"]
    assert ["wash starts  one worker after the other", "dry holds    the lock towel"] == shown[-2:]


def test_the_json_holds_all_that_the_plan_does(baozi: Plan) -> None:
    shown = json.loads(json.dumps(as_dict(baozi), default=str))

    chef = shown["stages"][2]
    assert chef["workers"] == ["neo", "包子师傅"]
    assert chef["run"]["with"] == {"buns": 3, "nested": {"at": "x"}}
    assert shown["queues"][0]["readers"] == ["eater-1"]
    assert (shown["start_order"], shown["stop_order"]) == (
        ["eater", "clean", "chef"],
        ["chef", "clean", "eater"],
    )


def test_values_of_the_environment_are_never_shown(baozi: Plan) -> None:
    assert as_dict(baozi)["stages"][2]["run"]["env"] == ["TOKEN"]
    assert "secret" not in as_text(baozi) + json.dumps(as_dict(baozi), default=str)


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

    text, told = as_text(make_plan(spec)), as_dict(make_plan(spec))

    assert [
        "door listens  on 127.0.0.1, port 8080",
        "pipe wire     joins ask and answer",
        "shared board  a dict in a process of its own",
    ] == text.splitlines()[-3:]
    assert [{"name": "board", "kind": "dict"}] == told["shared"]
    assert [{"name": "wire", "ends": ["ask", "answer"]}] == told["pipes"]
