"""Objects that workers share: a process of their own holds them, and every worker has a proxy to them.

    supervisor ──fork──► keeper: dict, list …     neo: board["buns"] += 1 ──┐
        └─ if it dies, the run fails                  alex: board.items() ──┴──► keeper, a thread for each

The keeper is multiprocessing's own manager server, started and ended by us, on a socket without a file. A worker that
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
from dataclasses import dataclass
from multiprocessing import current_process, managers
from typing import Any

from runner import child
from runner.errors import StartFailed
from runner.facts import Exited
from runner.plan import Plan, WorkerPlan
from runner.process import ChildProcess
from runner.provisions import Gifts, Unwrapped
from runner.spec import SharedSpec

KEEPER = "shared objects"


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
class SharedGift:
    """The way to one shared object. Needs no descriptor: a worker connects once its handler asks for it."""

    name: str
    kind: str
    address: str
    key: bytes

    @property
    def descriptors(self) -> Sequence[int]:
        """None."""
        return ()

    def unwrap(self) -> object:
        """Return the proxy. Raises OSError if the keeper is gone."""
        token = managers.Token(self.kind, self.address, self.name)
        return _KINDS[self.kind].proxy(token, "pickle", authkey=self.key)


class SharedObjects:
    """The keeper's process, seen from the supervisor."""

    def __init__(self, plan: Plan) -> None:
        """Start the keeper. Workers may connect as soon as this returns.

        Raises:
            StartFailed: the system has no process or descriptor left.
        """
        # Workers have this key as well, by birth: so they can hand proxies on, as in any program with managers.
        key = bytes(current_process().authkey)
        address = f"\0mprun-{os.getpid()}-{os.urandom(8).hex()}"
        server = _server(address, key, plan.shared)
        try:
            self._process = ChildProcess(
                _keep, (server, os.getpid(), str(plan.path.parent)), name=KEEPER, daemon=False, method="fork"
            )
        except StartFailed as error:
            raise StartFailed(
                f"the process of the {KEEPER} could not be started: {error.__cause__}"
            ) from error
        finally:
            server.listener.close()
        self._address = address
        self._gifts = {spec.name: SharedGift(spec.name, spec.kind, address, key) for spec in plan.shared}
        self._exited: Exited | None = None

    @property
    def pid(self) -> int:
        """The keeper's."""
        return self._process.pid

    def gifts(self, worker: WorkerPlan) -> Gifts:  # noqa: ARG002 - every worker may ask for every object
        """Return the way to every object."""
        return self._gifts

    def handed_over(self, worker: WorkerPlan) -> None:
        """Nothing belongs to one worker alone."""

    def exited_nowait(self) -> Exited | None:
        """Return how the keeper has ended; None while it lives."""
        if self._exited is None:
            looking = select.poll()
            looking.register(self._process, select.POLLIN)
            if looking.poll(0):
                self._exited = Exited(KEEPER, self.pid, self._process.reap())
        return self._exited

    def exited_if_deaf(self) -> Exited | None:
        """Return how the keeper has ended, waiting for that if its socket is closed; None while it listens."""
        if self._exited is not None or _listens(self._address):
            return self._exited
        return self.end()

    def is_stopped(self) -> bool:
        """Whether a signal has stopped the keeper."""
        return self._exited is None and self._process.is_stopped()

    def end(self) -> Exited:
        """End the keeper, which nobody needs any more, and wait for its death: it is killed, so that is soon."""
        ended = self.exited_nowait()
        if ended is None:
            self._process.send(signal.SIGKILL)
            self._exited = ended = Exited(KEEPER, self.pid, self._process.reap())
        return ended

    def close(self) -> None:
        """End it, if nobody has yet."""
        self.end()


class LocalObjects:
    """The same objects where all workers are this one process: the things themselves."""

    def __init__(self, plan: Plan) -> None:
        self._gifts = {spec.name: Unwrapped(_KINDS[spec.kind].make(spec)) for spec in plan.shared}

    def gifts(self, worker: WorkerPlan) -> Gifts:  # noqa: ARG002 - every worker may ask for every object
        """Return every object."""
        return self._gifts

    def handed_over(self, worker: WorkerPlan) -> None:
        """Nothing belongs to one worker alone."""

    def close(self) -> None:
        """They go with the run."""


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


def _keep(server: Any, parent: int, beside: str) -> None:
    """The whole of the keeper's life. What workers put into its objects may be of classes beside the workflow."""
    child.cut_loose(parent, [server.listener._listener._socket.fileno()])
    sys.path.insert(0, beside)
    server.serve_forever()
