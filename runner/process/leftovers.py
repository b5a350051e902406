"""What a handler's calls have left undone when they return: it dies with the worker, although their items are done.

    files         with lines in a buffer; or opened by a call, by who does not tell what is written out
    transactions  that were begun in SQLite and not committed
    threads       at work for an executor; or begun by a call and still there, and so are processes
    tasks         that an event loop has still to run; lines that a handler of `logging` has still to write

The source of a handler shows some of it (`handlers/inspection`), and this finds the rest. A look costs some tens of
microseconds; one at all objects, which may take longer, is taken only where a file is open for writing. Looks are so
seldom that they take next to none of the time.
"""

from __future__ import annotations

import fcntl
import io
import os
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

from runner.process.ending import HOLDS_NOTHING, PLAIN_FILES, is_of_files, living
from runner.process.real_threads import frames_of_threads

_SHARE = 500
"""Looks take one part in so many of the time."""
_FEW = 16
"""Workers of one handler that may each look as often as if they were alone."""
_AT_LEAST = 0.02
"""Seconds between two looks, however cheap."""
_AT_FIRST, _CHEAP = 8, 0.001
"""So many looks at first are taken whenever items are done, while none takes longer than this, in seconds."""
_MOMENT = 0.001
"""Seconds that a thread may take to end that has said its last word."""
_OWN = str(Path(__file__).parent.parent)
_STANDARD = f"{Path(os.__file__).parent}/"
_INSTALLED = ("site-packages", "dist-packages")
_ENDLESS = ("multiprocessing", "asyncio", "logging", "concurrent")
"""Packages of the standard library whose threads go on although there is nothing to do; what there is, they tell."""
_SQLITE = b"SQLite format 3\0"
_BESIDE_SQLITE = ("-wal", "-shm", "-journal")
_NOBODY_MISSES = (".lock", ".pid", ".lck")


