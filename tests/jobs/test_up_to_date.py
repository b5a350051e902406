"""Up to date or not: what is compared, and the reason that is given."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.jobs.up_to_date import (
    FileFacts,
    Fingerprint,
    UpToDate,
    compare_fingerprints,
    fingerprint_of,
    from_data,
    needs_reading,
    to_data,
)

SECOND = 1_000_000_000
OLD = FileFacts("d1", 10, 0, 100 * SECOND)
OTHER = FileFacts("d2", 10, 0, 100 * SECOND)
BASE = Fingerprint({"command": "c", "env": "e"}, {"src/a.py": OLD}, {"dist/x": OLD})
FACTS = st.builds(FileFacts, st.text(max_size=3), st.integers(), st.integers(), st.integers())
FILES = st.dictionaries(st.text(max_size=3), FACTS, max_size=3)
WORDS = st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3)
FINGERPRINTS = st.builds(Fingerprint, *[WORDS, FILES, FILES, WORDS])


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (Fingerprint({"command": "x", "env": "e"}, BASE.inputs, BASE.outputs), "command changed"),
        (Fingerprint({"command": "c"}, BASE.inputs, BASE.outputs), "env changed"),
        (Fingerprint(BASE.parts, {"src/a.py": OTHER}, BASE.outputs), "input src/a.py changed"),
        (Fingerprint(BASE.parts, {}, BASE.outputs), "input src/a.py is gone"),
        (Fingerprint(BASE.parts, {**BASE.inputs, "b": OLD}, BASE.outputs), "input b is new"),
        (Fingerprint(BASE.parts, BASE.inputs, {}), "output dist/x is missing"),
        (Fingerprint(BASE.parts, BASE.inputs, {"dist/x": OTHER}), "output dist/x changed"),
        (
            Fingerprint(BASE.parts, BASE.inputs, BASE.outputs, {}, ("input *.rs",)),
            "input *.rs matches nothing",
        ),
        (Fingerprint({"command": "x"}, {}, BASE.outputs), "command changed, and 2 more"),
    ],
)
def test_what_is_not_as_it_was_is_the_reason_to_run(now: Fingerprint, reason: str) -> None:
    assert UpToDate(False, reason) == compare_fingerprints(BASE, now)


def test_a_job_that_never_passed_runs() -> None:
    assert UpToDate(False, "it has not passed here before") == compare_fingerprints(None, BASE)


def test_nothing_changed_is_up_to_date_whatever_the_clock_says() -> None:
    touched = FileFacts("d1", 10, 7, 8)

    decision = compare_fingerprints(BASE, Fingerprint(BASE.parts, {"src/a.py": touched}, {"dist/x": touched}))

    assert decision.holds
    assert decision.reason.startswith("up to date")


def test_what_it_handed_on_is_handed_on_again() -> None:
    before = Fingerprint(BASE.parts, BASE.inputs, BASE.outputs, {"version": "1"})

    assert {"version": "1"} == compare_fingerprints(before, BASE).values


def test_what_others_put_beside_the_outputs_does_not_matter() -> None:
    assert compare_fingerprints(
        BASE, Fingerprint(BASE.parts, BASE.inputs, {**BASE.outputs, "dist/y": OLD})
    ).holds


@pytest.mark.parametrize(
    ("known", "size", "mtime", "ctime", "expected"),
    [
        (None, 10, 0, 0, True),
        (OLD, 10, 0, 0, False),
        (OLD, 11, 0, 0, True),
        (OLD, 10, 1, 0, True),
        # Its time was set back: somebody has had it in hand.
        (OLD, 10, 0, 50 * SECOND, True),
        (OLD._replace(ctime_ns=50 * SECOND), 10, 0, 50 * SECOND, False),
        (OLD._replace(ctime_ns=99 * SECOND), 10, 0, 99 * SECOND, True),
        # Changed a second before it was looked at: a later change could have left the same time.
        (FileFacts("d", 10, 99 * SECOND, 100 * SECOND), 10, 99 * SECOND, 0, True),
        (FileFacts("d", 10, 97 * SECOND, 100 * SECOND), 10, 97 * SECOND, 0, False),
    ],
)
def test_a_file_is_read_unless_its_time_can_be_trusted(
    known: FileFacts | None, size: int, mtime: int, ctime: int, expected: bool
) -> None:
    assert expected == needs_reading(known, size, mtime, ctime)


def test_a_definition_is_told_by_its_parts() -> None:
    one = fingerprint_of({"command": ["make"], "env": {"A": "1", "B": "2"}})
    other = fingerprint_of({"command": ["make"], "env": {"B": "2", "A": "3"}})

    assert {"command": True, "env": False} == {word: one[word] == other[word] for word in one}
    assert one == fingerprint_of({"command": ["make"], "env": {"B": "2", "A": "1"}})


@given(FINGERPRINTS)
def test_a_fingerprint_is_kept_and_read_back(fingerprint: Fingerprint) -> None:
    assert fingerprint == from_data(json.loads(json.dumps(to_data(fingerprint))))


@given(FINGERPRINTS)
def test_a_job_is_up_to_date_with_itself(fingerprint: Fingerprint) -> None:
    assert compare_fingerprints(fingerprint, fingerprint).holds


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"parts": {}, "inputs": {}},
        {"parts": {}, "inputs": {}, "outputs": {}},
        {"parts": {}, "inputs": {"a": ["d", 1]}, "outputs": {}, "values": {}},
        {"parts": {}, "inputs": {"a": [1, 1, 1, 1]}, "outputs": {}, "values": {}},
        {"parts": {}, "inputs": {"a": 3}, "outputs": {}, "values": {}},
    ],
)
def test_what_is_no_fingerprint_is_none(data: object) -> None:
    assert from_data(data) is None
