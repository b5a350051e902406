"""One attempt of a job, in its worker: from the first service to the last process of it.

    up to date? ──no──► services ready ──► steps ──► ensure ──► services stopped ──► nobody is left ──► outputs
        └─ yes: skipped                      └─ one fails, or is cut short: only steps that ask for it still run

What happens is reported as it happens; how it ended is returned.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from runner.jobs.attending import Alarm, Attendance, Bound, CutShort
from runner.jobs.conditions import Standing, decide
from runner.jobs.dag import parsed
from runner.jobs.dotenv import read_dotenv
from runner.jobs.groups import Exit, Group, end_strays
from runner.jobs.logbook import Logbook
from runner.jobs.orders import CommandOrder, Order, StepOrder
from runner.jobs.outputs import VARIABLES, read_outputs
from runner.jobs.serving import Services
from runner.jobs.trying import Ended
from runner.spec_jobs import Result
from runner.units import format_duration

CLEAN_UP = 60.0
"""Seconds that a step of `ensure`, or one that runs though the job was cut short, has if it says nothing itself."""


class Report(Protocol):
    """How an attempt tells what happens to it."""

    def __call__(self, what: str, /, **fields: Any) -> None:
        """`what` is the name of an event, whose fields these are."""


class Refused(Exception):
    """The job can't run as it is: a file of variables is wrong, a program is not there. The text says why."""


@dataclass(slots=True)
class _Course:
    """How the steps have gone so far."""

    failed: list[str] = field(default_factory=list)
    cut: CutShort | None = None
    ended: Ended | None = None
    """The first thing that went wrong."""

    @property
    def standing(self) -> Standing:
        stopping = self.cut.reason if self.cut is not None and self.cut.result is Result.CANCELLED else None
        return Standing("the steps before it passed", tuple(self.failed), (), stopping)

    def note(self, result: Result, reason: str, ended: Exit | None = None, *, for_good: bool = False) -> None:
        """Keep the first failure; what follows from it is not the cause."""
        self.failed.append(reason)
        if self.ended is None:
            code, number = (ended.code, ended.signal) if ended is not None else (None, None)
            self.ended = Ended(result, reason, code, number, for_good=for_good)


