"""Where sources are, as they have said themselves: kept by the supervisor for whoever takes a killed one's place.

PlaceMessage ──► note ──► begin(worker, items that are in) ──► the next generation

A source says where it is before it has put what is there. So several places are kept: those behind what is in.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourcePlace:
    """What a source has to know, to make again the items from number `start` on."""

    start: int
    state: bytes


class SourcePlaces:
    """The last places of each source. Nobody reads one here."""

    def __init__(self) -> None:
        self._noted: dict[str, list[SourcePlace]] = {}

    def note(self, worker: str, place: SourcePlace, offset: int) -> None:
        """A source of which `offset` items are in is at a place."""
        noted = self._noted.setdefault(worker, [])
        noted.append(place)
        while len(noted) > 1 and noted[1].start <= offset:
            del noted[0]

    def begin(self, worker: str, offset: int) -> bytes:
        """
        Return the state of the last place at which no more than `offset` items lie behind; empty where none is.

        That is where another generation begins. What its predecessor had said of places beyond is void.
        """
        noted = self._noted.get(worker, [])
        noted[:] = [place for place in noted if place.start <= offset]
        return noted[-1].state if noted else b""
