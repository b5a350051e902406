"""Parts that several screens have: the heading, rows that scroll, failures in short, what happened last, keys. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.text import Text

from runner.events.base import Event
from runner.events.job_report import JobState
from runner.events.run import (
    EventsDropped,
    QueueJoined,
    RunResumed,
    RunStopping,
    ServerListening,
    StageFinished,
    StateHeld,
    WorkerClosing,
    WorkerExited,
    WorkerOutcome,
    WorkerSpawned,
    WorkerTerminating,
)
from runner.render.lines import Emphasis, format_event
from runner.render.top.drawing import ASIDE, BAD, HEADING, WAITS, clock_face, in_words, two_sides, whole
from runner.render.top.view import Surface, View
from runner.text import cells, clip, cut_middle, visible
from runner.units import counted, rough_duration
from runner.watch.eta import eta_line
from runner.watch.state import KindOfFailure, RunPhase, RunState

Keys = Sequence[tuple[str, str]]
"""Keys and what they do, the one that can be spared least first."""
_STYLES = {Emphasis.GOOD: "green", Emphasis.WARNING: WAITS, Emphasis.BAD: BAD, Emphasis.ASIDE: ASIDE}
_SETTLING = 2.0
"""Seconds in which a run is being started: that its workers are, is no news."""


def heading(state: RunState, surface: Surface, eta: str = "") -> Text:
    """Return the first line: which run, how far it is, for how long; on the right when it is done."""
    since = max(surface.now - state.told, 0.0) if state.started and not state.phase.is_over else 0.0
    words, style = _phase_words(state, clock_face(state.elapsed + since))
    name = cut_middle(visible(state.workflow or state.run), max(surface.columns - cells(words) - 2, 8))
    left = Text.assemble((name, HEADING), "  ", (words, style))
    return two_sides(left, eta, surface.columns)


def eta_words(state: RunState, previous: tuple[float, float] | None = None) -> str:
    """Say when a run is done; nothing of one that is over, of which that is known."""
    return "" if state.phase.is_over else eta_line(state.eta(), previous)


def _phase_words(state: RunState, time: str) -> tuple[str, str]:
    match state.phase:
        case RunPhase.KILLED:
            return f"killed after {time}", BAD
        case RunPhase.ENDED if state.outcome is None:
            return f"ended after {time}", BAD
        case RunPhase.ENDED:
            code = "" if not state.exit_code else f", exit code {state.exit_code}"
            return f"{state.outcome} after {time}{code}", BAD if state.exit_code else "green"
        case RunPhase.STOPPING:
            return f"stopping {time}", WAITS
    return f"{state.phase} {time}", ""


def why_it_ends(state: RunState, surface: Surface) -> list[Text]:
    """Say why a run stops, has failed, or is gone."""
    match state.phase:
        case RunPhase.STOPPING if state.stop_reason:
            return [Text(in_words(f"it stops: {state.stop_reason}", surface.columns), WAITS)]
        case RunPhase.ENDED if state.reason:
            return [Text(in_words(state.reason, surface.columns), BAD)]
        case RunPhase.KILLED:
            gone = "its runner is gone and has not said why: it was killed, or the machine went down"
            way = f"`mprun show {state.run}` tells what is known, and whether it can be gone on with"
            return [Text(in_words(gone, surface.columns), BAD), Text(in_words(way, surface.columns), ASIDE)]
    return []


def viewport(rows: Sequence[Text], chosen: int, height: int | None) -> list[Text]:
    """Return as many rows as there is room for, the chosen one among them, and how many there are above and below."""
    if height is None or len(rows) <= height:
        return list(rows)
    room = max(height - 1, 1)
    first = min(max(chosen - room // 2, 0), len(rows) - room)
    shown = list(rows[first : first + room])
    above, below = first, len(rows) - first - room
    told = [f"↑ {whole(above)} more above"] * bool(above) + [f"↓ {whole(below)} more below"] * bool(below)
    return [*shown, Text(f"  {'   '.join(told)}", ASIDE)][:height]


def chosen_place(key: str, keys: Sequence[str]) -> int:
    """Return where the chosen row is; the first where it is none of them."""
    return keys.index(key) if key in keys else 0


def failure_lines(state: RunState, surface: Surface, most: int) -> list[Text]:
    """Say what failed how often, in at most `most` lines."""
    kinds = state.failures()
    failed = sum(stage.counts["failed"] for stage in state.stages())
    if most < 1 or not (kinds or failed):
        return []
    lines = [_failed_in_all(state, failed, len(kinds))]
    shown = kinds[: max(most - 1, 0)]
    width = max([len(whole(kind.kind.n)) for kind in shown], default=0) + 2
    stage = max([cells(kind.kind.stage) for kind in shown], default=0)
    for kind in shown:
        lines.append(_kind_line(kind, surface, width, min(stage, 20)))
    return [Text(in_words(lines[0].plain, surface.columns), BAD), *lines[1:]]


def _failed_in_all(state: RunState, failed: int, kinds: int) -> Text:
    died = sum(each.kind.n for each in state.failures())
    if not failed:
        return Text(f"{counted(died, 'failure')} of {counted(kinds, 'kind')}, no item failed for good")
    received = max(
        (stage.counts["received"] for stage in state.stages() if stage.counts["failed"]), default=0
    )
    share = f" ({100 * failed / received:.1f}%)" if received else ""
    of = f", {counted(kinds, 'kind')} of failure" if kinds else ""
    return Text(f"{counted(failed, 'item')} failed for good{share}{of}")


def _kind_line(kind: KindOfFailure, surface: Surface, width: int, stage: int) -> Text:
    ago = ago_words(surface.now - kind.kind.last)
    name = cut_middle(visible(kind.kind.stage), max(stage, 1)) if stage else ""
    left = f"{whole(kind.kind.n):>{width}}  {name}{' ' * (stage - cells(name))}  "
    room = surface.columns - cells(left) - len(ago) - 2
    if room < 12:
        return Text(f"{left}{in_words(kind_title(kind), surface.columns - cells(left))}")
    error = in_words(kind_title(kind), room)
    return Text.assemble(left, error, " " * (room + 2 - cells(error)), (ago, ASIDE))


def kind_title(kind: KindOfFailure) -> str:
    """Name a kind of failure by its first: what was raised."""
    return clip(visible(kind.kind.error.partition("\n")[0]), 200)


def ago_words(seconds: float) -> str:
    """Say how long ago something was."""
    return f"last {ago(seconds)} ago"


def ago(seconds: float) -> str:
    """Return a time that has passed, in its largest unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(int(seconds), 0)}s"


