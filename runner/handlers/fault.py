"""One thing wrong with how a stage uses its handler, at a place in the stage; `load` turns it into a finding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with how a stage uses its handler."""

    where: tuple[str | int, ...]
    """The keys that lead to it from the stage: `("run",)`, `("with", "bunz")`, `("args", 0)`."""
    part: Literal["key", "value"]
    """Whether to point at the key or at its value."""
    code: str
    message: str
    help: str | None = None
