"""`mprun import` of Taskfiles: tasks, what they need, and the names in their templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.importers.importing import Import, import_file
from runner.importers.model import Outcome
from runner.loader.load import check
from runner.spec.diagnostics import errors_only
from runner.spec.source.reader import read_text


def imported(folder: Path, text: str, others: dict[str, str] | None = None) -> tuple[Import, Any]:
    for name, other in (others or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(other)
    (folder / "Taskfile.yml").write_text(text)
    made = import_file(folder / "Taskfile.yml", None, folder / "tasks.yaml")
    assert [] == errors_only(check(folder / "tasks.yaml", text=made.text).diagnostics)
    return made, read_text(made.text, "tasks.yaml").data


def script(folder: Path, above: str, command: str) -> str:
    _, data = imported(folder, f"version: '3'\n{above}\ntasks:\n  a:\n    cmds:\n      - {command}\n")
    return str(data["jobs"]["a"]["run"])


@pytest.mark.parametrize(
    ("above", "command", "run"),
    [
        ("", "go build", "go build"),
        ("vars: {WHO: bun}", "echo {{.WHO}}", 'WHO="${{ params.WHO }}"\necho ${WHO}\n'),
        ("vars: {WHO: bun}", "\"echo '{{.WHO}}'\"", 'WHO="${{ params.WHO }}"\necho "${WHO}"\n'),
        (
            "vars: {REV: {sh: git rev-parse HEAD}}",
            "echo {{.REV}}",
            "REV=$(git rev-parse HEAD)\necho ${REV}\n",
        ),
        ("vars: {ALL: \"a 'b c'\"}", "ls {{.ALL}}", "ls a 'b c'"),
        ("", 'echo {{.WHO | default "bun"}}', 'WHO="${{ params.WHO }}"\necho ${WHO}\n'),
    ],
)
def test_names_in_templates_are_variables_of_the_script(
    tmp_path: Path, above: str, command: str, run: str
) -> None:
    assert run == script(tmp_path, above, command)


def test_a_program_in_a_template_is_left_and_fails(tmp_path: Path) -> None:
    made, data = imported(tmp_path, "version: '3'\ntasks: {a: {cmds: ['x {{if .A}}b{{end}}']}}\n")

    assert "exit 1" in data["jobs"]["a"]["steps"][0]["run"]
    assert [3] == [
        2 + (note.outcome is Outcome.LEFT) for note in made.imported.all_notes() if note.outcome == "left"
    ]


def test_deps_are_needs_and_a_call_is_the_steps_of_the_task_that_is_called(tmp_path: Path) -> None:
    tasks = "a: {deps: [b], cmds: [one, {task: c, vars: {X: y}}, three]}, b: [two], c: {dir: sub, cmds: ['go {{.X}}']}"
    _, data = imported(tmp_path, f"version: '3'\ntasks: {{{tasks}}}\n", {"sub/x": ""})

    assert ["b"] == data["jobs"]["a"]["needs"]
    steps = [each["run"] if isinstance(each, dict) else each for each in data["jobs"]["a"]["steps"]]
    assert ["one", "go y", "three"] == steps
    assert "sub" == data["jobs"]["a"]["steps"][1]["working-directory"]


def test_a_dep_with_vars_is_a_job_of_its_own(tmp_path: Path) -> None:
    tasks = "a: {deps: [{task: b, vars: {OS: linux}}, {task: b, vars: {OS: mac}}]}, b: ['build {{.OS}}']"
    _, data = imported(tmp_path, f"version: '3'\ntasks: {{{tasks}}}\n")

    assert ["b (OS=linux)", "b (OS=mac)"] == data["jobs"]["a"]["needs"]
    assert "build linux" == data["jobs"]["b (OS=linux)"]["run"]


def test_what_a_task_includes_stands_there_under_its_prefix(tmp_path: Path) -> None:
    docs = "version: '3'\ntasks: {build: [make html], all: {deps: [build]}}\n"
    text = "version: '3'\nincludes: {docs: {taskfile: docs, dir: docs}}\ntasks: {a: {deps: ['docs:build']}}\n"
    _, data = imported(tmp_path, text, {"docs/Taskfile.yml": docs})

    assert {"a", "docs:build", "docs:all"} == data["jobs"].keys()
    assert "docs" == data["jobs"]["docs:build"]["working-directory"]
    assert ["docs:build"] == data["jobs"]["docs:all"]["needs"]


def test_sources_status_preconditions_and_what_is_deferred(tmp_path: Path) -> None:
    task = (
        "{sources: ['*.go'], generates: [out], status: [test -f done], cmds: [make, {defer: rm -f x}],"
        " preconditions: [{sh: test -f go.mod, msg: no module}]}"
    )
    _, data = imported(
        tmp_path, f"version: '3'\ntasks: {{a: {task}, b: {{status: [test -f d], cmds: [one, two]}}}}\n"
    )

    job = data["jobs"]["a"]
    assert ["*.go"] == job["inputs"]
    assert {"files": ["out"]} == job["outputs"]
    assert "no module" in job["steps"][0]["run"]
    assert "rm -f x" in str(job["ensure"])
    assert "if { test -f d; }; then echo up to date; exit 0; fi" in data["jobs"]["b"]["run"]


def test_tasks_that_call_each_other_in_a_circle_come_to_an_end(tmp_path: Path) -> None:
    imported(
        tmp_path,
        "version: '3'\ntasks: {a: {deps: [b], cmds: [{task: b}]}, b: {deps: [a], cmds: [{task: a}]}}\n",
    )
    imported(tmp_path, "version: '3'\nvars: {A: '{{.B}}', B: '{{.A}}'}\ntasks: {a: ['{{.A}}']}\n")
