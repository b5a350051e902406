"""The processes of a run, for every transport that has processes: starts, private channels, deaths, status pages.

supervisor ──► JoinableTransport, LeasedTransport ──► PooledTransport ──► ProcessPool
                                                                              │ polls
                pidfd of each worker: readable when it dies ──────────────────┤
                channel of each worker: readable when it speaks ──────────────┤
                wake: readable when a signal came ────────────────────────────┘
"""

from __future__ import annotations

import os
import pkgutil
import select
import signal
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from runner.errors import HandlerError, MprunInternalError, StartFailed
from runner.facts import dataclass
from runner.ipc.channel import Receiver, Sender, open_channel
from runner.ipc.messages import Exited, Fact, from_message
from runner.ipc.shown_items import Side, let_show, unshown
from runner.ipc.status_page import (
    STACKS_SIGNAL,
    Counters,
    Pulse,
    Sighting,
    StatusPage,
    StopRequest,
    Word,
    read_stacks,
)
from runner.ipc.status_pages import StatusPages
from runner.process.bootstrap import bootstrap_worker
from runner.process.child import ChildProcess, has_stopped_child, sigterm_held
from runner.process.ending import end_process, forget_inherited, lingering
from runner.process.resources.base import NO_PROVIDERS, InjectedResources, ResourceProviders, descriptors_of
from runner.spec.plan import WorkerPlan
from runner.text import describe_error, own_frames
from runner.transports.base import HasFileno, Spawned, WorkerEndpoint, WorkerMain

_STACKS_WAIT = 0.3
_STACKS_LOOK = 0.02

MakeEndpoint = Callable[[WorkerPlan, StatusPage, Sender], WorkerEndpoint]
"""Called in the child: put the transport's queue ends into an endpoint. Must pickle where a worker is spawned."""


