"""From a path to a checked workflow. Every step that can still run does, and all problems are kept.

    read ► include ► override ► templates ► correct keys ► params ► references ► shape ► build ► topology ► handlers
                                     what is wrong goes to `diagnostics`; the rest goes on to the next step

Checking starts nothing and runs no user code: it reads files and looks at source.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import SpecError
from runner.facts import dataclass
from runner.handlers.arguments import Fault
from runner.handlers.inspection.signatures import read_signature
from runner.loader.build import build_spec
from runner.loader.checks.commands import check_commands
from runner.loader.checks.commits import check_commits, with_done_when
from runner.loader.checks.handlers import asks as asks_for
from runner.loader.checks.handlers import (
    check_batch,
    check_handler,
    check_locked,
    check_ordered,
    check_resumable,
    check_retryable,
    may_drive,
)
from runner.loader.checks.outputs import check_outputs
from runner.loader.checks.pace import check_pace
from runner.loader.checks.resources import check_contracts, check_objects
from runner.loader.checks.resume import check_committed, check_resume, with_over_death
from runner.loader.checks.stages import (
    check_defaults,
    check_effect,
    check_flow,
    check_policy,
    check_sentinels,
    check_servers,
    check_turns,
)
from runner.loader.checks.topology import check_topology
from runner.loader.checks.transport import check_transport
from runner.loader.interpolation import NO_TEMPLATES, TESTS, FromTemplates, Replaced, replace_references
from runner.loader.limits import TOO_MANY_WORKERS, check_limits
from runner.loader.recovery import correct_keys, drop_paths, unknown_paths, unusable_paths
from runner.loader.schema.validate import check_shape, schema_for
from runner.loader.schema.workflow import USE
from runner.spec.diagnostics import (
    DataPath,
    Diagnostic,
    LocatedDiagnostic,
    UnknownPaths,
    errors_only,
    in_file_order,
)
from runner.spec.model import Given, HandlerRef, Role, StageSpec, WorkflowSpec
from runner.spec.source.include import include_all
from runner.spec.source.overrides import override, parse_params
from runner.spec.source.positions import SourceDocument
from runner.spec.source.reader import read, read_text

if TYPE_CHECKING:
    from runner.loader.contexts import KnownContexts
    from runner.spec.file_tests.model import FileTest

MISSING_PARAM = "missing-param"
"""The code of the problem that a param has no value, as nobody has given it one."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check came to."""

    spec: WorkflowSpec | None
    """None if any problem is an error."""
    diagnostics: tuple[LocatedDiagnostic, ...]
    """In file order, warnings too."""
    source: SourceDocument | None
    """None if the file could not be read."""
    tests: tuple[FileTest, ...] = ()
    """The tests in the file."""


def load(path: str | Path, *, params: Sequence[str] = (), overrides: Sequence[str] = ()) -> WorkflowSpec:
    """
    Return the workflow in a file, with `params` (`name=value`) and `overrides` (`a.b=value`) applied.

    Raises:
        SpecError: it does not check; carries all problems.
    """
    checked = check(Path(path), params=params, overrides=overrides)
    if checked.spec is None:
        raise SpecError(checked.diagnostics)
    return checked.spec


def check(
    path: Path,
    *,
    params: Sequence[str] = (),
    overrides: Sequence[str] = (),
    text: str | None = None,
    forgiven: frozenset[str] = frozenset(),
) -> Checked:
    """
    Check a file and return its spec with its problems. Bad input is a problem, never an exception.

    With `text` that is what stands in the file, whatever it holds now. Errors whose code is `forgiven` do not cost the
    spec, which is then for looking at, and not for running.
    """
    try:
        source = read(path) if text is None else read_text(text, str(path), path)
    except SpecError as error:
        return Checked(None, tuple(in_file_order(error.diagnostics)), None)
    checking = _Checking(source, path)
    spec = checking.run(params, overrides)
    diagnostics = tuple(in_file_order(_once_for_slips([*checking.told()])))
    grave = [each for each in errors_only(diagnostics) if each.code not in forgiven]
    return Checked(None if grave else spec, diagnostics, checking.source, checking.tests)


def _once_for_slips(diagnostics: Sequence[LocatedDiagnostic]) -> Iterator[LocatedDiagnostic]:
    """Leave out what is said of a key as the one that it is taken for, where it is said that there is no such key."""
    slips = {(each.file, each.span) for each in diagnostics if each.code == "unknown-key"}
    yield from (d for d in diagnostics if d.code == "unknown-key" or (d.file, d.span) not in slips)


