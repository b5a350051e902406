"""One person at `mprun top`: what is watched, what is looked at, and what keys have done.

RunWatch ──► state ─┐
keys ──► View ──────┼──► screen_lines ──► TopTerminal
effects ──► the control socket of the run ──► what came of it, in the last line
"""

from __future__ import annotations

import linecache
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from runner.cli.watching.report import write_page
from runner.cli.watching.top_terminal import TopTerminal
from runner.errors import MprunError, UsageError
from runner.record.history import runs_in
from runner.record.summary import RunSummary
from runner.render.top.drawing import drawn, knows_utf8
from runner.render.top.keys import Choices, keys_in, pressed
from runner.render.top.parts import eta_words
from runner.render.top.screens import keys_of_rows, screen_lines
from runner.render.top.stack import stack_text
from runner.render.top.tap_screen import MOST_KEPT, Tapped
from runner.render.top.view import Beside, Effect, Screen, Surface, View
from runner.store.control_socket import ask
from runner.store.run_folder import RunFolder, home
from runner.units import counted
from runner.watch.client import RunWatch, WatchSource
from runner.watch.replay import Replay
from runner.watch.state import RunPhase, RunState
from runner.watch.tap import POLL, TapClient

_ANSWER_SECONDS = 2.0
_PAGER = "less -R"
"""Without `-F`: what fits the screen is read there, too."""
_ASK_JOBS_EVERY = 2.0
"""Seconds between two questions to the run, which alone knows what its jobs wait for."""
_SAID_SECONDS = 15.0
_STOPPING = "asked the run to stop: what is under way is still finished; s again kills it"
_KILLING = "asked the run to kill what is left of it"
_DONE = "done"


