"""`imap`: a function on many items in many processes, the results as they come.

    items ──taken as there is room──► MapRun ──► workers ──► MapRun ──► in order, or as they come ──► the program's loop
                └── bounded: no more than `ahead` are taken whose results were not

All of it happens in the thread that asks for the next result: items are made there, and no other thread is needed.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable
from typing import TypeVar

from runner.api.map_iterator import Errors, MapIterator, MapOptions
from runner.spec.failures import RetryPolicy
from runner.spec.model import MOST_WORKERS

Item = TypeVar("Item")
Result = TypeVar("Result")
ERRORS = ("raise", "skip", "return")


def imap(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int | None = None,
    ordered: bool = True,
    errors: Errors = "raise",
    retry: int = 0,
    timeout: float | None = None,
    ahead: int | None = None,
) -> MapIterator[Item, Result]:
    """
    Call `function` with each of `items` in `workers` processes, and yield what it returns.

    Workers are forked when the first result is asked for: the function may be a closure, and sees what the program has
    in memory then. Items and results are pickled. The results come in the order of the items, or with `ordered=False`
    as they are made. Items are taken as there is room for them, so that they may be without end; breaking out of the
    loop, or `close()`, ends the workers. An item whose worker dies is handed out once more.

    Args:
        workers: processes; by default one for each core. 0 calls the function here, for a debugger.
        errors: what becomes of an item that the function raises on. "raise": the exception comes up here, its cause
            the traceback of the worker; "skip": there is no result; "return": a `MapFailure` stands for it.
        retry: how many more times such an item is tried.
        timeout: seconds that the function may take for one item; its worker is killed then.
        ahead: items that may be taken before their results are, at the most; by default as the pace asks for.

    Raises:
        TypeError, ValueError: an argument makes no sense.
        StartFailed: the system has no process left. Raised by the first result, as is all that follows.
        ItemLost: a worker died with the item in hand, and another one as well; or its result can't be pickled.
        RunFailed: the run itself broke off.
    """
    options = _checked(workers, ordered, errors, retry, timeout, ahead)
    if not callable(function):
        raise TypeError(f"imap calls a function with each item, and {_shown(function)} can't be called")
    if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
        made = "a coroutine" if inspect.iscoroutinefunction(function) else "a generator"
        raise TypeError(f"imap yields what the function returns, and {_shown(function)} returns {made}")
    try:
        iterator = iter(items)
    except TypeError:
        raise TypeError(
            f"imap takes items from what can be iterated over, and {_shown(items)} can't"
        ) from None
    return MapIterator(function, iterator, options)


def _shown(value: object) -> str:
    return f"{value!r:.60} of type {type(value).__name__}"


def _checked(
    workers: int | None,
    ordered: bool,
    errors: Errors,
    retry: int,
    timeout: float | None,
    ahead: int | None,
) -> MapOptions:
    workers = len(os.sched_getaffinity(0)) if workers is None else workers
    for name, value, least in (("workers", workers, 0), ("retry", retry, 0), ("ahead", ahead, 1)):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise TypeError(f"imap: `{name}` is an integer, not {_shown(value)}")
        if value is not None and value < least:
            raise ValueError(f"imap: `{name}` is at least {least}, not {value}")
    if workers > MOST_WORKERS:
        raise ValueError(f"imap: `workers` is at most {MOST_WORKERS:,}, not {workers:,}")
    if not isinstance(ordered, bool):
        raise TypeError(f"imap: `ordered` is True or False, not {_shown(ordered)}")
    if errors not in ERRORS:
        raise ValueError(f"imap: `errors` is one of {', '.join(ERRORS)}, not {errors!r}")
    if timeout is not None and not (isinstance(timeout, int | float) and timeout > 0):
        raise ValueError(f"imap: `timeout` is a number of seconds above 0, not {timeout!r}")
    policy = RetryPolicy.written(attempts=retry + 1) if retry else RetryPolicy()
    return MapOptions(workers, ordered, errors, policy, timeout, ahead)
