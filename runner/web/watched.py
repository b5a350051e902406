"""The runs that the pages are drawn from: one look into each, whatever the number of pages and of those who look.

    page ──┐
    page ──┼──► WatchedRuns ──► WatchedRun ──► record, if it has changed ──► RunPage
    page ──┘

Everything here may be called from several threads.
"""

from __future__ import annotations

import os
import select
import shlex
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import Any, TypeVar

from runner.errors import UsageError
from runner.facts import dataclass
from runner.record.history import find_run, runs_in
from runner.record.reader import RecordDamaged, RunView
from runner.record.schema import DATABASE
from runner.record.series import Series
from runner.record.summary import KILLED, RUNNING, RunSummary, summarize_run
from runner.render.page.model import RunPage
from runner.render.page.recorded import recorded_page
from runner.store.run_folder import HOME, RunFolder
from runner.units import counted
from runner.watch.client import RunWatch
from runner.watch.state import RunState

Drawn = TypeVar("Drawn")

OLDEST = 0.2
"""Seconds that a list of runs, or a look into one, may be old."""
REST_AFTER = 20.0
"""Seconds after which a run is not watched any more that nobody looks at."""
MOST_CHUNKS = 64
"""That are read of what a run has told before a page is drawn."""
MOST_KEPT = 32
"""Runs that are kept at hand."""
STACK_SECONDS = 60.0
"""For which a stack is shown that somebody has asked for."""
MOST_STACKS = 100


