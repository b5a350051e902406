"""One attempt of a job with real processes: in its order, within its deadlines, and nobody left behind."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jobs_workers import attempt, is_alive, read_log, request, shell, wait_until

from runner.jobs.requests import CommandRequest, StepRequest
from runner.spec.model import JobResult

Told = list[tuple[str, dict[str, Any]]]


def results(told: Told) -> list[tuple[str, str]]:
    return [(fields["name"], fields["result"]) for what, fields in told if what == "step.finished"]


def test_steps_run_one_after_the_other_into_one_log(tmp_path: Path) -> None:
    what = request(tmp_path, shell("echo one"), shell("echo two >&2"))

    ended, told = attempt(what)

    assert (JobResult.PASSED, 0, "all 2 steps passed") == (ended.result, ended.exitcode, ended.reason)
    assert "one\ntwo\n" == read_log(what)
    assert [("echo one", "passed"), ("echo two >&2", "passed")] == results(told)


def test_a_notice_is_the_first_that_its_log_says(tmp_path: Path) -> None:
    what = request(tmp_path, shell("echo one"), notice="attempt 2 of this run")

    attempt(what)

    assert "mprun: attempt 2 of this run\none\n" == read_log(what)


def test_the_first_step_that_fails_ends_the_job_but_not_those_that_ask_for_it(tmp_path: Path) -> None:
    what = request(
        tmp_path,
        shell("exit 3"),
        shell("echo never"),
        shell("echo wakeup", condition="failure()"),
        shell("echo always", condition="always()"),
    )

    ended, told = attempt(what)

    assert (JobResult.FAILED, 3, "step 1 (exit 3) exited with code 3") == (
        ended.result,
        ended.exitcode,
        ended.reason,
    )
    assert "wakeup\nalways\n" == read_log(what)
    assert [("exit 3", "failed"), ("echo wakeup", "passed"), ("echo always", "passed")] == results(told)


def test_a_step_that_may_fail_is_allowed_to(tmp_path: Path) -> None:
    ended, told = attempt(request(tmp_path, shell("exit 3", may_fail=True), shell("true")))

    assert (JobResult.PASSED, [("exit 3", "allowed"), ("true", "passed")]) == (ended.result, results(told))


def test_a_step_that_is_killed_says_by_what(tmp_path: Path) -> None:
    ended, _ = attempt(request(tmp_path, shell("kill -9 $$")))

    assert ("it was killed by SIGKILL", "SIGKILL", None) == (ended.reason, ended.signal, ended.exitcode)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (CommandRequest(("no-such-program",)), "there is no program 'no-such-program'"),
        (CommandRequest(("true",), directory="no/such"), "there is no folder '{folder}/no/such'"),
        (CommandRequest(("/etc/passwd",)), "it could not start: '/etc/passwd': Permission denied"),
    ],
)
def test_a_program_that_can_not_be_started_fails_the_job_with_a_word(
    command: CommandRequest, expected: str, tmp_path: Path
) -> None:
    ended, _ = attempt(request(tmp_path, StepRequest("x", command)))

    assert JobResult.FAILED is ended.result
    assert expected.format(folder=tmp_path) in ended.reason


def test_clean_up_runs_after_a_failure_after_a_success_and_can_itself_fail(tmp_path: Path) -> None:
    ended, told = attempt(request(tmp_path, shell("true"), ensure=(shell("exit 4"), shell("echo still"))))

    assert (JobResult.FAILED, "step 2 (exit 4) exited with code 4") == (ended.result, ended.reason)
    assert [("true", "passed"), ("exit 4", "failed"), ("echo still", "passed")] == results(told)


def test_a_step_out_of_time_is_stopped_and_ends_the_job(tmp_path: Path) -> None:
    began = time.monotonic()

    ended, _ = attempt(request(tmp_path, shell("sleep 60", timeout=0.2), shell("echo never")))

    assert (JobResult.TIMED_OUT, "step 1 (sleep 60) took longer than its timeout, 200ms", "SIGTERM") == (
        ended.result,
        ended.reason,
        ended.signal,
    )
    assert time.monotonic() - began < 20


@pytest.mark.slow
def test_what_ignores_the_signal_is_killed_after_the_grace(tmp_path: Path) -> None:
    what = request(tmp_path, shell("trap '' TERM; echo deaf; sleep 60 & wait; sleep 60", timeout=0.3))

    ended, _ = attempt(what)

    assert (JobResult.TIMED_OUT, "SIGKILL") == (ended.result, ended.signal)


@pytest.mark.slow
def test_what_a_shell_has_started_gets_the_grace_to_finish(tmp_path: Path) -> None:
    """The shell dies at once of the signal; its child still has something to write."""
    child = "trap 'sleep 0.2; echo finished; exit' TERM; echo up; while :; do sleep 0.05; done"
    what = request(tmp_path, shell(f'sh -c "{child}"; true', timeout=0.5), grace=10.0)

    attempt(what)

    assert "finished" in read_log(what)


def test_a_job_that_is_called_off_is_stopped_and_still_cleans_up(tmp_path: Path) -> None:
    what = request(
        tmp_path,
        shell("sleep 60"),
        shell("echo never"),
        shell("echo undone", condition="cancelled()"),
        ensure=(shell("echo cleaned"),),
    )

    ended, told = attempt(what, revoke_when=lambda name: name == "step.started")

    assert JobResult.CANCELLED is ended.result
    assert "undone\ncleaned\n" in read_log(what)
    assert ("sleep 60", "cancelled") == results(told)[0]


def test_the_time_of_a_job_that_nobody_has_begun_before_runs_from_here(tmp_path: Path) -> None:
    job, _ = attempt(request(tmp_path, shell("sleep 60"), job_timeout=0.2))

    assert (JobResult.TIMED_OUT, True) == (job.result, job.for_good)
    assert job.duration >= 0.2


def test_the_time_of_the_whole_job_is_for_good_and_that_of_an_attempt_is_not(tmp_path: Path) -> None:
    deadline = time.monotonic() + 0.2

    job, _ = attempt(request(tmp_path, shell("sleep 60"), deadline=deadline, job_timeout=0.2))
    one, _ = attempt(request(tmp_path, shell("sleep 60"), attempt_timeout=0.2))

    assert (JobResult.TIMED_OUT, True, JobResult.TIMED_OUT, False) == (
        job.result,
        job.for_good,
        one.result,
        one.for_good,
    )


@pytest.mark.slow
def test_a_silent_job_is_named_and_stopped_and_one_that_prints_is_not(tmp_path: Path) -> None:
    quiet, told = attempt(request(tmp_path, shell("sleep 60"), idle_timeout=0.3))
    (tmp_path / "second").mkdir()
    chatty, _ = attempt(
        request(
            tmp_path / "second", shell("for i in 1 2 3 4 5 6; do echo $i; sleep 0.1; done"), idle_timeout=0.45
        )
    )

    assert (JobResult.TIMED_OUT, JobResult.PASSED) == (quiet.result, chatty.result)
    [seconds] = [fields["seconds"] for name, fields in told if name == "job.silent"]
    assert 0.3 <= seconds < 20


@pytest.mark.slow
def test_silence_counts_from_the_last_line_and_not_from_a_look_at_the_log(tmp_path: Path) -> None:
    job = request(tmp_path, shell("sleep 0.2; echo a; exec sleep 60"), idle_timeout=1.0)

    ended, told = attempt(job)

    [seconds] = [fields["seconds"] for name, fields in told if name == "job.silent"]
    assert 0.99 < seconds < 1.8
    assert 1.19 < ended.duration < 1.9


def test_a_job_that_made_none_of_the_files_that_it_declares_has_failed(tmp_path: Path) -> None:
    lacks = request(
        tmp_path, shell("mkdir dist; touch dist/a.whl"), files=("dist/*.whl", "dist/*.gz", "log/")
    )

    ended, _ = attempt(lacks)

    reason = "it made no file for 'dist/*.gz', 'log/', which it has under `outputs`"
    assert (JobResult.FAILED, reason) == (ended.result, ended.reason)


def test_a_job_that_made_its_files_has_passed(tmp_path: Path) -> None:
    made = request(tmp_path, shell("mkdir dist; touch dist/a.whl"), files=("dist/*.whl", "dist", "!nothing"))

    ended, _ = attempt(made)

    assert JobResult.PASSED is ended.result


def test_nobody_of_a_job_is_left_wherever_it_went(tmp_path: Path) -> None:
    what = request(
        tmp_path,
        shell("sleep 600 & echo $!"),
        shell("setsid sleep 600 & sleep 0.1; pgrep -n -f 'sleep 600'"),
        shell("setsid sh -c 'setsid sleep 601 & echo $!; sleep 602' & sleep 0.2"),
    )

    attempt(what)

    pids = [int(line) for line in read_log(what).split()]
    assert 3 == len(pids)
    wait_until(lambda: not any(map(is_alive, pids)))


def test_a_background_process_of_a_step_does_not_reach_the_next(tmp_path: Path) -> None:
    what = request(
        tmp_path, shell("sleep 600 & echo $! > pid"), shell("kill -0 $(cat pid) && echo alive || echo gone")
    )

    attempt(what)

    assert "gone\n" in read_log(what)


def test_variables_come_from_the_dotenv_file_then_the_job_then_the_step(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=file\nB=file\nC=file\n")
    step = StepRequest(
        "x", CommandRequest(("sh", "-c", 'echo "$A $B $C $MPRUN_JOB $MPRUN_ATTEMPT"'), env={"C": "step"})
    )
    what = request(tmp_path, step, env={"B": "job", "C": "job"}, dotenv=(str(tmp_path / ".env"),), attempt=3)

    attempt(what)

    assert "file job step job 3\n" == read_log(what)


def test_a_variable_that_is_the_secret_of_others_is_not_inherited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_OF_OTHERS", "s3cr3t")
    what = request(tmp_path, shell('echo "[$TOKEN_OF_OTHERS]"'), hidden=("TOKEN_OF_OTHERS",))

    attempt(what)

    assert "[]\n" == read_log(what)


def test_secrets_are_masked_in_what_is_printed_also_in_two_pieces(tmp_path: Path) -> None:
    what = request(tmp_path, shell("printf s3c; sleep 0.1; printf 'r3t\\nend\\n'"), secrets=("s3cr3t",))

    ended, _ = attempt(what)

    assert (JobResult.PASSED, "***\nend\n") == (ended.result, read_log(what))


def test_a_process_that_holds_the_pipe_of_a_job_with_secrets_does_not_hold_it_up(tmp_path: Path) -> None:
    began = time.monotonic()

    attempt(request(tmp_path, shell("setsid sleep 60 & echo x"), secrets=("s3cr3t",)))

    assert time.monotonic() - began < 20


def test_values_that_are_written_come_back_and_one_that_is_missing_fails_the_job(tmp_path: Path) -> None:
    writes = shell("echo a=1 >> $MPRUN_OUTPUT; echo b=2 >> $GITHUB_OUTPUT")

    passed, _ = attempt(request(tmp_path, writes, values=("a", "b")))
    failed, _ = attempt(request(tmp_path, writes, values=("a", "c")))

    assert {"a": "1", "b": "2"} == passed.outputs
    assert (JobResult.FAILED, "it never wrote 'c' to $MPRUN_OUTPUT") == (failed.result, failed.reason)


def test_a_script_of_another_language_comes_in_a_file(tmp_path: Path) -> None:
    command = CommandRequest(("python3", "{0}"), "import sys\nprint('here', len(sys.argv))\n")
    what = request(tmp_path, StepRequest("x", command))

    attempt(what)

    assert "here 1\n" == read_log(what)


def test_a_job_without_a_secret_that_it_needs_says_so_and_runs_nothing(tmp_path: Path) -> None:
    ended, told = attempt(request(tmp_path, shell("true"), missing=("the secret 'TOKEN' is not set",)))

    assert (JobResult.FAILED, "the secret 'TOKEN' is not set", []) == (ended.result, ended.reason, told)


def test_what_is_too_long_for_the_kernel_is_named(tmp_path: Path) -> None:
    step = shell("true")
    long = replace(step, command=replace(step.command, env={"MPRUN_VALUE_1": "é" * 100_000, "B": "b"}))

    ended, _ = attempt(request(tmp_path, long))

    assert ended.result is JobResult.FAILED
    assert "variable MPRUN_VALUE_1 (the value of a `${{ … }}`) has 200,000 bytes" in ended.reason
