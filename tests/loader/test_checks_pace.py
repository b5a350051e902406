"""`rate`: what it may be, where nobody could keep it, and what is said of one that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.loader.load import check, load

HANDLERS = """
def make():
    yield 1

def eat(item):
    pass

def drive(queue):
    pass

def once():
    pass
"""
HEAD = "name: w\nstages:\n  a: {run: 'k:make', to: q}\n  b: {from: q, "


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "k.py").write_text(HANDLERS)
    return tmp_path


def found_in(folder: Path, text: str) -> list[tuple[int, str, str]]:
    (folder / "w.yaml").write_text(text)
    return [(each.span.column, each.code, each.help or "") for each in check(folder / "w.yaml").diagnostics]


@pytest.mark.parametrize(
    ("rate", "shown"),
    [
        ("20/s", "20/s"),
        ("0.5", "30/m"),
        ("{limit: 100/m, burst: 5}", "100/m, burst 5"),
        ("{limit: 5/10s, per: item.host}", "30/m, per item.host"),
    ],
)
def test_a_rate_is_written_in_short_or_with_a_burst_and_a_key(folder: Path, rate: str, shown: str) -> None:
    assert [] == found_in(folder, f"{HEAD}run: 'k:eat', rate: {rate}}}\n")
    stage = load(folder / "w.yaml").stages[1]
    assert shown == str(stage.rate)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("run: 'k:eat', rate: often}", ("often", "wrong-format", "")),
        ("run: 'k:eat', rate: 0}", ("0", "out-of-range", "")),
        ("run: 'k:eat', rate: {brust: 2, limit: 1/s}}", ("brust", "unknown-key", "did you mean 'burst'?")),
        ("run: 'k:eat', rate: {burst: 2}}", ("rate", "missing-key", "")),
        ("run: 'k:drive', rate: 1/s}", ("rate", "handler-role", "give it a parameter for the item")),
        (
            "run: 'k:eat', batch: 3, rate: {limit: 1/s, per: item.x}}",
            ("per", "conflicting-keys", "leave out one"),
        ),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(
    folder: Path, keys: str, expected: tuple[str, str, str]
) -> None:
    text = HEAD + keys + "\n"
    ((column, code, help_),) = found_in(folder, text)

    assert (expected[1], True) == (code, help_.startswith(expected[2]))
    assert text.splitlines()[3][column - 1 :].startswith(expected[0])


def test_a_stage_without_queues_has_nothing_to_hold_to_a_rate(folder: Path) -> None:
    (found,) = found_in(folder, "name: w\nstages:\n  a: {run: 'k:once', rate: 1/s}\n")

    assert "no-effect" == found[1]


def test_where_nobody_can_be_asked_for_leave_a_rate_is_refused(folder: Path) -> None:
    (found,) = found_in(folder, f"transport: joinable\n{HEAD}run: 'k:eat', rate: 1/s}}\n")

    assert "transport-cannot" == found[1]
