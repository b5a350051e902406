"""A fresh worker process, from inside: detached from what it inherited, before any handler is imported.

    WorkerPlan ──► bootstrap_worker ──► detach              session, death with the parent, descriptors, signals
                                    └─► apply_environment   `env` and `cwd`; `restore` brings back what was before

The order matters: first the session (so that signals meant for others miss it), then the pact with the parent (so that
it can't be orphaned), then descriptors, signals and the environment that the workflow asks for. A process keeps that
for good; an inline worker, which shares its process with others, for its turn.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from runner.facts import dataclass
from runner.ipc.descriptors import close_all_but
from runner.process.child import die_with_parent
from runner.process.memory import limit_own_memory
from runner.process.watchdog import RUN_VARIABLE, apply_tag, tag_of
from runner.spec.plan import WorkerPlan

_STANDARD = (0, 1, 2)
_OF_USERS = ("python", "serve")
"""Kinds of handlers that are the user's own code. Of the others some read what the run itself is given."""


_kept_open: set[int] = set()


def keep_open(descriptors: Iterable[int]) -> None:
    """Called in a process forked from a program: what was open there may belong to the handlers, which live there."""
    _kept_open.update(descriptors)


def bootstrap_worker(plan: WorkerPlan, parent: int, keep: Iterable[int] | None) -> None:
    """Make this process a worker of its own. `keep` are the descriptors it needs; None after a spawn: it has no more.

    Raises:
        OSError: the folder of `cwd` is gone, `nice` is not permitted, or the worker is over its memory limit already.
    """
    detach(parent, keep)
    if plan.handler.kind in _OF_USERS:
        _empty_stdin()
    _print_utf8(sys.stdout)
    _print_utf8(sys.stderr)
    apply_environment(plan)
    if plan.nice:
        os.nice(plan.nice)
    if plan.memory_limit is not None:
        limit_own_memory(plan.memory_limit)


def detach(parent: int, keep: Iterable[int] | None) -> None:
    """Leave behind what came from the parent: what every process of a run does, worker or not."""
    with contextlib.suppress(PermissionError):  # already a leader of its own
        os.setsid()
    die_with_parent(parent)
    if keep is not None:
        close_all_but((*_STANDARD, *_descriptors_of(sys.stdout, sys.stderr), *_kept_open, *keep))
    apply_tag(tag_of(os.environ.get(RUN_VARIABLE, "")))
    _reset_signals()


@dataclass(frozen=True, slots=True)
class SavedEnvironment:
    """The environment variables and the folder that were there before."""

    environ: dict[str, str | None]
    folder: str | None

    def restore(self) -> None:
        """Bring them back. A folder that is gone meanwhile is not brought back."""
        for name, value in self.environ.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if self.folder is not None:
            with contextlib.suppress(OSError):
                os.chdir(self.folder)


def apply_environment(plan: WorkerPlan) -> SavedEnvironment:
    """Set the variables and the folder that a worker's plan asks for, and return what was there before.

    Raises:
        OSError: the folder of `cwd` is gone. Nothing has changed then.
    """
    folder = None
    if plan.cwd is not None:
        folder = str(Path.cwd())
        os.chdir(plan.cwd)
    before = {name: os.environ.get(name) for name in plan.env}
    os.environ.update(plan.env)
    return SavedEnvironment(before, folder)


def _descriptors_of(*streams: TextIO | None) -> Iterator[int]:
    """Find where streams write that whoever runs the run has put in place of the standard ones, as pytest does."""
    for stream in streams:
        # One that is closed, or lives in memory, has none.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            yield stream.fileno()  # type: ignore[union-attr]  # None has no fileno: that is what is suppressed


def _reset_signals() -> None:
    """The supervisor's handlers and wake-up descriptor are not this process's."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _empty_stdin() -> None:
    """Let nothing be read from where the run was started, by no program that the handler starts either.

    What multiprocessing has put in the place of `sys.stdin` went with the descriptors of others, and its number may be
    that of any file by now.
    """
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    if nothing:
        os.close(nothing)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for good


def _print_utf8(stream: TextIO | None) -> None:
    """Items and names are Unicode whatever the locale; a line leaves when it is whole, so that lines don't tear."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True, write_through=False)
