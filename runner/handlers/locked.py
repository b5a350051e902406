"""`lock: NAME` of a stage whose handler would wait for ever under it: refused before a run. Runs no user code."""

from __future__ import annotations

from pathlib import Path

from runner.handlers.asking import Read
from runner.handlers.fault import Fault
from runner.handlers.rules import drives
from runner.handlers.shape import Signature
from runner.handlers.signature import read_signature
from runner.spec import StageSpec


def check_locked(stage: StageSpec, beside: Path, read: Read = read_signature) -> list[Fault]:
    """Refuse a handler that waits for others, or for itself, while it holds its stage's lock."""
    if stage.lock is None or stage.handler.kind != "python":
        return []
    signature = read(stage.handler.target, beside)
    if not isinstance(signature, Signature):
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
