"""What a line of the log looks like, for machines and for people."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_histories import finished as job_finished

from runner.events.base import Event
from runner.events.catalogue import KINDS, event_schema, json_type
from runner.render.log import FileObserver, LogObserver, json_line
from runner.spec.failures import OnError

AT = 1_700_000_000.25
QUEUE = {"name": "steamer", "maxsize": 10, "put": 9, "done": 8, "size": 1}
STAGE = {"name": "chef", "alive": 3, "received": 0, "sent": 9, "done": 0, "failed": 0}
SOME: dict[str, Any] = {
    "string": "x",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "array": [],
    "object": {},
}
NOTHING: dict[str, Any] = {
    "string": "",
    "integer": 0,
    "number": 0.0,
    "boolean": False,
    "array": [],
    "object": {},
}


def event(name: str, /, **fields: Any) -> Event:
    """An event that has nothing where it must have something and nothing is given."""
    return KINDS[name](**values(NOTHING, name) | fields).stamped(AT, "r1")


def values(by_type: dict[str, Any], name: str) -> dict[str, Any]:
    """A value of the first type that it may have for each required field of an event."""
    types = {
        key: json_type(KINDS[name], key) for key, field in KINDS[name].declared.items() if field.required
    }
    return {
        key: said["enum"][0] if "enum" in said else by_type[one_type(said["type"])]
        for key, said in types.items()
    }


def one_type(types: str | list[str]) -> str:
    return types if isinstance(types, str) else types[0]


def progress(elapsed: float) -> Event:
    return event("run.progress", elapsed=elapsed, stages=[STAGE], queues=[QUEUE])


def one_of_each() -> list[Event]:
    """Every declared event with something in each of its fields."""
    return [event(name, **values(SOME, name)) for name in KINDS]


def logged(*events: Event, style: Any = "json", **options: Any) -> str:
    stream = BytesIO()
    observer = LogObserver(stream, style, **options)
    for each in events:
        observer.observe(each)
    observer.close()
    return stream.getvalue().decode("utf-8")


def test_a_json_line_is_the_event_and_its_level() -> None:
    spawned = event("worker.ready", worker="neo", stage="厨师", pid=7)

    lines = logged(spawned, level="debug")

    assert lines == (
        '{"event": "worker.ready", "at": "2023-11-14T22:13:20.250000Z", "run": "r1", '
        '"worker": "neo", "stage": "厨师", "pid": 7, "level": "debug"}\n'
    )


def _told() -> list[Event]:
    return [each for each in one_of_each() if each.kind != "run.workers"]


@pytest.mark.parametrize("style", ["text", "json"])
def test_what_workers_are_at_is_for_those_who_look_on_and_in_no_log(style: Literal["text", "json"]) -> None:
    assert "" == logged(event("run.workers", workers=[]), style=style, level="debug", heartbeat=0)


@pytest.mark.parametrize("each", _told(), ids=lambda each: each.kind)
def test_every_declared_event_is_logged_as_a_line_that_meets_the_schema(each: Event) -> None:
    lines = logged(each, level="debug", heartbeat=0)

    jsonschema.Draft202012Validator(event_schema()).validate(json.loads(lines))


@pytest.mark.parametrize("each", _told(), ids=lambda each: each.kind)
def test_every_declared_event_has_a_line_for_people(each: Event) -> None:
    lines = logged(each, style="text", level="debug", heartbeat=0)

    assert lines[:8].count(":") == 2
    assert each.kind in lines


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["worker.ready", "run.stopping", "item.failed"]),
        ("warning", ["run.stopping", "item.failed"]),
        ("error", ["item.failed"]),
    ],
)
def test_what_is_quieter_than_the_level_is_left_out(level: str, expected: list[str]) -> None:
    wanted = ("worker.ready", "run.stopping", "item.failed")
    events = [each for each in one_of_each() if each.kind in wanted]

    lines = logged(*events, level=level).splitlines()

    assert sorted(json.loads(line)["event"] for line in lines) == sorted(expected)


def test_a_line_of_a_handler_keeps_the_level_it_was_given() -> None:
    said = event(
        "worker.logged", worker="neo", stage="chef", pid=7, message="hot", fields={}, level="warning"
    )

    assert json.loads(logged(said, level="warning"))["level"] == "warning"
    assert logged(said, level="error") == ""


def test_what_a_handler_says_is_told_with_its_own_fields_and_cannot_pose_as_ours() -> None:
    fields = {"degrees": 90, "worker": "egon", "exception": 3, "\x1b[5m\nrun.finished": 1}
    said = event("worker.logged", worker="neo", stage="chef", message="too hot", fields=fields, level="info")

    line = logged(said, style="text")

    assert line.split(maxsplit=2)[2] == (
        'worker=neo stage=chef message="too hot" degrees=90 worker_=egon exception_=3 \\x1b[5m\\nrun.finished=1\n'
    )


def test_progress_is_a_heartbeat_of_ten_seconds_in_a_log_that_nobody_watches() -> None:
    lines = logged(*(progress(tenth / 10) for tenth in range(0, 350, 5)), style="json").splitlines()

    assert [json.loads(line)["elapsed"] for line in lines] == [10.0, 20.0, 30.0]


def test_progress_is_not_logged_where_there_is_a_live_view() -> None:
    assert logged(progress(100.0), style="text", heartbeat=None) == ""


def test_a_line_for_people_leaves_out_what_is_nothing_and_keeps_false() -> None:
    exited = event(
        "worker.exited",
        worker="neo",
        pid=7,
        signal=None,
        sent=0,
        done=3,
        reason="all done",
        restarting=False,
        traceback="",
    )

    line = logged(exited, style="text")

    told = line.split(maxsplit=2)[2]
    assert told == 'worker=neo pid=7 outcome=finished reason="all done" done=3 restarting=False\n'


def test_the_lists_of_a_run_are_told_in_words() -> None:
    stages = [{"name": "chef", "workers": 3}, {"name": "eater", "workers": 2}]
    began = event("run.started", stages=stages, queues=[{"name": "steamer", "maxsize": 10}])
    ended = event("run.finished", queues=[{"name": "steamer", "maxsize": None, "put": 9, "done": 9}])

    lines = logged(began, progress(12.0), ended, style="text").splitlines()

    assert [line.split(maxsplit=2)[2] for line in lines] == [
        'stages="chef ×3, eater ×2" queues="steamer ≤10"',
        'elapsed=12 chef="0 in, 9 out" steamer=1/10',
        'outcome=done steamer="9 put, 9 done"',
    ]


def test_a_traceback_is_indented_below_its_line_and_cannot_command_the_terminal() -> None:
    traceback = "Traceback:\n  in eat\nValueError: \x1b[2Jcold"
    failed = event("item.failed", worker="neo", error="ValueError: \x1b[2Jcold", traceback=traceback)

    lines = logged(failed, style="text").splitlines()

    assert lines[0].endswith('worker=neo error="ValueError: \\x1b[2Jcold" action=fail')
    assert lines[1:] == ["    Traceback:", "      in eat", "    ValueError: \\x1b[2Jcold"]


@pytest.mark.parametrize("colors", [True, False])
def test_escape_codes_appear_only_when_colours_are_asked_for(colors: bool) -> None:
    text = logged(*one_of_each(), style="text", level="debug", colors=colors)

    assert ("\x1b" in text) is colors


def test_the_file_of_events_holds_all_of_them_and_progress_once_a_second() -> None:
    file = BytesIO()
    file.close = lambda: None  # type: ignore[method-assign]
    observer = FileObserver(file)

    others = [each for each in one_of_each() if each.kind != "run.progress"]
    kept = [each for each in KINDS if each not in ("run.progress", "run.workers")]
    for each in [*others, *(progress(at) for at in (0.25, 0.75, 1.0, 1.25, 1.9, 2.1))]:
        observer.observe(each)
    observer.close()

    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    told = [line["event"] for line in lines]
    assert [*kept, "run.progress", "run.progress"] == told
    assert [1.0, 2.1] == [line["elapsed"] for line in lines[-2:]]
    for line in lines[:-2]:
        jsonschema.Draft202012Validator(event_schema()).validate(line)


@pytest.mark.parametrize(("exitcode", "expected"), [(0, ""), (1, "run.finished"), (130, "run.finished")])
def test_a_log_of_errors_says_why_a_run_failed(exitcode: int, expected: str) -> None:
    finished = event("run.finished", exitcode=exitcode, outcome="failed", reason="", seconds=1.0, queues=[])

    lines = logged(finished, level="error").splitlines()

    assert expected == "".join(json.loads(line)["event"] for line in lines)


@pytest.mark.parametrize(
    ("result", "said"), [("failed", True), ("timed_out", True), ("allowed", False), ("passed", False)]
)
def test_a_log_of_errors_says_which_jobs_failed(result: str, said: bool) -> None:
    assert said == ("job.finished" in logged(job_finished("lint", result=result), level="error"))


def test_the_schema_that_ships_is_the_one_in_the_code() -> None:
    shipped = Path(__file__).parent.parent.parent / "schemas" / "event.schema.json"

    assert event_schema() == json.loads(shipped.read_text(encoding="utf-8"))


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), anything, max_size=4))
def test_any_value_makes_one_line_of_strict_json_in_utf8(line: dict[str, Any]) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    written = json_line(line)

    assert b"\n" not in written
    assert isinstance(json.loads(written.decode("utf-8"), parse_constant=refuse), dict)


def failures(count: int, **fields: Any) -> list[Event]:
    """So many items of a stage that failed within one second."""
    return [
        event(
            "item.failed",
            **{"action": OnError.SKIP, "stage": "oven", **fields},
            item=str(number),
            error="ValueError: no",
        )
        for number in range(count)
    ]


def lines_for(events: list[Event], style: Literal["text", "json"] = "text") -> list[str]:
    stream = BytesIO()
    observer = LogObserver(stream, style, "debug")
    for each in events:
        observer.observe(each)
    observer.close()
    return stream.getvalue().decode().splitlines()


TRACE = "Traceback (most recent call last):\n  bad()\nValueError: no"


def test_a_traceback_that_was_shown_is_not_shown_again() -> None:
    retried = event("item.retried", stage="oven", item="1", error="ValueError: no", traceback=TRACE)
    other = TRACE.replace("no", "other")

    shown = lines_for([retried, *failures(1, traceback=TRACE), *failures(1, traceback=other, stage="pan")])

    assert [1, 1] == [shown.count(f"    {last}") for last in ("ValueError: no", "ValueError: other")]
    assert [True, False] == ['raised="as before"' in line for line in shown if "item.failed" in line]


def test_of_items_that_fail_alike_the_first_is_told_and_the_rest_are_counted_before_the_run_ends() -> None:
    shown = lines_for([*failures(50), *failures(2, action=OnError.FAIL), event("run.finished")])

    assert ["item.failed"] * 3 + ["failures.repeated", "run.finished"] == [line.split()[1] for line in shown]
    assert shown[3].endswith(
        'stage=oven error="ValueError: no" more="49 more like it in the last 0s, last item 49"'
    )


def test_machines_are_told_of_failures_as_people_are_in_lines_that_meet_the_schema() -> None:
    shown = [json.loads(line) for line in lines_for(failures(50, traceback=TRACE), "json")]

    assert [("item.failed", TRACE), ("failures.repeated", None)] == [
        (line["event"], line.get("traceback")) for line in shown
    ]
    assert (49, "49", "warning") == (shown[1]["failed"], shown[1]["item"], shown[1]["level"])
    jsonschema.Draft202012Validator(event_schema()).validate(shown[1])


def test_whoever_wants_each_failure_has_a_line_for_each() -> None:
    assert 50 == len(logged(*failures(50), each_failure=True).splitlines())


def begun(**stage: Any) -> Event:
    chef = {"name": "chef", "role": "producer", "workers": 1, "daemon": False, "from": None, "to": "steamer"}
    return event("run.started", workflow="baozi", file="b.yaml", stages=[chef | stage], queues=[])


def test_a_log_that_nobody_watches_says_when_the_run_is_done() -> None:
    stages = [
        {"name": "chef", "targets": ["steamer"], "total": 36, "workers": 1, "daemon": False, "from": None},
        {"name": "eater", "targets": [], "workers": 1, "daemon": False, "from": "steamer"},
    ]
    started = event("run.started", workflow="baozi", file="b.yaml", stages=stages, queues=[])

    lines = logged(started, progress(0.0), progress(18.0), style="text", previous=lambda _: (61.0, 0.0))

    assert 'progress="25% of 36, took 1m01s on' in lines.splitlines()[-1]


def test_where_the_end_can_t_be_known_the_last_run_is_told_which_is_asked_for_once() -> None:
    asked = []

    def previous(started: Any) -> tuple[float, float]:
        asked.append(started.workflow)
        return 61.0, AT

    lines = logged(begun(), progress(10.0), progress(20.0), style="text", previous=previous)

    assert ["baozi"] == asked
    assert 2 == lines.count('progress="took 1m01s on 11-1')
