"""One attempt of one leg as a worker gets it: references filled, paths made whole, secrets looked up; all of it plain,
so that it pickles quickly.

LegSpec + outputs of its needs + secrets + environment ──► RequestBuilder ──► JobRequest ══ queue ══► JobRunner
"""

from __future__ import annotations

import glob
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.facts import dataclass
from runner.jobs.contexts.of_leg import asked_values, contexts_of_leg
from runner.jobs.graph import StartLeg
from runner.jobs.masking import Masker, unfit_secrets
from runner.jobs.templates import TemplateFiller, names_of_leg, takes_arguments
from runner.jobs.up_to_date import UpToDateCheck
from runner.jobs.workspace.cache import CACHE, cache_limit
from runner.jobs.workspace.handover import take_over
from runner.jobs.workspace.request import Handover, WorkspaceRequest, handover_place, tree_place
from runner.process.terminal import StdinState
from runner.spec.expressions.evaluate import Context, NeedContext
from runner.spec.jobs.commands import CommandSpec, ReadySpec, ServiceSpec, StepSpec
from runner.spec.jobs.model import JobSpec, LegSpec
from runner.spec.jobs.workspace import CacheSpec
from runner.spec.plan import Plan
from runner.spec.shell_quoting import POSIX

if TYPE_CHECKING:
    from runner.events.trace_context import TraceContext


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """One program to start. Its environment is `env` over the job's."""

    argv: tuple[str, ...]
    script: str | None = None
    """What the file `{0}` in `argv` has to hold; None where there is no such file."""
    env: Mapping[str, str] = field(default_factory=dict)
    directory: str | None = None


@dataclass(frozen=True, slots=True)
class StepRequest:
    """One step."""

    name: str
    command: CommandRequest
    condition: str = ""
    timeout: float | None = None
    may_fail: bool = False
    id: str = ""
    """What others call it; empty where nobody does."""


@dataclass(frozen=True, slots=True)
class ReadinessRequest:
    """How to find out that a service is ready."""

    port: int | None
    host: str
    command: CommandRequest | None
    prints: str | None
    every: float
    timeout: float
    http: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceRequest:
    """One process in the background."""

    name: str
    command: CommandRequest
    ready: ReadinessRequest | None
    log: str
    """Where it prints to."""


@dataclass(frozen=True, slots=True, repr=False)
class JobRequest:
    """One attempt of one leg."""

    number: int
    """Of the request, from 1: no two attempts share one."""
    leg: str
    attempt: int
    steps: tuple[StepRequest, ...]
    log: str
    """The file that gets what the steps print."""
    output: str
    """The file for the values that they write."""
    directory: str
    """Absolute; of the user's tree, also where the job has one of its own."""
    workspace: WorkspaceRequest = WorkspaceRequest()
    env: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    """Variables that this job must not inherit: the secrets of others."""
    dotenv: tuple[str, ...] = ()
    """Absolute paths."""
    ensure: tuple[StepRequest, ...] = ()
    services: tuple[ServiceRequest, ...] = ()
    background: bool = False
    """The last step goes on until it is released, or called off."""
    release: int = 0
    """The number whose revocation asks such a job to end, as nobody needs it any more."""
    is_needed: bool = False
    """Whether other jobs need it."""
    ready: ReadinessRequest | None = None
    """How to find out that such a job is."""
    secrets: tuple[str, ...] = ()
    """Values to mask in what it prints."""
    missing: tuple[str, ...] = ()
    """Secrets that it needs and that are not set: it fails for want of them."""
    values: tuple[str, ...] = ()
    """Names that it has to write to its output file."""
    files: tuple[str, ...] = ()
    """Patterns of files that it has to make, from its directory."""
    context: Context = field(default_factory=Context)
    """What conditions of steps may ask for, but for the status and `env`, which the worker knows."""
    deadline: float = math.inf
    """When the job as a whole is out of time, by `time.monotonic`, which all processes share; known once an attempt has
    begun."""
    job_timeout: float | None = None
    attempt_timeout: float | None = None
    idle_timeout: float | None = None
    grace: float = 10.0
    """Seconds between the signal that asks to end and the one that can't be refused."""
    up_to_date: UpToDateCheck | None = None
    """For a job with `inputs`."""
    force: bool = False
    """Whether it runs though it is up to date."""
    stdin_of: int = 0
    """The process whose standard input its steps read; 0 for one that is not interactive."""
    notice: str = ""
    """What its log says first, where it has been begun before by a runner that is gone."""

    def __repr__(self) -> str:
        """Short: the status page of a worker shows it as the item in hand."""
        return f"<job {self.leg}, attempt {self.attempt}>"