class TopSession:
    """The loop. `run` returns the state in which it was left, or None where somebody left before the run's end."""

    def __init__(
        self,
        watch: RunWatch | None,
        runs: Sequence[RunSummary] = (),
        *,
        interval: float = 1.0,
        colors: bool = True,
        is_read_only: bool = False,
    ) -> None:
        self._watch = watch
        self._runs = runs
        self._interval = interval
        self._colors = colors
        self._utf8 = knows_utf8()
        self._view = View(screen=Screen.RUN if watch else Screen.RUNS, is_read_only=is_read_only)
        self._waiting: Mapping[str, Sequence[str]] = {}
        self._next_jobs = 0.0
        self._said_at = 0.0
        self._tap: TapClient | None = None
        self._tapped: Tapped | None = None
        self._replay: Replay | None = None
        self._terminal: TopTerminal | None = None
        self._previous = None if watch is None else previous_run(watch.state)

    def run(self, terminal: TopTerminal) -> RunState | None:
        """Show the run until it is over, or somebody has seen enough."""
        self._terminal = terminal
        try:
            return self._loop(terminal)
        finally:
            self._close_tap()

    def _loop(self, terminal: TopTerminal) -> RunState | None:
        next_look = 0.0
        while not terminal.is_ending:
            if self._is_over():
                return self._state
            now = time.monotonic()
            if terminal.is_stale or now >= next_look:
                self._forget_said(now)
                self._ask_jobs(now)
                self._poll_tap()
                self._poll_replay()
                self._show(terminal)
                next_look = now + (self._interval if self._tap is None else POLL)
            typed = terminal.wait(
                next_look - time.monotonic(), -1 if self._watch is None else self._watch.fileno()
            )
            if self._watch is not None:
                self._watch.wait(0.0)
            for key in keys_in(typed):
                terminal.is_stale = True
                if not self._press(key):
                    return None
        return None

    @property
    def _state(self) -> RunState:
        return RunState() if self._watch is None else self._watch.state

    def _is_over(self) -> bool:
        return self._watch is not None and self._watch.is_over

    # What is seen.

    def _show(self, terminal: TopTerminal) -> None:
        columns, rows = terminal.size()
        surface = Surface(columns, rows, time.time())
        lines = screen_lines(self._state, self._view, surface, self._beside(), self._runs, self._tapped)
        terminal.show(drawn(lines, columns, colors=self._colors, utf8=self._utf8))

    def _beside(self) -> Beside:
        eta = eta_words(self._state, self._previous)
        note = ""
        if self._watch is not None and self._watch.source is WatchSource.RECORD:
            note = self._watch.trouble or "told by its record: up to some seconds old"
        return Beside(eta=eta, waiting=self._waiting, note=note)

    def _ask_jobs(self, now: float) -> None:
        if self._watch is None or not self._state.has_jobs or now < self._next_jobs:
            return
        self._next_jobs = now + _ASK_JOBS_EVERY
        try:
            status = ask(self._watch.run_folder.path, {"do": "status"}, timeout=_ANSWER_SECONDS)
        except UsageError:  # it ends, which is told in another way
            return
        self._waiting = {
            each["job"]: each["waits_for"] for each in status["jobs"] if each["state"] in ("waiting", "ready")
        }

    def _forget_said(self, now: float) -> None:
        if self._view.said and now >= self._said_at + _SAID_SECONDS:
            self._view = replace(self._view, said="")

    # What is done.

    def _press(self, key: str) -> bool:
        """Heed a key; say whether to go on."""
        surface = Surface(80, None, time.time())
        rows = keys_of_rows(self._state, self._view, surface, self._beside(), self._runs)
        self._view, effect = pressed(self._view, key, self._choices(rows))
        if effect is None:
            return True
        if effect.name == "quit":
            return False
        self._say(self._do(effect))
        return True

    def _say(self, words: str) -> None:
        self._view = replace(self._view, said=words)
        self._said_at = time.monotonic()

    def _choices(self, rows: Sequence[str]) -> Choices:
        state = self._state
        return Choices(
            rows=rows,
            workers={stage.name: stage.workers for stage in state.stages()},
            read_by={queue.name: queue.readers[0] for queue in state.queues() if queue.readers},
            letters={
                str(kind.kind.id): kind.kind.n
                for kind in state.failures()
                if any(sample.letter for sample in kind.samples)
            },
            is_live=not state.phase.is_over,
            is_stopping=state.phase is RunPhase.STOPPING,
            has_jobs=state.has_jobs,
        )

    def _do(self, effect: Effect) -> str:
        """Do what a key asks for, and return what came of it."""
        try:
            if effect.name == "open":
                return self._open(effect.target)
            return self._ask(effect)
        except (MprunError, OSError) as error:
            return str(error)

    def _open(self, run: str) -> str:
        self._watch = RunWatch(RunFolder(run, home()))
        self._previous = previous_run(self._watch.state)
        return ""

    def _ask(self, effect: Effect) -> str:
        name = effect.target
        match effect.name:
            case "stop":
                is_again = self._state.phase is RunPhase.STOPPING
                self._request(do="stop")
                return _KILLING if is_again else _STOPPING
            case "stop-worker":
                answer = self._request(do="stop", worker=name)
                return f"asked {name} to end" + (f" ({answer['signal']})" if answer["signal"] else "")
            case "stop-job":
                return f"cancelled {', '.join(self._request(do='stop', job=name)['cancelled'])}"
            case "scale":
                self._request(do="scale", stage=name, count=effect.count)
                return f"{name} goes to {counted(effect.count, 'worker')}"
            case "report":
                return write_page(self._state.run)[1]
            case "replay":
                self._replay = self._put_back(name)
                return f"a run of its own puts items of kind {name} back"
            case "tap":
                return self._open_tap(name)
            case "log":
                return self._show_log(name)
        return self._take_stacks(name)

    def _show_log(self, name: str) -> str:
        """Show what a worker or a job has said, in the reader's own pager."""
        assert self._terminal is not None
        pager = os.environ.get("PAGER") or (_PAGER if shutil.which("less") else "")
        command = [sys.executable, "-m", "mprun", "logs", self._state.run, name]
        with self._terminal.lent():
            done = subprocess.run(command, capture_output=True, check=False)
            if done.returncode == 0 and done.stdout and pager:
                subprocess.run(pager, shell=True, input=done.stdout, check=False)
        if done.returncode:
            return done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        if not done.stdout:
            return f"{name} has said nothing"
        return "" if pager else f"there is no pager: mprun logs {self._state.run} '{name}'"

    def _open_tap(self, of: str) -> str:
        assert self._watch is not None
        self._close_tap()
        self._tapped = Tapped(f"tap of {of.replace(':', ' ', 1)}")
        try:
            self._tap = TapClient(self._watch.run_folder.path, of, timeout=_ANSWER_SECONDS)
        except UsageError as error:
            self._tapped = replace(self._tapped, trouble=str(error))
        return ""

    def _poll_tap(self) -> None:
        """Take what was shown meanwhile; close it once nobody looks any more."""
        if self._view.screen not in (Screen.TAP, Screen.HELP):
            self._close_tap()
        if self._tap is None or self._tapped is None:
            return
        new = self._tap.poll()
        self._tapped = replace(
            self._tapped,
            items=[*self._tapped.items, *new][-MOST_KEPT:],
            shown=self._tapped.shown + len(new),
            passed=self._tap.passed,
        )

    def _close_tap(self) -> None:
        tap, self._tap = self._tap, None
        if tap is not None:
            tap.close()

    def _poll_replay(self) -> None:
        if self._replay is not None and (said := self._replay.result()) is not None:
            self._replay = None
            self._say(str(said))

    def _put_back(self, kind: str) -> Replay:
        assert self._watch is not None
        try:
            return Replay(self._watch.run_folder, ["--kind", kind])
        except OSError as error:
            raise UsageError(f"nothing was put back: {error.strerror}") from None

    def _take_stacks(self, worker: str) -> str:
        dump = self._request(do="stacks", worker=worker)["stacks"]
        linecache.checkcache()
        text = stack_text(dump, linecache.getline)
        if not text:
            return f"{worker} does not tell its stack: it has begun just now, or is held by something outside Python"
        self._view = replace(self._view, stacks={worker: text})
        return ""

    def _request(self, **request: Any) -> dict[str, Any]:
        assert self._watch is not None
        return ask(self._watch.run_folder.path, request, timeout=_ANSWER_SECONDS)


def previous_run(state: RunState) -> tuple[float, float] | None:
    """Return how long the last run of the same workflow took that was done, and when it began."""
    done = [run for run in runs_in(home()) if run.workflow == state.workflow and run.outcome == _DONE]
    last = max(done, key=lambda run: run.began, default=None)
    return None if last is None else (last.seconds, last.began)
