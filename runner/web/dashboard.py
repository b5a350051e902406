"""The pages that there are: which path and query ask for which, and what each is drawn from.

path, query ──► find ──► DashboardPage: a key, by which all who ask for the same share it, and what draws it
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

from runner.errors import UsageError
from runner.facts import dataclass
from runner.jobs.log_pages import NO_LOG, read_log_page
from runner.record.comparison import ComparedRun
from runner.record.reader import RecordDamaged, RunView
from runner.record.summary import RUNNING
from runner.render.page.markup import Markup
from runner.render.page.model import RunPage
from runner.store.dead_letters import DeadLetterQueue, letter_files, letters_of
from runner.store.run_folder import JOB_LOGS
from runner.watch.state import RunState
from runner.web.frame import Link, run_path
from runner.web.pages.compare import compare_fragments
from runner.web.pages.failures import FailuresAsked, failures_fragments
from runner.web.pages.jobs import jobs_fragments
from runner.web.pages.log import KINDS, PER_PAGE, LogAsked, event_log_fragments, job_log_fragments
from runner.web.pages.run import RunDrawing
from runner.web.pages.runs import RunsAsked, runs_fragments
from runner.web.pages.stage import StageLook, stage_fragments
from runner.web.taps import WatchedTaps
from runner.web.watched import StacksAsked, WatchedRun, WatchedRuns, known_run

Query = Mapping[str, str]
Draw = Callable[[], Mapping[str, Markup]]


@dataclass(frozen=True, slots=True)
class DashboardPage:
    """One page."""

    key: object
    """What names it: whoever asks for the same looks at the same."""
    title: str
    links: Sequence[Link]
    draw: Draw


Find = Callable[[Query, Query], DashboardPage]
"""Finds a page by what its path and its query say. Raises UsageError where there is none."""


class Dashboard:
    """All pages, over one home."""

    def __init__(self, home: Path, *, may_act: bool) -> None:
        self.runs = WatchedRuns(home)
        self.stacks = StacksAsked()
        self.taps = WatchedTaps()
        self.may_act = may_act
        self._began = time.time()

    def states(self) -> Iterator[RunState]:
        """Yield copies of the states of the runs that go on, or have ended since this was started."""
        for run in self.runs.all():
            if run.outcome == RUNNING or (run.ended or 0.0) > self._began:
                with suppress(RecordDamaged):
                    yield self.runs.of(run.id).drawn(lambda page: deepcopy(page.state))

    def pages(self) -> Mapping[str, Find]:
        """Return what finds the pages of each path."""
        return {
            "/": self._run_list,
            "/compare": self._compare,
            "/runs/{run}": self._run,
            "/runs/{run}/stage": self._stage,
            "/runs/{run}/failures": self._failures,
            "/runs/{run}/log": self._log,
            "/runs/{run}/jobs": self._jobs,
        }

    def _run_list(self, _: Query, query: Query) -> DashboardPage:
        asked, runs = RunsAsked.parse(query), self.runs
        links = [Link("Runs", "/", is_here=True), Link("Compare", "/compare")]
        return DashboardPage(
            ("runs", asked),
            "Runs",
            links,
            lambda: runs_fragments(asked, runs.all(), runs.facts_of, runs.home),
        )

    def _page_of(
        self, watched: WatchedRun, where: str, asked: object, draw: Callable[[RunPage], Mapping[str, Markup]]
    ) -> DashboardPage:
        """Return a page of one run, with the ways to the others."""
        run = watched.run_folder.run
        name, has_jobs = watched.drawn(lambda page: (page.state.workflow or run, page.state.has_jobs))
        ways = {"": name, "failures": "Failures", "log": "Log"}
        if has_jobs:
            ways = {"": name, "jobs": "Jobs", "log": "Log"}
        links = [Link("Runs", "/")]
        links += [Link(text, run_path(run, way), is_here=way == where) for way, text in ways.items()]
        links.append(Link("Compare", f"/compare?b={run}"))
        return DashboardPage((where, run, asked), f"{name} {run}", links, lambda: watched.drawn(draw))

    def _run(self, path: Query, _: Query) -> DashboardPage:
        drawing = RunDrawing(may_act=self.may_act)
        return self._page_of(known_run(self.runs, path["run"]), "", None, drawing.fragments)

    def _stage(self, path: Query, query: Query) -> DashboardPage:
        watched, name = known_run(self.runs, path["run"]), query.get("name", "")
        run = watched.run_folder.run
        return self._page_of(
            watched,
            "stage",
            name,
            lambda page: stage_fragments(
                StageLook(
                    page, name, time.time(), self.stacks.of(run), self.taps.shown(run, name), self.may_act
                )
            ),
        )

    def _failures(self, path: Query, query: Query) -> DashboardPage:
        watched, asked = known_run(self.runs, path["run"]), FailuresAsked.parse(query)
        letters = _Letters(watched)
        return self._page_of(
            watched,
            "failures",
            asked,
            lambda page: failures_fragments(page, asked, letters.queues(), may_act=self.may_act),
        )

    def _jobs(self, path: Query, _: Query) -> DashboardPage:
        return self._page_of(
            known_run(self.runs, path["run"]),
            "jobs",
            None,
            lambda page: jobs_fragments(page, may_act=self.may_act),
        )

    def _log(self, path: Query, query: Query) -> DashboardPage:
        watched, asked = known_run(self.runs, path["run"]), LogAsked.parse(query)
        return self._page_of(watched, "log", asked, lambda page: _log_fragments(watched, page, asked))

    def _compare(self, _: Query, query: Query) -> DashboardPage:
        known = {run.id for run in self.runs.all()}
        chosen = [query.get(side) for side in ("a", "b")]
        if any(each and each not in known for each in chosen):
            raise UsageError("there is no such run")
        links = [Link("Runs", "/"), Link("Compare", "/compare", is_here=True)]
        return DashboardPage(("compare", *chosen), "Compare", links, lambda: self._compared(chosen))

    def _compared(self, chosen: Sequence[str | None]) -> Mapping[str, Markup]:
        before, after = (None if each is None else _compared_run(self.runs.of(each)) for each in chosen)
        return compare_fragments(self.runs.all(), before, after)


class _Letters:
    """The dead letters of a run, read again where there are more, or some were put back."""

    def __init__(self, watched: WatchedRun) -> None:
        self._run_folder = watched.run_folder
        self._stamp: object = None
        self._queues: list[DeadLetterQueue] = []

    def queues(self) -> list[DeadLetterQueue]:
        """Return those there are, by stages."""
        files = letter_files(self._run_folder)
        places = [
            place for file in files for place in (file, file.with_suffix(".replayed")) if place.exists()
        ]
        stamp = [(place.name, place.stat().st_size) for place in places]
        if stamp != self._stamp:
            self._queues = letters_of(self._run_folder)
            self._stamp = stamp
        return self._queues


def _log_fragments(watched: WatchedRun, page: RunPage, asked: LogAsked) -> Mapping[str, Markup]:
    folder = watched.run_folder.path
    name, run = page.state.workflow, watched.run_folder.run
    with RunView(folder) as view:
        logs = {job["id"]: job["log"] for job in view.jobs()}
        if asked.job is None:
            found = view.event_page(
                asked.words, KINDS[asked.of], before=asked.before, after=asked.after or 0, most=PER_PAGE
            )
            return event_log_fragments(run, name, asked, found, list(logs))
    kept = logs.get(asked.job)
    if kept is None:
        return job_log_fragments(run, name, asked, NO_LOG, list(logs))
    # By its name alone: a record that has come from elsewhere names any file.
    log = folder / JOB_LOGS / Path(kept).name
    found_page = read_log_page(log, before=asked.before, after=asked.after, words=asked.words, most=PER_PAGE)
    return job_log_fragments(run, name, asked, found_page, list(logs))


def _compared_run(watched: WatchedRun) -> ComparedRun:
    outcome = watched.drawn(lambda page: page.outcome)
    with RunView(watched.run_folder.path) as view:
        facts = view.facts()
        # Of one that has not ended a report says that something went wrong in mprun.
        report = replace(view.report(facts), outcome=outcome)
        return ComparedRun.of(view.run, facts, report, view.kinds())
