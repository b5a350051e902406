"""Leave to put: shares go out whole, nobody can starve the others, and never more than there is room for."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from runner.ledger.credit import GRANT_DELAY, UNBOUNDED_SHARE, Credit, Granted


def credit_of(maxsize: int | None, *writers: str) -> Credit:
    credit = Credit(maxsize, len(writers))
    for writer in writers:
        credit.join(writer)
    return credit


def test_each_writer_gets_a_share_at_once_and_one_is_left_over() -> None:
    credit = credit_of(1000, "neo", "alex", "egon")

    grants = credit.top_up(free=1000, now=0.0)

    assert [Granted("neo", 250), Granted("alex", 250), Granted("egon", 250)] == grants
    assert 750 == credit.total


def test_where_there_is_no_bound_a_share_is_a_big_number() -> None:
    credit = credit_of(None, "neo")

    assert [Granted("neo", UNBOUNDED_SHARE)] == credit.top_up(free=None, now=0.0)


@pytest.mark.parametrize(
    ("maxsize", "writers", "shares"), [(1, 1, False), (2, 1, True), (3, 3, False), (4, 3, True)]
)
def test_a_queue_with_no_more_places_than_writers_has_nothing_to_share(
    maxsize: int, writers: int, shares: bool
) -> None:
    credit = credit_of(maxsize, *map(str, range(writers)))

    assert (shares, shares) == (credit.shares, bool(credit.top_up(free=maxsize, now=0.0)))


def test_a_writer_with_more_than_half_its_share_is_given_nothing() -> None:
    credit = credit_of(200, "neo")
    credit.top_up(free=200, now=0.0)

    credit.use("neo", 49)

    assert [] == credit.top_up(free=200, now=0.0)


def test_who_has_used_half_a_share_is_topped_up_to_a_whole_one() -> None:
    credit = credit_of(200, "neo")
    credit.top_up(free=200, now=0.0)

    credit.use("neo", 60)

    assert [Granted("neo", 60)] == credit.top_up(free=200, now=0.0)


def test_a_little_room_waits_a_moment_for_more() -> None:
    credit = credit_of(200, "neo")

    at_once = credit.top_up(free=3, now=1.0)
    due = credit.due
    later = credit.top_up(free=3, now=1.0 + GRANT_DELAY)

    assert ([], 1.0 + GRANT_DELAY, [Granted("neo", 3)]) == (at_once, due, later)


def test_who_waits_at_a_full_queue_needs_no_clock() -> None:
    credit = credit_of(200, "neo")

    credit.top_up(free=0, now=1.0)

    assert credit.due is None


def test_whoever_has_waited_longest_is_served_first() -> None:
    credit = credit_of(300, "neo", "alex")
    credit.top_up(free=300, now=0.0)
    credit.use("alex", 100)
    credit.use("neo", 100)

    first = credit.top_up(free=100, now=0.0)
    then = credit.top_up(free=100, now=0.0)

    assert ([Granted("alex", 100)], [Granted("neo", 100)]) == (first, then)


def test_what_a_writer_held_is_free_again_when_it_is_gone() -> None:
    credit = credit_of(300, "neo", "alex")
    credit.top_up(free=300, now=0.0)

    credit.remove_writer("neo")
    credit.remove_writer("neo")

    assert (100, 0) == (credit.total, credit.held("neo"))


def test_one_that_hoards_can_not_stop_the_others() -> None:
    credit = credit_of(30, "idle", "busy")
    carried, room = 0, 30
    credit.top_up(free=room, now=0.0)

    while carried < 1000:
        held = credit.held("busy")
        assert held > 0, "the busy writer starves"
        credit.use("busy", held)
        carried += held  # a reader takes them all at once
        credit.top_up(free=room - credit.total, now=0.0)

    assert 10 == credit.held("idle")


@given(
    maxsize=st.integers(1, 60),
    steps=st.lists(
        st.tuples(
            st.sampled_from("abc"), st.sampled_from(["use", "leave", "join", "take"]), st.integers(1, 40)
        )
    ),
)
def test_leave_and_items_together_never_exceed_the_bound(
    maxsize: int, steps: list[tuple[str, str, int]]
) -> None:
    credit = credit_of(maxsize, "a", "b", "c")
    waiting, now = 0, 0.0

    for writer, act, number in steps:
        now += GRANT_DELAY
        if act == "use":
            sent = min(number, credit.held(writer))
            credit.use(writer, sent)
            waiting += sent
        elif act == "take":
            waiting = max(0, waiting - number)
        elif act == "leave":
            credit.remove_writer(writer)
        else:
            credit.join(writer)
        grants = credit.top_up(maxsize - waiting - credit.total, now)

        assert all(grant.count > 0 for grant in grants)
        assert sum(map(credit.held, "abc")) == credit.total
        assert waiting + credit.total <= maxsize


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["join", "use", "give", "top_up", "leave"]),
            st.sampled_from("abc"),
            st.integers(0, 9),
        ),
        max_size=30,
    ),
    st.sampled_from([1, 4, 12, 100]),
)
def test_it_knows_whether_a_writer_has_nothing_left(steps: list[tuple[str, str, int]], maxsize: int) -> None:
    credit, writers = Credit(maxsize, 3), set[str]()
    for step, writer, count in steps:
        if step == "join":
            credit.join(writer)
            writers.add(writer)
        elif step == "top_up":
            credit.top_up(count, 0.0)
        elif writer in writers and step == "leave":
            credit.remove_writer(writer)
            writers.remove(writer)
        elif writer in writers:
            (credit.use if step == "use" else credit.give)(writer, count)

    assert credit.leaves_waiting == (credit.shares and any(credit.held(writer) == 0 for writer in writers))
