"""What a stage's handler asks for, as far as its source tells: a parameter by its name, its queue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from runner.handlers.rules import drives
from runner.handlers.shape import Signature
from runner.handlers.signature import Missing, Opaque, read_signature
from runner.spec import StageSpec

Read = Callable[[str, Path], Signature | Missing | Opaque]


def may_ask(stage: StageSpec, name: str, beside: Path, read: Read = read_signature) -> bool:
    """Say whether a stage's handler has a parameter of this name, or can't be looked into."""
    if stage.handler.kind != "python":
        return False
    signature = read(stage.handler.target, beside)
    return not isinstance(signature, Signature) or any(p.name == name for p in signature.parameters)


def may_drive(stage: StageSpec, beside: Path, read: Read = read_signature) -> bool:
    """Say whether a stage's handler drives its queue itself, or can't be looked into."""
    if stage.handler.kind != "python":
        return False
    signature = read(stage.handler.target, beside)
    return not isinstance(signature, Signature) or drives(signature)
