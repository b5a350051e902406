"""A run at one moment, as JSON."""

from __future__ import annotations

import json

from jsonschema import Draft202012Validator
from watched_runs import BEGAN, finished, observed, shop

from runner.events.run import RunOutcome
from runner.watch.snapshot import snapshot, snapshot_schema
from runner.watch.state import RunState

VALIDATOR = Draft202012Validator(snapshot_schema())


def test_a_run_under_way_tells_what_it_does_now() -> None:
    told = json.loads(json.dumps(snapshot(shop(), BEGAN + 2833)))

    VALIDATOR.validate(told)
    assert ("shop", "running", 2833.0, None) == (
        told["workflow"],
        told["status"],
        told["elapsed"],
        told["outcome"],
    )
    assert ["lister", "fetcher", "parser", "saver"] == [each["name"] for each in told["stages"]]
    assert ["urls", "pages", "rows"] == [each["name"] for each in told["queues"]]
    parser, pages, failures = told["stages"][2], told["queues"][1], told["failures"]
    assert (1, 0.96, 1.0) == (parser["alive"], round(parser["busy_share"], 2), pages["fill"])
    assert (["fetcher"], ["parser"], 50) == (pages["writers"], pages["readers"], pages["size"])
    assert [3514, 1589, 1] == [each["count"] for each in failures]
    fetcher = told["workers"][2]
    assert ("fetcher-3", "112388", "alive", "busy") == (
        fetcher["worker"],
        fetcher["item"],
        fetcher["state"],
        fetcher["condition"],
    )
    assert told["bottleneck"].startswith("parser is the bottleneck")


def test_of_a_killed_run_nothing_lives_and_no_time_passes() -> None:
    state = shop()
    state.was_killed()
    told = snapshot(state, BEGAN + 9999)

    VALIDATOR.validate(json.loads(json.dumps(told)))
    assert ("killed", 2832.0, None) == (told["status"], told["elapsed"], told["eta"])
    assert {0} == {each["alive"] for each in told["stages"]}
    assert {"gone"} == {each["state"] for each in told["workers"]}


def test_a_run_that_has_ended_tells_what_it_came_to() -> None:
    told = snapshot(observed([(2833.0, finished(RunOutcome.FAILED, 2833.0, "boom"))], shop()), BEGAN + 9999)

    assert ("ended", "failed", 1, "boom") == (
        told["status"],
        told["outcome"],
        told["exit_code"],
        told["reason"],
    )


def test_a_run_of_which_nothing_is_known_yet_is_a_document_too() -> None:
    VALIDATOR.validate(json.loads(json.dumps(snapshot(RunState(), BEGAN))))
