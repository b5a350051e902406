"""Runs of jobs that are killed, or stopped, and go on: what ran before does not run again, and all else does."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from jobs_runs import Running, Runs
from jobs_workers import is_alive, wait_until


@pytest.fixture
def runs(tmp_path: Path, mprun: Path, plain_env: Mapping[str, str]) -> Iterator[Runs]:
    """Starts runs, and sees to it that nothing of them is left."""
    made = Runs(tmp_path, mprun, plain_env)
    yield made
    made.close()


CHAIN = """\
name: chain
jobs:
  build: {outputs: {values: [v]}, run: "echo build >> ran; echo v=7 >> $MPRUN_OUTPUT"}
  test:
    needs: build
    run: "echo $MPRUN_RUN >> marks; echo test${{ needs.build.outputs.v }} >> ran; [ -e go ] || sleep 600"
  lint: {run: "echo lint >> ran"}
  ship: {needs: [test, lint], run: "echo ship >> ran"}
"""


def ran(runs: Runs) -> list[str]:
    """What has run, each time that it did, in order of name."""
    file = runs.folder / "ran"
    return sorted(file.read_text().split()) if file.exists() else []


def recorded(runs: Runs) -> dict[str, str]:
    """The states of jobs that are in the database by now."""
    try:
        (file,) = runs.folder.glob("home/runs/*/run.db")
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            return dict(database.execute("SELECT id, state FROM job"))
    except (ValueError, sqlite3.Error):
        return {}


def ask(runs: Runs, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**runs.env, "MPRUN_HOME": str(runs.folder / "home")}
    return subprocess.run(
        [runs.mprun, *words],
        cwd=runs.folder,
        env=env,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def resume(runs: Runs, *words: str) -> Running:
    return runs.call("resume", "latest", *words)


def kept(run: Running) -> list[str]:
    return sorted(event["job"] for event in run.named("job.kept"))


def begun(run: Running) -> dict[str, int]:
    return {event["job"]: event["attempt"] for event in run.named("job.started")}


def history(runs: Runs) -> dict[str, Any]:
    (row,) = json.loads(ask(runs, "history", "--format", "json").stdout)
    told: dict[str, Any] = row
    return told


def until_in_test(runs: Runs) -> None:
    wait_until(lambda: "test7" in ran(runs))
    wait_until(lambda: {"build": "passed", "lint": "passed", "test": "running"} == recorded(runs))


@pytest.mark.slow
def test_a_run_that_was_killed_with_all_that_watched_over_it_goes_on_where_it_was(runs: Runs) -> None:
    run = runs.start(CHAIN)
    until_in_test(runs)
    first = run.wait_for("run.started")["run"]
    run.kill_all()
    (runs.folder / "go").touch()

    checked = ask(runs, "resume", "latest", "--check")
    again = resume(runs)

    assert 0 == again.finish(), again.said
    assert ["build", "lint", "ship", "test7", "test7"] == ran(runs)
    assert (["build", "lint"], {"test": 2, "ship": 1}) == (kept(again), begun(again))
    assert ("runs  test: attempt 1 was lost with the runner\n" in checked.stdout, 0) == (
        True,
        checked.returncode,
    )
    assert checked.stdout.endswith("2 jobs kept, 2 to run\n")
    assert {first} == {event["run"] for event in again.events}
    [started] = again.named("job.started", job="test")
    assert started["reason"].endswith("build passed; attempt 1 was lost with the runner")
    assert "files are as they were left" in Path(started["log"]).read_text()
    told = history(runs)
    assert (first, "done", 2, 4) == (told["id"], told["outcome"], told["incarnations"], told["done"])
    assert [] == again.left_behind() == run.left_behind()
    assert [first, f"{first}.2"] == (runs.folder / "marks").read_text().split()


KILLED_AT = ("run.started", "worker.spawned", "job.started", "step.finished", "job.finished", "service.ready")
STEPS = """\
name: steps
jobs:
  a: {run: "echo a >> ran; sleep 0.2"}
  b:
    needs: a
    services: {web: {run: "echo $$ >> pids; echo up; exec sleep 600", ready: {prints: up, every: 10ms}}}
    steps: [{run: "echo b >> ran; sleep 0.1"}, {run: "echo b2 >> ran; sleep 0.1"}]
  c: {needs: b, run: "echo c >> ran"}
