"""The outbox of a pipe stage that drives its queues under `leased`: what is put for an item leaves as it is done.

    put ──► held ──task_done──► one message: these outputs, and the item that they were made from
              └── 256 of them, a tenth of a second, a get that waits, join ──► sent before: a kill then repeats them

Nobody can tell for which item something is put, so what is put between two `task_done` is taken for the later one's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from runner.ipc.stream import Ended
from runner.transports.leased.commits import Committer, OutputBuffer
from runner.transports.leased.outbox import OutboxEnd
from runner.transports.leased.session import WorkerSession

_HELD = 256
"""OutputBuffer that are held at the most."""
_HELD_SECONDS = 0.1


class HeldOutbox(OutboxEnd):
    """A queue's end that holds what is put until the item is done that it was made from."""

    def __init__(self, session: WorkerSession, outputs: OutputBuffer, *, asks: bool, in_order: bool) -> None:
        """`asks`: leave to put is not given. `in_order`: the stage keeps the order of its items."""
        super().__init__(session, in_order=in_order)
        self._outputs = outputs
        self._committer = Committer(session, outputs, asks=asks)
        self._held_since: float | None = None
        self._gathering = threading.Event()
        self._flusher: threading.Thread | None = None

    def add(self, item: object) -> None:
        """Hold one output. Raises as `put` does."""
        self._outputs.add(item)
        if len(self._outputs) >= _HELD:
            self.flush()
        elif self._held_since is None:
            self._held_since = time.monotonic()
            self._see_to_it_that_it_leaves()

    def commit(self, ends: Sequence[Ended], nanos: int = 0) -> None:
        """Say what is done, together with what is held. Raises `Stopping` as `put` does, and has sent nothing then."""
        self._held_since = None
        self._committer.commit(ends, nanos)

    def flush(self) -> None:
        """Send what is held, though what it was made from is not done."""
        if len(self._outputs):
            self.commit(())

    def discard(self) -> None:
        """Forget what is held: the item that it was made from comes again."""
        self._held_since = None
        self._outputs.discard()

    def _see_to_it_that_it_leaves(self) -> None:
        if self._flusher is None:
            self._flusher = threading.Thread(target=self._flush_in_time, name="mprun-flusher", daemon=True)
            self._flusher.start()
        self._gathering.set()

    def _flush_in_time(self) -> None:
        """The flusher's life: send what is held for too long, as far as nobody has to wait for that."""
        turn = self.session.share()
        while True:
            self._gathering.wait()
            time.sleep(_HELD_SECONDS)
            with turn:
                since = self._held_since
                if since is None:
                    self._gathering.clear()
                elif time.monotonic() >= since + _HELD_SECONDS and self._committer.commit_nowait():
                    self._held_since = None