@dataclass(slots=True)
class _Checking:
    """One walk through the steps. `source` changes as files and options come in; `diagnostics` only grows."""

    source: SourceDocument
    path: Path
    diagnostics: list[LocatedDiagnostic] = field(default_factory=list)
    renamed: frozenset[DataPath] = frozenset()
    unexpanded: frozenset[DataPath] = frozenset()
    """Stages whose template can't be used."""
    templates: FromTemplates = NO_TEMPLATES
    tests: tuple[FileTest, ...] = ()

    def run(self, params: Sequence[str], overrides: Sequence[str]) -> WorkflowSpec | None:
        """Take all steps; what comes out is only good for use if no problem is an error."""
        given, wrong = parse_params(params)
        self.diagnostics += wrong
        self._gather(overrides, given)
        replaced, contexts = self._replaced(given)
        diagnostics = self._check_shape(replaced)
        if any(diagnostic.code == TOO_MANY_WORKERS for diagnostic in diagnostics):
            return None  # their names alone could fill the memory
        unknowns = unknown_paths(diagnostics, replaced.unread | self.unexpanded)
        data = drop_paths(replaced.data, _unfit(diagnostics, replaced))
        included = tuple((each.file, each.text) for each in self.source.included)
        was_given = Given(tuple(params), tuple(overrides), self.source.mark.text.text, included)
        spec = replace(build_spec(data, self.path, replaced.params.values, os.environ), given=was_given)
        if "jobs" in data:
            from runner.loader.load_jobs import with_jobs  # only those who have jobs wait for it

            spec, problems = with_jobs(self.source, data["jobs"], spec, unknowns, contexts)
            self.diagnostics += problems
            return spec
        self.diagnostics += self.source.place_all(check_topology(spec.stages, spec.queues, unknowns))
        self.diagnostics += self.source.place_all(check_policy(spec.stages, unknowns))
        self.diagnostics += self.source.place_all(check_effect(data, unknowns))
        self.diagnostics += self.source.place_all(check_transport(spec.stages, spec.transport))
        self.diagnostics += self.source.place_all(
            check_flow(spec.stages, spec.queues, spec.transport, unknowns)
        )
        if _has_ways(spec):
            from runner.loader.checks.routes import check_routes  # few files have several ways for an item

            self.diagnostics += self.source.place_all(check_routes(spec, unknowns))
        self.diagnostics += self.source.place_all(_check_with_handlers(spec, unknowns))
        self.diagnostics += self.source.place_all(_check_handlers(spec, unknowns))
        self.diagnostics += check_commands(self.source, spec.stages, unknowns)
        self.diagnostics += self.source.place_all(check_outputs(spec.stages, spec.transport, unknowns))
        spec = with_over_death(with_done_when(spec))
        self.diagnostics += self.source.place_all(check_commits(spec, unknowns))
        self.diagnostics += self.source.place_all(check_pace(spec, unknowns))
        self.diagnostics += self.source.place_all(check_resume(spec, unknowns))
        self.diagnostics += self.source.place_all(check_committed(spec, unknowns))
        if TESTS in data:
            from runner.loader.checks.file_tests import (
                check_file_tests,
            )  # only those who have tests wait for it

            self.tests, wrong_tests = check_file_tests(data, spec, unknowns)
            self.diagnostics += self.source.place_all(wrong_tests)
        return spec

    def _gather(self, overrides: Sequence[str], given: Mapping[str, str]) -> None:
        """Put together what is included, what is set from outside, and keys under their right names."""
        self._include()
        self.source, diagnostics = override(self.source, overrides)
        self.diagnostics += diagnostics
        self._put_templates_in(given)
        self.source, diagnostics, self.renamed = correct_keys(self.source)
        self.diagnostics += diagnostics
        if ("include",) in self.renamed:
            self._include()
        if any(path[0] == "stages" and path[2:] == (USE,) for path in self.renamed):
            self._put_templates_in(given)
        self.diagnostics += [trap for trap in self.source.traps if not self._is_told_of(trap)]
        if self._has_job_defaults:
            from runner.loader.job_defaults import with_job_defaults  # only those who have some wait for it

            self.source = with_job_defaults(self.source)
        self.diagnostics += self.source.place_all(check_defaults(self.source))

    def _replaced(self, given: Mapping[str, str]) -> tuple[Replaced, KnownContexts | None]:
        """Replace references, and return with that what jobs may ask for beside params and variables."""
        contexts = None
        if isinstance(self.source.data, dict) and "jobs" in self.source.data:
            from runner.loader.contexts import known_contexts, split_given  # for files with jobs alone

            given, for_contexts = split_given(self.source, given)
            contexts = known_contexts(self.source, self.path, for_contexts, os.environ)
            self.diagnostics += contexts.diagnostics
        texts = contexts.texts if contexts is not None else {}
        replaced = replace_references(self.source, given, os.environ, self.templates, texts)
        self.diagnostics += replaced.diagnostics
        return replaced, contexts

    @property
    def _has_job_defaults(self) -> bool:
        defaults = self.source.data.get("defaults") if isinstance(self.source.data, dict) else None
        return isinstance(defaults, dict) and "job" in defaults

    def told(self) -> Iterable[LocatedDiagnostic]:
        """Return the problems, each once."""
        if not self._has_job_defaults:
            return self.diagnostics
        from runner.loader.job_defaults import told_once

        return told_once(self.source, self.diagnostics)

    def _is_told_of(self, trap: LocatedDiagnostic) -> bool:
        """Say whether it is that of a pasted `on`, which has a problem of its own with what to do."""
        data = self.source.data
        if trap.code != "boolean-key" or not isinstance(data, dict) or not {"on", "jobs"} <= data.keys():
            return False
        own = self.source.place(Diagnostic(("on",), trap.code, "", "key"))
        return (trap.file, trap.span) == (own.file, own.span)

    def _include(self) -> None:
        self.source, diagnostics = include_all(self.source)
        self.diagnostics += diagnostics

    def _put_templates_in(self, given: Mapping[str, str]) -> None:
        stages = self.source.data.get("stages")
        if not isinstance(stages, dict) or not any(isinstance(k, dict) and USE in k for k in stages.values()):
            return
        from runner.loader.templates import expand_templates  # only those who use some wait for it

        expanded = expand_templates(self.source, given, os.environ)
        self.source, self.unexpanded = expanded.source, self.unexpanded | expanded.unexpanded
        self.templates = expanded.templates
        self.diagnostics += expanded.diagnostics

    def _check_shape(self, replaced: Replaced) -> list[Diagnostic]:
        """Return what does not fit. What follows from a bad reference or a misspelt key is not told again."""
        data = replaced.data
        schema = schema_for(data)
        diagnostics = [*check_shape(schema, data, self.source.scalar_text), *check_limits(schema, data)]
        if "jobs" in data:
            from runner.loader.load_jobs import judged_by_now

            diagnostics = judged_by_now(diagnostics, data)
        reported = replaced.unread | self.renamed
        self.diagnostics += self.source.place_all(
            f
            for f in diagnostics
            if f.path not in self.unexpanded and (f.part == "key" or f.path not in reported)
        )
        return diagnostics


