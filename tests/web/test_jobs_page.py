"""The dashboard's page of jobs: its fragments."""

from __future__ import annotations

from run_pages import job_began, job_ended, page_of, started

from runner.render.page.document import fragments
from runner.web.pages.jobs import jobs_fragments


def test_the_page_of_jobs_has_the_graph_of_the_report_with_states_as_of_now() -> None:
    page = page_of(
        [
            (0.0, started([], jobs=2)),
            (0.1, job_began("build")),
            (1.0, job_ended("build")),
            (1.1, job_began("test", needs=["build"])),
        ],
        "running",
    )

    found = jobs_fragments(page, may_act=True)

    graph = str(found["run-needs-graph"])
    assert str(fragments(page)["run-needs-graph"]) == graph
    assert "test needs build" in graph
    assert ">passed<" in graph
    assert ">running<" in graph
    assert list(found)[-1] == "jobs-table"
