"""From a leg to the request that a worker gets."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from jobs_specs import job, leg

from runner.jobs.graph import StartLeg
from runner.jobs.plan import plan_jobs
from runner.jobs.requests import JobRequest, RequestBuilder, Secrets, attempts_beside
from runner.spec.expressions.evaluate import NeedContext
from runner.spec.jobs.commands import SHELLS, CommandSpec, ReadySpec, ServiceSpec, StepSpec
from runner.spec.jobs.model import JobSpec, LegSpec
from runner.spec.model import WorkflowSpec

NASTY = 'x\'; rm -rf / "$HOME"'
NEEDS = {"build": NeedContext(result="passed", outputs={"version": NASTY, "wheel": {"3.11": "a.whl"}})}


def placed(one: LegSpec, secrets: dict[str, str] | None = None, attempt: int = 1) -> JobRequest:
    plan = plan_jobs(WorkflowSpec("w", Path("/project/w.yaml"), (), jobs=(JobSpec("a", (one,)),)), 1)
    builder = RequestBuilder(plan, Secrets(secrets or {}), Path("/logs"), Path("/home"))
    return builder.build_request(7, StartLeg(one, attempt, "why"), NEEDS)


def with_step(run: Any, **command: Any) -> LegSpec:
    return LegSpec("a", "a", (StepSpec("s", CommandSpec(run, **command)),))


@pytest.mark.parametrize(
    ("shell", "expected"),
    [
        ("sh", ("sh", "-ec", "echo hi")),
        ("bash", ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", "echo hi")),
    ],
)
def test_a_text_is_for_its_shell(shell: str, expected: tuple[str, ...]) -> None:
    assert expected == placed(with_step("echo hi", shell=SHELLS[shell])).steps[0].command.argv


def test_a_list_is_a_program_with_its_references_filled() -> None:
    command = placed(with_step(("echo", "<${{ needs.build.outputs.version }}>"))).steps[0].command

    assert ("echo", f"<{NASTY}>") == command.argv


def test_a_value_never_becomes_part_of_a_script() -> None:
    command = placed(with_step("echo ${{ needs.build.outputs.version }}")).steps[0].command

    assert ('echo "${MPRUN_VALUE_1}"', {"MPRUN_VALUE_1": NASTY}) == (command.argv[-1], command.env)


def test_files_that_it_reads_and_makes_may_be_named_by_what_others_hand_on() -> None:
    one = LegSpec(
        "a",
        "a",
        (),
        inputs=("${{ needs.build.outputs.wheel }}",),
        outputs=("${{ needs.build.outputs.wheel }}.sig",),
    )

    request = placed(one)

    assert request.up_to_date is not None
    assert (('{"3.11": "a.whl"}.sig',), ('{"3.11": "a.whl"}',)) == (request.files, request.up_to_date.inputs)


def test_the_map_of_a_matrix_is_json() -> None:
    command = placed(with_step(("echo", "${{ needs.build.outputs.wheel }}"))).steps[0].command

    assert ("echo", '{"3.11": "a.whl"}') == command.argv


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_script_that_is_too_long_for_an_argument_comes_in_a_file(shell: str) -> None:
    text = "true\n" * 30_000

    command = placed(with_step(text, shell=SHELLS[shell])).steps[0].command

    assert (text, "{0}") == (command.script, command.argv[-1])
    assert "-c" not in command.argv
    assert any(word in ("-e", "-eo") for word in command.argv)


def test_another_language_gets_a_file() -> None:
    command = placed(with_step("print(1)", shell=("perl", "{0}"))).steps[0].command

    assert (("perl", "{0}"), "print(1)") == (command.argv, command.script)


def test_paths_start_at_the_folder_of_the_workflow() -> None:
    request = placed(leg("a", directory="../elsewhere", dotenv=("ci.env",)))

    assert ("/elsewhere", ("/project/ci.env",)) == (request.directory, request.dotenv)


def test_each_attempt_has_files_of_its_own() -> None:
    first, second = placed(leg("a")), placed(leg("a"), attempt=2)

    assert ("/logs/0001-a.log", "/logs/0001-a.out") == (first.log, first.output)
    assert ("/logs/0001-a.2.log", "/logs/0001-a.2.out") == (second.log, second.output)


def test_names_become_names_of_files_that_any_file_system_takes() -> None:
    assert "/logs/0001-生产-a-b-c.log" == placed(LegSpec("生产 (a/b, c)", "a", ())).log


def test_a_secret_is_for_the_leg_that_asks_masked_for_all_and_hidden_from_the_others() -> None:
    known = {"MINE": "s3cr3t", "OTHER": "0ther5"}

    request = placed(leg("a", secrets=("MINE", "GONE")), known)

    assert {"MINE": "s3cr3t"} == request.env
    assert (("MINE", "OTHER"), ("s3cr3t", "0ther5"), ("the secret 'GONE' is not set",)) == (
        request.hidden,
        request.secrets,
        request.missing,
    )


def test_secrets_are_those_that_jobs_ask_for_and_that_are_set() -> None:
    jobs = (job("a", secrets=("A", "B")), job("b", secrets=("C",)))

    assert Secrets({"A": "aaaa"}) == Secrets.gathered(jobs, {"A": "aaaa", "C": "", "D": "dddd"})


def test_a_secret_that_can_not_be_masked_is_for_nobody_and_hidden_from_all() -> None:
    plan = plan_jobs(WorkflowSpec("w", Path("w.yaml"), (), jobs=(job("a", secrets=("A",)),)), 1)
    secrets = Secrets.gathered(plan.jobs, {"A": "ab"})

    request = RequestBuilder(plan, secrets, Path("/logs"), Path("/home")).build_request(
        1, StartLeg(plan.jobs[0].legs[0], 1, ""), {}
    )

    assert ({}, ("A",), ()) == (request.env, request.hidden, request.secrets)
    [why] = request.missing
    assert why.startswith("the secret 'A' can't be used: it has fewer than 3 characters")


def test_services_have_logs_of_their_own() -> None:
    ready = ReadySpec(command=CommandSpec(("test", "${{ needs.build.result }}")))
    one = leg("a", services=(ServiceSpec("my db", CommandSpec("serve"), ready),))

    [service] = placed(one).services

    assert "/logs/0001-a.1-my-db.log" == service.log
    assert service.ready is not None and service.ready.command is not None
    assert ("test", "passed") == service.ready.command.argv


def test_an_order_travels_by_pickle_and_shows_itself_in_a_few_words() -> None:
    request = placed(leg("a"))

    assert request == pickle.loads(pickle.dumps(request))
    assert "<job a, attempt 1>" == repr(request)


def test_no_log_of_a_service_is_that_of_another_or_of_another_attempt() -> None:
    named = [ServiceSpec(name, CommandSpec("serve")) for name in ("2", "my db", "my-db")]
    one = leg("a", services=tuple(named))

    logs = [service.log for attempt in (1, 2) for service in placed(one, attempt=attempt).services]

    assert 6 == len({*logs, placed(one, attempt=2).log} - {placed(one, attempt=2).log})
    assert 6 == len(set(logs))


def test_the_last_attempt_that_has_left_a_log_is_known_of_each_leg(tmp_path: Path) -> None:
    jobs = (job("a"), job("t", legs=2), job("b"), job("never"))
    builder = RequestBuilder(
        plan_jobs(WorkflowSpec("w", Path("w.yaml"), (), jobs=jobs), 1), Secrets(), tmp_path, tmp_path
    )
    for name in ("0001-a.log", "0001-a.10.log", "0001-a.9.log", "0002-t-1.log", "0002-t-1.2.1-db.log"):
        (tmp_path / name).touch()
    for name in ("0003-t-2.1-7.log", "0004-b.out", "0004-other.3.log", "0099-a.log", "notes.log"):
        (tmp_path / name).touch()

    assert {"a": 10, "t (1)": 1} == builder.last_logged()


def test_where_nothing_was_logged_no_attempt_is_known() -> None:
    plan = plan_jobs(WorkflowSpec("w", Path("w.yaml"), (), jobs=(job("a"),)), 1)

    assert {} == RequestBuilder(plan, Secrets(), Path("/nowhere"), Path("/nowhere")).last_logged()


@pytest.mark.parametrize(
    ("log", "attempt", "expected"),
    [
        ("0001-a.3.log", 3, {1: "0001-a.log", 3: "0001-a.3.log", 12: "0001-a.12.log"}),
        ("0001-a.log", 1, {1: "0001-a.log", 3: "0001-a.3.log", 12: "0001-a.12.log"}),
        ("0002-a-3.11.log", 1, {1: "0002-a-3.11.log"}),
        ("of-another.log", 2, {2: "of-another.log"}),
    ],
)
def test_the_logs_of_other_attempts_are_found_beside_that_of_one(
    log: str, attempt: int, expected: dict[int, str]
) -> None:
    names = ["0001-a.log", "0001-a.3.log", "0001-a.12.log", "0001-a.2-db.log", "0001-ab.2.log"]

    assert expected == attempts_beside(log, attempt, [*names, "0002-a-3.11.log", "0003-a.5.log"])
