"""Can a producer be restarted without making its items again? Without running any of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from runner.handlers.fault import Fault
from runner.handlers.rules import OFFSET, takes_offset
from runner.handlers.shape import Signature
from runner.handlers.signature import Missing, Opaque, read_signature
from runner.spec import RestartOn, Role, StageSpec

_HELP = f"give its handler a parameter `{OFFSET}`, or say `deterministic: true` if it makes the same items each time"


def check_resumable(
    stage: StageSpec, beside: Path, read: Callable[[str, Path], Signature | Missing | Opaque] = read_signature
) -> list[Fault]:
    """Refuse a restart of a producer that would put again what is in the queue already."""
    asked = stage.restart is not None and stage.restart.on is not RestartOn.NEVER
    if stage.role is not Role.PRODUCER or not asked or stage.deterministic:
        return []
    if stage.handler.kind == "python":
        signature = read(stage.handler.target, beside)
        if not isinstance(signature, Signature) or takes_offset(signature):
            return []
    message = f"a producer that is restarted begins again, and would put items of '{stage.sends}' twice"
    return [Fault(("restart",), "value", "restart-repeats", message, _HELP)]
