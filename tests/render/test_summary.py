"""The end of a run in text: what is said, in which order, and what different terminals get of it."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime, timedelta
from io import BytesIO, StringIO, TextIOWrapper
from typing import Any

import pytest

from runner.events.report import Report
from runner.events.report_fields import Failure, QueueLine, StageLine
from runner.render.summary import MOST_KINDS_SHOWN, print_report

CHEF = StageLine(name="chef", role="producer", workers=3, sent=9, items_per_second=3.75, busy=0.41)
EATER = StageLine(
    name="食客", role="consumer", workers=2, received=9, done=9, items_per_second=1.55, busy=0.78
)
STEAMER = QueueLine(name="steamer", maxsize=10, put=9, done=9, peak=4, full_seconds=0.25)
DONE = Report(
    run="r1",
    workflow="baozi",
    file="baozi.yaml",
    transport="joinable",
    outcome="done",
    exit_code=0,
    reason=None,
    started_at=0.0,
    seconds=5.8,
    stages=(CHEF, EATER),
    queues=(STEAMER,),
    failures=(),
    more_failures=0,
    bottleneck="食客 is the bottleneck: its 2 workers were busy 78% of the time; more of them would help",
)
COLD = Failure(
    kind="item",
    worker="食客-1",
    stage="食客",
    queue="steamer",
    item="'neo的包子0'",
    error="ValueError: cold",
    traceback='Traceback (most recent call last):\n  File "baozi.py", line 3, in eat\nValueError: cold',
    fatal=True,
)
FAILED = replace(DONE, outcome="failed", exit_code=1, reason="食客-1 failed on an item", failures=(COLD,))


class Terminal(StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def ordinary_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)


def printed(report: Report, encoding: str = "utf-8", kinds: Any = ()) -> str:
    raw = BytesIO()
    stream = TextIOWrapper(raw, encoding=encoding, write_through=True)
    print_report(report, stream, kinds)
    return raw.getvalue().decode(encoding)


def shown(report: Report) -> str:
    terminal = Terminal()
    print_report(report, terminal)
    return terminal.getvalue()


def test_a_run_that_is_done_is_two_tables_the_ledger_the_bottleneck_and_one_last_line() -> None:
    lines = [line.rstrip() for line in printed(DONE).splitlines()]

    assert lines == [
        "stage   workers   in   out   failed   items/s   busy",
        "────────────────────────────────────────────────────",
        "chef          3    0     9        0       3.8    41%",
        "食客          2    9     0        0       1.6    78%",
        "",
        "queue     put   done   dropped   peak   time full",
        "─────────────────────────────────────────────────",
        "steamer     9      9         0   4/10        0.2s",
        "",
        "ledger: 9 put = 9 done",
        "食客 is the bottleneck: its 2 workers were busy 78% of the time; more of them would help",
        "done in 5.8s",
    ]


def test_how_long_items_took_has_columns_where_it_was_measured() -> None:
    eater = replace(EATER, p50_seconds=0.0201, p95_seconds=1.5)

    lines = [line.rstrip() for line in printed(replace(DONE, stages=(CHEF, eater))).splitlines()]

    assert lines[:4] == [
        "stage   workers   in   out   failed   items/s   busy      p50     p95",
        "─────────────────────────────────────────────────────────────────────",
        "chef          3    0     9        0       3.8    41%        -       -",
        "食客          2    9     0        0       1.6    78%   20.1ms   1.50s",
    ]


@pytest.mark.parametrize(("columns", "expected"), [(70, True), (68, False)])
def test_where_there_is_no_room_times_go_first(
    columns: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    eater = replace(EATER, p50_seconds=0.0201, p95_seconds=1.5)

    heading = shown(replace(DONE, stages=(CHEF, eater))).splitlines()[0]

    assert (expected, True) == ("p50" in heading, "p95" in heading)


def test_a_run_that_failed_says_first_why() -> None:
    lines = printed(replace(FAILED, more_failures=2)).splitlines()

    assert lines[:9] == [
        "食客-1 failed on an item",
        "  worker:  食客-1 of stage 食客",
        "  item:    'neo的包子0' from 'steamer'",
        "  error:   ValueError: cold",
        "    Traceback (most recent call last):",
        '      File "baozi.py", line 3, in eat',
        "    ValueError: cold",
        "  and 2 more failures",
        "",
    ]
    assert lines[-1] == "failed after 5.8s, exit 1"


def kind(n: int, error: str, *items: str, last: float = 0.0) -> dict[str, Any]:
    samples = [{"item": item} for item in items]
    return {"n": n, "stage": "食客", "error": error, "first": 0.0, "last": last, "samples": samples}


def test_where_several_failed_the_kinds_are_told_with_items_and_times() -> None:
    kinds = [
        kind(3514, "OSError: no \x1b[2J\nmore", *"1234567", last=61.0),
        kind(2, "KeyError: 'a'", "8", "9"),
    ]

    lines = printed(replace(FAILED, more_failures=3515), kinds=kinds).splitlines()

    began = datetime.fromtimestamp(0)
    assert lines[8:13] == [
        "3,516 failures of 2 kinds:",
        "  3,514 × 食客: OSError: no \\x1b[2J",
        f"      {began:%H:%M:%S} to {began + timedelta(seconds=61):%H:%M:%S}, items 1, 2, 3, 4, 5 …",
        "  2 × 食客: KeyError: 'a'",
        f"      {began:%H:%M:%S}, items 8, 9",
    ]


def test_of_many_kinds_the_most_frequent_are_told_and_where_the_others_are() -> None:
    kinds = [kind(20 - n, f"E{n}") for n in range(10)]

    lines = printed(replace(FAILED, more_failures=100), kinds=kinds).splitlines()

    assert MOST_KINDS_SHOWN == sum(" × " in line for line in lines)
    assert f"  and {10 - MOST_KINDS_SHOWN} more: mprun show {FAILED.run} --failures" in lines


@pytest.mark.parametrize(
    ("outcome", "exit_code", "seconds", "expected"),
    [
        ("done", 0, 3.06, "done in 3.1s"),
        ("failed", 1, 75.0, "failed after 1m15s, exit 1"),
        ("timeout", 5, 3725.0, "timed out after 1h02m05s, exit 5"),
        ("interrupted", 130, 0.0, "interrupted after 0.0s, exit 130"),
        ("internal", 70, 1.0, "ended by a fault in mprun after 1.0s, exit 70"),
    ],
)
def test_the_last_line_is_the_outcome(outcome: str, exit_code: int, seconds: float, expected: str) -> None:
    report = replace(DONE, outcome=outcome, exit_code=exit_code, seconds=seconds)

    assert printed(report).splitlines()[-1] == expected


def test_a_pipe_gets_no_escape_code_even_when_colour_is_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")

    assert "\x1b" not in printed(FAILED)


def test_a_terminal_gets_colour_unless_no_color_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    coloured = shown(FAILED)
    monkeypatch.setenv("NO_COLOR", "1")
    plain = shown(FAILED)

    assert "\x1b[1;31m" in coloured
    assert "\x1b[1;31m" not in plain


def test_an_escape_code_in_a_name_or_a_message_is_shown_not_obeyed() -> None:
    nasty = replace(COLD, error="ValueError: \x1b[2J\r", item="\x1b]0;title\x07")
    reason = "stage 'chef': \x1b[31mred\r\ndone in 0.1s"
    report = replace(FAILED, failures=(nasty,), stages=(replace(CHEF, name="ch\x1bef"),), reason=reason)

    text = printed(report)

    assert "\x1b" not in text
    assert "stage 'chef': \\x1b[31mred\\r\\ndone in 0.1s" in text
    assert not any(line.startswith("done in") for line in text.splitlines())
    assert "ValueError: \\x1b[2J\\r" in text
    assert "ch\\x1bef" in text


def test_an_encoding_without_boxes_or_chinese_gets_plain_letters() -> None:
    text = printed(FAILED, "ascii")

    assert "----" in text
    assert "\\u98df\\u5ba2-1 failed on an item" in text


@pytest.mark.parametrize("columns", [30, 40, 60, 80])
def test_a_narrow_terminal_gets_fewer_columns_and_no_broken_row(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")

    rows = [line for line in shown(DONE).splitlines() if "chef" in line or "steamer " in line]

    assert len(rows) == 2
    assert all(len(row.rstrip()) <= columns for row in rows)


def test_a_run_that_broke_off_before_anything_has_only_its_reason() -> None:
    bare = replace(
        DONE, outcome="internal", exit_code=70, reason="cut", stages=(), queues=(), bottleneck=None
    )

    assert printed(bare).splitlines() == ["cut", "", "ended by a fault in mprun after 5.8s, exit 70"]


def test_a_queue_that_counts_bytes_shows_them_beside_its_items(capsys: pytest.CaptureFixture[str]) -> None:
    sacks = replace(STEAMER, max_bytes=1 << 20, peak_bytes=1 << 19)

    print_report(replace(DONE, queues=(sacks,)), sys.stdout)

    assert "4/10, 512KiB/1MiB" in capsys.readouterr().out


def test_dead_letters_are_pointed_to() -> None:
    kept = replace(DONE, queues=(replace(STEAMER, done=8, dead_lettered=1),))

    assert "1 dead letter: `mprun dlq show r1` tells what is in the first" in printed(kept)
    assert "dead letter" not in printed(DONE)
