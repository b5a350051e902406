"""What the recorder is known to have of producers, and how soon the next cut is due where somebody waits for it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import pytest

from runner.ledger.ranges import Frame, ItemRange
from runner.ledger.snapshot import PartitionSnapshot, QueueSnapshot
from runner.record import cuts as cuts_module
from runner.record.cuts import CutPace, CutSender
from runner.transports.cut import Cut, WriterCut

EVERY = 5.0


def put(count: int, *bodies: bytes) -> Cut:
    ranges = tuple(ItemRange(Frame(body, 1), 0, 1) for body in bodies)
    return Cut(
        (QueueSnapshot("q", count, (PartitionSnapshot(ranges, put=count),)),), (WriterCut("neo", count),)
    )


@pytest.fixture
def said() -> list[Mapping[str, Any]]:
    return []


@pytest.fixture
def sender(said: list[Mapping[str, Any]]) -> CutSender:
    return CutSender(said.append, CutPace(EVERY), None)


def counts(sender: CutSender) -> list[int]:
    return [writer.put for writer in sender.kept]


def test_it_is_kept_when_the_recorder_has_said_so_and_stays_where_the_next_can_not_be(
    sender: CutSender,
) -> None:
    found = [counts(sender)]
    for cut, answer in [
        (put(3), {"committed": 1, "seconds": 0.0}),
        (put(5), {"failed": 2, "why": "no room"}),
        (put(7), {"committed": 3, "seconds": 0.0}),
    ]:
        sender.cut(cut, time.monotonic())
        found.append(counts(sender))
        sender.heard(answer)
        found.append(counts(sender))

    assert [[], [], [3], [3], [3], [3], [7]] == found


def test_what_goes_ahead_of_a_cut_keeps_nothing_yet(
    sender: CutSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuts_module, "_MOST_AT_ONCE", 1)
    cut, found = put(2, b"aa", b"bb"), []
    for number in (1, 2):
        is_whole = sender.cut(cut, time.monotonic())
        sender.heard({"committed": number, "seconds": 0.0})
        found.append((is_whole, counts(sender)))

    assert [(False, []), (True, [2])] == found


def test_the_answer_to_a_superseded_one_says_nothing_of_its_successor(sender: CutSender) -> None:
    sender.cut(put(1), time.monotonic())
    sender.supersede()
    sender.cut(put(9), time.monotonic())
    sender.heard({"committed": 1, "seconds": 0.0})

    assert [] == counts(sender)


def test_one_that_is_gone_on_from_is_kept() -> None:
    sender = CutSender(lambda _line: None, CutPace(EVERY), put(4))

    assert [4] == counts(sender)


def test_who_waits_has_the_next_as_soon_as_its_cost_allows_and_others_when_it_is_wanted(
    sender: CutSender,
) -> None:
    began = time.monotonic()
    sender.cut(put(1), began)
    sender.heard({"committed": 1, "seconds": 0.0})
    cheap = sender.soon - began
    sender.cut(put(2), began)
    sender.heard({"committed": 2, "seconds": 0.05})
    dear = sender.soon - began
    sender.heard({"failed": 3, "why": "no room"})

    assert cheap < dear < 2.0
    assert dear >= 1.0
    assert (sender.due - began >= EVERY, sender.due) == (True, sender.soon)


def test_where_none_is_kept_any_more_nobody_waits_for_the_next(sender: CutSender) -> None:
    sender.close()

    assert (math.inf, math.inf) == (sender.due, sender.soon)


def test_where_nothing_is_new_nothing_is_sent_and_who_waits_does_not_have_another_at_once(
    sender: CutSender, said: list[Mapping[str, Any]]
) -> None:
    began = time.monotonic()
    sender.cut(put(3), began)
    sender.heard({"committed": 1, "seconds": 0.0})
    later = time.monotonic() + 1.0

    assert sender.cut(put(3), later)
    assert (1, [3], False) == (len(said), counts(sender), sender.is_under_way)
    assert sender.soon > later
