"""`mprun test`: the tests that stand in workflow files.

file ──► check ──► each test: scenario ──► execute ──► verdict ──► a line, and what is different
                                                          └── --update ──► the file, with what came
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.cli.options import FILE, examples, workflow_files
from runner.cli.output import print_message, write
from runner.errors import ExitCode, MprunError, SpecError, UsageError
from runner.facts import dataclass
from runner.text import colour_allowed, write_document

if TYPE_CHECKING:
    from runner.file_tests.verdict import Mismatch
    from runner.loader.load import Checked
    from runner.render.file_tests import ShownFile, ShownTest
    from runner.spec.file_tests.model import FileTest
    from runner.spec.model import WorkflowSpec

EXAMPLES = examples(
    "mprun test workflows/*.yaml",
    "mprun test clean.yaml -k 'drops bad rows'",
    "mprun test clean.yaml --update       write what came into the file",
    "mprun test clean.yaml --create       write a first test",
    "mprun test *.yaml --junit junit.xml  for CI",
)


@click.command(epilog=EXAMPLES)
@workflow_files
@click.option(
    "--update", is_flag=True, help="Write what came into the files where it is not what was expected."
)
@click.option(
    "--create", is_flag=True, help="Write a first test into files that have none, from what a run does."
)
@click.option("--junit", type=FILE, help="Write what became of the tests to this file as JUnit XML.")
@click.option("-k", "wanted", metavar="TEXT", help="Only tests with this in their names.")
@click.option(
    "--transport",
    type=click.Choice(["leased", "joinable", "inline"]),
    help="Run tests on this transport, but for those with kills. `inline` is quicker.",
)
def command(
    files: Sequence[Path],
    update: bool,
    create: bool,
    junit: Path | None,
    wanted: str | None,
    transport: str | None,
) -> int:
    """Run the tests that stand in workflow files, under `tests`.

    A test gives items to a stage, or to the workflow, and says what is to come out of it. Nothing of it reads or writes
    outside: a source or a sink that it does not replace is a problem.

    The exit code is 0 if all tests passed, 1 if some failed, and 3 if a file is not valid; then nothing is run.
    """
    if update and create:
        raise UsageError("--update is for tests that are there, --create for files without: give one of them")
    _check_junit(junit)
    checked = {file: _checked(file) for file in dict.fromkeys(files)}
    if any(each.spec is None for each in checked.values()):
        refused = SpecError([problem for each in checked.values() for problem in each.diagnostics])
        if junit is not None:
            _write_refusal(junit, refused)
        raise refused
    session = Session(update, create, wanted, transport)
    signal.signal(signal.SIGTERM, _end_in_order)
    try:
        for file, each in checked.items():
            session.run_file(file, each)
    finally:
        if junit is not None:
            _write_junit(junit, session.shown)
        _say(session)
    return ExitCode.FAILED if session.has_failed else ExitCode.DONE


def _end_in_order(number: int, _: object) -> None:
    """What a test has left is gone when this has passed through."""
    raise click.exceptions.Exit(ExitCode.SIGNAL + number)


def _checked(file: Path) -> Checked:
    from runner.loader.load import check

    if str(file) == "-":
        raise UsageError("the tests of a file are run beside it: name one, '-' has no place")
    return check(file)


def _check_junit(path: Path | None) -> None:
    if path is None:
        return
    try:
        if not path.exists() or path.is_file() or path.is_dir():
            path.open("ab").close()
    except OSError as error:
        raise UsageError(f"--junit: '{path}' can't be written: {error.strerror}") from error


@dataclass(slots=True)
class Session:
    """The tests of one call of the command."""

    update: bool
    create: bool
    wanted: str | None
    transport: str | None
    shown: list[ShownFile] = field(default_factory=list)
    has_failed: bool = False

    def run_file(self, file: Path, checked: Checked) -> None:
        """Run the tests of one file, and show them as they come."""
        from runner.render.file_tests import ShownFile

        assert checked.spec is not None
        write(f"{file}\n")
        began, start = time.time(), time.monotonic()
        tests = [test for test in checked.tests if self.wanted is None or self.wanted in test.name]
        note = "" if tests else self._note(file, checked)
        if note:
            write(f"  {note}\n")
        done: list[ShownTest] = []
        wrong: list[tuple[FileTest, Sequence[Mismatch]]] = []
        try:
            for shown in self._each(file, checked, tests, wrong):
                done.append(shown)
            if wrong:
                done[:] = self._write_anew(checked, wrong, done)
        finally:
            self.shown.append(ShownFile(str(file), done, began, time.monotonic() - start, note))

    def _note(self, file: Path, checked: Checked) -> str:
        """Say why there is nothing to run, and where asked for make a first test."""
        assert checked.spec is not None
        if checked.tests:
            return f"no test has '{self.wanted}' in its name"
        if checked.spec.jobs:
            return "no tests: it has jobs, and tests are for stages"
        if not self.create:
            return f"no tests; `mprun test {file} --create` writes a first one"
        from runner.file_tests.creation import create_test

        return create_test(file, checked.spec)

    def _each(
        self,
        file: Path,
        checked: Checked,
        tests: Sequence[FileTest],
        wrong: list[tuple[FileTest, Sequence[Mismatch]]],
    ) -> Iterator[ShownTest]:
        """Run each test and show it; what the file is to say instead of what it says is added to `wrong`."""
        from runner.render.file_tests import TestState, test_lines

        colour = colour_allowed(sys.stdout)
        for test in tests:
            shown, mismatches = self._run(file, checked, test)
            if self.update and mismatches and all(each.can_update for each in mismatches):
                shown = _with_update(checked, test, mismatches, shown)
                if shown.state is TestState.UPDATED:
                    wrong.append((test, mismatches))
            self.has_failed |= shown.state is TestState.FAILED
            write("".join(f"{line}\n" for line in test_lines(shown, colour=colour)))
            yield shown

    def _write_anew(
        self,
        checked: Checked,
        wrong: Sequence[tuple[FileTest, Sequence[Mismatch]]],
        done: Sequence[ShownTest],
    ) -> list[ShownTest]:
        """Write what came into the files; where one can't be written, say so, and its tests have failed after all."""
        from dataclasses import replace

        from runner.file_tests.update import update_files
        from runner.render.file_tests import TestState

        assert checked.source is not None
        try:
            for path in update_files(checked.source, wrong):
                write(f"  {path} is written anew\n")
        except MprunError as error:
            write(f"  not updated: {error}\n")
            self.has_failed = True
            return [
                replace(each, state=TestState.FAILED) if each.state is TestState.UPDATED else each
                for each in done
            ]
        return list(done)

    def _run(self, file: Path, checked: Checked, test: FileTest) -> tuple[ShownTest, Sequence[Mismatch]]:
        from runner.file_tests.execution import execute, folder_for_test
        from runner.file_tests.scenario import scenario_of
        from runner.file_tests.verdict import verdict_of
        from runner.render.file_tests import ShownMismatch, ShownTest, TestState

        assert checked.source is not None
        spec, trouble = _spec_with(file, checked, test)
        if spec is None:
            shown = [ShownMismatch(str(file), line, ()) for line in trouble]
            return ShownTest(test.name, TestState.FAILED, 0.0, shown), ()
        with folder_for_test() as folder:
            scenario = scenario_of(test, spec, folder, self.transport)
            verdict = verdict_of(scenario, execute(scenario))
        mismatches = [
            ShownMismatch(_place(checked.source, ("tests", test.name, *each.where)), each.title, each.diff)
            for each in verdict.mismatches
        ]
        state = TestState.PASSED if verdict.passed else TestState.FAILED
        observed = verdict.observed
        return ShownTest(test.name, state, observed.seconds, mismatches, observed.said), verdict.mismatches


