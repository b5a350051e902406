"""Which locks stages name, and which of them a file declares. Pure: stages and locks in, findings out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from runner.findings import Finding, Spoilt
from runner.problems import Severity, did_you_mean
from runner.spec import LockSpec, StageSpec


def check_locks(
    stages: Sequence[StageSpec],
    locks: Sequence[LockSpec],
    may_ask: Callable[[StageSpec, str], bool],
    spoilt: Spoilt = Spoilt(),  # noqa: B008 - frozen
) -> list[Finding]:
    """Return what is wrong with how stages use locks.

    `may_ask` says whether a stage's handler asks for a lock by name, or can't be looked into.
    """
    if not spoilt.knows("locks"):
        return []
    return [*_unknown(stages, [lock.name for lock in locks]), *_unused(stages, locks, may_ask, spoilt)]


def _unknown(stages: Iterable[StageSpec], known: Sequence[str]) -> Iterator[Finding]:
    for stage in stages:
        if stage.lock is not None and stage.lock not in known:
            message = f"stage '{stage.name}' works under the lock '{stage.lock}', which is not declared"
            help_ = (
                did_you_mean(stage.lock, known) or f"declare it at the top: `locks: {{{stage.lock}: {{}}}}`"
            )
            yield Finding(("stages", stage.name, "lock"), "unknown-lock", message, help=help_)


def _unused(
    stages: Sequence[StageSpec],
    locks: Iterable[LockSpec],
    may_ask: Callable[[StageSpec, str], bool],
    spoilt: Spoilt,
) -> Iterator[Finding]:
    if not all(spoilt.knows("stages", stage.name, key) for stage in stages for key in ("lock", "run")):
        return
    for lock in locks:
        if not any(stage.lock == lock.name or may_ask(stage, lock.name) for stage in stages):
            message = f"nobody holds the lock '{lock.name}': no stage names it, and no handler asks for it"
            help_ = f"let a stage say `lock: {lock.name}`, or a handler have a parameter of that name"
            path = ("locks", lock.name)
            yield Finding(path, "unused-lock", message, "key", help_, severity=Severity.WARNING)
