"""`Flow`: a chain of stages, written down as a program thinks of it; each step returns a new one.

Flow("prep").source(items).stage(load, count=2).batch(32).sink(save)

──► stages: items ──"items"──► load ──"load"──► save: {batch: 32}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from runner.api.documents import document_of, handler_name, name_only
from runner.api.run import run
from runner.errors import UsageError
from runner.events.bus import Observer
from runner.events.report import Report
from runner.facts import dataclass
from runner.text import safe_repr

Handler = str | Mapping[str, Any] | Callable[..., Any]
"""`module:callable`, one kind of handler with its options, or an object of the program that can be called."""

_OF_THE_FLOW = ("run", "from", "to")
"""Keys of a stage that follow from where it stands."""


@dataclass(frozen=True, slots=True)
class Flow:
    """Stages in a row, with a queue between each two. Nothing is checked or started before `run`."""

    name: str
    """The workflow's."""
    keys: Mapping[str, Any] = field(default_factory=dict)
    """Others of the top of the file, such as `limits`, `params`, `transport`."""
    _stages: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    _queues: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    _next: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the stage that comes next."""
    _ended: bool = False

    def source(self, items: Handler | Iterable[Any], *, name: str = "", **keys: Any) -> Flow:
        """
        Begin with items: something to iterate over, or a handler that makes them.

        What can be iterated over is so in a process of its own, which has it as it is when the run begins.
        """
        if self._stages:
            raise UsageError("a flow has one source, and it comes first")
        if not _is_handler(items):
            if not isinstance(items, Iterable):
                raise UsageError(f"source: {safe_repr(items)} can't be iterated over, and is no handler")
            return self._add(_Items(items), name or "items", keys)
        return self._add(items, name or _name_of(items, "source"), keys)

    def stage(self, handler: Handler, *, name: str = "", **keys: Any) -> Flow:
        """Have a handler called with each item; what it returns goes on. `keys` are those of a stage, as `count=4`."""
        return self._read(handler, name or _name_of(handler, "stage"), keys)

    def batch(self, size: int | Mapping[str, Any], **keys: Any) -> Flow:
        """Have the next stage called with lists of so many items; `keys` are those of `batch`, as `wait="1s"`."""
        self._must_go_on("batch")
        batch = {"size": size, **keys} if keys and not isinstance(size, Mapping) else size
        return replace(self, _next={**self._next, "batch": batch})

    def queue(self, **keys: Any) -> Flow:
        """Say something of the queue behind the last stage, as `maxsize=100`."""
        self._must_go_on("queue")
        before = dict(self._queues)
        name = self._stages[-1][0]
        return replace(self, _queues=tuple({**before, name: {**before.get(name, {}), **keys}}.items()))

    def sink(self, handler: Handler, *, name: str = "", **keys: Any) -> Flow:
        """End with a handler that is called with each item; what it returns goes nowhere."""
        return replace(self._read(handler, name or _name_of(handler, "sink"), keys), _ended=True)

    def document(self) -> dict[str, Any]:
        """Return the flow as `mprun.run` takes a mapping."""
        if not self._stages:
            raise UsageError(f"flow '{self.name}' has no stages: it begins with source()")
        if self._next:
            raise UsageError(
                f"flow '{self.name}': what batch() says is for the next stage, and there is none"
            )
        stages = {name: dict(keys) for name, keys in self._stages}
        last = self._stages[-1][0]
        if self._ended or len(stages) > 1:
            stages[last].pop("to")
        queues = {"queues": dict(self._queues)} if self._queues else {}
        return {"name": self.name, **self.keys, **queues, "stages": stages}

    def yaml(self) -> str:
        """Return the workflow file that it stands for. What lives in this program has a key there, and a comment."""
        return document_of(self.document(), name_only()).text

    def run(self, observers: Sequence[Observer] = (), **options: Any) -> Report:
        """Run it to its end; see `mprun.run`."""
        return run(self.document(), observers, **options)

    def __str__(self) -> str:
        return self.yaml()

    def __repr__(self) -> str:
        return f"<Flow '{self.name}': {' -> '.join(name for name, _ in self._stages) or 'empty'}>"

    def _read(self, handler: Handler, name: str, keys: Mapping[str, Any]) -> Flow:
        self._must_go_on(name)
        if not _is_handler(handler):
            raise UsageError(
                f"stage '{name}': {safe_repr(handler)} is no handler: that is something to call, 'module:callable', or "
                "one kind with its options"
            )
        return replace(self, _next={})._add(handler, name, {**self._next, **keys}, self._stages[-1][0])

    def _must_go_on(self, what: str) -> None:
        if not self._stages:
            raise UsageError(f"flow '{self.name}' begins with source(), before {what}")
        if self._ended:
            raise UsageError(f"flow '{self.name}' has ended with its sink: {what} can't come after that")

    def _add(self, handler: Any, name: str, keys: Mapping[str, Any], reads: str | None = None) -> Flow:
        taken = {each for each, _ in self._stages}
        own, number = name, 1
        while own in taken:
            number += 1
            own = f"{name}_{number}"
        # A name that Python keeps for itself is written with a `_` behind it: `with_`, `from_`.
        given = {key.rstrip("_"): value for key, value in keys.items()}
        if own_words := [key for key in _OF_THE_FLOW if key in given]:
            raise UsageError(
                f"stage '{own}': '{own_words[0]}' is said by the flow itself, whose stages are in a row: leave it "
                "out, or give `mprun.run` a mapping"
            )
        around = {} if reads is None else {"from": reads}
        stage = {"run": handler, **given, **around, "to": own}
        return replace(self, _stages=(*self._stages, (own, stage)))


class _Items:
    """Something to iterate over, as a producer: called, it gives what to put."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = items

    def __call__(self) -> Iterator[Any]:
        yield from self._items

    def __repr__(self) -> str:
        return f"items of {safe_repr(self._items, 60)}"


def _is_handler(found: object) -> bool:
    if isinstance(found, str):
        return ":" in found
    return callable(found) or (isinstance(found, Mapping) and len(found) == 1)


def _name_of(handler: Handler | Iterable[Any], otherwise: str) -> str:
    if isinstance(handler, str):
        return handler.rpartition(":")[2].replace(".", "_")
    if isinstance(handler, Mapping):
        return str(next(iter(handler)))
    return handler_name(handler, otherwise)
