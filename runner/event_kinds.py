"""What is said of a kind of event: its meaning, how loud it is, and its fields. The declarations are made of these.

event_kinds ──► events_jobs ──► events.DECLARATIONS
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EventField:
    """One field of an event: JSON type (or types), meaning, and whether it is always there."""

    type: str | tuple[str, ...]
    description: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Declaration:
    """What one event means and carries. `level` is the one that logs give it."""

    summary: str
    level: str
    fields: Mapping[str, EventField]


def carries(**fields: EventField) -> Mapping[str, EventField]:
    """Name the fields of an event in the order in which they are told."""
    return fields
