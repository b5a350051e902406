"""Reads the last cut of a run from its database: what another runner goes on from.

run.db ──► read_cut ──► Cut, equal to the one that was taken
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runner.facts import dataclass
from runner.ipc.messages import DeliveryAttempt
from runner.ledger.ranges import Frame, ItemRange
from runner.ledger.snapshot import DelayedItem, HeldOutputs, ParkedItems, PartitionSnapshot, QueueSnapshot
from runner.record.bulk import BulkPayload
from runner.record.cuts import INPUT, STATE
from runner.record.reader import RecordDamaged, RunView
from runner.transports.cut import Cut, SampledItem, WriterCut


def read_cut(view: RunView) -> Cut | None:
    """
    Return the last cut of a run; None where there is none. Of frames with big items the payload is a `BulkPayload`.

    Raises:
        RecordDamaged: it makes no sense.
    """
    with view.transaction():
        told = view.rows("SELECT told FROM cut")
        if not told:
            return None
        try:
            return _cut(view, json.loads(told[0]["told"]))
        except OSError as error:
            why = error.strerror or error
            raise RecordDamaged(f"big items that waited in run '{view.run}' can't be read: {why}") from error
        except (KeyError, TypeError, ValueError, IndexError) as error:
            what = f"{type(error).__name__}: {error}"
            raise RecordDamaged(
                f"what run '{view.run}' could be gone on from makes no sense: {what}"
            ) from error


def _cut(view: RunView, told: Mapping[str, Any]) -> Cut:
    frames = {row["id"]: _frame(row, view.folder) for row in view.rows("SELECT * FROM frame")}
    accounts = view.rows("SELECT queue, told FROM account ORDER BY place")
    return Cut(
        queues=tuple(_Queue(row["queue"], frames).snapshot(json.loads(row["told"])) for row in accounts),
        writers=tuple(map(_writer, view.rows("SELECT * FROM writer ORDER BY place"))),
        states=_states(view, STATE),
        inputs=_states(view, INPUT),
        ended=frozenset(told["ended"]),
        closed=frozenset(told["closed"]),
        added=told["added"],
        letters=told["letters"],
    )


def _frame(row: sqlite3.Row, folder: Path) -> Frame:
    number, body = row["id"], row["body"]
    payload = BulkPayload.of(body, folder, number, row["bulk"]) if row["bulk"] else body
    return Frame(payload, row["count"], row["size"], row["first"], number)


def _writer(row: sqlite3.Row) -> WriterCut:
    samples = [
        SampledItem(index, bytes.fromhex(data), shown) for index, data, shown in json.loads(row["samples"])
    ]
    return WriterCut(row["worker"], row["put"], row["start"], row["mark"], tuple(samples))


def _states(view: RunView, kind: str) -> dict[str, bytes]:
    return {
        row["name"]: row["body"] for row in view.rows("SELECT name, body FROM state WHERE kind = ?", (kind,))
    }


@dataclass(frozen=True, slots=True)
class _Queue:
    """Puts the snapshot of a queue together again, as `CutEncoder` has taken it apart."""

    name: str
    frames: Mapping[int, Frame]

    def snapshot(self, told: Mapping[str, Any]) -> QueueSnapshot:
        parts = {
            "partitions": tuple(map(self._partition, told["partitions"])),
            "parked": self._parked(told["parked"]),
            "held": tuple(
                HeldOutputs(first, next_, self._parked(those)) for first, next_, those in told["held"]
            ),
        }
        return QueueSnapshot(self.name, **{**told, **parts})

    def _partition(self, told: Mapping[str, Any]) -> PartitionSnapshot:
        waiting = tuple(each for written in told["waiting"] for each in self._ranges(written))
        delayed = tuple(DelayedItem(seconds, self._one(written)) for seconds, written in told["delayed"])
        return PartitionSnapshot(**{**told, "waiting": waiting, "delayed": delayed})

    def _parked(self, told: list[Any]) -> tuple[ParkedItems, ...]:
        return tuple(
            ParkedItems(writer, self._one(written), owed, shard) for writer, owed, shard, written in told
        )

    def _one(self, written: list[Any]) -> ItemRange:
        (found,) = self._ranges(written)
        return found

    def _ranges(self, written: list[Any]) -> Iterator[ItemRange]:
        number, second, *more = written
        if not more:
            frames = (self.frames[each] for each in range(number, number + second))
            yield from (ItemRange(frame, 0, frame.count) for frame in frames)
            return
        stop, attempt, partial, past = more
        history = tuple(DeliveryAttempt(*each) for each in past)
        yield ItemRange(self.frames[number], second, stop, attempt, partial, history)