class WorkerProcess(Protocol):
    """What can be done with a worker from outside; `fileno()` becomes readable when it has ended."""

    pid: int

    def fileno(self) -> int:
        """For a selector."""

    def reap(self) -> int:
        """Collect it, ended or not, and return its exit code, negative for a signal."""

    def is_stopped(self) -> bool:
        """Whether a signal has stopped it."""

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and to what it has started."""

    def send_alone(self, number: signal.Signals) -> None:
        """Send a signal to it alone."""


@dataclass(frozen=True, slots=True)
class Birth:
    """A worker that is about to be born. `needed` are descriptors that it uses beyond its own channel and page."""

    plan: WorkerPlan
    make_endpoint: MakeEndpoint
    needed: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Cradle:
    """All that is opened for a worker before it is born."""

    birth: Birth
    receiver: Receiver
    sender: Sender
    status: StatusPage
    resources: InjectedResources

    def keep(self) -> tuple[int, ...] | None:
        """The descriptors that the worker must not close; None where it is spawned, and has no other."""
        if self.birth.plan.start_method != "fork":
            return None
        own = (self.sender.fileno(), self.status.fileno())
        return (*own, *self.birth.needed, *descriptors_of(self.resources))


@dataclass(slots=True)
class _Member:
    plan: WorkerPlan
    process: WorkerProcess
    receiver: Receiver
    status: StatusPage


class ProcessPool:
    """Starts workers and waits for what they say and for their deaths. One thread only."""

    def __init__(self, main: WorkerMain, wake: int, providers: ResourceProviders = NO_PROVIDERS) -> None:
        """`wake` is a descriptor that becomes readable when the waiting must be cut short; it is never read here."""
        self._main = main
        self._providers = providers
        self._alive: dict[str, _Member] = {}
        self._pages: dict[str, StatusPage] = {}
        self._facts: list[Fact] = []
        self._dead: list[_Member] = []
        self.woken = False
        """Whether the last wait saw `wake` readable."""
        self.moves = 0
        """Grows with each wait in which anything has come."""
        self.why_not: StartFailed | None = None
        """Why the last `start` has not given birth to all."""
        self._poller = Poller()
        self._poller.watch(wake, self._note_wake)
        self._status_pages = StatusPages()

    def start(self, births: Sequence[Birth]) -> list[Spawned]:
        """
        Give birth to workers; return those that were born, in order.

        Where the system has no process or descriptor left, these are fewer, and `why_not` says so. Several at once are
        forked one right after the other, so that the memory of this process is copied for all of them and not for each.
        """
        self.why_not = None
        cradles: list[_Cradle] = []
        members: list[_Member] = []
        try:
            cradles.extend(map(self._open_for, births))
        except StartFailed as error:
            self.why_not = error
        with sigterm_held():
            for cradle in cradles:
                try:
                    members.append(self._give_birth(cradle))
                except StartFailed as error:
                    self.why_not = error
                    break
        for cradle in cradles[len(members) :]:
            cradle.receiver.close()
            self._status_pages.take_back(cradle.status)
        for cradle in cradles:
            cradle.sender.close()
        for member in members:
            self._providers.worker_started(member.plan)
            self._admit(member)
        return [Spawned(member.process.pid, os.getpid()) for member in members]

    def _give_birth(self, cradle: _Cradle) -> _Member:
        plan, make_endpoint = cradle.birth.plan, cradle.birth.make_endpoint
        status, sender, keep = cradle.status, cradle.sender, cradle.keep()
        pages = None if keep is None else self._status_pages
        process = ChildProcess(
            _run_worker,
            (self._main, plan, make_endpoint, status, sender, os.getpid(), keep, cradle.resources, pages),
            name=plan.name,
            daemon=plan.daemon,
            method=plan.start_method,
        )
        return _Member(plan, process, cradle.receiver, status)

    def _open_for(self, birth: Birth) -> _Cradle:
        plan = birth.plan
        resources = self._providers.resources_for(plan)
        try:
            status = self._status_pages.give()
            try:
                return _Cradle(birth, *open_channel(), status, resources)
            except OSError:
                self._status_pages.take_back(status)
                raise
        except OSError as error:
            raise StartFailed(
                f"worker '{plan.name}' could not be started: {error.strerror or error}"
            ) from error

    def lend(self, plan: WorkerPlan, lend: Callable[[StatusPage, Sender], WorkerProcess]) -> Spawned:
        """
        Have somebody who is there already be a worker: `lend` gives it its place, and returns what stands for it here.

        Raises:
            StartFailed: the system has no descriptor left.
        """
        try:
            receiver, sender = open_channel()
            try:
                status = StatusPage.shared()
            except OSError:
                receiver.close()
                sender.close()
                raise
        except OSError as error:
            raise StartFailed(
                f"worker '{plan.name}' could not be started: {error.strerror or error}"
            ) from error
        try:
            process = lend(status, sender)
        except BaseException:
            receiver.close()
            status.close()
            raise
        finally:
            sender.close()
        self._admit(_Member(plan, process, receiver, status))
        return Spawned(process.pid, os.getpid())

    def wait(self, timeout: float) -> list[Fact]:
        """Block until a worker speaks or dies, or `wake` is readable, or `timeout` seconds have passed."""
        self.woken = False
        self.moves += self._poller.wait(timeout)
        facts, self._facts = self._facts, []
        dead, self._dead = self._dead, []
        for member in dead:
            facts += self._reap(member)
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

    def ring(self, worker: str) -> None:
        """Have a worker's channel be readable to it from now on, which wakes it where it polls that."""
        if worker in self._alive:
            self._alive[worker].receiver.ring()

    def signal(self, worker: str, number: signal.Signals) -> None:
        """Signal a worker's whole group; one that is gone is no error."""
        if worker in self._alive:
            self._alive[worker].process.send(number)

    def kill_all(self) -> None:
        """Kill and reap every worker that is left. Waits for no more than the kernel needs."""
        members, self._alive = list(self._alive.values()), {}
        for member in members:
            member.process.send(signal.SIGKILL)
        for member in members:
            self._put_away(member)
            member.process.reap()
            member.status.stop_clock()

    def stacks(self, workers: Collection[str]) -> dict[str, str]:
        """Ask workers for their stacks; waits a moment for all of them, and leaves out those that do not answer."""
        files: dict[str, int] = {}
        try:
            for name in workers:
                member = self._alive.get(name)
                if member is not None and (file := member.status.open_stacks()) is not None:
                    files[name] = file
            return self._asked_for_stacks(files)
        finally:
            for file in files.values():
                os.close(file)

    def _asked_for_stacks(self, files: Mapping[str, int]) -> dict[str, str]:
        known = {name: len(read_stacks(file)) for name, file in files.items()}
        for name in files:
            self._alive[name].process.send_alone(STACKS_SIGNAL)
        deadline = time.monotonic() + _STACKS_WAIT
        before: dict[str, str] = {}
        while True:
            time.sleep(_STACKS_LOOK)
            stacks = {name: read_stacks(file)[known[name] :] for name, file in files.items()}
            if time.monotonic() >= deadline or (all(stacks.values()) and stacks == before):
                return {name: own_frames(text) for name, text in stacks.items() if text}
            before = stacks

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
            self._status_pages.take_back(page)
        self._pages.clear()
        self._status_pages.close()
        self._poller.close()

    def _admit(self, member: _Member) -> None:
        name = member.plan.name
        if name in self._pages:
            self._status_pages.take_back(self._pages[name])
        self._pages[name] = member.status
        self._alive[name] = member
        self._poller.watch(member.process, lambda: self._dead.append(member))
        self._poller.watch(member.receiver, lambda: self._receive(member))

    def _note_wake(self) -> None:
        self.woken = True

    def _receive(self, member: _Member) -> None:
        self._facts += self._messages_of(member)

    def _messages_of(self, member: _Member) -> list[Fact]:
        name = member.plan.name
        facts = [from_message(name, message) for message in member.receiver.receive_nowait()]
        if member.receiver.ended:
            self._poller.unwatch(member.receiver)
        return [fact for fact in facts if fact is not None]

    def _reap(self, member: _Member) -> list[Fact]:
        # What it said before it died is still in the socket, and is told before the death.
        words = [] if member.receiver.ended else self._messages_of(member)
        self._put_away(member)
        del self._alive[member.plan.name]
        pid, code = member.process.pid, member.process.reap()
        member.status.stop_clock()
        return [*words, Exited(member.plan.name, pid, code)]

    def _put_away(self, member: _Member) -> None:
        if not member.receiver.ended:
            self._poller.unwatch(member.receiver)
        self._poller.unwatch(member.process)
        member.receiver.close()


