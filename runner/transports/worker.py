"""The life of one worker, in its own process (or its own turn, under `inline`): from its handler to its last word.

    build the handler ──► ready ──► produce | consume | drive | task ──► close ──► finished

The same for every transport: a `WorkerEndpoint` holds the queue ends, the status page and the way to the supervisor.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import GeneratorType
from typing import TYPE_CHECKING, Any, cast

from runner.errors import EndOfStream, HandlerError, NotRepeated, Stopping
from runner.facts import write_all
from runner.handlers import python
from runner.handlers.kinds import (
    Driver,
    Handler,
    Malformed,
    Mapper,
    QueueEnd,
    Source,
    Task,
    WorkerContext,
    nothing_to_close,
    one_by_one,
    refuse_coroutine,
    unrouted,
)
from runner.ipc.frames import Resumed, pack_safe, pack_series, pickle_alone
from runner.ipc.messages import RetryAction
from runner.ipc.status_page import Word
from runner.ledger.retry import Redeliver, after_failure, is_worth_it
from runner.process.resources.base import InjectedResources
from runner.spec.commits import FlushPolicy
from runner.spec.failures import OnError
from runner.spec.model import Role
from runner.spec.plan import WorkerPlan
from runner.text import describe_error, safe_repr, user_traceback
from runner.transports.base import OWN_FOLDER, Cancelled, SafePoints, SendMessage, WorkerEndpoint
from runner.transports.commit_pace import CommitPace
from runner.transports.routing import checks_of

if TYPE_CHECKING:
    from runner.process.leftovers import Leftovers
    from runner.process.resources.locks import HandlerLock
    from runner.transports.committed_items import CommittedItems
    from runner.transports.producer_place import ProducerPlace


_MANY = 3
"""Workers from which on it is quicker to import something once, before they are forked."""


class ItemError(Exception):
    """A handler raised on an item and the stage says that this ends the run. The supervisor knows already."""


def work(plan: WorkerPlan, endpoint: WorkerEndpoint) -> int:
    """Live a worker's life; return its exit code. Never raises what a handler raised."""
    worker = _Worker(plan, endpoint)
    worker.watch()
    try:
        handler = worker.build()
        endpoint.send("ready", **worker.unread_instance(handler))
        try:
            worker.run(handler)
        finally:
            worker.leave_work(handler)
            refuse_coroutine(handler.close())
    except ItemError:
        return 1
    except (EndOfStream, Stopping):
        pass
    except NotRepeated as error:
        endpoint.send("not_the_same", error=str(error))
        return 1
    except Cancelled:
        raise
    except SystemExit as leaving:
        return worker.leave(leaving)
    except BaseException as error:  # also KeyboardInterrupt: somebody sent this worker a SIGINT
        worker.report_failure(error)
        return 1
    endpoint.send("finished")
    return 0


def import_ahead(workers: Sequence[WorkerPlan]) -> None:
    """Called before workers are forked: import what each of them would import for itself, where they are many."""
    forked = [each for each in workers if each.start_method == "fork"]
    if sum(map(_is_looked_after, forked)) >= _MANY:
        import runner.process.leftovers
    if sum(each.role is Role.PRODUCER for each in forked) >= _MANY:
        import runner.transports.producer_place  # noqa: F401
    if len(forked) >= _MANY:
        write_all()


def _is_looked_after(plan: WorkerPlan) -> bool:
    """Whether what its calls leave behind is looked for: where it would be missed, and the source has not told."""
    return plan.misses_close and not plan.drives and not (plan.kept is not None and plan.kept.seen)