def event_lines(state: RunState, surface: Surface, most: int) -> list[Text]:
    """Say what happened last, the newest first."""
    found: list[Text] = []
    for event in reversed(state.recent):
        if len(found) >= most:
            break
        told = _told(event, state)
        if told is not None:
            at = wall_clock(event.at)
            words, style = told
            found.append(
                Text.assemble((f"{at}  ", ASIDE), (in_words(words, surface.columns - len(at) - 2), style))
            )
    return found


def wall_clock(at: float) -> str:
    """Return the time of the day."""
    return f"{datetime.fromtimestamp(at).astimezone():%H:%M:%S}"


def _told(event: Event, state: RunState) -> tuple[str, str] | None:
    """Put an event into words; None for what shows in numbers, or belongs to every start and end."""
    match event:
        case WorkerExited(outcome=WorkerOutcome.DIED):
            back = (
                f", {counted(len(event.items), 'item')} handed out again"
                if event.items and event.restarting
                else ""
            )
            again = ", restarted" if event.restarting else ""
            return f"{event.worker} died: {event.reason}{back}{again}", WAITS if event.restarting else BAD
        case WorkerSpawned(generation=1) if event.at - state.began > _SETTLING and not state.has_jobs:
            return f"{event.worker} was started", ""
        case WorkerTerminating() | WorkerClosing():
            return f"{event.worker} was asked to end: {event.reason}", ""
        case StageFinished() if not state.has_jobs:
            return f"{event.stage} has ended", ""
        case QueueJoined():
            return (
                f"queue '{event.queue}' is worked off: {whole(event.put)} put, {whole(event.done)} done",
                "",
            )
        case RunStopping():
            return f"the run stops: {event.reason}", WAITS
        case RunResumed():
            return f"runner {event.incarnation} goes on: {whole(event.done)} were done", ""
        case EventsDropped():
            return f"{counted(event.count, 'event')} did not get here: too many at once", ASIDE
        case ServerListening():
            return f"{event.stage} listens on {event.host}:{event.port}", ""
        case StateHeld():
            return f"{event.worker} holds something of items that are done: {event.what}", WAITS
    line = format_event(event) if state.has_jobs else None
    return None if line is None else (line.text, _STYLES.get(line.emphasis, ""))


def last_line(view: View, keys: Keys, surface: Surface) -> Text:
    """Return the last line: what is asked, what is typed, what was just done, or which keys there are."""
    width = surface.columns
    if view.question is not None:
        answers = "  y yes   other keys no"
        asked = in_words(view.question.text, max(width - len(answers), 0))
        return Text(f"{asked}{answers}" if width > len(answers) else "y/n", "bold yellow")
    if view.is_typing:
        return Text(in_words(f"/{view.wanted}▁   ⏎ keep   ⎋ show all", width))
    if view.said:
        return Text(in_words(view.said, width), WAITS)
    return Text(key_words(keys, width), ASIDE)


def key_words(keys: Keys, width: int) -> str:
    """Return as many keys as there is room for; those for help and for going are always among them."""
    end = "? q"
    line = ""
    for key, does in keys:
        longer = f"{line}{key} {does}  "
        if cells(longer) + len(end) > width:
            break
        line = longer
    return f"{line}{end}" if cells(line) + len(end) <= width else ""


def filled_up(lines: Sequence[Text], last: Text, surface: Surface) -> list[Text]:
    """Put the last line at the bottom of the screen; what is printed has none."""
    if not surface.has_keys:
        return list(lines)
    if surface.rows is None:
        return [*lines, last]
    body = list(lines[: surface.rows - 1])
    return [*body, *([Text("")] * (surface.rows - 1 - len(body))), last][: surface.rows]


def time_taken(seconds: float) -> str:
    """Return how long something took or takes."""
    return rough_duration(max(seconds, 0.0))


JOB_STYLES = {
    JobState.RUNNING: "",
    JobState.RETRYING: WAITS,
    JobState.PASSED: "green",
    JobState.FAILED: BAD,
    JobState.TIMED_OUT: BAD,
    JobState.ALLOWED: WAITS,
    JobState.CANCELLED: ASIDE,
    JobState.SKIPPED: ASIDE,
}
