"""The end of a run of jobs: the screen, what GitHub is told, the JUnit file, and what can't be written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from job_histories import finished, fold, one_job, run_finished, run_started, service_exited, started

from runner.cli.jobs.run import hide_secrets, show_jobs, write_junit
from runner.events.job_report import JobReport
from runner.events.report import Report
from runner.spec.jobs.model import JobSpec, LegSpec

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def plain_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "lint.log").write_text("a.py:3:4: boom\n", encoding="utf-8")
    (tmp_path / "a.py").touch()


def report_of(result: str = "failed") -> tuple[Report, JobReport]:
    ended = run_finished(int(result == "failed"), at=2.0)
    report = fold([run_started(1), *one_job("lint", 0, 1, result, reason="step 1 exited with code 1"), ended])
    assert report.jobs is not None
    return report, report.jobs


def test_the_screen_is_on_stderr_and_stdout_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    show_jobs(*report_of(), quiet=False, screen=True, output=None)

    captured = capsys.readouterr()
    assert "" == captured.out
    assert [line.rstrip() for line in captured.err.splitlines()] == [
        "✗ lint failed after 1.0s: step 1 exited with code 1",
        "  │ a.py:3:4: boom",
        "  ended:  exited with 1",
        "  log:    logs/lint.log",
        "  again:  mprun run ci.yaml --job lint",
        "job    result   took",
        "────────────────────",
        "lint   failed   1.0s",
        "failed after 2.0s: 1 failed; exit 1",
    ]


@pytest.mark.parametrize(
    ("result", "quiet", "screen", "shown"),
    [
        ("passed", False, True, True),
        ("passed", True, True, False),
        ("allowed", True, True, False),
        ("failed", True, True, True),
        ("failed", False, False, False),
    ],
)
def test_the_screen_is_for_whoever_wants_it(
    result: str, quiet: bool, screen: bool, shown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    show_jobs(*report_of(result), quiet=quiet, screen=screen, output=None)

    assert shown == bool(capsys.readouterr().err)


def test_github_gets_annotations_and_a_summary(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    Path("summary.md").write_text("of another step\n", encoding="utf-8")

    show_jobs(*report_of(), quiet=False, screen=False, output=None)

    summary = Path("summary.md").read_text(encoding="utf-8")
    assert summary.startswith("of another step\n### ci: ❌ failed\n")
    assert (
        "::error title=lint,file=a.py,line=3,col=4::step 1 exited with code 1%0Aa.py:3:4: boom\n"
        == capsys.readouterr().out
    )


def test_a_run_that_passed_has_no_annotations(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")

    show_jobs(*report_of("passed"), quiet=False, screen=False, output=None)

    assert "" == capsys.readouterr().out


def test_json_on_stdout_stays_json_on_github_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")

    show_jobs(*report_of(), quiet=False, screen=False, output="json")

    assert "" == capsys.readouterr().out


def test_a_summary_that_cannot_be_written_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "missing/summary.md")

    show_jobs(*report_of(), quiet=False, screen=False, output=None)

    assert (
        "mprun: the summary 'missing/summary.md' can't be written: No such file or directory\n"
        == capsys.readouterr().err
    )


def test_the_junit_file_is_written_whole_in_the_place_of_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.write_text("of an earlier run", encoding="utf-8")

    write_junit(*report_of(), path)

    assert ["lint"] == [case.get("name") for case in ElementTree.parse(path).iter("testcase")]
    assert ["a.py", "junit.xml", "logs"] == sorted(each.name for each in tmp_path.iterdir())


def test_a_junit_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        write_junit(*report_of(), tmp_path / "logs")

    assert ["a.py", "logs"] == sorted(each.name for each in tmp_path.iterdir())


def test_the_junit_file_may_be_a_pipe() -> None:
    reading, writing = os.pipe()

    write_junit(*report_of(), Path(f"/dev/fd/{writing}"))
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        assert "testsuites" == ElementTree.fromstring(file.read()).tag


def test_nothing_in_the_last_lines_is_a_command_for_github(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    (tmp_path / "logs" / "lint.log").write_text("::error::one\n##[error]two\n", encoding="utf-8")

    show_jobs(*report_of(), quiet=False, screen=True, output=None)

    captured = capsys.readouterr()
    assert ["  │ ::error::one", "  │ # #[error]two"] == captured.err.splitlines()[1:3]
    assert (
        "::error title=lint,file=ci.yaml,line=1::step 1 exited with code 1%0A::error::one%0A##[error]two"
        == (captured.out.rstrip())
    )


@pytest.mark.parametrize(("output", "on_stdout"), [(None, True), ("group", True), ("json", False)])
def test_secrets_are_hidden_before_anything_runs_and_no_reader_of_events_gets_them(
    output: str | None, on_stdout: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    legs = tuple(LegSpec(f"job {n}", "job", (), secrets=("TOKEN", "UNSET")) for n in range(2))

    hide_secrets([JobSpec("job", legs)], {"TOKEN": "s3cret"}, output=output)

    captured = capsys.readouterr()
    assert ("::add-mask::s3cret\n", "") == (
        (captured.out, captured.err) if on_stdout else (captured.err, captured.out)
    )


def test_places_are_told_from_the_root_of_the_repository(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "b.py").touch()
    (tmp_path / "logs" / "lint.log").write_text("/etc/hostname:1: not ours\nb.py:7: boom\n", encoding="utf-8")
    report, job_report = report_of()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))

    show_jobs(replace(report, file="part/ci.yaml"), job_report, quiet=False, screen=False, output=None)

    assert capsys.readouterr().out.startswith("::error title=lint,file=part/b.py,line=7::")


def test_the_last_lines_of_a_service_that_fell_stand_behind_those_of_the_job(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs" / "lint.log").write_text("no connection\n", encoding="utf-8")
    (tmp_path / "logs" / "lint.db.log").write_text("up\ncrashed\n", encoding="utf-8")
    history = [
        run_started(1),
        started("lint"),
        service_exited("lint"),
        finished("lint", 2, "failed"),
        run_finished(1),
    ]
    report = fold(history)
    assert report.jobs is not None

    show_jobs(report, report.jobs, quiet=False, screen=True, output=None)

    assert ["  │ no connection", "  │ db | up", "  │ db | crashed"] == capsys.readouterr().err.splitlines()[
        1:4
    ]


def test_a_job_is_found_by_the_name_that_is_shown_in_whatever_locale(
    run_mprun: RunMprun, tmp_path: Path
) -> None:
    (tmp_path / "w.yaml").write_text(
        "name: w\njobs: {蒸: {run: 'echo 包子'}, other: {run: echo}}\n", encoding="utf-8"
    )
    posix = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}

    done = run_mprun("run", "w.yaml", "--job", "蒸", cwd=tmp_path, env=posix)

    assert 0 == done.returncode, done.stderr
    assert "包子" in done.stdout and "other" not in done.stdout
