"""The screens of `mprun top`: at any size no line is too wide, no number is cut, and each row can be reached."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from watched_runs import (
    BEGAN,
    died,
    failed,
    finished,
    observed,
    progress,
    run_started,
    shop,
    spawned,
    worker_counts,
)

from runner.events.run import RunOutcome, RunStopping, RunWorkers
from runner.render.top.drawing import drawn, in_ascii, in_words, per_second, sparkline, stacked_bar
from runner.render.top.flow_table import Order
from runner.render.top.keys import Choices, pressed
from runner.render.top.screens import keys_of_rows, screen_lines
from runner.render.top.small import live_lines
from runner.render.top.view import Beside, Question, Screen, Surface, View
from runner.render.top.view import Effect as Asked
from runner.units import short_time
from runner.watch.state import RunState

SIZES = [(80, 24), (60, 20), (120, 40), (200, 60)]
ETA = "84% of 400,000, done about 16:31 (in 9m)"
CUT_NUMBER = re.compile(r"[\d.,%/]…|…[\d.,%/]")


def shown(
    state: RunState, size: tuple[int, int | None], view: View | None = None, at: float = 2832.0
) -> list[str]:
    surface = Surface(size[0], size[1], BEGAN + at, has_keys=size[1] is not None)
    lines = screen_lines(state, view or View(), surface, Beside(eta=ETA))
    return [line.rstrip() for line in drawn(lines, size[0], colors=False)]


def wide_pipeline(stages: int = 14, letters: int = 30, *, name: str = "stage") -> RunState:
    """Stages with long names without digits, and numbers as large as they get."""
    names = [f"{name}-{'abcdefghijklmnopqrstuvwxyzABCDEFGHIJ'[n]}".ljust(letters, "x") for n in range(stages)]
    queues = [f"{each.partition('-')[2][:1]}-queue".ljust(letters, "x") for each in names[:-1]]
    started = run_started(names, queues, workers=12, maxsize=10_000)
    many = {"received": 1_894_236, "done": 1_894_236, "failed": 1_892_000, "busy": 3000.0, "blocked": 20.0}
    counts = [{**many, "sent": 1_894_000}] * stages
    shots = [
        (at, progress(started, at, counts if at > 1 else [], size=9_994, put=1, full_seconds=at))
        for at in (1.0, 9.0)
    ]
    return observed([(0.0, started), *shots])


def test_the_main_screen_is_the_one_of_the_page_on_watching() -> None:
    lines = shown(shop(), (80, 24), View(chosen={Screen.RUN: "stage/parser"}))

    assert len(lines) == 24
    assert "shop  running 00:47:12                  84% of 400,000, done about 16:31 (in 9m)" == lines[0]
    assert lines[1].endswith("  119.3 items/s  mean 119.2")
    assert lines[2:13] == [
        "parser holds it back: busy 96%, 'pages' full 70%.  + gives it a worker",
        "",
        "  STAGE     ALIVE  █busy ▒blocked ·idle BUSY       OUT       /S     P95   FAIL",
        "  lister      1/1  ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒·   1%   339,574    119.3       -",
        "   ↓ urls          ████████████████████ 100%   200/200  full 93% of the run",
        "  fetcher     3/3  ████▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒  20%   337,574    119.3  4.69ms  5,103",
        "   ↓ pages         ████████████████████ 100%     50/50  full 70% of the run",
        "▸ parser      1/1  ███████████████████·  96%   337,524    119.3  6.26ms",
        "   ↓ rows          ····················   2%      1/50",
        "  saver       2/2  ███·················  16%   337,523    119.3       -",
        "",
    ]
    assert lines[13] == "5,103 items failed for good (1.5%), 3 kinds of failure"
    assert lines[14] == "  3,514  fetcher  ConnectionError: host 3 does not answer            last 3s ago"
    assert lines[18].endswith("fetcher-2 died: killed by SIGKILL, 1 item handed out again, restarted")
    assert lines[-1] == "↑↓ choose  ⏎ workers  f failures  t tap  + − scale  s stop  r report  ? q"


def test_a_stage_shows_what_each_worker_has_in_hand_and_for_how_long() -> None:
    view = View(screen=Screen.STAGE, stage="fetcher", stacks={"fetcher-1": "shop.py:14 fetch"})
    lines = shown(shop(), (80, 24), view)

    assert lines[0] == "shop › fetcher  3 of 3 alive   urls → pages"
    assert lines[1] == "per item  p50 4.46ms  p95 4.69ms  p99 4.71ms  slowest 4.40ms  item 81204"
    assert lines[4].split() == ["WORKER", "PID", "STATE", "TIME", "BUSY", "DONE", "/S", "FOR", "IN", "HAND"]
    assert [line.split() for line in lines[5:8]] == [
        ["▸", "fetcher-1", "26072", "blocked", "··········", "0%", "112,008", "0.0", "0.3s", "112391"],
        ["fetcher-2", "31877", "busy", "··········", "0%", "111,990", "55,995", "4ms", "112402"],
        ["fetcher-3", "26072", "busy", "··········", "0%", "112,120", "0.0", "41.2s", "112388", "!"],
    ]
    assert "fetcher-3 has had one item for 41.2s: 8,000 times its p95" in lines
    assert "  shop.py:14 fetch" in lines
    assert any("generations  fetcher-2: 2 (killed by SIGKILL at " in line for line in lines)


def test_failures_are_shown_by_kind_with_an_item_and_its_traceback() -> None:
    lines = shown(shop(), (80, 24), View(screen=Screen.FAILURES))

    assert lines[0] == "shop › failures   5,103 for good, 0 tried again"
    assert lines[2].split() == ["COUNT", "STAGE", "FIRST", "LAST", "KIND"]
    assert lines[3].startswith("▸   3,514  fetcher  ")
    assert lines[3].endswith("ConnectionError: host 3 does not answer")
    assert '      raise ConnectionError(f"host {i % 5} does not answer")' in [
        line.removeprefix("  ") for line in lines
    ]
    assert any(line.startswith("  like it: 1  2  3") and line.endswith("more") for line in lines)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("screen", [Screen.RUN, Screen.STAGE, Screen.FAILURES, Screen.HELP])
@pytest.mark.parametrize("name", ["stage", "蒸笼里的包子和饺子"])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(
    size: tuple[int, int], screen: Screen, name: str
) -> None:
    state = wide_pipeline(name=name)
    stage = state.stages()[1].name
    events = [
        (10.0, spawned(stage, f"{stage}-1")),
        (11.0, failed(stage, "1" * 90, "ValueError: " + "x" * 300)),
    ]
    rows = RunWorkers(
        workers=[worker_counts(stage, f"{stage}-1", done=1_894_236, item="9" * 90, since=BEGAN)]
    )
    observed([*events, (12.0, rows), (13.0, died(stage, f"{stage}-1"))], state)

    lines = shown(state, size, View(screen=screen, stage=stage), at=13.0)

    assert max(map(cell_len, lines)) <= size[0]
    assert len(lines) == size[1]
    in_table = [line for line in lines if "stage" in line or "ST" in line or "包" in line or "/s" in line]
    assert [
        line for line in in_table if CUT_NUMBER.search(line.replace("1" * 20, "").replace("9" * 20, ""))
    ] == []


@pytest.mark.parametrize("size", SIZES)
def test_every_queue_can_be_reached_by_the_arrow_down(size: tuple[int, int]) -> None:
    state = wide_pipeline()
    surface = Surface(*size, BEGAN + 9)
    view, seen = View(), set[str]()
    for _ in range(27):
        marked = [line for line in shown(state, size, view, at=9.0) if line.startswith("▸")]
        assert len(marked) == 1
        seen.add(marked[0][:16])
        view, _ = pressed(view, "down", Choices(rows=keys_of_rows(state, view, surface)))

    assert len(seen) == 27
    assert len([mark for mark in seen if "↓" in mark]) == 13


@pytest.mark.parametrize(
    ("columns", "gone"),
    [
        (120, []),
        (93, []),
        (92, ["P95"]),
        (87, ["P95", "FAIL"]),
        (81, ["P95", "FAIL", "OUT"]),
        (70, ["P95", "FAIL", "OUT", "half"]),
        (60, ["P95", "FAIL", "OUT", "half", "name"]),
    ],
)
def test_columns_leave_in_their_order_and_the_name_is_cut_last(columns: int, gone: list[str]) -> None:
    started = run_started([f"stage-{letter}".ljust(30, "x") for letter in "ab"], ["pages"])
    state = observed([(0.0, started), (1.0, progress(started, 1.0, [{"sent": 1_894_236}]))])

    lines = shown(state, (columns, 24), at=1.0)

    head = next(line for line in lines if "STAGE" in line)
    assert [
        *(title for title in ("P95", "FAIL", "OUT") if title not in head),
        *(["half"] if "█busy" not in head else []),
        *(["name"] if any("…" in line for line in lines if "stage" in line) else []),
    ] == gone


def test_a_column_of_failures_stays_where_there_are_some() -> None:
    assert "FAIL" in next(line for line in shown(wide_pipeline(3), (80, 24)) if "STAGE" in line)


@given(
    columns=st.integers(1, 220),
    rows=st.integers(1, 70),
    stages=st.integers(2, 20),
    letters=st.integers(1, 40),
    screen=st.sampled_from([Screen.RUN, Screen.STAGE, Screen.FAILURES, Screen.HELP]),
    name=st.sampled_from(["stage", "👨‍👩‍👧", "蒸笼里的包子和饺子", "é́́"]),
)
def test_whatever_the_terminal_all_fits(
    columns: int, rows: int, stages: int, letters: int, screen: Screen, name: str
) -> None:
    state = wide_pipeline(stages, letters, name=name)
    lines = shown(state, (columns, rows), View(screen=screen, stage=state.stages()[0].name), at=9.0)

    assert max(map(cell_len, lines), default=0) <= columns
    assert len(lines) <= rows
    small = live_lines(state, Surface(columns, rows, BEGAN + 9), max(rows, 3))
    assert len(small) <= max(rows, 3)
    assert max(cell_len(line) for line in drawn(small, columns, colors=False)) <= columns


@pytest.mark.slow
def test_rows_can_be_sorted_and_keep_their_queues_and_filtered_by_what_is_typed() -> None:
    surface = Surface(80, 24, BEGAN + 2832)
    assert keys_of_rows(shop(), View(order=Order.BUSY), surface)[:3] == [
        "stage/parser",
        "queue/rows",
        "stage/fetcher",
    ]
    assert keys_of_rows(shop(), View(wanted="AGE"), surface) == ["queue/pages"]
    assert "only names with 'AGE'" in shown(shop(), (80, 24), View(wanted="AGE"))[3]


@pytest.mark.slow
def test_the_last_line_asks_and_tells() -> None:
    asks = View(question=Question("Stop the run?", Asked("stop")))

    assert shown(shop(), (80, 24), asks)[-1] == "Stop the run?  y yes   other keys no"
    assert shown(shop(), (80, 24), View(said="fetcher goes to 4"))[-1] == "fetcher goes to 4"
    assert shown(shop(), (80, 24), View(is_typing=True, wanted="pa"))[-1].startswith("/pa")


@pytest.mark.slow
def test_keys_that_act_are_not_told_of_where_they_are_off() -> None:
    for screen in (Screen.RUN, Screen.STAGE, Screen.HELP):
        lines = shown(shop(), (120, 40), View(screen=screen, stage="fetcher", is_read_only=True))
        assert not any(
            "stop" in line for line in lines if "--read-only" not in line and "s is for" not in line
        )


@pytest.mark.slow
def test_a_run_that_is_over_tells_what_it_came_to() -> None:
    ended = observed([(2833.0, finished(RunOutcome.FAILED, 2833.0, "saver-1 raised OSError"))], shop())
    killed = shop()
    killed.was_killed()
    stopping = observed([(2833.0, RunStopping(reason="Ctrl-C", signal="SIGINT", alive=[]))], shop())

    assert shown(ended, (80, None))[0].startswith("shop  failed after 00:47:13, exit code 1")
    assert shown(ended, (80, None))[2] == "saver-1 raised OSError"
    assert "its runner is gone" in shown(killed, (80, None))[2]
    assert shown(stopping, (80, None))[2] == "it stops: Ctrl-C"


def test_colours_are_beside_words_and_can_be_left_out() -> None:
    lines = screen_lines(shop(), View(), Surface(80, 24, BEGAN + 2832))

    assert any("\x1b[32m" in line for line in drawn(lines, 80))
    assert not any("\x1b" in line for line in drawn(lines, 80, colors=False))
    assert "".join(drawn(lines, 80, colors=False, utf8=False)).isascii()


def test_times_of_any_length_are_ascii_where_the_locale_is() -> None:
    times = " ".join(short_time(10.0**power) for power in range(-9, 6))

    assert in_ascii(times).isascii(), times


@pytest.mark.slow
def test_the_small_size_has_the_same_rows() -> None:
    surface = Surface(79, 12, BEGAN + 2832, has_keys=False)
    small = [line.rstrip() for line in drawn(live_lines(shop(), surface, 12, ETA), 79, colors=False)]
    large = shown(shop(), (79, 24), View(chosen={Screen.RUN: "none"}))

    assert [line for line in large[4:12] if not line.startswith("▸")] == [
        line for line in small[2:10] if "lister" not in line
    ]
    assert len(live_lines(shop(), surface, 6)) == 6
    assert live_lines(shop(), surface, 6)[-1].plain.startswith("… and 4 more")


@given(st.text("ab1 ,%", max_size=60), st.integers(0, 50))
def test_a_sentence_that_is_cut_keeps_its_numbers_whole(text: str, width: int) -> None:
    short = in_words(text, width)

    assert cell_len(short) <= max(width, 0) or short == ""
    assert CUT_NUMBER.search(short) is None


@given(st.lists(st.floats(0, 1e9), max_size=50))
def test_a_sparkline_has_a_cell_for_each_value(values: list[float]) -> None:
    assert len(sparkline(values)) == len(values)


def test_what_a_counter_gains_adds_up_to_it_whatever_the_steps() -> None:
    points = [(n / 4, float(n * n)) for n in range(81)]

    for most in (1, 3, 7, 20):
        values = per_second(points, most)
        assert sum(values) * 20 / len(values) == pytest.approx(6400)


@given(st.floats(-1, 2), st.floats(-1, 2), st.integers(0, 40))
def test_a_bar_has_its_width_whatever_the_shares(busy: float, blocked: float, width: int) -> None:
    assert len(stacked_bar(busy, blocked, width).plain) == width


def test_a_stage_that_is_not_there_is_told() -> None:
    assert "no stage 'gone'" in shown(shop(), (80, 24), replace(View(), screen=Screen.STAGE, stage="gone"))[0]


@pytest.mark.slow
def test_the_page_on_watching_shows_screens_as_they_are(checkout: Path) -> None:
    """But for the time of the day, which is that of who reads it."""
    page = (checkout / "docs" / "watching.md").read_text(encoding="utf-8").split("## When it is done")[0]
    clock = re.compile(r"\d\d:\d\d:\d\d")
    stack = "\n".join(
        [
            "shop.py:31 get                return self.socket.recv(65536)",
            "shop.py:14 fetch              reply = session.get(url)",
        ]
    )
    views = [
        View(chosen={Screen.RUN: "stage/parser"}),
        View(
            screen=Screen.STAGE,
            stage="fetcher",
            chosen={Screen.STAGE: "fetcher-3"},
            stacks={"fetcher-3": stack},
        ),
        View(screen=Screen.FAILURES),
    ]
    drawings = [block.split("```")[0].splitlines() for block in page.split("```text\n")[1:]]

    assert len(drawings) == 3
    for view, drawing in zip(views, drawings, strict=True):
        told = {clock.sub("", line) for line in shown(shop(), (80, 24), view)}
        assert [line for line in drawing if clock.sub("", line) not in told] == []
