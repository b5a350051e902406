"""One command of a job: a process group from its birth until it is empty.

    Group ── SIGTERM, grace, SIGKILL ──► leader and all that it started, but for what left the group
    end_strays ── SIGKILL ─────────────► what left it: it is a child of the worker's by then, as a subreaper has them

A worker uses it. The log itself is the command's stdout and stderr: its output passes through nobody.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runner.process import end_orphans, send_to_group

_NOTHING = 0
"""The signal that only asks whether there is anybody."""
_EMPTY_WITHIN = 5.0
"""Seconds; a process may be stuck in the kernel, and is then left to whoever cleans up behind the worker."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a command ended."""

    code: int | None
    signal: str | None = None

    @property
    def is_good(self) -> bool:
        """It exited with 0."""
        return self.code == 0

    def __str__(self) -> str:
        return f"exited with code {self.code}" if self.signal is None else f"was killed by {self.signal}"


class Group:
    """A command that was started. `fileno()` becomes readable when its leader has ended."""

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], directory: str, output: int) -> None:
        """Start it, with `output` as its stdout and stderr, and nothing on its stdin.

        Raises:
            OSError: there is no such program or folder, or the system has no process left to give.
        """
        self._popen = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=env,
            cwd=directory,
            process_group=0,
        )
        self.pid = self._popen.pid
        self._pidfd = os.pidfd_open(self.pid)

    def fileno(self) -> int:
        """The pidfd, for a poll."""
        return self._pidfd

    def signal(self, number: signal.Signals) -> None:
        """Signal the whole group; one that is empty is no error."""
        send_to_group(self.pid, number)

    def reap(self) -> Exit:
        """Collect the leader, which has ended. Who is left of its group keeps its number from being used again."""
        code = self._popen.wait()
        os.close(self._pidfd)
        return Exit(code) if code >= 0 else Exit(None, _name_of(-code))

    def is_empty(self) -> bool:
        """Whether nobody of the group is left, once its leader was reaped."""
        with contextlib.suppress(ChildProcessError):  # orphans of the group are children of this process
            while os.waitpid(-self.pid, os.WNOHANG) != (0, 0):
                pass
        return not send_to_group(self.pid, _NOTHING)

    def bury(self) -> Exit:
        """Collect the leader, which has ended, and leave nobody in its group."""
        ended = self.reap()
        self.kill_rest()
        return ended

    def kill_rest(self) -> None:
        """Kill whoever is left of the group, its leader apart, until it is empty."""
        deadline = time.monotonic() + _EMPTY_WITHIN
        while send_to_group(self.pid, signal.SIGKILL) and time.monotonic() < deadline:
            if self.is_empty():
                return
            time.sleep(0.001)


def end_strays() -> None:
    """Kill whatever is left of a job: processes that left their group, and were orphaned. Free where there are none."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return
    end_orphans(spare=(), known=())


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has a number and no name
        return f"signal {number}"
