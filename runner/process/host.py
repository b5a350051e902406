"""The process in which a program's run is supervised: forked from the program, and alone with itself.

    program, maybe a notebook's, with threads ──fork──► host: one thread, a session of its own ──► watchdog, workers
        ◄──────────── channel: what the run has to say ──────
        ────────────► signals: to stop

A supervisor forks workers, for which its process must have one thread; a program may have many. A fork takes along only
the thread that asks for it, so that its child may. The host has all that the program had in memory: handlers may be
whatever the program holds, closures too. It dies with the program, and all that it has started with it.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from runner.errors import StartFailed
from runner.process import bootstrap
from runner.process.child import die_with_parent

_HELD_BACK = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_REAP_LOOK = 0.002

own_descriptors: set[int] = set()
"""This program's ends of its runs: no host of another run may have them."""


class Host:
    """The program's handle on its host. `channel` ends when the host does."""

    def __init__(
        self, main: Callable[[socket.socket], None], *, standard: Sequence[int | None] = (None, None)
    ) -> None:
        """
        Fork it; there `main(channel)` is called, and the process ends when that returns.

        `standard` are what is to be its stdout and stderr, where that is not the program's own.

        Raises:
            StartFailed: the system has no process or descriptor left to give.
        """
        _flush_standard()
        try:
            self.channel, theirs = socket.socketpair()
        except OSError as error:
            raise StartFailed(f"the run could not be started: {error.strerror or error}") from error
        own_descriptors.add(self.channel.fileno())
        parent, dies = os.getpid(), threading.get_native_id() == os.getpid()
        try:
            with _signals_held_back():
                self.pid = _fork()
                if self.pid == 0:
                    _be_host(main, theirs, standard, parent, dies=dies)
        except OSError as error:
            self.close()
            raise StartFailed(f"the run could not be started: {error.strerror or error}") from error
        finally:
            theirs.close()
        self.code: int | None = None
        self._owner = os.getpid()

    def signal(self, number: signal.Signals) -> None:
        """Ask it to stop; nothing where it has ended."""
        if self.code is None and os.getpid() == self._owner:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended, and with it all that it had started; False if it has not within `timeout`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.code is None:
            try:
                pid, status = os.waitpid(self.pid, 0 if deadline is None else os.WNOHANG)
            except ChildProcessError:  # somebody else has waited for it, and nobody knows how it ended
                self.code = 0
                break
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            elif deadline is not None and time.monotonic() >= deadline:
                return False
            else:
                time.sleep(_REAP_LOOK)
        return True

    def close(self) -> None:
        """Give back the descriptor."""
        own_descriptors.discard(self.channel.fileno())
        self.channel.close()


def _fork() -> int:
    with warnings.catch_warnings():
        # What Python warns of, a child that waits for a lock of another thread, is what `_be_host` sees to.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Hold signals back until the child has handlers of its own: else it would do what the program does at them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _be_host(
    main: Callable[[socket.socket], None],
    channel: socket.socket,
    standard: Sequence[int | None],
    parent: int,
    *,
    dies: bool,
) -> NoReturn:
    """The host's whole life."""
    code = 1
    try:
        gc.freeze()  # what the program has made is not this process's to collect
        os.setsid()
        if dies:  # the kernel counts the thread that forked as the parent: only the main one lives as long
            die_with_parent(parent)
        signal.set_wakeup_fd(-1)
        for number in _HELD_BACK:
            signal.signal(number, signal.SIG_DFL)
        _forget_other_runs()
        # A daemonic process of `multiprocessing` may have no children, since these would outlive it: ours do not.
        vars(multiprocessing.current_process())["_config"].pop("daemon", None)
        _open_standard(standard)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD_BACK)
        bootstrap.keep_open(_open_descriptors() - {channel.fileno()})
        main(channel)
        code = 0
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # whatever went wrong, this copy of the program must not go on as one


def _forget_other_runs() -> None:
    for descriptor in own_descriptors:
        with suppress(OSError):
            os.close(descriptor)
    own_descriptors.clear()


def _open_standard(standard: Sequence[int | None]) -> None:
    """Have stdout and stderr be plain files again, whatever the program has put in their place."""
    for target, given in zip((1, 2), standard, strict=True):
        if given is not None:
            os.dup2(given, target)
    for name, target in (("stdout", 1), ("stderr", 2)):
        plain = open(target, "w", encoding="utf-8", errors="backslashreplace", closefd=False, buffering=1)  # noqa: SIM115
        setattr(sys, name, plain)
        setattr(sys, f"__{name}__", plain)


def _open_descriptors() -> frozenset[int]:
    found = (int(each.name) for each in Path("/proc/self/fd").iterdir())
    return frozenset(each for each in found if _is_open(each))


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:  # that of the list itself
        return False
    return True


def _flush_standard() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed, or None
            stream.flush()
