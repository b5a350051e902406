"""The state of a handler, taken from one instance and given to another."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections import Counter, defaultdict, deque
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import HandlerError
from runner.handlers.checkpoint import capture, keep_attributes_quick, restore

MOST = 1 << 20


class Total:
    def __init__(self, start: int = 0) -> None:
        self.total = start


class Connected:
    """Makes its connection anew."""

    def __init__(self) -> None:
        self.rows = sqlite3.connect(":memory:")
        self.total = 0

    def __getstate__(self) -> dict[str, int]:
        return {"total": self.total}

    def __del__(self) -> None:
        self.rows.close()


class Renamed:
    def __init__(self) -> None:
        self.total = 0

    def __getstate__(self) -> int:
        return self.total

    def __setstate__(self, state: int) -> None:
        self.total = state


class Slotted:
    __slots__ = ("total",)

    def __init__(self) -> None:
        self.total = 0


class Tally(Counter[str]):
    word = "tally"


class Seen(set[int]):
    pass


class Rows(list[int]):
    def __init__(self) -> None:
        super().__init__([1])
        self.name = "rows"


class Table(dict[str, int]):
    pass


class Window(deque[int]):
    def __init__(self) -> None:
        super().__init__(maxlen=3)


class Top(Counter[str]):
    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most


class Reduced:
    def __init__(self, total: int = 0) -> None:
        self.total = total

    def __reduce__(self) -> tuple[type[Reduced], tuple[int]]:
        return Reduced, (self.total,)


class Child:
    def __init__(self, parent: object) -> None:
        self.parent = parent


class Parent:
    def __init__(self) -> None:
        self.children = [Child(self)]
        self.call = self.add

    def add(self) -> None:
        self.children.append(Child(self))


class Unpicklable:
    def __init__(self) -> None:
        self.total = 0
        self.lock = threading.Lock()


class Raising:
    def __getstate__(self) -> object:
        raise ValueError("not now")


class Leaving:
    """By its `__getstate__`, and by that of a part."""

    def __getstate__(self) -> object:
        sys.exit(0)


class Holding:
    def __init__(self) -> None:
        self.part = Leaving()


def test_the_successor_has_what_the_predecessor_had() -> None:
    total = Total()
    total.total, built = 7, Total()

    restored = restore(built, capture(total, MOST))

    assert (built, 7) == (restored, built.total)


def test_what_a_class_leaves_out_is_made_anew() -> None:
    connected, built = Connected(), Connected()
    connected.total = 7

    restore(built, capture(connected, MOST))

    assert (7, (1,)) == (built.total, built.rows.execute("select 1").fetchone())


@pytest.mark.parametrize("kind", [Renamed, Slotted])
def test_its_own_way_is_respected(kind: type[Any]) -> None:
    one, other = kind(), kind()
    one.total = 7

    restore(other, capture(one, MOST))

    assert 7 == other.total


@pytest.mark.parametrize(
    ("made", "filled"),
    [
        (Rows, lambda each: each.append(2)),
        (Table, lambda each: each.update(a=1)),
        (lambda: Top(3), lambda each: each.update("ab")),
        (Tally, lambda each: each.update("ab")),
        (Seen, lambda each: each.add(3)),
        (Window, lambda each: each.extend(range(5))),
    ],
    ids=["list", "dict", "Counter with its own __init__", "Counter", "set", "deque"],
)
def test_a_container_has_what_was_in_it(made: Any, filled: Any) -> None:
    one = made()
    filled(one)

    restored = restore(made(), capture(one, MOST))

    assert (type(one), one, vars(one)) == (type(restored), restored, vars(restored))


def test_what_says_itself_how_it_is_made_anew_is_made_so() -> None:
    restored = restore(Reduced(), capture(Reduced(7), MOST))

    assert isinstance(restored, Reduced)
    assert 7 == restored.total


def test_what_leads_back_to_the_instance_leads_to_its_successor() -> None:
    parent, built = Parent(), Parent()
    parent.call()

    restore(built, capture(parent, MOST))
    built.call()

    assert [built] * 3 == [child.parent for child in built.children]


def test_what_is_given_to_each_is_its_own() -> None:
    one, other, lock, others_lock = Unpicklable(), Unpicklable(), threading.Lock(), threading.Lock()
    one.lock, other.lock = lock, others_lock

    restore(other, capture(one, MOST, {"lock": lock}), {"lock": others_lock})

    assert others_lock is other.lock


@pytest.mark.parametrize(
    ("instance", "message"),
    [
        (
            Unpicklable(),
            "`state: checkpoint`: Unpicklable can't be pickled: `self.lock` (_thread.lock): TypeError: cannot pickle "
            "'_thread.lock' object; leave it out in `__getstate__`, and make it anew in `__setstate__`",
        ),
        (Leaving(), "`state: checkpoint`: Leaving can't be pickled: SystemExit: 0"),
        (
            Holding(),
            f"`state: checkpoint`: Holding can't be pickled: `self.part` ({__name__}.Leaving): SystemExit: 0; "
            "leave it out in `__getstate__`, and make it anew in `__setstate__`",
        ),
        (Raising(), "`state: checkpoint`: Raising can't be pickled: ValueError: not now"),
    ],
)
def test_what_cannot_be_pickled_is_named(instance: object, message: str) -> None:
    with pytest.raises(HandlerError) as caught:
        capture(instance, MOST)

    assert message == str(caught.value)


def test_a_part_that_makes_a_class_in_a_function_is_named() -> None:
    total: Any = Total()
    total.by_word = defaultdict(lambda: 0)

    with pytest.raises(HandlerError, match=r"`self.by_word` \(collections.defaultdict\)"):
        capture(total, MOST)


def test_a_state_that_is_too_big_is_told_with_its_size() -> None:
    total: Any = Total()
    total.text = "x" * 3000

    with pytest.raises(HandlerError, match=r"the state of Total is 3KiB, and `most` allows 1KiB"):
        capture(total, 1024)


@given(st.dictionaries(st.text(), st.integers() | st.lists(st.text())))
def test_any_state_comes_through(state: dict[str, object]) -> None:
    one = Total()
    one.__dict__.update(state)
    other = Total()

    restore(other, capture(one, MOST))

    assert vars(one) == vars(other)


class Plain:
    def __init__(self) -> None:
        self.total, self.rows = 7, [1]


class Borg:
    shared: ClassVar[dict[str, object]] = {"total": 7}

    def __init__(self) -> None:
        self.__dict__ = self.shared


class Slotted:
    __slots__ = ("total",)

    def __init__(self) -> None:
        self.total = 7


class Closed(Plain):
    def __setattr__(self, name: str, value: object) -> None:
        if name == "__dict__":
            raise AttributeError(name)
        super().__setattr__(name, value)


class Another(Plain):
    @property
    def __dict__(self) -> dict[str, object]:  # type: ignore[override]
        return {"total": 0}


@pytest.mark.parametrize("cls", [Plain, Borg, Slotted, Closed, Another])
def test_an_instance_with_another_table_has_the_attributes_that_it_had(
    monkeypatch: pytest.MonkeyPatch, cls: type[Any]
) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    instance = cls()

    keep_attributes_quick(instance)
    instance.total += 1

    assert 8 == instance.total
    assert cls is not Plain or {"total": 8, "rows": [1]} == vars(instance)


@pytest.mark.parametrize("holds", [False, True])
def test_a_table_that_somebody_else_holds_stays_the_instance_s(
    monkeypatch: pytest.MonkeyPatch, holds: bool
) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    instance = Plain()
    held = vars(instance) if holds else None
    before = id(vars(instance))

    keep_attributes_quick(instance)

    instance.total += 1
    assert held is None or held["total"] == 8
    assert holds is (before == id(vars(instance)))


def test_a_table_that_another_thread_may_write_to_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 2)
    instance = Plain()
    before = id(vars(instance))

    keep_attributes_quick(instance)

    assert before == id(vars(instance))
