"""What becomes of one item of `imap`: a result, or the exception of the function with the traceback of its worker."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

from runner.errors import MprunError, WorkerSignal
from runner.events.run import ItemDeadLettered, ItemFailed
from runner.facts import dataclass
from runner.handlers.kinds import WorkerContext
from runner.ipc.frames import UnpackError
from runner.ledger.retry import Redeliver, after_failure, is_worth_it
from runner.spec.failures import RetryPolicy
from runner.text import describe_error, user_traceback
from runner.transports.base import OWN_FOLDER


class WorkerTraceback(Exception):
    """The cause of an exception that came from a worker: its text is the traceback that it had there."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}\n"""'


class ItemLost(MprunError):
    """There is no result of an item: its worker died, or the result could not be sent."""


@dataclass(frozen=True, slots=True)
class MapFailure:
    """Stands for the result of an item that has none, with `errors="return"`."""

    item: object
    error: BaseException
    """What the function raised; its `__cause__` has the traceback of the worker."""

    def __bool__(self) -> bool:
        return False


class MappedCall:
    """The function as a handler: called with a number and an item, it returns the number and what became of it."""

    def __init__(self, function: Callable[[Any], object], retry: RetryPolicy) -> None:
        self._function = function
        self._retry = retry

    def handler(self) -> Callable[..., object]:
        """Return what the worker is to call. A function of two parameters: it is given the worker's context."""
        function = self._function

        def call(numbered: tuple[int, object], worker: WorkerContext) -> tuple[int, bool, object]:
            number, item = numbered
            try:
                value = function(item)
            except (WorkerSignal, KeyboardInterrupt):
                raise
            except BaseException as error:
                if self._comes_again(error, worker.attempt):
                    raise
                return number, False, pack_error(error)
            return number, True, value

        return call

    def _comes_again(self, error: BaseException, attempt: int) -> bool:
        policy = self._retry
        verdict = after_failure(policy, attempt, worth_it=is_worth_it(policy, error))
        return isinstance(verdict, Redeliver)


def pack_error(error: BaseException) -> tuple[bytes | None, str, str]:
    """Return an exception as it travels: pickled, where it can be, in words, and its traceback."""
    text = user_traceback(error, OWN_FOLDER)
    if not isinstance(error, Exception):  # such as SystemExit, which would end the program
        return None, describe_error(error), text
    try:
        packed = pickle.dumps(error)
        pickle.loads(packed)  # a class that takes other arguments than it keeps pickles, and can't be read
    except Exception:
        return None, describe_error(error), text
    return packed, describe_error(error), text


def unpack_error(packed: tuple[bytes | None, str, str]) -> BaseException:
    """Return the exception again, or one that says what it was; its cause is the traceback of the worker."""
    pickled, words, text = packed
    error: BaseException = ItemLost(words)
    if pickled is not None:
        try:
            error = pickle.loads(pickled)
        except Exception:  # what it needs is here no more
            error = ItemLost(words)
    error.__cause__ = WorkerTraceback(text)
    return error


def lost(event: ItemFailed | ItemDeadLettered, item: str) -> ItemLost:
    """Return the error for an item whose function could not say itself what became of it."""
    if isinstance(event, ItemFailed):
        return ItemLost(f"{item}, or its result, can't be sent: {event.error}")
    words = event.error.partition(" on item (")[0]  # which names it with its number
    return ItemLost(f"there is no result of {item}: {words}, at attempt {event.attempts}")


def unreadable_result(error: UnpackError) -> ItemLost:
    """Return the error for a result that can't be unpickled in the program."""
    cause = error.__cause__ or error
    told = ItemLost(f"a result can't be unpickled here: {describe_error(cause)}")
    told.__cause__ = cause
    return told
