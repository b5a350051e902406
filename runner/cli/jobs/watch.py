"""`mprun watch`: run jobs, and run again what is affected as files change.

    file ──► plan ──► a run, as a process of its own ──► what became of each job
      ▲                      ▲                                     │ kept, but for what is affected
      │ changed: checked     │ the jobs affected, and those behind │
      └── FileChanges ──► WatchedJobs.affected ◄───────────────────┘
                             └── what is affected and under way is cancelled first

A file of jobs that is wrong for a while is told of, and waited for. What the runs keep is in the record, each with the
reason why it was begun.
"""

from __future__ import annotations

import os
import select
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from runner.cli.checking import JobsChoice, checked_spec, plan_chosen, print_problems, require_takers
from runner.cli.completion import complete_jobs
from runner.cli.jobs.file_changes import FileChanges
from runner.cli.options import RunOptions, WithArguments, arguments_given, examples, values, workflow_file
from runner.cli.output import print_message
from runner.cli.past_runs.kept_jobs import judge_jobs, past_legs
from runner.cli.run import Prepared, how_jobs_run, how_shown, run_prepared
from runner.errors import ExitCode, MprunError, SpecError, UsageError
from runner.facts import dataclass
from runner.jobs.affected import WatchedJobs, followers
from runner.jobs.plan import part_of
from runner.jobs.requests import RequestBuilder, Secrets
from runner.jobs.resumption import PastLeg, RunLeg, past_of
from runner.jobs.selection import Selection
from runner.process.child import die_with_parent
from runner.process.signals import SignalInbox
from runner.record.reader import RunView
from runner.spec.plan import Plan
from runner.store.control_socket import ask
from runner.store.discovery import running_folders
from runner.store.run_folder import RunFolder, home, run_folders_in
from runner.text import summarize, visible
from runner.units import counted

_MOST_NAMED = 4
_LOOK = 0.1
"""Seconds between two tries to reach a run that has just begun."""
_OWN_WRITES = 3
"""Runs in a row that a file has been the reason of, and has changed in: it is then taken for written by what runs."""
EXAMPLES = examples(
    "mprun watch ci.yaml           all that runs without being named",
    "mprun watch ci.yaml test lint these, and what they need",
    "mprun watch ci.yaml test -- -k name",
)


@click.command(epilog=EXAMPLES, cls=WithArguments)
@workflow_file
@click.argument("names", metavar="[JOB]...", nargs=-1, shell_complete=complete_jobs)
@values
@how_jobs_run
@how_shown
def command(
    file: Path, names: Sequence[str], params: Sequence[str], overrides: Sequence[str], **options: Any
) -> int:
    """Run the jobs of FILE, and run again what is affected whenever files change, until Ctrl-C.

    A job is affected when one of its `inputs` changes; one without `inputs` when anything in its folder does that is
    not hidden, not ignored by git and not among the `outputs` of a job. With it run all jobs that need it. What is
    affected and under way is cancelled first; what ended well and is not affected is kept. When FILE changes, or a file
    that it includes, the jobs that are other than before run, and those that had failed.

    Each time is a run of its own in the record, with the file that has changed as its reason.

    Needs an extra: pip install 'mprun[watch]'.
    """
    if find_spec("watchfiles") is None:
        raise UsageError("`mprun watch` needs an extra: pip install 'mprun[watch]'")
    chosen = RunOptions(**options)
    if not chosen.record:
        raise UsageError("`mprun watch` needs the record, to know what it can keep: leave out --no-record")
    if str(file) == "-":
        raise UsageError("`mprun watch` needs a file that can change, and not standard input")
    request = _Request(
        file, params, overrides, JobsChoice(names, chosen.jobs, args=arguments_given()), chosen
    )
    with SignalInbox() as inbox:
        return _Watch(request, inbox).run()


@dataclass(frozen=True, slots=True)
class _Request:
    """What the command line asks for."""

    file: Path
    params: Sequence[str]
    overrides: Sequence[str]
    choice: JobsChoice
    shown: RunOptions

    def plan(self, *, show_warnings: bool) -> Plan:
        """Check the file as it is now. Raises `SpecError` and `UsageError`."""
        spec = checked_spec(self.file, self.params, self.overrides, show_warnings=show_warnings)
        if not spec.jobs:
            raise UsageError(f"'{spec.path}' has stages and no jobs: `mprun watch` is for those")
        plan = plan_chosen(spec, self.choice)
        require_takers(plan)
        return plan


