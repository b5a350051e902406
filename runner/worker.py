"""The life of one worker, in its own process (or its own turn, under `inline`): from its handler to its last word.

    build the handler ──► ready ──► produce | consume | drive | task ──► close ──► finished

The same for every transport: a `Port` holds the queue ends, the status page and the way to the supervisor.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from runner.errors import EndOfStream, Stopping
from runner.facts import RETRY
from runner.handlers import python
from runner.handlers.base import Driver, Handler, Mapper, QueueEnd, Source, Task, WorkerContext, find_kind
from runner.plan import WorkerPlan
from runner.provisions import Gifts
from runner.retry import Again, after_failure, is_worth_it
from runner.sketch import describe_error, sketch, user_traceback
from runner.spec import OnError
from runner.status import Word
from runner.transports.base import Cancelled, Port, Tell

if TYPE_CHECKING:
    from runner.locks import HandlerLock

_OWN_FOLDER = Path(__file__).parent


class ItemError(Exception):
    """A handler raised on an item and the stage says that this ends the run. The supervisor knows already."""


def work(plan: WorkerPlan, port: Port) -> int:
    """Live a worker's life; return its exit code. Never raises what a handler raised."""
    worker = _Worker(plan, port)
    try:
        handler = worker.build()
        port.tell("ready")
        try:
            worker.run(handler)
        finally:
            handler.close()
    except ItemError:
        return 1
    except (EndOfStream, Stopping):
        pass
    except Cancelled:
        raise
    except SystemExit as leaving:
        return worker.leave(leaving)
    except BaseException as error:  # also KeyboardInterrupt: somebody sent this worker a SIGINT
        worker.tell_failure(error)
        return 1
    port.tell("finished")
    return 0


class _Worker:
    """What the steps of one life share."""

    def __init__(self, plan: WorkerPlan, port: Port) -> None:
        self._plan = plan
        self._port = port
        self._status = port.status
        self._gifts = _taken_aboard(port)

    def build(self) -> Handler:
        """Import and construct the handler. Whatever that raises ends the worker."""
        plan = self._plan
        context = WorkerContext(
            name=plan.name,
            stage=plan.stage,
            pid=os.getpid(),
            ppid=os.getppid(),
            offset=0 if plan.deterministic else self._port.offset,
            attempts=lambda: self._status.words[Word.ATTEMPT],
            beside=plan.beside,
            role=plan.role,
            arguments=plan.arguments,
            emit=self._log,
            gifts=self._gifts,
            report=self._report,
            revoked=lambda: self._status.words[Word.REVOKED],
        )
        handler = self._bind(context)
        if plan.unputtable is not None and plan.sends is not None:
            from runner.handlers.unmarked import without_mark

            handler = without_mark(handler, plan.sends, plan.unputtable.value)
        if plan.lock is None:
            return handler
        from runner.handlers.under_lock import under_lock

        return under_lock(handler, cast("HandlerLock", self._gifts[plan.lock].unwrap()))

    def _bind(self, context: WorkerContext) -> Handler:
        handler, arguments = self._plan.handler, self._plan.arguments
        if handler.kind == "python":
            return python.bind(handler.target, arguments, context, self._plan.places)
        return find_kind(handler.kind).build(handler.options, context)

    def run(self, handler: Handler) -> None:
        """Do the work, in the way that fits the handler's shape. Blocks until it is done."""
        match handler:
            case Source():
                self._port.loops.produce(self._from_offset(handler.items()), self._item_failed)
            case Mapper():
                self._port.loops.consume(handler.call, self._item_failed)
            case Driver():
                self._timed(lambda: self._drive(handler))
            case Task():
                self._timed(handler.call)

    def leave(self, leaving: SystemExit) -> int:
        """A handler called `sys.exit`: outside an item that is its right, and its code is the worker's."""
        code = leaving.code
        if code is None or code == 0:
            self._port.tell("finished")
            return 0
        self._port.tell("handler_failed", error=f"SystemExit: {code}", traceback="")
        return code if isinstance(code, int) and 0 < code < 256 else 1

    def tell_failure(self, error: BaseException) -> None:
        """Tell the supervisor what the handler raised, without our own frames."""
        self._port.tell(
            "handler_failed", error=describe_error(error), traceback=user_traceback(error, _OWN_FOLDER)
        )

    def _from_offset(self, items: Iterable[object]) -> Iterable[object]:
        """Leave out what earlier generations have put, where the runner is to do that."""
        return islice(items, self._port.offset, None) if self._plan.deterministic else items

    def _item_failed(
        self, item: object, error: BaseException, *, attempt: int = 1, tell: Tell | None = None
    ) -> None:
        """Tell; raise `ItemError` where the stage says that one failure ends the run."""
        action = self._plan.on_error.value if tell is None else self._action(error, attempt)
        (tell or self._port.tell)(
            "item_failed",
            item=sketch(item),
            error=describe_error(error),
            traceback=user_traceback(error, _OWN_FOLDER),
            action=action,
        )
        if action == OnError.FAIL:
            raise ItemError from error

    def _action(self, error: BaseException, attempt: int) -> str:
        policy = self._plan.retry
        verdict = after_failure(policy, attempt, worth_it=is_worth_it(policy, error))
        return RETRY if isinstance(verdict, Again) else self._plan.on_error.value

    def _drive(self, handler: Driver) -> None:
        inbox: QueueEnd | None = self._port.inbox
        if inbox is not None and self._plan.sentinel is not None:
            from runner.handlers.marked import MarkedInbox

            inbox = MarkedInbox(inbox, self._plan.sentinel.value)
        self._port.loops.drive(lambda: handler.call(inbox, self._port.outbox))

    def _timed(self, call: Callable[[], object]) -> None:
        """Run what drives itself, counting all its time but the waits at queues as busy."""
        words = self._status.words
        began = time.perf_counter_ns()
        try:
            call()
        finally:
            waited = words[Word.STARVED] + words[Word.BLOCKED]
            words[Word.BUSY] += max(0, time.perf_counter_ns() - began - waited)

    def _report(self, what: str, fields: Mapping[str, Any]) -> None:
        self._port.tell("reported", what=what, fields=dict(fields))

    def _log(self, level: str, message: str, fields: Mapping[str, Any]) -> None:
        self._port.tell("logged", level=level, message=message, fields=dict(fields))


def _taken_aboard(port: Port) -> Gifts:
    """Return a worker's gifts, ready for its handler to ask for."""
    if not port.gifts:
        return port.gifts
    from runner.locks import aboard

    return aboard(port.gifts, port.status)
