"""`lock` of a stage: handlers that would wait for ever under it are refused, without running any of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.loader.checks.handlers import asks, check_locked, may_drive
from runner.spec.model import HandlerRef, StageSpec

SOURCE = """\
import functools

def turn(item):
    return item

def drive(queue):
    queue.get()

def ask(item, mutex):
    return item

class Oven:
    def __init__(self, mutex): ...
    def __call__(self, item): ...

@functools.wraps(turn)
def hidden(*args): ...
"""


def stage(target: str, lock: str | None = "mutex") -> StageSpec:
    handler = HandlerRef("command", "command", "ls") if target == "command" else HandlerRef("python", target)
    return StageSpec("cook", handler, receives="raw", lock=lock)


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    (tmp_path / "locked.py").write_text(SOURCE)
    return tmp_path


@pytest.mark.parametrize(
    ("target", "lock", "expected"),
    [
        ("locked:turn", "mutex", []),
        ("locked:ask", "stove", []),
        ("locked:ask", None, []),
        ("locked:missing", "mutex", []),
        ("locked:hidden", "mutex", []),
        ("command", "mutex", []),
        (
            "locked:drive",
            "mutex",
            ["drives its queue by itself, and would hold the lock while it waits there"],
        ),
        ("locked:ask", "mutex", ["asks for 'mutex' itself, and would wait for itself under `lock: mutex`"]),
        ("locked:Oven", "mutex", ["asks for 'mutex' itself, and would wait for itself under `lock: mutex`"]),
    ],
)
def test_a_handler_may_not_wait_for_others_or_for_itself_under_the_lock(
    target: str, lock: str | None, expected: list[str], beside: Path
) -> None:
    faults = check_locked(stage(target, lock), beside)

    assert expected == [fault.message.partition("() ")[2] for fault in faults]
    assert {("lock",)} >= {fault.where for fault in faults}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("locked:turn", (False, False)),
        ("locked:ask", (True, False)),
        ("locked:drive", (False, True)),
        ("locked:hidden", (None, True)),
        ("locked:missing", (None, True)),
        ("command", (False, False)),
    ],
)
def test_what_a_handler_asks_for_is_read_from_its_source(
    target: str, expected: tuple[bool | None, bool], beside: Path
) -> None:
    assert expected == (asks(stage(target), "mutex", beside), may_drive(stage(target), beside))