class JobMessage(StrEnum):
    """What a worker reports of a request, beside the events of its steps and services."""

    BEGUN = "begun"
    READY = "ready"
    """With the seconds that took, and what it hands on."""
    ENDED = "ended"
    """With the fields of its `JobOutcome`."""
    RETURNED = "returned"
    """It was given to a worker that died, and comes back unfinished."""


_LONGEST_ARGUMENT = 100_000
"""Bytes; the kernel takes some more in one argument. A longer script goes into a file."""
_LOG = re.compile(r"(\d+)-.*\.log")
_ATTEMPT = re.compile(r"(?:\.(\d+))?\.log")
"""What follows the stem in the name of an attempt's own log; those of services have a word more."""
_IN_NAMES = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of a run, by name."""

    values: Mapping[str, str] = field(default_factory=dict)
    unfit: Mapping[str, str] = field(default_factory=dict)
    """Why some that are set can't be used, by name."""

    @classmethod
    def gathered(cls, jobs: Sequence[JobSpec], environ: Mapping[str, str]) -> Secrets:
        """Look up what jobs ask for. One that is not set, or can't be masked, fails the job that asks, if it runs."""
        asked = dict.fromkeys(name for job in jobs for leg in job.legs for name in leg.secrets)
        values = {name: environ[name] for name in asked if environ.get(name)}
        unfit = unfit_secrets(values)
        return cls({name: value for name, value in values.items() if name not in unfit}, unfit)

    def missing(self, names: Iterable[str]) -> Iterator[str]:
        """Say of each of these that can't be had why."""
        for name in names:
            if name in self.unfit:
                yield f"the secret '{name}' can't be used: {self.unfit[name]}"
            elif name not in self.values:
                yield f"the secret '{name}' is not set"


