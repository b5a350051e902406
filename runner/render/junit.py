"""JUnit XML, for the systems that draw test reports: of a run a suite, a case a job; of a file of tests a case a test.

    passed ► <testcase/>            allowed, skipped, cancelled ► <skipped>     never ended ► <error>
    failed, timed_out ► <failure>   each that ran: its last lines as <system-out>
    kept: as it ended then, with the run in which that was as a <property>

There is no one schema of JUnit XML. This is the part that Jenkins, GitLab and GitHub's report actions have in common.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree

from runner.events.job_report import FAILURES, UNFINISHED, JobLine, JobReport, JobState
from runner.events.report import Report
from runner.events.run import Problem, RunRefused
from runner.facts import dataclass

_MESSAGE_LINES = 20
"""Last lines that stand in a failure itself, which is what is read first."""
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class JunitCase:
    """One case of a suite."""

    suite: str
    name: str
    seconds: float
    verdict: str | None = None
    """failure, error or skipped; None where it is good."""
    message: str = ""
    kind: str = ""
    text: str | None = None
    """What stands in the failure itself."""
    said: str = ""
    """What it printed."""
    properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class JunitSuite:
    """Cases that belong together."""

    name: str
    cases: Sequence[JunitCase]
    seconds: float
    began: float
    """Seconds since the epoch."""


def junit(report: Report, job_report: JobReport, tails: Mapping[str, Sequence[str]]) -> bytes:
    """Return the file for a run of jobs; `tails` has the last lines of each job that are to be in it."""
    cases = [_case_of_job(report.workflow, line, tails.get(line.job, ())) for line in job_report.jobs]
    suite = JunitSuite(report.workflow, cases, report.seconds, report.started_at)
    return junit_of_suites(report.workflow, [suite])


def junit_of_suites(name: str, suites: Sequence[JunitSuite]) -> bytes:
    """Return the file for suites of whatever kind."""
    seconds = sum(suite.seconds for suite in suites)
    cases = [case for suite in suites for case in suite.cases]
    root = ElementTree.Element(
        "testsuites", {"name": _clean(name), **_counts(cases), "time": f"{seconds:.3f}"}
    )
    for suite in suites:
        _add_suite(root, suite)
    return _as_xml(root)


def _add_suite(root: ElementTree.Element, suite: JunitSuite) -> None:
    at = datetime.fromtimestamp(suite.began, UTC).isoformat(timespec="seconds").removesuffix("+00:00")
    about = {
        "name": _clean(suite.name),
        **_counts(suite.cases),
        "time": f"{suite.seconds:.3f}",
        "timestamp": at,
    }
    element = ElementTree.SubElement(root, "testsuite", about)
    for case in suite.cases:
        _add_case(element, case)


def refused(event: RunRefused) -> bytes:
    """Return the file for a run that there was none of: one case, with all that was wrong."""
    counts = {"tests": "1", "failures": "0", "errors": "1", "skipped": "0"}
    root = ElementTree.Element("testsuites", {"name": "mprun", **counts})
    suite = ElementTree.SubElement(root, "testsuite", {"name": "mprun", **counts})
    case = ElementTree.SubElement(suite, "testcase", {"classname": "mprun", "name": "the run is refused"})
    message = {"message": _clean(event.error), "type": event.kind}
    ElementTree.SubElement(case, "error", message).text = _clean("\n".join(map(_place, event.problems)))
    return _as_xml(root)


def _place(problem: Problem) -> str:
    where = f"{problem['file']}:{problem['line']}:{problem['column']}"
    return f"{where}: {problem['severity']}[{problem['code']}]: {problem['message']}"


def _as_xml(root: ElementTree.Element) -> bytes:
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _counts(cases: Sequence[JunitCase]) -> dict[str, str]:
    found = Counter(case.verdict for case in cases)
    verdicts = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    return {"tests": str(len(cases)), **{word: str(found[verdict]) for word, verdict in verdicts.items()}}


def _add_case(suite: ElementTree.Element, case: JunitCase) -> None:
    about = {"classname": _clean(case.suite), "name": _clean(case.name), "time": f"{case.seconds:.3f}"}
    element = ElementTree.SubElement(suite, "testcase", about)
    if case.properties:
        properties = ElementTree.SubElement(element, "properties")
        for name, value in case.properties:
            ElementTree.SubElement(properties, "property", {"name": name, "value": value})
    if case.verdict is not None:
        attributes = {"message": _clean(case.message)}
        if case.verdict != "skipped":
            attributes["type"] = case.kind
        child = ElementTree.SubElement(element, case.verdict, attributes)
        child.text = None if case.text is None else _clean(case.text)
    if case.said:
        ElementTree.SubElement(element, "system-out").text = _clean(case.said)


def _case_of_job(workflow: str, line: JobLine, tail: Sequence[str]) -> JunitCase:
    return JunitCase(
        workflow,
        line.job,
        line.seconds,
        verdict=_verdict(line),
        message=line.reason,
        kind=str(line.state),
        text="\n".join(tail[-_MESSAGE_LINES:]) if line.state in FAILURES else None,
        said="\n".join(tail),
        properties=_properties(line),
    )


def _properties(line: JobLine) -> tuple[tuple[str, str], ...]:
    kept = () if line.kept_from is None else (("kept-from", line.kept_from),)
    ready = () if line.ready_in is None else (("ready-after-seconds", f"{line.ready_in:.3f}"),)
    return (*kept, *ready)


def _verdict(line: JobLine) -> str | None:
    if line.state is JobState.PASSED:
        return None
    if line.state in FAILURES:
        return "failure"
    return "error" if line.state in UNFINISHED else "skipped"


def _clean(text: str) -> str:
    """Take out what XML has no way to write."""
    return _NOT_XML.sub("�", text)
