"""Objects that workers share: a process of their own holds them, and every worker has a proxy to them.

    supervisor ──fork──► manager: dict, list …     neo: board["buns"] += 1 ──┐
        └─ if it dies, the run fails                  alex: board.items() ──┴──► manager, a thread for each

The manager process is multiprocessing's own server, started and ended by us, on a socket without a file. A worker that
is killed while it talks to it ends one thread there; nobody waits for it.
"""

from __future__ import annotations

import array
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import current_process, managers
from typing import Any

from runner.errors import StartFailed
from runner.facts import dataclass
from runner.ipc.messages import Exited
from runner.process.bootstrap import detach
from runner.process.child import ChildProcess, sigterm_held
from runner.process.resources.base import InjectedResources, ReadyResource, ResourceProvider
from runner.spec.plan import Plan, WorkerPlan
from runner.spec.resources import SharedSpec

MANAGER = "shared objects"


@dataclass(frozen=True, slots=True)
class _Kind:
    """How an object of one kind is made, and what stands for it in a worker."""

    make: Callable[[SharedSpec], object]
    proxy: Any


def _value(spec: SharedSpec) -> object:
    return managers.Value(spec.typecode, 0 if spec.value is None else spec.value)  # type: ignore[attr-defined]


def _proxy(name: str) -> Any:
    """Some of the proxies are left out of the standard library's type stubs."""
    return getattr(managers, name)


_KINDS: Mapping[str, _Kind] = {
    "dict": _Kind(lambda spec: dict(spec.value or {}), managers.DictProxy),
    "list": _Kind(lambda spec: list(spec.value or ()), managers.ListProxy),
    "Namespace": _Kind(lambda spec: managers.Namespace(**(spec.value or {})), _proxy("NamespaceProxy")),
    "Value": _Kind(_value, managers.ValueProxy),
    "Array": _Kind(lambda spec: array.array(spec.typecode, spec.value or ()), _proxy("ArrayProxy")),
    "Event": _Kind(lambda _spec: threading.Event(), _proxy("EventProxy")),
}


@dataclass(frozen=True, slots=True)
class SharedResource:
    """The way to one shared object. Needs no descriptor: a worker connects once its handler asks for it."""

    name: str
    kind: str
    address: str
    key: bytes

    @property
    def descriptors(self) -> Sequence[int]:
        """None."""
        return ()

    def resolve(self) -> object:
        """Return the proxy. Raises OSError if the manager is gone."""
        token = managers.Token(self.kind, self.address, self.name)
        return _KINDS[self.kind].proxy(token, "pickle", authkey=self.key)


class SharedObjects(ResourceProvider):
    """The manager process, seen from the supervisor."""

    def __init__(self, plan: Plan) -> None:
        """Start the manager. Workers may connect as soon as this returns.

        Raises:
            StartFailed: the system has no process or descriptor left.
        """
        # Workers have this key as well, by birth: so they can hand proxies on, as in any program with managers.
        key = bytes(current_process().authkey)
        address = f"\0mprun-{os.getpid()}-{os.urandom(8).hex()}"
        server = _server(address, key, plan.shared)
        try:
            with sigterm_held():
                self._process = ChildProcess(
                    _serve,
                    (server, os.getpid(), str(plan.path.parent)),
                    name=MANAGER,
                    daemon=False,
                    method="fork",
                )
        except StartFailed as error:
            raise StartFailed(
                f"the process of the {MANAGER} could not be started: {error.__cause__}"
            ) from error
        finally:
            server.listener.close()
        self._address = address
        self._resources = {
            spec.name: SharedResource(spec.name, spec.kind, address, key) for spec in plan.shared
        }
        self.names = tuple(self._resources)
        self._exited: Exited | None = None

    @property
    def pid(self) -> int:
        """That of the manager process."""
        return self._process.pid

    def resources_for(self, worker: WorkerPlan) -> InjectedResources:  # noqa: ARG002 - every worker may ask for every object
        """Return the way to every object."""
        return self._resources

    def exited_nowait(self) -> Exited | None:
        """Return how the manager has ended; None while it lives."""
        if self._exited is None:
            looking = select.poll()
            looking.register(self._process, select.POLLIN)
            if looking.poll(0):
                self._exited = Exited(MANAGER, self.pid, self._process.reap())
        return self._exited

    def exited_if_unreachable(self) -> Exited | None:
        """Return how the manager has ended, waiting for that if its socket is closed; None while it listens."""
        if self._exited is not None or _listens(self._address):
            return self._exited
        return self.end()

    def is_stopped(self) -> bool:
        """Whether a signal has stopped the manager."""
        return self._exited is None and self._process.is_stopped()

    def end(self) -> Exited:
        """End the manager, which nobody needs any more, and wait for its death: it is killed, so that is soon."""
        ended = self.exited_nowait()
        if ended is None:
            self._process.send(signal.SIGKILL)
            self._exited = ended = Exited(MANAGER, self.pid, self._process.reap())
        return ended

    def close(self) -> None:
        """End it, if nobody has yet."""
        self.end()


class LocalObjects(ResourceProvider):
    """The same objects where all workers are this one process: the things themselves."""

    def __init__(self, plan: Plan) -> None:
        self._resources = {spec.name: ReadyResource(_KINDS[spec.kind].make(spec)) for spec in plan.shared}

    def resources_for(self, worker: WorkerPlan) -> InjectedResources:  # noqa: ARG002 - every worker may ask for every object
        """Return every object."""
        return self._resources


def _listens(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as visitor:
        visitor.setblocking(False)
        try:
            visitor.connect(address)
        except ConnectionRefusedError:
            return False
        except BlockingIOError:  # many wait to be let in
            return True
    return True


def _server(address: str, key: bytes, shared: Sequence[SharedSpec]) -> Any:
    """Make the server, listening. Objects have their names for identities, and one reference that nobody takes back."""
    server: Any = managers.SyncManager(address, key).get_server()
    for spec in shared:
        kind: Any = _KINDS[spec.kind]
        exposed = set(kind.proxy._exposed_)
        makes = getattr(kind.proxy, "_method_to_typeid_", {})
        server.id_to_obj[spec.name] = (kind.make(spec), exposed, makes)
        server.id_to_refcount[spec.name] = 1
    return server


def _serve(server: Any, parent: int, beside: str) -> None:
    """The life of the manager process. What workers put into its objects may be of classes beside the workflow."""
    detach(parent, [server.listener._listener._socket.fileno()])
    sys.path.insert(0, beside)
    server.serve_forever()