class _Worker:
    """What the steps of one life share."""

    def __init__(self, plan: WorkerPlan, endpoint: WorkerEndpoint) -> None:
        self._plan = plan
        self._endpoint = endpoint
        self._status = endpoint.status
        self._resources = _with_open_locks(endpoint)
        self._context: WorkerContext | None = None
        self._place: ProducerPlace | None = None
        """Of a producer under a transport that can go on with one."""
        self._leftovers: Leftovers | None = None
        self._followed: CommittedItems | None = None
        """Of a producer that has asked what of its items is kept."""

    def watch(self) -> None:
        """Note what there is before the handler, where a look at what its calls leave behind is to be taken."""
        if self._endpoint.watch is None or not _is_looked_after(self._plan):
            return
        from runner.process.leftovers import Leftovers

        self._leftovers = Leftovers(lambda what: self._endpoint.send("holds", what=what), self._plan.share.of)

    def build(self) -> Handler:
        """Import and construct the handler. Whatever that raises ends the worker."""
        plan = self._plan
        context = WorkerContext(
            name=plan.name,
            stage=plan.stage,
            pid=os.getpid(),
            ppid=os.getppid(),
            offset=self._endpoint.offset,
            ids=self._item_ids,
            attempts=self._endpoint.attempts or (lambda: self._status.words[Word.ATTEMPT]),
            split=lambda: bool(self._status.words[Word.SPLIT]),
            beside=plan.beside,
            role=plan.role,
            arguments=plan.arguments,
            values=plan.handler.values,
            in_batches=plan.batch is not None,
            close_timeout=plan.close_timeout,
            emit=self._log,
            places=self._endpoint.places,
            source=f"{self._endpoint.origin}/{plan.receives}",
            prepared=plan.prepared,
            fsync=plan.fsync,
            state=self._endpoint.state,
            note_place=self._endpoint.note_place,
            resources=self._resources,
            inputs=plan.inputs,
            share=plan.share,
            stopping=self._is_stopping,
            progress=self._note_progress,
            report=self._report,
            revoked=lambda: self._status.words[Word.REVOKED],
            resumed=self._endpoint.resumed,
            count_committed=lambda: self._committed().count(),
            await_committed=lambda count, timeout: self._committed().wait(count, timeout),
        )
        self._context = context = self._placed(context)
        handler = self._resumed(self._with_faults(self._bind(context), context), context)
        if plan.batch is not None:
            _check_takes_batches(handler)
        if plan.rate is not None and not isinstance(handler, Mapper | Source):
            raise HandlerError(
                "`rate`: the handler drives its queue, so nobody can make it wait between its items"
            )
        handler = _with_puts_checked(handler, plan)
        if plan.lock is None:
            return handler
        from runner.handlers.wrappers import hold_lock

        return hold_lock(handler, cast("HandlerLock", self._resources[plan.lock].resolve()))

    def _placed(self, context: WorkerContext) -> WorkerContext:
        """Let a producer begin where its predecessors were, as far as these can be told from."""
        if self._plan.role is not Role.PRODUCER or self._endpoint.show_items is None:
            return context
        from runner.transports.producer_place import ProducerPlace

        self._place = ProducerPlace(self._plan, self._endpoint)
        return self._place.begin(context)

    def _resumed(self, handler: Handler, context: WorkerContext) -> Handler:
        """Let the handler go on with the state of the worker whose place this one takes."""
        if self._plan.checkpoint is None or not isinstance(handler, Mapper) or handler.capture is not None:
            return handler
        if handler.instance is None:
            raise HandlerError(
                f"`state: checkpoint`: '{self._plan.handler.target}' is no class, and keeps nothing of its items"
            )
        if not self._endpoint.state:
            return handler
        return python.resumed(handler, self._endpoint.state, context)

    def unread_instance(self, handler: Handler) -> dict[str, str]:
        """Name the class whose instance is called with items, where the stage's source did not tell what it keeps."""
        kept = self._plan.kept
        if kept is None or kept.seen or (isinstance(handler, Mapper) and handler.flush is not None):
            return {}
        name = python.class_called(self._plan.handler.target)
        return {"instance_of": name} if name else {}

    def _with_faults(self, handler: Handler, context: WorkerContext) -> Handler:
        """Put round the handler what a test asks to go wrong in it."""
        if not self._plan.faults:
            return handler
        from runner.handlers.faults import with_faults

        return with_faults(handler, self._plan.faults, context)

    def _bind(self, context: WorkerContext) -> Handler:
        handler, arguments = self._plan.handler, self._plan.arguments
        if handler.kind == "python":
            return python.bind(handler.target, arguments, context, self._plan.places)
        from runner.handlers.registry import find_kind

        kind = find_kind(handler.kind)
        try:
            built = kind.build(handler.options, context)
        except SystemExit as leaving:
            raise HandlerError(
                f"the handler '{handler.kind}' called sys.exit while it was built"
            ) from leaving
        # Items may be of classes beside the file. What the kind itself needs was found elsewhere before.
        python.prepend_to_path(str(Path(context.beside).resolve()))
        return built

    def run(self, handler: Handler) -> None:
        """Do the work, in the way that fits the handler's shape. Blocks until it is done."""
        try:
            match handler:
                case Source():
                    self._produce(handler)
                case Mapper():
                    self._consume(handler)
                case Driver():
                    with self._status.at_work():
                        self._drive(handler)
                case Task():
                    with self._status.at_work():
                        refuse_coroutine(handler.call())
        finally:
            self._status.end_work()  # also where an item was in hand when it left
            self._status.count_quick()

    def _produce(self, handler: Source) -> None:
        items = handler.items()
        if self._place is not None:
            items = self._place.left_of(items)
        wait = self._endpoint.wait_for_rate
        self._endpoint.loops.produce(items if wait is None else _at_rate(items, wait), self._item_failed)

    def _consume(self, handler: Mapper) -> None:
        if self._endpoint.concurrently is not None:
            self._endpoint.concurrently(handler, self._item_failed)
            return
        loops, plan, call = self._endpoint.loops, self._plan, handler.call
        if (wait := self._endpoint.wait_for_rate) is not None:
            call = _call_at_rate(call, wait)
        if handler.flush is None and plan.checkpoint is None:
            if self._leftovers is not None and self._endpoint.watch is not None:
                self._leftovers.begin()
                self._endpoint.watch(self._leftovers.look)
            loops.consume(call, self._item_failed)
            return
        loops.consume_holding(call, self._item_failed, self._safe_points(handler))

    def _safe_points(self, handler: Mapper) -> SafePoints:
        flush = None if handler.flush is None else self._plan.flush or FlushPolicy()
        return SafePoints(
            pace=CommitPace(flush, self._plan.checkpoint, time.monotonic()),
            flush=handler.flush,
            capture=self._capture_of(handler),
            call_many=handler.call_many if self._plan.rate is None else None,
        )

    def _capture_of(self, handler: Mapper) -> Callable[[], bytes] | None:
        checkpoint, given = self._plan.checkpoint, {"worker": self._context}
        if checkpoint is None:
            return None
        if handler.capture is not None:
            return handler.capture
        from runner.handlers.checkpoint import capture, keep_attributes_quick

        keep_attributes_quick(handler.instance)
        return lambda: capture(handler.instance, checkpoint.most, given)

    def leave_work(self, handler: Handler) -> None:
        """See to what was put, and let the supervisor know how long `close()` takes; not if it was cancelled."""
        error = sys.exc_info()[1]
        if isinstance(error, Cancelled):
            return
        if error is None or isinstance(error, EndOfStream | Stopping):
            self._endpoint.flush_puts()
        if handler.close is not nothing_to_close:
            self._endpoint.send("closes")

    def leave(self, leaving: SystemExit) -> int:
        """A handler called `sys.exit`: outside an item that is its right, and its code is the worker's."""
        code = leaving.code
        if code is None or code == 0:
            self._endpoint.send("finished")
            return 0
        self._endpoint.send("handler_failed", error=f"SystemExit: {code}", traceback="")
        return code if isinstance(code, int) and 0 < code < 256 else 1

    def report_failure(self, error: BaseException) -> None:
        """Tell the supervisor what the handler raised, without our own frames."""
        self._endpoint.send(
            "handler_failed", error=describe_error(error), traceback=user_traceback(error, OWN_FOLDER)
        )

    def _item_failed(
        self, item: object, error: BaseException, *, attempt: int = 1, send: SendMessage | None = None
    ) -> None:
        """Tell; raise `ItemError` where the stage says that one failure ends the run."""
        action: OnError | RetryAction = self._plan.on_error
        if send is not None:  # else the queue's end counts it
            action = self._action(error, attempt)
            self._status.add(Word.RETRIED if action is RetryAction.RETRY else Word.FAILED)
        more: dict[str, str] = {}
        if isinstance(item, Malformed):
            more["position"] = item.position
            item = item.raw
            if action is OnError.DEAD_LETTER:
                more["frame"] = b64encode(pack_safe([item])).decode("ascii")
        if action is OnError.ROUTE:
            self._route_failure(item, error, attempt, more)
        (send or self._endpoint.send)(
            "item_failed",
            item=safe_repr(item),
            error=describe_error(error),
            traceback=user_traceback(error, OWN_FOLDER),
            action=action,
            **more,
        )
        if action is OnError.FAIL:
            raise ItemError from error

    def _route_failure(self, item: object, error: BaseException, attempt: int, more: dict[str, str]) -> None:
        """Put the failure on its queue, or where the supervisor does that, see to it that it has the item."""
        if self._endpoint.put_failure is not None:
            stage, text = self._plan.stage, describe_error(error)
            self._endpoint.put_failure({"item": item, "error": text, "attempts": attempt, "stage": stage})
        elif self._plan.receives is None:
            with contextlib.suppress(Exception):  # what can't be pickled is shown
                more["frame"] = b64encode(pack_series([pickle_alone(item)])).decode("ascii")

    def _action(self, error: BaseException, attempt: int) -> OnError | RetryAction:
        policy = self._plan.retry
        verdict = after_failure(policy, attempt, worth_it=is_worth_it(policy, error))
        return RetryAction.RETRY if isinstance(verdict, Redeliver) else self._plan.on_error

    def _drive(self, handler: Driver) -> None:
        inbox: QueueEnd | None = self._endpoint.inbox
        if inbox is not None and self._plan.sentinel is not None:
            from runner.handlers.wrappers import SentinelInbox

            inbox = SentinelInbox(inbox, self._plan.sentinel.value)
        outbox = self._endpoint.outbox
        repeated = None if self._place is None or outbox is None else self._place.outbox(outbox)
        self._endpoint.loops.drive(lambda: refuse_coroutine(handler.call(inbox, repeated or outbox)))
        if self._place is not None and repeated is not None:
            self._place.check_ended(repeated)

    def _committed(self) -> CommittedItems:
        if self._followed is None:
            from runner.transports.committed_items import CommittedItems

            self._followed = CommittedItems(self._plan, self._endpoint)
        return self._followed

    def _is_stopping(self) -> bool:
        return bool(self._status.words[Word.STOP])

    def _item_ids(self) -> list[str]:
        origin = self._endpoint.origin
        return [self._plan.item_id(origin, place) for place in self._endpoint.places()]

    def _note_progress(self, at: int, of: int) -> None:
        words = self._status.words
        words[Word.READ], words[Word.TO_READ] = at, of

    def _report(self, what: str, fields: Mapping[str, Any]) -> None:
        self._endpoint.send("reported", what=what, fields=dict(fields))

    def _log(self, level: str, message: str, fields: Mapping[str, Any]) -> None:
        self._endpoint.send("logged", level=level, message=message, fields=dict(fields))


