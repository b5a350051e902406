"""The life of a worker, lived in this process: what it tells, when it closes, with which code it ends."""

from __future__ import annotations

import ast
import os
import pickle
import queue
import sys
import textwrap
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from runner.errors import EndOfStream, Stopping
from runner.handlers.checkpoint import capture
from runner.ipc.status_page import StatusPage
from runner.spec.commits import CheckpointPolicy, FlushPolicy
from runner.spec.failures import OnError
from runner.spec.model import HandlerRef, Role
from runner.spec.plan import WorkerPlan
from runner.transports import producer_place
from runner.transports.base import Cancelled, WorkerEndpoint
from runner.transports.cut import SampledItem
from runner.transports.item_loops import ItemwiseLoops
from runner.transports.worker import work


class End:
    """A queue end that is a list; after its items comes the end of the stream."""

    def __init__(self, items: list[object]) -> None:
        self.items = deque(items)
        self.came: list[object] = []
        self.acks: list[str] = []
        self.refuses: BaseException | None = None

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002 - as a queue has it
        """Keep it, or refuse it."""
        if self.refuses is not None:
            raise self.refuses
        self.came.append(item)

    def get(self, block: bool = True, timeout: float | None = None) -> object:  # noqa: ARG002 - as a queue has it
        """Hand out the next."""
        if not self.items:
            raise EndOfStream
        return self.items.popleft()

    def task_done(self) -> None:
        """Note it."""
        self.acks.append("done")

    def give_up(self) -> None:
        """Note it."""
        self.acks.append("dropped")

    def hold_handled(self) -> None:
        """It does not know which is in hand."""

    def join(self) -> None:
        """Nothing to wait for."""

    def qsize(self) -> int:
        """Count the items."""
        return len(self.items)

    def empty(self) -> bool:
        """Look."""
        return not self.items

    def full(self) -> bool:
        """It has no bound."""
        return False


class Stand:
    """A worker's endpoint, and the module that its handler is in."""

    def __init__(self, folder: Path, status: StatusPage) -> None:
        self.folder = folder
        self.status = status
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.inbox, self.outbox = End([1, 2, 3]), End([])

    def live(
        self,
        source: str,
        role: Role = Role.PLAIN,
        planned: Mapping[str, Any] = MappingProxyType({}),
        **more: Any,
    ) -> int:
        """Write the module `stall`, and live the life of a worker that runs its `go`."""
        (self.folder / "stall.py").write_text(textwrap.dedent(source), encoding="utf-8")
        reads, puts = role in (Role.CONSUMER, Role.PIPE), role in (Role.PRODUCER, Role.PIPE)
        plan = WorkerPlan(
            name="neo",
            stage="厨师",
            role=role,
            handler=more.pop("handler", HandlerRef("python", "stall:go")),
            arguments=more.pop("arguments", {}),
            receives="q" if reads else None,
            sends="r" if puts else None,
            daemon=False,
            on_error=more.pop("on_error", OnError.FAIL),
            start_method="fork",
            env={},
            cwd=None,
            nice=0,
            beside=str(self.folder),
            **planned,
        )
        inbox, outbox = self.inbox if reads else None, self.outbox if puts else None
        loops = ItemwiseLoops(inbox, outbox, self.status)
        return work(plan, WorkerEndpoint(loops, inbox, outbox, self.status, self.send, **more))

    def send(self, kind: str, **fields: Any) -> None:
        """Keep a message."""
        self.told.append((kind, fields))

    @property
    def kinds(self) -> list[str]:
        """The kinds of the messages in order."""
        return [kind for kind, _ in self.told]


