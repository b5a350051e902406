"""What a stage asks for and its transport can't do, found before anything starts. Pure: stages in, findings out.

Under `inline` all workers are one process: none can be killed for one item, and none has memory of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from runner.findings import Finding
from runner.spec import StageSpec


@dataclass(frozen=True, slots=True)
class _Limit:
    """A key that some transports can't keep."""

    key: str
    asks: Callable[[StageSpec], bool]
    unable: frozenset[str]
    trouble: str
    remedy: str


_LIMITS = (
    _Limit(
        "timeout",
        lambda stage: stage.timeout is not None,
        frozenset({"inline"}),
        "`timeout` kills the worker of an item that takes too long, and under `inline` that is this very process",
        "use `leased`, or leave it out with `--set`; `limits.timeout` bounds the whole run",
    ),
    _Limit(
        "memory_limit",
        lambda stage: stage.memory_limit is not None,
        frozenset({"inline"}),
        "`memory_limit` is for a process, and under `inline` all workers share one",
        "use `leased` or `joinable`",
    ),
)


def check_transport(stages: Iterable[StageSpec], transport: str) -> Iterator[Finding]:
    """Return what stages ask for in vain."""
    for stage in stages:
        for limit in _LIMITS:
            if transport in limit.unable and limit.asks(stage):
                message = f"stage '{stage.name}': {limit.trouble}"
                yield Finding(("stages", stage.name, limit.key), "transport-cannot", message, "key", limit.remedy)
