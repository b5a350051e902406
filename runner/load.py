"""From a path to a checked workflow. Every step that can still run does, and all problems are kept.

    read ► include ► override ► put right ► params ► references ► shape ► build ► wiring ► handlers
                                     what is wrong goes to `problems`; the rest goes on to the next step

Checking starts nothing and runs no user code: it reads files and looks at source.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from runner.build import UNKNOWN_HANDLER, build
from runner.errors import SpecError
from runner.findings import Finding, Spoilt, located
from runner.handlers.asking import asks as asks_for
from runner.handlers.asking import may_drive
from runner.handlers.check import check_handler
from runner.handlers.fault import Fault
from runner.handlers.locked import check_locked
from runner.handlers.ordered import check_ordered
from runner.handlers.resumable import check_resumable
from runner.handlers.retryable import check_retryable
from runner.handlers.signature import read_signature
from runner.include import include_all
from runner.interpolation import Replaced, replace_references
from runner.overrides import override, parse_params
from runner.problems import Problem, errors_only, in_file_order
from runner.repair import put_right, spoilt_by, unfit, without
from runner.schema_problems import schema_for, shape_findings
from runner.sizes import TOO_MANY_WORKERS, check_sizes
from runner.source import read
from runner.source_marks import DataPath, Source
from runner.spec import Given, HandlerRef, Role, StageSpec, WorkflowSpec
from runner.wiring import check_wiring
from runner.wiring_effect import check_effect
from runner.wiring_flow import check_flow
from runner.wiring_objects import check_objects
from runner.wiring_policy import check_policy
from runner.wiring_sentinel import check_sentinels
from runner.wiring_servers import check_servers
from runner.wiring_transport import check_transport
from runner.wiring_turns import check_turns


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check came to."""

    spec: WorkflowSpec | None
    """None if any problem is an error."""
    problems: tuple[Problem, ...]
    """In file order, warnings too."""
    source: Source | None
    """None if the file could not be read."""


def load(path: str | Path, *, params: Sequence[str] = (), overrides: Sequence[str] = ()) -> WorkflowSpec:
    """
    Return the workflow in a file, with `params` (`name=value`) and `overrides` (`a.b=value`) applied.

    Raises:
        SpecError: it does not check; carries all problems.
    """
    checked = check(Path(path), params=params, overrides=overrides)
    if checked.spec is None:
        raise SpecError(checked.problems)
    return checked.spec


def check(path: Path, *, params: Sequence[str] = (), overrides: Sequence[str] = ()) -> Checked:
    """Check a file and return its spec with its problems. Bad input is a problem, never an exception."""
    try:
        source = read(path)
    except SpecError as error:
        return Checked(None, tuple(in_file_order(error.problems)), None)
    checking = _Checking(source, path)
    spec = checking.run(params, overrides)
    problems = tuple(in_file_order(checking.problems))
    return Checked(None if errors_only(problems) else spec, problems, checking.source)


@dataclass(slots=True)
class _Checking:
    """One walk through the steps. `source` changes as files and options come in; `problems` only grows."""

    source: Source
    path: Path
    problems: list[Problem] = field(default_factory=list)
    renamed: frozenset[DataPath] = frozenset()

    def run(self, params: Sequence[str], overrides: Sequence[str]) -> WorkflowSpec | None:
        """Take all steps; what comes out is only good for use if no problem is an error."""
        self._gather(overrides)
        replaced = self._replace_references(params)
        findings = self._check_shape(replaced)
        if any(finding.code == TOO_MANY_WORKERS for finding in findings):
            return None  # their names alone could fill the memory
        spoilt = spoilt_by(findings, replaced.unread)
        data = without(replaced.data, _unfit(findings, replaced))
        given = Given(tuple(params), tuple(overrides))
        spec = replace(build(data, self.path, replaced.params.values), given=given)
        if "jobs" in data:
            from runner.load_jobs import with_jobs  # only those who have jobs wait for it

            spec, problems = with_jobs(self.source, data["jobs"], spec, spoilt)
            self.problems += problems
            return spec
        self.problems += located(check_wiring(spec.stages, spec.queues, spoilt), self.source)
        self.problems += located(check_policy(spec.stages, spoilt), self.source)
        self.problems += located(check_effect(data, spoilt), self.source)
        self.problems += located(check_transport(spec.stages, spec.transport), self.source)
        self.problems += located(check_flow(spec.stages, spec.queues, spec.transport, spoilt), self.source)
        self.problems += located(_check_with_handlers(spec, spoilt), self.source)
        self.problems += located(_check_handlers(spec, spoilt), self.source)
        return spec

    def _gather(self, overrides: Sequence[str]) -> None:
        """Put together what is included, what is set from outside, and keys under their right names."""
        self._include()
        self.source, problems = override(self.source, overrides)
        self.problems += problems
        self.source, problems, self.renamed = put_right(self.source)
        self.problems += problems
        if ("include",) in self.renamed:
            self._include()
        self.problems += self.source.traps

    def _include(self) -> None:
        self.source, problems = include_all(self.source)
        self.problems += problems

    def _replace_references(self, params: Sequence[str]) -> Replaced:
        given, problems = parse_params(params)
        replaced = replace_references(self.source, given, os.environ)
        self.problems += [*problems, *replaced.problems]
        return replaced

    def _check_shape(self, replaced: Replaced) -> list[Finding]:
        """Return what does not fit. What follows from a bad reference or a misspelt key is not told again."""
        data = replaced.data
        findings = shape_findings(schema_for(data), data, self.source.scalar_text)
        findings += check_sizes(data)
        if "jobs" in data:
            from runner.load_jobs import judged_by_now

            findings = judged_by_now(findings, data)
        told = replaced.unread | self.renamed
        self.problems += located((f for f in findings if f.part == "key" or f.path not in told), self.source)
        return findings


