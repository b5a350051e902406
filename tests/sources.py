"""What a kind of source makes, called by hand: for the tests of each kind, and of what all have to hold to."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.handlers.kinds import Malformed, Source, WorkerContext, one_by_one
from runner.handlers.registry import find_kind
from runner.spec.model import Role
from runner.spec.plan import InputFile, InputShare

PACKED: Mapping[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


_ALONE = InputShare()


@dataclass(frozen=True, slots=True)
class Bad:
    """What a `Malformed` comes to."""

    raw: object
    error: str
    position: str


def context(
    offset: int = 0,
    share: InputShare = _ALONE,
    inputs: tuple[InputFile, ...] | None = None,
    **more: Any,
) -> WorkerContext:
    """A worker of a producer."""
    ids = os.getpid(), os.getppid()
    return WorkerContext(
        "neo", "reader", *ids, role=Role.PRODUCER, offset=offset, share=share, inputs=inputs, **more
    )


def items_of(kind: str, options: Any, worker: WorkerContext | None = None) -> list[object]:
    """Return all that a source makes, each `Malformed` as a `Bad`."""
    source = find_kind(kind).build(options, context() if worker is None else worker)
    assert isinstance(source, Source)
    return [
        Bad(each.raw, f"{type(each.error).__name__}: {each.error}", each.position)
        if isinstance(each, Malformed)
        else each
        for each in one_by_one(source.items())
    ]


def listed(kind: str, options: Any, folder: Path = Path()) -> tuple[InputFile, ...]:
    """Return what the supervisor lists for a kind."""
    inputs = find_kind(kind).of_role(Role.PRODUCER).inputs
    assert inputs is not None
    return tuple(inputs(options, folder))
