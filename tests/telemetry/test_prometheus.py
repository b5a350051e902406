"""Metrics as Prometheus and OpenMetrics have them: what is told can be read, and is what was declared."""

from __future__ import annotations

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from shop_events import finished, progress, started, timed, watched

from runner.telemetry.contract import BY_NAME, TIME_BOUNDS
from runner.telemetry.prometheus import exposition
from runner.watch.state import RunState

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
STATES = [watched(started(), timed(3), progress(done=3, busy=1.5), *finished(done=3))]


def openmetrics(states: list[RunState]) -> dict[str, Metric]:
    _, text = exposition(states, OPENMETRICS)
    return {family.name: family for family in read_openmetrics(text.decode())}


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "text/plain; version=0.0.4"),
        ("", "text/plain; version=0.0.4"),
        ("*/*", "text/plain; version=0.0.4"),
        (OPENMETRICS, "application/openmetrics-text"),
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "application/openmetrics-text"),
        ("application/openmetrics-text;version=x", "text/plain; version=0.0.4"),
        ("\xff;;;q=zz,,text/plain;version=1.;escaping=what", "text/plain; version=0.0.4"),
    ],
)
def test_who_asks_is_answered_in_the_format_that_he_reads(accept: str | None, content_type: str) -> None:
    told, text = exposition(STATES, accept)

    assert told.startswith(content_type)
    assert text.endswith(b"# EOF\n") == ("openmetrics" in content_type)


def test_both_formats_have_the_same_numbers() -> None:
    _, text = exposition(STATES)
    plain = {
        (each.name, *sorted(each.labels.items())): each.value
        for family in read_text(text.decode())
        for each in family.samples
    }

    assert plain == {
        (each.name, *sorted(each.labels.items())): each.value
        for family in openmetrics(STATES).values()
        for each in family.samples
    }


def test_types_meanings_and_units_are_those_declared() -> None:
    families = openmetrics(STATES)

    declared = {each.family: (each.type.value, each.help, each.unit) for each in BY_NAME.values()}
    assert len(families) > 20
    assert {name: declared[name] for name in families} == {
        name: (family.type, family.documentation, family.unit) for name, family in families.items()
    }


def test_a_histogram_grows_to_its_count() -> None:
    family = openmetrics(STATES)["mprun_item_duration_seconds"]

    found = {each.labels["le"]: each.value for each in family.samples if each.name.endswith("_bucket")}
    assert [*map(float, found)] == [*TIME_BOUNDS, float("inf")]
    assert (0.0, 3.0, 3.0) == (found["0.01"], found["0.025"], found["+Inf"])
    sums = {each.name: each.value for each in family.samples if "le" not in each.labels}
    assert 3.0 == sums["mprun_item_duration_seconds_count"]
    assert 0.06 == pytest.approx(sums["mprun_item_duration_seconds_sum"], rel=1 / 16)


def test_names_that_are_no_plain_words_are_read_back_as_they_are() -> None:
    odd = 'a "b"\\c\n包子'

    families = openmetrics([watched(started(workflow=odd))])

    assert {odd} == {each.labels["workflow"] for family in families.values() for each in family.samples}


def test_nothing_is_told_where_no_run_has_begun() -> None:
    assert b"" == exposition([])[1] == exposition([RunState()])[1]
    assert b"# EOF\n" == exposition([], OPENMETRICS)[1]