def _run_worker(
    main: WorkerMain,
    plan: WorkerPlan,
    make_endpoint: MakeEndpoint,
    status: StatusPage,
    sender: Sender,
    parent: int,
    keep: tuple[int, ...] | None,
    resources: InjectedResources,
    pages: StatusPages | None,
) -> None:
    """The whole of a worker process."""
    endpoint: Any = None
    try:
        if keep is not None:
            forget_inherited()
        if pages is not None:
            pages.keep_only(status)
        bootstrap_worker(plan, parent, keep)
        status.dump_stacks_on_signal()
        # For tests: the function that it names, as module:function, is called first in each worker, with its name.
        if hook := os.environ.get("MPRUN_WORKER_HOOK"):
            pkgutil.resolve_name(hook)(plan.name)
        endpoint = replace(make_endpoint(plan, status, sender), resources=resources)
    except OSError as error:
        sender.send("handler_failed", error=describe_error(error))
        raise SystemExit(1) from None
    worker = os.getpid()
    code = main(plan, endpoint)
    if code == 0 and os.getpid() == worker:
        code = _flush_puts(endpoint, sender)  # also what close() has put
    del endpoint
    if os.getpid() == worker:  # else the handler has forked, and this is the child, come back from it
        code = _end_worker(code, plan, sender, forked=keep is not None)
    if code:
        raise SystemExit(code)


def _flush_puts(endpoint: WorkerEndpoint, sender: Sender) -> int:
    try:
        endpoint.flush_puts()
    except HandlerError as error:
        sender.send("handler_failed", error=str(error), traceback="")
        return 1
    return 0


def _end_worker(code: int, plan: WorkerPlan, sender: Sender, *, forked: bool) -> int:
    """End the process in order, and tell of what does not; return its exit code."""

    def report_lost(error: OSError) -> None:
        sender.send("handler_failed", error=f"a file could not be written out: {describe_error(error)}")

    def report_lingering(names: list[str]) -> None:
        sender.send("logged", level="warning", message=lingering(plan.close_timeout, names), fields={})

    return end_process(
        code,
        forked=forked,
        bound=plan.close_timeout,
        report_lost=report_lost,
        report_lingering=report_lingering,
    )


