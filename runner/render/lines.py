"""One line for each thing that happens to a job, and the end of a command in words. Pure: events in, lines out.

job.finished {job: lint, result: failed, duration: 3.14, reason: …} ──► ✗ lint failed after 3.1s: step 2 exited with 1
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from runner.events.base import Event
from runner.events.jobs import (
    JobCancelled,
    JobFinished,
    JobKept,
    JobReady,
    JobRetried,
    JobSilent,
    JobSkipped,
    JobStarted,
    JobWaiting,
)
from runner.events.run import EventsDropped, RunStopping
from runner.exit_status import known_signal
from runner.facts import dataclass
from runner.spec.model import JobResult
from runner.text import visible
from runner.units import format_duration, format_size, rough_duration


class Emphasis(StrEnum):
    """How a line is meant. The values are the codes that colour it on a terminal."""

    PLAIN = ""
    HEADING = "1"
    GOOD = "32"
    WARNING = "33"
    BAD = "1;31"
    ASIDE = "2"


@dataclass(frozen=True, slots=True)
class OutputLine:
    """A line for people, without a newline."""

    text: str
    emphasis: Emphasis = Emphasis.PLAIN


_MARKS = {
    Emphasis.GOOD: "✓",
    Emphasis.BAD: "✗",
    Emphasis.WARNING: "!",
    Emphasis.ASIDE: "-",
    Emphasis.HEADING: "▸",
}
UNFINISHED_RUNS: Mapping[str, str] = {
    "killed": "killed after",
    "running": "running for",
    "unknown": "of unknown outcome after",
}
"""How a run is called, before its duration, whose record has no end."""
_ENDINGS: Mapping[str, tuple[Emphasis, str]] = {
    JobResult.PASSED: (Emphasis.GOOD, "passed in"),
    JobResult.FAILED: (Emphasis.BAD, "failed after"),
    JobResult.TIMED_OUT: (Emphasis.BAD, "timed out after"),
    JobResult.ALLOWED: (Emphasis.WARNING, "failed (allowed) after"),
    JobResult.CANCELLED: (Emphasis.ASIDE, "was cancelled after"),
    JobResult.SKIPPED: (Emphasis.ASIDE, "was skipped after"),
}


def format_event(event: Event) -> OutputLine | None:
    """Return the line that tells of an event; None for one that needs no telling."""
    match event:
        case JobFinished():
            return format_end(event.job, event.result, event.duration, event.reason, attempt=event.attempt)
        case JobSkipped(job=job, reason=reason):
            return _marked(Emphasis.ASIDE, f"{visible(job)} was skipped: {visible(reason)}")
        case JobKept():
            return _marked(Emphasis.ASIDE, f"{visible(event.job)} is kept: it {_how_before(event)}")
        case JobCancelled(job=job, reason=reason):
            return _marked(Emphasis.ASIDE, f"{visible(job)} was cancelled: {visible(reason)}")
        case JobRetried(job=job, reason=reason):
            return _marked(Emphasis.WARNING, f"{visible(job)}: {visible(reason)}")
        case JobWaiting(job=job, reason=reason):
            return _marked(Emphasis.ASIDE, f"{visible(job)} {visible(reason)}")
        case JobReady(job=job, duration=duration):
            return _marked(Emphasis.GOOD, f"{visible(job)} is ready after {rough_duration(duration)}")
        case JobSilent(job=job, seconds=seconds):
            lasted = format_duration(round(seconds, 1))
            return _marked(Emphasis.WARNING, f"{visible(job)} has printed nothing for {lasted}")
        case RunStopping(reason=reason):
            return _marked(Emphasis.WARNING, f"stopping: {visible(reason)}")
        case EventsDropped(count=count):
            return _marked(Emphasis.WARNING, f"{count} events are not shown: this output is read too slowly")
    return None


def _how_before(event: JobKept) -> str:
    """Say what became of a job that is kept: that it ended well is told without the reason."""
    took = f"{_ENDINGS[event.result][1]} {rough_duration(event.duration)}" if event.attempt else "was skipped"
    before = f"{took} before" if event.from_run == event.run else f"{took} in run {event.from_run}"
    return before if event.result is JobResult.PASSED else f"{before}: {visible(event.reason)}"


def format_heading(event: JobStarted) -> str:
    """Return what stands over the output of an attempt."""
    return visible(event.job) + (f", attempt {event.attempt}" if event.attempt > 1 else "")


def format_end(job: str, result: str, seconds: float, reason: str, *, attempt: int = 1) -> OutputLine:
    """
    Return the line on how a job ended; the reason is told where it is not simply good.

    A later `attempt` than the first is named where the seconds are those of it alone.
    """
    emphasis, how = _ENDINGS[result]
    text = f"{visible(job)} {how} {rough_duration(seconds)}"
    if attempt > 1:
        text += f" in attempt {attempt}"
    return _marked(emphasis, text if emphasis is Emphasis.GOOD else f"{text}: {visible(reason)}")


def format_omitted(job: str, amount: int, log: str) -> OutputLine | None:
    """Return the line that owns up to `amount` bytes of a job's output that are not shown; None for nothing."""
    if not amount:
        return None
    return _marked(
        Emphasis.WARNING, f"{visible(job)}: {format_size(amount)} more are not shown, and are in {log}"
    )


def describe_exit(exitcode: int | None, killed_by: str | None) -> str:
    """Say how a command ended: its exit code, with what shells and systems mean by it."""
    if killed_by is not None:
        return f"ended by {killed_by}{_MEANING_OF_SIGNALS.get(killed_by, '')}"
    if exitcode is None:
        return "never ran"
    return f"exited with {exitcode}{_meaning(exitcode)}"


def _meaning(exitcode: int) -> str:
    if (name := known_signal(exitcode - 128)) is not None:
        return f": a command in it was ended by {name}{_MEANING_OF_SIGNALS.get(name, '')}"
    return {
        126: ": a command was found and could not be run",
        127: ": a command was not found",
    }.get(exitcode, "")


_MEANING_OF_SIGNALS = {
    "SIGKILL": ", which is also what the system does when memory runs out",
    "SIGSEGV": ", a crash",
    "SIGABRT": ", which it does to itself",
    "SIGPIPE": ", as whoever read its output had gone",
}


def _marked(emphasis: Emphasis, text: str) -> OutputLine:
    return OutputLine(f"{_MARKS[emphasis]} {text}", emphasis)
