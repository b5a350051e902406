"""Every error that mprun raises, as one tree. The class knows its exit code.

    MprunError
    ├── UsageError             2   the command line is wrong
    ├── SpecError              3   the workflow file is wrong; carries the problems
    ├── HandlerError           3   a handler can't be had
    │   └── HandlerNotFound
    ├── RunFailed              1   the run started and did not do its work
    │   └── StartFailed            not all of its processes could be started; those that were are gone again
    ├── CommandFailed          1   a command that a stage runs did not end with 0
    ├── RunTimedOut            5   `limits.timeout` passed
    └── MprunInternalError    70   our own tables disagree: a bug in mprun

`EndOfStream` and `Stopping` stand outside: they are signals to a handler that drives its queue itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # whoever raises problems has them; whoever only exits need not wait for their import
    from runner.problems import Problem


class ExitCode(IntEnum):
    """What the shell is told. A run ended by signal n exits 128 + n."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    INVALID = 3
    TIMEOUT = 5
    RESUME_REFUSED = 6
    INTERNAL = 70
    SIGNAL = 128


class MprunError(Exception):
    """The root: whatever mprun raises on purpose."""

    exit_code: int = ExitCode.FAILED


class UsageError(MprunError):
    """The command line asks for something that does not exist or does not fit together."""

    exit_code = ExitCode.USAGE


class SpecError(MprunError):
    """The workflow file does not check. Nothing was started."""

    exit_code = ExitCode.INVALID

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(f"{len(problems)} problem{'s' if len(problems) != 1 else ''}")
        self.problems = tuple(problems)


class HandlerError(MprunError):
    """A handler can't be had."""

    exit_code = ExitCode.INVALID


class HandlerNotFound(HandlerError):
    """The spec names a handler that is not registered or cannot be imported."""


class RunFailed(MprunError):
    """The run started and did not do its work."""


class StartFailed(RunFailed):
    """A process could not be started; those that had been are gone again."""


class CommandFailed(MprunError):
    """A command that a stage runs could not be started, did not exit with 0, or was killed."""


class ItemTooBig(MprunError, ValueError):
    """An item can never fit: neither its queue nor the memory is big enough. Raised by its put."""


class NotTheWorker(MprunError):
    """A process that a handler forked used a queue of the worker's."""


class RunTimedOut(MprunError):
    """The run took longer than `limits.timeout`."""

    exit_code = ExitCode.TIMEOUT


class MprunInternalError(MprunError):
    """Our own tables disagree. Never the user's fault; please report it."""

    exit_code = ExitCode.INTERNAL


class EndOfStream(Exception):
    """Raised by `queue.get()`: every writer has finished and no item is left. A handler may let it pass."""


class Stopping(Exception):
    """Raised by `queue.put()` in a producer while the run is being stopped. A handler may let it pass."""
