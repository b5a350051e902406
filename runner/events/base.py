"""What an event is: a frozen, typed record of one thing that happened; its class says what it means and carries.

    class WorkerReady(Event, kind="worker.ready", level="debug"):
        \"""The worker has its handler and begins.\"""
        worker: str = carries("The worker's name.")

    bus.publish(WorkerReady(worker="neo"))          match event: case WorkerReady(worker=worker): …

The schema, the page of reference, the JSON of an event and the check of its fields all come from the class.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from enum import StrEnum
from inspect import get_annotations
from typing import Any, ClassVar, NamedTuple, Self, dataclass_transform

LEVELS: Mapping[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
"""How loud events are, and which is louder."""
_ALWAYS_THERE: Any = object()


class EventField(NamedTuple):
    """One field of an event: what it means, and what an event that was made without it has instead."""

    description: str
    default: Any

    @property
    def required(self) -> bool:
        """Whether it is always there."""
        return self.default is _ALWAYS_THERE


def carries(description: str, *, default: Any = _ALWAYS_THERE) -> Any:
    """
    Declare a field. One with a default is left out of the JSON of an event that was made without it; one that is None
    by default also where it is given as None.
    """
    return EventField(description, default)


# To make 36 frozen dataclasses takes as long as a third of a short run. A class of this kind costs what any class
# costs; type checkers treat it as a dataclass.
@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(carries,))
class Event:
    """Something that happened in `run` at `at`, in seconds since the epoch; whoever publishes it writes these two."""

    # So that `vars` has the event's own fields, as they were given.
    __slots__ = (
        "__dict__",
        "_line",
        "at",
        "run",
    )

    kind: ClassVar[str] = ""
    """Its name, such as `worker.exited`."""
    usual_level: ClassVar[str] = "info"
    declared: ClassVar[Mapping[str, EventField]] = {}
    enums: ClassVar[Mapping[str, type[StrEnum]]] = {}
    """The fields that hold one word of an enumeration, whatever the event is made from: JSON has plain words."""

    at: float
    run: str
    _line: bytes | None

    def __init_subclass__(cls, kind: str = "", level: str = "info") -> None:
        """Take in a declaration: the fields of its bases first, then its own, in order."""
        own = {name: value for name, value in vars(cls).items() if isinstance(value, EventField)}
        cls.kind, cls.usual_level, cls.declared = kind, level, {**cls.declared, **own}
        cls.enums = {**cls.enums, **_enums(cls, own)}
        for name, field in own.items():
            if field.required:
                delattr(cls, name)
            else:
                setattr(cls, name, field.default)

    def __init__(self, **fields: Any) -> None:
        missing = [name for name, field in self.declared.items() if field.required and name not in fields]
        if missing or not fields.keys() <= self.declared.keys():
            unknown = sorted(fields.keys() - self.declared.keys())
            raise TypeError(f"{type(self).__name__}: missing fields {missing}, unknown fields {unknown}")
        for name in self.enums.keys() & fields.keys():
            fields[name] = self.enums[name](fields[name])
        for name, value in fields.items():
            if value is not None or self.declared[name].default is not None:
                self.__dict__[name] = value

    def __setattr__(self, name: str, value: object) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # fields may be lists

    def __reduce__(self) -> tuple[Any, ...]:
        stamp = (self.at, self.run) if hasattr(self, "at") else None
        return _again, (type(self), vars(self), stamp)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in vars(self).items())})"

    @property
    def level(self) -> str:
        """How loud it is: one of `LEVELS`."""
        return self.usual_level

    def stamped(self, at: float, run: str, line: bytes | None = None) -> Self:
        """Write when and in which run it happened: once, by whoever publishes it. Return the event.

        `line` is what `line()` has returned, where it was made from that.
        """
        object.__setattr__(self, "at", at)
        object.__setattr__(self, "run", run)
        object.__setattr__(self, "_line", line)
        return self

    def masked(self, mask: Callable[[Any], Any]) -> Self:
        """Return the same event with what `mask` makes of its fields, but for words of ours and names of logs."""
        # Logs are opened by their names, in which whoever made them has masked what a user has given.
        kept = {"log", *self.enums}
        fields = {name: value if name in kept else mask(value) for name, value in vars(self).items()}
        return type(self)(**fields)

    def line(self) -> bytes:
        """Return it, once it is stamped, as `[kind, at, run, level, fields]`, a line of JSON for another process.

        Two processes get it, and it is made once. What JSON can't hold travels as its repr.
        """
        if self._line is None:
            object.__setattr__(self, "_line", _encoded(self))
        assert self._line is not None
        return self._line


def _again(kind: type[Event], fields: Mapping[str, Any], stamp: tuple[float, str] | None) -> Event:
    return kind(**fields) if stamp is None else kind(**fields).stamped(*stamp)


_WIRE = json.JSONEncoder(default=repr, separators=(",", ":"))


def _encoded(event: Event) -> bytes:
    head = [event.kind, event.at, event.run, event.level]
    try:
        text = _WIRE.encode([*head, vars(event)])
    except (TypeError, ValueError):
        text = _WIRE.encode([*head, {key: repr(value) for key, value in vars(event).items()}])
    return text.encode() + b"\n"


def _enums(declaring: type[Event], names: Iterable[str]) -> dict[str, type[StrEnum]]:
    annotations, known = get_annotations(declaring), vars(sys.modules[declaring.__module__])
    found = {name: known.get(annotations[name]) for name in names}
    return {k: v for k, v in found.items() if isinstance(v, type) and issubclass(v, StrEnum)}


def as_dict(event: Event) -> dict[str, Any]:
    """Flatten to what a JSON line holds; the time is ISO 8601 in UTC with microseconds."""
    at = datetime.fromtimestamp(event.at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {"event": event.kind, "at": at, "run": event.run, **vars(event)}
