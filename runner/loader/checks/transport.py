"""What a stage asks for and its transport can't do, found before anything starts. Pure: stages in, diagnostics out.

Under `inline` all workers are one process: none can be killed for one item, and none has memory of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from runner.facts import dataclass
from runner.spec.diagnostics import Diagnostic
from runner.spec.failures import OnError, RestartOn, RetryPolicy
from runner.spec.model import Role, StageSpec


@dataclass(frozen=True, slots=True)
class _TransportLimit:
    """A key that some transports can't keep."""

    key: str
    asks: Callable[[StageSpec], bool]
    unable: frozenset[str]
    message: str
    remedy: str


_LIMITS = (
    _TransportLimit(
        "run",
        lambda stage: stage.handler.kind == "serve",
        frozenset({"inline"}),
        "`serve` waits for clients, and under `inline`, where one worker moves at a time, nobody else could",
        "use `leased` or `joinable`; a test can call the handler itself, with one end of a `socket.socketpair()`",
    ),
    _TransportLimit(
        "daemon",
        lambda stage: stage.daemon and stage.role is Role.PLAIN,
        frozenset({"inline"}),
        "a plain daemonic worker works beside the others, and under `inline`, where one moves at a time, they would "
        "wait for it for ever",
        "use `leased` or `joinable`",
    ),
    _TransportLimit(
        "timeout",
        lambda stage: stage.timeout is not None,
        frozenset({"inline"}),
        "`timeout` kills the worker of an item that takes too long, and under `inline` that is this very process",
        "use `leased`; `limits.timeout` bounds the whole run",
    ),
    _TransportLimit(
        "memory_limit",
        lambda stage: stage.memory_limit is not None,
        frozenset({"inline"}),
        "`memory_limit` is for a process, and under `inline` all workers share one",
        "use `leased` or `joinable`",
    ),
    _TransportLimit(
        "restart",
        lambda stage: (
            stage.role is not Role.PLAIN
            and stage.restart is not None
            and stage.restart.on is not RestartOn.NEVER
        ),
        frozenset({"joinable"}),
        "`restart` can't make a death good under `joinable`: it may take a lock of the queue with it",
        "use `leased`",
    ),
    _TransportLimit(
        "restart",
        lambda stage: stage.restart is not None and stage.restart.on is not RestartOn.NEVER,
        frozenset({"inline"}),
        "`restart` is for a process that dies, and under `inline` that would be this very process",
        "use `leased`, or `--set stages.NAME.restart=never` for this run",
    ),
    _TransportLimit(
        "rate",
        lambda stage: stage.rate is not None,
        frozenset({"joinable"}),
        "`rate` is kept by a supervisor that gives out leave to begin, and only under `leased` can it be asked",
        "use `leased`; `inline` takes no notice of it",
    ),
    *(
        _TransportLimit(
            key,
            lambda stage, key=key: getattr(stage, key) > 1,  # type: ignore[misc]
            frozenset({"joinable"}),
            f"`{key}` needs items that are done in any order, and a JoinableQueue counts them only",
            "use `leased`; `inline` handles one after the other",
        )
        for key in ("threads", "concurrency")
    ),
    _TransportLimit(
        "retry",
        lambda stage: stage.retry != RetryPolicy(),
        frozenset({"joinable", "inline"}),
        "`retry` needs a ledger that hands out the items, and only `leased` has one",
        "use `leased`",
    ),
    _TransportLimit(
        "state",
        lambda stage: stage.checkpoint is not None and stage.receives is not None,
        frozenset({"joinable"}),
        "`state: checkpoint` is for whoever takes a dead worker's place, and under `joinable` a death ends the run",
        "use `leased`",
    ),
    _TransportLimit(
        "on_error",
        lambda stage: stage.on_error is OnError.DEAD_LETTER,
        frozenset({"joinable", "inline"}),
        "`dead_letter` needs a ledger that sees the items, and only `leased` has one",
        "use `leased`; `skip` works everywhere",
    ),
)


def check_transport(stages: Iterable[StageSpec], transport: str) -> Iterator[Diagnostic]:
    """Return what stages ask for in vain."""
    for stage in stages:
        for limit in _LIMITS:
            if transport in limit.unable and limit.asks(stage):
                message = f"stage '{stage.name}': {limit.message}"
                yield Diagnostic(
                    ("stages", stage.name, limit.key), "transport-cannot", message, "key", limit.remedy
                )
