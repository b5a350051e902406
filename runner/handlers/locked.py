"""`lock: NAME` of a stage whose handler would wait for ever under it: refused before a run. Runs no user code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from runner.handlers.check import Fault
from runner.handlers.rules import drives
from runner.handlers.shape import Signature
from runner.handlers.signature import Missing, Opaque, read_signature
from runner.spec import StageSpec

Read = Callable[[str, Path], Signature | Missing | Opaque]


def check_locked(stage: StageSpec, beside: Path, read: Read = read_signature) -> list[Fault]:
    """Refuse a handler that waits for others, or for itself, while it holds its stage's lock."""
    signature = _signature(stage, beside, read)
    if stage.lock is None or not isinstance(signature, Signature):
        return []
    shown = f"{stage.handler.target.partition(':')[2]}()"
    if drives(signature):
        message = f"{shown} drives its queue by itself, and would hold the lock while it waits there"
        help_ = (
            f"let it have a parameter `{stage.lock}`, and write `with {stage.lock}:` round what must be whole"
        )
        return [Fault(("lock",), "value", "handler-role", message, help_)]
    if any(parameter.name == stage.lock for parameter in signature.parameters):
        message = (
            f"{shown} asks for '{stage.lock}' itself, and would wait for itself under `lock: {stage.lock}`"
        )
        return [Fault(("lock",), "value", "handler-role", message, "leave out one of the two")]
    return []


def may_ask(stage: StageSpec, lock: str, beside: Path, read: Read = read_signature) -> bool:
    """Say whether a stage's handler asks for a lock by name, or can't be looked into."""
    if stage.handler.kind != "python":
        return False
    signature = _signature(stage, beside, read)
    return not isinstance(signature, Signature) or any(p.name == lock for p in signature.parameters)


def _signature(stage: StageSpec, beside: Path, read: Read) -> Signature | Missing | Opaque | None:
    return read(stage.handler.target, beside) if stage.handler.kind == "python" else None
