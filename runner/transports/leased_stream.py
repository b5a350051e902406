"""A worker's stream under `leased`, sorted by what comes: leases for the inbox, leave for the outbox, answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from runner.status import StatusPage
from runner.wire import Kind, Message, WorkerWire


class Stream:
    """The worker's private stream, sorted by what comes: leases, credit, answers."""

    def __init__(self, wire: WorkerWire, status: StatusPage) -> None:
        self.wire = wire
        self.status = status
        self.leases: deque[Message] = deque()
        self.granted = 0
        """Items that may be sent unasked, counted since the start; only the main thread takes in messages."""
        self.spent = 0
        """Of these, how many were sent; only whoever holds the outbox's lock sends frames."""
        self.answered = 0
        """CREDITs that have come: where no leave is given, one for each PUT that is in."""
        self.answers: deque[Message] = deque()
        self.ended = False
        self.on_freed: Callable[[bytes | memoryview], None] = _not_mine
        """Called with the frames of big items that have come to an end."""

    @property
    def credit(self) -> int:
        """Items that may be sent unasked."""
        return self.granted - self.spent

    def wait(self, timeout: float | None = None) -> bool:
        """Take in the next message, waiting for it; False if none came in time.

        Raises:
            SystemExit: the supervisor is gone. So will this worker be: it dies with its parent.
        """
        try:
            message = self.wire.receive(timeout)
        except (EOFError, OSError):
            raise SystemExit(1) from None
        if message is None:
            return False
        match message.kind:
            case Kind.LEASE:
                self.leases.append(message)
            case Kind.CREDIT:
                self.granted += message.count
                self.answered += 1
            case Kind.END:
                self.ended = True
            case Kind.JOINED | Kind.STOCK:
                self.answers.append(message)
            case Kind.FREED:
                self.on_freed(message.body)
            case _:
                pass
        return True

    def take_in(self) -> None:
        """Take in what has come, without waiting."""
        while self.wait(0) and self.wire.ready:
            pass

    def ask(self, message: Message) -> Message:
        """Send a question and wait for its answer."""
        self.wire.send(message)
        while not self.answers:
            self.wait()
        return self.answers.popleft()


def _not_mine(_body: bytes | memoryview) -> None:
    """Nobody here has put a big item."""