@dataclass(slots=True)
class WatchedRun:
    """One run, which all pages of it are drawn from, one at a time: what is known of it changes as it goes on."""

    run_folder: RunFolder
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _watch: RunWatch | None = None
    _stamp: object = None
    _looked: float = 0.0
    _page: RunPage | None = None

    def drawn(self, draw: Callable[[RunPage], Drawn]) -> Drawn:
        """
        Return what `draw` makes of what is known now.

        Raises:
            RecordDamaged: there is no record of it, or it can't be read.
        """
        with self._lock:
            if self._page is None or time.monotonic() - self._looked > OLDEST:
                self._page = self._page_now()
                self._looked = time.monotonic()
            return draw(self._page)

    def rest(self) -> None:
        """Look no longer where nobody has asked for a while: what was missed is told when somebody asks again."""
        if time.monotonic() - self._looked < REST_AFTER or not self._lock.acquire(blocking=False):
            return
        try:
            self._look_away()
        finally:
            self._lock.release()

    def _look_away(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

    def _page_now(self) -> RunPage:
        if self._watch is not None and not self._watch.is_over:
            _catch_up(self._watch)
            if not self._watch.is_over and self._page is not None:
                return self._watched(self._page, self._watch.state)
        summary = summarize_run(self.run_folder)
        if summary is None:
            raise RecordDamaged(f"nothing is known of run '{self.run_folder.run}'")
        if summary.outcome == RUNNING and self._watch is not None and self._page is not None:
            return self._watched(
                self._page, self._watch.state
            )  # it has told of its end, and is writing it down
        return self._live(summary) if summary.outcome == RUNNING else self._recorded(summary)

    def _watched(self, page: RunPage, state: RunState) -> RunPage:
        outcome = (
            RUNNING if not state.phase.is_over else KILLED if state.outcome is None else str(state.outcome)
        )
        return replace(page, state=state, report=state.report(), outcome=outcome)

    def _live(self, summary: RunSummary) -> RunPage:
        """Begin to watch a run that goes on: what it tells itself is had much sooner than what is written of it."""
        self._look_away()
        self._watch = RunWatch(self.run_folder)
        state = self._watch.state
        try:
            with RunView(self.run_folder.path) as view:
                facts, lives = view.facts(), view.incarnations()
        except RecordDamaged:  # it has only begun
            facts, lives = {}, []
        took = summary.seconds if len(lives) > 1 else None
        return RunPage(state, state.report(), RUNNING, facts, lives, took)

    def _recorded(self, summary: RunSummary) -> RunPage:
        """Return what is written, which of a run that is over is all of it."""
        stamp = (stamp_of(self.run_folder), summary.outcome)
        if self._page is not None and stamp == self._stamp:
            return self._page
        with RunView(self.run_folder.path) as view:
            note = way_on_from(summary, view.facts(), self.run_folder.home)
            page = recorded_page(summary, view, view.report(), note)
        self._look_away()
        self._stamp = stamp
        return page


def _catch_up(watch: RunWatch) -> None:
    """Take all that was told meanwhile, as long as it comes at once."""
    for _ in range(MOST_CHUNKS):
        line = watch.fileno()
        if line >= 0 and not select.select([line], [], [], 0)[0]:
            return
        watch.wait(0.0)
        if line < 0 or watch.is_over:
            return


class WatchedRuns:
    """The runs of a home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._lock = threading.Lock()
        self._runs: dict[str, WatchedRun] = {}
        self._list: list[RunSummary] = []
        self._listed = 0.0
        self._facts: dict[str, tuple[object, Mapping[str, Any]]] = {}

    def all(self) -> list[RunSummary]:
        """List them, oldest first."""
        with self._lock:
            if time.monotonic() - self._listed > OLDEST:
                self._list = runs_in(self.home)
                self._listed = time.monotonic()
            return self._list

    def of(self, word: str) -> WatchedRun:
        """Return the run of an id, or of the beginning of one. Raises UsageError."""
        with self._lock:
            known = self._runs.get(word)
            for each in self._runs.values():
                if each is not known:
                    each.rest()
        if known is None:
            run = find_run(word, self.all()).id
            with self._lock:
                known = self._runs.setdefault(run, WatchedRun(RunFolder(run, self.home)))
                for old in list(self._runs)[:-MOST_KEPT]:
                    del self._runs[old]
        return known

    def facts_of(self, run: RunSummary) -> Mapping[str, Any]:
        """Return what a run was given and how quick it was, read again where its record has changed."""
        run_folder = RunFolder(run.id, self.home)
        stamp = stamp_of(run_folder) if run.outcome != RUNNING else int(time.monotonic())
        known = self._facts.get(run.id)
        if known is None or known[0] != stamp:
            known = self._facts[run.id] = stamp, _row_facts(run_folder)
        return known[1]


def _row_facts(run_folder: RunFolder) -> Mapping[str, Any]:
    """Read what a row of the list shows beside the summary."""
    try:
        with RunView(run_folder.path) as view:
            facts = view.facts()
            return {**facts, "curve": None if facts.get("jobs") else _curve_of(view)}
    except RecordDamaged:
        return {}


def _curve_of(view: RunView) -> Series | None:
    """Return what the last stage has done over time; None where there is no such number."""
    for event in view.events("run.started"):
        last = [each for each in event.fields.get("stages", ()) if not each.get("targets")]
        if last:
            return view.series(f"stage/{last[-1]['name']}/done")
    return None


def way_on_from(run: RunSummary, facts: Mapping[str, Any], home: Path) -> str | None:
    """Say of a run that has not come to a good end how it ended, and what to type to go on with it."""
    if run.is_good:
        return None
    told = "it could not be written down to its end" if run.trouble else ""
    if run.outcome == KILLED:
        told = "its runner was killed: nothing of it runs any more"
        if run.machine_went_down:
            told = "the machine went down while it ran"
    command = command_for(run, facts, home)
    if command is None:
        return told or None
    waiting = f", with {counted(run.waiting, 'item')} waiting" if run.waiting and run.resumable else ""
    does = f"goes on with it{waiting}" if run.resumable is not None else "runs it again"
    return f"{told}{'; ' if told else ''}`{command}` {does}"


def command_for(run: RunSummary, facts: Mapping[str, Any], home: Path) -> str | None:
    """Return what to type to go on with a run, in any folder; None where nobody can."""
    folder = facts.get("cwd")
    if not run.incarnations or not folder:
        return None
    place = "" if home == Path(folder) / ".mprun" else f"{HOME}={shlex.quote(str(home))} "
    here = "" if os.path.realpath(folder) == os.path.realpath(".") else f"cd {shlex.quote(str(folder))} && "
    return f"{here}{place}mprun {'resume' if run.resumable is not None else 'rerun'} {run.id}"


def stamp_of(run_folder: RunFolder) -> tuple[int, ...]:
    """Return what changes with the record of a run."""
    found = []
    for name in (DATABASE, f"{DATABASE}-wal"):
        try:
            stat = (run_folder.path / name).stat()
        except OSError:
            continue
        found += [stat.st_mtime_ns, stat.st_size]
    return tuple(found)


def known_run(runs: WatchedRuns, word: str) -> WatchedRun:
    """Return a run that a path names; refuse what is no id. Raises UsageError."""
    if not word.isalnum():
        raise UsageError("there is no such run")
    return runs.of(word)


class StacksAsked:
    """The stacks that somebody has asked for, by run and worker: all who look at the worker see them, for a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], tuple[float, str]] = {}

    def add(self, run: str, stacks: Mapping[str, str]) -> None:
        """Take some of a run."""
        at = time.monotonic()
        with self._lock:
            self._known.update({(run, worker): (at, text) for worker, text in stacks.items()})
            for old in list(self._known)[:-MOST_STACKS]:
                del self._known[old]

    def of(self, run: str) -> Mapping[str, str]:
        """Return those of a run that are not old, by worker."""
        oldest = time.monotonic() - STACK_SECONDS
        with self._lock:
            return {
                worker: text for (of, worker), (at, text) in self._known.items() if of == run and at >= oldest
            }