class Attempt:
    """Runs one order."""

    def __init__(self, order: Order, report: Report, alarm: Alarm, is_revoked: Callable[[], bool]) -> None:
        self._order = order
        self._report = report
        self._alarm = alarm
        self._is_revoked = is_revoked
        self._began = time.monotonic()
        self._course = _Course()
        self._steps_done = 0

    def run(self) -> Ended:
        """Run it to its end; blocks. No process of it is left, and nothing is raised but what is a bug."""
        with ExitStack() as stack:
            try:
                self._log = Logbook(self._order.log, self._order.secrets)
                stack.callback(self._log.close)
                with ExitStack() as started:
                    self._attend(started)
            except (Refused, OSError) as error:
                self._course.note(Result.FAILED, _in_words(error))
            end_strays()  # before the log is closed: a stray may hold the other end of its pipe
        outputs = self._outputs() if self._course.ended is None else {}
        with suppress(OSError):  # what is handed on may be secret, and is not left lying about
            os.unlink(self._order.output)  # noqa: PTH108 - one call for each job of thousands
        if self._course.ended is None:
            return Ended(Result.PASSED, self._passed(), 0, duration=self._elapsed, outputs=outputs)
        return replace(self._course.ended, duration=self._elapsed)

    @property
    def _elapsed(self) -> float:
        return round(time.monotonic() - self._began, 6)

    def _attend(self, stack: ExitStack) -> None:
        order = self._order
        if order.missing:
            raise Refused(f"the secret '{order.missing[0]}' is not set")
        logs = [self._log]
        self._attendance = Attendance(
            logs,
            self._alarm,
            self._is_revoked,
            grace=order.grace,
            idle_timeout=order.idle_timeout,
            silent=lambda seconds: self._report("job.silent", seconds=seconds),
        )
        self._env = self._environment()
        services = Services(order, self._attendance, self._start, self._report, logs)
        stack.callback(services.stop)
        cut = services.start(self._bounds())
        if cut is not None:
            self._cut_short(cut)
        for step in order.steps:
            self._take(step)
        for step in order.ensure:
            self._take(step, cleans_up=True)

    # Steps.

    def _take(self, step: StepOrder, *, cleans_up: bool = False) -> None:
        """Run a step, if its condition has it so; clean-up without one runs whatever became of the others."""
        context = replace(self._order.context, standing=self._course.standing)
        verdict = decide(parsed(step.condition or ("always()" if cleans_up else "")), context)
        if verdict.runs:
            self._run_step(step, steadfast=cleans_up or self._course.cut is not None)
            return
        self._steps_done += 1
        if step.condition and self._course.ended is None:
            self._tell_skipped(step, verdict.reason)

    def _tell_skipped(self, step: StepOrder, reason: str) -> None:
        self._report(
            "step.finished",
            step=self._steps_done,
            name=step.name,
            exitcode=None,
            signal=None,
            duration=0.0,
            result=str(Result.SKIPPED),
            reason=reason,
        )

    def _run_step(self, step: StepOrder, *, steadfast: bool) -> None:
        self._steps_done += 1
        number, began = self._steps_done, time.monotonic()
        self._report("step.started", step=number, name=step.name)
        timeout = step.timeout or (CLEAN_UP if steadfast else None)
        try:
            group = self._start(step.command, self._log)
            how = self._attendance.attend(
                group, self._bounds(timeout, steadfast=steadfast), steadfast=steadfast
            )
        except (Refused, OSError) as error:
            how = CutShort(Result.FAILED, f"could not start: {_in_words(error)}", of_step=True)
        result = self._judge(step, number, how)
        ended = how if isinstance(how, Exit) else how.ended
        self._report(
            "step.finished",
            step=number,
            name=step.name,
            exitcode=ended.code if ended is not None else None,
            signal=ended.signal if ended is not None else None,
            duration=round(time.monotonic() - began, 6),
            result=str(result),
            **({"reason": how.reason} if isinstance(how, CutShort) else {}),
        )

    def _judge(self, step: StepOrder, number: int, how: Exit | CutShort) -> Result:
        """Say what became of a step, and what that means for the job."""
        if isinstance(how, Exit) and how.is_good:
            return Result.PASSED
        said = str(how) if isinstance(how, Exit) else how.reason
        own = isinstance(how, Exit) or how.of_step
        if step.may_fail and own:
            return Result.ALLOWED
        reason = f"{self._called(step, number)} {said}"
        if isinstance(how, Exit):
            self._course.note(Result.FAILED, reason, how)
            return Result.FAILED
        self._cut_short(replace(how, reason=reason if own else how.reason))
        return how.result

    def _called(self, step: StepOrder, number: int) -> str:
        alone = len(self._order.steps) + len(self._order.ensure) == 1
        return "it" if alone else f"step {number} ({step.name})"

    def _cut_short(self, cut: CutShort) -> None:
        if not cut.of_step and cut.result is not Result.FAILED:
            self._course.cut = self._course.cut or cut
        self._course.note(cut.result, cut.reason, cut.ended, for_good=cut.for_good)

    def _bounds(self, step_timeout: float | None = None, *, steadfast: bool = False) -> list[Bound]:
        order, bounds = self._order, []
        if step_timeout is not None:
            why = CutShort(
                Result.TIMED_OUT,
                f"took longer than its timeout, {format_duration(step_timeout)}",
                of_step=True,
            )
            bounds.append(Bound(time.monotonic() + step_timeout, why))
        if not steadfast and order.job_timeout is not None:
            why = CutShort(
                Result.TIMED_OUT,
                f"the job took longer than its timeout, {format_duration(order.job_timeout)}",
                for_good=True,
            )
            bounds.append(Bound(order.deadline, why))
        if not steadfast and order.attempt_timeout is not None:
            lasted = format_duration(order.attempt_timeout)
            why = CutShort(Result.TIMED_OUT, f"the attempt took longer than attempts.timeout, {lasted}")
            bounds.append(Bound(self._began + order.attempt_timeout, why))
        return bounds

    # Commands.

    def _start(self, command: CommandOrder, log: Logbook) -> Group:
        """Start a command. Raises Refused."""
        directory = os.path.join(self._order.directory, command.directory or "")  # noqa: PTH118 - for each step
        argv = self._with_script(command)
        output = log.open_output()
        try:
            return Group(argv, env={**self._env, **command.env}, directory=directory, output=output)
        except FileNotFoundError as error:
            missing = f"folder '{directory}'" if error.filename == directory else f"program '{argv[0]}'"
            raise Refused(f"there is no {missing}") from None
        except NotADirectoryError:
            raise Refused(f"'{directory}' is not a folder") from None
        except OSError as error:
            raise Refused(f"'{argv[0]}': {error.strerror}") from None
        finally:
            log.shut_output(output)

    def _with_script(self, command: CommandOrder) -> tuple[str, ...]:
        if command.script is None:
            return command.argv
        path = Path(f"{self._order.output}.script{self._steps_done}")
        path.write_text(command.script, encoding="utf-8", errors="surrogateescape")
        path.chmod(0o600)
        return tuple(word.replace("{0}", str(path)) for word in command.argv)

    def _environment(self) -> dict[str, str]:
        """What all steps share. Raises Refused."""
        order = self._order
        inherited = {name: value for name, value in os.environ.items() if name not in order.hidden}
        told = {
            "MPRUN_JOB": order.leg,
            "MPRUN_ATTEMPT": str(order.attempt),
            **dict.fromkeys(VARIABLES, order.output),
        }
        return {**inherited, **self._from_dotenv(), **order.env, **told}

    def _from_dotenv(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for name in self._order.dotenv:
            read = read_dotenv(Path(name), name)
            for problem in read.problems:
                raise Refused(f"{problem.file}:{problem.span.line}: {problem.message}")
            found |= read.values
        return found

    # How it ended.

    def _outputs(self) -> Mapping[str, str]:
        """Read what the steps wrote for others; what is wrong with it is a failure of the job."""
        try:
            found = read_outputs(Path(self._order.output))
        except OSError as error:
            self._course.note(Result.FAILED, _in_words(error))
            return {}
        missing = [name for name in self._order.values if name not in found.values]
        if found.mistakes:
            self._course.note(Result.FAILED, str(found.mistakes[0]))
        elif missing:
            names = ", ".join(f"'{name}'" for name in missing)
            self._course.note(Result.FAILED, f"it never wrote {names} to $MPRUN_OUTPUT")
        return found.values

    def _passed(self) -> str:
        count = len(self._order.steps)
        return "it exited with code 0" if count == 1 else f"all {count} steps passed"


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"'{error.filename}': {error.strerror}" if error.filename else str(error.strerror or error)
    return str(error)
