"""The check of `run` and `with`: each rule by a handler that breaks it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from runner.handlers.inspection.signatures import read_signature
from runner.loader.checks.handlers import INJECTED, Fault, check_handler
from runner.spec.model import HandlerRef, Role

KITCHEN = """
from multiprocessing import Process

def steam(buns: int, seconds: float = 1.0):
    for n in range(buns):
        yield n

def eat(bun, seconds: float = 1.0, *, worker): ...
def eat_late(worker, bun): ...
def nothing(): ...
def anything(item, **options): ...
def by_place(size, /): ...
def drive(queue, seconds=1): ...
def both(inbox, outbox): ...
def half(inbox): ...
def drip(queue):
    yield 1
def out(outbox): ...

class Table:
    def __init__(self, top: int = 20): ...
    def __call__(self, counts): ...
class Lister:
    def __iter__(self): ...
class Runner:
    def run(self): ...
class Greedy:
    def __call__(self, item, spoon): ...
class Idle: ...
class Asking:
    def __init__(self, queue): ...
    def __call__(self, item): ...
class Chef(Process):
    def __init__(self, name): ...
    def run(self): ...
"""


@pytest.fixture
def kitchen(tmp_path: Path) -> Path:
    (tmp_path / "kitchen.py").write_text(KITCHEN)
    return tmp_path


def check(folder: Path, name: str, role: Role, arguments: Mapping[str, Any] | None = None) -> list[Fault]:
    return check_handler(HandlerRef("python", f"kitchen:{name}"), arguments or {}, role, folder)


@pytest.mark.parametrize(
    ("name", "role", "arguments"),
    [
        ("steam", Role.PRODUCER, {"buns": 3}),
        ("nothing", Role.PRODUCER, {}),
        ("drive", Role.PRODUCER, {"seconds": 2}),
        ("out", Role.PRODUCER, {}),
        ("Lister", Role.PRODUCER, {}),
        ("eat", Role.CONSUMER, {"seconds": 2}),
        ("eat_late", Role.CONSUMER, {}),
        ("eat", Role.PIPE, {}),
        ("by_place", Role.PIPE, {}),
        ("anything", Role.PIPE, {"salt": 1, "pepper": 2}),
        ("drive", Role.CONSUMER, {}),
        ("half", Role.CONSUMER, {}),
        ("both", Role.PIPE, {}),
        ("Table", Role.CONSUMER, {"top": 3}),
        ("Table", Role.PLAIN, {}),
        ("nothing", Role.PLAIN, {}),
        ("Runner", Role.PLAIN, {}),
        ("Chef", Role.PLAIN, {"name": "neo"}),
    ],
)
def test_what_fits_has_no_fault(kitchen: Path, name: str, role: Role, arguments: Mapping[str, Any]) -> None:
    assert check(kitchen, name, role, arguments) == []


@pytest.mark.parametrize(
    ("name", "role", "message"),
    [
        ("nothing", Role.CONSUMER, "nothing() takes no item, and a consumer calls it with each"),
        ("nothing", Role.PIPE, "nothing() takes no item, and a pipe calls it with each"),
        ("Lister", Role.CONSUMER, "class Lister has no __call__, and a consumer calls it with each item"),
        ("Greedy", Role.CONSUMER, "the __call__ of Greedy needs 'spoon' besides the item"),
        ("Idle", Role.PRODUCER, "class Idle makes no items"),
        ("Idle", Role.PLAIN, "class Idle has nothing to run"),
        ("Asking", Role.CONSUMER, "Asking is a class and asks for 'queue'"),
        ("drive", Role.PLAIN, "drive() asks for 'queue', and a plain stage has no queue"),
        ("drive", Role.PIPE, "drive() asks for 'queue', and a pipe stage has two"),
        ("half", Role.PIPE, "half() drives its queues and does not ask for 'outbox'"),
        ("half", Role.PRODUCER, "half() asks for 'inbox', and a producer only writes"),
        ("out", Role.CONSUMER, "out() asks for 'outbox', and a consumer only reads"),
        ("drip", Role.PRODUCER, "drip() both yields items and asks for its queue"),
    ],
)
def test_a_handler_that_does_not_fit_its_role(kitchen: Path, name: str, role: Role, message: str) -> None:
    (fault,) = check(kitchen, name, role)

    assert (fault.where, fault.part, fault.code, fault.message) == (
        ("run",),
        "value",
        "handler-role",
        message,
    )
    assert fault.help


def test_a_generator_in_a_plain_stage_has_nowhere_to_put_its_items(kitchen: Path) -> None:
    (fault,) = check(kitchen, "steam", Role.PLAIN, {"buns": 3})

    assert fault.code == "handler-role"


@pytest.mark.parametrize("role", [Role.PRODUCER, Role.CONSUMER, Role.PIPE])
def test_a_process_subclass_is_for_plain_stages(kitchen: Path, role: Role) -> None:
    (fault,) = check(kitchen, "Chef", role, {"name": "neo"})

    assert fault.code == "handler-role"


def test_a_misspelt_argument_is_one_fault(kitchen: Path) -> None:
    """That `buns` is missing follows from `bunz`, so it is not said as well."""
    faults = check(kitchen, "steam", Role.PRODUCER, {"bunz": 3})

    message = "steam() takes no argument 'bunz'"
    assert faults == [Fault(("with", "bunz"), "key", "unknown-argument", message, "did you mean 'buns'?")]


@pytest.mark.parametrize(
    ("name", "role", "key", "help"),
    [
        ("steam", Role.PRODUCER, "pepper", "known here: buns, seconds"),
        ("nothing", Role.PRODUCER, "pepper", "it takes none"),
        ("Table", Role.CONSUMER, "tip", "did you mean 'top'?"),
    ],
)
def test_an_unknown_argument_is_told_what_there_is(
    kitchen: Path, name: str, role: Role, key: str, help: str
) -> None:
    faults = check(kitchen, name, role, {key: 1, **({"buns": 1} if name == "steam" else {})})

    assert [(fault.where, fault.help) for fault in faults] == [(("with", key), help)]


@pytest.mark.parametrize(
    ("arguments", "where", "part", "help"),
    [
        ({}, ("run",), "value", "add `with: {buns: …}`"),
        ({"seconds": 1}, ("with",), "key", "add `buns:` under `with`"),
    ],
)
def test_a_missing_argument(
    kitchen: Path, arguments: Mapping[str, Any], where: tuple[str, ...], part: str, help: str
) -> None:
    (fault,) = check(kitchen, "steam", Role.PRODUCER, arguments)

    expected = (where, part, "missing-argument", "steam() needs an argument 'buns'", help)
    assert (fault.where, fault.part, fault.code, fault.message, fault.help) == expected


def test_what_goes_by_place_only_cannot_come_from_a_mapping(kitchen: Path) -> None:
    (fault,) = check(kitchen, "by_place", Role.PLAIN)

    assert fault.message == "by_place() needs 'size' by place only, and `with` gives arguments by name"


def test_a_value_of_the_wrong_type(kitchen: Path) -> None:
    (fault,) = check(kitchen, "steam", Role.PRODUCER, {"buns": "three"})

    expected = (
        ("with", "buns"),
        "value",
        "wrong-argument-type",
        "steam() takes 'buns' as int, got the text 'three'",
    )
    assert (fault.where, fault.part, fault.code, fault.message) == expected


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("worker", "'worker' is given by mprun, so `with` can't set it"),
        ("bun", "'bun' is the item that eat() is called with, so `with` can't set it"),
    ],
)
def test_what_the_worker_fills_is_not_for_with(kitchen: Path, key: str, message: str) -> None:
    (fault,) = check(kitchen, "eat", Role.CONSUMER, {key: 1})

    assert (fault.where, fault.part, fault.message) == (("with", key), "key", message)


def test_an_item_cannot_be_set_even_where_any_name_will_do(kitchen: Path) -> None:
    (fault,) = check(kitchen, "anything", Role.CONSUMER, {"item": 1})

    assert fault.where == ("with", "item")


def test_several_faults_come_at_once(kitchen: Path) -> None:
    faults = check(kitchen, "steam", Role.PRODUCER, {"seconds": "long", "pepper": 1})

    assert {fault.code for fault in faults} == {"unknown-argument", "missing-argument", "wrong-argument-type"}


def test_a_handler_that_is_not_there(kitchen: Path) -> None:
    (fault,) = check(kitchen, "steem", Role.PRODUCER)

    expected = (("run",), "value", "handler-not-found", "kitchen.py has no 'steem'", "did you mean 'steam'?")
    assert (fault.where, fault.part, fault.code, fault.message, fault.help) == expected


def test_what_cannot_be_read_is_not_checked(tmp_path: Path) -> None:
    (tmp_path / "kitchen.py").write_text("steam = print if 1 else 2")

    assert check(tmp_path, "steam", Role.PLAIN, {"anything": 1}) == []


def test_a_handler_that_many_stages_share_can_be_read_once(kitchen: Path) -> None:
    read = functools.cache(read_signature)
    ref = HandlerRef("python", "kitchen:steam")

    for _ in range(5):
        check_handler(ref, {"buns": 1}, Role.PRODUCER, kitchen, read)

    assert read.cache_info().misses == 1


@pytest.mark.parametrize(
    ("kind", "role", "arguments", "expected"),
    [
        ("lines", Role.PRODUCER, {}, []),
        ("command", Role.PIPE, {}, []),
        ("lines", Role.CONSUMER, {}, [(("run",), "handler-role")]),
        ("jsonl", Role.PIPE, {}, [(("run",), "handler-role")]),
        ("lines", Role.PRODUCER, {"path": "x"}, [(("with",), "unknown-argument")]),
        ("linez", Role.PRODUCER, {}, [(("run",), "handler-not-found")]),
    ],
)
def test_a_kind_has_its_roles_and_no_with(
    kind: str, role: Role, arguments: Mapping[str, Any], expected: list[tuple[tuple[str, ...], str]]
) -> None:
    faults = check_handler(HandlerRef(kind, kind), arguments, role, Path())

    assert [(fault.where, fault.code) for fault in faults] == expected


DOOR = """
def talk(conn, address, *, size: int = 1): ...
def greet(conn, board): ...
def answer(line, size: int = 1): ...
def nothing(): ...
def drive(queue): ...
def spell(conn):
    yield 1
