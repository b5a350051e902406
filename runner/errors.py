"""Every error that mprun raises, as one tree. The class knows its exit code.

    MprunError
    ├── UsageError             2   the command line is wrong
    ├── RerunRefused           6   what a past run was made of is no longer what it was
    ├── ResumeRefused          6   a run can't be gone on with
    ├── SpecError              3   the workflow file is wrong; carries the problems
    ├── HandlerError           3   a handler can't be had
    │   └── HandlerNotFound
    ├── RunFailed              1   the run started and did not do its work
    │   └── StartFailed            not all of its processes could be started; those that were are gone again
    ├── CommandFailed          1   a command that a stage runs did not end with 0
    ├── BatchFailed            1   some items of a batch have failed; a handler says which
    └── MprunInternalError    70   our own tables disagree: a bug in mprun

`WorkerSignal` stands outside: `EndOfStream` and `Stopping` tell a handler that drives its queue itself to end. They are
no `Exception`, so that an `except Exception` round an item lets them pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # whoever raises problems has them; whoever only exits need not wait for their import
    from runner.spec.diagnostics import LocatedDiagnostic


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


class RerunRefused(MprunError):
    """A run can't be run again as it was: what it was made of has changed since. Carries what has."""

    exit_code = ExitCode.RESUME_REFUSED


class ResumeRefused(MprunError):
    """A run can't be gone on with: it is not over, nothing is left of it, or what it was made of has changed since."""

    exit_code = ExitCode.RESUME_REFUSED


class SpecError(MprunError):
    """The workflow file does not check. Nothing was started."""

    exit_code = ExitCode.INVALID

    def __init__(self, diagnostics: Sequence[LocatedDiagnostic], shown: str = "") -> None:
        """`shown` is what people see of the problems who see nothing but the exception."""
        super().__init__(shown or f"{len(diagnostics)} problem{'s' if len(diagnostics) != 1 else ''}")
        self.diagnostics = tuple(diagnostics)


class HandlerError(MprunError):
    """A handler can't be had."""

    exit_code = ExitCode.INVALID


class HandlerNotFound(HandlerError):
    """The spec names a handler that is not registered or cannot be imported."""


class RunFailed(MprunError):
    """The run started and did not do its work."""

    report: Any = None
    """What it came to, where there is a report of it."""


class StartFailed(RunFailed):
    """A process could not be started; those that had been are gone again."""


class CommandFailed(MprunError):
    """A command that a stage runs could not be started, did not exit with 0, was killed, or made no sense."""

    def __init__(self, message: str, code: int | None = None) -> None:
        """`code` is its exit code, negative for a signal, where that is what has failed."""
        super().__init__(message)
        self.code = code


class BatchFailed(MprunError):
    """Raised by a handler that gets items in batches: those that it names have failed, all the others are done."""

    def __init__(self, errors: Mapping[int, BaseException]) -> None:
        """`errors` says of each item that has failed why, by its index in the batch. Raises ValueError, TypeError."""
        if not errors:
            raise ValueError("BatchFailed names the items that have failed; where none has, return")
        if not isinstance(errors, Mapping):
            raise TypeError(
                f"BatchFailed takes a dict of exceptions by the indexes of their items, got {errors!r}"
            )
        for index, error in errors.items():
            if type(index) is not int or index < 0 or not isinstance(error, BaseException):
                raise TypeError(
                    "BatchFailed takes exceptions by the indexes of their items, such as {3: ValueError('no bun')}; "
                    f"got {index!r}: {error!r}"
                )
        failed = "1 item" if len(errors) == 1 else f"{len(errors)} items"
        which = [*map(str, sorted(errors)[:3]), *["…"][: len(errors) > 3]]
        super().__init__(f"{failed} of a batch failed: {', '.join(which)}")
        self.errors = dict(errors)


class ItemTooBig(MprunError, ValueError):
    """An item can never fit: neither its queue nor the memory is big enough. Raised by its put."""


class ContractBroken(MprunError, ValueError):
    """An item does not keep the schema of its queue. Raised by its put."""


class RouteError(MprunError, ValueError):
    """An item has no way: no condition under `to` takes it, or it names a queue that its stage does not write to."""


class NotTheWorker(MprunError):
    """A process that a handler forked used a queue of the worker's."""


class MprunInternalError(MprunError):
    """Our own tables disagree. Never the user's fault; please report it."""

    exit_code = ExitCode.INTERNAL


class WorkerSignal(BaseException):
    """Ends what a worker is doing, and says nothing of the item in its hand."""


class OutputFailed(WorkerSignal):
    """What a worker writes to can't be written: that is no item's fault, and fails none. The worker ends, as failed."""


class NotRepeated(WorkerSignal):
    """A producer that was run again gave something else than before: the run can't go on, and ends with exit code 6."""


class EndOfStream(WorkerSignal):
    """Raised by `queue.get()`: every writer has finished and no item is left. A handler may let it pass."""


class Stopping(WorkerSignal):
    """Raised by `queue.put()` in a producer while the run is being stopped. A handler may let it pass."""
