"""Records go, the oldest first, to stay within bounds; what somebody may need does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kept_cuts import cut_of
from record_homes import recorded

from runner.ledger.ranges import Frame
from runner.record.history import runs_in
from runner.record.pruning import PruneCandidate, RecordBounds, candidates, choose, remove_runs
from runner.store.run_lock import RunLock

DAY = 86400.0
NOW = 1000 * DAY
BOUNDS = RecordBounds(runs=3, bytes=100, age=60 * DAY)
RUNS = st.lists(
    st.builds(
        PruneCandidate,
        st.uuids().map(str),
        st.floats(0, NOW),
        st.integers(0, 80),
        st.sampled_from([None, None, None, "it runs"]),
    ),
    max_size=12,
)


def run(name: str, days: float, size: int = 1, needed: str | None = None) -> PruneCandidate:
    return PruneCandidate(name, NOW - days * DAY, size, needed)


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([], []),
        ([run("a", 1), run("b", 2), run("c", 3)], []),
        ([run("a", 1), run("b", 2), run("c", 3), run("d", 4)], ["d"]),
        ([run("a", 61), run("b", 59)], ["a"]),
        ([run("a", 1, 60), run("b", 2, 50)], ["b"]),
        ([run("a", 61, needed="it runs"), run("b", 99)], ["b"]),
        ([run("d", 4, needed="letters"), *(run(n, 1) for n in "abc")], ["a"]),
        ([run("a", 1, 999, needed="letters"), run("b", 2), run("c", 3)], ["c", "b"]),
    ],
)
def test_the_oldest_go_that_may(runs: list[PruneCandidate], expected: list[str]) -> None:
    assert expected == [each.id for each in choose(runs, NOW, BOUNDS)]


@given(RUNS)
def test_what_is_left_is_within_bounds_or_needed_and_nothing_goes_without_need(
    runs: list[PruneCandidate],
) -> None:
    going = choose(runs, NOW, BOUNDS)
    left = [each for each in runs if each not in going]

    assert all(each.needed is None for each in going)
    free = [each for each in left if each.needed is None]
    assert not free or (len(left) <= 3 and sum(each.bytes for each in left) <= 100)
    assert all(NOW - each.ended <= BOUNDS.age for each in free)
    for each in going[-1:]:
        would_be = [*left, each]
        within = len(would_be) <= 3 and sum(one.bytes for one in would_be) <= 100
        assert not within or NOW - each.ended > BOUNDS.age


def test_what_runs_or_was_killed_lately_and_what_has_letters_to_replay_is_needed(tmp_path: Path) -> None:
    lock = RunLock(recorded(tmp_path, "lives", outcome=None).path)
    for name, days in (("killed", 13), ("long-killed", 15)):
        recorded(tmp_path, name, at=NOW - days * DAY, outcome=None)
    for name, replayed in (("letters", ""), ("replayed", '{"numbers": [1, 2]}\n')):
        letters = recorded(tmp_path, name).make_folder("dead-letters")
        (letters / "eater.jsonl").write_text("{}\n{}\n")
        (letters / "eater.replayed").write_text(replayed)
    recorded(tmp_path, "ended")

    needed = {each.id: each.needed for each in candidates(tmp_path, NOW)}
    lock.release()

    assert {
        "lives": "it runs",
        "killed": "it was killed lately",
        "letters": "it has dead letters that were not replayed",
        **dict.fromkeys(("long-killed", "replayed", "ended")),
    } == needed


def test_of_a_workflow_the_last_run_that_can_be_gone_on_with_is_needed(tmp_path: Path) -> None:
    cut = cut_of(Frame(b"x", 1))
    for name, days, outcome in (
        ("a", 3, "failed"),
        ("b", 2, "interrupted"),
        ("c", 1, "done"),
        ("d", 1, "failed"),
    ):
        recorded(tmp_path, name, at=NOW - days * DAY, outcome=outcome, cut=None if name == "d" else cut)
    recorded(tmp_path, "old", "canteen", at=NOW - 15 * DAY, outcome="failed", cut=cut)

    needed = {each.id: each.needed for each in candidates(tmp_path, NOW)}

    assert {**dict.fromkeys("acd"), "b": "it can be gone on with", "old": None} == needed


def test_what_is_removed_is_gone_and_in_no_list(tmp_path: Path) -> None:
    for name in ("a", "b"):
        recorded(tmp_path, name)
    runs_in(tmp_path)

    gone = remove_runs(tmp_path, [each for each in candidates(tmp_path, NOW) if each.id == "a"])

    assert ["a"] == [each.id for each in gone]
    assert ["b"] == [each.id for each in runs_in(tmp_path)]
    assert ["index.db", "runs"] == sorted(
        each.name for each in tmp_path.iterdir() if each.name != ".gitignore"
    )


def test_no_record_is_removed_once_the_time_is_up(tmp_path: Path) -> None:
    recorded(tmp_path, "a")

    assert [] == remove_runs(tmp_path, candidates(tmp_path, NOW), until=0.0)
    assert ["a"] == [each.id for each in runs_in(tmp_path)]
