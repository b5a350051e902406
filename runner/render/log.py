"""Events as log lines: JSON for machines, coloured text for people. The one owner of structlog.

    Event ──► LogObserver ──► {"event": "worker.spawned", …}   or   13:56:13 worker.spawned  worker=neo
          ──► FileObserver ──► the JSON lines of `--events FILE`, each valid against event_schema()

Importing structlog takes a tenth of a second, so nothing imports this module where start-up time counts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, BinaryIO, Literal

import structlog
from structlog.dev import Column, ColumnFormatter, ConsoleRenderer, KeyValueColumnFormatter, plain_traceback
from structlog.typing import EventDict, Processor, WrappedLogger

from runner.events.base import LEVELS, Event, as_dict
from runner.events.catalogue import KINDS
from runner.events.run import FailuresRepeated, RunFinished, RunProgress, RunWorkers
from runner.record.failures import fingerprint
from runner.render.failure_lines import OF_ITEMS, FailureThrottle, repeated_text
from runner.text import visible
from runner.watch.eta import EtaModel, FindPrevious

HEARTBEAT = 10.0
"""Seconds between two lines of progress in a log that nobody watches live."""
_MOST_TRACEBACKS = 100
SAMPLE = 1.0
"""Seconds between two lines of progress in a file of events: enough for a plot, and few in a run of hours."""

Style = Literal["text", "json"]
_EVENT_WIDTH = max(map(len, KINDS))


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
        previous: FindPrevious | None = None,
        each_failure: bool = False,
    ) -> None:
        """
        `each_failure` has a line for each item that fails, rather than for each kind.

        `previous` says of a run that has begun how long the last one like it took, and when that was.
        """
        self._log = structlog.wrap_logger(
            structlog.BytesLogger(stream),
            processors=_json_processors() if style == "json" else _text_processors(colors),
            wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        )
        self._heartbeat = heartbeat
        self._next_beat = heartbeat or 0.0
        self._failures = None if each_failure else FailureThrottle()
        self._shown: dict[str, None] | None = {} if style == "text" else None
        """The last few kinds of which a traceback was shown."""
        self._eta = EtaModel(previous) if style == "text" and heartbeat is not None else None
        self._latest = 0.0

    def observe(self, event: Event) -> None:
        """Write one line, or more where there is a traceback; for people none that only says the same again."""
        if self._eta is not None:
            self._eta.observe(event)
        if isinstance(event, RunWorkers):
            return
        self._latest = event.at
        for line in self._of_failures(event):
            self._write(line.level, self._told(line))
        if isinstance(event, OF_ITEMS):
            return
        if not isinstance(event, RunProgress):
            self._write(event.level, as_dict(event))
        elif self._heartbeat is not None and event.elapsed >= self._next_beat:
            self._next_beat = event.elapsed + self._heartbeat
            # One in so many is news, however loud the stream of them is declared.
            self._write("info", as_dict(event) | self._when_done())

    def _of_failures(self, event: Event) -> Iterator[Event]:
        """Yield what is to be told of items that failed before anything else is of an event."""
        if self._failures is None:
            yield from (event,) if isinstance(event, OF_ITEMS) else ()
            return
        yield from (
            self._failures.rest(event.at) if isinstance(event, RunFinished) else self._failures.due(event.at)
        )
        if isinstance(event, OF_ITEMS):
            yield from self._failures.add(event)

    def _told(self, event: Event) -> dict[str, Any]:
        """Return the line of an event of an item: for people no traceback twice, and counts in words."""
        line = as_dict(event)
        if self._shown is None:
            return line
        if isinstance(event, FailuresRepeated):
            known = {name: line[name] for name in ("event", "at", "stage", "error")}
            return {**known, "more": repeated_text(event)}
        traceback = line.get("traceback")
        if not traceback:
            return line
        print_ = fingerprint(line["stage"], line["error"], traceback)
        if print_ in self._shown:
            return {**line, "traceback": "", "raised": "as before"}
        self._shown[print_] = None
        if len(self._shown) > _MOST_TRACEBACKS:
            del self._shown[next(iter(self._shown))]
        return line

    def _when_done(self) -> dict[str, str]:
        """Say when the run is done, where that is known; what the past says is only looked up for those who wait."""
        return {} if self._eta is None else {"progress": self._eta.line()}

    def close(self) -> None:
        """Tell what was counted of a run that broke off; each line was flushed as it was written."""
        for line in () if self._failures is None else self._failures.rest(self._latest):
            self._write(line.level, self._told(line))

    def _write(self, level: str, line: dict[str, Any]) -> None:
        line.pop("level", None)
        getattr(self._log, level)(line.pop("event"), **line)


class FileObserver:
    """
    Writes every event as a JSON line, of `run.progress` one a second, and no `run.workers`, which is for those who look
    on. What `file` raises goes to the caller.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._next_sample = SAMPLE

    def observe(self, event: Event) -> None:
        """Write one line and flush it, so that whoever follows the file sees it."""
        if isinstance(event, RunWorkers):
            return
        if isinstance(event, RunProgress):
            if event.elapsed < self._next_sample:
                return
            self._next_sample = event.elapsed + SAMPLE
        self._file.write(event_line(event))
        self._file.flush()

    def close(self) -> None:
        """Close the file; on a full disk this is where it shows at the latest."""
        self._file.close()