def _unfit(findings: Iterable[Finding], replaced: Replaced) -> list[DataPath]:
    """Return what has to go before a spec can be built. Arguments may stay: nothing looks at their shape."""
    arguments = (("with",), ("args",))
    return [*unfit(findings), *(path for path in replaced.unread if path[2:3] not in arguments)]


def _check_with_handlers(spec: WorkflowSpec, spoilt: Spoilt) -> list[Finding]:
    """Check what the stages alone can't tell: whether a handler asks for a lock, or drives its queue."""
    read = functools.cache(read_signature)

    def asks(stage: StageSpec, name: str) -> bool | None:
        return asks_for(stage, name, spec.path.parent, read)

    def drives(stage: StageSpec) -> bool:
        return may_drive(stage, spec.path.parent, read)

    return [
        *check_turns(spec.stages, spec.locks, lambda stage, name: asks(stage, name) is not False, spoilt),
        *check_objects(spec, asks, spoilt),
        *check_sentinels(spec.stages, spec.queues, drives, spoilt),
        *check_servers(spec.stages, spoilt),
    ]


def _check_handlers(spec: WorkflowSpec, spoilt: Spoilt) -> Iterator[Finding]:
    check_one = _handler_check(spec.path.parent, spec.declared)
    for stage in spec.stages:
        for fault in check_one(stage) if _is_known(stage, spoilt) else ():
            path = ("stages", stage.name, *fault.where)
            if spoilt.knows(*path):
                yield Finding(path, fault.code, fault.message, fault.part, fault.help)


def _handler_check(beside: Path, declared: Mapping[str, str]) -> Callable[[StageSpec], list[Fault]]:
    """
    Return a check of one stage that looks at each handler once. Ten thousand stages often share a few.

    To be made anew for each load: the source of handlers may change in between.
    """
    read = functools.cache(read_signature)

    @functools.cache
    def check_without_arguments(target: str, role: Role) -> list[Fault]:
        return check_handler(HandlerRef("python", target), {}, role, beside, read, declared)

    def check_one(stage: StageSpec) -> list[Fault]:
        again = [
            *(
                fault
                for check in (check_resumable, check_ordered, check_locked)
                for fault in check(stage, beside, read)
            ),
            *check_retryable(stage, beside),
        ]
        if stage.handler.kind == "python" and not stage.arguments and not stage.places:
            return check_without_arguments(stage.handler.target, stage.role) + again
        found = check_handler(
            stage.handler, stage.arguments, stage.role, beside, read, declared, stage.places
        )
        return found + again

    return check_one


def _is_known(stage: StageSpec, spoilt: Spoilt) -> bool:
    """Say whether a stage's handler, its role and the names of its arguments are as they were meant."""
    ends = {"from": stage.receives, "to": stage.sends}
    roles = all(end is not None or spoilt.knows("stages", stage.name, key) for key, end in ends.items())
    given = {"with": stage.arguments, "args": stage.places}
    arguments = all(bool(each) or spoilt.knows("stages", stage.name, key) for key, each in given.items())
    return stage.handler is not UNKNOWN_HANDLER and roles and arguments
