"""Some of the items that pass at a queue or a stage of a run, as its workers show them: what `mprun tap` prints.

    TapClient ── a request ──► control.sock ──► supervisor        each opens the tap, or keeps it open
         └──◄── what was shown since, and how many passed ──┘

Nothing of a run waits for whoever looks: who does not ask for a while gets no items of that time, and is counted on no
more. What is shown was drawn as JSON by the worker, so nothing of the run's own code is needed here.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from runner.errors import UsageError
from runner.facts import dataclass
from runner.store.control_socket import ANSWER_TIMEOUT, RunSilent, ask

POLL = 0.2
"""Seconds between two requests: the supervisor forgets a tap of which it has heard nothing for 1.5 s."""

Direction = Literal["in", "out"]


@dataclass(frozen=True, slots=True)
class ShownItem:
    """An item, as a worker has shown it."""

    at: float
    """When, in seconds since the epoch."""
    worker: str
    stage: str
    queues: tuple[str, ...]
    """Where it was taken, or goes to."""
    id: str | None
    """Its id, where it was taken of a queue whose items have one."""
    item: Any
    """What it looks like, as JSON has it."""
    whole: bool
    """Whether that is all of it; else parts are left out, or only described."""

    def as_fields(self) -> dict[str, Any]:
        """The same as a mapping."""
        return {
            "at": self.at,
            "worker": self.worker,
            "stage": self.stage,
            "queues": list(self.queues),
            "id": self.id,
            "item": self.item,
            "whole": self.whole,
        }


class TapClient:
    """Looks at one place of a run. It costs the run as much as it asks for, and nothing once it is closed, or gone."""

    def __init__(
        self,
        folder: Path,
        of: str,
        direction: Direction | None = None,
        *,
        limit: int = 10,
        per: float = 1.0,
        timeout: float = ANSWER_TIMEOUT,
    ) -> None:
        """
        `folder` is that of a run under way, `of` a queue or a stage of it, `direction` whether what goes in or what
        comes out is meant; without, it is what is taken of a queue, and what a stage makes, if it makes anything. At
        most `limit` items in `per` seconds are shown. Each answer is waited for `timeout` seconds at the most.

        Raises:
            RunSilent: nobody answers.
            UsageError: there is no such place, or nothing passes there.
        """
        self._folder = folder
        self._timeout = timeout
        self._key = secrets.token_hex(8)
        self._request = {
            "do": "tap",
            "key": self._key,
            "of": of,
            "side": direction,
            "limit": limit,
            "per": per,
        }
        self._first: int | None = None
        self.passed = 0
        """Items that have passed since this was opened, shown or not, as the run's own counters have it."""
        self.left_out = 0
        """Items that were shown and not fetched in time."""
        self.ended = False
        """Whether the run has come to its end: nothing more will be shown."""
        self._waiting = self._take_in(ask(folder, self._request, timeout=timeout))

    def _take_in(self, answer: dict[str, Any]) -> list[ShownItem]:
        self.kind, self.name, self.side = answer["kind"], answer["name"], answer["side"]
        self._first = answer["passed"] if self._first is None else self._first
        self.passed = max(self.passed, answer["passed"] - self._first)
        self.left_out += answer["left_out"]
        return [_shown(each) for each in answer["items"]]

    def poll(self) -> list[ShownItem]:
        """Fetch what was shown since this was asked last. To be called every `POLL` seconds, or so."""
        shown, self._waiting = self._waiting, []
        if self.ended:
            return shown
        try:
            return shown + self._take_in(ask(self._folder, self._request, timeout=self._timeout))
        except RunSilent as error:
            # Else it is stopped, or has too many callers: it may answer later.
            self.ended = isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError)
            return shown

    def items(self, seconds: float | None = None) -> Iterator[ShownItem]:
        """Yield what is shown, until the run is over, or for so many seconds."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self.ended and (deadline is None or time.monotonic() < deadline):
            yield from self.poll()
            if not self.ended:
                time.sleep(POLL)
        yield from self.poll()

    def close(self) -> None:
        """Have nothing more shown."""
        if not self.ended:
            with suppress(UsageError):  # it has ended, or will forget this by itself
                ask(self._folder, {"do": "tap", "key": self._key, "close": True}, timeout=self._timeout)


def _shown(fields: dict[str, Any]) -> ShownItem:
    queues = tuple(fields["queues"])
    return ShownItem(
        fields["at"],
        fields["worker"],
        fields["stage"],
        queues,
        fields["id"],
        fields["item"],
        fields["whole"],
    )
