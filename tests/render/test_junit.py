"""The JUnit file: read back by an XML parser, as those who draw test reports do."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st
from job_histories import cancelled, fold, kept, one_job, run_finished, run_started, skipped, started

from runner.render.junit import junit

HISTORY = [
    run_started(7),
    *one_job("build", 0, 2.5),
    *one_job("test (3.11, slow)", 0, 1, "failed", reason='step 1 exited with "2" & <more>'),
    *one_job("e2e", 0, 1, "timed_out"),
    *one_job("docs", 0, 1, "allowed"),
    skipped("deploy"),
    cancelled("test (3.12)"),
    started("stuck"),
    run_finished(1),
]


def read(history: list[object], tails: dict[str, list[str]]) -> ElementTree.Element:
    report = fold(history)  # type: ignore[arg-type]
    assert report.jobs is not None
    return ElementTree.fromstring(junit(report, report.jobs, tails))


def test_each_job_is_a_case_with_what_became_of_it() -> None:
    (suite,) = read([*HISTORY], {})

    told = {
        case.get("name"): [(child.tag, child.get("type")) for child in case]
        for case in suite.iter("testcase")
    }

    assert told == {
        "build": [],
        "test (3.11, slow)": [("failure", "failed")],
        "e2e": [("failure", "timed_out")],
        "docs": [("skipped", None)],
        "deploy": [("skipped", None)],
        "test (3.12)": [("skipped", None)],
        "stuck": [("error", "running")],
    }


def test_the_counts_add_up_on_both_levels() -> None:
    root = read([*HISTORY], {})
    counts = {"tests": "7", "failures": "2", "errors": "1", "skipped": "3"}

    assert [counts, counts] == [{key: each.get(key) for key in counts} for each in (root, root[0])]
    assert ("ci", "10.000", "1970-01-01T00:00:00") == (
        root[0].get("name"),
        root[0].get("time"),
        root[0].get("timestamp"),
    )


def test_a_case_says_how_long_it_took_why_it_failed_and_what_it_printed_last() -> None:
    (suite,) = read([*HISTORY], {"build": ["fine"], "test (3.11, slow)": ["<assert>", "]]> & so on"]})
    cases = {case.get("name"): case for case in suite}
    failure = cases["test (3.11, slow)"].find("failure")

    assert ("ci", "2.500", "fine") == (
        cases["build"].get("classname"),
        cases["build"].get("time"),
        cases["build"].findtext("system-out"),
    )
    assert failure is not None
    assert ('step 1 exited with "2" & <more>', "<assert>\n]]> & so on") == (
        failure.get("message"),
        failure.text,
    )


@given(st.text(), st.text(alphabet=st.characters(exclude_categories=())))
def test_no_name_and_no_output_can_break_the_file(name: str, printed: str) -> None:
    (suite,) = read([run_started(1), *one_job(name, 0, 1, "failed", reason=printed)], {name: [printed]})

    assert 1 == len(suite)


def test_a_case_that_was_kept_is_what_it_was_and_says_from_which_run() -> None:
    (suite,) = read([run_started(1), kept("build", from_run="3f2a"), run_finished()], {"build": ["made"]})

    (case,) = suite.iter("testcase")
    found = case.find("properties/property")
    assert found is not None
    assert ("kept-from", "3f2a") == (found.get("name"), found.get("value"))
    assert ("5.000", ["properties", "system-out"]) == (case.get("time"), [child.tag for child in case])