def _with_update(
    checked: Checked, test: FileTest, mismatches: Sequence[Mismatch], shown: ShownTest
) -> ShownTest:
    """Show a failed test as updated, or say what is in the way."""
    from dataclasses import replace

    from runner.file_tests.update import why_not_updated
    from runner.render.file_tests import ShownMismatch, TestState

    assert checked.source is not None
    why = why_not_updated(checked.source, test, mismatches)
    if why is None:
        return replace(shown, state=TestState.UPDATED)
    place = _place(checked.source, ("tests", test.name))
    return replace(shown, mismatches=(*shown.mismatches, ShownMismatch(place, why, ())))


def _spec_with(file: Path, checked: Checked, test: FileTest) -> tuple[WorkflowSpec | None, list[str]]:
    """Return the workflow with the params of a test, or what is wrong with these."""
    if not test.params:
        return checked.spec, []
    from runner.loader.load import check
    from runner.spec.source.emitter import emit_flow

    params = [f"{k}={each if isinstance(each, str) else emit_flow(each)}" for k, each in test.params.items()]
    again = check(file, params=params)
    return again.spec, [f"{each.file}: {each.message}" for each in again.diagnostics]


def _place(source: Any, path: tuple[Any, ...]) -> str:
    where = source.locate(path, "key")
    return f"{where.file}:{where.span.line}:{where.span.column}"


def _write_refusal(path: Path, refused: SpecError) -> None:
    """Leave one case with an error where nothing was run, instead of what an earlier call has left."""
    from runner.cli.options import refusal
    from runner.events.run import RunRefused
    from runner.render.junit import refused as junit_refused

    event = RunRefused(exitcode=int(refused.exit_code), **refusal(refused)).stamped(time.time(), "")
    write_document(path, junit_refused(event))


def _write_junit(path: Path, files: Sequence[ShownFile]) -> None:
    from runner.render.file_tests import junit_suite
    from runner.render.junit import junit_of_suites

    write_document(path, junit_of_suites("mprun test", [junit_suite(file) for file in files]))


def _say(session: Session) -> None:
    from runner.render.file_tests import summary_line

    with suppress(OSError):
        print_message(summary_line(session.shown))
