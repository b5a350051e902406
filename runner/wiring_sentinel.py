"""Marks at the end of queues that nobody would see. Pure: stages and queues in, findings out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from runner.findings import Finding, Spoilt
from runner.problems import Severity
from runner.spec import QueueSpec, Role, StageSpec


def check_sentinels(
    stages: Sequence[StageSpec],
    queues: Iterable[QueueSpec],
    may_drive: Callable[[StageSpec], bool],
    spoilt: Spoilt = Spoilt(),  # noqa: B008 - frozen
) -> list[Finding]:
    """Return the queues whose mark some reader, or every reader, would never see.

    `may_drive` says whether a stage's handler holds its queue itself, or can't be looked into.
    """
    found = []
    for queue in queues:
        readers = [stage for stage in stages if stage.receives == queue.name]
        sure = all(spoilt.knows("stages", stage.name, "from") for stage in stages)
        if queue.sentinel is not None and readers and sure:
            found += [*_stopped_first(queue, readers), *_called_with_items(queue, readers, may_drive)]
    return found


def _stopped_first(queue: QueueSpec, readers: Iterable[StageSpec]) -> Iterator[Finding]:
    for stage in readers:
        if stage.daemon and stage.role is Role.CONSUMER:
            message = (
                f"queue '{queue.name}' ends with a mark, and stage '{stage.name}', which reads it, is daemonic: "
                "it is stopped once the queue is joined, and would not see it"
            )
            yield Finding(
                ("stages", stage.name, "daemon"),
                "conflicting-keys",
                message,
                "key",
                "leave out one of the two",
            )


def _called_with_items(
    queue: QueueSpec, readers: Sequence[StageSpec], may_drive: Callable[[StageSpec], bool]
) -> Iterator[Finding]:
    if not any(map(may_drive, readers)):
        names = ", ".join(f"'{stage.name}'" for stage in readers)
        message = f"nobody sees the mark of queue '{queue.name}': the handlers of {names} are called with items only"
        help_ = "leave it out, since they end by themselves; or give the handler a parameter `queue` and let it `get()`"
        path = ("queues", queue.name, "sentinel")
        yield Finding(path, "unused-sentinel", message, "key", help_, severity=Severity.WARNING)
