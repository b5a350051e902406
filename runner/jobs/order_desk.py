"""From a leg whose turn it is to the order that a worker gets: references filled, paths made whole, secrets looked up.

LegSpec + outputs of its needs + the environment ──► OrderDesk ──► Order
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runner.errors import UsageError
from runner.jobs.conditions import Context, Need
from runner.jobs.decisions import Start
from runner.jobs.masking import unfit_secrets
from runner.jobs.orders import CommandOrder, FreshOrder, Order, ReadyOrder, ServiceOrder, StepOrder
from runner.jobs.scripts import POSIX
from runner.jobs.texts import Filling
from runner.plan import Plan
from runner.spec_jobs import CommandSpec, JobSpec, LegSpec, ReadySpec, ServiceSpec, StepSpec

_LONGEST_ARGUMENT = 100_000
"""Bytes; the kernel takes some more in one argument. A longer script goes into a file."""
_IN_NAMES = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of a run, by name."""

    values: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def gathered(cls, jobs: Sequence[JobSpec], environ: Mapping[str, str]) -> Secrets:
        """
        Look up what jobs ask for. One that is not set fails the job that asks for it, if that runs at all.

        Raises:
            UsageError: one can't be masked.
        """
        asked = dict.fromkeys(name for job in jobs for leg in job.legs for name in leg.secrets)
        values = {name: environ[name] for name in asked if environ.get(name)}
        for name, why in unfit_secrets(values).items():
            raise UsageError(f"secret '{name}' can't be used: {why}")
        return cls(values)


class OrderDesk:
    """Makes the orders of one run."""

    def __init__(self, plan: Plan, secrets: Secrets, logs: Path, home: Path) -> None:
        """`logs` is the folder for logs, `home` that of the record."""
        self._plan = plan
        self._secrets = secrets
        self._logs = str(logs)
        self._home = str(home)
        self._beside = str(plan.path.parent.absolute())
        self._jobs = {job.name: job for job in plan.jobs}
        self._numbers = {leg.id: n for n, leg in enumerate((g for j in plan.jobs for g in j.legs), start=1)}

    def log_of(self, leg: LegSpec, attempt: int) -> str:
        """Return the file that an attempt logs to."""
        again = f".{attempt}" if attempt > 1 else ""
        return f"{self._logs}/{self._numbers[leg.id]:04}-{_file_name(leg.id)}{again}.log"

    def order(self, number: int, start: Start, needs: Mapping[str, Need]) -> Order:
        """Return the order for an attempt."""
        leg = start.leg
        fill = Filling(needs, self._secrets.values)
        log = self.log_of(leg, start.attempt)
        return Order(
            number=number,
            leg=leg.id,
            attempt=start.attempt,
            steps=tuple(_step(step, fill) for step in leg.steps),
            log=log,
            output=f"{log.removesuffix('.log')}.out",
            directory=os.path.normpath(os.path.join(self._beside, fill.text(leg.directory))),  # noqa: PTH118
            env={**self._own_secrets(leg), **{name: fill.text(value) for name, value in leg.env.items()}},
            hidden=tuple(self._secrets.values),
            dotenv=tuple(os.path.join(self._beside, name) for name in leg.dotenv),  # noqa: PTH118
            ensure=tuple(_step(step, fill) for step in leg.ensure),
            services=tuple(_service(service, fill, log) for service in leg.services),
            secrets=tuple(self._secrets.values.values()),
            missing=tuple(name for name in leg.secrets if name not in self._secrets.values),
            values=self._jobs[leg.job].values,
            context=Context(
                needs=needs, matrix=leg.matrix, params=self._plan.params, env={**os.environ, **leg.env}
            )
            if _asks(leg)
            else Context(),
            deadline=start.deadline,
            job_timeout=leg.timeout,
            attempt_timeout=leg.attempts.timeout,
            idle_timeout=leg.idle_timeout,
            grace=self._plan.limits.stop_timeout,
            fresh=self._fresh(leg, needs) if leg.inputs else None,
        )

    def _own_secrets(self, leg: LegSpec) -> dict[str, str]:
        known = self._secrets.values
        return {name: known[name] for name in leg.secrets if name in known}

    def _fresh(self, leg: LegSpec, needs: Mapping[str, Need]) -> FreshOrder:
        definition: dict[str, object] = {
            "command": [_defined(step.command) for step in leg.steps],
            "env": [dict(leg.env), *(dict(step.command.env) for step in leg.steps)],
            "services": [_defined(service.command) for service in leg.services],
            "matrix": dict(leg.matrix),
            "values": list(self._jobs[leg.job].values),
            "needs": {name: need.outputs for name, need in needs.items()},
        }
        return FreshOrder(self._home, str(self._plan.path), leg.inputs, leg.outputs, definition)


def _defined(command: CommandSpec) -> list[object]:
    return [command.run, dict(command.values), command.shell, command.directory]


def _asks(leg: LegSpec) -> bool:
    return any(step.condition for step in (*leg.steps, *leg.ensure))


def _step(step: StepSpec, fill: Filling) -> StepOrder:
    return StepOrder(step.name, _command(step.command, fill), step.condition, step.timeout, step.may_fail)


def _service(service: ServiceSpec, fill: Filling, log: str) -> ServiceOrder:
    ready = None if service.ready is None else _ready(service.ready, fill)
    own_log = f"{log.removesuffix('.log')}.{_file_name(service.name)}.log"
    return ServiceOrder(service.name, _command(service.command, fill), ready, own_log)


def _ready(ready: ReadySpec, fill: Filling) -> ReadyOrder:
    command = None if ready.command is None else _command(ready.command, fill)
    return ReadyOrder(ready.port, ready.host, command, ready.prints, ready.every, ready.timeout)


def _command(command: CommandSpec, fill: Filling) -> CommandOrder:
    env = {name: fill.text(value) for name, value in command.env.items()}
    directory = None if command.directory is None else fill.text(command.directory)
    if not isinstance(command.run, str):
        return CommandOrder(tuple(map(fill.text, command.run)), None, env, directory)
    # In another language a script has no reference but `$${{`: the check has refused it.
    is_posix = command.shell[0].rpartition("/")[2] in POSIX
    text, variables = fill.script(command.run, command.values) if is_posix else (fill.text(command.run), {})
    shell = command.shell
    if "{text}" in shell and len(text) > _LONGEST_ARGUMENT:
        shell = (*(word for word in shell if word not in ("-c", "{text}")), "{0}")
        shell = tuple("-e" if word == "-ec" else word for word in shell)
    if "{text}" in shell:
        return CommandOrder(
            tuple(text if w == "{text}" else w for w in shell), None, {**env, **variables}, directory
        )
    return CommandOrder(shell, text, {**env, **variables}, directory)


def _file_name(text: str) -> str:
    """Return a text as part of a file's name: short, without what a file's name can't have."""
    return _IN_NAMES.sub("-", text).strip("-")[:60] or "job"
