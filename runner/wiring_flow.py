"""What a file asks of the flow of items that nobody could do, found before anything starts. Pure.

queues: max_bytes, when_full      stages: shard_by, order      all of them need the ledger to see every item
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from runner.findings import Finding, Spoilt
from runner.spec import QueueSpec, Role, StageSpec, WhenFull

_ABLE = "leased"
_REMEDY = "use `leased`"


@dataclass(frozen=True, slots=True)
class _Ask:
    """One key of one stage that says who gets its items, or in which order."""

    stage: StageSpec
    key: str
    roles: frozenset[Role]
    meant_for: str
    why_alone: str


def check_flow(
    stages: Sequence[StageSpec],
    queues: Iterable[QueueSpec],
    transport: str,
    spoilt: Spoilt = Spoilt(),  # noqa: B008 - frozen
) -> list[Finding]:
    """Return what stages and queues ask for in vain."""
    asks = [ask for stage in stages for ask in _asks(stage)]
    found = [
        *_of_queues(queues, transport),
        *(finding for ask in asks for finding in _of_stage(ask, transport)),
        *(finding for ask in asks for finding in _shared(ask, stages, spoilt)),
        *_contradictions(stages),
    ]
    return [each for each in found if all(spoilt.knows(*each.path[:2], key) for key in ("from", "to"))]


def _asks(stage: StageSpec) -> Iterator[_Ask]:
    if stage.shard_by is not None:
        readers = frozenset({Role.CONSUMER, Role.PIPE})
        yield _Ask(stage, "shard_by", readers, "stages that read a queue", "each key is to meet one worker")
    if stage.keeps_order:
        pipes = frozenset({Role.PIPE})
        yield _Ask(stage, "order", pipes, "pipe stages", "the order is that of all items")


def _of_queues(queues: Iterable[QueueSpec], transport: str) -> Iterator[Finding]:
    for queue in queues if transport != _ABLE else ():
        if queue.max_bytes is not None:
            yield _cannot(
                ("queues", queue.name, "max_bytes"), "`max_bytes` needs a ledger that sees every frame"
            )
        if queue.when_full is not WhenFull.BLOCK:
            why = f"`when_full: {queue.when_full}` needs a ledger that lets items in"
            yield _cannot(("queues", queue.name, "when_full"), why)


def _of_stage(ask: _Ask, transport: str) -> Iterator[Finding]:
    path = ("stages", ask.stage.name, ask.key)
    if ask.stage.role not in ask.roles:
        message = f"'{ask.key}' is for {ask.meant_for}, and stage '{ask.stage.name}' is a {ask.stage.role}"
        yield Finding(path, "wrong-role", message, "key", "leave it out")
    elif transport != _ABLE:
        yield _cannot(path, f"`{ask.key}` needs a ledger that hands out the items")


def _shared(ask: _Ask, stages: Sequence[StageSpec], spoilt: Spoilt) -> Iterator[Finding]:
    name, queue = ask.stage.name, ask.stage.receives
    others = [stage.name for stage in stages if stage.receives == queue and stage.name != name]
    for other in others[:1] if queue is not None else ():
        if spoilt.knows("stages", other, "from"):
            message = f"stages '{name}' and '{other}' share the queue '{queue}', and {ask.why_alone}"
            help_ = f"let '{name}' alone read '{queue}'"
            yield Finding(("stages", name, ask.key), "shared-queue", message, "key", help_)


def _contradictions(stages: Iterable[StageSpec]) -> Iterator[Finding]:
    for stage in stages:
        if stage.keeps_order and stage.shard_by is not None:
            message = (
                f"stage '{stage.name}' has `order: keep` and `shard_by`, which takes items out of their order"
            )
            help_ = "leave out `order`: items with equal keys stay in order anyhow"
            yield Finding(("stages", stage.name, "order"), "conflicting-keys", message, "key", help_)


def _cannot(path: tuple[str, ...], why: str) -> Finding:
    return Finding(
        path,
        "transport-cannot",
        f"{path[0][:-1]} '{path[1]}': {why}, and only `leased` has one",
        "key",
        _REMEDY,
    )
