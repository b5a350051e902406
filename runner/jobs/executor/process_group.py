"""One command of a job: a process group from its birth until it is empty.

    ProcessGroup ── SIGTERM, grace, SIGKILL ──► leader and all that it started, but for what left the group
    kill_orphans ── SIGKILL ─────────────► what left it: it is a child of the worker's by then, as a subreaper has them

A worker uses it. The log itself is the command's stdout and stderr: its output passes through nobody.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

from runner.exit_status import describe_ending, signal_name
from runner.facts import dataclass
from runner.process.child import end_orphans, send_to_group
from runner.spec.model import JobResult

_NOTHING = 0
"""The signal that only asks whether there is anybody."""
_EMPTY_WITHIN = 5.0
"""Seconds; a process may be stuck in the kernel, and is then left to whoever cleans up behind the worker."""


@dataclass(frozen=True, slots=True)
class Interruption:
    """Why a command, and the job with it, can't go on."""

    result: JobResult
    reason: str
    for_good: bool = False
    """The job as a whole is out of time."""
    of_step: bool = False
    """It concerns one step alone: the job could go on."""


@dataclass(frozen=True, slots=True)
class CommandExit:
    """How a command ended: by itself, or because it was interrupted."""

    code: int | None
    """None if a signal ended it, or it never started."""
    signal: str | None = None
    interruption: Interruption | None = None

    @property
    def is_good(self) -> bool:
        """It exited with 0, of its own accord, or was ended when it had done all that it was to do."""
        if self.interruption is not None:
            return self.interruption.result is JobResult.PASSED
        return self.code == 0

    def __str__(self) -> str:
        if self.interruption is not None:
            return self.interruption.reason
        return describe_ending(self.code, self.signal)


class ProcessGroup:
    """A command that was started. `fileno()` becomes readable when its leader has ended."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        directory: str,
        output: int,
        stdin: int = subprocess.DEVNULL,
        take_control: Callable[[], None] | None = None,
    ) -> None:
        """Start it, with `output` as its stdout and stderr, and nothing on its stdin if that is not given.

        With `take_control` it leads a session of its own, in which that is called before it begins.

        Raises:
            OSError: there is no such program or folder, or the system has no process left to give.
        """
        self._popen = subprocess.Popen(
            [_bytes(word) for word in argv],
            stdin=stdin,
            stdout=output,
            stderr=output,
            env={_bytes(name): _bytes(value, name) for name, value in env.items()},
            cwd=directory,
            process_group=None if take_control else 0,
            start_new_session=take_control is not None,
            preexec_fn=take_control,  # noqa: PLW1509 - a worker has one thread
        )
        self.pid = self._popen.pid
        self._pidfd = os.pidfd_open(self.pid)

    def fileno(self) -> int:
        """The pidfd, for a poll."""
        return self._pidfd

    def signal(self, number: signal.Signals) -> None:
        """Signal the whole group; one that is empty is no error."""
        send_to_group(self.pid, number)

    def reap(self) -> CommandExit:
        """Collect the leader, which has ended. Who is left of its group keeps its number from being used again."""
        code = self._popen.wait()
        os.close(self._pidfd)
        return CommandExit(code) if code >= 0 else CommandExit(None, signal_name(-code))

    def is_empty(self) -> bool:
        """Whether nobody of the group is left, once its leader was reaped."""
        with contextlib.suppress(ChildProcessError):  # orphans of the group are children of this process
            while os.waitpid(-self.pid, os.WNOHANG) != (0, 0):
                pass
        return not send_to_group(self.pid, _NOTHING)

    def reap_all(self) -> CommandExit:
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


def _bytes(text: str, variable: str | None = None) -> bytes:
    """
    Return a text as a program gets it: as UTF-8, which the file is, and which logs are, whatever the locale.

    What stands in a `variable` of this process goes on as it came, in the locale's encoding.
    """
    if variable is not None and os.environ.get(variable) == text:
        return os.fsencode(text)
    return text.encode("utf-8", "surrogateescape")


def kill_orphans() -> None:
    """Kill whatever is left of a job: processes that left their group, and were orphaned. Free where there are none."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return
    end_orphans(spare=(), known=())