def _has_ways(spec: WorkflowSpec) -> bool:
    """Whether items go any other way than on from one queue to the next."""
    stages = (stage.routes or stage.errors_to for stage in spec.stages)
    return any(stages) or any(queue.loop or queue.unique for queue in spec.queues)


def _unfit(diagnostics: Iterable[Diagnostic], replaced: Replaced) -> list[DataPath]:
    """Return what has to go before a spec can be built. Arguments may stay: nothing looks at their shape."""
    arguments = (("with",), ("args",))
    return [*unusable_paths(diagnostics), *(path for path in replaced.unread if path[2:3] not in arguments)]


def _check_with_handlers(spec: WorkflowSpec, unknowns: UnknownPaths) -> list[Diagnostic]:
    """Check what the stages alone can't tell: whether a handler asks for a lock, or drives its queue."""
    read = functools.cache(read_signature)

    def asks(stage: StageSpec, name: str) -> bool | None:
        return asks_for(stage, name, spec.path.parent, read)

    def drives(stage: StageSpec) -> bool:
        return may_drive(stage, spec.path.parent, read)

    return [
        *check_turns(spec.stages, spec.locks, lambda stage, name: asks(stage, name) is not False, unknowns),
        *check_objects(spec, asks, unknowns),
        *check_sentinels(spec.stages, spec.queues, drives, unknowns),
        *check_servers(spec.stages, unknowns),
        *check_contracts(spec),
    ]


def _check_handlers(spec: WorkflowSpec, unknowns: UnknownPaths) -> Iterator[Diagnostic]:
    check_one = _handler_check(spec.path.parent, spec.declared)
    for stage in spec.stages:
        for fault in check_one(stage) if _is_known(stage, unknowns) else ():
            path = ("stages", stage.name, *fault.where)
            if unknowns.knows(*path):
                yield Diagnostic(path, fault.code, fault.message, fault.part, fault.help)


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
                for check in (check_resumable, check_ordered, check_batch, check_locked)
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


def _is_known(stage: StageSpec, unknowns: UnknownPaths) -> bool:
    """Say whether a stage's handler, its role and the names of its arguments are as they were meant."""
    ends = {"from": stage.receives, "to": next(iter(stage.targets), None)}
    roles = all(end is not None or unknowns.knows("stages", stage.name, key) for key, end in ends.items())
    given = {"with": stage.arguments, "args": stage.places}
    arguments = all(bool(each) or unknowns.knows("stages", stage.name, key) for key, each in given.items())
    return stage.handler.is_known and roles and arguments
