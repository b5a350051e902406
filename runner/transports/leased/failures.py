"""Items that fail under `leased`: said by the worker in one message, judged by the ledger's count of attempts.

    worker: report ──► FAILED, in its body: words │ the item, if nobody can cut it out of its frame
                          │
    supervisor: judge ────┴──► ledger: handed out again later │ dropped │ dead-lettered ──► fact
                take_back  ────────► ledger: handed out again alone │ dead-lettered           ──► fact

The body of one message holds all that is said of a failure: a kill can't part what is counted from what is told.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runner.ipc.frames import cut, is_safe, pack_safe, shares_pickle
from runner.ipc.messages import (
    BatchFailure,
    DeliveryAttempt,
    FailedItem,
    ItemCondemned,
    ItemFailure,
    ItemJudged,
    ItemReturned,
    RetryAction,
    from_message,
)
from runner.ipc.stream import FailedMessage, LeaseMessage
from runner.ledger.ranges import ItemRange, Lease
from runner.ledger.retry import Redeliver, after_death, after_failure
from runner.spec.failures import OnError
from runner.spec.plan import WorkerPlan
from runner.transports.leased.big_items import SharedFrame

if TYPE_CHECKING:
    from runner.ledger.partitioned import QueueLedger

_LENGTH = 4
_KEPT = (OnError.DEAD_LETTER, OnError.ROUTE)
"""What needs the item itself, and not only the word that it has failed."""
_NAMELESS = "(its name is not known)"


def failure_message(
    lease: LeaseMessage, index: int, item: object, nanos: int, words: Mapping[str, Any]
) -> FailedMessage:
    """Called in the worker: say that item `index` of a lease failed, and that those before it are done."""
    return FailedMessage(lease.lease, index, nanos, body=describe_failure(lease, item, words))


def describe_failure(lease: LeaseMessage, item: object, words: Mapping[str, Any]) -> bytes:
    """Called in the worker: pack how an item of a lease failed, and the item, if nobody else can cut it out."""
    payload = json.dumps(words).encode()
    # Items that share one pickle can only be told apart here.
    needed = words["action"] in _KEPT and shares_pickle(lease.body) and is_safe(item)
    frame = pack_safe([item]) if needed else b""
    return len(payload).to_bytes(_LENGTH, "little") + payload + frame


def settle_failure(
    ledger: QueueLedger, lease: Lease, plan: WorkerPlan, pid: int, message: FailedMessage, now: float
) -> ItemJudged:
    """A worker reports that item `upto` of a lease failed: decide what becomes of it, and have the ledger do it."""
    failure, frame = _read(plan, message)
    ledger.acked(lease.number, message.upto, now, lease.partial if message.upto == lease.at else 0)
    item = ledger.lease(lease.number).item(message.upto)
    past = DeliveryAttempt(item.attempt, plan.name, pid, time.time(), failure.error)
    verdict = after_failure(plan.retry, item.attempt, worth_it=failure.action is RetryAction.RETRY)
    if isinstance(verdict, Redeliver):
        ledger.retry(lease.number, now, now + verdict.delay, past)
        return ItemJudged(plan.name, failure, item.attempt, delay=verdict.delay)
    failure = failure._replace(action=plan.on_error)
    if plan.on_error is OnError.DEAD_LETTER:
        letter = _failed_item(item, past, frame)  # first: what lies in shared memory goes with the item
        ledger.dead_letter(lease.number, now)
        return ItemJudged(plan.name, failure, item.attempt, failed_item=letter)
    failed_item = _failed_item(item, past, frame) if plan.on_error is OnError.ROUTE else None
    ledger.failed(lease.number, now, ends_run=plan.on_error is OnError.FAIL)
    return ItemJudged(plan.name, failure, item.attempt, failed_item=failed_item)


def take_back(
    ledger: QueueLedger,
    plan: WorkerPlan,
    pid: int,
    in_hand: Mapping[int, range],
    named: str,
    ended: str,
    now: float,
) -> tuple[list[ItemReturned | BatchFailure | ItemCondemned], list[ItemRange]]:
    """
    A reader is dead: its items go back. What it had in hand goes back item by item, or has killed often enough.

    `in_hand` are indexes by lease. `named` is what that item is called, `ended` how the reader died. Returns what is to
    be told, and the items that do not come back.
    """
    items = {
        number: [ledger.lease(number).item(index) for index in indexes] for number, indexes in in_hand.items()
    }
    company, died_at = sum(map(len, items.values())), time.time()
    # Those of a lease have the same number; of those side by side, some may have failed before, and others not.
    pasts = {
        number: DeliveryAttempt(those[0].attempt, plan.name, pid, died_at, ended, died=True, company=company)
        for number, those in items.items()
    }
    condemned = {
        number
        for number, past in pasts.items()
        if not isinstance(after_death(plan.retry, past.number), Redeliver)
    }
    name = named if named and (company == 1 or plan.batch is not None) else _NAMELESS
    lost = [(item, pasts[number]) for number in items if number in condemned for item in items[number]]
    facts: list[ItemReturned | BatchFailure | ItemCondemned] = [
        ItemCondemned(plan.name, name, _failed_item(item, past, None)) for item, past in lost
    ]
    ledger.died(plan.name, in_hand, now, pasts, condemned=condemned, kept=plan.on_error is not OnError.ROUTE)
    if company > 1 and len(lost) < company:
        facts.append(BatchFailure(plan.name, company - len(lost), ended, died=True))
    elif len(lost) < company:
        facts += [ItemReturned(plan.name, name, past.number + 1) for past in pasts.values()]
    return facts, [item for item, _ in lost]


def _read(plan: WorkerPlan, message: FailedMessage) -> tuple[ItemFailure, bytes | None]:
    """Take a report apart. A worker's word is gossip: where it makes no sense, the item has failed all the same."""
    body = bytes(message.body)
    end = _LENGTH + int.from_bytes(body[:_LENGTH], "little")
    try:
        payload = json.loads(body[_LENGTH:end])
        fact = from_message(plan.name, payload if isinstance(payload, dict) else {})
    except (ValueError, RecursionError):
        fact = None
    failure = (
        fact
        if isinstance(fact, ItemFailure)
        else ItemFailure(plan.name, _NAMELESS, "an error that can't be read")
    )
    return failure, body[end:] or None


def _failed_item(item: ItemRange, last: DeliveryAttempt, frame: bytes | None) -> FailedItem:
    history, outputs = (*item.history, last), item.partial
    if frame is not None:
        return FailedItem(frame, 0, history, outputs=outputs)
    whole = item.frame.payload
    if isinstance(whole, SharedFrame):
        payload, index, bulk = whole.cut(item.start)
        return FailedItem(payload, index, history, bulk, outputs)
    payload, index = cut(whole, item.start)
    return FailedItem(payload, index, history, outputs=outputs)