@pytest.fixture
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    """A stand whose module is forgotten afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    status = StatusPage.private()
    yield Stand(tmp_path, status)
    sys.modules.pop("stall", None)
    status.close()


def test_a_producer_puts_its_items_and_finishes(stand: Stand) -> None:
    code = stand.live("def go():\n    yield from 'ab'", Role.PRODUCER)

    assert (0, ["ready", "finished"], ["a", "b"]) == (code, stand.kinds, stand.outbox.came)


def test_a_consumer_acknowledges_each_item_and_finishes_at_the_end(stand: Stand) -> None:
    code = stand.live("def go(item):\n    pass", Role.CONSUMER)

    assert (0, ["ready", "finished"], ["done"] * 3) == (code, stand.kinds, stand.inbox.acks)


def test_an_item_is_acknowledged_after_what_was_made_of_it_is_put(stand: Stand) -> None:
    order: list[str] = []
    stand.outbox.put = lambda item: order.append(f"put {item}")  # type: ignore[method-assign,assignment,misc]
    stand.inbox.task_done = lambda: order.append("done")  # type: ignore[method-assign]

    stand.live("def go(item):\n    yield item\n    yield -item", Role.PIPE)

    assert ["put 1", "put -1", "done", "put 2", "put -2", "done", "put 3", "put -3", "done"] == order


def test_a_driver_may_let_the_end_of_the_stream_pass(stand: Stand) -> None:
    source = """
        def go(inbox, outbox):
            while True:
                outbox.put(inbox.get() * 2)
                inbox.task_done()
        """

    code = stand.live(source, Role.PIPE)

    assert (0, ["ready", "finished"], [2, 4, 6]) == (code, stand.kinds, stand.outbox.came)


@pytest.mark.parametrize("source", ["def go():\n    yield 1", "def go(queue):\n    queue.put(1)"])
def test_a_producer_that_is_stopped_at_a_put_has_finished(stand: Stand, source: str) -> None:
    stand.outbox.refuses = Stopping()

    code = stand.live(source, Role.PRODUCER)

    assert (0, ["ready", "finished"]) == (code, stand.kinds)


def test_a_failure_is_told_before_the_item_is_given_up(stand: Stand) -> None:
    told_before: list[list[str]] = []
    stand.inbox.give_up = lambda: told_before.append(stand.kinds)  # type: ignore[method-assign]

    stand.live("def go(item):\n    1 / 0", Role.CONSUMER)

    assert [["ready", "item_failed"]] == told_before


def test_a_failure_ends_the_worker_without_the_word_that_it_finished(stand: Stand) -> None:
    code = stand.live("def go(item):\n    raise ValueError(f'{item} is bad')", Role.CONSUMER)

    (_, failure) = stand.told[-1]
    assert (1, ["ready", "item_failed"], ["dropped"]) == (code, stand.kinds, stand.inbox.acks)
    assert ("1", "ValueError: 1 is bad", "fail") == (failure["item"], failure["error"], failure["action"])
    assert 'stall.py", line 2, in go' in failure["traceback"]
    assert "worker.py" not in failure["traceback"]
    assert "item_loops.py" not in failure["traceback"]


def test_a_skipped_failure_lets_the_worker_go_on(stand: Stand) -> None:
    source = "def go(item):\n    if item == 2:\n        raise SystemExit(9)"

    code = stand.live(source, Role.CONSUMER, on_error=OnError.SKIP)

    assert (0, ["ready", "item_failed", "finished"]) == (code, stand.kinds)
    assert ["done", "dropped", "done"] == stand.inbox.acks


def test_a_producer_goes_on_after_an_item_that_could_not_be_put(stand: Stand) -> None:
    stand.outbox.refuses = TypeError("does not travel")

    code = stand.live("def go():\n    yield from 'ab'", Role.PRODUCER, on_error=OnError.SKIP)

    assert (0, ["ready", "item_failed", "item_failed", "finished"]) == (code, stand.kinds)
    assert ["'a'", "'b'"] == [fields["item"] for kind, fields in stand.told if kind == "item_failed"]


CLOSING = """
    class go:
        def __init__(self, log):
            self.log = log
        def {method}
            self.log.append("worked")
            {what}
        def close(self):
            self.log.append("closed")
    """


@pytest.mark.parametrize(
    "what", ["pass", "raise ValueError", "raise SystemExit(3)", "raise KeyboardInterrupt"]
)
@pytest.mark.parametrize(
    ("role", "method"), [(Role.PLAIN, "run(self):"), (Role.CONSUMER, "__call__(self, item):")]
)
def test_a_class_is_closed_however_it_ends(stand: Stand, role: Role, method: str, what: str) -> None:
    log: list[str] = []

    stand.live(CLOSING.format(method=method, what=what), role, arguments={"log": log})

    assert ("worked", "closed", 1) == (log[0], log[-1], log.count("closed"))


@pytest.mark.parametrize(
    ("body", "code", "last"),
    [
        ("sys.exit()", 0, "finished"),
        ("sys.exit(0)", 0, "finished"),
        ("sys.exit(3)", 3, "handler_failed"),
        ("sys.exit(300)", 1, "handler_failed"),
        ("sys.exit(-1)", 1, "handler_failed"),
        ("sys.exit('no flour')", 1, "handler_failed"),
        ("raise KeyboardInterrupt", 1, "handler_failed"),
        ("raise BaseExceptionGroup('two', [KeyboardInterrupt()])", 1, "handler_failed"),
        ("1 / 0", 1, "handler_failed"),
    ],
)
def test_a_plain_worker_ends_with_the_code_that_it_chose(
    stand: Stand, body: str, code: int, last: str
) -> None:
    ended = stand.live(f"import sys\ndef go():\n    {body}")

    assert (code, ["ready", last]) == (ended, stand.kinds)


@pytest.mark.parametrize("kind", ["asyncio.CancelledError", "GeneratorExit", "Odd", "SystemExit"])
def test_whatever_is_raised_on_an_item_is_the_item_s_failure(stand: Stand, kind: str) -> None:
    source = f"""
        import asyncio
        class Odd(BaseException): ...
        def go(item):
            if item == 2:
                raise {kind}
        """

    code = stand.live(source, Role.CONSUMER, on_error=OnError.SKIP)

    assert (0, ["done", "dropped", "done"]) == (code, stand.inbox.acks)
    assert ["ready", "item_failed", "finished"] == stand.kinds


@pytest.mark.parametrize("kind", ["async def work(): ...", "async def work():\n    yield 1"])
@pytest.mark.parametrize(
    ("role", "source"),
    [
        (Role.CONSUMER, "def go(item):\n    return work()"),
        (Role.PIPE, "def go(item):\n    return work()"),
        (Role.PIPE, "def go(item):\n    yield work()"),
        (Role.PLAIN, "def go():\n    return work()"),
        (Role.CONSUMER, "def go(queue):\n    return work()"),
        (Role.CONSUMER, "class go:\n    def __call__(self, item): ...\n    def close(self): return work()"),
    ],
)
def test_a_handler_that_returns_what_nobody_awaits_has_failed(
    stand: Stand, role: Role, source: str, kind: str
) -> None:
    stand.outbox.refuses = TypeError("cannot pickle it")

    code = stand.live(f"{kind}\n{source}", role)

    assert 1 == code
    assert "asyncio.run()" in stand.told[-1][1]["error"]


def test_a_handler_that_can_not_be_built_is_never_ready(stand: Stand) -> None:
    code = stand.live("raise ValueError('no flour')")

    ((kind, failure),) = stand.told
    assert (1, "handler_failed", "ValueError: no flour") == (code, kind, failure["error"])
    assert 'stall.py", line 1, in <module>' in failure["traceback"]


def test_a_cancelled_worker_closes_and_says_nothing_more(stand: Stand) -> None:
    log: list[str] = []

    def cancel(*_: object) -> object:
        raise Cancelled

    stand.inbox.get = cancel  # type: ignore[method-assign]

    with pytest.raises(Cancelled):
        stand.live(
            CLOSING.format(method="__call__(self, item):", what="pass"), Role.CONSUMER, arguments={"log": log}
        )

    assert (["closed"], ["ready"]) == (log, stand.kinds)


def test_a_handler_learns_who_it_is(stand: Stand) -> None:
    source = """
        def go(worker, log):
            log.append((worker.name, worker.stage, worker.pid, worker.ppid, worker.attempt, worker.role))
        """
    log: list[object] = []

    stand.live(source, arguments={"log": log})

    assert [("neo", "厨师", os.getpid(), os.getppid(), 1, Role.PLAIN)] == log


def test_what_a_handler_logs_is_told(stand: Stand) -> None:
    stand.live("def go(worker):\n    worker.log.error('糊了', bun=3)")

    assert ("logged", {"level": "error", "message": "糊了", "fields": {"bun": 3}}) == stand.told[1]


def test_another_kind_is_built_from_its_options(stand: Stand) -> None:
    lines = stand.folder / "lines.txt"
    lines.write_text("一\n二\n", encoding="utf-8")
    handler = HandlerRef("lines", "lines", {"path": str(lines)})

    code = stand.live("", Role.PRODUCER, handler=handler)

    assert (0, ["一", "二"]) == (code, stand.outbox.came)


SLEEPS = {
    Role.PLAIN: "def go():\n    time.sleep(0.02)",
    Role.CONSUMER: "def go(item):\n    time.sleep(0.02)",
    Role.PRODUCER: "def go():\n    time.sleep(0.02)\n    yield 1",
}


@pytest.mark.parametrize("role", SLEEPS)
def test_time_in_the_handler_counts_as_busy(stand: Stand, role: Role) -> None:
    stand.live("import time\n" + SLEEPS[role], role)

    assert stand.status.counters().busy >= 0.02


def test_a_reader_that_finds_nothing_in_time_may_go_on(stand: Stand) -> None:
    def find_nothing(*_: object, **__: object) -> object:
        raise queue.Empty

    stand.inbox.get = find_nothing  # type: ignore[method-assign]

    source = """
        import queue as queues
        def go(queue, log):
            try:
                queue.get(timeout=0.1)
            except queues.Empty:
                log.append("nothing")
        """
    log: list[str] = []

    code = stand.live(source, Role.CONSUMER, arguments={"log": log})

    assert (0, ["nothing"], ["ready", "finished"]) == (code, log, stand.kinds)


ROWS = """
class go:
    def __init__(self):
        self.rows, self.safe = [], []

    def __call__(self, item):
        if item == {fails}:
            raise ValueError(item)
        self.rows.append(item)
        return item

    def flush(self):
        self.safe.append(self.rows)
        self.rows = []

    def close(self):
        import os
        os.environ["SAFE"] = repr((self.safe, self.rows))
