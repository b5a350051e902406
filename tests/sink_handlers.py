"""Sinks without a run: built, called, flushed and closed as a worker does it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from runner.handlers.kinds import HandlerKind, Mapper, WorkerContext
from runner.handlers.outputs import KeptOutput, Opening
from runner.handlers.registry import find_kind
from runner.spec.model import Role


def consumer_kind(name: str) -> HandlerKind:
    """The declaration of a kind that holds for a consumer."""
    return find_kind(name).of_role(Role.CONSUMER)


def built(kind: str, options: Mapping[str, Any], **context: Any) -> Mapper:
    """A sink, in a worker of which `context` says more."""
    worker = WorkerContext("neo", "writer", os.getpid(), os.getppid(), role=Role.CONSUMER, **context)
    handler = consumer_kind(kind).build(dict(options), worker)
    assert isinstance(handler, Mapper)
    return handler


def write(kind: str, options: Mapping[str, Any], items: Iterable[object], **context: Any) -> bytes:
    """Hand items to a sink, from its first moment to its last; return its state, if it has one."""
    handler = built(kind, options, **context)
    for item in items:
        handler.call(item)
    flush(handler)
    state = (handler.capture or bytes)()
    handler.close()
    return state


def flush(handler: Mapper) -> None:
    """Make safe what it holds."""
    assert handler.flush is not None
    handler.flush()


def prepared(
    kind: str,
    options: Mapping[str, Any],
    folder: Path,
    run: str = "run",
    *,
    resumable: bool = False,
    before: KeptOutput | None = None,
) -> Any:
    """What the supervisor holds for a stage of this kind while a run lasts."""
    writes = consumer_kind(kind).writes
    assert writes is not None
    opens = writes(dict(options)).open
    assert opens is not None
    return opens(Opening(str(folder), run, resumable, before=before))
