"""Whether the tests in a file can be: that what they name is there, and that nothing of them reaches outside.

A source or a sink that a test does not replace is a problem: it would read or write what is not in the test. A handler
in Python may say `real`, as nobody but its author knows what it does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from runner.spec.diagnostics import DataPath, Diagnostic, UnknownPaths
from runner.spec.file_tests.faults import FaultKind, FaultSpec
from runner.spec.file_tests.model import FileTest, Stand, file_tests_of
from runner.spec.model import Role, StageSpec, WorkflowSpec
from runner.spec.suggestions import did_you_mean

_MISFIT = "test-misfit"
_HOW = {
    Role.PRODUCER: "give it items: replace: {%s: {items: […]}}",
    Role.CONSUMER: "keep what it gets: replace: {%s: collect}",
    Role.PLAIN: "leave it out: replace: {%s: skip}",
}
_PURE = ("python", "command", "items", "range")
"""Kinds of handlers of the user's own, and those that touch nothing outside."""


def check_file_tests(
    data: Mapping[str, Any], spec: WorkflowSpec, unknowns: UnknownPaths
) -> tuple[tuple[FileTest, ...], list[Diagnostic]]:
    """Return the tests in the data of a file, and what is wrong with them."""
    written = data.get("tests") or {}
    known = {name: keys for name, keys in written.items() if unknowns.knows_whole("tests", name)}
    tests = file_tests_of({"tests": known})
    problems = [problem for test in tests for problem in _Check(test, spec).problems()]
    return tests, [each for each in problems if not _hangs_on_unknown(each, spec, unknowns)]


def _hangs_on_unknown(problem: Diagnostic, spec: WorkflowSpec, unknowns: UnknownPaths) -> bool:
    """Say whether nobody can tell, because of what has been reported of the stages."""
    stages = [stage.name for stage in spec.stages]
    whole = all(unknowns.knows("stages", name) for name in stages) and unknowns.knows("stages")
    return not whole and problem.code in ("unknown-stage", "unknown-queue", "not-hermetic")