"""


@pytest.fixture
def safe(monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    """What a handler had made safe, and what was left, when it was closed."""
    monkeypatch.setenv("SAFE", "")
    return lambda: ast.literal_eval(os.environ["SAFE"])


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (FlushPolicy(60.0, 2), [[1, 2], [3]]),
        (FlushPolicy(60.0, 9), [[1, 2, 3]]),
        (FlushPolicy(0.0), [[1], [2], [3]]),
    ],
    ids=["every two items", "at the end of the stream", "whenever time has passed"],
)
def test_items_are_flushed_in_time_and_before_the_close(
    stand: Stand, safe: Callable[[], object], policy: FlushPolicy, expected: list[list[int]]
) -> None:
    code = stand.live(ROWS.format(fails=None), Role.CONSUMER, {"flush": policy})

    assert (0, ["done"] * 3, (expected, [])) == (code, stand.inbox.acks, safe())


def test_items_are_flushed_when_there_is_none_to_take(stand: Stand, safe: Callable[[], object]) -> None:
    stand.inbox.empty = lambda: True  # type: ignore[method-assign]

    stand.live(ROWS.format(fails=None), Role.CONSUMER, {"flush": FlushPolicy(60.0)})

    assert ([[1], [2], [3]], []) == safe()


def test_no_item_is_done_that_is_not_flushed(stand: Stand) -> None:
    source = ROWS.format(fails=None) + "    def flush(self):\n        raise OSError('the disk is full')\n"

    code = stand.live(source, Role.CONSUMER)

    assert (1, [], ["ready", "closes", "handler_failed"]) == (code, stand.inbox.acks, stand.kinds)


def test_what_was_handled_is_safe_before_an_item_ends_the_run(
    stand: Stand, safe: Callable[[], object]
) -> None:
    code = stand.live(ROWS.format(fails=3), Role.PIPE)

    assert (1, ["done", "done", "dropped"], ([[1, 2]], []), [1, 2]) == (
        code,
        stand.inbox.acks,
        safe(),
        stand.outbox.came,
    )


def test_what_cannot_be_pickled_is_told_also_where_nothing_is_kept(stand: Stand) -> None:
    source = """
    class go:
        def __init__(self):
            self.later = lambda: 1
        def __call__(self, item):
            pass
    """

    code = stand.live(source, Role.CONSUMER, {"checkpoint": CheckpointPolicy()})

    assert (1, ["done"] * 3) == (code, stand.inbox.acks)
    assert "`self.later` (function)" in stand.told[-1][1]["error"]


def test_a_successor_goes_on_with_the_state(stand: Stand, safe: Callable[[], object]) -> None:
    stand.folder.joinpath("stall.py").write_text(ROWS.format(fails=None), encoding="utf-8")
    sys.path.insert(0, str(stand.folder))
    import stall  # type: ignore[import-not-found]

    predecessor = stall.go()
    predecessor.safe = [[0]]
    state = capture(predecessor, 1 << 20)

    stand.live(ROWS.format(fails=None), Role.CONSUMER, {"checkpoint": CheckpointPolicy()}, state=state)

    assert ([[0], [1, 2, 3]], []) == safe()


def test_a_function_has_no_state_to_keep(stand: Stand) -> None:
    code = stand.live("def go(item):\n    pass", Role.CONSUMER, {"checkpoint": CheckpointPolicy()})

    assert (
        1,
        "HandlerError: `state: checkpoint`: 'stall:go' is no class, and keeps nothing of its items",
    ) == (
        code,
        stand.told[-1][1]["error"],
    )


_AGAIN = {
    "yields": "def go():\n    yield from 'abcd'",
    "by hand": "def go(queue):\n    for each in 'abcd':\n        queue.put(each)",
}


def _live_again(stand: Stand, source: str, *samples: SampledItem, resumed: bool, **planned: Any) -> int:
    """Live the life of one that takes the place of a producer which had put two items."""
    given = {"offset": 2, "samples": samples, "resumed": resumed, "show_items": lambda: None}
    return stand.live(source, Role.PRODUCER, planned, **given)


@pytest.mark.parametrize("source", _AGAIN.values(), ids=_AGAIN)
@pytest.mark.parametrize(
    ("resumed", "planned"), [(True, {}), (False, {"deterministic": True})], ids=["resumed", "deterministic"]
)
def test_a_producer_that_can_not_go_on_makes_its_items_again(
    stand: Stand, source: str, resumed: bool, planned: dict[str, Any]
) -> None:
    seen = SampledItem(1, pickle.dumps("b"))

    code = _live_again(stand, source, seen, resumed=resumed, **planned)

    assert (0, ["c", "d"], ["ready", "finished"]) == (code, stand.outbox.came, stand.kinds)


@pytest.mark.parametrize("source", _AGAIN.values(), ids=_AGAIN)
def test_a_producer_that_makes_something_else_says_so(stand: Stand, source: str) -> None:
    seen = SampledItem(1, pickle.dumps("x"))

    code = _live_again(stand, source, seen, resumed=True)

    kind, fields = stand.told[-1]
    assert (1, "not_the_same", []) == (code, kind, stand.outbox.came)
    assert fields["error"].startswith(
        "stage '厨师' gave something else at item 1 than before: then 'x', now 'b'; what it gave then"
    )


@pytest.mark.parametrize(
    "source", ["def go():\n    yield 'a'", "def go(queue):\n    queue.put('a')"], ids=["yields", "by hand"]
)
def test_a_producer_that_makes_fewer_items_than_are_in_says_so(stand: Stand, source: str) -> None:
    code = _live_again(stand, source, resumed=True)

    assert (1, "not_the_same", []) == (code, stand.told[-1][0], stand.outbox.came)


@pytest.mark.parametrize(
    "source",
    [
        "def go(offset):\n    yield from 'abcd'[offset:]",
        "def go(queue, offset):\n    for each in 'abcd'[offset:]:\n        queue.put(each)",
        "class go:\n    def __call__(self, offset):\n        yield from 'abcd'[offset:]",
    ],
    ids=["yields", "by hand", "class"],
)
def test_a_producer_that_goes_on_by_itself_is_left_to_it(stand: Stand, source: str) -> None:
    seen = SampledItem(1, pickle.dumps("x"))

    code = _live_again(stand, source, seen, resumed=True)

    assert (0, ["c", "d"]) == (code, stand.outbox.came)


def test_a_producer_that_makes_its_items_again_is_told_of_none_that_are_in(stand: Stand) -> None:
    source = "def go(worker):\n    assert (0, True) == (worker.offset, worker.resumed)\n    yield from 'abc'"

    code = _live_again(stand, source, resumed=True)

    assert (0, ["c"]) == (code, stand.outbox.came)


_NOTES = {
    "yields": """
        def go(resume, offset, worker):
            assert worker.token == resume
            for number in range(resume or 0, 6):
                yield (resume, offset, number)
                worker.checkpoint(number + 1)
        """,
    "by hand": """
        def go(queue, resume, offset, worker):
            for number in range(resume or 0, 6):
                queue.put((resume, offset, number))
                worker.checkpoint(number + 1)
        """,
    "class": """
        class go:
            def __init__(self, worker):
                self.worker = worker

            def __call__(self, resume, offset):
                for number in range(resume or 0, 6):
                    yield (resume, offset, number)
                    self.worker.checkpoint(number + 1)
        """,
    "attributes": """
        class go:
            def __init__(self, worker, resume, offset):
                self.worker, self.resume, self.offset = worker, resume, offset

            def __iter__(self):
                for number in range(self.resume or 0, 6):
                    yield (self.resume, self.offset, number)
                    self.worker.checkpoint(number + 1)
        """,
}


def _noted(stand: Stand, source: str, offset: int, state: bytes) -> tuple[int, list[tuple[int, object]]]:
    """Live the life of one that takes a place; return its code and what it notes."""
    notes: list[tuple[int, object]] = []
    made = {"show_items": lambda: None, "count_made": lambda: offset + len(stand.outbox.came)}
    code = stand.live(
        source,
        Role.PRODUCER,
        offset=offset,
        state=state,
        note_place=lambda start, noted: notes.append((start, pickle.loads(noted))),
        **made,
    )
    return code, notes


@pytest.mark.parametrize("source", _NOTES.values(), ids=_NOTES)
def test_a_producer_goes_on_from_its_token_and_what_lies_between_is_left_out(
    stand: Stand, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer_place, "_NOTED_EVERY", 0.0)

    code, notes = _noted(stand, source, 4, pickle.dumps((2, 2)))

    assert (0, [(2, 2, 4), (2, 2, 5)]) == (code, stand.outbox.came)
    assert [(n, (n, n)) for n in (4, 5, 6)] == notes, "among what is left out nobody can say where it is"


def test_a_producer_that_has_noted_nothing_begins_with_none(stand: Stand) -> None:
    code, notes = _noted(stand, _NOTES["yields"], 0, b"")

    assert (0, [(None, 0, number) for number in range(6)]) == (code, stand.outbox.came)
    assert [(1, (1, 1))] == notes, "the others come too quickly to be kept"


def test_a_token_that_can_not_be_pickled_fails_at_its_checkpoint(stand: Stand) -> None:
    source = "def go(resume, worker):\n    yield 1\n    worker.checkpoint(lambda: 1)"

    code, _ = _noted(stand, source, 0, b"")

    assert (1, "handler_failed") == (code, stand.kinds[-1])


def test_a_checkpoint_means_nothing_to_whoever_keeps_none(stand: Stand) -> None:
    code = stand.live(_NOTES["yields"], Role.PRODUCER)

    assert (0, 6) == (code, len(stand.outbox.came))
