"""`order: keep` where a handler puts by itself: refused before a run, since outputs would have no place in order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from runner.handlers.fault import Fault
from runner.handlers.rules import drives
from runner.handlers.shape import Signature
from runner.handlers.signature import Missing, Opaque, read_signature
from runner.spec import StageSpec


def check_ordered(
    stage: StageSpec, beside: Path, read: Callable[[str, Path], Signature | Missing | Opaque] = read_signature
) -> list[Fault]:
    """Refuse a handler that drives its queues where the order of items is to be kept."""
    if not stage.keeps_order or stage.handler.kind != "python":
        return []
    signature = read(stage.handler.target, beside)
    if not isinstance(signature, Signature) or not drives(signature):
        return []
    name = stage.handler.target.partition(":")[2]
    message = (
        f"{name}() puts by itself, so nobody can tell which item an output was made from, to keep their order"
    )
    return [
        Fault(("order",), "key", "handler-role", message, "let it return or yield what it makes of an item")
    ]
