"""Child processes: birth and death, seen from outside. Whether to give birth is decided elsewhere.

A worker leads a session of its own: a signal to its group reaches whatever it started, and Ctrl-C on the terminal
reaches the supervisor alone. The kernel ends it when the supervisor dies (`prctl(2)`, PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import multiprocessing.context
import multiprocessing.popen_fork
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from runner.errors import StartFailed

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
TRACKER_SECONDS = 10.0
"""How long a resource tracker may take to clean up after those that it belongs to are gone."""
_LOOK = 0.005

_libc = ctypes.CDLL(None, use_errno=True)


class ChildProcess:
    """One process that this one started. `fileno()` becomes readable when it dies."""

    def __init__(
        self, main: Callable[..., None], arguments: tuple[Any, ...], *, name: str, daemon: bool, method: str
    ) -> None:
        """Start `main(*arguments)` in a new process. Called while `sigterm_held`.

        Raises:
            StartFailed: the system has no process or descriptor left to give.
        """
        context: Any = multiprocessing.get_context(method)
        make: Any = _ForkedProcess if method == "fork" else context.Process
        self._process: Any = make(target=_begin, args=(main, arguments), name=name, daemon=daemon)
        try:
            with _main_hidden() if method == "spawn" else contextlib.nullcontext():
                self._process.start()
            self._pidfd = os.pidfd_open(self._process.pid)
        except OSError as error:
            self._abandon()
            raise StartFailed(f"worker '{name}' could not be started: {error.strerror or error}") from error
        self.pid: int = self._process.pid
        # Each start would poll every child on multiprocessing's list, a thousand of them a thousand times. These are
        # watched by their pidfd and reaped here, so that they need no list.
        getattr(multiprocessing.process, "_children", set()).discard(self._process)

    def fileno(self) -> int:
        """The pidfd, for a selector."""
        return self._pidfd

    def reap(self) -> int:
        """Collect a process whose pidfd is readable, and return its exit code, negative for a signal.

        Ends its group too, and itself if it is alive after all.
        """
        # Before the pid is given back: after that, its number could be another group's.
        send_to_group(self.pid, signal.SIGKILL)
        self._process.join()
        code: int = self._process.exitcode
        os.close(self._pidfd)
        self._process.close()
        return code

    def is_stopped(self) -> bool:
        """Whether a signal has stopped it; under a debugger it is not."""
        return _has_stopped(os.P_PIDFD, self._pidfd)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process and to all that share its group; one that is gone is no error."""
        if not send_to_group(self.pid, number):
            self.send_alone(number)  # it has no group of its own yet

    def send_alone(self, number: signal.Signals) -> None:
        """Send a signal to the process and to nothing that it started."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def _abandon(self) -> None:
        if self._process.pid is None:
            return
        self._process.kill()
        self._process.join()
        self._process.close()


class _Parent:
    """What `multiprocessing.parent_process()` looks at in the child: readable once the parent is gone."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._pidfd: int | None = None

    def fileno(self) -> int:
        """The pidfd, opened when it is first asked for. The kernel ends the child with its parent: it is not late."""
        if self._pidfd is None:
            self._pidfd = os.pidfd_open(self._pid)
        return self._pidfd


class _Popen(multiprocessing.popen_fork.Popen):
    def _launch(self, process: BaseProcess) -> None:
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                live: Any = getattr(process, "_bootstrap", None)
                code = live(parent_sentinel=_Parent(parent))
            finally:
                os._exit(code)
        self.sentinel = -1  # nobody waits by it


class _ForkedProcess(multiprocessing.context.ForkProcess):
    """A process of `multiprocessing`, less the two pipes that this keeps for each: to wait for its end, and by which it
    sees that of its parent. Of a thousand processes each would close the pipes of all that were there before."""

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> multiprocessing.popen_fork.Popen:  # noqa: N802 - its name there
        return _Popen(process_obj)


_ForkedProcess.__name__ = _ForkedProcess.__qualname__ = "ForkProcess"  # as programs see it that print it


@contextlib.contextmanager
def sigterm_held() -> Iterator[None]:
    """Hold SIGTERM back from children that have their parent's handler yet, which would swallow it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _main_hidden() -> Iterator[None]:
    """
    Keep a process that is spawned from running the program's own file once more, as `multiprocessing` would have it.

    Nothing of that is needed there: a handler is imported by its module.
    """
    before = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = before


def _begin(main: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """The whole of a child's life: it can be ended from its first moment on."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    main(*arguments)


def has_stopped_child() -> bool:
    """Whether any child of this process is stopped by a signal."""
    return _has_stopped(os.P_ALL, 0)


