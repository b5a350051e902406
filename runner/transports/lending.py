"""A worker's place at its queues, lent to another process: the program that called mprun takes it, and is no worker.

    supervisor: LentWorker ══ lifeline ══► LentPlace in the program: stream, status page, channel, its part of the arena
        └── started, ended and buried like any worker; no process of its own

What the program puts and takes goes by the same stream, page and arena as that of any worker; the ledgers can't tell
the difference, and need not.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

from runner.errors import StartFailed
from runner.facts import dataclass
from runner.ipc.channel import Sender
from runner.ipc.frames import UnpackError
from runner.ipc.shm.arena import ArenaFile
from runner.ipc.status_page import StatusPage, Word
from runner.ipc.stream import WorkerStream
from runner.transports.base import HasFileno
from runner.transports.leased.big_items import BigItemReader, BigItemWriter, WriterRegion
from runner.transports.leased.reader import FrameInbox
from runner.transports.leased.session import WorkerSession
from runner.transports.leased.writer import FramePacker

DONE = b"."
"""What a lifeline says where the program has come to the end of its part."""
_MOST_SENT = 4096


class LentWorker:
    """Stands for the program in the supervisor's pool: it has ended once its lifeline says so, or is cut."""

    def __init__(self, lifeline: socket.socket) -> None:
        self._lifeline = lifeline
        self._ended_by = 0
        self.pid = os.getpid()
        """The host's own: a number that others may have to do with, and no process is hurt by."""

    def fileno(self) -> int:
        """The lifeline, for a selector."""
        return self._lifeline.fileno()

    def reap(self) -> int:
        """Return 0 where the program has said that it is done, else what has cut the line."""
        try:
            word = self._lifeline.recv(1, socket.MSG_DONTWAIT)
        except OSError:
            word = b""
        self._lifeline.close()
        return 0 if word == DONE else -self._ended_by or 1

    def is_stopped(self) -> bool:
        """Nobody is asked whether the program is."""
        return False

    def send(self, number: signal.Signals) -> None:
        """Cut the line at a signal that ends; a program is not for a supervisor to signal."""
        if number in (signal.SIGTERM, signal.SIGKILL):
            self._ended_by = number
            with suppress(OSError):
                self._lifeline.shutdown(socket.SHUT_RDWR)

    send_alone = send


def lend_place(
    lifeline: socket.socket,
    stream: WorkerStream,
    region: WriterRegion | None,
    arena: ArenaFile | None,
    status: StatusPage,
    sender: Sender,
) -> LentWorker:
    """
    Send all that is needed to act in a worker's place, and return what stands for whoever takes it.

    Raises:
        StartFailed: nobody is there to take it.
    """
    about = None if region is None else (region.part, region.share, region.most, region.queue)
    files = [each for each in (None if region is None else region.file, arena) if each is not None]
    lent: tuple[HasFileno, ...] = (stream, status, sender, *files)
    descriptors = [each.fileno() for each in lent]
    try:
        socket.send_fds(lifeline, [pickle.dumps((about, arena is not None))], descriptors)
    except OSError as error:
        raise StartFailed("the program that the run was for is gone") from error
    return LentWorker(lifeline)


@dataclass(slots=True)
class LentPlace:
    """What a program has in its hands of a place: a session, and the ends of the queues that the place has."""

    session: WorkerSession
    sender: Sender
    outbox: LentOutbox | None
    inbox: FrameInbox | None
    files: tuple[ArenaFile, ...]
    big_items: tuple[BigItemReader | BigItemWriter, ...] = ()

    def finish(self, lifeline: socket.socket) -> None:
        """Say that all is done here: nothing more is put, or taken."""
        self.sender.send("finished")
        with suppress(OSError):  # the run is being ended at this moment
            lifeline.send(DONE)

    def take_in(self) -> bool:
        """Take in what has come, without waiting; False once the supervisor has closed its end."""
        try:
            self.session.take_in()
        except SystemExit:
            return False
        return True

    def items(self) -> Iterator[object]:
        """Yield what has been leased to this place, each lease acknowledged once its last item has been taken.

        An item that can't be unpickled is yielded as the `UnpackError` that says why.
        """
        inbox, words = self.inbox, self.session.status.words
        assert inbox is not None
        while self.session.leases and (lease := inbox.next_lease()) is not None:
            opened, held = inbox.open(lease), lease.stop - lease.start
            while held:
                held -= 1
                try:
                    yield next(opened)
                except UnpackError as error:
                    yield error
            words[Word.DONE] += lease.stop - lease.start
            inbox.release_items()
            inbox.ack(lease.lease, lease.stop, 1)

    def descriptors(self) -> list[int]:
        """What this place has open."""
        own: tuple[HasFileno, ...] = (self.session.stream, self.session.status, self.sender, *self.files)
        return [each.fileno() for each in own]

    def close(self) -> None:
        """Give back every descriptor. Arrays that were taken stay good."""
        self.session.stream.close()
        self.sender.close()
        for each in self.big_items:
            each.close()
        for file in self.files:
            file.close()
        self.session.status.close()


def borrow_place(sock: socket.socket, wait: Callable[[], None]) -> LentPlace | None:
    """
    Wait for a place and take it; None where the run ended before it could be lent.

    `wait` is called while the outbox has to wait: it takes in what comes, and lets the program's results come in.
    """
    described, descriptors, _, _ = socket.recv_fds(sock, _MOST_SENT, 5)
    if not described:
        return None
    about, reads = pickle.loads(described)
    stream_fd, page_fd, sender_fd, *rest = descriptors
    session = WorkerSession(WorkerStream(socket.socket(fileno=stream_fd)), StatusPage(page_fd))
    files = [ArenaFile(each) for each in rest]
    sender = Sender(socket.socket(fileno=sender_fd))
    inbox: FrameInbox | None = None
    outbox: LentOutbox | None = None
    big_items: list[BigItemReader | BigItemWriter] = []
    if reads:
        reader = BigItemReader(files[-1])
        inbox = FrameInbox(session, reader)
        big_items.append(reader)
    if about is not None:
        writer = BigItemWriter(WriterRegion(files[0], *about), session)
        outbox = LentOutbox(session, writer, wait)
        big_items.append(writer)
    sender.send("ready")
    return LentPlace(session, sender, outbox, inbox, tuple(files), tuple(big_items))


class LentOutbox:
    """Gathers items and sends them when it is told to, within the credit that the supervisor gives. One thread only."""

    def __init__(self, session: WorkerSession, big_items: BigItemWriter, wait: Callable[[], None]) -> None:
        self._session = session
        self._wait = wait
        self._packer = FramePacker(big_items, self.flush, self._wait_for_slot)

    def __len__(self) -> int:
        return len(self._packer)

    def add(self, item: object) -> int:
        """Gather one item; return how many there are. Raises whatever pickling it raises, and `ItemTooBig`."""
        return self._packer.add(item)

    def flush(self) -> None:
        """Send what has gathered, in one frame for as many as there is leave for, waiting for more."""
        session = self._session
        while gathered := len(self._packer):
            while session.credit <= 0:
                self._wait()
            sent = min(gathered, session.credit)
            kind, body = self._packer.take(sent, may_store=True)
            session.spent += sent
            session.status.words[Word.SENT] += sent
            session.stream.send(kind(sent, 0, 0, 0, 0, body=body))

    def _wait_for_slot(self) -> None:
        if len(self._packer):
            self.flush()
        else:
            self._wait()
