"""How long items took, in the record: over several incarnations, and from a file that may be damaged."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.events.item_times import BUCKETS, ItemTimes, bucket_of
from runner.events.run import StageTimed
from runner.record.fold import RunFold
from runner.record.reader import RecordDamaged, RunView
from runner.record.schema import DATABASE
from runner.record.writer import RunWriter

STAGE = {"name": "eater", "role": "consumer", "workers": 1, "daemon": False, "from": "q", "to": None}
STARTED = {
    "workflow": "w",
    "file": "w.yaml",
    "transport": "leased",
    "pid": 1,
    "stages": [STAGE],
    "queues": [],
}
MS_20 = bucket_of(20_000_000)
TIMES = st.builds(
    ItemTimes,
    st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(1, 2**63)),
    st.sampled_from([0.25, 7.0]),
    st.text(),
)


def lived(folder: Path, incarnation: int, *times: ItemTimes) -> None:
    """Leave what one incarnation has recorded, which was killed."""
    begin = {"workflow": "w", "file": "w.yaml", "pid": os.getpid(), "at": 1.0}
    writer = RunWriter(folder, begin, incarnation=incarnation)
    fold = RunFold() if incarnation == 1 else writer.last_fold()
    fold.take("run.started", 1.0, "info", STARTED)
    writer.commit(fold, 0.0)
    for each in times:
        fields: dict[str, Any] = dict(vars(StageTimed.of("eater", each)))
        fold.take("stage.timed", 2.0, "debug", fields)
        writer.commit(fold, 0.0)
    writer.close()


@given(TIMES)
def test_times_come_back_as_they_were(times: ItemTimes) -> None:
    assert times == ItemTimes.decode(*times.encode())


def test_in_an_incarnation_the_last_word_stands_and_several_add_up(tmp_path: Path) -> None:
    lived(tmp_path, 1, ItemTimes({MS_20: 5}), ItemTimes({MS_20: 90}, 0.4, "'a'"))
    lived(tmp_path, 2)
    lived(tmp_path, 3, ItemTimes({MS_20: 2, 0: 8}), ItemTimes({MS_20: 3, 0: 7}, 0.3, "'b'"))

    with RunView(tmp_path) as view:
        timings, (stage,) = view.timings(), view.report().stages
        events = list(view.events("stage.timed"))
    assert ({"eater": ItemTimes({MS_20: 93, 0: 7}, 0.4, "'a'")}, []) == (timings, events)
    assert (0.4, "'a'") == (stage.slowest_seconds, stage.slowest_item)
    assert [0.02, 0.02] == [pytest.approx(each, rel=0.1) for each in (stage.p50_seconds, stage.p95_seconds)]


def test_a_record_of_before_there_were_times_is_shown_and_gone_on_with(tmp_path: Path) -> None:
    lived(tmp_path, 1, ItemTimes({MS_20: 5}))
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        database.execute("DROP TABLE timing")

    with RunView(tmp_path) as view:
        (before,) = view.report().stages
    lived(tmp_path, 2, ItemTimes({0: 1}))
    with RunView(tmp_path) as view:
        after = view.timings()

    assert (None, {"eater": ItemTimes({0: 1})}) == (before.p95_seconds, after)


@pytest.mark.parametrize(
    ("buckets", "slowest"),
    [(b"123", None), (b"\0" * 8, None), (b"\xff" * 16, None), (b"", "[]"), (b"", "{"), (None, None)],
)
def test_of_times_that_make_no_sense_it_says_so(
    tmp_path: Path, buckets: bytes | None, slowest: str | None
) -> None:
    lived(tmp_path, 1)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database, database:
        database.execute("INSERT INTO timing VALUES ('eater', ?, ?)", (buckets, slowest))

    with RunView(tmp_path) as view, pytest.raises(RecordDamaged, match="can't be read"):
        view.timings()
