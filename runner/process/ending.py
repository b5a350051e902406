"""The end of a worker's process: what Python does when a program ends, which it does not do for one that was forked.

    last word ──► threads are joined ──► atexit ──► open files are written out ──► resource tracker ──► exit
                  └────────────── all of it within `bound`, else what is left is named, and the process exits

`multiprocessing` ends a forked process with `os._exit`, so of all this it would only join threads, however long that
takes. What was there before the fork is the parent's: neither its callbacks run here, nor are its files written out.
"""

from __future__ import annotations

import atexit
import errno
import gc
import io
import multiprocessing.util
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import suppress
from itertools import chain, compress, repeat
from pathlib import Path
from typing import Any

from runner.process.real_threads import real_threading, sleep, start_thread
from runner.units import format_duration

PLAIN_FILES = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom, io.BufferedRWPair)
"""Files that are whole once they are flushed. Others, such as one of gzip, are only once they are closed."""
HOLDS_NOTHING = io.RawIOBase | io.BytesIO | io.StringIO | io.BufferedReader
"""Files that nothing waits in to be written out. To close one would wait for a thread that reads it."""
_FILE: Any = io.IOBase.__base__
"""What each kind of file is, in C: to ask for `io.IOBase` costs fifty times as much for each kind that is none."""
_LOST = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})
"""Errors by which what a handler has written is lost, and not only nobody there any more to read it."""

_LAST_FLUSH = 1.0  # seconds

_threading: Any = threading
_multiprocessing: Any = multiprocessing
_spawn: Callable[[Any, Sequence[Any], Sequence[int]], int] = _multiprocessing.util.spawnv_passfds


def forget_inherited() -> None:
    """Called in a fresh fork: what the parent has registered, opened or made for its own end is not this process's."""
    atexit._clear()
    # Registered when multiprocessing was imported, in the parent: it is the first, so that it is called last.
    atexit.register(_multiprocessing.util._exit_function)
    finalizers: Any = weakref.finalize
    for info in list(finalizers._registry.values()):
        info.atexit = False
    finalizers._registered_with_atexit = False
    if (tracker := _resource_tracker()) is not None:
        tracker._fd = tracker._pid = (
            None  # the way to the parent's is closed here: one of its own starts when needed
        )
    _multiprocessing.util.spawnv_passfds = _spawn_tracker_apart
    if (futures := sys.modules.get("concurrent.futures.thread")) is not None:
        # Threads of the parent's executors, which would be joined at the end: all but the one that forked are not here.
        vars(futures)["_threads_queues"].clear()
    gc.freeze()  # `_newest_first` does not see what is frozen


def _spawn_tracker_apart(path: Any, arguments: Sequence[Any], descriptors: Sequence[int]) -> int:
    """Start a resource tracker in a session of its own: it cleans up after a worker that is killed with its group."""
    if not str(arguments[-1]).startswith("from multiprocessing.resource_tracker"):
        return _spawn(path, arguments, descriptors)
    import subprocess

    tracker = subprocess.Popen(arguments, executable=path, pass_fds=descriptors, start_new_session=True)
    tracker.returncode = 0  # multiprocessing waits for it, and not this object
    return tracker.pid


def end_process(
    code: int,
    *,
    forked: bool,
    bound: float,
    report_lost: Callable[[OSError], None],
    report_lingering: Callable[[list[str]], None],
) -> int:
    """
    Do what is left to do before this process may exit with `code`; return the code that it then has.

    `report_lost` is called with what kept a file from being written out; `report_lingering` with the names of threads
    and processes that are still there `bound` seconds from now: then this process exits, and nothing more is run.
    """
    _set_alarm(bound, code, forked, report_lost, report_lingering)
    _threading._shutdown()
    if not forked:
        return code  # the interpreter does the rest
    atexit._run_exitfuncs()
    code = flush_files(report_lost, closing=True) or code
    _end_resource_tracker()
    return code


def flush_files(report_lost: Callable[[OSError], None], *, closing: bool = False) -> int:
    """
    Write out what open files have in their buffers; return 1 where that failed, and data is lost.

    With `closing`, files that are whole only once they are closed are: in a process that is about to end.
    """
    code = 0
    for file in _newest_first():
        try:
            if isinstance(file, PLAIN_FILES):
                file.flush()
            elif closing:
                file.close()
        except OSError as error:
            if error.errno in _LOST:
                report_lost(error)
                code = 1
        except Exception:  # detached, or somebody's own file that does not like to be closed: so it is
            continue
    return code


def open_descriptors() -> frozenset[tuple[int, int, int]] | None:
    """Descriptors of this process, each with the device and the number of its file; None where no /proc tells."""
    try:
        listed = [each.name for each in Path("/proc/self/fd").iterdir()]
    except OSError:
        return None
    found = set()
    for descriptor in map(int, listed):
        with suppress(OSError):  # the one of the folder itself, which is closed by now
            file = os.fstat(descriptor)
            found.add((descriptor, file.st_dev, file.st_ino))
    return frozenset(found)


def opened_since(before: frozenset[tuple[int, int, int]] | None) -> bool:
    """
    Whether there may be files that were not open `before`, when `open_descriptors` told it.

    To be asked first by whoever shares its process with a program: `flush_files` takes half a second for each million
    of its objects.
    """
    now = open_descriptors()
    return now is None or before is None or not now <= before


