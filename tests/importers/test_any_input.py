"""Whatever stands in a file, an import gives one that checks, or says where and why there is none; it never breaks."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.errors import SpecError
from runner.importers.importing import import_file
from runner.importers.kinds import KINDS
from runner.loader.load import check
from runner.spec.diagnostics import errors_only
from runner.spec.source.emitter import emit

WORDS = {
    "taskfile": [
        "tasks",
        "vars",
        "env",
        "includes",
        "cmds",
        "deps",
        "task",
        "sh",
        "for",
        "cmd",
        "defer",
        "status",
        "dir",
    ],
    "gitlab": [
        "script",
        "extends",
        "stage",
        "stages",
        "needs",
        "rules",
        "variables",
        "image",
        "parallel",
        "matrix",
    ],
    "process-compose": [
        "processes",
        "command",
        "depends_on",
        "environment",
        "readiness_probe",
        "http_get",
        "replicas",
    ],
    "github": [
        "jobs",
        "steps",
        "uses",
        "run",
        "with",
        "strategy",
        "matrix",
        "services",
        "env",
        "outputs",
        "if",
    ],
}
TEXTS = st.sampled_from(
    ["a", "b", ".a", "", "{{.A}}", "{{.B | default .A}}", "$CI_X", "${A}", "${{ a.b }}", "x: y", "é"]
)
SCALARS = st.none() | st.booleans() | st.integers(-3, 99) | TEXTS | st.text(max_size=5)


def values(words: list[str]) -> st.SearchStrategy[Any]:
    keys = st.sampled_from([*words, "a", "b", "c d"])
    return st.recursive(
        SCALARS,
        lambda each: st.lists(each, max_size=3) | st.dictionaries(keys, each, max_size=4),
        max_leaves=14,
    )


def comes_to_an_end(text: str, kind: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_text(text, encoding="utf-8", errors="replace")
        try:
            made = import_file(Path(folder) / name, kind, Path(folder) / "out.yaml")
        except SpecError as error:
            assert error.diagnostics
        else:
            assert [] == errors_only(check(Path(folder) / "out.yaml", text=made.text).diagnostics)


@pytest.mark.parametrize("kind", WORDS)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_mappings_of_any_shape(kind: str, data: st.DataObject) -> None:
    each = values(WORDS[kind])
    top = data.draw(st.dictionaries(st.sampled_from([*WORDS[kind], "a", "b"]), each, max_size=5))
    inner = data.draw(
        st.dictionaries(
            st.sampled_from(["a", "b", "c"]), st.dictionaries(st.sampled_from(WORDS[kind]), each), max_size=3
        )
    )
    below = {"taskfile": "tasks", "process-compose": "processes", "github": "jobs"}.get(kind)
    comes_to_an_end(emit({**top, below: inner} if below else {**top, **inner}), kind, "file.yml")


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(["[tox]\nenvlist = {a", "[testenv", "a: b: c", "web:"])
)
def test_text_that_is_anything(kind: str, text: str) -> None:
    comes_to_an_end(text, kind, "tox.toml" if kind == "tox" and "=" in text else "file")


STATEMENTS = st.sampled_from(
    [
        "session.run('a', *session.posargs)",
        "session.install(*A)",
        "session.env['X'] = f'{y}'",
        "b(session)",
        "for x in A: session.run(x)",
        "with session.chdir('d'): session.run('b')",
        "A = session.posargs or A",
        "session.run()",
        "session.chdir()",
        "session.notify('b')",
        "x = 1 + 'a'",
    ]
)


@settings(max_examples=25, deadline=None)
@given(st.lists(STATEMENTS, max_size=5), st.lists(STATEMENTS, max_size=3))
def test_noxfiles_of_any_calls(first: list[str], second: list[str]) -> None:
    bodies = ["\n".join(f"    {each}" for each in ["pass", *statements]) for statements in (first, second)]
    a, b = bodies
    text = (
        f"A = ['p', 'q']\n@nox.session(python=A)\ndef a(session):\n{a}\n@nox.session\ndef b(session):\n{b}\n"
    )
    comes_to_an_end(text, "nox", "noxfile.py")


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["commands", "deps", "setenv", "basepython", "changedir", "description", "extras"]),
        st.sampled_from(
            [
                "pytest {posargs",
                "{[testenv]deps}",
                "a = {env:X}",
                "x{",
                "'",
                "- a \\\n  b",
                "py{1,2}: c",
                "{}",
                "$(x)",
            ]
        ),
    ),
    st.sampled_from(["py{3,4}", "a-b, c", "{a,b}-{c,d}", "", "lint"]),
)
def test_files_of_tox_of_any_values(keys: dict[str, str], listed: str) -> None:
    lines = "\n".join(f"{key} = {value}" for key, value in keys.items())
    comes_to_an_end(
        f"[tox]\nenvlist = {listed}\n[testenv]\n{lines}\n[testenv:a]\n{lines}\n", "tox", "tox.ini"
    )