def _has_stopped(kind: int, which: int) -> bool:
    """Look, and leave it to be seen again, here and by a program that uses mprun."""
    try:
        return os.waitid(kind, which, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


def send_to_group(leader: int, number: int) -> bool:
    """Signal a process group. False if it has ended, was never made, or is somebody else's."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
        return True
    return False


class ProgramPidfd:
    """Can be read once another process has ended."""

    def __init__(self, pid: int) -> None:
        """Raises OSError where it has ended already."""
        self._fd = os.pidfd_open(pid)

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd


def die_with_parent(parent: int) -> None:
    """Called in a fresh child: have the kernel kill it when `parent` dies, or now if it already has."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans(yes: bool) -> None:
    """Become (or stop being) the parent of grandchildren whose own parent dies, so that none is out of reach."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0)


def end_orphans(spare: Iterable[int], known: Iterable[int]) -> list[int]:
    """Kill and reap every child of this process that is not in `spare` or `known`; return their pids.

    `known` are the children that were there before the run, so that a program that uses mprun keeps its own. A resource
    tracker ends by itself once those are gone that it cleans up after, and has a moment for it.
    """
    keep = {*spare, *known, *_multiprocessing_helpers()}
    ended, trackers = [], []
    while orphans := [pid for pid in children() if pid not in keep]:
        for pid in orphans:
            keep.add(pid)  # whatever /proc says next, it is not looked at twice
            if is_resource_tracker(pid):
                trackers.append(pid)
            else:
                _end_orphan(pid)
                ended.append(pid)
    deadline = time.monotonic() + TRACKER_SECONDS
    for pid in trackers:
        while not _has_ended(pid) and time.monotonic() < deadline:
            time.sleep(_LOOK)
        _end_orphan(pid)
    return ended + trackers


def _end_orphan(pid: int) -> None:
    send_to_group(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _has_ended(pid: int) -> bool:
    """Whether a child is there no more, or only to be reaped."""
    with contextlib.suppress(ChildProcessError):
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return True


def _multiprocessing_helpers() -> set[int]:
    """The process that watches over names of semaphores wherever a worker is spawned; it serves the whole program."""
    tracker = sys.modules.get("multiprocessing.resource_tracker")
    pid = getattr(getattr(tracker, "_resource_tracker", None), "_pid", None)
    return set() if pid is None else {pid}


def end_own_tracker(known: Collection[int]) -> None:
    """End the resource tracker that this process has, unless it is in `known`: it had none before the run.

    Nobody is left that registers anything. Without this it would outlive the run by the time that it takes to notice.
    """
    tracker: Any = getattr(sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None)
    pid = getattr(tracker, "_pid", None)
    if pid is None or pid in known:
        return
    os.close(tracker._fd)
    tracker._fd = tracker._pid = None
    deadline = time.monotonic() + TRACKER_SECONDS
    while not _has_ended(pid) and time.monotonic() < deadline:
        time.sleep(_LOOK)
    _end_orphan(pid)


def end_children_of(thread: int | None) -> None:
    """Kill what a thread of this process has started and what that has started; its own `wait` reaps them.

    Children of other threads are not touched: they may be those of a program that uses mprun.
    """
    if thread is None or not sys.platform.startswith("linux"):
        return
    found = _children_in(Path(f"/proc/self/task/{thread}"))
    found = [pid for pid in found if pid not in _multiprocessing_helpers()]
    # Grows as it goes; all are known before the first dies, and its children get a new parent.
    for pid in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += _children_in(task)
    for pid in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _children_in(task: Path) -> list[int]:
    # A thread may end between the listing and the look.
    with contextlib.suppress(OSError):
        return list(map(int, (task / "children").read_text().split()))
    return []


def has_children(pid: int) -> bool:
    """Whether another process has children, but for one that `multiprocessing` keeps to clean up after it."""
    if pid == os.getpid():
        return False
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += _children_in(task)
    return not all(map(is_resource_tracker, found))


def is_resource_tracker(pid: int) -> bool:
    """Whether a process is one that removes what others have left of `multiprocessing`'s named objects."""
    with contextlib.suppress(OSError):
        return b"multiprocessing.resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def require_own_proc() -> None:
    """Raise `StartFailed` unless /proc is there, and that of this process's own pid namespace.

    The numbers of another namespace belong to other processes here: whoever signals by them may hit anybody.
    """
    try:
        shown = Path("/proc/self").readlink()
    except OSError as error:
        message = (
            f"/proc is not mounted ({error.strerror or error}), and mprun finds the processes of a run there"
        )
        raise StartFailed(f"{message}: mount it, or use `--transport inline`") from error
    if str(shown) != str(os.getpid()):
        message = "/proc shows the processes of another pid namespace, so those of a run could not be found"
        raise StartFailed(
            f"{message}: mount its own (as `unshare --mount-proc` does), or use `--transport inline`"
        )


def children() -> list[int]:
    """List the children of this process, zombies too, as the kernel has them."""
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        found += _children_in(task)
    return found
