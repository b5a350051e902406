"""Whatever a run is at a moment comes back from its record as it was, and what could not be written leaves the last."""

from __future__ import annotations

import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kept_cuts import Keeper, keeper

from runner.ipc.messages import DeliveryAttempt
from runner.ledger.ranges import Frame, ItemRange
from runner.ledger.snapshot import DelayedItem, HeldOutputs, ParkedItems, PartitionSnapshot, QueueSnapshot
from runner.record import cuts as cuts_module
from runner.record.cut_writer import ReceivedCut
from runner.record.cuts import CutPace
from runner.transports.cut import Cut, SampledItem, WriterCut

NAMES = st.sampled_from(["a", "b", "neo-1", "包子"])
COUNTS = st.integers(0, 3) | st.integers(0, 2**60)
BODIES = st.binary(max_size=8)
ATTEMPTS = st.builds(
    DeliveryAttempt,
    COUNTS,
    NAMES,
    COUNTS,
    st.floats(0, 1e10),
    st.text(max_size=3) | st.just("\udcff"),
    st.booleans(),
    COUNTS,
)
WRITERS = st.lists(
    st.builds(
        WriterCut,
        NAMES,
        COUNTS,
        COUNTS,
        BODIES,
        st.lists(st.builds(SampledItem, COUNTS, BODIES, st.text(max_size=3)), max_size=2).map(tuple),
    ),
    max_size=3,
    unique_by=lambda writer: writer.worker,
).map(tuple)
STATES = st.dictionaries(NAMES, BODIES, max_size=3)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    body = draw(BODIES)
    return Frame(
        memoryview(body) if draw(st.booleans()) else body, draw(st.integers(1, 4)), draw(COUNTS), draw(COUNTS)
    )


@st.composite
def ranges(draw: st.DrawFn, pool: list[Frame]) -> ItemRange:
    frame = draw(st.sampled_from(pool))
    if draw(st.booleans()):
        return ItemRange(frame, 0, frame.count)
    start = draw(st.integers(0, frame.count - 1))
    past = draw(st.lists(ATTEMPTS, max_size=2).map(tuple))
    stop = draw(st.integers(start + 1, frame.count))
    return ItemRange(frame, start, stop, draw(st.integers(1, 3)), draw(st.integers(0, 2)), past)


@st.composite
def queues(draw: st.DrawFn, name: str, pool: list[Frame]) -> QueueSnapshot:
    def some(of: Any) -> Any:
        return draw(st.lists(of, max_size=4).map(tuple)) if pool else ()

    one = ranges(pool)
    parked = st.builds(ParkedItems, NAMES, one, st.booleans(), st.integers(0, 3))
    partitions = tuple(
        PartitionSnapshot(
            some(one), some(st.builds(DelayedItem, st.floats(0, 1e6), one)), *(draw(COUNTS) for _ in range(4))
        )
        for _ in range(draw(st.integers(1, 2)))
    )
    held = some(st.builds(HeldOutputs, COUNTS, COUNTS, st.lists(parked, max_size=2).map(tuple)))
    sums = [draw(COUNTS) for _ in range(5)]
    return QueueSnapshot(name, sums[0], partitions, some(parked), sums[1], sums[2], sums[3], sums[4], held)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Cut, str]]:
    """Cuts one after the other over frames that come and go, and get their places while they wait outside."""
    pool: list[Frame] = []
    history = []
    for _ in range(draw(st.integers(1, 5))):
        pool = [frame for frame in pool if draw(st.integers(0, 2))] + draw(st.lists(frames(), max_size=4))
        named = tuple(draw(queues(name, pool)) for name in ("q", "r")[: draw(st.integers(1, 2))])
        cut = Cut(
            queues=named,
            writers=draw(WRITERS),
            states=draw(STATES),
            ended=draw(st.frozensets(NAMES)),
            closed=draw(st.frozensets(NAMES)),
            inputs=draw(STATES),
            added=draw(st.dictionaries(NAMES, NAMES, max_size=2)),
            letters=draw(st.dictionaries(NAMES, COUNTS, max_size=2)),
        )
        # What is in no queue at one moment has come to its end, and does not come back.
        live = {key for queue in named for key in queue.frames()}
        pool = [frame for frame in pool if id(frame) in live]
        history.append((cut, draw(st.sampled_from(["kept", "kept", "lost", "resumed", "begun"]))))
    return history


