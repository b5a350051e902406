"""A report at the prompt of a plain Python, and in the cell of a notebook."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.events.report import Report
from runner.events.report_fields import Failure, QueueLine, StageLine
from runner.events.report_view import ledger_sentence

REPORT = Report(
    run="3f2a77aa",
    workflow="包子 <prep>",
    file="prep.yaml",
    transport="leased",
    outcome="done",
    exit_code=0,
    reason=None,
    started_at=0.0,
    seconds=1.5,
    stages=(StageLine("chef", "producer", 2, sent=1200), StageLine("eater", "consumer", 1, received=1200)),
    queues=(QueueLine("steamer", 10, put=1200, done=1190, dropped=10, peak=7),),
    failures=(),
    more_failures=0,
    bottleneck=None,
)

STEAMER = QueueLine(name="steamer", maxsize=10, put=9, done=9, peak=4, full_seconds=0.25)


def test_as_text_it_is_a_line_and_two_tables() -> None:
    lines = str(REPORT).splitlines()

    assert "包子 <prep>: done after 1.5s" == lines[0]
    assert ["stage", "workers", "in", "out"] == lines[2].split()[:4]
    assert ["steamer", "1,200", "1,190", "10", "0", "0", "7"] == lines[-1].split()
    assert str(REPORT) == repr(REPORT)


def test_as_html_what_users_have_named_is_escaped() -> None:
    failed = Failure("item", "eater-1", "eater", "ValueError: <i>no</i>", item="'<b>'", traceback="x < y\n")
    page = replace(REPORT, exit_code=1, outcome="failed", reason="<script>", failures=(failed,))._repr_html_()

    assert "包子 &lt;prep&gt;: failed after 1.5s: &lt;script&gt;" in page
    assert "&lt;i&gt;no&lt;/i&gt;" in page
    assert not any(tag in page for tag in ("<script", "<i>", "<prep>", "'<b>'"))


@pytest.mark.parametrize(
    ("queues", "expected"),
    [
        ([STEAMER], "ledger: 9 put = 9 done"),
        ([STEAMER, STEAMER], "ledger: 18 put = 18 done"),
        (
            [replace(STEAMER, done=6, dropped=2, leased=1)],
            "ledger: 9 put = 6 done + 2 dropped + 1 begun and not done",
        ),
        ([replace(STEAMER, put=2000, waiting=1991)], "ledger: 2,000 put = 9 done + 1,991 not begun"),
        ([replace(STEAMER, put=2000, done=2000)], "ledger: 2,000 put = 2,000 done"),
        (
            [replace(STEAMER, done=8)],
            "ledger: 9 put, but 8 done: steamer does not add up, which is a fault in mprun",
        ),
    ],
)
def test_the_ledger_is_one_sentence(queues: list[QueueLine], expected: str) -> None:
    assert ledger_sentence(queues) == expected