class RequestBuilder:
    """Makes the requests of one run."""

    def __init__(
        self,
        plan: Plan,
        secrets: Secrets,
        logs: Path,
        home: Path,
        trace: TraceContext | None = None,
    ) -> None:
        """`logs` is the folder for logs, in the run's; `home` is the record's; `trace` is told to what jobs start."""
        self._trace = trace
        self._plan = plan
        self._secrets = secrets
        self._logs = str(logs)
        self._run = str(logs.parent)
        self._home = str(home)
        self._beside = str(plan.path.parent.absolute())
        self._jobs = {job.name: job for job in plan.jobs}
        self._masked = Masker(secrets.values.values()).text
        self._needed = {need.job for job in plan.jobs for need in job.needs}
        self._isolated = {
            need.job
            for job in plan.jobs
            for need in job.needs
            if any(leg.workspace.is_own for leg in job.legs)
        }
        """Jobs that are needed where there is another tree than the user's."""
        has_caches = any(leg.cache for job in plan.jobs for leg in job.legs)
        self._cache_limit = cache_limit(os.environ) if has_caches else 0
        self._numbers = {leg.id: n for n, leg in enumerate((g for j in plan.jobs for g in j.legs), start=1)}

    @property
    def secrets(self) -> Mapping[str, str]:
        """The secrets of the run that are set, by name."""
        return self._secrets.values

    def log_of(self, leg: LegSpec, attempt: int) -> str:
        """Return the file that an attempt logs to."""
        again = f".{attempt}" if attempt > 1 else ""
        return f"{self._logs}/{self._stem(leg.id)}{again}.log"

    def last_logged(self) -> dict[str, int]:
        """Return of each leg the last attempt that has left a log; a leg without any is not in it."""
        try:
            names = os.listdir(self._logs)  # noqa: PTH208 - of thousands no Path is wanted
        except OSError:  # there is no such folder, so nobody has logged
            return {}
        begun: dict[str, int] = {}
        legs = {number: leg for leg, number in self._numbers.items()}
        for name in names:
            found = _LOG.fullmatch(name)
            if found and (leg := legs.get(int(found[1]))) is not None:
                rest = _ATTEMPT.fullmatch(name.removeprefix(self._stem(leg)))
                begun[leg] = max(begun.get(leg, 0), int(rest[1] or 1) if rest else 0)
        return {leg: attempt for leg, attempt in begun.items() if attempt}

    def _stem(self, leg: str) -> str:
        """Return what the names of all that an attempt leaves begin with."""
        return f"{self._numbers[leg]:04}-{self._file_name(leg)}"

    def _file_name(self, text: str) -> str:
        return _file_name(self._masked(text))

    def take_over_log(self, leg: LegSpec, attempt: int, log: str) -> str:
        """Have the log of an attempt of a past run here too, which may be forgotten first; return its name."""
        own = self.log_of(leg, max(attempt, 1))
        if not log or log == own:
            return log
        try:
            os.link(log, own)
        except OSError:  # it is gone, or on another file system
            return log
        return own

    def up_to_date_check(self, leg: LegSpec, needs: Mapping[str, NeedContext]) -> UpToDateCheck:
        """Return what decides whether a leg has to run, given what the jobs that it needs came to."""
        fill, _ = self._filler(needs).of_leg(leg)
        directory = self._directory(leg, fill)
        return self._up_to_date(leg, fill, directory, self._dotenv(leg))

    def build_request(
        self,
        number: int,
        start: StartLeg,
        needs: Mapping[str, NeedContext],
        notice: str = "",
        *,
        release: int = 0,
        stdin: StdinState = StdinState.CLOSED,
    ) -> JobRequest:
        """Return the request for an attempt. With the number `release` one in the background is asked to end."""
        leg = start.leg
        fill, env = self._filler(needs).of_leg(leg)
        if self._trace is not None:
            env = {"TRACEPARENT": self._trace.below_job(leg.id, start.attempt), **env}
        log = self.log_of(leg, start.attempt)
        directory = self._directory(leg, fill)
        dotenv = self._dotenv(leg)
        return JobRequest(
            number=number,
            leg=leg.id,
            attempt=start.attempt,
            steps=tuple(_step(step, fill) for step in leg.steps),
            log=log,
            output=f"{log.removesuffix('.log')}.out",
            directory=directory,
            workspace=self._workspace(leg, start.attempt, fill),
            env=env,
            hidden=(*self._secrets.values, *self._secrets.unfit),
            dotenv=dotenv,
            ensure=tuple(_step(step, fill) for step in leg.ensure),
            services=tuple(
                _service(service, fill, f"{log.removesuffix('.log')}.{n}-{self._file_name(service.name)}.log")
                for n, service in enumerate(leg.services, 1)
            ),
            **(self._in_background(leg, fill, release) if leg.background else {}),
            secrets=tuple(self._secrets.values.values()),
            **self._asked(start, stdin),
            values=self._jobs[leg.job].values,
            files=tuple(map(fill.text, leg.outputs)),
            context=self._context(leg, needs),
            deadline=start.deadline,
            job_timeout=leg.timeout,
            attempt_timeout=leg.attempts.timeout,
            idle_timeout=leg.idle_timeout,
            grace=self._plan.limits.stop_timeout,
            up_to_date=self._up_to_date(leg, fill, directory, dotenv) if leg.inputs else None,
            force=self._plan.given.force,
            notice=notice,
        )

    def _asked(self, start: StartLeg, stdin: StdinState) -> dict[str, Any]:
        """What it reads if it is interactive, and what it lacks."""
        leg, broken = start.leg, filter(None, (start.broken,))
        missing = (*broken, *self._secrets.missing(leg.secrets), *_not_at_the_terminal(leg, stdin))
        return {"missing": missing, "stdin_of": os.getpid() if leg.interactive else 0}

    def _filler(self, needs: Mapping[str, NeedContext]) -> TemplateFiller:
        return TemplateFiller(needs, self._secrets.values, self._plan.given.args)

    def _context(self, leg: LegSpec, needs: Mapping[str, NeedContext]) -> Context:
        if not _asks(leg):
            return Context()
        more = contexts_of_leg(self._plan.contexts, leg.job, leg.strategy)
        return Context(needs=needs, matrix=leg.matrix, params=self._plan.params, more=more)

    def _in_background(self, leg: LegSpec, fill: TemplateFiller, release: int) -> dict[str, Any]:
        return {
            "background": True,
            "release": release,
            "is_needed": leg.job in self._needed,
            "ready": None if leg.ready is None else _ready(leg.ready, fill),
        }

    def _workspace(self, leg: LegSpec, attempt: int, fill: TemplateFiller) -> WorkspaceRequest:
        return WorkspaceRequest(
            kind=leg.workspace,
            beside=self._beside,
            tree=tree_place(self._run, self._numbers[leg.id], self._file_name(leg.id), attempt),
            keeps_failed=self._plan.keeps_trees,
            leaves=os.path.isabs(fill.text(leg.directory)),  # noqa: PTH117
            handed=tuple(self._handed(leg)),
            hand_on=self.handover_of(leg) if self.hands_on(leg) else "",
            caches=tuple(
                CacheSpec(
                    fill.text(each.name),
                    tuple(map(fill.text, each.paths)),
                    tuple(map(fill.text, each.restore)),
                )
                for each in leg.cache
            ),
            cache=os.path.join(self._home, CACHE),  # noqa: PTH118
            cache_limit=self._cache_limit,
        )

    def hands_on(self, leg: LegSpec) -> bool:
        """Whether what a leg makes is kept in the folder of the run, for those that need it or are asked for it."""
        return bool(leg.outputs) and (leg.workspace.is_own or leg.job in self._isolated)

    def handover_of(self, leg: LegSpec, run: str | None = None) -> str:
        """Return the folder for what a leg makes, of this run or of another of the same home."""
        folder = self._run if run is None else os.path.join(self._home, "runs", run)  # noqa: PTH118
        return handover_place(folder, leg.id, self._file_name(leg.id))

    def take_over_handover(self, leg: LegSpec, run: str) -> None:
        """Have what a leg made in a past run in this one too, where somebody may want it."""
        if self.hands_on(leg):
            take_over(self.handover_of(leg, run), self.handover_of(leg))

    def _handed(self, leg: LegSpec) -> Iterator[Handover]:
        for need in self._jobs[leg.job].needs:
            for other in self._jobs[need.job].legs if need.job in self._jobs else ():
                if other.outputs and (other.workspace.is_own or leg.workspace.is_own):
                    yield Handover(other.id, self.handover_of(other))

    def _directory(self, leg: LegSpec, fill: TemplateFiller) -> str:
        return os.path.normpath(os.path.join(self._beside, fill.text(leg.directory)))  # noqa: PTH118

    def _dotenv(self, leg: LegSpec) -> tuple[str, ...]:
        return tuple(os.path.join(self._beside, name) for name in leg.dotenv)  # noqa: PTH118

    def _up_to_date(
        self, leg: LegSpec, fill: TemplateFiller, directory: str, dotenv: Sequence[str]
    ) -> UpToDateCheck:
        # What the job reads of its variables counts as an input.
        variables = (glob.escape(os.path.relpath(path, directory)) for path in dotenv)
        definition: dict[str, object] = {
            "command": [_defined(step.command) for step in leg.steps],
            "env": [dict(leg.env), *(dict(step.command.env) for step in leg.steps)],
            "services": [_defined(service.command) for service in leg.services],
            "matrix": dict(leg.matrix),
            "values": list(self._jobs[leg.job].values),
            "needs": {name: need["outputs"] for name, need in fill.needs.items()},
        }
        if fill.args and takes_arguments(leg):
            definition["args"] = list(fill.args)
        if leg.workspace.is_own:
            definition["workspace"] = leg.workspace.value
        if asked := asked_values(names_of_leg(leg), self._plan.contexts):
            definition["contexts"] = asked
        return UpToDateCheck(
            job=leg.id,
            root=directory,
            inputs=(*map(fill.text, leg.inputs), *variables),
            outputs=tuple(map(fill.text, leg.outputs)),
            definition=definition,
            home=self._home,
            workflow=str(self._plan.path),
            within="." if leg.workspace.is_own else None,
        )