def _newest_first() -> Iterator[Any]:
    """Find open files: text first, then what was made later, since it lies round what was made before."""
    found = _open_files()
    found.reverse()
    yield from (file for file in found if isinstance(file, io.TextIOWrapper))
    yield from (file for file in found if not isinstance(file, io.TextIOWrapper))


def _objects() -> Iterator[object]:
    """All that there is, oldest first, once it is asked for."""
    return chain.from_iterable(map(gc.get_objects, (2, 1, 0)))


def _objects_of(kinds: Set[int]) -> Iterator[object]:
    """
    Those whose types have one of these identities.

    Two looks at once, which differ in nothing but what they make themselves: that is the newest, and comes last. Both
    are read to their end, since each has come by itself: half read, it would hold itself, and all that was new.
    """
    objects, fitting = _objects(), map(kinds.__contains__, map(id, map(type, _objects())))
    rest = (compress(each, repeat(False)) for each in (objects, fitting))
    return chain(compress(objects, fitting), *rest)


def _open_files() -> list[Any]:
    """Find those that something may wait in to be written out, oldest first."""
    return [each for each in living(_may_hold_back) if _is_open(each)]


def living(wanted: Callable[[type], bool]) -> list[Any]:
    """
    Find the objects whose types are wanted, oldest first.

    All objects are held for a moment, and no other thread may run in it: CPython fails whoever is making a tuple of an
    iterator that somebody else holds too. So each look is one call, in which nothing is Python's own.
    """
    collects = gc.isenabled()
    gc.disable()  # a collection between two looks would move a file to where it is not looked for again
    try:
        # Most are not files: there are many objects and few types. By identity: to hash a type may run its code.
        kinds = {id(kind): kind for kind in list(map(type, _objects()))}
        fitting = {key for key, kind in kinds.items() if wanted(kind)}
        found = list(_objects_of(fitting))
    finally:
        if collects:
            gc.enable()
    return [each for each in found if id(type(each)) in fitting]


def is_of_files(kind: type) -> bool:
    """Say whether objects of a type are files, or archives."""
    # By type: to ask a stranger's object what it is may run its code.
    return issubclass(kind, _archives()) or issubclass(kind, _FILE)


def _may_hold_back(kind: type) -> bool:
    return is_of_files(kind) and not issubclass(kind, HOLDS_NOTHING)


def _archives() -> tuple[type, ...]:
    """Kinds of files that are no `io` files, of modules that somebody has imported."""
    module: Any = sys.modules.get("zipfile")
    return () if module is None else (module.ZipFile,)


def _is_open(file: Any) -> bool:
    if issubclass(type(file), _archives()):
        return True
    with suppress(Exception):
        return not file.closed
    return False


def _end_resource_tracker() -> None:
    """Let it see that its process has ended, and remove what that has left, before it is killed as a stray."""
    if (tracker := _resource_tracker()) is not None:
        with suppress(OSError):
            tracker._stop()


def _resource_tracker() -> Any:
    module: Any = sys.modules.get("multiprocessing.resource_tracker")
    return None if module is None else module._resource_tracker


def lingering(bound: float, names: Sequence[str]) -> str:
    """Say which threads and processes were there still, `bound` seconds after there was nothing more to do."""
    ended = f"it was done, and ended after limits.close_timeout, {format_duration(bound)}"
    return f"{ended}, although there still was {', '.join(names)}"


def exit_within(bound: float, code: int, report_lingering: Callable[[list[str]], None]) -> None:
    """
    Have this process end with `code`, `bound` seconds from now at the latest, whatever keeps it.

    For a process whose last work is done: only threads and `atexit` are left. Returns at once.
    """
    _set_alarm(bound, code, True, lambda _: None, report_lingering)


def _set_alarm(
    bound: float,
    code: int,
    forked: bool,
    report_lost: Callable[[OSError], None],
    report_lingering: Callable[[list[str]], None],
) -> None:
    with suppress(RuntimeError):  # no thread to be had: then there is no bound
        known = (os.getpid(), code, forked, report_lost, report_lingering)
        start_thread(_exit_later, bound, _exit_now, *known, name="mprun-alarm")


def _exit_later(bound: float, exit_now: Callable[..., object], *arguments: object) -> None:
    sleep(bound)
    exit_now(*arguments)


def _exit_now(
    pid: int,
    code: int,
    forked: bool,
    report_lost: Callable[[OSError], None],
    report_lingering: Callable[[list[str]], None],
) -> None:
    """The time is up. Called in a thread of its own."""
    if os.getpid() != pid:
        return
    with real_threading():
        left = _lingering()
    report_lingering(left)
    if forked:
        # Whatever still uses a file, as a thread that waits at a full pipe does, must not keep this process.
        with suppress(RuntimeError):
            start_thread(_exit_later, _LAST_FLUSH, os._exit, code, name="mprun-last")
        code = flush_files(report_lost, closing=True) or code
    os._exit(code)


def _lingering() -> list[str]:
    own = (threading.main_thread(), threading.current_thread())
    threads = [
        f"thread '{each.name}'" for each in threading.enumerate() if each not in own and not each.daemon
    ]
    processes = [f"process {each.pid}" for each in multiprocessing.active_children()]
    return threads + processes or ["a function that was registered with atexit"]
