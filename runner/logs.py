"""Events as log lines: JSON for machines, coloured text for people. The one owner of structlog.

    Event ──► LogObserver ──► {"event": "worker.spawned", …}   or   13:56:13 worker.spawned  worker=neo
          ──► FileObserver ──► the JSON lines of `--events FILE`, each valid against event_schema()

Importing structlog takes a tenth of a second, so nothing imports this module where start-up time counts.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, BinaryIO, Literal

import structlog
from structlog.dev import Column, ColumnFormatter, ConsoleRenderer, KeyValueColumnFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from runner.events import DECLARATIONS, Event

HEARTBEAT = 10.0
"""Seconds between two lines of progress in a log that nobody watches live."""

Style = Literal["text", "json"]
_LEVELS: Mapping[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_EVENT_WIDTH = max(len(name) for name in DECLARATIONS)


class LogObserver:
    """Writes each event at its declared level. Writing may block: not for the supervisor's own process.

    `heartbeat` is the least time in seconds between two lines of `run.progress`; None logs none, which is
    for a terminal that has a live view. What `stream` raises goes through to the caller.
    """

    def __init__(
        self,
        stream: BinaryIO,
        style: Style,
        level: str = "info",
        *,
        colors: bool = False,
        heartbeat: float | None = HEARTBEAT,
    ) -> None:
        self._log = structlog.wrap_logger(
            structlog.BytesLogger(stream),
            processors=_json_processors() if style == "json" else _text_processors(colors),
            wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        )
        self._heartbeat = heartbeat
        self._next_beat = heartbeat if heartbeat is not None else math.inf

    def observe(self, event: Event) -> None:
        """Write one line, or more where there is a traceback."""
        if event.name != "run.progress":
            self._write(level_of(event), event)
        elif event.fields["elapsed"] >= self._next_beat:
            self._next_beat = event.fields["elapsed"] + self._heartbeat
            self._write("info", event)  # one in so many is news, however loud the stream of them is declared

    def close(self) -> None:
        """Each line was flushed as it was written."""

    def _write(self, level: str, event: Event) -> None:
        line = event.as_dict()
        line.pop("level", None)
        getattr(self._log, level)(line.pop("event"), **line)


class FileObserver:
    """Writes every event but `run.progress` as a JSON line. What `file` raises goes through to the caller."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def observe(self, event: Event) -> None:
        """Write one line and flush it, so that whoever follows the file sees it."""
        if event.name != "run.progress":
            self._file.write(json_line({**event.as_dict(), "level": level_of(event)}) + b"\n")
            self._file.flush()

    def close(self) -> None:
        """Close the file; on a full disk this is where it shows at the latest."""
        self._file.close()


def level_of(event: Event) -> str:
    """Return how loud an event is: as it says itself, like a handler's own log lines, or as declared.

    A run or a job that failed ends with an error, so that a log of nothing but errors says why.
    """
    said = str(event.fields.get("level"))
    if said in _LEVELS:
        return said
    return "error" if _ends_badly(event) else DECLARATIONS[event.name].level


def _ends_badly(event: Event) -> bool:
    if event.name == "job.finished":
        return event.fields["result"] in ("failed", "timed_out")
    return event.name == "run.finished" and event.fields.get("exitcode", 0) != 0


def json_line(line: Mapping[str, Any]) -> bytes:
    """Return one line of strict JSON in UTF-8, without its newline. Odd values become their repr."""
    try:
        text = json.dumps(line, ensure_ascii=False, allow_nan=False, default=repr)
    except (TypeError, ValueError):
        text = json.dumps(_strict(line), ensure_ascii=False, allow_nan=False)
    # A lone surrogate has no UTF-8; its backslash escape is JSON all the same.
    return text.encode("utf-8", "backslashreplace")


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(inner) for inner in value]
    known = (
        value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    )
    return value if known else repr(value)


def _json_processors() -> list[Processor]:
    return [structlog.processors.add_log_level, _event_first, _as_json]


