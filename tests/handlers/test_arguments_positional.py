"""`args`: values by place find their parameters, before a run and in the worker alike."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.handlers.arguments import HandlerShape, Parameter, ParameterKind, Signature, match_positional
from runner.handlers.kinds import Driver, Mapper, Source, Task, WorkerContext
from runner.handlers.python import bind
from runner.loader.checks.handlers import check_handler
from runner.spec.model import HandlerRef, Role

SOURCE = """
from multiprocessing import Process
from pathlib import Path

def bake(name, buns: int = 1, *, oven="hot"):
    return name, buns, oven

def weigh(worker, name, file: Path):
    return worker.name, name, file

def only(name, buns, /):
    return name, buns

def many(name, *rest):
    return name, rest

def after(worker, *rest):
    return rest

def steam(first, second):
    yield first
    yield second

def eat(item, factor: int, worker):
    return item * factor

def drive(name, queue):
    queue.append(name)

class Chef(Process):
    def __init__(self, name, buns):
        super().__init__(name=name)
        self.buns = buns
    def run(self):
        return self.name, self.buns
"""


@pytest.fixture
def kitchen(tmp_path: Path) -> Path:
    (tmp_path / "placing.py").write_text(SOURCE)
    return tmp_path


def context(folder: Path, role: Role) -> WorkerContext:
    return WorkerContext("neo", "chef", os.getpid(), os.getppid(), beside=str(folder), role=role)


def checked(
    folder: Path, handler: str, args: list[Any], role: Role, **named: Any
) -> list[tuple[object, str]]:
    faults = check_handler(HandlerRef("python", f"placing:{handler}"), named, role, folder, places=args)
    return [(fault.where, fault.message) for fault in faults]


@pytest.mark.parametrize(
    ("name", "args", "named", "expected"),
    [
        ("bake", ["neo"], {}, ("neo", 1, "hot")),
        ("bake", ["neo", 3], {"oven": "cold"}, ("neo", 3, "cold")),
        ("bake", ["neo"], {"buns": 2}, ("neo", 2, "hot")),
        ("weigh", ["bun", "a.txt"], {}, ("neo", "bun", Path("a.txt"))),
        ("only", ["neo", 3], {}, ("neo", 3)),
        ("many", ["neo", 1, 2], {}, ("neo", (1, 2))),
        ("many", ["neo"], {}, ("neo", ())),
        ("Chef", ["alex", 3], {}, ("alex", 3)),
    ],
)
def test_a_plain_handler_gets_what_is_meant(
    name: str, args: list[Any], named: dict[str, Any], expected: object, kitchen: Path
) -> None:
    handler = bind(f"placing:{name}", named, context(kitchen, Role.PLAIN), args)

    assert isinstance(handler, Task)
    assert ([], expected) == (checked(kitchen, name, args, Role.PLAIN, **named), handler.call())


def _items(handler: object) -> object:
    assert isinstance(handler, Source)
    return list(handler.items())


def _called(handler: object) -> object:
    assert isinstance(handler, Mapper)
    return handler.call(4)


def _driven(handler: object) -> object:
    assert isinstance(handler, Driver)
    queue: list[object] = []
    handler.call(queue, None)  # type: ignore[arg-type]
    return queue


@pytest.mark.parametrize(
    ("name", "args", "role", "use", "expected"),
    [
        ("steam", ["a", "b"], Role.PRODUCER, _items, ["a", "b"]),
        ("eat", [3], Role.CONSUMER, _called, 12),
        ("drive", ["egon"], Role.CONSUMER, _driven, ["egon"]),
    ],
)
def test_what_mprun_fills_is_left_out(
    name: str, args: list[Any], role: Role, use: Callable[[object], object], expected: object, kitchen: Path
) -> None:
    handler = bind(f"placing:{name}", {}, context(kitchen, role), args)

    assert ([], expected) == (checked(kitchen, name, args, role), use(handler))


@pytest.mark.parametrize(
    ("name", "args", "named", "expected"),
    [
        ("bake", ["neo", 3, 4], {}, [(("args", 2), "bake() takes 2 arguments by place, got 3")]),
        ("weigh", ["bun", "a", "b"], {}, [(("args", 2), "weigh() takes 2 arguments by place, got 3")]),
        ("bake", ["neo", "x"], {}, [(("args", 1), "bake() takes 'buns' as int, got the text 'x'")]),
        (
            "bake",
            ["neo"],
            {"name": "alex"},
            [(("with", "name"), "bake() gets 'name' twice: by place in `args`, and here by name")],
        ),
        (
            "only",
            ["neo"],
            {},
            [(("run",), "only() needs 'buns' by place only, and `with` gives arguments by name")],
        ),
        ("Chef", ["alex"], {}, [(("run",), "Chef needs an argument 'buns'")]),
        (
            "after",
            [1],
            {},
            [
                (
                    ("args", 0),
                    "after() gets 'worker' from mprun, so what goes to its `*` can't be told by place",
                )
            ],
        ),
    ],
)
def test_what_has_no_place_is_refused_where_it_stands(
    name: str, args: list[Any], named: dict[str, Any], expected: list[tuple[object, str]], kitchen: Path
) -> None:
    assert expected == checked(kitchen, name, args, Role.PLAIN, **named)


def test_kinds_take_none(tmp_path: Path) -> None:
    (fault,) = check_handler(HandlerRef("command", "command", "ls"), {}, Role.PLAIN, tmp_path, places=[1])

    assert (("args",), "`args` is for handlers in Python; 'command' takes none") == (
        fault.where,
        fault.message,
    )


def test_what_has_a_name_is_handed_over_by_it() -> None:
    kinds = (ParameterKind.POSITIONAL_ONLY, ParameterKind.POSITIONAL, ParameterKind.KEYWORD_ONLY)
    parameters = tuple(Parameter(name, kind) for name, kind in zip("abc", kinds, strict=True))

    split = match_positional(Signature(HandlerShape.FUNCTION, parameters), Role.PLAIN, [1, 2])

    assert ((1,), {"b": 2}) == (split.front, split.names)
