"""What is promised of each stage after the death of the runner, and what is refused where a run has to be resumable."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.loader.load import Checked, check
from runner.spec.failures import RestartOn
from runner.spec.plan import make_plan
from runner.spec.resume import OverDeath

_SOURCE = """
def make():
    yield 1

def go_on(offset):
    yield offset

def note(resume, worker):
    yield 1
    worker.checkpoint(1)

def eat(item):
    print(item)

def double(item):
    return 2 * item

def tidy():
    pass

class Sum:
    def __init__(self):
        self.total = 0

    def __call__(self, item):
        self.total += item

def tell(offset, worker):
    yield offset
    worker.wait_until_committed()

class Teller:
    def __init__(self, worker):
        self.worker = worker

    def __call__(self):
        yield self.worker.committed
"""
_FLOW = """
name: flow
resume: required
stages:
  maker: {run: "flow:make", to: q}
  eater: {run: "flow:eat", from: q}
"""


def checked(folder: Path, text: str) -> Checked:
    (folder / "flow.py").write_text(_SOURCE)
    (folder / "words.txt").write_text("a\n")
    path = folder / "flow.yaml"
    path.write_text(text)
    return check(path)


def refused(folder: Path, text: str) -> list[tuple[int, str]]:
    found = checked(folder, text)
    return [(d.span.line, d.message) for d in found.diagnostics if d.code == "cannot-resume"]


@pytest.mark.parametrize(
    ("stage", "promise"),
    [
        ('{run: "flow:make", to: q}', "run again"),
        ('{run: "flow:go_on", to: q}', "exactly once"),
        ('{run: "flow:note", to: q}', "exactly once"),
        ('{run: "flow:go_on", to: q, deterministic: true}', "run again"),
        ("{run: {lines: {path: words.txt}}, to: q}", "exactly once"),
        ('{run: {lines: {path: "-"}}, to: q}', "not"),
        ("{run: {command: [seq, 9]}, to: q}", "run again"),
        ("{run: {tcp: {host: 127.0.0.1, port: 9000}}, to: q}", "at most once"),
        ('{run: "flow:eat", from: p}', "at least once"),
        ('{run: "flow:double", from: p, to: q}', "exactly once"),
        ("{run: {print: {}}, from: p}", "at least once"),
        ('{run: "flow:tidy"}', "not"),
        ('{run: "flow:Sum", from: p}', "not"),
        ('{run: "flow:Sum", from: p, state: checkpoint}', "at least once"),
    ],
)
def test_each_stage_is_told_what_becomes_of_it(tmp_path: Path, stage: str, promise: str) -> None:
    ends = ['  first: {run: "flow:make", to: p}'] if "from: p" in stage else []
    ends += ['  last: {run: "flow:eat", from: q}'] if "to: q" in stage else []
    found = checked(tmp_path, "\n".join(["name: flow", "stages:", f"  it: {stage}", *ends]))

    assert found.spec is not None, found.diagnostics
    assert promise == next(each.over_death for each in found.spec.stages if each.name == "it")


@pytest.mark.parametrize("more", ["resume: none", "transport: joinable"])
def test_where_nothing_is_kept_nothing_is_promised(tmp_path: Path, more: str) -> None:
    found = checked(tmp_path, _FLOW.replace("resume: required", more))

    assert found.spec is not None
    assert ["not", "not"] == [each.over_death for each in found.spec.stages]


def test_what_can_be_gone_on_with_is_not_refused(tmp_path: Path) -> None:
    assert [] == refused(tmp_path, _FLOW)


@pytest.mark.parametrize(
    ("more", "line", "message"),
    [
        ("transport: joinable", 3, "under `joinable` nobody knows what is in the queues"),
        ("shared: {board: {kind: dict}}", 8, "what is in the shared object 'board' is gone with the runner"),
        ("pipes: {wire: {ends: [maker, eater]}}", 8, "what is under way in the pipe 'wire' is gone"),
        ('  tidier: {run: "flow:tidy"}', 8, "stage 'tidier' is round no queue"),
        (
            '  adder: {run: "flow:Sum", from: p}\n  first: {run: "flow:make", to: p}',
            8,
            "what stage 'adder' keeps of its items in `self.total` (flow.py, line 26) is gone",
        ),
        (
            "  feed: {run: {tcp: {host: 127.0.0.1, port: 9000}}, to: q}",
            8,
            "stage 'feed' reads what can't be read again",
        ),
        ('  feed: {run: {lines: {path: "-"}}, to: q}', 8, "stage 'feed' reads what can't be read again"),
    ],
    ids=["transport", "shared", "pipe", "plain", "state", "live", "stdin"],
)
def test_what_can_not_be_gone_on_with_is_refused_where_that_is_required(
    tmp_path: Path, more: str, line: int, message: str
) -> None:
    text = _FLOW.rstrip() + "\n\n" + more + "\n"
    found = refused(tmp_path, text if line == 8 else _FLOW + more + "\n")

    assert 1 == len(found), found
    assert line == found[0][0]
    assert message in found[0][1]
    assert [] == refused(tmp_path, text.replace("resume: required", "resume: {every: 1s}"))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("required", (0.1, False, True, True)),
        ("none", (0.1, False, False, False)),
        ("{every: 2s, fsync: true}", (2.0, True, False, True)),
        ("{required: true}", (0.1, False, True, True)),
    ],
)
def test_the_key_is_a_word_or_a_mapping(tmp_path: Path, written: str, expected: tuple[object, ...]) -> None:
    spec = checked(tmp_path, _FLOW.replace("required", written)).spec

    assert spec is not None
    policy = spec.resume
    assert expected == (policy.every, policy.fsync, policy.required, policy.keeps)


def test_another_word_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    found = checked(tmp_path, _FLOW.replace("required", "always"))

    assert found.spec is None
    assert "one of required and none, or a mapping" in found.diagnostics[0].message


def test_a_producer_that_notes_where_it_is_is_replaced_like_a_source(tmp_path: Path) -> None:
    found = checked(tmp_path, _FLOW.replace("flow:make", "flow:note"))

    assert found.spec is not None
    plan = make_plan(found.spec)
    assert {"maker": RestartOn.CRASH, "eater": RestartOn.CRASH} == {
        w.stage: w.restart.on for w in plan.workers
    }


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", []),
        ("flow:Teller", ["begins again with its first item"]),
        ('flow:Teller", deterministic: true, description: "', []),
        ("transport: inline", ["under `inline` no cut of the run is kept"]),
        ("resume: none", ["with `resume: none` no cut of the run is kept"]),
    ],
)
def test_who_looks_in_vain_at_what_is_committed_is_warned(
    tmp_path: Path, words: str, expected: list[str]
) -> None:
    text = _FLOW.replace("flow:make", words if words.startswith("flow:") else "flow:tell")
    text = text.replace("resume: required", "" if words.startswith("flow:") else words)
    found = checked(tmp_path, text)
    told = [each.message for each in found.diagnostics if each.code == "cannot-acknowledge"]

    assert found.spec is not None
    assert len(expected) == len(told)
    assert all(part in message for part, message in zip(expected, told, strict=True))


def test_a_producer_that_goes_on_and_acknowledges_is_promised_at_least_once(tmp_path: Path) -> None:
    found = checked(tmp_path, _FLOW.replace("flow:make", "flow:tell"))

    assert found.spec is not None
    assert found.spec.stages[0].over_death is OverDeath.AT_LEAST_ONCE
