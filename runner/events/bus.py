"""The bus: hands each event to all who want to see it.

supervisor ──publish──► Bus ──► report · logs · progress          equal subscribers; one that raises is dropped
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from runner.events.base import Event
from runner.facts import dataclass

if TYPE_CHECKING:
    import socket


class Observer(Protocol):
    """Whoever wants to see events. Called in the supervisor's own loop, so it must not block.

    One with a true `is_live` shows the run to somebody who looks on.
    """

    def observe(self, event: Event) -> None:
        """Take note of one event."""

    def close(self) -> None:
        """The run is over: flush. Called once, also after a failure."""


@runtime_checkable
class ServesWatchers(Protocol):
    """An observer that can tell others of the run."""

    def serve_watchers(self, listener: socket.socket) -> None:
        """Take in who calls there. Called before the first event, and never where nobody can be served."""


Publish = Callable[[Event], None]


@dataclass(slots=True)
class Bus:
    """Hands each event to every observer. An observer that raises is dropped, and the run goes on.

    `dropped` holds those observers with what they raised, so that the end of the run can say so.
    """

    run: str
    clock: Callable[[], float] = time.time
    observers: list[Observer] = field(default_factory=list)
    dropped: list[tuple[Observer, Exception]] = field(default_factory=list)
    mask: Callable[[Any], Any] | None = None
    """Takes secrets out of what observers get to see, whatever they make of it; None where there are none."""

    @property
    def is_watched(self) -> bool:
        """Whether somebody looks on while the run goes on."""
        return any(getattr(observer, "is_live", False) for observer in self.observers)

    def publish(self, event: Event) -> None:
        """Tell all observers that this happened now, in this run."""
        event = event if self.mask is None else event.masked(self.mask)
        self.forward(event.stamped(self.clock(), self.run))

    def forward(self, event: Event) -> None:
        """Tell all observers of an event that was published elsewhere, such as in the process that this one serves."""
        for observer in tuple(self.observers):
            self._hand(observer, lambda o: o.observe(event))

    def close(self) -> None:
        """Let every observer flush."""
        for observer in tuple(self.observers):
            self._hand(observer, lambda o: o.close())

    def _hand(self, observer: Observer, action: Callable[[Observer], None]) -> None:
        try:
            action(observer)
        except Exception as error:  # an observer is a guest: whatever it raises must not end the run
            self.observers.remove(observer)
            self.dropped.append((observer, error))