def _not_at_the_terminal(leg: LegSpec, stdin: StdinState) -> Iterator[str]:
    if leg.interactive and stdin is StdinState.BACKGROUND:
        yield "it is interactive, and mprun is not in the foreground of its terminal"


def attempts_beside(log: str, attempt: int, names: Iterable[str]) -> dict[int, str]:
    """Return the logs of a leg's attempts, by number: of one the name is known, `names` are all that there are."""
    end = f".{attempt}.log" if attempt > 1 else ".log"
    if not log.endswith(end):
        return {attempt: log}
    stem = log.removesuffix(end)
    ends = ((name, _ATTEMPT.fullmatch(name.removeprefix(stem))) for name in names if name.startswith(stem))
    return {attempt: log} | {int(found[1] or 1): name for name, found in ends if found}


def remove_unread_outputs(logs: Path) -> None:
    """Take away what attempts that were killed with their runner had written to hand on, which may be secret."""
    for left in logs.glob("*.out*"):
        with suppress(OSError):
            left.unlink()


def _defined(command: CommandSpec) -> list[object]:
    return [command.run, dict(command.values), command.shell, command.directory]


def _asks(leg: LegSpec) -> bool:
    return any(step.condition for step in (*leg.steps, *leg.ensure))


def _step(step: StepSpec, fill: TemplateFiller) -> StepRequest:
    return StepRequest(
        step.name, _command(step.command, fill), step.condition, step.timeout, step.may_fail, step.id
    )


