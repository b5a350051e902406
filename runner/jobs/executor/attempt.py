"""One attempt of a job, in its worker: from the first service to the last process of it.

    up to date? ──no──► services ready ──► steps ──► ensure ──► services stopped ──► nobody is left ──► outputs
        └─ yes: skipped                      └─ one fails, or is cut short: only steps that ask for it still run

What happens is reported as it happens; how it ended is returned.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from runner.facts import dataclass
from runner.jobs.executor.background import BackgroundStep
from runner.jobs.executor.place import JobPlace
from runner.jobs.executor.process_group import CommandExit, Interruption, ProcessGroup, kill_orphans
from runner.jobs.executor.readiness import ReadinessCheck
from runner.jobs.executor.services import Services
from runner.jobs.executor.step_files import SUMMARY, Left, StepFiles
from runner.jobs.executor.terminal_job import LentStdin
from runner.jobs.executor.wait import RELEASED, CommandWaiter, Deadline, WakeupPipe
from runner.jobs.file_hashes import hash_files
from runner.jobs.files import read_dotenv
from runner.jobs.graph import parsed
from runner.jobs.log import LogWriter
from runner.jobs.masking import Masker
from runner.jobs.outcomes import JobOutcome
from runner.jobs.requests import CommandRequest, JobMessage, JobRequest, StepRequest
from runner.jobs.up_to_date import find_files
from runner.spec.expressions.evaluate import StatusContext, evaluate
from runner.spec.expressions.values import result_text
from runner.spec.model import JobResult
from runner.units import format_duration

CLEAN_UP = 60.0
"""Seconds that a step of `ensure`, or one that runs though the job was cut short, has if it says nothing itself."""


Reporter = Callable[..., None]
"""Reports what happens to an attempt: called with the name of an event or message, and its fields by name."""


class CannotRun(Exception):
    """The job can't run as it is: a file of variables is wrong, a program is not there. The text says why."""


_NOT_SET = " is not set"
"""In the reason of a condition that asks for a name that nothing has."""


@dataclass(slots=True)
class _StepsSoFar:
    """How the steps have gone so far."""

    failed: list[str] = field(default_factory=list)
    cut: Interruption | None = None
    outcome: JobOutcome | None = None
    """The first thing that went wrong; what follows from it is not the cause."""
    steps: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """What became of those that have an id."""

    @property
    def status(self) -> StatusContext:
        stopping = (
            self.cut.reason if self.cut is not None and self.cut.result is JobResult.CANCELLED else None
        )
        return StatusContext("the steps before it passed", tuple(self.failed), (), stopping)

    def contexts(self) -> dict[str, Mapping[str, Any]]:
        """Return what `steps` and `job` are for the next step."""
        status = JobResult.PASSED if self.outcome is None else self.outcome.result
        return {"steps": self.steps, "job": {"status": result_text(status)}}

    def note(self, step: StepRequest, result: JobResult, outputs: Mapping[str, str]) -> None:
        """Keep what became of a step that others may ask for."""
        if step.id:
            outcome = JobResult.FAILED if result is JobResult.ALLOWED else result
            words = {"outcome": result_text(outcome), "conclusion": result_text(result)}
            self.steps[step.id] = {**words, "outputs": outputs}

    def fail(self, outcome: JobOutcome) -> None:
        self.failed.append(outcome.reason)
        self.outcome = self.outcome or outcome


