"""A first test for a workflow that has none: the first items of its sources, and what a run makes of them.

    each source ── its first items, in a process that is ended after a while ──► replace
    a run with these, twice ──► outputs, failures, exit, ledger ──► expect ──► appended to the file

What is not the same the second time, such as what has the time in it, is not expected.
"""

from __future__ import annotations

import io
import os
import pickle
import select
import signal
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from runner.facts import dataclass
from runner.file_tests.execution import Observed, execute, folder_for_test
from runner.file_tests.scenario import scenario_of
from runner.file_tests.verdict import item_of, same_as
from runner.handlers import python
from runner.handlers.doubles import as_plain
from runner.handlers.kinds import Handler, Source, WorkerContext, one_by_one
from runner.handlers.registry import find_kind, input_files
from runner.loader.interpolation import TESTS
from runner.process.child import die_with_parent
from runner.spec.file_tests.model import Expectation, FileTest, Stand
from runner.spec.model import Role, StageSpec, WorkflowSpec
from runner.spec.plan import make_plan
from runner.spec.source.emitter import emit_block
from runner.spec.source.reader import read, read_text
from runner.text import describe_error, write_atomically

_MOST_ITEMS = 5
_PATIENCE = 5.0
"""Seconds for the first items of a source."""
_NAME = "first items"


def create_test(file: Path, spec: WorkflowSpec) -> str:
    """Write a first test into a file, and say what was done, or why nothing was."""
    if TESTS in read(file).data:
        return "no test is written: the file has `tests` already, with nothing in it"
    made = _first_test(spec)
    if isinstance(made, str):
        return f"no test is written: {made}"
    test, notes = made
    text = file.read_text(encoding="utf-8")
    new = f"{text}{'' if text.endswith(chr(10)) else chr(10)}{_as_yaml(test)}"
    if read_text(new, str(file)).data.get("tests") != {_NAME: test}:
        return "no test is written: the file can't be added to, as it is one mapping in braces, say"
    write_atomically(file, new.encode())
    return f"a first test is written, '{_NAME}'{''.join(f'; {note}' for note in notes)}"


def _as_yaml(test: Mapping[str, Any]) -> str:
    lines = emit_block({"tests": {_NAME: test}}, "")
    return "\n" + "".join(f"{line}\n" for line in lines)


def _first_test(spec: WorkflowSpec) -> tuple[dict[str, Any], list[str]] | str:
    """Return a test as the file has it, and what there is to say of it; or why there is none."""
    stands: dict[str, Any] = {}
    for stage in spec.stages:
        match stage.role:
            case Role.PRODUCER:
                sample = _sample(stage, spec)
                if isinstance(sample.items, list):
                    stands[stage.name] = {"items": sample.items}
                elif stage.handler.kind == "python":
                    stands[stage.name] = Stand.REAL.value
                else:
                    return f"the source '{stage.name}' gives no items here: {sample.trouble}"
            case Role.CONSUMER:
                stands[stage.name] = Stand.COLLECT.value
            case Role.PLAIN:
                stands[stage.name] = Stand.SKIP.value
    test = FileTest(_NAME, Expectation(), replace=stands)
    first, second = _run(test, spec), _run(test, spec)
    if first.exit is None or second.exit is None:
        return "a run with the first items of its sources comes to no end"
    expect, notes = _expectation(first, second)
    return {"replace": stands, "expect": expect}, notes


def _run(test: FileTest, spec: WorkflowSpec) -> Observed:
    with folder_for_test() as folder:
        return execute(scenario_of(test, spec, folder))


