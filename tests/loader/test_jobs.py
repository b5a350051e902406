"""From data of the right shape to JobSpecs: short forms written out, defaults applied, environments joined."""

from __future__ import annotations

from typing import Any

import pytest

from runner.jobs.matrix import Leg
from runner.loader.jobs import Expanded, LaidOut, build_jobs, step_name
from runner.spec.jobs.commands import SHELLS, CommandSpec, ReadySpec, ServiceSpec
from runner.spec.jobs.model import AttemptsSpec, ConcurrencySpec, JobSpec, LegSpec, NeedSpec


def built(data: dict[str, Any], env: dict[str, str] | None = None) -> JobSpec:
    (job,) = build_jobs(Expanded((LaidOut("a", data, ((Leg("a"), data),)),)), env or {}, {})
    return job


def leg(data: dict[str, Any], env: dict[str, str] | None = None) -> LegSpec:
    return built({"run": "x", **data}, env).legs[0]


def test_a_job_that_says_nothing_has_the_defaults() -> None:
    job = built({"run": "make"})

    (only,) = job.legs
    assert (JobSpec("a", (only,)), ["make"]) == (job, [step.name for step in only.steps])
    assert LegSpec("a", "a", only.steps, strategy=only.strategy) == only


def test_a_job_without_a_command_is_built_all_the_same() -> None:
    assert () == built({}).legs[0].steps


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("b", (NeedSpec("b"),)),
        (["b", "c"], (NeedSpec("b"), NeedSpec("c"))),
        ([{"job": "b", "optional": True}, "c"], (NeedSpec("b", optional=True), NeedSpec("c"))),
        ([{"job": "b"}], (NeedSpec("b"),)),
    ],
)
def test_needs(written: object, expected: tuple[NeedSpec, ...]) -> None:
    assert expected == built({"run": "x", "needs": written}).needs


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (3, AttemptsSpec(3)),
        ({}, AttemptsSpec()),
        (
            {"max": 2, "backoff": "50ms", "max-backoff": 2, "on": [1, 75], "timeout": "1m"},
            AttemptsSpec(2, 0.05, 2.0, (1, 75), 60.0),
        ),
    ],
)
def test_attempts(written: object, expected: AttemptsSpec) -> None:
    assert expected == leg({"attempts": written}).attempts


@pytest.mark.parametrize(
    ("written", "expected"),
    [("db", ConcurrencySpec("db")), ({"group": "db", "limit": 2, "queue": "fifo"}, ConcurrencySpec("db", 2))],
)
def test_concurrency(written: object, expected: ConcurrencySpec) -> None:
    assert expected == leg({"concurrency": written}).concurrency


@pytest.mark.parametrize(
    ("written", "files", "values"),
    [
        ("dist/*", ("dist/*",), ()),
        (["a", "b"], ("a", "b"), ()),
        ({"files": "a", "values": "v"}, ("a",), ("v",)),
        ({"values": ["v", "w"]}, (), ("v", "w")),
    ],
)
def test_outputs(written: object, files: tuple[str, ...], values: tuple[str, ...]) -> None:
    job = built({"run": "x", "outputs": written})

    assert (files, values) == (job.legs[0].outputs, job.values)


@pytest.mark.parametrize(
    ("written", "expected"), [(True, "true"), (False, "false"), ("always()", "always()")]
)
def test_conditions_are_texts(written: object, expected: str) -> None:
    data = {"if": written, "run": "x"}

    job = built({"if": written, "steps": [data]})

    assert (expected, expected) == (job.legs[0].condition, job.legs[0].steps[0].condition)


@pytest.mark.parametrize(
    ("shell", "expected"),
    [
        ("bash", SHELLS["bash"]),
        ("fish", ("fish", "{0}")),
        ("perl -w {0}", ("perl", "-w", "{0}")),
        ("x '{0} y'", ("x", "{0} y")),
    ],
)
def test_shells(shell: str, expected: tuple[str, ...]) -> None:
    assert expected == leg({"shell": shell}).steps[0].command.shell


def test_steps_services_and_clean_up_have_the_shell_of_their_job_unless_they_have_their_own() -> None:
    job = leg(
        {
            "run": "x",
            "shell": "python",
            "ensure": ["y", {"run": "z", "shell": "sh"}],
            "services": {"db": {"run": "w", "ready": {"run": "v"}}},
        }
    )

    ready = job.services[0].ready
    assert ready is not None
    assert ready.command is not None
    commands = [step.command for step in (*job.steps, *job.ensure)] + [job.services[0].command, ready.command]
    assert [SHELLS[name] for name in ("python", "python", "sh", "python", "python")] == [
        command.shell for command in commands
    ]


def test_a_service_with_all_its_keys() -> None:
    keys = {
        "run": ["db", 5],
        "env": {"A": True},
        "working-directory": "sub",
        "ready": {"port": 5, "host": "h", "prints": "up", "every": "10ms", "timeout": 3},
    }

    (service,) = leg({"services": {"db": keys}}).services

    command = CommandSpec(("db", "5"), env={"A": "true"}, directory="sub")
    assert (
        ServiceSpec("db", command, ReadySpec(port=5, host="h", prints="up", every=0.01, timeout=3.0))
        == service
    )


def test_the_environment_of_the_job_is_laid_over_that_of_the_workflow() -> None:
    assert {"A": "1", "B": "job"} == leg({"env": {"B": "job"}}, {"A": "1", "B": "workflow"}).env


def test_times_are_seconds() -> None:
    job = leg({"timeout": "1m", "idle-timeout": 2.5})

    assert (60.0, 2.5) == (job.timeout, job.idle_timeout)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("\n  make all \nmake more", "make all"),
        (("echo", "a b"), "echo 'a b'"),
        ("", ""),
        ("x" * 80, "x" * 59 + "…"),
    ],
)
def test_what_is_run_has_a_short_name(run: str | tuple[str, ...], expected: str) -> None:
    assert expected == step_name(run)
