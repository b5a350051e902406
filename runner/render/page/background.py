"""The last sections of a page: what befell the run, what it was made of, the runners that it had. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runner.events.base import LEVELS, Event
from runner.render.page.markup import Child, element
from runner.render.page.model import RunPage
from runner.render.page.sections import local_time
from runner.render.page.tables import folded, pairs, sheet, text_block
from runner.text import clip
from runner.units import rough_duration

MOST_EVENTS = 100
LONGEST_FILE = 100_000
"""Characters of a file that are shown."""
_OF_INTEREST = (
    "worker.closing",
    "run.resumed",
    "run.stopping",
    "run.finished",
    "stage.finished",
    "server.",
    "job.retried",
    "job.cancelled",
)
_SUBJECTS = ("worker", "job", "stage", "queue")
_TOLD = (
    "outcome",
    "reason",
    "error",
    "signal",
    "message",
    "count",
    "workers",
    "put",
    "done",
    "delay",
    "seconds",
)


def events_section(page: RunPage) -> Child:
    """List what befell the run and its workers: warnings, and what changed its course."""
    found = [event for event in page.state.recent if _matters(event)]
    if not found:
        return None
    rows: list[list[Child]] = [
        [rough_duration(max(event.at - page.began, 0.0)), element("code", event.kind), _story(event)]
        for event in found[-MOST_EVENTS:]
    ]
    left_out = len(found) - MOST_EVENTS
    note = element("p", f"and {left_out} before", class_="aside") if left_out > 0 else None
    return [note, sheet(["After", "Event", "What"], rows, (1,), texts=(2,))]


def _matters(event: Event) -> bool:
    return LEVELS[event.level] >= LEVELS["warning"] or event.kind.startswith(_OF_INTEREST)


def _story(event: Event) -> str:
    known = vars(event)
    subjects = [str(known[name]) for name in _SUBJECTS if known.get(name)]
    told = [f"{name} {_short(known[name])}" for name in _TOLD if known.get(name)]
    return clip(": ".join(filter(None, (" · ".join(subjects[:1]), ", ".join(told)))), 400)


def _short(value: Any) -> str:
    match value:
        case float():
            return rough_duration(value)
        case str():
            return value
        case Sequence():
            return ", ".join(map(str, value))
    return str(value)


def setup_section(page: RunPage) -> Child:
    """Show the params, the file as it was, versions, the machine."""
    facts = page.facts
    versions: Mapping[str, Any] = facts.get("versions") or {}
    known: dict[str, Child] = {
        "File": facts.get("file") or page.report.file,
        "Params": _given(facts.get("params")),
        "Overrides": _given(facts.get("overrides")),
        "Transport": page.report.transport or page.state.transport,
        "Versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "Modules": ", ".join(_names(facts.get("modules"))),
        "SHA-256 of the file": element("code", facts["sha256"]) if facts.get("sha256") else None,
    }
    return [pairs(known), *_texts(facts)]


def _given(settings: Any) -> Child:
    return element("code", shlex.join(map(str, settings))) if settings else None


def _names(modules: Any) -> list[str]:
    return list(map(str, modules if isinstance(modules, list | dict) else ()))


def _texts(facts: Mapping[str, Any]) -> Iterator[Child]:
    room = LONGEST_FILE
    texts = [("The workflow file", facts.get("text") or ""), *(facts.get("included") or {}).items()]
    for name, text in texts:
        if text and room > 0:
            yield folded(name, text_block(clip(text, room)))
            room -= len(text)


def lives_section(page: RunPage) -> Child:
    """List the runners that the run has had, where it was gone on with."""
    if len(page.lives) < 2:
        return None
    rows = [
        [
            str(life.n),
            local_time(life.began),
            local_time(life.ended),
            life.outcome or "-",
            str(life.pid or "-"),
        ]
        for life in page.lives
    ]
    note = (
        "Curves, failures and times of items are of all of them; the tables of stages and queues of the last."
    )
    return [
        sheet(["Runner", "Began", "Ended", "Outcome", "PID"], rows, (1, 2, 3)),
        element("p", note, class_="aside"),
    ]
