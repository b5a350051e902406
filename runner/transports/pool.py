"""The processes of a run, for every transport that has processes: births, private channels, deaths, status pages.

ProcessPool ── polls ── pidfd of each worker     readable when it dies
                        channel of each worker   readable when it speaks
                        wake                     readable when a signal came
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from runner import child
from runner.channel import Receiver, Sender, open_channel
from runner.errors import MprunInternalError, StartFailed
from runner.facts import Exited, Fact, from_message
from runner.plan import WorkerPlan
from runner.process import ChildProcess, has_stopped_child
from runner.provisions import NO_PROVISIONS, Gifts, Provisions, descriptors_of
from runner.sketch import describe_error
from runner.stacks import own_frames
from runner.status import STACKS_SIGNAL, StatusPage
from runner.transports.base import HasFileno, Life, Port, Spawned
from runner.transports.poller import Poller

_STACKS_WAIT = 0.3
_STACKS_LOOK = 0.02

MakePort = Callable[[WorkerPlan, StatusPage, Sender], Port]
"""Called in the child: put the transport's queue ends into a port. Must pickle where a worker is spawned."""


@dataclass(slots=True)
class _Member:
    plan: WorkerPlan
    process: ChildProcess
    receiver: Receiver
    status: StatusPage


class ProcessPool:
    """Starts workers and waits for what they say and for their deaths. One thread only."""

    def __init__(self, life: Life, wake: int, provisions: Provisions = NO_PROVISIONS) -> None:
        """`wake` is a descriptor that becomes readable when the waiting must be cut short; it is never read here."""
        self._life = life
        self._provisions = provisions
        self._alive: dict[str, _Member] = {}
        self._pages: dict[str, StatusPage] = {}
        self._facts: list[Fact] = []
        self._dead: list[_Member] = []
        self.woken = False
        """Whether the last wait saw `wake` readable."""
        self._poller = Poller()
        self._poller.watch(wake, self._note_wake)

    def start(self, plan: WorkerPlan, make_port: MakePort, needed: Iterable[int]) -> Spawned:
        """Give birth to a worker. `needed` are descriptors that its port uses beyond its own channel and page.

        Raises:
            StartFailed: the system has no process or descriptor left.
        """
        gifts = self._provisions.gifts(plan)
        receiver, sender, status = _open_for(plan)
        kept = (sender.fileno(), status.fileno(), *needed, *descriptors_of(gifts))
        keep = kept if plan.start_method == "fork" else None
        try:
            process = ChildProcess(
                _live,
                (self._life, plan, make_port, status, sender, os.getpid(), keep, gifts),
                name=plan.name,
                daemon=plan.daemon,
                method=plan.start_method,
            )
        except BaseException:
            receiver.close()
            status.close()
            raise
        finally:
            sender.close()
        self._provisions.handed_over(plan)
        self._admit(_Member(plan, process, receiver, status))
        return Spawned(process.pid, os.getpid())

    def wait(self, timeout: float) -> list[Fact]:
        """Block until a worker speaks or dies, or `wake` is readable, or `timeout` seconds have passed."""
        self.woken = False
        self._poller.wait(timeout)
        facts, self._facts = self._facts, []
        dead, self._dead = self._dead, []
        for member in dead:
            facts += self._bury(member)
        return facts

    def watch(self, end: HasFileno, ready: Callable[[], None], *, writing: bool = False) -> None:
        """Call `ready` within `wait` whenever `end` can be read, or written where `writing`. Repeated, it changes."""
        self._poller.watch(end, ready, writing=writing)

    def unwatch(self, end: HasFileno) -> None:
        """Stop watching; what is not watched is no error."""
        self._poller.unwatch(end)

    def status(self, worker: str) -> StatusPage:
        """The page of a worker, dead or alive."""
        return self._pages[worker]

    def statuses(self) -> Iterable[tuple[str, StatusPage]]:
        """All pages by worker."""
        return self._pages.items()

    def nudge(self, worker: str, number: signal.Signals) -> None:
        """Signal a worker alone: what it is just about to start is still of its group, and would die of it."""
        if worker in self._alive:
            self._alive[worker].process.send_alone(number)

    def signal(self, worker: str, number: signal.Signals) -> None:
        """Signal a worker's whole group; one that is gone is no error."""
        if worker in self._alive:
            self._alive[worker].process.send(number)

    def end_all(self) -> None:
        """Kill and reap every worker that is left. Waits for no more than the kernel needs."""
        members, self._alive = list(self._alive.values()), {}
        for member in members:
            member.process.send(signal.SIGKILL)
        for member in members:
            self._put_away(member)
            member.process.reap()

    def stacks(self, workers: Collection[str]) -> dict[str, str]:
        """Ask workers for their stacks; waits a moment for all of them, and leaves out those that do not answer."""
        asked = {name: self._alive[name] for name in workers if name in self._alive}
        known = {name: len(member.status.stacks()) for name, member in asked.items()}
        for member in asked.values():
            member.process.send_alone(STACKS_SIGNAL)
        deadline = time.monotonic() + _STACKS_WAIT
        before: dict[str, str] = {}
        while True:
            time.sleep(_STACKS_LOOK)
            said = {name: member.status.stacks()[known[name] :] for name, member in asked.items()}
            if time.monotonic() >= deadline or (all(said.values()) and said == before):
                return {name: own_frames(text) for name, text in said.items() if text}
            before = said

    def stopped(self) -> frozenset[str]:
        """Name the workers that are stopped. One call of the system where none is, however many there are."""
        if not has_stopped_child():
            return frozenset()
        return frozenset(name for name, member in self._alive.items() if member.process.is_stopped())

    def close(self) -> None:
        """Give back every descriptor. Every worker must have been buried."""
        if self._alive:
            raise MprunInternalError(f"the pool was closed with workers alive: {sorted(self._alive)}")
        for page in self._pages.values():
            page.close()
        self._pages.clear()
        self._poller.close()

    def _admit(self, member: _Member) -> None:
        name = member.plan.name
        if name in self._pages:
            self._pages[name].close()
        self._pages[name] = member.status
        self._alive[name] = member
        self._poller.watch(member.process, lambda: self._dead.append(member))
        self._poller.watch(member.receiver, lambda: self._hear(member))

    def _note_wake(self) -> None:
        self.woken = True

    def _hear(self, member: _Member) -> None:
        self._facts += self._listen(member)

    def _listen(self, member: _Member) -> list[Fact]:
        name = member.plan.name
        facts = [from_message(name, message) for message in member.receiver.receive_nowait()]
        if member.receiver.ended:
            self._poller.unwatch(member.receiver)
        return [fact for fact in facts if fact is not None]

    def _bury(self, member: _Member) -> list[Fact]:
        # What it said before it died is still in the socket, and is told before the death.
        words = [] if member.receiver.ended else self._listen(member)
        self._put_away(member)
        del self._alive[member.plan.name]
        pid = member.process.pid
        return [*words, Exited(member.plan.name, pid, member.process.reap())]

    def _put_away(self, member: _Member) -> None:
        if not member.receiver.ended:
            self._poller.unwatch(member.receiver)
        self._poller.unwatch(member.process)
        member.receiver.close()


def _open_for(plan: WorkerPlan) -> tuple[Receiver, Sender, StatusPage]:
    try:
        status = StatusPage.shared()
        try:
            return (*open_channel(), status)
        except OSError:
            status.close()
            raise
    except OSError as error:
        raise StartFailed(f"worker '{plan.name}' could not be started: {error.strerror or error}") from error


def _live(
    life: Life,
    plan: WorkerPlan,
    make_port: MakePort,
    status: StatusPage,
    sender: Sender,
    parent: int,
    keep: tuple[int, ...] | None,
    gifts: Gifts,
) -> None:
    """The whole of a worker process."""
    port: Any = None
    try:
        child.settle_in(plan, parent, keep)
        status.dump_stacks_on_signal()
        if "MPRUN_FAILPOINT" in os.environ:  # the only trace of failpoints in a worker that has none
            from runner.failpoints import arm

            arm(plan.name)
        port = replace(make_port(plan, status, sender), gifts=gifts)
    except OSError as error:
        sender.send("handler_failed", error=describe_error(error))
        raise SystemExit(1) from None
    code = life(plan, port)
    if code:
        raise SystemExit(code)