class Answer:
    def __init__(self, size: int = 1): ...
    def __call__(self, line): ...
"""
HANDLER = ("run", "serve", "handler")


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("talk", {}, []),
        ("talk", {"size": 2}, []),
        ("talk", {"size": "x"}, [(("with", "size"), "wrong-argument-type")]),
        ("talk", {"conn": 1}, [(("with", "conn"), "unknown-argument")]),
        ("greet", {}, []),
        ("answer", {"size": 2}, []),
        ("answer", {"line": 2}, [(("with", "line"), "unknown-argument")]),
        ("Answer", {"size": 2}, []),
        ("nothing", {}, [(HANDLER, "handler-role")]),
        ("drive", {}, [(HANDLER, "handler-role")]),
        ("spell", {}, [(HANDLER, "handler-role")]),
        ("tallk", {}, [(HANDLER, "handler-not-found")]),
    ],
)
def test_what_a_server_calls_is_checked_like_any_handler(
    name: str, arguments: Mapping[str, Any], expected: list[tuple[tuple[str, ...], str]], tmp_path: Path
) -> None:
    (tmp_path / "door.py").write_text(DOOR)
    ref = HandlerRef("serve", "serve", {"handler": f"door:{name}"})

    faults = check_handler(ref, arguments, Role.PLAIN, tmp_path, declared={"board": "shared dict"})

    assert expected == [(fault.where, fault.code) for fault in faults]


def test_what_mprun_gives_is_written_down() -> None:
    assert frozenset({"worker", "queue", "inbox", "outbox"}) == INJECTED


def test_a_class_that_wants_its_worker_with_each_item_is_told_where_to_have_it(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("class Eater:\n    def __call__(self, item, worker): ...\n")

    (fault,) = check_handler(HandlerRef("python", "own:Eater"), {}, Role.CONSUMER, tmp_path)

    assert fault.help == "let __init__ have 'worker', and keep it: self.worker"