def event_line(event: Event) -> bytes:
    """Return the line that an event is in a file, newline and all."""
    return json_line({**as_dict(event), "level": event.level}) + b"\n"


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
        # Ours come as text; with another formatter than this one, older structlogs warn about that.
        ConsoleRenderer(columns=_columns(colors), sort_keys=False, exception_formatter=plain_traceback),
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
    shown: EventDict = {"at": f"{at:%H:%M:%S}", "title": (event["level"], event["event"])}
    for key, value in event.items():
        if key in _SAID_ELSEWHERE or not (value or isinstance(value, bool)):
            continue  # what is nothing or null is left out: a line has room for what happened
        shown.update(_LONG[key](key, value) if key in _LONG else {key: value})
    return shown


_SAID_ELSEWHERE = frozenset({"at", "event", "level", "run", "resumable"})
"""The last of these in the last line of a run: `resume with: …`."""


def _indented(_key: str, text: str) -> EventDict:
    # ConsoleRenderer puts `exception` below the line.
    return {"exception": "\n".join(f"    {visible(line)}" for line in text.rstrip().splitlines())}


def _stages(_key: str, stages: list[Mapping[str, Any]]) -> EventDict:
    """Counts by stage: how many workers at the start, what they did in a progress line."""
    if any("received" in stage for stage in stages):
        return {stage["name"]: f"{stage['received']} in, {stage['sent']} out" for stage in stages}
    return {"stages": ", ".join(f"{stage['name']} ×{stage['workers']}" for stage in stages)}


def _queues(_key: str, queues: list[Mapping[str, Any]]) -> EventDict:
    """Sizes at the start, fill in a progress line, accounts at the end."""
    if any("size" in queue for queue in queues):
        return {queue["name"]: f"{queue['size']}/{_room(queue)}" for queue in queues}
    if any("put" in queue for queue in queues):
        return {queue["name"]: f"{queue['put']} put, {queue['done']} done" for queue in queues}
    return {"queues": ", ".join(f"{queue['name']} ≤{_room(queue)}" for queue in queues)}


def _said_about(_key: str, fields: Mapping[str, Any]) -> EventDict:
    """A handler's own words for things, kept apart from those that mean something to the renderer."""
    return {f"{name}_" if name in _RESERVED else visible(name): value for name, value in fields.items()}


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


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    quoted = any(character.isspace() for character in text) or not text
    return f'"{visible(text)}"' if quoted else visible(text)
