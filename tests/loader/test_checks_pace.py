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

async def wait(item):
    pass

class Flushed:
    def __call__(self, item):
        pass
    def flush(self):
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


@pytest.mark.parametrize(
    "keys", ["run: 'k:eat', threads: 16", "run: 'k:wait', concurrency: 64", "run: 'k:wait'"]
)
def test_several_items_may_be_in_hand_of_a_plain_and_of_an_async_handler(folder: Path, keys: str) -> None:
    assert [] == found_in(folder, f"{HEAD}{keys}}}\n")


@pytest.mark.parametrize(
    ("keys", "code", "help_"),
    [
        ("run: 'k:wait', threads: 16", "handler-role", "write `concurrency: 16`"),
        ("run: 'k:eat', concurrency: 64", "handler-role", "write `threads: 64`, or make it an `async def`"),
        ("run: 'k:drive', threads: 2", "handler-role", "give it a parameter for the item"),
        (
            "run: {command: 'true'}, threads: 2",
            "handler-role",
            "leave it out, and give the stage a higher `count`",
        ),
        ("run: 'k:eat', threads: 2, concurrency: 2", "conflicting-keys", "leave out one"),
        ("run: 'k:eat', threads: 2, batch: 3", "conflicting-keys", "leave out one"),
        ("run: 'k:Flushed', threads: 2", "conflicting-keys", "leave out one"),
        (
            "run: 'k:eat', threads: 2, shard_by: item.k, retry: {attempts: 2}",
            "conflicting-keys",
            "leave out one",
        ),
        ("run: 'k:eat', rate: 0/s", "out-of-range", ""),
        ("run: 'k:eat', rate: {limit: 5/0s}", "out-of-range", ""),
        ("run: 'k:eat', rate: 2000000000/s", "out-of-range", ""),
        ("run: 'k:eat', rate: 1e-30", "out-of-range", ""),
        ("run: 'k:eat', threads: 0", "out-of-range", ""),
    ],
)
def test_where_items_can_not_end_one_by_one_several_are_refused(
    folder: Path, keys: str, code: str, help_: str
) -> None:
    found = found_in(folder, f"{HEAD}{keys}}}\n")

    assert [(code, True)] == [(each[1], each[2].startswith(help_)) for each in found]


def test_a_producer_has_no_items_in_hand(folder: Path) -> None:
    (found,) = found_in(
        folder, "name: w\nstages:\n  a: {run: 'k:make', to: q, threads: 2}\n  b: {run: 'k:eat', from: q}\n"
    )

    assert "no-effect" == found[1]


@pytest.mark.parametrize("keys", ["run: 'k:eat', threads: 2", "run: 'k:wait', concurrency: 2"])
def test_a_queue_that_only_counts_its_items_knows_no_order_of_them(folder: Path, keys: str) -> None:
    (found,) = found_in(folder, f"transport: joinable\n{HEAD}{keys}}}\n")

    assert "transport-cannot" == found[1]


def test_where_nobody_can_be_asked_for_leave_a_rate_is_refused(folder: Path) -> None:
    (found,) = found_in(folder, f"transport: joinable\n{HEAD}run: 'k:eat', rate: 1/s}}\n")

    assert "transport-cannot" == found[1]
