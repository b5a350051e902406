"""One line for each thing that happens to a job, and the end of a command in words. Pure: events in, text and tone out.

job.finished {job: lint, result: failed, duration: 3.14, reason: …} ──► ✗ lint failed after 3.1s: step 2 exited with 1
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from runner.cells import visible
from runner.events import Event
from runner.units import format_duration, format_size, rough_duration

Fields = Mapping[str, Any]


class Tone(StrEnum):
    """How a line is meant. The values are the codes that colour it on a terminal."""

    PLAIN = ""
    HEADING = "1"
    GOOD = "32"
    WARNING = "33"
    BAD = "1;31"
    ASIDE = "2"


@dataclass(frozen=True, slots=True)
class Said:
    """A line for people, without a newline."""

    text: str
    tone: Tone = Tone.PLAIN


_SIGNS = {Tone.GOOD: "✓", Tone.BAD: "✗", Tone.WARNING: "!", Tone.ASIDE: "-", Tone.HEADING: "▸"}
_ENDINGS: Mapping[str, tuple[Tone, str]] = {
    "passed": (Tone.GOOD, "passed in"),
    "failed": (Tone.BAD, "failed after"),
    "timed_out": (Tone.BAD, "timed out after"),
    "allowed": (Tone.WARNING, "failed (allowed) after"),
    "cancelled": (Tone.ASIDE, "was cancelled after"),
    "skipped": (Tone.ASIDE, "was skipped after"),
}


def say(event: Event) -> Said | None:
    """Return the line that tells of an event; None for one that needs no telling."""
    tell = _TOLD.get(event.name)
    return tell(event.fields) if tell is not None else None


def heading(fields: Fields) -> str:
    """Return what stands over the output of an attempt, from the fields of `job.started`."""
    attempt = fields["attempt"]
    return visible(fields["job"]) + (f", attempt {attempt}" if attempt > 1 else "")


def ended_line(job: str, result: str, seconds: float, reason: str) -> Said:
    """Return the line on how a job ended; the reason is told where it is not simply good."""
    tone, how = _ENDINGS[result]
    said = f"{visible(job)} {how} {rough_duration(seconds)}"
    return _signed(tone, said if tone is Tone.GOOD else f"{said}: {visible(reason)}")


def left_out(job: str, amount: int, log: str) -> Said | None:
    """Return the line that owns up to `amount` bytes of a job's output that are not shown; None for nothing."""
    if not amount:
        return None
    return _signed(
        Tone.WARNING, f"{visible(job)}: {format_size(amount)} more are not shown, and are in {log}"
    )


def in_words(exitcode: int | None, killed_by: str | None) -> str:
    """Say how a command ended: its exit code, with what shells and systems mean by it."""
    if killed_by is not None:
        return f"ended by {killed_by}{_MEANING_OF_SIGNALS.get(killed_by, '')}"
    if exitcode is None:
        return "never ran"
    return f"exited with {exitcode}{_meaning(exitcode)}"


def _meaning(exitcode: int) -> str:
    if 128 < exitcode < 128 + signal.NSIG:
        try:
            name = signal.Signals(exitcode - 128).name
        except ValueError:  # one of the real-time signals that have no name
            return ""
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


def _signed(tone: Tone, text: str) -> Said:
    return Said(f"{_SIGNS[tone]} {text}", tone)


def _finished(fields: Fields) -> Said:
    return ended_line(fields["job"], fields["result"], fields["duration"], fields["reason"])


def _skipped(fields: Fields) -> Said:
    return _signed(Tone.ASIDE, f"{visible(fields['job'])} was skipped: {visible(fields['reason'])}")


def _cancelled(fields: Fields) -> Said:
    return _signed(Tone.ASIDE, f"{visible(fields['job'])} was cancelled: {visible(fields['reason'])}")


def _retried(fields: Fields) -> Said:
    return _signed(Tone.WARNING, f"{visible(fields['job'])}: {visible(fields['reason'])}")


def _silent(fields: Fields) -> Said:
    lasted = format_duration(round(fields["seconds"], 1))
    return _signed(Tone.WARNING, f"{visible(fields['job'])} has printed nothing for {lasted}")


def _stopping(fields: Fields) -> Said:
    return _signed(Tone.WARNING, f"stopping: {visible(fields['reason'])}")


def _dropped(fields: Fields) -> Said:
    return _signed(Tone.WARNING, f"{fields['count']} events are not shown: this output is read too slowly")


_TOLD: Mapping[str, Callable[[Fields], Said]] = {
    "job.finished": _finished,
    "job.skipped": _skipped,
    "job.cancelled": _cancelled,
    "job.retried": _retried,
    "job.silent": _silent,
    "run.stopping": _stopping,
    "events.dropped": _dropped,
}
