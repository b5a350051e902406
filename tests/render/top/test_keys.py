"""What keys do in `mprun top`, without a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.render.top.flow_table import Order
from runner.render.top.keys import Choices, keys_in, pressed
from runner.render.top.view import Effect, Screen, View

ROWS = ["stage/lister", "queue/urls", "stage/parser"]
CHOICES = Choices(rows=ROWS, workers={"lister": 1, "parser": 2}, read_by={"urls": "parser"})
ON_STAGE = View(screen=Screen.STAGE, stage="parser", chosen={Screen.RUN: "stage/parser"})
WORKERS = Choices(rows=["parser-1", "parser-2"], workers={"parser": 2})
PARSER = View(chosen={Screen.RUN: "stage/parser"})


def after(view: View, keys: list[str], choices: Choices = CHOICES) -> tuple[View, list[Effect]]:
    effects = []
    for key in keys:
        view, effect = pressed(view, key, choices)
        effects += [] if effect is None else [effect]
    return view, effects


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ("jk", ["j", "k"]),
        ("\x1b[A\x1b[B\x1bOA", ["up", "down", "up"]),
        ("\x1b", ["escape"]),
        ("\x1b[5~\x1b[6~", ["page-up", "page-down"]),
        ("\r\x7f\x03", ["enter", "backspace", "interrupt"]),
        ("\x1b[1;5Cq", ["q"]),
        ("\x1b[15~g", ["g"]),
        ("é包", ["é", "包"]),
        ("\x00", [""]),
    ],
)
def test_what_a_terminal_sends_has_names(sent: str, keys: list[str]) -> None:
    assert list(keys_in(sent)) == keys


@pytest.mark.parametrize(
    ("keys", "row"),
    [
        (["down"], 1),
        (["j", "j"], 2),
        (["down"] * 9, 2),
        (["G"], 2),
        (["G", "g"], 0),
        (["G", "up"], 1),
        (["G", "k"], 1),
        (["page-down"], 2),
        (["end", "home"], 0),
        (["up"], 0),
    ],
)
def test_rows_are_chosen_and_nobody_leaves_the_table(keys: list[str], row: int) -> None:
    assert after(View(), keys)[0].chosen[Screen.RUN] == ROWS[row]


@pytest.mark.parametrize(
    "keys", [["q"], ["interrupt"], ["escape"], ["enter", "q"], ["f", "interrupt"], ["?", "q"]]
)
def test_there_is_a_way_out_of_everywhere(keys: list[str]) -> None:
    assert after(View(), keys)[1] == [Effect("quit")]


def test_enter_goes_into_a_stage_or_the_reader_of_a_queue_and_escape_back() -> None:
    into, _ = after(View(), ["down", "enter"])
    assert (Screen.STAGE, "parser") == (into.screen, into.stage)

    there, _ = after(into, ["f"], WORKERS)
    assert Screen.FAILURES is there.screen
    assert Screen.STAGE is after(there, ["escape"])[0].screen
    assert Screen.RUN is after(there, ["escape", "escape"])[0].screen


def test_enter_on_a_worker_asks_for_its_stack() -> None:
    assert after(ON_STAGE, ["down", "enter"], WORKERS)[1] == [Effect("stacks", "parser-2")]


def test_the_log_of_a_worker_or_a_job_is_asked_for_and_of_a_stage_there_is_none() -> None:
    assert after(ON_STAGE, ["down", "l"], WORKERS)[1] == [Effect("log", "parser-2")]
    assert after(View(), ["l"], Choices(rows=["lint"], has_jobs=True))[1] == [Effect("log", "lint")]
    assert after(View(), ["l"])[1] == []


def test_help_goes_back_to_where_it_was_asked_for() -> None:
    assert Screen.STAGE is after(ON_STAGE, ["?", "x"], WORKERS)[0].screen


def test_a_filter_is_typed_kept_and_given_up() -> None:
    typed, effects = after(View(), ["/", "q", "a", "x", "backspace", "enter"])
    assert ("qa", False, []) == (typed.wanted, typed.is_typing, effects)
    assert "" == after(typed, ["escape"])[0].wanted
    assert "" == after(View(), ["/", "q", "escape"])[0].wanted


def test_rows_are_sorted_by_one_thing_after_the_other() -> None:
    orders = [after(View(), ["o"] * times)[0].order for times in range(5)]
    assert orders == [Order.FLOW, Order.BUSY, Order.RATE, Order.FAILED, Order.FLOW]


@pytest.mark.parametrize(
    ("view", "key", "choices", "effect"),
    [
        (PARSER, "s", CHOICES, Effect("stop")),
        (ON_STAGE, "k", WORKERS, Effect("stop-worker", "parser-1")),
        (View(), "x", Choices(rows=["test (3.11)"], has_jobs=True), Effect("stop-job", "test (3.11)")),
    ],
)
def test_what_cannot_be_taken_back_is_asked_once(
    view: View, key: str, choices: Choices, effect: Effect
) -> None:
    asked, nothing = pressed(view, key, choices)

    assert nothing is None
    assert asked.question is not None
    assert after(view, [key, "y"], choices)[1] == [effect]
    for other in ("n", "enter", "q", "escape", key):
        view_after, effects = after(view, [key, other], choices)
        assert (None, []) == (view_after.question, effects)


def test_plus_and_minus_scale_without_asking_and_leave_one_worker() -> None:
    assert after(PARSER, ["+", "-"])[1] == [Effect("scale", "parser", 3), Effect("scale", "parser", 1)]
    assert after(ON_STAGE, ["+"], WORKERS)[1] == [Effect("scale", "parser", 3)]
    assert after(View(), ["down", "+"])[1] == [Effect("scale", "parser", 3)]  # the queue before it
    one, effects = after(View(), ["-"])
    assert ("lister has one worker, and keeps it", []) == (one.said, effects)


@pytest.mark.parametrize("key", ["+", "-", "s", "k", "x"])
def test_keys_that_act_do_nothing_where_only_reading_is_allowed_or_all_is_over(key: str) -> None:
    for screen in (View(is_read_only=True), View(screen=Screen.STAGE, stage="parser", is_read_only=True)):
        assert after(screen, [key, "y"], WORKERS)[1] == []
    over = Choices(rows=ROWS, workers={"lister": 3}, is_live=False)
    assert after(View(), [key, "y"], over)[1] == []


def test_a_run_is_chosen_from_the_list() -> None:
    view, effects = after(View(screen=Screen.RUNS), ["down", "enter"], Choices(rows=["3f2a", "77aa"]))
    assert ([Effect("open", "77aa")], Screen.RUN) == (effects, view.screen)


def test_without_rows_nothing_is_chosen() -> None:
    assert after(View(), ["down", "enter", "+", "G"], Choices()) == (View(), [])


@given(
    st.text("jkgGqsSyn+-/o?fx\x1b[AB5~\r\x7f包", max_size=40), st.sampled_from(list(Screen)), st.booleans()
)
def test_no_key_breaks_it_and_reading_only_never_acts(text: str, screen: Screen, read_only: bool) -> None:
    _, effects = after(View(screen=screen, stage="parser", is_read_only=read_only), list(keys_in(text)))

    acting = {"stop", "scale", "stop-worker", "stop-job"}
    assert not read_only or acting.isdisjoint(effect.name for effect in effects)


def test_a_tap_is_opened_of_what_is_chosen_and_left_again() -> None:
    tapping, effects = after(View(), ["down", "t"])
    assert ([Effect("tap", "queue:urls")], Screen.TAP) == (effects, tapping.screen)
    assert Screen.RUN is after(tapping, ["escape"])[0].screen

    of_stage, effects = after(ON_STAGE, ["t"], WORKERS)
    assert [Effect("tap", "stage:parser")] == effects
    assert Screen.STAGE is after(of_stage, ["escape"])[0].screen


def test_items_of_a_kind_are_put_back_when_some_are_kept_and_it_was_asked() -> None:
    failures = View(screen=Screen.FAILURES)
    kinds = Choices(rows=["1", "2"], letters={"1": 3514})

    assert after(failures, ["R", "y"], kinds)[1] == [Effect("replay", "1")]
    assert after(failures, ["R", "n"], kinds)[1] == []
    kept_nowhere, effects = after(failures, ["down", "R", "y"], kinds)
    assert [] == effects
    assert after(failures, ["R", "y"], Choices(rows=["1"], letters={"1": 1}, is_live=False))[1] != []
    assert kept_nowhere.question is None


def test_the_page_is_written_from_wherever_one_is() -> None:
    for view in (View(), ON_STAGE, View(screen=Screen.FAILURES)):
        assert after(view, ["r"])[1] == [Effect("report")]


def test_to_stop_a_second_time_is_asked_in_other_words() -> None:
    first, _ = pressed(PARSER, "s", CHOICES)
    again, _ = pressed(PARSER, "s", Choices(rows=ROWS, is_stopping=True))

    assert first.question is not None
    assert again.question is not None
    assert ("Stop the run?", "Kill all") == (first.question.text[:13], again.question.text[18:26])