@given(history=histories(), most=st.sampled_from([0, 5, 1 << 20]))
@settings(max_examples=20)
def test_a_cut_is_read_as_it_was_taken(history: list[tuple[Cut, str]], most: int) -> None:
    """Also where frames go ahead of it, and where it is only begun before another runner goes on."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(cuts_module, "_MOST_AT_ONCE", most):
        kept, last, lives = Keeper(Path(folder)), None, 1
        try:
            for cut, fate in history:
                if fate == "lost":
                    kept.lose(cut)
                elif fate == "begun":
                    last = cut if kept.step(cut) else last
                else:
                    kept.keep(cut)
                    last = cut
                assert last == kept.read()
                if fate in ("resumed", "begun"):
                    kept.close()
                    lives += 1
                    kept = Keeper(Path(folder), lives)
                    forget_numbers(history, kept.read())
            if last is not None:
                kept.keep(last := kept.read() or last)
                known = {id(frame) for queue in last.queues for frame in queue.frames().values()}
                assert len(known) == kept.frames()
        finally:
            kept.close()


def forget_numbers(history: list[tuple[Cut, str]], kept: Cut | None) -> None:
    """In another process a frame has the number that it has in the record, or none."""
    known = {frame.number for queue in kept.queues for frame in queue.frames().values()} if kept else set()
    for frame in (f for cut, _ in history for queue in cut.queues for f in queue.frames().values()):
        if frame.number not in known:
            frame.number = 0


def test_a_frame_gets_its_place_while_it_waits_outside() -> None:
    frame = Frame(b"x", 1)
    held = HeldOutputs(3, 4, (ParkedItems("w", ItemRange(frame, 0, 1), owed=True),))
    with keeper() as kept:
        kept.keep(Cut((QueueSnapshot("q", held=(held,)),)))
        frame.first = 17
        kept.keep(Cut((QueueSnapshot("q", partitions=(PartitionSnapshot((ItemRange(frame, 0, 1),)),)),)))
        cut = kept.read()

    assert cut is not None and [17] == [each.frame.first for queue in cut.queues for each in queue.ranges()]


def test_what_has_not_changed_does_not_travel() -> None:
    frames = [Frame(bytes(1000), 1, 1000, number) for number in range(1000)]
    waiting = tuple(ItemRange(frame, 0, 1) for frame in frames)
    cut = Cut(
        (QueueSnapshot("q", 1000, (PartitionSnapshot(waiting, put=1000),)),), states={"neo": bytes(10_000)}
    )
    with keeper() as kept:
        sizes = []
        for _ in range(2):
            sizes.append(kept.buffer.write(kept.encoder.encode(cut).parts)["bytes"])
            kept.encoder.committed()

    assert sizes[0] > 1_010_000 and sizes[1] < 500


def test_every_field_of_a_cut_is_known_to_its_record() -> None:
    """A field that is new has to be written, and read again, before it may be relied on."""
    known = {
        Cut: "queues writers states ended closed inputs added letters",
        WriterCut: "worker put start place samples",
        SampledItem: "index pickled shown",
        QueueSnapshot: "queue offered partitions parked turned_away dead_at_once in_hand expected held",
        PartitionSnapshot: "waiting delayed put done dropped dead_lettered",
        HeldOutputs: "first next outputs",
        ParkedItems: "writer item_range owed shard",
        DelayedItem: "seconds item_range",
        ItemRange: "frame start stop attempt partial history",
        Frame: "payload count size first number",
        DeliveryAttempt: "number worker pid at ended died company",
    }

    assert {kind: names.split() for kind, names in known.items()} == {
        kind: [field.name for field in fields(kind)] for kind in known
    }


def test_memory_that_is_another_by_now_is_not_read() -> None:
    with keeper() as kept:
        place = kept.buffer.write([b"{}", b"rest"])
        place["memory"][2] += 1

        with pytest.raises(FileNotFoundError, match="the memory that it was in is gone"):
            ReceivedCut.of({**place, "number": 1, "at": 1.0, "fsync": False})


def test_a_cut_that_breaks_off_leaves_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    cuts = [
        Cut((QueueSnapshot("q", n, (PartitionSnapshot((ItemRange(Frame(bytes([n]), 1), 0, 1),)),)),))
        for n in range(3)
    ]
    with keeper() as kept:
        kept.keep(cuts[0])
        with monkeypatch.context() as patched:
            patched.setattr("runner.record.cut_writer._replace_states", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                kept.keep(cuts[1])
        after = kept.read()
        kept.keep(cuts[2])

        assert (cuts[0], cuts[2]) == (after, kept.read())


def test_a_run_that_is_done_has_nothing_to_go_on_from_and_one_that_failed_has(tmp_path: Path) -> None:
    cut = Cut((QueueSnapshot("q", 1, (PartitionSnapshot((ItemRange(Frame(bytes(3_000_000), 1), 0, 1),)),)),))
    for lives, (outcome, expected) in enumerate([("failed", cut), ("done", None)], start=1):
        with keeper(tmp_path, lives) as kept:
            kept.keep(cut)
            kept.writer.end({"at": 2.0, "outcome": outcome, "exit_code": 0})
            assert expected == kept.read()

    assert (tmp_path / "run.db").stat().st_size < 500_000


@pytest.mark.parametrize(("cost", "pause"), [(0.0, 0.1), (0.004, 0.1), (0.05, 1.0), (3.0, 10.0)])
def test_a_cut_may_cost_a_twentieth_of_the_time_until_they_are_as_rare_as_they_may_be(
    cost: float, pause: float
) -> None:
    assert pause == pytest.approx(CutPace().pause(cost))


def test_fsync_is_asked_of_the_database(tmp_path: Path) -> None:
    with keeper(tmp_path) as kept:
        kept.keep(Cut(), fsync=True)
        with kept.writer.transaction() as connection:
            (level,) = connection.execute("PRAGMA synchronous").fetchone()

    assert 2 == level
