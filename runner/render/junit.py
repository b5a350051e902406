"""The jobs of a run as JUnit XML, for the systems that draw test reports: a suite a workflow, a case a job. Pure.

    passed ► <testcase/>            allowed, skipped, cancelled ► <skipped>     never ended ► <error>
    failed, timed_out ► <failure>   each that ran: its last lines as <system-out>
    kept: as it ended then, with the run in which that was as a <property>

There is no one schema of JUnit XML. This is the part that Jenkins, GitLab and GitHub's report actions have in common.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree

from runner.events.job_report import FAILURES, UNFINISHED, JobLine, JobReport, JobState
from runner.events.report import Report
from runner.events.run import Problem, RunRefused

_MESSAGE_LINES = 20
"""Last lines that stand in a failure itself, which is what is read first."""
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Report, job_report: JobReport, tails: Mapping[str, Sequence[str]]) -> bytes:
    """Return the file; `tails` has the last lines of each job that are to be in it."""
    name = _clean(report.workflow)
    counts = _counts(job_report)
    time = f"{report.seconds:.3f}"
    root = ElementTree.Element("testsuites", {"name": name, **counts, "time": time})
    at = datetime.fromtimestamp(report.started_at, UTC).isoformat(timespec="seconds").removesuffix("+00:00")
    suite = ElementTree.SubElement(root, "testsuite", {"name": name, **counts, "time": time, "timestamp": at})
    for line in job_report.jobs:
        _add_case(suite, name, line, tails.get(line.job, ()))
    return _as_xml(root)


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


def _counts(job_report: JobReport) -> dict[str, str]:
    return {
        "tests": str(len(job_report.jobs)),
        "failures": str(len(job_report.of(*FAILURES))),
        "errors": str(len(job_report.of(*UNFINISHED))),
        "skipped": str(len(job_report.of(JobState.ALLOWED, JobState.SKIPPED, JobState.CANCELLED))),
    }


def _add_case(suite: ElementTree.Element, workflow: str, line: JobLine, tail: Sequence[str]) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        {"classname": workflow, "name": _clean(line.job), "time": f"{line.seconds:.3f}"},
    )
    if line.kept_from is not None:
        properties = ElementTree.SubElement(case, "properties")
        ElementTree.SubElement(properties, "property", {"name": "kept-from", "value": line.kept_from})
    verdict = _verdict(line)
    if verdict is not None:
        attributes = {"message": _clean(line.reason)}
        if verdict != "skipped":
            attributes["type"] = str(line.state)
        child = ElementTree.SubElement(case, verdict, attributes)
        child.text = _clean("\n".join(tail[-_MESSAGE_LINES:])) if line.state in FAILURES else None
    if tail:
        ElementTree.SubElement(case, "system-out").text = _clean("\n".join(tail))


def _verdict(line: JobLine) -> str | None:
    if line.state is JobState.PASSED:
        return None
    if line.state in FAILURES:
        return "failure"
    return "error" if line.state in UNFINISHED else "skipped"


def _clean(text: str) -> str:
    """Take out what XML has no way to write."""
    return _NOT_XML.sub("�", text)
