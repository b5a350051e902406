"""What a stage's handler asks for, as far as its source tells: a parameter by its name, its queue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from runner.errors import HandlerNotFound
from runner.handlers.base import find_kind
from runner.handlers.rules import drives
from runner.handlers.shape import Signature
from runner.handlers.signature import Missing, Opaque, read_signature
from runner.spec import StageSpec

Read = Callable[[str, Path], Signature | Missing | Opaque]


def asks(stage: StageSpec, name: str, beside: Path, read: Read = read_signature) -> bool | None:
    """Say whether a stage's handler has a parameter of this name; None where it can't be looked into."""
    target = _called_by(stage)
    if target is None:
        return False
    signature = read(target, beside)
    if not isinstance(signature, Signature):
        return None
    return any(p.name == name for p in signature.parameters)


def may_drive(stage: StageSpec, beside: Path, read: Read = read_signature) -> bool:
    """Say whether a stage's handler drives its queue itself, or can't be looked into."""
    if stage.handler.kind != "python":
        return False
    signature = read(stage.handler.target, beside)
    return not isinstance(signature, Signature) or drives(signature)


def _called_by(stage: StageSpec) -> str | None:
    """Return the Python callable that a stage's workers call, by themselves or through a kind such as `serve`."""
    if stage.handler.kind == "python":
        return stage.handler.target
    if not stage.handler.target:  # a `run` that was wrong, and told of: nobody need look for its kind
        return None
    try:
        calls = find_kind(stage.handler.kind).calls
    except HandlerNotFound:
        return None
    return None if calls is None else stage.handler.options.get(calls.option)
