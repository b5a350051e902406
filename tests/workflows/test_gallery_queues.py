"""The gallery's queues, pipes and shared objects. Each test checks the point of its file."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from gallery import GALLERY, Capture, show

from runner.loader.load import check

TRANSPORTS = pytest.mark.parametrize("transport", ["leased", "joinable"])
QUICK = {"seconds": 0.01}


# ── queue-basics ──


def test_a_queue_is_first_in_first_out_and_knows_when_it_is_full_and_when_it_is_empty(
    capfd: Capture,
) -> None:
    shown = show(capfd, "queue-basics", "joinable")

    assert [
        "baker: empty? True",
        *(f"baker: put {number}" for number in (1, 2, 3)),
        "baker: full? True",
        "baker: no room for 4",
        *(f"customer: got {number}" for number in (1, 2, 3)),
        "customer: empty? True",
    ] == shown.lines
    assert (0, 3) == (shown.exit_code, shown.one("queue.joined")["done"])


def test_under_leased_the_shelf_has_room_for_one_more_as_the_file_says(capfd: Capture) -> None:
    """
    A reader that waits has the next item in hand before it asks: it is taken, and not in the queue.
    """
    shown = show(capfd, "queue-basics", "leased", overrides=("stages.baker.with.loaves=4",))

    assert "baker: put 4" in shown.lines
    assert [f"customer: got {number}" for number in (1, 2, 3)] == [
        line for line in shown.lines if line.startswith("customer: got")
    ]


def test_under_inline_waiting_for_another_worker_s_event_is_refused() -> None:
    checked = check(GALLERY / "queue-basics.yaml", overrides=["transport=inline"])

    assert [("transport-cannot", "`wait` at the Event 'shelf_is_full'")] == [
        (diagnostic.code, diagnostic.message.partition(" is for")[0]) for diagnostic in checked.diagnostics
    ]


# ── sentinel ──


@TRANSPORTS
@pytest.mark.quick("leased")
def test_each_guest_gets_one_end_mark_and_nothing_behind_it(transport: str, capfd: Capture) -> None:
    shown = show(capfd, "sentinel", transport, params=QUICK)

    assert 0 == shown.exit_code, shown.stderr
    for guest in ("guest-1", "guest-2"):
        own = [line for line in shown.lines if line.startswith(guest)]
        assert [f"{guest} goes home"] == [line for line in own if "goes home" in line] == own[-1:]


@TRANSPORTS
@pytest.mark.quick("leased")
def test_the_mark_comes_only_after_the_last_cook_is_done_and_the_last_dumpling_taken(
    transport: str, capfd: Capture
) -> None:
    shown = show(capfd, "sentinel", transport, params=QUICK)

    first_to_go = min(shown.lines.index(f"guest-{number} goes home") for number in (1, 2))
    cooks = ("quick-cook-1", "slow-cook-1", "slow-cook-2")
    dumplings = [f"{cook}的饺子{number}" for cook in cooks for number in range(3)]
    assert max(shown.lines.index(f"{cook} is done") for cook in cooks) < first_to_go
    assert Counter(dumplings) == Counter(line.split(" 吃了")[1] for line in shown.lines if " 吃了" in line)
    # The other guest may still chew on its last one; the mark itself is no item.
    assert 9 == shown.one("queue.joined")["put"]


# ── pipe-and-manager ──


@TRANSPORTS
@pytest.mark.quick("leased")
def test_each_end_of_the_pipe_hears_the_other_and_then_that_it_has_gone(
    transport: str, capfd: Capture
) -> None:
    shown = show(capfd, "pipe-and-manager", transport, params={"each": 1})

    assert [
        "parent: got 'hello from the child'",
        "parent: the child has gone",
    ] == [line for line in shown.lines if line.startswith("parent")]
    assert "child: got 'hello from the parent'" in shown.lines
    assert 0 == shown.exit_code, shown.stderr


@TRANSPORTS
@pytest.mark.slow
def test_ten_that_take_under_the_lock_leave_exactly_nothing(transport: str, capfd: Capture) -> None:
    shown = show(capfd, "pipe-and-manager", transport)

    assert "left: 0" == shown.lines[-1]
    assert shown.one("manager.spawned")["pid"] == shown.one("manager.exited")["pid"]
    assert ["board"] == shown.one("manager.spawned")["objects"]


# ── baozi ──


@TRANSPORTS
@pytest.mark.quick("leased")
def test_both_kitchens_make_and_eat_every_bun_once(transport: str, capfd: Capture) -> None:
    shown = show(capfd, "baozi", transport, params=QUICK)

    made = Counter(found[1] for line in shown.lines if (found := re.fullmatch(r"\w+ 生产了(\w+)", line)))
    eaten = Counter(found[1] for line in shown.lines if (found := re.fullmatch(r"\w+ 吃了(\w+)", line)))
    chefs = ("neo", "alex", "egon", "小明", "小红", "小刚")
    assert Counter(f"{chef}的包子{number}" for chef in chefs for number in range(2)) == made == eaten
    assert 0 == shown.exit_code, shown.stderr


@TRANSPORTS
@pytest.mark.quick("leased")
def test_a_chef_that_joins_its_queue_goes_on_only_once_its_buns_are_eaten(
    transport: str, capfd: Capture
) -> None:
    shown = show(capfd, "baozi", transport, params=QUICK)

    for chef in ("小明", "小红", "小刚"):
        eaten = [n for n, line in enumerate(shown.lines) if re.fullmatch(rf"c[34] 吃了{chef}的包子\d", line)]
        assert 2 == len(eaten)
        assert max(eaten) < shown.lines.index(f"{chef} 的包子都吃完了")


@TRANSPORTS
@pytest.mark.quick("leased")
def test_the_eaters_are_ended_once_nothing_needs_them(transport: str, capfd: Capture) -> None:
    shown = show(capfd, "baozi", transport, params=QUICK)

    ends = {event["worker"]: event["outcome"] for event in shown.of("worker.exited")}
    assert dict.fromkeys(("c1", "c2", "c3-1", "c4-1"), "finished") == {
        worker: outcome for worker, outcome in ends.items() if worker.startswith("c")
    }
