"""What handlers ask for by name, as their source tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.loader.build import UNKNOWN_HANDLER
from runner.loader.checks.handlers import asks, may_drive
from runner.spec.model import HandlerRef, StageSpec

KITCHEN = """
import functools

def steam(board, *, mutex=None): ...
def drive(queue): ...
def talk(conn, board): ...
@functools.singledispatch
def strange(item): ...
class Table:
    def __init__(self, board): ...
"""


def python(name: str) -> HandlerRef:
    return HandlerRef("python", f"kitchen:{name}")


@pytest.fixture
def kitchen(tmp_path: Path) -> Path:
    (tmp_path / "kitchen.py").write_text(KITCHEN)
    return tmp_path


@pytest.mark.parametrize(
    ("handler", "name", "expected"),
    [
        (python("steam"), "board", True),
        (python("steam"), "mutex", True),
        (python("steam"), "bord", False),
        (python("Table"), "board", True),
        (python("strange"), "board", None),
        (python("nobody"), "board", None),
        (HandlerRef("serve", "serve", {"handler": "kitchen:talk"}), "board", True),
        (HandlerRef("serve", "serve", {"handler": "kitchen:talk"}), "mutex", False),
        (HandlerRef("serve", "serve", {}), "board", False),
        (HandlerRef("command", "command", "true"), "board", False),
        (UNKNOWN_HANDLER, "board", False),
        (UNKNOWN_HANDLER, "board", False),
    ],
)
def test_a_handler_asks_for_what_it_has_a_parameter_for(
    handler: HandlerRef, name: str, expected: bool | None, kitchen: Path
) -> None:
    assert expected is asks(StageSpec("s", handler), name, kitchen)


@pytest.mark.parametrize(
    ("name", "expected"), [("steam", False), ("drive", True), ("strange", True), ("Table", False)]
)
def test_a_handler_that_takes_a_queue_may_drive_it_and_so_may_one_that_can_t_be_read(
    name: str, expected: bool, kitchen: Path
) -> None:
    assert expected is may_drive(StageSpec("s", python(name)), kitchen)
