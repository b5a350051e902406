"""The command line as a whole: which command is meant, and how whatever goes wrong becomes an exit code."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from runner.cli import main as command_line
from runner.errors import MprunInternalError, SpecError, UsageError
from runner.spec.diagnostics import LocatedDiagnostic, Span

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]
Raise = Callable[[BaseException], int]


@pytest.fixture
def main_raising(monkeypatch: pytest.MonkeyPatch) -> Raise:
    """Run `main` with a command that raises."""

    def run(error: BaseException) -> int:
        def fail(_argv: list[str]) -> int:
            raise error

        monkeypatch.setattr(command_line, "_invoke", fail)
        return command_line.main([])

    return run


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UsageError("no"), 2),
        (click.UsageError("no"), 2),
        (SpecError([LocatedDiagnostic("f", Span(1, 1), "c", "m")]), 3),
        (MprunInternalError("tables disagree"), 70),
        (KeyError("surprise"), 70),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(errno.EPIPE, "gone"), 141),
    ],
)
def test_every_error_has_its_exit_code(main_raising: Raise, error: BaseException, expected: int) -> None:
    assert main_raising(error) == expected


def test_a_bug_is_one_message_that_says_where_and_asks_to_report_it(
    main_raising: Raise, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MPRUN_DEBUG", raising=False)

    main_raising(KeyError("surprise"))

    said = capsys.readouterr().err
    assert said.startswith("mprun: internal error: KeyError: 'surprise' at cli/main.py:")
    assert "Please report it" in said
    assert "Traceback" not in said


def test_a_bug_shows_its_traceback_when_asked(
    main_raising: Raise, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPRUN_DEBUG", "1")

    main_raising(KeyError("surprise"))

    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_an_interrupt_before_the_run_is_silent(
    main_raising: Raise, capsys: pytest.CaptureFixture[str]
) -> None:
    main_raising(KeyboardInterrupt())

    assert capsys.readouterr() == ("", "")


def test_an_interrupt_while_click_is_imported_is_one_all_the_same(
    main_raising: Raise, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python keeps the modules of a package whose own import was broken off, and not their names in it."""
    monkeypatch.delattr(click, "exceptions")

    assert 130 == main_raising(KeyboardInterrupt())


def test_a_reader_that_leaves_early_ends_the_command_as_sigpipe_would(
    mprun: Path, plain_env: dict[str, str]
) -> None:
    with subprocess.Popen(
        [mprun, "schema", "event"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=plain_env
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()

    assert (process.returncode, said) == (141, b"")


def test_a_full_disk_is_said_in_words(mprun: Path, plain_env: dict[str, str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [mprun, "schema", "event"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=plain_env,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr == "mprun: standard output can't be written: No space left on device\n"


def test_a_folder_that_has_been_removed_is_said_in_words(
    tmp_path: Path, mprun: Path, plain_env: dict[str, str]
) -> None:
    (tmp_path / "w.yaml").write_text(
        "name: w\nstages: {chef: {run: {lines: {path: a}}, to: q}, eater: {run: {jsonl: {path: out.jsonl}}, from: q}}\n"
    )
    remove = 'mkdir gone && cd gone && rmdir "$PWD" && exec "$0" "$@"'

    done = subprocess.run(
        ["sh", "-c", remove, mprun, "run", tmp_path / "w.yaml"],
        cwd=tmp_path,
        env=plain_env,
        capture_output=True,
        text=True,
        check=False,
    )

    said = "mprun: the folder that mprun was started in has been removed: change to another\n"
    assert (2, "", said) == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_closed_streams_are_no_reason_to_crash(mprun: Path, plain_env: dict[str, str], closed: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$0" schema event {closed}', mprun], env=plain_env, capture_output=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")


def test_output_is_utf8_in_any_locale(run_mprun: RunMprun) -> None:
    done = run_mprun("graph", "workflows/baozi.yaml", env={"LC_ALL": "C", "PYTHONIOENCODING": "ascii"})

    assert "chef ×3" in done.stdout
