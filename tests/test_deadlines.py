"""What takes too long, decided from looks and a clock handed in: no process, no sleep."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import deadlines
from runner.deadlines import Sighting, Station, Stillness
from runner.spec import Role
from runner.status import Pulse, Wait

EATER = Station("eater", "eater", 7, Role.CONSUMER, "q", None, False, 3.0, Pulse(received=4, done=3, mark=11))
CHEF = Station("chef", "chef", 8, Role.PRODUCER, None, "q", False, None, Pulse(sent=6))
CLEANER = Station("cleaner", "cleaner", 9, Role.PLAIN, None, None, False, None, Pulse())


def at(station: Station, **pulse: Any) -> Station:
    """The same worker with another pulse."""
    return replace(station, pulse=replace(station.pulse, **pulse))


def test_the_first_look_at_an_item_is_kept_until_another_is_in_hand() -> None:
    first = deadlines.sight(None, EATER, 10.0)

    again = deadlines.sight(first, EATER, 11.0)
    next_item = deadlines.sight(first, at(EATER, received=5, done=4, mark=12), 12.0)

    assert (10.0, 10.0, 12.0) == (first.at, again.at, next_item.at)


def test_a_new_generation_begins_anew_although_it_holds_the_same_item() -> None:
    first = deadlines.sight(None, EATER, 10.0)

    assert 12.0 == deadlines.sight(first, replace(EATER, pid=99), 12.0).at


def test_what_a_pipe_stage_puts_on_is_part_of_the_same_item() -> None:
    pipe = replace(EATER, role=Role.PIPE, sends="r")
    first = deadlines.sight(None, pipe, 10.0)

    assert 10.0 == deadlines.sight(first, at(pipe, sent=5), 12.0).at


@pytest.mark.parametrize(
    ("pulse", "now", "expected"),
    [
        ({}, 13.0, 3.0),
        ({"waited": 2.5}, 13.0, 0.5),
        ({"waiting": Wait.ROOM, "waiting_since": 11.0}, 13.0, 1.0),
        ({"waited": 0.5, "waiting": Wait.ROOM, "waiting_since": 11.0}, 13.0, 0.5),
    ],
)
def test_only_the_time_at_work_counts(pulse: dict[str, Any], now: float, expected: float) -> None:
    first = Sighting(EATER, 10.0)

    assert expected == pytest.approx(deadlines.worked(first, at(EATER, **pulse), now))


def test_a_wait_that_began_before_the_first_look_is_no_work_either() -> None:
    waiting = at(EATER, waiting=Wait.ROOM, waiting_since=8.0)
    first = Sighting(waiting, 10.0)

    assert 1.0 == deadlines.worked(first, at(EATER, waited=4.0), 13.0)  # it waited from 8 to 12


@given(
    waits=st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), max_size=8),
    looks=st.lists(st.integers(0, 1000), min_size=1, max_size=8),
)
def test_however_work_and_waits_follow_each_other_a_worker_is_never_accused_too_early(
    waits: list[tuple[float, float]], looks: list[int]
) -> None:
    """Looks at any moments: what is counted as work is never more than the work since the first of them."""
    end = sum(work + wait for work, wait in waits) + 1.0
    moments = sorted(look * end / 1000 for look in looks)
    first = None
    for now in moments:
        station, truly = _at_moment(waits, now)
        first = deadlines.sight(first, station, now)
        _, before = _at_moment(waits, moments[0])

        assert deadlines.worked(first, station, now) == pytest.approx(truly - before, abs=1e-6)


def _at_moment(waits: list[tuple[float, float]], now: float) -> tuple[Station, float]:
    """A worker as it is at a moment, and how long it has truly worked until then."""
    clock = worked = waited = 0.0
    for work, wait in waits:
        if now <= clock + work:
            break
        clock, worked = clock + work, worked + work
        if now < clock + wait:
            pulse = {"waited": waited, "waiting": Wait.ROOM, "waiting_since": clock}
            return at(EATER, **pulse), worked
        clock, waited = clock + wait, waited + wait
    return at(EATER, waited=waited), worked + (now - clock)


@pytest.mark.parametrize(
    ("station", "now", "expected"),
    [
        (EATER, 12.9, False),
        (EATER, 13.0, True),
        (at(EATER, waiting=Wait.ROOM, waiting_since=10.0), 99.0, False),
        (at(EATER, done=4), 99.0, False),
        (replace(EATER, timeout=None), 99.0, False),
        (replace(CHEF, timeout=2.0), 12.0, True),
        (replace(CLEANER, timeout=2.0), 12.0, True),
    ],
)
def test_overdue_is_whoever_is_at_work_for_longer_than_its_stage_allows(
    station: Station, now: float, expected: bool
) -> None:
    assert expected == deadlines.is_overdue(Sighting(station, 10.0), station, now)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [([], 1.0), ([None, 3.0], 0.3), ([0.1, 60.0], 0.05), ([3600.0], 1.0), ([None], 1.0)],
)
def test_looks_are_as_frequent_as_the_shortest_bound_needs(
    bounds: list[float | None], expected: float
) -> None:
    assert expected == pytest.approx(deadlines.interval(bounds))


@pytest.mark.parametrize(
    "stations",
    [
        [at(EATER, done=4), CHEF],
        [EATER, at(CHEF, sent=7)],
        [EATER],
        [EATER, CHEF, CLEANER],
        [replace(EATER, pid=99), CHEF],
    ],
)
def test_anything_that_changes_is_a_movement(stations: list[Station]) -> None:
    before = deadlines.still(None, [EATER, CHEF], 10.0)

    assert 20.0 == deadlines.still(before, stations, 20.0).since


def test_waiting_alone_is_no_movement() -> None:
    before = deadlines.still(None, [EATER, CHEF], 10.0)
    waiting = [EATER, at(CHEF, waiting=Wait.ROOM, waiting_since=15.0, waited=3.0)]

    assert Stillness(before.motions, 10.0) == deadlines.still(before, waiting, 20.0)


HUNGRY = at(EATER, done=4, waiting=Wait.ITEM)
LOCKED_OUT = at(CLEANER, waiting=Wait.LOCK, waiting_since=10.0)


@pytest.mark.parametrize(
    ("stations", "waiting", "expected"),
    [
        ([EATER], {"q": 0}, True),
        ([replace(EATER, timeout=None)], {"q": 5}, False),
        ([HUNGRY], {"q": 0}, False),
        ([HUNGRY], {"q": 1}, True),
        ([HUNGRY, CLEANER], {"q": 0}, True),
        ([HUNGRY, replace(CLEANER, daemon=True)], {"q": 0}, False),
        ([LOCKED_OUT, LOCKED_OUT], {}, False),
        ([LOCKED_OUT, CLEANER], {}, True),
        ([LOCKED_OUT, replace(CLEANER, daemon=True)], {}, True),
        ([at(EATER, waiting=Wait.LOCK)], {"q": 0}, False),
    ],
    ids=[
        *("within its timeout", "at work", "hungry", "a retry is due", "a plain process", "a daemonic one"),
        *("all wait for locks", "one that may hold it", "a daemonic one that may", "a reader waits for it"),
    ],
)
def test_that_nothing_moves_is_in_order_where_something_is_sure_to(
    stations: list[Station], waiting: dict[str, int], expected: bool
) -> None:
    assert expected == deadlines.is_excused(stations, waiting)


JOINING = at(CHEF, waiting=Wait.JOIN, waiting_since=10.0)
FORGETFUL = at(EATER, waiting=Wait.ITEM, waiting_since=12.0)


@pytest.mark.parametrize(
    ("stations", "since", "now", "expected"),
    [
        ([JOINING, FORGETFUL], 0.0, 72.0, True),
        ([JOINING, FORGETFUL], 0.0, 71.9, False),
        ([JOINING, FORGETFUL], 20.0, 72.0, False),
        ([JOINING, EATER], 0.0, 999.0, False),
        ([CLEANER], 0.0, 999.0, False),
        ([LOCKED_OUT, LOCKED_OUT], 0.0, 70.0, True),
        ([LOCKED_OUT, LOCKED_OUT], 0.0, 69.9, False),
        ([LOCKED_OUT, EATER], 0.0, 999.0, False),
        ([], 0.0, 999.0, False),
    ],
)
def test_all_wait_for_each_other_only_if_each_has_waited_too_long(
    stations: list[Station], since: float, now: float, expected: bool
) -> None:
    assert expected == deadlines.all_wait(stations, since, now)


BLOCKED = at(CHEF, waiting=Wait.ROOM, waiting_since=10.0)


@pytest.mark.parametrize(
    ("stations", "queue", "words"),
    [
        (
            [BLOCKED, EATER],
            "q",
            "worker 'eater' (pid 7) of stage 'eater' has been at work on an item of queue 'q' for 5s",
        ),
        (
            [JOINING, FORGETFUL],
            "q",
            "worker 'eater' (pid 7) of stage 'eater' waits for more of queue 'q' and has not acknowledged 1 item "
            "(task_done) for 5s",
        ),
        ([CHEF, HUNGRY], "q", "worker 'chef' (pid 8) of stage 'chef' has put nothing on queue 'q' for 5s"),
        (
            [JOINING, HUNGRY],
            "q",
            "worker 'chef' (pid 8) of stage 'chef' waits in join() for queue 'q' for 5s",
        ),
        (
            [EATER, replace(EATER, name="neo", pid=5)],
            "q",
            "worker 'eater' (pid 7) of stage 'eater' has been at work on an item of queue 'q' for 5s, "
            "and so does one more",
        ),
        (
            [LOCKED_OUT, replace(LOCKED_OUT, name="neo")],
            None,
            "worker 'cleaner' (pid 9) of stage 'cleaner' waits for a lock for 5s, and so does one more",
        ),
    ],
)
def test_whoever_holds_the_run_up_is_named_never_one_that_waits_for_room(
    stations: list[Station], queue: str | None, words: str
) -> None:
    sightings = {station.name: Sighting(station, 10.0) for station in stations}

    accused = deadlines.accuse(sightings, stations, 15.0)

    assert accused is not None
    assert (queue, words) == (accused.queue, accused.reason)


def test_of_two_at_work_the_one_that_has_been_for_longer_is_named() -> None:
    neo = replace(EATER, name="neo")
    sightings = {"eater": Sighting(EATER, 10.0), "neo": Sighting(neo, 8.0)}

    accused = deadlines.accuse(sightings, [EATER, neo], 15.0)

    assert accused is not None
    assert "neo" == accused.worker


def test_plain_processes_hold_up_no_queue() -> None:
    assert deadlines.accuse({"cleaner": Sighting(CLEANER, 1.0)}, [CLEANER], 15.0) is None


@pytest.mark.parametrize(
    ("station", "words"),
    [
        (EATER, "was at work on an item of queue 'q'"),
        (at(EATER, done=4), "was at work, with no item in hand"),
        (HUNGRY, "waited for an item of queue 'q'"),
        (CHEF, "was making an item for queue 'q'"),
        (BLOCKED, "waited for room in queue 'q'"),
        (JOINING, "waited in join() for queue 'q'"),
        (CLEANER, "was at work"),
        (LOCKED_OUT, "waited for a lock"),
    ],
)
def test_what_a_worker_does_is_said_in_words(station: Station, words: str) -> None:
    assert words == deadlines.doing(station)