class PooledTransport:
    """The part of a transport that only concerns its processes; `pool` is made by whoever inherits this."""

    pool: ProcessPool

    def moves(self) -> int:
        """Count what has come."""
        return self.pool.moves

    def counters(self, worker: str) -> Counters:
        """Read a worker's page."""
        return self.pool.status(worker).counters()

    def pulse(self, worker: str) -> Pulse:
        """Read how far a worker is."""
        return self.pool.status(worker).pulse()

    def sighting(self, worker: str) -> Sighting:
        """Read what a worker is at."""
        return self.pool.status(worker).sighting()

    def stopped(self) -> frozenset[str]:
        """Name the workers that a signal has stopped."""
        return self.pool.stopped()

    def items_at_stake(self, worker: str) -> list[str]:
        """Name the item that the worker had in hand, if it had a name."""
        item = self.pool.status(worker).item
        return [item] if item else []

    def watch(self, end: HasFileno, ready: Callable[[], None]) -> None:
        """Call `ready` within `wait` whenever `end` can be read."""
        self.pool.watch(end, ready)

    def unwatch(self, end: HasFileno) -> None:
        """Stop that."""
        self.pool.unwatch(end)

    def tell_committed(self, worker: str, count: int) -> int:
        """Write it into the producer's page, and read there what it waits for."""
        words = self.pool.status(worker).words
        words[Word.COMMITTED] = count
        return words[Word.AWAITED]

    def let_show(self, worker: str, side: Side, count: int) -> None:
        """Write it into the worker's page."""
        let_show(self.pool.status(worker), side, count)

    def unshown(self, worker: str, side: Side) -> int:
        """Read it there."""
        return unshown(self.pool.status(worker), side)

    def stop_producing(self, worker: str) -> None:
        """Write the wish to stop into the producer's page."""
        self.pool.status(worker).words[Word.STOP] = StopRequest.PRODUCING

    def dismiss(self, worker: str) -> None:
        """Write it into the worker's page."""
        self.pool.status(worker).words[Word.STOP] = StopRequest.WAITING

    def signal(self, worker: str, number: signal.Signals, because: str = "") -> None:
        """Signal a worker and its group."""
        self.pool.signal(worker, number)

    def abandon(self) -> None:
        """Kill and reap every worker."""
        self.pool.kill_all()

    def revoke(self, worker: str, number: int) -> None:
        """Tell a worker that knows of it that item `number` is not wanted any more, and wake it."""
        self.pool.status(worker).words[Word.REVOKED] = number
        self.pool.nudge(worker, signal.SIGUSR1)

    def stacks(self, workers: Collection[str]) -> dict[str, str]:
        """Ask workers for their stacks."""
        return self.pool.stacks(workers)


def isolate_forks(after_fork: Iterable[Callable[[], object]], status: StatusPage, sender: Sender) -> None:
    """Called once in a worker, before its handler can fork: what it forks is not the worker, and only its log is heard.

    Such a child has no stream, no queue, and a status page of its own; one that comes back from the handler into the
    loop would else acknowledge the worker's items, and take its leases. `after_fork` are called in it, for the queues.
    Programs that a handler starts have none of this anyway: no descriptor of a worker passes an `exec`.
    """
    steps = tuple(after_fork)

    def isolate() -> None:
        for step in steps:
            step()
        sender.only_log()
        status.become_private()

    os.register_at_fork(after_in_child=isolate)


class Poller:
    """Calls back for descriptors that are ready: `epoll` with a table. One thread only.

    `selectors` makes a key, a tuple and a list for every event; here a wait costs one call and one look-up for each,
    since every frame wakes the supervisor several times.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._ready: dict[int, Callable[[], None]] = {}

    def watch(self, end: HasFileno | int, ready: Callable[[], None], *, writing: bool = False) -> None:
        """Call `ready` within `wait` whenever `end` can be read, or written where `writing`. Repeated, it changes."""
        descriptor = end if isinstance(end, int) else end.fileno()
        events = select.EPOLLIN | (select.EPOLLOUT if writing else 0)
        if descriptor in self._ready:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
        self._ready[descriptor] = ready

    def unwatch(self, end: HasFileno) -> None:
        """Stop watching, before `end` is closed; what is not watched is no error."""
        if self._ready.pop(end.fileno(), None) is not None:
            self._epoll.unregister(end.fileno())

    def wait(self, timeout: float) -> bool:
        """
        Block until something is ready, or `timeout` seconds have passed, and call back for all that is. Return whether
        anything was.
        """
        found = self._epoll.poll(timeout)
        for descriptor, _ in found:
            # One that is ready may have been taken out by another's call just now.
            ready = self._ready.get(descriptor)
            if ready is not None:
                ready()
        return bool(found)

    def close(self) -> None:
        """Give the descriptor back."""
        self._epoll.close()
