"""The pages of all workers in one file: apart for workers, and found again by the supervisor."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from runner.ipc.status_page import StatusPage, Word
from runner.ipc.status_pages import StatusPages


@pytest.fixture
def pages() -> Iterator[StatusPages]:
    made = StatusPages()
    yield made
    made.close()


def in_a_child(main: Callable[[], None]) -> int:
    """Run `main` in a fork; return 0 if it raised nothing."""
    child = os.fork()
    if not child:
        try:
            main()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def close_all(pages: StatusPages, *given: StatusPage) -> None:
    for page in given:
        pages.take_back(page)


def test_a_worker_has_its_own_page_and_no_other(pages: StatusPages) -> None:
    own, other = pages.give(), pages.give()
    other.words[Word.DONE] = 7
    own.words[Word.STOP] = 1

    def live() -> None:
        pages.keep_only(own)
        assert (1, 0) == (own.words[Word.STOP], other.words[Word.DONE])
        own.words[Word.DONE] = 3
        own.set_item("neo的包子")
        other.words[Word.DONE] = 41

    code = in_a_child(live)

    assert (0, 3, "neo的包子", 7) == (code, own.words[Word.DONE], own.item, other.words[Word.DONE])
    close_all(pages, own, other)


def test_what_a_worker_forks_writes_to_a_copy_of_its_page(pages: StatusPages) -> None:
    other, own = pages.give(), pages.give()

    def live() -> None:
        pages.keep_only(own)
        own.words[Word.DONE] = 3
        assert 0 == in_a_child(lambda: (own.become_private(), own.add(Word.DONE))[0])
        assert 3 == own.words[Word.DONE]

    code = in_a_child(live)

    assert (0, 3) == (code, own.words[Word.DONE])
    close_all(pages, other, own)


def test_a_page_that_is_given_again_says_nothing(pages: StatusPages) -> None:
    given = [pages.give() for _ in range(1024)]
    for page in given:
        page.words[Word.DONE] = 1
    close_all(pages, *given)

    again = [pages.give() for _ in range(1030)]

    assert {0} == {page.words[Word.DONE] for page in again}
    assert 1030 == len({page.offset for page in again})
    close_all(pages, *again)


def test_however_many_pages_there_are_one_descriptor_is_open(pages: StatusPages) -> None:
    first = pages.give()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - nothing but their number

    given = [pages.give() for _ in range(100)]

    assert before == len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    close_all(pages, first, *given)
