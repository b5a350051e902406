"""Where order is kept, a handler returns or yields what it makes: one that puts by itself is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.loader.checks.handlers import check_ordered
from runner.spec.model import HandlerRef, StageSpec

SOURCE = """\
def turn(item):
    return item

def drive(inbox, outbox):
    outbox.put(inbox.get())
"""


@pytest.mark.parametrize(
    ("handler", "keeps_order", "expected"),
    [
        (HandlerRef("python", "ordered:turn"), True, []),
        (HandlerRef("python", "ordered:drive"), True, [(("order",), "handler-role")]),
        (HandlerRef("python", "ordered:drive"), False, []),
        (HandlerRef("python", "ordered:missing"), True, []),
        (HandlerRef("command", "command"), True, []),
    ],
)
def test_what_puts_by_itself_has_no_order_to_keep(
    tmp_path: Path, handler: HandlerRef, keeps_order: bool, expected: list[tuple[tuple[str], str]]
) -> None:
    (tmp_path / "ordered.py").write_text(SOURCE)
    stage = StageSpec("cook", handler, receives="raw", sends="done", keeps_order=keeps_order)

    assert expected == [(fault.where, fault.code) for fault in check_ordered(stage, tmp_path)]
