"""Whose output is shown, where only one job's may be: the oldest live one, the others when they are whole. Pure.

    begin a · begin b · begin c · end b ──► current a … a is over ──► b, whole ──► c, live from its beginning

What has ended goes before what is live: it can be shown at once, and then is out of the way.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

_Key = TypeVar("_Key")


class Turns(Generic[_Key]):
    """An order of turns. Keys are hashable, and each begins and ends once."""

    def __init__(self) -> None:
        self._live: dict[_Key, None] = {}
        self._over: deque[_Key] = deque()
        self._current: _Key | None = None

    def begin(self, key: _Key) -> None:
        """Something may be shown from now on."""
        self._live[key] = None

    def end(self, key: _Key) -> None:
        """Nothing will be added to it any more. If it has not had its turn it waits for it."""
        self._live.pop(key, None)
        if key != self._current:
            self._over.append(key)

    def current(self) -> _Key | None:
        """Return whose turn it is; None if nobody wants one. It stays so until `done`."""
        if self._current is None:
            if self._over:
                self._current = self._over.popleft()
            else:
                self._current = next(iter(self._live), None)
        return self._current

    def done(self) -> None:
        """All of the current one was shown: the turn goes on."""
        self._current = None