class _Check:
    """What is wrong with one test."""

    def __init__(self, test: FileTest, spec: WorkflowSpec) -> None:
        self._test = test
        self._spec = spec
        self._stages = {stage.name: stage for stage in spec.stages}
        self._tested = self._stages.get(test.stage or "")

    def problems(self) -> Iterator[Diagnostic]:
        """Yield all there is, in no order."""
        yield from self._unknown_stages()
        yield from self._params()
        yield from self._files()
        yield from self._of_stage() if self._test.stage is not None else self._of_workflow()
        for number, fault in enumerate(self._test.faults):
            yield from self._of_fault(fault, ("faults", number, fault.kind.value))
        yield from self._ledger()

    def _unknown_stages(self) -> Iterator[Diagnostic]:
        test = self._test
        named: list[tuple[str | None, DataPath, Any]] = [(test.stage, ("stage",), "value")]
        named += [(name, ("replace", name), "key") for name in test.replace]
        named += [
            (fault.stage, ("faults", number, fault.kind.value, "stage"), "value")
            for number, fault in enumerate(test.faults)
        ]
        named += [
            (failure.stage, ("expect", "failures", number, "stage"), "value")
            for number, failure in enumerate(test.expect.failures)
        ]
        for name, where, part in named:
            if name is not None and name not in self._stages:
                help_ = did_you_mean(name, self._stages)
                yield self._problem(where, "unknown-stage", f"there is no stage '{name}'", help_, part)

    def _params(self) -> Iterator[Diagnostic]:
        for name in self._test.params:
            if name not in self._spec.params:
                help_ = did_you_mean(name, self._spec.params) or "the workflow declares no params"
                message = f"the workflow has no param '{name}'"
                yield self._problem(("params", name), "unknown-param", message, help_, "key")

    def _files(self) -> Iterator[Diagnostic]:
        for number, name in enumerate(self._test.files):
            path = self._spec.path.parent / name
            inside = not Path(name).is_absolute() and ".." not in Path(name).parts
            if not inside:
                message = f"'{name}' is not beside the workflow file, or in a folder there"
                yield self._problem(
                    ("files", number), _MISFIT, message, "write a path below the file's folder"
                )
            elif not path.exists():
                message = f"there is no file '{name}' beside the workflow file"
                yield self._problem(("files", number), "no-file", message, _similar(path))

    def _of_stage(self) -> Iterator[Diagnostic]:
        test, stage = self._test, self._tested
        if test.replace:
            message = f"test '{test.name}' is of one stage, which stands alone: there is nothing to replace"
            yield self._problem(("replace",), _MISFIT, message, "take 'replace' out, or 'stage'", "key")
        if stage is None:
            return
        if stage.handler.kind not in _PURE and stage.handler.is_known:
            message = (
                f"stage '{stage.name}' runs `{stage.handler.kind}`, which reads or writes outside the test"
            )
            yield self._problem(("stage",), "not-hermetic", message, "test the stages that it works with")
        if stage.receives is not None and stage.receives in stage.writes:
            message = (
                f"stage '{stage.name}' writes back to the queue that it reads, so it has no outputs alone"
            )
            yield self._problem(("stage",), _MISFIT, message, "test it with the workflow: take 'stage' out")
        if stage.receives is None and test.items is not None:
            message = f"stage '{stage.name}' reads no queue, so it gets no items"
            yield self._problem(("items",), _MISFIT, message, "take 'items' out", "key")
        if stage.receives is not None and test.items is None:
            message = f"test '{test.name}' gives stage '{stage.name}' no items"
            yield self._problem((), _MISFIT, message, "add some: items: [1, 2]", "key")
        yield from self._outputs_of(stage)

    def _outputs_of(self, stage: StageSpec) -> Iterator[Diagnostic]:
        outputs, where = self._test.expect.outputs, ("expect", "outputs")
        if outputs is None:
            return
        if not stage.writes:
            message = f"stage '{stage.name}' writes to no queue, so nothing comes out of it"
            yield self._problem(where, _MISFIT, message, "take 'outputs' out", "key")
        elif isinstance(outputs, dict) and len(stage.writes) == 1:
            message = "the outputs of a stage that writes to one queue are a list"
            yield self._problem(where, _MISFIT, message, "write a list of items", "key")
        elif isinstance(outputs, list) and len(stage.writes) > 1:
            message = f"stage '{stage.name}' writes to several queues: its outputs are lists by their names"
            yield self._problem(where, _MISFIT, message, f"outputs: {{{stage.writes[0]}: […]}}", "key")
        elif isinstance(outputs, dict):
            yield from self._outputs_by_queue(outputs, stage)

    def _outputs_by_queue(self, outputs: Mapping[str, Any], stage: StageSpec) -> Iterator[Diagnostic]:
        for name, items in outputs.items():
            where: DataPath = ("expect", "outputs", name)
            if name not in stage.writes:
                message = f"stage '{stage.name}' does not write to a queue '{name}'"
                yield self._problem(where, "unknown-queue", message, did_you_mean(name, stage.writes), "key")
            elif not isinstance(items, list):
                yield self._problem(where, "wrong-type", f"the outputs to '{name}' are a list of items")

    def _of_workflow(self) -> Iterator[Diagnostic]:
        test = self._test
        if test.items is not None:
            message = f"test '{test.name}' does not say which stage gets these items"
            help_ = "add `stage`, or give them to a source: replace: {NAME: {items: […]}}"
            yield self._problem(("items",), _MISFIT, message, help_, "key")
        for stage in self._spec.stages:
            if stage.name not in test.replace:
                yield from self._not_replaced(stage)
            else:
                yield from self._replacement(stage, test.replace[stage.name])
        yield from self._outputs()

    def _not_replaced(self, stage: StageSpec) -> Iterator[Diagnostic]:
        if stage.role not in _HOW or not stage.handler.is_known:
            return
        what = {Role.PRODUCER: "source", Role.CONSUMER: "sink", Role.PLAIN: "plain stage"}[stage.role]
        message = f"test '{self._test.name}' does not replace the {what} '{stage.name}'"
        real = f", or if all that it does is in the test: replace: {{{stage.name}: real}}"
        help_ = _HOW[stage.role] % stage.name + (real if stage.handler.kind in _PURE else "")
        yield self._problem((), "not-hermetic", message, help_, "key")

    def _replacement(self, stage: StageSpec, stand: Any) -> Iterator[Diagnostic]:
        where: DataPath = ("replace", stage.name)
        if isinstance(stand, dict) and stage.role is not Role.PRODUCER:
            message = f"stage '{stage.name}' is no source, so it makes no items"
            yield self._problem(where, _MISFIT, message, _fitting(stage))
        elif stand == Stand.COLLECT and stage.role is not Role.CONSUMER:
            message = f"stage '{stage.name}' is no sink, so there is nothing to collect in its place"
            yield self._problem(where, _MISFIT, message, _fitting(stage))
        elif stand == Stand.SKIP and stage.role is not Role.PLAIN:
            message = f"stage '{stage.name}' is at a queue, which would have no {_other(stage)}"
            yield self._problem(where, _MISFIT, message, _fitting(stage))
        elif stand == Stand.REAL and stage.handler.kind not in _PURE:
            message = (
                f"stage '{stage.name}' runs `{stage.handler.kind}`, which reads or writes outside the test"
            )
            yield self._problem(where, "not-hermetic", message, _fitting(stage))

    def _outputs(self) -> Iterator[Diagnostic]:
        outputs, collected = self._test.expect.outputs, self._collected()
        if isinstance(outputs, list):
            message = "a workflow may have outputs of several stages: they are lists by the names of stages"
            help_ = (
                f"outputs: {{{collected[0]}: […]}}" if collected else "say `collect` for a sink in `replace`"
            )
            yield self._problem(("expect", "outputs"), _MISFIT, message, help_, "key")
        for name, items in outputs.items() if isinstance(outputs, dict) else ():
            where: DataPath = ("expect", "outputs", name)
            if name not in collected:
                code = _MISFIT if name in self._stages else "unknown-stage"
                message = f"nothing collects the outputs of '{name}'"
                help_ = did_you_mean(name, collected) or f"replace: {{{name}: collect}}"
                yield self._problem(where, code, message, help_, "key")
            elif not isinstance(items, list):
                yield self._problem(where, "wrong-type", f"the outputs of '{name}' are a list of items")

    def _collected(self) -> list[str]:
        return [name for name, stand in self._test.replace.items() if stand == Stand.COLLECT]

    def _of_fault(self, fault: FaultSpec, where: DataPath) -> Iterator[Diagnostic]:
        stage = self._stages.get(fault.stage)
        transport = self._test.transport or self._spec.transport
        if fault.kind in (FaultKind.KILL, FaultKind.RESTART) and transport != "leased":
            message = f"`{fault.kind}` needs `leased`, and test '{self._test.name}' runs under `{transport}`"
            yield self._problem(where, "needs-leased", message, "add `transport: leased` to the test", "key")
        if stage is None:
            return
        if self._test.stage is not None and fault.stage != self._test.stage:
            message = f"stage '{fault.stage}' is not in this test, which is of '{self._test.stage}' alone"
            yield self._problem((*where, "stage"), _MISFIT, message, f"stage: {self._test.stage}")
        elif stage.role is Role.PLAIN:
            message = f"stage '{fault.stage}' is round no queue, so it has no items"
            yield self._problem((*where, "stage"), _MISFIT, message, "name a stage that makes or gets items")
        workers = self._workers(stage)
        if isinstance(fault.worker, int) and fault.worker > len(workers):
            message = f"stage '{fault.stage}' has {len(workers)} workers here, and no worker {fault.worker}"
            yield self._problem((*where, "worker"), _MISFIT, message, f"they are {', '.join(workers[:8])}")
        elif isinstance(fault.worker, str) and fault.worker not in workers:
            message = f"stage '{fault.stage}' has no worker '{fault.worker}' here"
            yield self._problem((*where, "worker"), _MISFIT, message, did_you_mean(fault.worker, workers))

    def _workers(self, stage: StageSpec) -> tuple[str, ...]:
        stand = self._test.replace.get(stage.name)
        is_double = isinstance(stand, dict) or stand == Stand.COLLECT
        return (f"{stage.name}-1",) if is_double else stage.workers

    def _ledger(self) -> Iterator[Diagnostic]:
        queues: Iterable[str] = [queue.name for queue in self._spec.queues]
        if self._tested is not None:
            queues = [n for n in (self._tested.receives, *self._tested.writes) if n is not None]
        for name in self._test.expect.ledger:
            if name not in queues:
                message, help_ = f"there is no queue '{name}' in this test", did_you_mean(name, queues)
                yield self._problem(("expect", "ledger", name), "unknown-queue", message, help_, "key")

    def _problem(
        self, where: DataPath, code: str, message: str, help_: str | None = None, part: Any = "value"
    ) -> Diagnostic:
        return Diagnostic(("tests", self._test.name, *where), code, message, part, help_)


def _similar(path: Path) -> str | None:
    try:
        return did_you_mean(path.name, [each.name for each in path.parent.iterdir()])
    except OSError:
        return None


def _fitting(stage: StageSpec) -> str:
    if stage.role is Role.PIPE:
        return "take it out of 'replace': it runs as it is"
    return _HOW[stage.role] % stage.name


def _other(stage: StageSpec) -> str:
    return "writer" if stage.receives is None else "reader"