def _service(service: ServiceSpec, fill: TemplateFiller, log: str) -> ServiceRequest:
    ready = None if service.ready is None else _ready(service.ready, fill)
    return ServiceRequest(service.name, _command(service.command, fill), ready, log)


def _ready(ready: ReadySpec, fill: TemplateFiller) -> ReadinessRequest:
    command = None if ready.command is None else _command(ready.command, fill)
    http = None if ready.http is None else fill.text(ready.http)
    return ReadinessRequest(
        ready.port, fill.text(ready.host), command, ready.prints, ready.every, ready.timeout, http
    )


def _command(command: CommandSpec, fill: TemplateFiller) -> CommandRequest:
    fill, env = fill.for_process(command.env)
    directory = None if command.directory is None else fill.text(command.directory)
    if not isinstance(command.run, str):
        words = tuple(word for each in command.run for word in fill.words(each))
        return CommandRequest(words, None, env, directory)
    # In another language a script has no reference but `$${{`: the check has refused it.
    is_posix = command.shell[0].rpartition("/")[2] in POSIX
    text, variables = fill.script(command.run, command.values) if is_posix else (fill.text(command.run), {})
    shell = command.shell
    if "{text}" in shell and len(text) > _LONGEST_ARGUMENT:
        shell = (*(word for word in shell if word not in ("-c", "{text}")), "{0}")
        shell = tuple("-e" if word == "-ec" else word for word in shell)
    if "{text}" in shell:
        return CommandRequest(
            tuple(text if w == "{text}" else w for w in shell), None, {**env, **variables}, directory
        )
    return CommandRequest(shell, text, {**env, **variables}, directory)


def _file_name(text: str) -> str:
    """Return a text as part of a file's name: short, without what a file's name can't have, here or in this locale."""
    possible = text.encode(sys.getfilesystemencoding(), "replace").decode(sys.getfilesystemencoding())
    return _IN_NAMES.sub("-", possible).strip("-")[:60] or "job"
