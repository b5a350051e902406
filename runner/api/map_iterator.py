"""The iterator behind `imap`: takes items as there is room, and has their results wait for their turn.

items ──taken──► MapRun.outbox                                 ┌─► InOrder ─────┐
                 MapRun.arrived ──► numbered results, failures ┴─► AsTheyCome ──┴─► __next__
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, Generic, Literal, TypeVar

from runner.api.places import ITEMS, RESULTS, MapRun
from runner.api.results import MapFailure, MappedCall, lost, unpack_error, unreadable_result
from runner.events.run import ItemDeadLettered, ItemFailed
from runner.facts import dataclass
from runner.handlers import live
from runner.ipc.frames import UnpackError
from runner.spec.commits import NO_STATE
from runner.spec.failures import OnError, RestartOn, RestartPolicy, RetryPolicy
from runner.spec.limits import Limits
from runner.spec.model import HandlerRef, StageSpec, WorkflowSpec
from runner.spec.plan import Plan, make_plan
from runner.spec.resources import QueueSpec
from runner.text import safe_repr

Item = TypeVar("Item")
Result = TypeVar("Result")
Errors = Literal["raise", "skip", "return"]

MOST_AHEAD = 4096
"""Items that are taken and whose results were not, at the most, where the caller says nothing."""
LEAST_AHEAD = 16
"""The same for each worker, at the least."""
_AHEAD_SECONDS = 0.05
"""Seconds of work that are taken ahead, at the pace of late."""
_FRAMES_AHEAD = 64
"""Into how many frames what is ahead is cut: one that is handed out in parts goes whole with each."""
_FRAME_SECONDS = 0.0005
_TOP_UP = 8
"""Items are taken once so much of the room is free: its eighth part."""
_NOTHING = object()


@dataclass(frozen=True, slots=True)
class MapOptions:
    """How a function is mapped."""

    workers: int
    ordered: bool
    errors: Errors
    retry: RetryPolicy
    timeout: float | None
    ahead: int | None

    @property
    def least_ahead(self) -> int:
        """Items that may be taken ahead, whatever the pace."""
        return LEAST_AHEAD * self.workers if self.ahead is None else self.ahead

    @property
    def most_ahead(self) -> int:
        """The same where items are quick."""
        return max(MOST_AHEAD, self.least_ahead) if self.ahead is None else self.ahead


@dataclass(frozen=True, slots=True)
class _Lost:
    """In the place of a result."""

    item: object
    error: BaseException


class InOrder:
    """Results wait here for those of earlier items."""

    def __init__(self) -> None:
        self._results: dict[int, object] = {}
        self.next = 0
        """The number of the result whose turn it is."""

    def add(self, number: int, result: object) -> None:
        """Keep a result."""
        self._results[number] = result

    def pop(self) -> object:
        """Return the result whose turn it is; `_NOTHING` where it is not there yet."""
        found = self._results.pop(self.next, _NOTHING)
        self.next += found is not _NOTHING
        return found


class AsTheyCome:
    """Results wait here to be asked for."""

    def __init__(self) -> None:
        self._results: deque[object] = deque()

    def add(self, _number: int, result: object) -> None:
        """Keep a result."""
        self._results.append(result)

    def pop(self) -> object:
        """Return the result that came first; `_NOTHING` where there is none."""
        return self._results.popleft() if self._results else _NOTHING


class MapIterator(Generic[Item, Result]):
    """The results of `imap`. Ended by its last result, by `close()`, by `with`, or by being forgotten."""

    def __init__(
        self, function: Callable[[Item], Result], items: Iterator[Item], options: MapOptions
    ) -> None:
        self._function = function
        self._items = items
        self._options = options
        self._run: MapRun | None = None
        self._is_over = self._is_exhausted = False
        self._taken = self._arrived = self._yielded = 0
        """Items that were taken; of these, those of which is known what became; and those that are settled."""
        self._in_work: dict[int, Item] = {}
        """Items by number of which nothing is known yet."""
        self._results: InOrder | AsTheyCome = InOrder() if options.ordered else AsTheyCome()
        self._unplaced: list[BaseException] = []
        """Of items that were lost, and nobody can tell which these were."""
        self._ahead = options.least_ahead
        self._paced_at, self._paced = perf_counter(), 0

    def __iter__(self) -> MapIterator[Item, Result]:
        return self

    def __enter__(self) -> MapIterator[Item, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_run", None) is not None:
            self.close()

    def __next__(self) -> Result:
        if self._is_over:
            raise StopIteration
        try:
            found = self._next() if self._options.workers else self._next_here()
        except BaseException:  # also KeyboardInterrupt: nothing goes on behind the program's back
            self.close()
            raise
        return found

    def close(self) -> None:
        """End the workers at once: there are no more results. Nothing is left of them when this returns."""
        self._is_over = True
        run, self._run = self._run, None
        if run is not None:
            run.stop()

    def _next(self) -> Result:
        run = self._run
        if run is None:
            run = self._run = self._start()
        while True:
            self._feed(run)
            while (found := self._results.pop()) is not _NOTHING:
                self._yielded += 1
                if type(found) is not _Lost:
                    return found  # type: ignore[return-value]
                if (shown := self._show(found)) is not _NOTHING:
                    return shown  # type: ignore[return-value]
            if self._is_exhausted and self._yielded == self._taken:
                self._run = None
                run.finish()
                raise StopIteration
            if not self._place_lost():
                run.wait()
            self._sort(run)

    def _start(self) -> MapRun:
        name = stage_name(self._function)
        key = live.register_live(name, MappedCall(self._function, self._options.retry).handler())
        try:
            return MapRun(map_plan(key, name, self._options))
        finally:
            live.forget_live([key])  # whoever needs it has been forked

    def _feed(self, run: MapRun) -> None:
        """Take items as there is room for them, as long as no result waits."""
        room = self._ahead - (self._taken - self._yielded)
        if self._is_exhausted or room * _TOP_UP < self._ahead:
            return
        outbox, items, frame = run.outbox, self._items, max(1, self._ahead // _FRAMES_AHEAD)
        began = perf_counter()
        while room > 0:
            try:
                item = next(items)
            except StopIteration:
                self._is_exhausted = True
                break
            number = self._taken
            gathered = self._add(outbox, number, item)
            self._in_work[number] = item
            self._taken = number + 1
            room -= 1
            if gathered >= frame or perf_counter() - began > _FRAME_SECONDS:
                outbox.flush()
                run.wait(0)
                if run.arrived:  # whoever asks waits no longer than for one more item
                    break
                began = perf_counter()
        outbox.flush()
        if self._is_exhausted:
            run.finish_items()
        self._sort(run)

    def _add(self, outbox: Any, number: int, item: Item) -> int:
        try:
            added: int = outbox.add((number, item))
        except Exception as error:
            error.add_note(f"imap: item {number}, {safe_repr(item)}, can't be sent to a worker")
            raise
        return added

    def _sort(self, run: MapRun) -> None:
        """Put what has arrived where it waits for its turn."""
        arrived, in_work, add = run.arrived, self._in_work, self._results.add
        while arrived:
            outcome = arrived.popleft()
            self._arrived += 1
            if type(outcome) is tuple:
                number, is_good, value = outcome
                item = in_work.pop(number)
                add(number, value if is_good else _Lost(item, unpack_error(value)))
            elif isinstance(outcome, ItemFailed | ItemDeadLettered):
                self._note_lost(outcome)
            elif isinstance(outcome, UnpackError):
                self._unplaced.append(unreadable_result(outcome))
        self._set_pace()

    def _set_pace(self) -> None:
        """Have so many items ahead as are done in a moment."""
        count = self._arrived - self._paced
        if self._options.ahead is None and count >= self._ahead:
            now = perf_counter()
            fitting = int(count / max(now - self._paced_at, 1e-6) * _AHEAD_SECONDS)
            self._ahead = max(self._options.least_ahead, min(fitting, 2 * self._ahead, MOST_AHEAD))
            self._paced_at, self._paced = now, self._arrived

    def _note_lost(self, event: ItemFailed | ItemDeadLettered) -> None:
        """There is no result of an item, and the function has not said why: its worker died, or could not send it."""
        number = _number_in(event.item)
        if number in self._in_work:
            item = self._in_work.pop(number)
            self._results.add(number, _Lost(item, lost(event, f"item {number}, {safe_repr(item)}")))
        else:
            self._unplaced.append(lost(event, "an item"))

    def _place_lost(self) -> bool:
        """Where of all items is known what became, those without a result are the lost ones. Say whether one was."""
        if not self._unplaced or (self._arrived < self._taken and self._options.errors != "raise"):
            return False
        number = min(self._in_work)
        self._results.add(number, _Lost(self._in_work.pop(number), self._unplaced.pop()))
        if isinstance(self._results, InOrder) and self._options.errors == "raise":
            self._results.next = number
        return True

    def _show(self, failure: _Lost) -> object:
        """Raise or return what stands for a result; `_NOTHING` where it is left out."""
        match self._options.errors:
            case "raise" if isinstance(failure.error, StopIteration):
                # As in a generator: raised by an iterator, it would end the loop as if these were all results.
                raise RuntimeError("imap: the function raised StopIteration") from failure.error
            case "raise":
                raise failure.error
            case "skip":
                return _NOTHING
        return MapFailure(failure.item, failure.error)

    def _next_here(self) -> Result:
        """Call the function in this process, with the next item that it makes something of."""
        for item in self._items:
            for _ in range(self._options.retry.attempts):
                try:
                    return self._function(item)
                except Exception as error:
                    failure = error
            if (shown := self._show(_Lost(item, failure))) is not _NOTHING:
                return shown  # type: ignore[return-value]
        self._is_over = True
        raise StopIteration


def _number_in(shown: str) -> int:
    """Return the number of an item as an event shows it, `(17, …`; -1 where none is shown."""
    number = shown[1:].partition(",")[0]
    return int(number) if shown[:1] == "(" and number.isdigit() else -1


def stage_name(function: Callable[..., object]) -> str:
    """Name the stage after the function."""
    name = str(getattr(function, "__name__", type(function).__name__))
    plain = "".join(each if each.isalnum() or each in "_-" else "_" for each in name).strip("_-")
    return f"{plain}-call" if plain in ("", ITEMS, RESULTS) else plain


def map_plan(key: str, name: str, options: MapOptions) -> Plan:
    """Lay out the run: two places for the program, and the function between them."""
    handler = HandlerRef("python", key)
    # A queue of one has no room to share out, so that its writer would have to ask; `ahead` is kept in `_feed`.
    room, never = max(2, options.most_ahead), RestartPolicy(on=RestartOn.NEVER)
    spec = WorkflowSpec(
        name=name,
        path=Path(name),
        stages=(
            StageSpec(ITEMS, handler, workers=(ITEMS,), sends=ITEMS, restart=never),
            StageSpec(
                name,
                handler,
                workers=tuple(f"{name}-{number}" for number in range(1, options.workers + 1)),
                receives=ITEMS,
                sends=RESULTS,
                on_error=OnError.SKIP,
                retry=options.retry,
                timeout=options.timeout,
                state=NO_STATE,
            ),
            StageSpec(RESULTS, handler, workers=(RESULTS,), receives=RESULTS, restart=never),
        ),
        queues=(QueueSpec(ITEMS, maxsize=room), QueueSpec(RESULTS, maxsize=room)),
        limits=Limits(max_errors="100%"),
    )
    plan = make_plan(spec)
    # The program's places first: they take no fork, and items wait for the first worker that is there.
    return replace(plan, stages=tuple(sorted(plan.stages, key=lambda stage: stage.name == name)))
