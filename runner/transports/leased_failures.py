"""Items that fail under `leased`: said by the worker in one message, judged by the ledger's count of attempts.

    worker: report ──► FAILED, in its body: words │ the item, if nobody can cut it out of its frame
                          │
    supervisor: judge ────┴──► book: handed out again later │ dropped │ dead-lettered ──► fact
                bury  ────────► book: handed out again alone │ dead-lettered           ──► fact

The body of one message holds all that is said of a failure: a kill can't part what is counted from what is told.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from runner.books import LeaseBook
from runner.facts import (
    RETRY,
    Attempt,
    Exited,
    ItemCondemned,
    ItemFailed,
    ItemJudged,
    ItemRedelivered,
    Remains,
    from_message,
)
from runner.frames import cut, is_safe, pack_safe, shares_pickle
from runner.parcels import Lease, Parcel
from runner.plan import WorkerPlan
from runner.retry import Again, after_death, after_failure
from runner.spec import OnError
from runner.transports.leased_docks import Haul
from runner.wire import Kind, Message

_LENGTH = 4
_NAMELESS = "(its name is not known)"


def report(lease: Message, index: int, item: object, nanos: int, words: Mapping[str, Any]) -> Message:
    """Called in the worker: say that item `index` of a lease failed, and that those before it are done."""
    said = json.dumps(words).encode()
    # Items that share one pickle can only be told apart here.
    needed = words["action"] == OnError.DEAD_LETTER and shares_pickle(lease.body) and is_safe(item)
    frame = pack_safe([item]) if needed else b""
    body = len(said).to_bytes(_LENGTH, "little") + said + frame
    return Message(Kind.FAILED, upto=index, lease=lease.lease, nanos=nanos, body=body)


def judge(
    book: LeaseBook, lease: Lease, plan: WorkerPlan, pid: int, message: Message, now: float
) -> ItemJudged:
    """A worker reports that item `upto` of a lease failed: decide what becomes of it, and have the book do it."""
    failure, frame = _read(plan, message)
    book.acked(lease.number, message.upto, now, lease.partial if message.upto == lease.at else 0)
    item = book.lease(lease.number).item(message.upto)
    past = Attempt(item.attempt, plan.name, pid, time.time(), failure.error)
    verdict = after_failure(plan.retry, item.attempt, worth_it=failure.action == RETRY)
    if isinstance(verdict, Again):
        book.retry(lease.number, now, now + verdict.delay, past)
        return ItemJudged(plan.name, failure, item.attempt, delay=verdict.delay)
    failure = replace(failure, action=plan.on_error.value)
    if plan.on_error is OnError.DEAD_LETTER:
        remains = _remains(item, past, frame)  # first: what lies in shared memory goes with the item
        book.condemn(lease.number, now)
        return ItemJudged(plan.name, failure, item.attempt, remains=remains)
    book.failed(lease.number, now)
    return ItemJudged(plan.name, failure, item.attempt)


def bury(
    book: LeaseBook,
    plan: WorkerPlan,
    pid: int,
    suspect: tuple[int, int] | None,
    named: str,
    ended: str,
    now: float,
) -> ItemRedelivered | ItemCondemned | None:
    """
    A reader is dead: its items go back. The one it had in hand goes back alone, or has killed often enough.

    `named` is what that item is called, `ended` how the reader died.
    """
    if suspect is None:
        book.died(plan.name, None, now)
        return None
    number, index = suspect
    item = book.lease(number).item(index)
    past = Attempt(item.attempt, plan.name, pid, time.time(), ended, died=True)
    if isinstance(after_death(plan.retry, item.attempt), Again):
        book.died(plan.name, suspect, now, past)
        return ItemRedelivered(plan.name, named or _NAMELESS, item.attempt + 1)
    remains = _remains(item, past, None)
    book.died(plan.name, suspect, now, past, condemned=True)
    return ItemCondemned(plan.name, named or _NAMELESS, remains)


def _read(plan: WorkerPlan, message: Message) -> tuple[ItemFailed, bytes | None]:
    """Take a report apart. A worker's word is gossip: where it makes no sense, the item has failed all the same."""
    body = bytes(message.body)
    end = _LENGTH + int.from_bytes(body[:_LENGTH], "little")
    try:
        said = json.loads(body[_LENGTH:end])
        fact = from_message(plan.name, said if isinstance(said, dict) else {})
    except (ValueError, RecursionError):
        fact = None
    failure = (
        fact
        if isinstance(fact, ItemFailed)
        else ItemFailed(plan.name, _NAMELESS, "an error that can't be read")
    )
    return failure, body[end:] or None


def _remains(item: Parcel, last: Attempt, frame: bytes | None) -> Remains:
    history = (*item.history, last)
    if frame is not None:
        return Remains(frame, 0, history)
    whole = item.frame.payload
    if isinstance(whole, Haul):
        payload, bulk = whole.cut(item.start)
        return Remains(payload, 0, history, bulk)
    payload, index = cut(whole, item.start)
    return Remains(payload, index, history)


def ending(exited: Exited) -> str:
    """Say how a process died of which nothing else is known."""
    signal = exited.signal_name
    return f"exited with code {exited.code}" if signal is None else f"killed by {signal}"
