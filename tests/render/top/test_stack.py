"""The stack of a worker, and what a tap shows."""

from __future__ import annotations

from rich.cells import cell_len
from watched_runs import BEGAN

import runner.transports.worker as ours
from runner.render.top.drawing import drawn
from runner.render.top.stack import stack_text
from runner.render.top.tap_screen import Tapped, tap_screen
from runner.render.top.view import Surface, View
from runner.watch.tap import ShownItem

OURS = ours.__file__
DUMP = f"""Thread 0x00007f (most recent call first):
  File "{OURS}", line 12 in wait
  File "/usr/lib/python3.11/threading.py", line 982 in _bootstrap_inner
  File "/usr/lib/python3.11/threading.py", line 1002 in _bootstrap

Current thread 0x00007e (most recent call first):
  File "/home/me/my shop.py", line 31 in get
  File "/home/me/my shop.py", line 14 in fetch
  File "{OURS}", line 99 in run
"""


def source(file: str, line: int) -> str:
    return f"    line {line} of {file.rpartition('/')[2]}\n"


def test_a_stack_has_the_users_calls_with_their_lines() -> None:
    assert stack_text(DUMP, source).splitlines() == [
        "my shop.py:31 get             line 31 of my shop.py",
        "my shop.py:14 fetch           line 14 of my shop.py",
    ]


def test_a_worker_that_waits_in_mprun_says_so() -> None:
    waiting = f'Thread 0x1 (most recent call first):\n  File "{OURS}", line 12 in wait\n'

    assert "it waits in mprun itself" in stack_text(waiting, source)
    assert stack_text("", source) == ""


def test_each_thread_of_a_handler_has_its_calls_and_a_deep_one_is_cut() -> None:
    frames = "".join(f'  File "a.py", line {n} in f\n' for n in range(1, 31))
    other = "Thread 0x2 (most recent call first):\n" + frames
    lines = stack_text(f"{DUMP}\n{other}", source).splitlines()

    assert lines[2] == "Thread 0x2 (most recent call first):"
    assert lines[3].startswith("a.py:1 f ")
    assert lines[-1] == "… and 18 more calls"


def test_a_tap_shows_the_newest_items_that_fit_and_of_how_many_they_are() -> None:
    items = [
        ShownItem(
            BEGAN + n, "fetcher-1", "fetcher", ("pages",), None, {"n": n, "text": "包子" * n}, n % 2 == 0
        )
        for n in range(60)
    ]
    tapped = Tapped("tap of queue pages", items, shown=60, passed=2361)
    lines = drawn(tap_screen(tapped, "shop", View(), Surface(80, 24, BEGAN)), 80, colors=False)

    assert lines[0] == "shop › tap of queue pages   shown 60 of 2,361 that passed: a sample"
    assert len(lines) == 24
    assert max(map(cell_len, lines)) <= 80
    assert '"n": 59' in lines[-2]


def test_a_tap_that_can_not_be_says_why() -> None:
    lines = tap_screen(
        Tapped("tap of stage saver", trouble="it makes nothing"), "shop", View(), Surface(40, 9, BEGAN)
    )

    assert ["it makes nothing"] == [line.plain for line in lines if "makes" in line.plain]
    assert any(
        "nothing has passed" in line.plain for line in tap_screen(Tapped("x"), "", View(), Surface(40, 9, 0))
    )
