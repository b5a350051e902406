"""Binding in the worker: each form of handler, called as a worker calls it."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from runner.errors import HandlerError, HandlerNotFound
from runner.handlers.checkpoint import capture
from runner.handlers.kinds import Driver, Handler, Mapper, Source, Task, WorkerContext
from runner.handlers.python import bind, resumed
from runner.spec.model import Role

KITCHEN = """
import asyncio
import multiprocessing
from collections.abc import Mapping
from pathlib import Path

def steam(buns, worker):
    for n in range(buns):
        yield f"{worker.name}-{n}"
def listed(n=2): return list(range(n))
def none(): return None
def text(): return "abc"
def count(): return 3
def endless(): yield 1

def eat(bun): return bun + 1
def season(item, salt=0, *, worker): return item, salt, worker.name
def late(worker, item): return worker.stage, item
def pairs(item):
    yield item
    yield item

def drive(queue, n=1): return queue, n
def both(outbox, inbox): return inbox, outbox
def once(n=1): return n
def paths(path: Path, size: tuple[int, ...], names: "set[str]"): return path, size, names

class Table:
    closed = 0
    def __init__(self, top=20): self.top = top
    def __call__(self, item): return self.top, item
    def close(self): self.closed += 1
class Lister:
    def __init__(self, n): self.n = n
    def __iter__(self): return iter(range(self.n))
class Maker:
    def __call__(self): return [1, 2]
class Resumed:
    def __init__(self, n): self.n = n
    def __call__(self, offset):
        yield from range(offset, self.n)
class Runner:
    def run(self): return "ran"
class Chef(multiprocessing.Process):
    def __init__(self, buns, name=None):
        super().__init__(name=name)
        self.buns = buns
    def run(self):
        here = multiprocessing.current_process()
        return here is self, self.name, self.pid, self.is_alive(), self.buns

def logs(item, worker): worker.log.info("bun.eaten", number=item)
async def wait(queue): ...
async def later(item):
    await asyncio.sleep(0)
    return item * 2
async def several(n):
    for number in range(n):
        await asyncio.sleep(0)
        yield number
class Later:
    def __init__(self): self.loop = asyncio.get_running_loop()
    async def __call__(self, item): return self.loop is asyncio.get_running_loop()
    async def close(self): self.closed = True
