"""`imap`: the results of a function in many processes, as a program that loops over them sees it."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from holdings import nothing_left

import mprun


@pytest.fixture(autouse=True)
def leaves_nothing() -> Iterator[None]:
    """Each test ends as it began: no process, no descriptor, no thread is left."""
    list(mprun.imap(str, [1], workers=1))  # what is imported and opened once, is by now
    with nothing_left():
        yield


def test_results_come_in_the_order_of_their_items() -> None:
    factor = 3  # a closure

    assert [3 * item for item in range(2000)] == list(
        mprun.imap(lambda x: x * factor, range(2000), workers=3)
    )


def test_unordered_all_results_come_once() -> None:
    results = list(mprun.imap(lambda x: x * x, range(2000), workers=3, ordered=False))

    assert [item * item for item in range(2000)] == sorted(results)


def test_the_slow_item_is_waited_for_only_where_order_is_kept() -> None:
    def late(item: int) -> int:
        time.sleep(0.3 if item == 0 else 0)
        return item

    assert 0 == next(iter(mprun.imap(late, range(20), workers=2)))
    assert 0 == list(mprun.imap(late, range(20), workers=2, ordered=False))[-1]


def test_items_without_end_are_taken_as_their_results_are() -> None:
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    with mprun.imap(lambda x: x, endless(), workers=2, ahead=8) as results:
        for result in itertools.islice(results, 50):
            assert taken <= result + 8
            time.sleep(0.001)


@pytest.mark.parametrize("ahead", [1, 2])
def test_one_item_ahead_is_enough(ahead: int) -> None:
    assert [*range(20)] == list(mprun.imap(lambda x: x, range(20), workers=2, ahead=ahead))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_function_that_raises_stop_iteration_does_not_cut_the_results_short(workers: int) -> None:
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        list(mprun.imap(lambda _: next(iter(())), range(3), workers=workers))


def test_breaking_out_of_the_loop_ends_the_workers() -> None:
    began = time.monotonic()
    for _ in mprun.imap(lambda x: time.sleep(60 if x else 0), itertools.count(), workers=2):
        break

    assert time.monotonic() - began < 30


def test_no_items_make_no_results() -> None:
    assert [] == list(mprun.imap(str, [], workers=2))


def test_items_are_made_in_the_thread_that_asks_for_results() -> None:
    threads = set()

    def items() -> Iterator[int]:
        for number in range(10):
            threads.add(threading.get_ident())
            yield number

    list(mprun.imap(str, items(), workers=2))

    assert {threading.get_ident()} == threads


@pytest.mark.slow
def test_a_result_is_not_held_back_by_items_that_come_slowly() -> None:
    yielded = 0

    def slow() -> Iterator[int]:
        nonlocal yielded
        for yielded in range(1, 6):
            yield yielded
            time.sleep(0.2)

    for result in mprun.imap(lambda x: x, slow(), workers=1):
        assert yielded <= result + 2


def _raise_at_two(item: int) -> int:
    if item == 2:
        raise ValueError(f"no {item}")
    return item


def test_an_exception_comes_up_with_the_traceback_of_its_worker_as_cause() -> None:
    results = []
    with pytest.raises(ValueError, match="no 2") as caught:
        results.extend(mprun.imap(_raise_at_two, range(9), workers=2))

    assert "in _raise_at_two" in str(caught.value.__cause__)
    assert "runner/" not in str(caught.value.__cause__)


def test_results_before_an_exception_come_before_it() -> None:
    results = mprun.imap(_raise_at_two, range(9), workers=2)

    assert [0, 1] == [next(results), next(results)]
    with pytest.raises(ValueError, match="no 2"):
        next(results)
    assert [] == list(results)


def test_failures_are_left_out_or_stand_in_the_place_of_their_results() -> None:
    assert [0, 1, 3] == list(mprun.imap(_raise_at_two, range(4), workers=2, errors="skip"))
    results: list[Any] = list(mprun.imap(_raise_at_two, range(4), workers=2, errors="return"))
    assert [0, 1, 3] == [each for each in results if not isinstance(each, mprun.MapFailure)]
    assert (2, "no 2") == (results[2].item, str(results[2].error))


class _Unreadable(Exception):
    def __init__(self, item: int, _of: int) -> None:
        super().__init__(f"item {item}, and only this is kept")


def test_an_exception_that_cannot_travel_is_told_in_words() -> None:
    def fail(_item: int) -> None:
        raise _Unreadable(1, 2)

    with pytest.raises(mprun.ItemLost, match="_Unreadable: item 1, and only this is kept"):
        list(mprun.imap(fail, [1], workers=1))


def test_a_function_that_exits_fails_its_item_and_not_the_program() -> None:
    with pytest.raises(mprun.ItemLost, match="SystemExit: 3"):
        list(mprun.imap(lambda _: sys.exit(3), [1], workers=1))


def test_a_result_that_cannot_be_pickled_is_named() -> None:
    results: list[Any] = list(mprun.imap(lambda x: lambda: x, range(2), workers=1, errors="return"))

    assert [0, 1] == [each.item for each in results]
    assert "item 1, 1, or its result, can't be sent" in str(results[1].error)


def test_an_item_that_cannot_be_pickled_is_named() -> None:
    with pytest.raises(Exception, match="pickle") as caught:
        list(mprun.imap(str, [1, lambda: 1], workers=1))

    assert "item 1" in caught.value.__notes__[0]


def test_the_item_of_a_killed_worker_is_handed_out_once_more(tmp_path: Path) -> None:
    def die_once(item: int) -> int:
        if item == 3 and not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    assert list(range(8)) == list(mprun.imap(die_once, range(8), workers=2))


def test_an_item_that_kills_its_workers_is_lost_and_the_others_are_not() -> None:
    def die(item: int) -> int:
        if item == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    results: list[Any] = list(mprun.imap(die, range(8), workers=2, errors="return"))

    assert [0, 1, 2, 4, 5, 6, 7] == [each for each in results if not isinstance(each, mprun.MapFailure)]
    assert "killed by SIGKILL, at attempt 2" in str(results[3].error)


def test_an_item_that_takes_too_long_is_lost() -> None:
    def hang(item: int) -> int:
        time.sleep(30 if item == 1 else 0)
        return item

    results: list[Any] = list(mprun.imap(hang, range(3), workers=1, timeout=0.2, errors="return"))

    assert "timed out after 200ms" in str(results[1].error)


def test_what_fails_is_tried_again_as_often_as_is_asked_for() -> None:
    calls: dict[int, int] = {}  # in the one worker

    def flaky(item: int) -> int:
        calls[item] = calls.get(item, 0) + 1
        if calls[item] < 3:
            raise OSError("not yet")
        return calls[item]

    assert [3, 3] == list(mprun.imap(flaky, range(2), workers=1, retry=2))


def test_an_error_of_the_items_comes_up_as_it_is() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("the items' own")

    with pytest.raises(KeyError, match="the items' own"):
        list(mprun.imap(str, items(), workers=2))


def test_several_run_at_the_same_time_and_one_inside_the_other() -> None:
    def inner(item: int) -> int:
        return sum(mprun.imap(lambda each: each + item, range(3), workers=1))

    several = zip(mprun.imap(inner, range(3), workers=2), mprun.imap(str, range(3), workers=2), strict=True)

    assert [(3, "0"), (6, "1"), (9, "2")] == list(several)


def test_it_runs_in_a_thread_that_is_not_the_main_one() -> None:
    results: list[str] = []
    thread = threading.Thread(target=lambda: results.extend(mprun.imap(str, range(5), workers=2)))
    thread.start()
    thread.join(60)

    assert ["0", "1", "2", "3", "4"] == results


def test_it_runs_in_threads_of_an_executor_side_by_side() -> None:
    def total(factor: int) -> int:
        return sum(mprun.imap(lambda x: x * factor, range(10), workers=1))

    with ThreadPoolExecutor(3) as executor:
        assert [45, 90, 135] == list(executor.map(total, [1, 2, 3]))


def _total_in_pool(factor: int) -> int:
    return sum(mprun.imap(lambda x: x * factor, range(10), workers=1))


def test_it_runs_in_a_daemonic_process_of_multiprocessing() -> None:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert [45, 90] == pool.map(_total_in_pool, [1, 2])
        pool.close()
        pool.join()


def test_a_copy_in_a_forked_process_ends_nothing() -> None:
    results = mprun.imap(lambda x: x, range(100), workers=1)
    next(results)
    if (child := os.fork()) == 0:
        results.close()
        os._exit(0)
    os.waitpid(child, 0)

    assert sum(range(100)) == sum(results)


def test_what_the_function_prints_comes_out_in_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    list(mprun.imap(lambda item: print("steaming", item), range(3), workers=1))

    assert "steaming 0\nsteaming 1\nsteaming 2\n" == capsys.readouterr().out


def test_what_the_program_has_open_is_open_in_its_workers(tmp_path: Path) -> None:
    with (tmp_path / "notes").open("a", encoding="utf-8") as notes:

        def note(item: int) -> int:
            notes.write(f"{item}\n")
            notes.flush()
            return notes.fileno()

        assert [notes.fileno()] * 3 == list(mprun.imap(note, range(3), workers=1))

    assert "0\n1\n2\n" == (tmp_path / "notes").read_text()


def test_big_arrays_go_both_ways_and_stay_as_they_were() -> None:
    arrays = [np.full(200_000, number) for number in range(12)]

    results = list(mprun.imap(lambda array: array + 1, arrays, workers=2))

    assert [number + 1 for number in range(12)] == [int(each.min()) for each in results]
    assert all((each == each[0]).all() for each in results)


def test_without_workers_the_function_is_called_here() -> None:
    assert [os.getpid()] * 2 == list(mprun.imap(lambda _: os.getpid(), range(2), workers=0))
    assert [0, 1, 3] == list(mprun.imap(_raise_at_two, range(4), workers=0, errors="skip"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"workers": -1}, "`workers` is at least 0"),
        ({"workers": "4"}, "`workers` is an integer, not '4' of type str"),
        ({"ordered": "no"}, "`ordered` is True or False, not 'no' of type str"),
        ({"errors": "ignore"}, "`errors` is one of raise, skip, return, not 'ignore'"),
        ({"ahead": 0}, "`ahead` is at least 1"),
        ({"timeout": 0}, "`timeout` is a number of seconds above 0"),
        ({"retry": True}, "`retry` is an integer"),
        ({"function": 3}, "3 of type int can't be called"),
        ({"items": 3}, "imap takes items from what can be iterated over"),
        ({"function": _raise_at_two.__get__, "items": None}, "imap takes items from"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_at_once(given: dict[str, Any], message: str) -> None:
    function, items = given.pop("function", str), given.pop("items", [1])

    with pytest.raises((TypeError, ValueError), match=message.replace("(", r"\(")):
        mprun.imap(function, items, **given)


def test_a_generator_function_is_refused_since_nothing_of_it_could_come_back() -> None:
    def several(item: int) -> Iterator[int]:
        yield item

    with pytest.raises(TypeError, match="returns a generator"):
        mprun.imap(several, [1])