"""


@pytest.mark.slow
@pytest.mark.parametrize("event", KILLED_AT)
@pytest.mark.parametrize("how", ["the runner", "all"])
def test_wherever_it_is_killed_nothing_is_left_out_and_what_had_ended_is_not_run_again(
    runs: Runs, event: str, how: str
) -> None:
    run = runs.start(STEPS)
    run.wait_for(event)
    if how == "all":
        wait_until(lambda: is_recorded(runs, 1))
    passed = {e["job"] for e in run.named("job.finished", result="passed")}
    if how == "all":
        run.kill_all()
    else:
        os.kill(run.process.pid, signal.SIGKILL)
    run.process.wait()

    again = resume(runs)

    assert again.finish() == 0, again.said
    assert {"a", "b", "c"} <= {*ran(runs)}
    counts = {job: ran(runs).count(job) for job in ("a", "b", "c")}
    assert all(0 < count <= 2 for count in counts.values())
    # Of all that was killed at once what ended in the last moment may have been told to nobody else.
    assert passed <= {*kept(again)} or how == "all"
    assert all(counts[job] == 1 for job in kept(again))
    assert [] == again.left_behind() == run.left_behind()
    assert "done" == history(runs)["outcome"]


@pytest.mark.slow
def test_a_service_starts_again_and_the_one_of_the_dead_runner_is_gone_before(runs: Runs) -> None:
    text = STEPS.replace("echo b2 >> ran", "[ -e go ] || sleep 600").replace("exec sleep", "setsid sleep")
    run = runs.start(text)
    wait_until(lambda: "b" in ran(runs))
    wait_until(lambda: recorded(runs).get("b") == "running")
    # All but the service: nobody is to clean up before the next runner does.
    run.kill_all(but="sleep")
    left = run.left_behind()
    (runs.folder / "go").touch()

    again = resume(runs)

    assert 0 == again.finish(), again.said
    assert left and not [pid for pid in left if is_alive(pid)]
    assert ["a", "b", "b", "c"] == ran(runs)
    assert 1 == len(again.named("service.ready", job="b"))
    assert 2 == len((runs.folder / "pids").read_text().split())


@pytest.mark.slow
@pytest.mark.parametrize("event", ["run.started", "job.kept", "job.started", "job.finished"])
def test_one_that_is_killed_as_it_goes_on_goes_on_once_more(runs: Runs, event: str) -> None:
    run = runs.start(CHAIN)
    until_in_test(runs)
    run.kill_all()
    (runs.folder / "go").touch()
    second = resume(runs)
    second.wait_for(event)
    os.kill(second.process.pid, signal.SIGKILL)
    second.process.wait()
    ended = {told["job"] for told in second.named("job.finished")}

    third = resume(runs)

    assert third.finish() == 0, third.said
    # By the time that somebody has seen it and kills, another job may have begun, and is begun again.
    assert ([1, 1], True) == (
        [ran(runs).count(job) for job in ("build", "lint")],
        ran(runs).count("ship") <= 2,
    )
    assert ended.isdisjoint(begun(third))
    assert {"build", "lint"} <= {*kept(third)} or "is done: nothing is left" in third.said
    assert history(runs)["incarnations"] in (2, 3)


@pytest.mark.parametrize(
    ("number", "limits", "expected"),
    [(signal.SIGINT, "", 130), (signal.SIGTERM, "", 143), (None, "limits: {timeout: 1500ms}\n", 5)],
    ids=["SIGINT", "SIGTERM", "timeout"],
)
@pytest.mark.quick("SIGINT")
def test_a_run_that_was_stopped_goes_on(
    runs: Runs, number: signal.Signals | None, limits: str, expected: int
) -> None:
    run = runs.start(limits + CHAIN)
    wait_until(lambda: "test7" in ran(runs) and "lint" in ran(runs))
    run.wait_for("job.finished", job="lint")
    if number is not None:
        os.kill(run.process.pid, number)
    assert expected == run.finish()
    (runs.folder / "go").touch()

    again = resume(runs)

    assert 0 == again.finish(), again.said
    assert ["build", "lint", "ship", "test7", "test7"] == ran(runs)
    assert (["build", "lint"], {"test": 2, "ship": 1}) == (kept(again), begun(again))
    assert f"mprun resume {run.events[0]['run']}" in run.said


@pytest.mark.slow
def test_what_has_failed_runs_again_and_what_is_done_is_left_alone(runs: Runs) -> None:
    text = CHAIN.replace("sleep 600", "exit 3")
    assert 1 == runs.start(text).finish()
    (runs.folder / "go").touch()

    again = resume(runs)
    assert 0 == again.finish(), again.said
    more = ask(runs, "resume", "latest")

    assert ["build", "lint", "ship", "test7", "test7"] == ran(runs)
    assert (0, True) == (more.returncode, "is done: nothing is left" in more.stderr)
    assert ["build", "lint", "ship", "test7", "test7"] == ran(runs)


@pytest.mark.slow
def test_an_attempt_that_was_lost_with_the_runner_does_not_count(runs: Runs) -> None:
    run = runs.start(
        "name: a\njobs:\n  a:\n    attempts: {max: 2, backoff: 0}\n"
        "    run: 'echo a >> ran; [ $(wc -l < ran) != 2 ] || sleep 600; exit 3'\n"
    )
    wait_until(lambda: ["a", "a"] == ran(runs))
    wait_until(lambda: recorded(runs) == {"a": "running"} and len(run.named("job.started")) == 2)
    os.kill(run.process.pid, signal.SIGKILL)

    again = resume(runs)

    # The first had failed, the second was lost: one is left, and it fails.
    assert 1 == again.finish()
    assert ({"a": 3}, [], ["a"] * 3) == (begun(again), again.named("job.retried"), ran(runs))
    assert 3 == len(list(runs.folder.glob("home/runs/*/jobs/0001-a*.log")))


@pytest.mark.slow
def test_an_attempt_that_was_lost_before_it_was_recorded_keeps_its_log_and_its_number(runs: Runs) -> None:
    run = runs.start(CHAIN)
    until_in_test(runs)
    run.kill_all()
    (database,) = runs.folder.glob("home/runs/*/run.db")
    with closing(sqlite3.connect(database)) as record, record:
        # As where all is killed within the fifth of a second that an event may wait.
        record.execute("DELETE FROM job WHERE id = 'test'")
    (log,) = runs.folder.glob("home/runs/*/jobs/*-test.log")
    log.write_text("the first words\n")
    (leftover := log.with_suffix(".out")).write_text("v=secret\n")
    (runs.folder / "go").touch()

    again = resume(runs)

    assert 0 == again.finish(), again.said
    [started] = again.named("job.started", job="test")
    assert (2, True) == (started["attempt"], started["log"].endswith("-test.2.log"))
    assert started["reason"].endswith("attempt 1 was lost with the runner")
    assert ("the first words\n", False) == (log.read_text(), leftover.exists())


def killed_in_test(runs: Runs, text: str = CHAIN) -> None:
    run = runs.start(text)
    until_in_test(runs)
    run.kill_all()
    (runs.folder / "go").touch()


@pytest.mark.slow
def test_jobs_that_were_begun_as_others_are_refused_and_run_anew_where_that_is_ok(runs: Runs) -> None:
    killed_in_test(runs)
    file = runs.folder / "jobs.yaml"
    file.write_text(CHAIN.replace("echo build", "echo rebuilt"))

    checked, refused = ask(runs, "resume", "latest", "--check"), ask(runs, "resume", "latest")
    again = resume(runs, "--changed", "ok")

    assert (6, 6) == (checked.returncode, refused.returncode)
    assert "were begun have changed in 'jobs.yaml' since; `mprun resume " in refused.stderr
    assert "build: steps changed" in refused.stderr
    assert "runs  build: steps changed\nkept  lint: " in checked.stdout
    assert 0 == again.finish(), again.said
    assert ["build", "lint", "rebuilt", "ship", "test7", "test7"] == ran(runs)
    assert ({"build": 2, "test": 2, "ship": 1}, ["lint"]) == (begun(again), kept(again))
    assert "rebuilt" in ask(runs, "show", "latest", "--file").stdout


@pytest.mark.slow
def test_what_had_not_begun_runs_as_it_is_now_and_new_jobs_with_it(runs: Runs) -> None:
    killed_in_test(runs)
    more = CHAIN.replace("echo ship", "echo shipped") + '  tell: {needs: ship, run: "echo told >> ran"}\n'
    (runs.folder / "jobs.yaml").write_text(more)

    again = resume(runs)

    assert 0 == again.finish(), again.said
    assert ["build", "lint", "shipped", "test7", "test7", "told"] == ran(runs)


@pytest.mark.slow
def test_a_job_that_is_gone_from_the_file_is_a_change(runs: Runs) -> None:
    killed_in_test(runs)
    text = CHAIN.replace('  lint: {run: "echo lint >> ran"}\n', "").replace("[test, lint]", "test")
    (runs.folder / "jobs.yaml").write_text(text)

    refused = ask(runs, "resume", "latest")
    again = resume(runs, "--changed", "ok")

    assert (6, True) == (refused.returncode, "gone  lint: the file has it no more" in refused.stderr)
    assert 0 == again.finish(), again.said
    assert ["build", "lint", "ship", "test7", "test7"] == ran(runs)


@pytest.mark.slow
def test_a_run_of_some_jobs_goes_on_with_these(runs: Runs) -> None:
    run = runs.start(CHAIN, "--job", "test")
    wait_until(lambda: {"build": "passed", "test": "running"} == recorded(runs))
    run.kill_all()
    (runs.folder / "go").touch()

    again = resume(runs)

    assert 0 == again.finish(), again.said
    assert ["build", "test7", "test7"] == ran(runs)


@pytest.mark.slow
def test_a_job_with_inputs_is_looked_at_again_as_its_files_may_have_changed(runs: Runs) -> None:
    made = "build: {inputs: 'src*', outputs: {files: made, values: [v]}, run: \"cp src made; "
    (runs.folder / "src").write_text("one")
    text = CHAIN.replace('build: {outputs: {values: [v]}, run: "', made)
    killed_in_test(runs, text)
    kept_then = ask(runs, "resume", "latest", "--check").stdout
    (runs.folder / "src").write_text("two")

    again = resume(runs)

    assert "kept  build: " in kept_then
    assert 0 == again.finish(), again.said
    assert ["build", "build", "lint", "ship", "test7", "test7"] == ran(runs)
    assert "two" == (runs.folder / "made").read_text()


@pytest.mark.slow
def test_of_a_matrix_the_legs_that_had_ended_are_kept_and_hand_on_their_part(runs: Runs) -> None:
    run = runs.start(
        "name: m\njobs:\n"
        "  t:\n    strategy: {matrix: {n: [1, 2, 3]}}\n    outputs: {values: [v]}\n"
        "    run: 'echo ${{ matrix.n }} >> ran; [ ${{ matrix.n }} = 1 ] || [ -e go ] || sleep 600;"
        " echo v=${{ matrix.n }} >> $MPRUN_OUTPUT'\n"
        "  sum: {needs: t, run: 'echo ${{ needs.t.outputs.v }} > sum'}\n",
        "--jobs",
        "2",
    )
    wait_until(lambda: recorded(runs) == {"t (1)": "passed", "t (2)": "running", "t (3)": "running"})
    run.kill_all()
    (runs.folder / "go").touch()

    again = resume(runs)

    assert 0 == again.finish(), again.said
    assert (["t (1)"], {"t (2)": 2, "t (3)": 2, "sum": 1}) == (kept(again), begun(again))
    assert {"1": "1", "2": "2", "3": "3"} == json.loads((runs.folder / "sum").read_text())


@pytest.mark.slow
def test_of_two_that_go_on_with_one_run_one_is_refused(runs: Runs) -> None:
    run = runs.start(CHAIN)
    until_in_test(runs)
    while_it_lives = ask(runs, "resume", "latest")
    run.kill_all()
    first = resume(runs)
    first.wait_for("job.started", job="test")

    second = ask(runs, "resume", "latest")
    (runs.folder / "go").touch()
    stopped = ask(runs, "stop", first.events[0]["run"])

    assert (6, 6) == (while_it_lives.returncode, second.returncode)
    assert f"is under way: process {first.process.pid} runs it" in second.stderr
    assert (0, 143) == (stopped.returncode, first.finish())


@pytest.mark.slow
def test_one_whose_record_was_never_written_cannot_go_on(runs: Runs) -> None:
    run = runs.start(CHAIN)
    run.wait_for("run.started")
    until_in_test(runs)
    run.kill_all()
    for file in runs.folder.glob("home/runs/*/run.db*"):
        file.unlink()

    refused = ask(runs, "resume", "latest")

    assert (2, True) == (refused.returncode, "nothing is known of run" in refused.stderr)


JOBS = 16


def many_jobs(seed: int) -> str:
    """
    Jobs that write down each time that they have run to their end, and check what they are handed.

    Some need others, some have legs, services or inputs, some fail at first.
    """
    chance = random.Random(seed)
    lines = ["name: storm", "limits: {stop_timeout: 500ms}", "jobs:"]
    for number in range(JOBS):
        needs = sorted(chance.sample(range(number), k=min(number, chance.randrange(3))))
        legs = "strategy: {matrix: {n: [1, 2]}}, " if number % 5 == 4 else ""
        leg = "-${{ matrix.n }}" if legs else ""
        service = "services: {s: {run: exec sleep 600}}, " if number % 4 == 1 else ""
        inputs = "inputs: jobs.yaml, " if number % 6 == 2 else ""
        fails = f"[ -e f{number} ] || {{ touch f{number}; exit 1; }}; " if number % 7 == 3 else ""
        handed = "".join(
            f"test '${{{{ needs.j{need}.outputs.v }}}}' = v{need}; " for need in needs if need % 5 != 4
        )
        says = f"echo j{number}{leg} >> ran; echo v=v{number} >> $MPRUN_OUTPUT"
        run = f"{handed}{fails}sleep 0.0{chance.randrange(1, 9)}; {says}"
        before = f"needs: [{', '.join(f'j{need}' for need in needs)}]"
        keys = f"{legs}{service}{inputs}{before}, attempts: {{max: 2, backoff: 0}}"
        lines.append(f'  j{number}: {{{keys}, outputs: {{values: [v]}}, run: "{run}"}}')
    return "\n".join(lines) + "\n"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(int(os.environ.get("MPRUN_KILL_SEEDS", "3"))))
def test_a_run_that_is_killed_time_and_again_comes_to_its_end_and_runs_nothing_that_was_kept(
    runs: Runs, seed: int
) -> None:
    chance = random.Random(seed)
    lives = [runs.start(many_jobs(seed), "--jobs", "3")]
    kept_once: set[str] = set()
    for _ in range(10):
        wait_until(lambda: is_recorded(runs, len(lives)) or lives[-1].process.poll() is not None)
        time.sleep(chance.uniform(0.0, 0.5))  # the moment is what is tried
        if lives[-1].process.poll() is not None:
            break
        if everything := chance.random() < 0.5:
            lives[-1].kill_all()
        else:
            lives[-1].process.send_signal(chance.choice([signal.SIGKILL, signal.SIGINT]))
        lives[-1].finish()
        kept_once |= {*kept(lives[-1])}
        if not everything:
            kept_once |= {event["job"] for event in lives[-1].named("job.finished", result="passed")}
        lives.append(resume(runs, "--jobs", "3"))
        wait_until(lambda: lives[-1].named("run.started") or lives[-1].process.poll() is not None)
        lives[-1].before = frozenset(kept_once)
    lives[-1].finish()

    assert "done" == history(runs)["outcome"], lives[-1].said
    assert [] == [(life.events_file.name, both) for life in lives if (both := life.before & {*begun(life)})]
    counts = Counter(ran(runs))
    assert (JOBS + 3, True) == (len(counts), max(counts.values()) <= len(lives))
    assert [] == [pid for life in lives for pid in life.left_behind()]


def is_recorded(runs: Runs, lives: int) -> bool:
    """Whether so many runners of the one run there is are in its record."""
    try:
        (file,) = runs.folder.glob("home/runs/*/run.db")
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            return database.execute("SELECT count(*) FROM incarnation").fetchone() >= (lives,)
    except (ValueError, sqlite3.Error):
        return False


@pytest.mark.slow
def test_one_whose_file_says_that_nothing_is_kept_cannot_go_on(runs: Runs) -> None:
    killed_in_test(runs, f"resume: none\n{CHAIN}")

    refused = ask(runs, "resume", "latest")

    assert (6, True) == (refused.returncode, "its file says `resume: none`" in refused.stderr)
    assert history(runs)["resumable"] is None
    shown = ask(runs, "show", "latest").stdout
    assert ("mprun rerun" in shown, "mprun resume" in shown) == (True, False)


@pytest.mark.slow
def test_a_stopped_run_that_is_not_to_be_gone_on_with_names_no_way_to_do_that(runs: Runs) -> None:
    run = runs.start(f"resume: none\n{CHAIN}")
    run.wait_for("job.started", job="test")
    os.kill(run.process.pid, signal.SIGINT)

    assert 130 == run.finish()
    assert ("mprun resume" in run.said, history(runs)["resumable"]) == (False, None)


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_with_it_where_something_needs_it(runs: Runs) -> None:
    text = (
        "name: r\njobs:\n  db: {background: true, run: 'echo x >> begun; exec sleep 600'}\n"
        "  a: {needs: db, run: echo a >> done}\n"
        "  b: {needs: [db, a], run: 'test -e go || { touch using; sleep 601; }; echo b >> done'}\n"
    )
    run = runs.start(text, "--jobs", "1")
    wait_until((runs.folder / "using").exists)
    wait_until(lambda: {"db": "running", "a": "passed", "b": "running"} == recorded(runs))
    run.kill_all()
    (runs.folder / "go").touch()

    again = resume(runs)

    assert 0 == again.finish(), again.said
    assert ("a\nb\n", "x\nx\n") == tuple((runs.folder / name).read_text() for name in ("done", "begun"))
    assert {"db": "passed", "b": "passed"} == again.results
    assert 2 == again.named("job.finished", job="db")[0]["attempt"]
