"""A worker's stream under `leased`, sorted by what comes: leases for the inbox, leave for the outbox, answers."""

from __future__ import annotations

import threading
import time
from _thread import get_ident
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from runner.errors import Stopping
from runner.ipc.status_page import StatusPage, StopRequest, Wait, Word
from runner.ipc.stream import (
    LONGEST,
    CreditMessage,
    EndMessage,
    EnoughMessage,
    FreedMessage,
    JoinAnswer,
    JoinRequest,
    LeaseMessage,
    LeaveAnswer,
    LeaveRequest,
    Message,
    StockAnswer,
    StockRequest,
    WorkerStream,
)

if TYPE_CHECKING:
    from runner.transports.item_tap import Gathered, ItemTap

_MOMENT = 0.001


class WorkerSession:
    """The worker's private stream, sorted by what comes: leases, credit, answers."""

    def __init__(self, stream: WorkerStream, status: StatusPage) -> None:
        self.stream = stream
        self.status = status
        self.leases: deque[LeaseMessage] = deque()
        self.granted = 0
        """Items that may be sent unasked, counted since the start; only the main thread takes in messages."""
        self.spent = 0
        """Of these, how many were sent; only whoever holds the outbox's lock sends frames."""
        self.longest = LONGEST
        """Items that a frame should hold at the most."""
        self.answered = 0
        """CREDITs that have come: where no leave is given, one for each PUT that is in."""
        self._receive: Callable[[float | None], Message | None] = stream.receive
        self._turn: threading.Condition | None = None
        """Held by whichever thread of the handler is at a queue, where it may have several."""
        self._owner = get_ident()
        self._is_read = False
        self._asking: set[type[Message]] = set()
        """The kinds of answers that somebody waits for."""
        self._answers: dict[type[Message], Message] = {}
        self.ended = False
        self.enough = False
        """Nobody could add to what the reader has taken, when this was said last. The reader's to unset."""
        self.on_freed: list[Callable[[bytes | memoryview], None]] = []
        """Called with the frames of big items that have come to an end: for each queue that is written to."""
        self.tap: ItemTap | None = None
        """What shows some of its items to whoever looks on; None in a place that was lent."""

    @property
    def credit(self) -> int:
        """Items that may be sent unasked."""
        return self.granted - self.spent

    def show_made(self, gathered: Gathered, count: int) -> None:
        """Show some of the oldest `count` of what is about to leave: called where the page allows that."""
        if self.tap is not None:
            self.tap.show_made(gathered, count)

    def note_big(self, handle: bytes, item: object) -> None:
        """An item was put where its handle says: keep what it looks like, where somebody looks on."""
        if self.tap is not None and self.status.words[Word.SHOW_MADE]:
            self.tap.note_big(handle, item)

    def wait(self, timeout: float | None = None) -> bool:
        """Take in the next message, waiting for it; False if none came in time.

        Raises:
            SystemExit: the supervisor is gone. So will this worker be: it dies with its parent.
        """
        try:
            message = self._receive(timeout)
        except (EOFError, OSError):
            raise SystemExit(1) from None
        if message is None:
            return False
        match message:
            case LeaseMessage():
                self.leases.append(message)
            case CreditMessage():
                self.granted += message.count
                self.longest = message.longest or LONGEST
                self.answered += 1
            case EndMessage():
                self.ended = True
            case EnoughMessage():
                self.enough = True
            case JoinAnswer() | StockAnswer() | LeaveAnswer():
                self._answers[type(message)] = message
            case FreedMessage():
                self.on_freed[message.branch](message.body)
            case _:
                pass
        return True

    def blocked(self, why: Wait, wait: Callable[[], object]) -> None:
        """Call what waits, show meanwhile what for, and count the time as such."""
        began = self.status.show_wait(why)
        wait()
        self.status.words[Word.BLOCKED] += time.perf_counter_ns() - began
        self.status.show_wait(Wait.NOTHING)

    def take_in(self) -> None:
        """Take in what has come, without waiting."""
        while self.wait(0) and self.stream.ready:
            pass

    def share(self) -> threading.Condition:
        """From now on several threads may come here, one at a time: return what each must hold meanwhile.

        Who waits for a message lets the others in. One of those who wait reads the stream; when it has read something,
        all look whether that is what they wait for.
        """
        if self._turn is None:
            self._turn = threading.Condition(threading.Lock())
            self._receive = self._receive_in_turn
        return self._turn

    def between_items(self, step: Callable[[], object]) -> None:
        """Do something with the outbox of a producer whose handler has the word: in the thread whose it is, or in its
        turn. A thread of a handler that yields its items has no turn, and does nothing."""
        if self._turn is not None:
            with self._turn:
                step()
        elif get_ident() == self._owner:
            step()

    def _receive_in_turn(self, timeout: float | None) -> Message | None:
        turn = self._turn
        assert turn is not None
        if self._is_read:
            turn.wait(timeout)
            return None
        self._is_read = True
        turn.release()
        try:
            return self.stream.receive(timeout)
        finally:
            turn.acquire()
            self._is_read = False
            turn.notify_all()

    def pause(self, seconds: float) -> None:
        """Let a moment pass."""
        if self._turn is None:
            time.sleep(seconds)
        else:
            self._turn.wait(seconds)

    def join(self) -> None:
        """Wait until the queue written to has no unfinished item. Raises `Stopping` where that is not to be awaited."""
        self._ask(JoinRequest(), JoinAnswer)

    def stock(self, *, of_outbox: bool) -> StockAnswer:
        """Ask how many items wait in one of the two queues, and how many more have room."""
        answer = self._ask(StockRequest(of_outbox), StockAnswer)
        assert isinstance(answer, StockAnswer)
        return answer

    def leave(self, request: LeaveRequest) -> LeaveAnswer:
        """Ask for leave to begin items. Raises `Stopping` where the worker is to close meanwhile."""
        answer = self._ask(request, LeaveAnswer)
        assert isinstance(answer, LeaveAnswer)
        return answer

    def _ask(self, request: Message, kind: type[Message]) -> Message:
        """Ask, and wait for the answer; of several threads that ask alike, one after the other."""
        while kind in self._asking:
            self.pause(_MOMENT)
        self._asking.add(kind)
        try:
            self.stream.send(request)
            while (answer := self._answers.pop(kind, None)) is None:
                if kind is JoinAnswer and self.status.words[Word.STOP] == StopRequest.WAITING:
                    raise Stopping
                self.wait()
        finally:
            self._asking.discard(kind)
        return answer
