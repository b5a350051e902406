"""Is there such an exception as `retry.on` names? Without running any of it.

ConnectionError      a builtin              requests.Timeout   with its module: not looked for
SteamTooCold         the handler's module   ConectionError     one slip from a builtin: refused
Unheard              neither, nor near any: it may come from a library that the handler uses
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from pathlib import Path

from runner.handlers.fault import Fault
from runner.handlers.lookup import names_of
from runner.handlers.modules import SourceModule, find_module
from runner.problems import one_slip_from
from runner.spec import StageSpec

_BUILTIN = "builtins."


def check_retryable(stage: StageSpec, beside: Path) -> list[Fault]:
    """Refuse names that look like a slip of the finger: such an exception would never be tried again."""
    known = frozenset(name for name, value in vars(builtins).items() if _is_exception(value))
    faults = []
    for index, name in enumerate(stage.retry.on):
        bare = name.removeprefix(_BUILTIN)
        if bare in known or ("." in bare and bare == name):
            continue
        # Only now: most files name builtins alone, and need no module to be read.
        own = () if bare != name else _own_names(stage, beside)
        if bare not in own and (meant := one_slip_from(bare, [*known, *own])) is not None:
            message = f"there is no exception '{name}'"
            help = f"did you mean '{meant}'?"
            faults.append(Fault(_place(stage, index), "value", "unknown-exception", message, help))
    return faults


def _place(stage: StageSpec, index: int) -> tuple[str | int, ...]:
    """A single name need not be in a list."""
    return ("retry", "on") if len(stage.retry.on) == 1 else ("retry", "on", index)


def _is_exception(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def _own_names(stage: StageSpec, beside: Path) -> Iterable[str]:
    """The names that the handler's module binds, imports included."""
    if stage.handler.kind != "python":
        return ()
    module = find_module(stage.handler.target.partition(":")[0], beside)
    return names_of(module).names if isinstance(module, SourceModule) else ()