class Leftovers:
    """Looks now and then what a handler's calls leave behind. Made before the handler is."""

    def __init__(self, tell: Callable[[str], None], workers: int = 1) -> None:
        """`tell` is called once, with the first that is found. Looks of many `workers` share the cores, so that each
        takes fewer."""
        self._tell = tell
        crowd = max(1, workers // _FEW)
        self._at_first, self._share = max(1, _AT_FIRST // crowd), _SHARE * crowd
        # A process that was just born has no children yet.
        self._own = self._before = _Known.now(children=frozenset())
        self._due, self._looks = 0.0, 0

    def begin(self) -> None:
        """Called before the handler gets its first item: what there is now is of no item."""
        self._before = _Known.now()

    def look(self) -> None:
        """Called when a call has returned, before anybody is told that its item is done. Raises nothing."""
        now = time.perf_counter()
        if now < self._due:
            return
        found = self._first()
        if found is not None:
            self._due = float("inf")
            self._tell(found)
            return
        cost = time.perf_counter() - now
        self._looks += 1
        if self._looks > self._at_first or cost > _CHEAP:
            self._due = now + max(_AT_LEAST, self._share * cost)

    def _first(self) -> str | None:
        for look in (self._in_threads, self._in_processes, self._in_files, self._in_tasks, self._in_logs):
            with suppress(Exception):  # objects that are asked may be anybody's
                if (found := look()) is not None:
                    return found
        return None

    # Threads and processes.

    def _in_threads(self) -> str | None:
        others = [each for each in threading.enumerate() if each.ident not in self._own.threads]
        if not others:
            return None
        with frames_of_threads() as frames:
            for thread in others:
                begun, of_it = (
                    thread.ident not in self._before.threads,
                    _frames_of(frames.get(thread.ident or 0)),
                )
                if (work := _work_of(thread, list(of_it), begun=begun)) is not None:
                    return work
        return None

    def _in_processes(self) -> str | None:
        found = _children() - self._before.children
        for pid in found - _of_pools() if found else ():
            if (command := _running(pid)) is not None:
                return f"process {pid} ({command}), which a call has begun, is still running"
        return None

    # Files.

    def _in_files(self) -> str | None:
        files = _written_files() - self._own.files
        if not files:
            return None
        theirs = {descriptor for descriptor, _ in files}
        objects = living(lambda kind: is_of_files(kind) or issubclass(kind, _databases()))
        for each in objects:
            if (held := _held_back(each, theirs)) is not None:
                return held
        told = {_descriptor_of(each) for each in objects}
        untold = sorted({descriptor for descriptor, _ in files - self._before.files} - told)
        return next((f"{_name(d)} is open for writing" for d in untold if _may_hold_back(d)), None)

    # What is to be done later.

    def _in_tasks(self) -> str | None:
        module: Any = sys.modules.get("asyncio.tasks")
        tasks = getattr(module, "_scheduled_tasks", None) or getattr(module, "_all_tasks", None) or ()
        for task in list(tasks):
            code = getattr(task.get_coro(), "cr_code", None)
            if not task.done() and code is not None and _is_users_file(code.co_filename):
                return f"a task of asyncio, {code.co_name}(), has not ended"
        return None

    def _in_logs(self) -> str | None:
        module: Any = sys.modules.get("logging")
        for reference in list(getattr(module, "_handlerList", ())):
            held = getattr(reference(), "buffer", None)
            if isinstance(held, list) and held:
                return f"a {type(reference()).__name__} has lines in its buffer"
        return None


_Written = tuple[int, int]
"""The number of a descriptor, and that of its file."""


class _Known:
    """What there is at one moment."""

    def __init__(self, threads: Set[int | None], children: Set[int], files: Set[_Written]) -> None:
        self.threads, self.children, self.files = threads, children, files

    @classmethod
    def now(cls, children: Set[int] | None = None) -> _Known:
        """Take stock; `children` are those that there are, where they are known."""
        if children is None:
            children = _children()
        return cls({each.ident for each in threading.enumerate()}, children, _written_files())


def _frames_of(frame: Any) -> Iterator[Any]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _work_of(thread: threading.Thread, frames: list[Any], *, begun: bool) -> str | None:
    """Say what a thread has still to do, innermost of its frames first; None where that is nothing, or not known."""
    name, files = thread.name, [each.f_code.co_filename for each in frames]
    if (waiting := _queued(thread)) is not None:
        return f"thread '{name}' of an executor has work to do" if waiting or _is_at_work(frames) else None
    if _pending(thread):
        return f"thread '{name}' of a pool of processes has work to do"
    if not begun or not files:
        return None
    is_bare = all(map(_is_standard, files)) and not any(map(_is_endless, files))
    if not (is_bare or any(map(_is_users_file, files)) or type(thread) is threading.Timer):
        return None
    thread.join(_MOMENT)  # the call may have waited for what it has to say
    return f"thread '{name}', which a call has begun, is at work" if thread.is_alive() else None


def _queued(thread: threading.Thread) -> int | None:
    """How much waits for the executor of a thread; None for a thread of no executor."""
    module: Any = sys.modules.get("concurrent.futures.thread")
    queue = getattr(module, "_threads_queues", {}).get(thread)
    return None if queue is None else int(queue.qsize())


def _is_at_work(frames: list[Any]) -> bool:
    """Say whether a thread of an executor has an item whose result nobody has."""
    items = [each.f_locals.get("work_item") for each in frames if each.f_code.co_name == "_worker"]
    return any(not each.future.done() for each in items if hasattr(each, "future"))


def _pending(thread: Any) -> bool:
    """Say whether a pool of processes that the thread serves has something to do."""
    if getattr(thread, "pending_work_items", None):  # of concurrent.futures, and of who does likewise
        return True
    if getattr(getattr(thread, "_target", None), "__qualname__", "") != "Pool._handle_results":
        return False
    given: tuple[Any, ...] = getattr(thread, "_args", ())
    results = list(given[2].values()) if len(given) > 2 else []
    return any(not hasattr(each, "ready") or not each.ready() for each in results)


def _is_in(file: str, package: str) -> bool:
    return file.startswith(f"{_STANDARD}{package}/")


def _is_endless(file: str) -> bool:
    return any(_is_in(file, package) for package in _ENDLESS)


def _is_standard(file: str) -> bool:
    return file.startswith("<") or (file.startswith(_STANDARD) and not _is_installed(file))


def _is_installed(file: str) -> bool:
    return any(f"/{part}/" in file for part in _INSTALLED)


def _is_users_file(file: str) -> bool:
    return not (_is_standard(file) or _is_installed(file) or file.startswith(_OWN))


def _children() -> set[int]:
    found: set[int] = set()
    for task in os.listdir("/proc/self/task"):  # noqa: PTH208 - often, and nothing but the names
        # The thread may just have ended; or the kernel has no such file: then nobody tells.
        with suppress(OSError), open(f"/proc/self/task/{task}/children", "rb", 0) as listed:  # noqa: PTH123 - often
            found.update(map(int, listed.readall().split()))
    return found


def _of_pools() -> set[int]:
    """Processes that wait for work, and those that multiprocessing has for itself."""
    found: set[int] = set()
    for thread in threading.enumerate():
        found.update(getattr(thread, "processes", None) or ())
    process: Any = sys.modules.get("multiprocessing.process")
    for child in getattr(process, "_children", ()):
        if "PoolWorker" in child.name:
            found.add(child.pid)
    for name, holder, attribute in (
        ("multiprocessing.resource_tracker", "_resource_tracker", "_pid"),
        ("multiprocessing.forkserver", "_forkserver", "_forkserver_pid"),
    ):
        found.add(getattr(getattr(sys.modules.get(name), holder, None), attribute, None) or 0)
    return found


def _running(pid: int) -> str | None:
    """Name the program of a process; None where it has ended, or is about to: whoever read its output knows of it."""
    with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as held:
        return Path(f"/proc/{pid}/comm").read_text().strip() if any(held) else None
    return None


def _written_files() -> set[_Written]:
    """Files with a name that are open for writing. The number of one that is closed may be the next one's."""
    found = set()
    for descriptor in [int(entry.name) for entry in os.scandir("/proc/self/fd")]:
        with suppress(OSError):
            if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
                continue
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and status.st_nlink:
                found.add((descriptor, status.st_ino))
    return found


def _name(descriptor: int) -> str:
    with suppress(OSError, ValueError):
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    return f"descriptor {descriptor}"


def _descriptor_of(each: Any) -> int | None:
    with suppress(Exception):
        return int(each.fileno())
    return None


def _databases() -> tuple[type, ...]:
    module: Any = sys.modules.get("sqlite3")
    return () if module is None else (module.Connection,)


def _held_back(each: Any, written: Set[int]) -> str | None:
    """Say what an open file, or a connection to a database, has not written; None where that is nothing."""
    if isinstance(each, _databases()):
        return "a transaction in SQLite is not committed" if getattr(each, "in_transaction", False) else None
    if isinstance(each, HOLDS_NOTHING):
        return None
    if not isinstance(each, PLAIN_FILES):
        whole = f"a {type(each).__name__} is whole only once it is closed"
        return whole if _is_written(each) else None
    descriptor = _descriptor_of(each)
    if descriptor not in written or descriptor is None or not each.writable():
        return None
    if not isinstance(getattr(each, "buffer", each), PLAIN_FILES):
        return None  # it lies round one that packs, which is asked itself
    before = os.lseek(descriptor, 0, os.SEEK_CUR)
    each.flush()  # nobody tells what a text file holds; and what is written a moment sooner harms nobody
    after = os.lseek(descriptor, 0, os.SEEK_CUR)
    return f"{_name(descriptor)} was not flushed" if after > before else None


def _is_written(each: Any) -> bool:
    """Say whether a file that packs what is written to it, or an archive, is open for writing."""
    if not isinstance(each, io.IOBase):
        return each.fp is not None and each.mode in ("w", "a", "x")
    return not each.closed and each.writable()


def _may_hold_back(descriptor: int) -> bool:
    """Say whether somebody may hold something back from a file that no object of Python's own stands for."""
    name = _name(descriptor)
    if name.endswith(_NOBODY_MISSES) or name.startswith("/dev/"):
        return False
    stem = next((name[: -len(end)] for end in _BESIDE_SQLITE if name.endswith(end)), name)
    with suppress(OSError), Path(stem).open("rb") as file:
        if file.read(len(_SQLITE)) in (_SQLITE, b"") and "sqlite3" in sys.modules:
            return False
    return os.fstat(descriptor).st_ino not in _mapped()


def _mapped() -> set[int]:
    """Files whose pages are memory of this process: what is written there is the kernel's at once."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return {int(line.split()[4]) for line in lines if line.split()[1].startswith("rw-s")}