def _with_puts_checked(handler: Handler, plan: WorkerPlan) -> Handler:
    """Hold what it puts to the queue's sentinel and contract, where there are any. Routes see to that themselves."""
    if plan.sends is None or (plan.unputtable is None and plan.contract is None):
        return handler
    from runner.handlers.wrappers import check_puts

    queue = plan.sends
    handler = check_puts(handler, lambda item: unrouted(item, (queue,)))
    for check in checks_of(queue, plan.unputtable, plan.contract):
        handler = check_puts(handler, check)
    return handler


def _check_takes_batches(handler: Handler) -> None:
    """Raise `HandlerError` for a handler that can't be called with lists of items, as only running its module tells."""
    if not isinstance(handler, Mapper):
        raise HandlerError("`batch`: the handler drives its queue, so nobody can give it lists of items")
    if handler.flush is not None:
        raise HandlerError(
            "`batch`: the items of a list are done when the call has returned, so no `flush()` is called"
        )


def _call_at_rate(
    call: Callable[[object], object], wait: Callable[[object], None]
) -> Callable[[object], object]:
    def call_in_turn(item: object) -> object:
        wait(item)
        return call(item)

    return call_in_turn


def _at_rate(items: Iterable[object], wait: Callable[[object], None]) -> Iterator[object]:
    """Yield what a producer makes, each item in its turn. What can't be made an item of begins nothing."""
    try:
        for item in one_by_one(items):
            if not isinstance(item, Malformed):
                wait(item.item if isinstance(item, Resumed) else item)
            yield item
    finally:
        if isinstance(items, GeneratorType):
            items.close()


def _with_open_locks(endpoint: WorkerEndpoint) -> InjectedResources:
    """Return a worker's resources, ready for its handler to ask for."""
    if not endpoint.resources:
        return endpoint.resources
    from runner.process.resources.locks import open_locks

    return open_locks(endpoint.resources, endpoint.status)