def _event_first(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {"event": event.pop("event"), **event}


def _as_json(_logger: WrappedLogger, _method: str, event: EventDict) -> bytes:
    return json_line(event)


def _text_processors(colors: bool) -> list[Processor]:
    return [
        structlog.processors.add_log_level,
        _for_people,
        ConsoleRenderer(columns=_columns(colors), sort_keys=False),
        _as_bytes,
    ]


def _columns(colors: bool) -> list[Column]:
    dim, cyan, reset = ("\x1b[2m", "\x1b[36m", "\x1b[0m") if colors else ("", "", "")
    plain = KeyValueColumnFormatter(key_style=cyan, value_style="", reset_style=reset, value_repr=_value)
    time = KeyValueColumnFormatter(key_style=None, value_style=dim, reset_style=reset, value_repr=str)
    return [Column("at", time), Column("title", _title(colors)), Column("", plain)]


def _title(colors: bool) -> ColumnFormatter:
    paint = {"debug": "2", "info": "1", "warning": "1;33", "error": "1;31"}

    def title(key: str, value: object) -> str:
        level, name = value if isinstance(value, tuple) else ("info", value or key)
        padded = f"{name:<{_EVENT_WIDTH}}"
        return f"\x1b[{paint[level]}m{padded}\x1b[0m" if colors else padded

    return title


def _as_bytes(_logger: WrappedLogger, _method: str, text: Any) -> bytes:
    return str(text).encode("utf-8", "backslashreplace")


def _for_people(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    at = datetime.fromisoformat(event["at"]).astimezone()
    told: EventDict = {"at": f"{at:%H:%M:%S}", "title": (event["level"], event["event"])}
    for key, value in event.items():
        if key in _SAID_ELSEWHERE or not (value or isinstance(value, bool)):
            continue  # what is nothing or null is left out: a line has room for what happened
        told.update(_LONG[key](key, value) if key in _LONG else {key: value})
    return told


_SAID_ELSEWHERE = frozenset({"at", "event", "level", "run"})


def _indented(_key: str, text: str) -> EventDict:
    # ConsoleRenderer puts `exception` below the line.
    return {"exception": "\n".join(f"    {_printable(line)}" for line in text.rstrip().splitlines())}


def _stages(_key: str, stages: list[Mapping[str, Any]]) -> EventDict:
    """Counts by stage: how many workers at the start, what they did in a progress line."""
    if any("workers" in stage for stage in stages):
        return {"stages": ", ".join(f"{stage['name']} ×{stage['workers']}" for stage in stages)}
    return {stage["name"]: f"{stage['received']} in, {stage['sent']} out" for stage in stages}


def _queues(_key: str, queues: list[Mapping[str, Any]]) -> EventDict:
    """Sizes at the start, fill in a progress line, accounts at the end."""
    if any("size" in queue for queue in queues):
        return {queue["name"]: f"{queue['size']}/{_room(queue)}" for queue in queues}
    if any("put" in queue for queue in queues):
        return {queue["name"]: f"{queue['put']} put, {queue['done']} done" for queue in queues}
    return {"queues": ", ".join(f"{queue['name']} ≤{_room(queue)}" for queue in queues)}


def _said_about(_key: str, fields: Mapping[str, Any]) -> EventDict:
    """A handler's own words for things, kept apart from those that mean something to the renderer."""
    return {f"{name}_" if name in _RESERVED else name: value for name, value in fields.items()}


_RESERVED = frozenset({"at", "title", "worker", "stage", "pid", "message", "exception", "stack", "exc_info"})


def _room(queue: Mapping[str, Any]) -> str:
    return "∞" if queue["maxsize"] is None else str(queue["maxsize"])


_LONG: Mapping[str, Callable[[str, Any], EventDict]] = {
    "traceback": _indented,
    "stacks": _indented,
    "stages": _stages,
    "queues": _queues,
    "fields": _said_about,
}

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


def _printable(text: str) -> str:
    # What a handler raised may hold escape codes, which must not reach the terminal.
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    quoted = any(character.isspace() for character in text) or not text
    return f'"{_printable(text)}"' if quoted else _printable(text)