def _expectation(first: Observed, second: Observed) -> tuple[dict[str, Any], list[str]]:
    """Return what to expect, and what there is to say of it."""
    notes: list[str] = []
    outputs: dict[str, Any] = {}
    for name, items in first.outputs.items():
        again = second.outputs[name]
        if sorted(map(same_as, items)) == sorted(map(same_as, again)):
            is_alike = [*map(same_as, items)] == [*map(same_as, again)]
            outputs[name] = items if is_alike else sorted(items, key=same_as)
        else:
            notes.append(f"what '{name}' gets is another each time, and not expected")
    expect: dict[str, Any] = {"exit": first.exit} if first.exit else {}
    if outputs:
        expect["outputs"] = outputs
    if first.failures:
        expect["failures"] = [
            {"stage": each.stage, "item": item_of(each), "error": each.error} for each in first.failures
        ]
    counts = {queue: _told(counts) for queue, counts in first.ledger.items()}
    later = {queue: _told(counts) for queue, counts in second.ledger.items()}
    same = {queue: told for queue, told in counts.items() if told == later[queue] and told}
    if same:
        expect["ledger"] = same
    return expect, notes


def _told(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: number for name, number in counts.items() if number}


# ── the first items of a source ──


@dataclass(frozen=True, slots=True)
class _Sample:
    items: list[Any] | None
    """None where YAML can't have them, or there are none."""
    trouble: str = "none came"


def _sample(stage: StageSpec, spec: WorkflowSpec) -> _Sample:
    """Return the first items that a source makes, in a process of its own that is ended after a while."""
    ours, theirs = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if not pid:
        try:
            die_with_parent(parent)
            os.setsid()
            _tell_items(stage, spec, theirs)
        finally:
            os._exit(0)
    os.close(theirs)
    try:
        told = b"".join(_told_within(ours, _PATIENCE))
    finally:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ours)
    return _sample_of(told)


def _told_within(descriptor: int, seconds: float) -> Iterator[bytes]:
    deadline = time.monotonic() + seconds
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while poll.poll(max(0, deadline - time.monotonic()) * 1000):
        if not (chunk := os.read(descriptor, 1 << 16)):
            return
        yield chunk


def _tell_items(stage: StageSpec, spec: WorkflowSpec, descriptor: int) -> None:
    """Write items as they come: whoever waits takes those that came in time."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for each in (0, 1, 2):
        os.dup2(nothing, each)
    with os.fdopen(descriptor, "wb", buffering=0) as stream:
        try:
            for item in islice(one_by_one(_items(stage, spec)), _MOST_ITEMS):
                plain = as_plain(item)
                stream.write(pickle.dumps(("item", plain, _is_plain(item))))
        except BaseException as error:  # whatever the user's code raises
            stream.write(pickle.dumps(("trouble", describe_error(error), False)))


def _items(stage: StageSpec, spec: WorkflowSpec) -> Iterator[object]:
    plan = next(each for each in make_plan(spec).stages if each.name == stage.name).workers[0]
    if plan.cwd is not None:
        os.chdir(plan.cwd)
    os.environ.update(plan.env)
    inputs = None if stage.handler.kind == "python" else input_files(plan)
    context = WorkerContext(
        plan.name,
        stage.name,
        os.getpid(),
        os.getppid(),
        beside=str(Path(plan.beside).absolute()),
        role=Role.PRODUCER,
        arguments=plan.arguments,
        values=plan.handler.values,
        inputs=inputs,
    )
    handler: Handler
    if stage.handler.kind == "python":
        handler = python.bind(stage.handler.target, plan.arguments, context, plan.places)
    else:
        handler = find_kind(stage.handler.kind).build(stage.handler.options, context)
    if isinstance(handler, Source):
        yield from handler.items()


def _is_plain(item: object) -> bool:
    """Say whether what YAML has of an item is the item again."""
    match item:
        case dict():
            return all(isinstance(key, str) for key in item) and all(map(_is_plain, item.values()))
        case list():
            return all(map(_is_plain, item))
    return item is None or type(item) in (bool, int, float, str)


def _sample_of(told: bytes) -> _Sample:
    items: list[Any] = []
    stream = io.BytesIO(told)
    while True:
        try:
            what, value, is_plain = pickle.load(stream)
        except (EOFError, pickle.UnpicklingError):
            break
        if what == "trouble":
            return _Sample(items or None, value)
        if not is_plain:
            return _Sample(None, "its items are of kinds that YAML can't write")
        items.append(value)
    return _Sample(items or None)