class JobAttempt:
    """Runs one request."""

    def __init__(
        self,
        request: JobRequest,
        report: Reporter,
        wakeup: WakeupPipe,
        is_revoked: Callable[[], bool],
        is_released: Callable[[], bool] = lambda: False,
    ) -> None:
        """`is_released`: it runs in the background, and nobody needs it any more."""
        self._request = request
        self._report = report
        self._wakeup = wakeup
        self._is_revoked = is_revoked
        self._is_released = is_released
        self._began = time.monotonic()
        self._deadline = min(request.deadline, self._began + (request.job_timeout or 0.0))
        self._so_far = _StepsSoFar()
        self._steps_done = 0
        self._handed_on: Mapping[str, str] | None = None
        """The outputs, where others have got them already."""
        self.place = JobPlace(request, self._interruption, report)
        self._files = StepFiles(request.output)
        self._left = Left()

    def run(self) -> JobOutcome:
        """Run it to its end; blocks. No process of it is left, and nothing is raised but what is a bug."""
        with ExitStack() as stack:
            try:
                self._log = LogWriter(self._request.log, self._request.secrets)
                stack.callback(self._log.close)
                if self._request.notice:
                    self._log.say(self._request.notice)
                with ExitStack() as started:
                    self._run_steps(started)
            except (CannotRun, OSError) as error:
                self._fail(_in_words(error))
            kill_orphans()  # before the log is closed: an orphan may hold the other end of its pipe
            outputs = self._handed_on
            if outputs is None:
                outputs = self._outputs() if self._so_far.outcome is None else {}
            if self._so_far.outcome is None:
                self.place.save_caches(self._log.say)
        with suppress(OSError):
            self._files.keep_summary(Masker(self._request.secrets), os.environ.get(SUMMARY))
        self._files.remove()  # what is handed on may be secret, and is not left lying about
        exitcode = 0 if self._handed_on is None else None  # one that was ended has no say in it
        passed = JobOutcome(JobResult.PASSED, self._passed(), exitcode, outputs=outputs)
        return replace(self._so_far.outcome or passed, duration=self._elapsed)

    def _fail(self, reason: str) -> None:
        self._so_far.fail(JobOutcome(JobResult.FAILED, reason))

    @property
    def _elapsed(self) -> float:
        return round(time.monotonic() - self._began, 6)

    def _run_steps(self, stack: ExitStack) -> None:
        if self._request.missing:
            raise CannotRun(self._request.missing[0])
        if (hindrance := self.place.make()) is not None:
            self._cut_short(hindrance)
            return
        for note in self.place.notes:
            self._log.say(note)
        request, logs = self.place.request, [self._log]
        self._request = request
        if (cut := self.place.restore_caches(self._log.say)) is not None:
            self._cut_short(cut)
            return
        self._waiter = CommandWaiter(
            logs,
            self._wakeup,
            self._is_revoked,
            grace=request.grace,
            idle_timeout=request.idle_timeout,
            silent=lambda seconds: self._report("job.silent", seconds=seconds),
            is_released=self._is_released,
        )
        self._env = self._environment()
        services = Services(request, self._waiter, self._start, self._report, logs)
        stack.callback(services.stop)
        cut = services.start(self._deadlines())
        if cut is not None:
            self._cut_short(cut)
        for step in request.steps:
            if not (request.background and step is request.steps[-1]):
                self._run_or_skip(step)
            elif self._so_far.outcome is None:  # else it would go on for nobody
                self._run_or_skip(step, background=True)
        lost = self._waiter.lost_service()  # it may have died unseen: the last step was quicker
        if lost is not None:
            self._cut_short(lost)
        for step in request.ensure:
            self._run_or_skip(step, cleans_up=True)

    # Steps.

    def _run_or_skip(self, step: StepRequest, *, cleans_up: bool = False, background: bool = False) -> None:
        """Run a step, if its condition has it so; clean-up without one runs whatever became of the others."""
        env = {**self._env, **step.command.env} if step.condition else {}
        more = {**self._request.context.more, **self._so_far.contexts()}
        context = replace(self._request.context, status=self._so_far.status, env=env, more=more)
        directory = Path(self._request.directory)
        verdict = evaluate(
            parsed(step.condition or ("always()" if cleans_up else "")),
            context,
            lambda patterns: hash_files(directory, patterns),
        )
        if verdict.runs:
            self._run_step(
                step, uninterruptible=cleans_up or self._so_far.cut is not None, background=background
            )
            return
        self._steps_done += 1
        self._so_far.note(step, JobResult.FAILED if verdict.is_broken else JobResult.SKIPPED, {})
        if verdict.is_broken:
            broken = Interruption(JobResult.FAILED, verdict.reason)
            ended = CommandExit(None, None, broken)
            self._report_end(step, self._steps_done, broken.result, ended)
            self._cut_short(broken)
        elif step.condition and self._so_far.outcome is None:
            skipped = Interruption(JobResult.SKIPPED, verdict.reason)
            self._report_end(step, self._steps_done, skipped.result, CommandExit(None, None, skipped))
            if _NOT_SET in verdict.reason:
                # A name may be wrong: who looks for what the step should have done sees it.
                with suppress(OSError):
                    self._log.say(f"{self._called(step, self._steps_done)} was skipped: {verdict.reason}")

    def _run_step(self, step: StepRequest, *, uninterruptible: bool, background: bool) -> None:
        self._steps_done += 1
        number, began = self._steps_done, time.monotonic()
        self._report("step.started", step=number, name=step.name)
        timeout = step.timeout or (CLEAN_UP if uninterruptible else None)
        self._left = Left()
        try:
            deadlines = self._deadlines(timeout, uninterruptible=uninterruptible)
            if background:
                ended = self._background().run(step.command, self._log, deadlines)
            elif self._request.stdin_of and not uninterruptible:
                ended = self._run_interactively(step.command, number, deadlines)
            else:
                group = self._start(step.command, self._log, number)
                ended = self._waiter.wait_for(group, deadlines, uninterruptible=uninterruptible)
            ended = self._taken_from(step, number, ended)
        except (CannotRun, OSError) as error:
            reason = f"could not start: {_in_words(error)}"
            ended = CommandExit(None, None, Interruption(JobResult.FAILED, reason, of_step=True))
        result = self._judge(step, number, ended)
        self._so_far.note(step, result, self._left.values)
        self._report_end(step, number, result, ended, time.monotonic() - began)

    def _run_interactively(
        self, command: CommandRequest, number: int, deadlines: list[Deadline]
    ) -> CommandExit:
        """Run a command that reads what is typed."""
        with LentStdin(self._request.stdin_of) as stdin:
            group = self._start(command, self._log, number, stdin)
            self._waiter.relay = stdin.started()
            try:
                return self._waiter.wait_for(group, deadlines)
            finally:
                self._waiter.relay = None

    def _background(self) -> BackgroundStep:
        request = self._request
        check = None
        if request.ready is not None:
            check = ReadinessCheck(request.ready, "it", request.log, self._waiter, self._start)
        return BackgroundStep(self._waiter, self._start, check, self._announce, is_needed=request.is_needed)

    def _announce(self) -> str | None:
        """Say that a job in the background is ready; return why it is not, where it has not made what it hands on."""
        outputs = self._outputs()
        if self._so_far.outcome is not None:
            return self._so_far.outcome.reason
        self._handed_on = outputs
        self._report(JobMessage.READY, duration=self._elapsed, outputs=dict(outputs))
        return None

    def _taken_from(self, step: StepRequest, number: int, ended: CommandExit) -> CommandExit:
        """Take over what a step has left for those that follow; what can't be read of it makes the step fail."""
        self._left = left = self._files.take(number)
        self._env = left.over(self._env)
        if left.ignored:
            names = ", ".join(left.ignored)
            self._log.say(
                f"{self._called(step, number)} can't set {names} for other steps: it is left as it was"
            )
        if left.mistake and ended.is_good:
            return CommandExit(None, None, Interruption(JobResult.FAILED, left.mistake, of_step=True))
        return ended

    def _report_end(
        self, step: StepRequest, number: int, result: JobResult, ended: CommandExit, seconds: float = 0.0
    ) -> None:
        self._report(
            "step.finished",
            step=number,
            name=step.name,
            exitcode=ended.code,
            signal=ended.signal,
            duration=round(seconds, 6),
            result=str(result),
            **({"reason": ended.interruption.reason} if ended.interruption is not None else {}),
        )

    def _judge(self, step: StepRequest, number: int, ended: CommandExit) -> JobResult:
        """Say what became of a step, and what that means for the job."""
        cut = ended.interruption
        of_step = cut is None or cut.of_step
        if ended.is_good:
            return JobResult.PASSED
        if step.may_fail and of_step:
            return JobResult.ALLOWED
        reason = (
            f"{self._called(step, number)} {ended}{_disk_full(self._request.log)}" if of_step else str(ended)
        )
        self._cut_short(
            replace(cut or Interruption(JobResult.FAILED, ""), reason=reason, of_step=of_step), ended
        )
        return cut.result if cut is not None else JobResult.FAILED

    def _called(self, step: StepRequest, number: int) -> str:
        alone = len(self._request.steps) + len(self._request.ensure) == 1
        return "it" if alone else f"step {number} ({step.name})"

    def _cut_short(self, cut: Interruption, ended: CommandExit | None = None) -> None:
        """The job fails with this; where it is not the fault of one step, what comes after it is clean-up."""
        if not cut.of_step and cut.result is not JobResult.FAILED:
            self._so_far.cut = self._so_far.cut or cut
        code, signal = (ended.code, ended.signal) if ended is not None else (None, None)
        self._so_far.fail(JobOutcome(cut.result, cut.reason, code, signal, for_good=cut.for_good))

    def _deadlines(
        self, step_timeout: float | None = None, *, uninterruptible: bool = False
    ) -> list[Deadline]:
        request, now = self._request, time.monotonic()
        found = [
            _deadline(now + (step_timeout or 0.0), step_timeout, "took longer than its timeout", of_step=True)
        ]
        if not uninterruptible:
            job = "the job took longer than its timeout"
            attempt = "the attempt took longer than attempts.timeout"
            found.append(_deadline(self._deadline, request.job_timeout, job, for_good=True))
            found.append(
                _deadline(self._began + (request.attempt_timeout or 0.0), request.attempt_timeout, attempt)
            )
        return [deadline for deadline in found if deadline is not None]

    # Commands.

    def _start(
        self,
        command: CommandRequest,
        log: LogWriter,
        step: int | None = None,
        stdin: LentStdin | None = None,
    ) -> ProcessGroup:
        """Start a command, which may be that of a step. Raises CannotRun."""
        env = {**self._env, **self._files.variables(step), **command.env}
        directory = os.path.join(self._request.directory, command.directory or "")  # noqa: PTH118 - for each step
        argv = self._with_script(command)
        output = log.open_output()
        try:
            if stdin is not None:
                return stdin.start(argv, env=env, directory=directory, output=output)
            return ProcessGroup(argv, env=env, directory=directory, output=output)
        except FileNotFoundError as error:
            missing = f"folder '{directory}'" if error.filename == directory else f"program '{argv[0]}'"
            raise CannotRun(f"there is no {missing}") from None
        except NotADirectoryError:
            raise CannotRun(f"'{directory}' is not a folder") from None
        except OSError as error:
            raise CannotRun(f"'{argv[0]}': {error.strerror}{_too_long(error, argv, command.env)}") from None
        finally:
            log.close_output(output)

    def _with_script(self, command: CommandRequest) -> tuple[str, ...]:
        if command.script is None:
            return command.argv
        path = self._files.script(self._steps_done)
        path.write_text(command.script, encoding="utf-8", errors="surrogateescape")
        path.chmod(0o600)
        return tuple(word.replace("{0}", str(path)) for word in command.argv)

    def _environment(self) -> dict[str, str]:
        """What all steps share. Raises CannotRun."""
        request = self._request
        inherited = {name: value for name, value in os.environ.items() if name not in request.hidden}
        own = {
            "MPRUN_JOB": request.leg,
            "MPRUN_ATTEMPT": str(request.attempt),
        }
        return self.place.variables({**inherited, **self._from_dotenv(), **request.env, **own})

    def _from_dotenv(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for name in self._request.dotenv:
            read = read_dotenv(Path(name), name)
            for diagnostic in read.diagnostics:
                raise CannotRun(f"{diagnostic.file}:{diagnostic.span.line}: {diagnostic.message}")
            found |= read.values
        return found

    # How it ended.

    def _outputs(self) -> Mapping[str, str]:
        """Read what the steps wrote for others; what is wrong with it is a failure of the job."""
        try:
            found = self._files.outputs()
        except OSError as error:
            self._fail(_in_words(error))
            return {}
        missing = [name for name in self._request.values if name not in found.values]
        if found.mistakes:
            self._fail(str(found.mistakes[0]))
        elif missing:
            names = ", ".join(f"'{name}'" for name in missing)
            self._fail(f"it never wrote {names} to $MPRUN_OUTPUT")
        elif unmade := find_files(Path(self._request.directory), self._request.files)[1]:
            patterns = ", ".join(f"'{pattern}'" for pattern in unmade)
            self._fail(f"it made no file for {patterns}, which it has under `outputs`")
        elif why := self.place.hand_on(is_over=not self._request.background):
            self._fail(why)
        return found.values

    def _interruption(self) -> Interruption | None:
        """Say why it can't go on, before there is anything to wait for."""
        if self._is_revoked():
            return Interruption(JobResult.CANCELLED, "it was called off")
        now = time.monotonic()
        return next((each.why for each in self._deadlines() if now >= each.until), None)

    def _passed(self) -> str:
        if self._handed_on is not None:
            return RELEASED
        count = len(self._request.steps)
        return "it exited with code 0" if count == 1 else f"all {count} steps passed"


def _deadline(at: float, timeout: float | None, reason: str, **facts: bool) -> Deadline | None:
    if timeout is None:
        return None
    lasted = format_duration(timeout)
    return Deadline(at, Interruption(JobResult.TIMED_OUT, f"{reason}, {lasted}", **facts))


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"'{error.filename}': {error.strerror}" if error.filename else str(error.strerror or error)
    return str(error)


def _disk_full(log: str) -> str:
    """Say so where what a step had to say may have found no room."""
    with suppress(OSError):
        disk = os.statvfs(log)
        if disk.f_blocks and not disk.f_bavail:
            return f"; there is no space left where its log is, {os.path.dirname(log)}"  # noqa: PTH120
    return ""


def _too_long(error: OSError, argv: Sequence[str], env: Mapping[str, str]) -> str:
    """Name what is longer than the kernel takes in one argument or variable, where that was why."""
    if error.errno != errno.E2BIG:
        return ""
    texts = {f"argument {number}": word for number, word in enumerate(argv[1:], start=1)}
    texts |= {f"variable {name}": value for name, value in env.items()}
    name, text = max(texts.items(), key=lambda one: len(one[1]))
    hint = " (the value of a `${{ … }}`)" if name.startswith("variable MPRUN_VALUE") else ""
    return f": {name}{hint} has {len(text.encode('utf-8', 'surrogateescape')):,} bytes; hand such a value on in a file"
