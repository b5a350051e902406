"""Who works when: stages whose workers run one after the other, and the locks that they hold in turns. Pure.

stages: start, lock ──┐
                      ├──► findings        `may_ask` tells what only the handlers' source knows
locks ────────────────┘
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from runner.findings import Finding, Spoilt
from runner.problems import Severity, did_you_mean, nearest
from runner.spec import LockSpec, StageSpec, Start

TAKEN = frozenset({"worker", "queue", "inbox", "outbox", "offset"})
"""Parameters of handlers that mprun fills anyway: what a file declares can't have these names."""


def check_turns(
    stages: Sequence[StageSpec],
    locks: Sequence[LockSpec],
    may_ask: Callable[[StageSpec, str], bool],
    spoilt: Spoilt = Spoilt(),  # noqa: B008 - frozen
) -> list[Finding]:
    """Return what nobody could do of what stages ask for, and locks that are missing or of no use.

    `may_ask` says whether a stage's handler asks for a lock by name, or can't be looked into.
    """
    found = list(_serial_readers(stages, spoilt))
    if spoilt.knows("locks"):
        found += _unknown(stages, [lock.name for lock in locks])
        found += _unused(stages, locks, may_ask, spoilt)
        found += check_names("lock", [lock.name for lock in locks])
    return found


def check_names(what: str, names: Iterable[str]) -> Iterator[Finding]:
    """Refuse names that a handler could not ask for something of its own by. `what` is its section, less the `s`."""
    for name in names:
        if name in TAKEN:
            message = f"a handler's parameter '{name}' means something else, so a {what} can't have this name"
            yield Finding(
                (f"{what}s", name), "reserved-name", message, "key", f"such as 'my_{name}', or what it is for"
            )


def _serial_readers(stages: Iterable[StageSpec], spoilt: Spoilt) -> Iterator[Finding]:
    for stage in stages:
        path = ("stages", stage.name, "start")
        sure = spoilt.knows("stages", stage.name, "from") and spoilt.knows(*path)
        if stage.start is Start.SERIAL and stage.receives is not None and sure:
            message = (
                f"stage '{stage.name}' reads queue '{stage.receives}': its first worker would read it to the end, "
                "and leave nothing for those after it"
            )
            yield Finding(path, "wrong-role", message, "key", "leave it out")


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
    locks: Sequence[LockSpec],
    may_ask: Callable[[StageSpec, str], bool],
    spoilt: Spoilt,
) -> Iterator[Finding]:
    if not all(spoilt.knows("stages", stage.name, key) for stage in stages for key in ("lock", "run")):
        return
    names = [lock.name for lock in locks]
    named = {
        nearest(stage.lock, names) for stage in stages if stage.lock is not None
    }  # one slip is one problem
    for lock in locks:
        if lock.name not in named and not any(may_ask(stage, lock.name) for stage in stages):
            message = f"nobody holds the lock '{lock.name}': no stage names it, and no handler asks for it"
            help_ = f"let a stage say `lock: {lock.name}`, or a handler have a parameter of that name"
            path = ("locks", lock.name)
            yield Finding(path, "unused-lock", message, "key", help_, severity=Severity.WARNING)