@dataclass(slots=True)
class _Cycle:
    """One run, while it is under way."""

    pid: int
    pidfd: int
    legs: frozenset[str]
    causes: frozenset[str]
    """The paths that it was begun for."""
    to_cancel: set[str] = field(default_factory=set)
    """Legs that are affected meanwhile, as far as the run does not know yet."""


class _Watch:
    def __init__(self, request: _Request, inbox: SignalInbox) -> None:
        self._request = request
        self._inbox = inbox
        self._plan = request.plan(show_warnings=True)
        self._past: dict[str, PastLeg] = {}
        self._last_run = ""
        self._causes: dict[str, str] = {}
        """By leg, a file whose change is still to be answered with a run."""
        self._file_changed = False
        self._in_a_row: Counter[str] = Counter()
        self._own_writes: set[str] = set()
        self._cycle: _Cycle | None = None
        self._stopped_by: signal.Signals | None = None
        self._look_at()

    def run(self) -> int:
        """Go on until a signal comes. Return the exit code."""
        try:
            self._begin(self._plan, {}, "")
            while self._stopped_by is None or self._cycle is not None:
                self._wait()
        finally:
            self._changes.close()
        return ExitCode.SIGNAL + self._stopped_by

    def _look_at(self) -> None:
        """Watch what the plan depends on, from now on."""
        given, place = self._plan.given, home()
        builder = RequestBuilder(self._plan, Secrets.gathered(self._plan.jobs, os.environ), place, place)
        self._watched = WatchedJobs(self._plan, builder)
        included = (Path(name).absolute() for name, _ in given.included)
        self._files = {str(path) for path in (self._plan.path.absolute(), *included)}
        folders = self._watched.folders() | {Path(file).parent for file in self._files}
        self._changes = FileChanges(folders, without=place.absolute())

    def _wait(self) -> None:
        poll = select.poll()
        ends = [self._inbox.wake, self._changes.fileno(), *([self._cycle.pidfd] if self._cycle else [])]
        for end in ends:
            poll.register(end, select.POLLIN)
        is_asking = self._cycle is not None and bool(self._cycle.to_cancel)
        ready = {end for end, _ in poll.poll(_LOOK * 1000 if is_asking else None)}
        if self._inbox.wake in ready:
            self._signalled(self._inbox.take())
        if self._changes.fileno() in ready and self._stopped_by is None:
            self._changed(self._changes.changed())
        if self._cycle is not None and self._cycle.pidfd in ready:
            self._ended(self._cycle)
        elif self._cycle is not None and self._cycle.to_cancel:
            self._cancel(self._cycle)
        if self._cycle is None and self._stopped_by is None:
            self._go_on()

    def _signalled(self, numbers: Sequence[signal.Signals]) -> None:
        """Pass a signal on to the run, which has a process group of its own; without one this is the end."""
        for number in numbers:
            self._stopped_by = self._stopped_by or number
            if self._cycle is not None:
                with suppress(ProcessLookupError):
                    os.kill(self._cycle.pid, number)

    def _changed(self, paths: set[str]) -> None:
        paths = {path for path in paths if not self._is_ours(path)}
        if paths & self._files:
            self._file_changed = True
        affected = self._watched.affected(path for path in paths - self._files)
        if self._cycle is not None:
            affected = {leg: path for leg, path in affected.items() if not self._is_own_write(path)}
            behind = followers(self._plan.jobs, affected)
            self._cycle.to_cancel |= behind & self._cycle.legs
        else:
            self._in_a_row.clear()
        for leg, path in affected.items():
            self._causes.setdefault(leg, path)

    def _is_ours(self, path: str) -> bool:
        """Say whether a file is what this command prints to or writes."""
        shown = self._request.shown
        written = (shown.events, shown.report_file, shown.junit, shown.html)
        if path in {str(each.absolute()) for each in written if each is not None}:
            return True
        with suppress(OSError):
            file = os.stat(path)  # noqa: PTH116 - beside `fstat`
            return any(os.path.samestat(file, os.fstat(end)) for end in (1, 2))
        return False

    def _is_own_write(self, path: str) -> bool:
        """Say whether a file changes each time that what it affects runs: somebody there writes it."""
        assert self._cycle is not None
        if path in self._own_writes:
            return True
        if path not in self._cycle.causes or self._in_a_row[path] < _OWN_WRITES:
            return False
        self._own_writes.add(path)
        print_message(
            f"mprun: '{visible(path)}' changes whenever the jobs run that depend on it: what they write themselves is "
            "passed over from now on; name it in their `outputs`"
        )
        return True

    def _cancel(self, cycle: _Cycle) -> None:
        """Have the run end what is affected; one that can't be reached yet is asked again."""
        folder = next(
            (f for f in running_folders() if (k := f.facts()) is not None and k.pid == cycle.pid), None
        )
        if folder is None:
            return
        for leg in sorted(cycle.to_cancel):
            with suppress(UsageError, MprunError):  # it is over already
                ask(folder.path, {"do": "stop", "job": leg, "reason": self._why(leg)})
        cycle.to_cancel.clear()

    def _why(self, leg: str) -> str:
        path = self._causes.get(leg)
        return f"{path} changed" if path is not None else "what it needs is to run again"

    def _ended(self, cycle: _Cycle) -> None:
        os.waitpid(cycle.pid, 0)
        os.close(cycle.pidfd)
        self._cycle = None
        folder = _folder_of(cycle.pid)
        if folder is not None:
            self._last_run = folder.run
            with suppress(MprunError), RunView(folder.path) as view:
                self._past |= {leg: past for leg, past in past_legs(view).items() if leg in cycle.legs}
        if self._stopped_by is None and not self._causes and not self._file_changed:
            print_message("mprun: waiting for changes; Ctrl-C ends")

    def _go_on(self) -> None:
        """Begin what the changes so far ask for."""
        if self._file_changed:
            self._file_changed = False
            self._read_again()
        elif self._causes:
            causes, self._causes = self._causes, {}
            names = followers(self._plan.jobs, causes)
            path = next(iter(causes.values()))
            more = len(set(causes.values())) - 1
            why = f"{path} changed" + (f", and {counted(more, 'file')} more" if more else "")
            self._begin(self._part(names), causes, why)

    def _read_again(self) -> None:
        name = visible(str(self._request.file))
        try:
            plan = self._request.plan(show_warnings=False)
        except SpecError as error:
            print_problems(error.diagnostics)
            print_message(f"mprun: '{name}' is wrong: waiting for it to change")
            return
        except UsageError as error:
            print_message(f"mprun: {error}; waiting for '{name}' to change")
            return
        before, self._plan = self._changes, plan
        self._look_at()
        before.close()
        again = {leg: f"{path} changed" for leg, path in self._causes.items()}
        decisions = judge_jobs(plan, self._past, home(), self._last_run, again)
        runs = {each.leg.id for each in decisions if isinstance(each, RunLeg)}
        causes, self._causes = self._causes, {}
        if runs:
            self._begin(self._part(runs), causes, f"{name} changed")
        else:
            print_message(f"mprun: {name} changed, and no job is other than before; waiting for changes")

    def _part(self, legs: set[str]) -> Plan:
        """Return the plan of these legs and what they need."""
        wanted = [leg.id for job in self._plan.jobs for leg in job.legs if leg.id in legs]
        return part_of(self._plan, Selection(names=wanted))

    def _begin(self, plan: Plan, causes: Mapping[str, str], why: str) -> None:
        """Start a run in a process of its own, with what is not affected kept."""
        again = {leg: f"{path} changed" for leg, path in causes.items()}
        decisions = judge_jobs(plan, self._past, home(), self._last_run, again)
        runs = [each.leg.id for each in decisions if isinstance(each, RunLeg)]
        if why:
            print_message(visible(f"mprun: {why}: {summarize(runs, _MOST_NAMED)}"))
            plan = replace(plan, given=replace(plan.given, trigger=why))
        for path in set(causes.values()):
            self._in_a_row[path] += 1
        prepared = Prepared(plan, past_of(self._last_run, decisions, goes_on=False))
        pid = _fork_run(prepared, self._request.shown)
        legs = frozenset(leg.id for job in plan.jobs for leg in job.legs)
        self._cycle = _Cycle(pid, os.pidfd_open(pid), legs, frozenset(causes.values()))


def _fork_run(prepared: Prepared, shown: RunOptions) -> int:
    """Run it in a child, which the kernel ends with this process, and its watchdog all that it has started."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code: int = ExitCode.INTERNAL
    try:
        os.setpgid(0, 0)
        die_with_parent(parent)
        code = run_prepared(lambda **_: prepared, shown)
    except MprunError as error:
        print_message(f"mprun: {error}")
    finally:
        os._exit(code)


def _folder_of(pid: int) -> RunFolder | None:
    """Return the folder of the run that a process has had, the youngest of that number."""
    found = [each for each in run_folders_in(home()) if _pid_of(each) == pid]
    return max(found, key=lambda each: each.path.stat().st_mtime, default=None)


def _pid_of(folder: RunFolder) -> int | None:
    if (facts := folder.facts()) is not None:
        return facts.pid
    with suppress(MprunError), RunView(folder.path) as view:
        pid = view.facts().get("pid")
        return int(pid) if pid is not None else None
    return None