VALUE = 3
built = [eat][0]
"""


@pytest.fixture
def kitchen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "kitchen.py").write_text(KITCHEN)
    yield tmp_path
    sys.modules.pop("kitchen", None)


def context(folder: Path, role: Role, **more: Any) -> WorkerContext:
    return WorkerContext("neo", "chef", os.getpid(), os.getppid(), beside=str(folder), role=role, **more)


def bound(folder: Path, name: str, role: Role, arguments: Mapping[str, Any] | None = None) -> Handler:
    return bind(f"kitchen:{name}", arguments or {}, context(folder, role))


@pytest.mark.parametrize(
    ("name", "arguments", "items"),
    [
        ("steam", {"buns": 2}, ["neo-0", "neo-1"]),
        ("listed", {}, [0, 1]),
        ("listed", {"n": 3}, [0, 1, 2]),
        ("none", {}, []),
        ("Lister", {"n": 2}, [0, 1]),
        ("Maker", {}, [1, 2]),
    ],
)
def test_a_producer_makes_items(
    kitchen: Path, name: str, arguments: Mapping[str, Any], items: list[object]
) -> None:
    source = bound(kitchen, name, Role.PRODUCER, arguments)

    assert isinstance(source, Source)
    assert list(source.items()) == items


@pytest.mark.parametrize(("name", "got"), [("text", "str"), ("count", "int")])
def test_a_producer_that_returns_something_else_is_told(kitchen: Path, name: str, got: str) -> None:
    """A text is iterable, but nobody who returns one means its letters."""
    source = bound(kitchen, name, Role.PRODUCER)

    assert isinstance(source, Source)
    with pytest.raises(TypeError, match=rf"{name} makes items, .* got {got}"):
        source.items()


@pytest.mark.parametrize("role", [Role.CONSUMER, Role.PIPE])
@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [
        ("eat", {}, 2),
        ("season", {"salt": 3}, (1, 3, "neo")),
        ("late", {}, ("chef", 1)),
        ("Table", {"top": 5}, (5, 1)),
        ("built", {}, 2),
    ],
)
def test_a_function_or_instance_is_called_with_each_item(
    kitchen: Path, role: Role, name: str, arguments: Mapping[str, Any], result: object
) -> None:
    mapper = bound(kitchen, name, role, arguments)

    assert isinstance(mapper, Mapper)
    assert mapper.call(1) == result


def test_a_function_of_the_item_alone_is_called_with_nothing_between(kitchen: Path) -> None:
    mapper = bound(kitchen, "eat", Role.CONSUMER)

    assert isinstance(mapper, Mapper)
    assert mapper.call is sys.modules["kitchen"].eat


def test_a_class_is_built_once_and_closed(kitchen: Path) -> None:
    mapper = bound(kitchen, "Table", Role.CONSUMER)

    assert isinstance(mapper, Mapper)
    mapper.close()
    assert mapper.close.__self__.closed == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "role", "result"),
    [
        ("drive", Role.PRODUCER, ("out", 1)),
        ("drive", Role.CONSUMER, ("in", 1)),
        ("both", Role.PIPE, ("in", "out")),
    ],
)
def test_a_driver_gets_the_ends_that_it_asks_for(
    kitchen: Path, name: str, role: Role, result: object
) -> None:
    driver = bound(kitchen, name, role)

    assert isinstance(driver, Driver)
    inbox = None if role is Role.PRODUCER else "in"
    outbox = None if role is Role.CONSUMER else "out"
    assert driver.call(inbox, outbox) == result  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "result"), [("once", 1), ("Runner", "ran")])
def test_a_plain_stage_runs_once(kitchen: Path, name: str, result: object) -> None:
    task = bound(kitchen, name, Role.PLAIN)

    assert isinstance(task, Task)
    assert task.call() == result


def test_values_come_in_the_types_that_are_asked_for(kitchen: Path) -> None:
    task = bound(kitchen, "paths", Role.PLAIN, {"path": "a.txt", "size": [1, 2], "names": ["neo"]})

    assert isinstance(task, Task)
    assert task.call() == (Path("a.txt"), (1, 2), {"neo"})


@pytest.mark.parametrize(("arguments", "name"), [({}, "neo"), ({"name": "alex"}, "alex")])
def test_a_process_subclass_runs_as_this_worker(
    kitchen: Path, arguments: Mapping[str, Any], name: str
) -> None:
    before = multiprocessing.current_process()
    task = bound(kitchen, "Chef", Role.PLAIN, {"buns": 3, **arguments})

    assert isinstance(task, Task)
    assert task.call() == (True, name, os.getpid(), True, 3)
    assert multiprocessing.current_process() is before


def test_what_a_handler_logs_goes_where_the_worker_says(kitchen: Path) -> None:
    said: list[tuple[str, str, Mapping[str, Any]]] = []
    mapper = bind("kitchen:logs", {}, context(kitchen, Role.CONSUMER, emit=lambda *line: said.append(line)))

    assert isinstance(mapper, Mapper)
    mapper.call(3)
    assert said == [("info", "bun.eaten", {"number": 3})]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("kitchn:eat", "there is no module 'kitchn' beside the file or on the import path"),
        ("kitchen.oven:eat", "there is no module 'kitchen.oven'"),
        ("kitchen:eatt", "'kitchen:eatt' is not there: no 'eatt'; did you mean 'eat'"),
        ("kitchen:VALUE", "'kitchen:VALUE' is a int: it can't be called"),
    ],
)
def test_what_is_not_there_is_named(kitchen: Path, target: str, message: str) -> None:
    with pytest.raises(HandlerNotFound) as caught:
        bind(target, {}, context(kitchen, Role.CONSUMER))

    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("role", [Role.CONSUMER, Role.PIPE, Role.PLAIN])
def test_a_class_whose_instances_can_not_be_called_says_what_to_do(kitchen: Path, role: Role) -> None:
    with pytest.raises(HandlerError, match=r"the instances of int can't be called: .*return int\(item\)"):
        bind("builtins:int", {}, context(kitchen, role))


@pytest.mark.parametrize("body", ["def flush(self): yield 1", "async def flush(self): ..."])
def test_a_flush_that_does_nothing_when_it_is_called_is_refused(kitchen: Path, body: str) -> None:
    (kitchen / "kitchen.py").write_text(f"class Rows:\n    def __call__(self, item): ...\n    {body}\n")

    with pytest.raises(HandlerError, match=r"the `flush\(\)` of Rows is a generator or async"):
        bound(kitchen, "Rows", Role.PIPE)


def test_an_async_handler_is_waited_for_and_tells_what_makes_its_coroutine(kitchen: Path) -> None:
    handler = bound(kitchen, "later", Role.PIPE)

    assert isinstance(handler, Mapper)
    assert (6, True) == (handler.call(3), handler.coroutine is not None and handler.loop is not None)
    handler.close()


def test_an_async_class_is_built_on_its_loop_and_closed_there(kitchen: Path) -> None:
    handler = bound(kitchen, "Later", Role.PIPE)

    assert isinstance(handler, Mapper)
    assert handler.call(3) is True
    handler.close()
    assert getattr(handler.instance, "closed", False)


def test_an_async_producer_makes_its_items_one_by_one(kitchen: Path) -> None:
    handler = bound(kitchen, "several", Role.PRODUCER, {"n": 3})

    assert isinstance(handler, Source)
    assert [0, 1, 2] == list(handler.items())
    handler.close()


@pytest.mark.parametrize(
    ("name", "role"), [("wait", Role.CONSUMER), ("once", Role.CONSUMER), ("endless", Role.PLAIN)]
)
def test_what_does_not_fit_is_refused_also_where_the_check_could_not_see_it(
    kitchen: Path, name: str, role: Role
) -> None:
    (kitchen / "kitchen.py").write_text(KITCHEN + "\ndef once(): ...\n")

    with pytest.raises(HandlerError):
        bound(kitchen, name, role)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("1 / 0", ZeroDivisionError),
        ("import no_such_module", ModuleNotFoundError),
    ],
)
def test_what_a_module_raises_passes_through(kitchen: Path, source: str, error: type[BaseException]) -> None:
    (kitchen / "kitchen.py").write_text(source)

    with pytest.raises(error):
        bound(kitchen, "eat", Role.CONSUMER)


@pytest.mark.parametrize("code", ["", "0", "3"])
def test_a_module_that_leaves_while_it_is_imported_has_no_handler(kitchen: Path, code: str) -> None:
    (kitchen / "kitchen.py").write_text(f"import sys\ndef eat(item): ...\nsys.exit({code})\n")

    with pytest.raises(HandlerError) as raised:
        bound(kitchen, "eat", Role.CONSUMER)

    assert str(raised.value).startswith("kitchen.py called sys.exit while it was imported; guard it")


def test_a_class_that_leaves_while_it_is_given_a_state_does_not_go_on(kitchen: Path) -> None:
    source = (
        "class Eat:\n    def __setstate__(self, state): raise SystemExit(0)\n"
        "    def __call__(self, item): self.n = 1\n"
    )
    (kitchen / "kitchen.py").write_text(source)
    eat = bound(kitchen, "Eat", Role.CONSUMER)
    assert isinstance(eat, Mapper)
    eat.call(1)

    with pytest.raises(
        HandlerError, match=r"Eat called sys\.exit while it was given its predecessor's state"
    ):
        resumed(eat, capture(eat.instance, 1 << 20), context(kitchen, Role.CONSUMER))


def test_a_class_that_leaves_while_it_is_built_has_no_handler(kitchen: Path) -> None:
    source = "class Eat:\n    def __init__(self): raise SystemExit(0)\n    def __call__(self, item): ...\n"
    (kitchen / "kitchen.py").write_text(source)

    with pytest.raises(HandlerError, match=r"Eat called sys\.exit while it was built"):
        bound(kitchen, "Eat", Role.CONSUMER)


def test_a_handler_finds_its_own_neighbours(kitchen: Path, make_neighbour: Callable[[str], None]) -> None:
    make_neighbour("def salt(): return 'salt'")
    (kitchen / "kitchen.py").write_text("from pantry_of_this_test import salt\ndef once(): return salt()")

    task = bound(kitchen, "once", Role.PLAIN)

    assert isinstance(task, Task)
    assert task.call() == "salt"


@pytest.fixture
def make_neighbour(kitchen: Path) -> Iterator[Callable[[str], None]]:
    def make(source: str) -> None:
        (kitchen / "pantry_of_this_test.py").write_text(source)

    yield make
    sys.modules.pop("pantry_of_this_test", None)


def test_two_workflows_in_one_process_may_have_modules_of_one_name(kitchen: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "kitchen.py").write_text("def once(n=2): return n")
    bound(kitchen, "once", Role.PLAIN)

    task = bound(other, "once", Role.PLAIN)

    assert isinstance(task, Task)
    assert task.call() == 2


def test_a_class_that_makes_items_may_ask_for_its_offset_when_it_is_called(kitchen: Path) -> None:
    source = bind("kitchen:Resumed", {"n": 5}, context(kitchen, Role.PRODUCER, offset=3))

    assert isinstance(source, Source)
    assert [3, 4] == list(source.items())
