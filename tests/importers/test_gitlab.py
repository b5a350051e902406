"""`mprun import` of pipelines of GitLab CI: stages, templates, references, scripts, and what is said about when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runner.importers.gitlab.pipeline import read_pipeline
from runner.importers.importing import import_file
from runner.importers.model import ImportedFile, Outcome
from runner.loader.load import check
from runner.spec.diagnostics import errors_only
from runner.spec.source.reader import read, read_text


def pipeline(text: str) -> ImportedFile:
    """What a pipeline is read as, before anything is taken out that does not check."""
    return read_pipeline(read_text(text, ".gitlab-ci.yml"))


def job(text: str) -> dict[str, Any]:
    return pipeline(text).jobs["a"].keys


def test_each_job_needs_those_of_the_stage_before_it() -> None:
    jobs = pipeline(
        "stages: [one, two, three]\n"
        "a: {stage: one, script: x}\nb: {stage: one, script: x, when: manual}\n"
        "c: {stage: two, script: x}\nd: {stage: three, script: x}\ne: {stage: three, needs: [], script: x}\n"
    ).jobs

    assert [None, None, ["a"], ["c"], None] == [each.keys.get("needs") for each in jobs.values()]


def test_a_job_has_what_it_extends_and_refers_to() -> None:
    made = pipeline(
        ".base: {image: 'debian:12', before_script: [one], variables: {A: x, B: y}}\n"
        ".more: {script: [two, three]}\n"
        "a: {extends: .base, variables: {B: z}, script: [!reference [.more, script], four]}\n"
    ).jobs["a"]

    assert {"A": "x", "B": "z"} == made.keys["env"]
    assert "debian:12" == made.keys["container"]
    assert "one\ntwo\nthree\nfour\n" == made.steps[0].keys["run"]


def test_anchors_and_what_all_jobs_have() -> None:
    made = pipeline(
        "default: {before_script: [prepare], retry: 2}\n"
        ".x: &x {script: [go], after_script: [clean]}\n"
        "a: {<<: *x}\n"
    ).jobs["a"]

    assert "prepare\ngo\n" == made.steps[0].keys["run"]
    assert ["clean"] == [step.keys["run"] for step in made.ensure]
    assert 3 == made.keys["attempts"]


@pytest.mark.parametrize(
    ("written", "key", "value"),
    [
        ("when: manual", "manual", True),
        ("when: on_failure", "if", "failure()"),
        ("allow_failure: true", "continue-on-error", True),
        ("retry: {max: 1}", "attempts", 2),
        ("timeout: 1h 30m", "timeout", "90m"),
        ("timeout: 45 seconds", "timeout", "45s"),
        ("resource_group: prod", "concurrency", {"group": "prod", "scope": "machine"}),
        ("cache: {key: k, paths: [a/]}", "cache", {"key": "k", "paths": ["a/"]}),
        (
            "cache: {key: {files: [x.lock]}, paths: [a]}",
            "cache",
            {"key": "${{ hashFiles('x.lock') }}", "paths": ["a"]},
        ),
        ("artifacts: {paths: [dist/]}", "outputs", {"files": ["dist/**"]}),
        ("artifacts: {paths: [log], when: always}", "outputs", None),
        ("rules: [{if: $CI_COMMIT_TAG}]", "manual", True),
        ("rules: [{if: '$CI_PIPELINE_SOURCE == \"merge_request_event\"'}]", "manual", None),
        ("only: [tags]", "manual", True),
        ("only: [main, merge_requests]", "manual", None),
        ("services: ['postgres:16']", "services", {"postgres": {"container": "postgres:16"}}),
        ("parallel: {matrix: [{X: [p, q]}]}", "strategy", {"fail-fast": False, "matrix": {"X": ["p", "q"]}}),
        ("needs: [{job: b, optional: true}]", "needs", [{"job": "b", "optional": True}]),
        ("variables: {A: '$B/x', B: y}", "env", {"A": "y/x", "B": "y"}),
        ("variables: {A: '$CI_PROJECT_DIR/x'}", "env", {"A": "${{ github.workspace }}/x"}),
    ],
)
def test_keys_of_a_pipeline_become_keys_of_a_job(written: str, key: str, value: object) -> None:
    assert value == job(f"b: {{stage: build, script: x}}\na: {{script: x, {written}}}\n").get(key)


def test_what_is_included_is_there_with_its_own_lines(tmp_path: Path) -> None:
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci/jobs.yml").write_text("b:\n  script: two\n")
    (tmp_path / ".gitlab-ci.yml").write_text(
        "include: [{local: /ci/jobs.yml}, {template: X}]\na: {script: one}\n"
    )

    made = import_file(tmp_path / ".gitlab-ci.yml", None, tmp_path / "ci.yaml")

    assert {"a", "b"} == made.imported.jobs.keys()
    assert [] == errors_only(check(tmp_path / "ci.yaml", text=made.text).diagnostics)
    assert 1 == sum(each.outcome is Outcome.LEFT for each in made.imported.all_notes())


def test_templates_that_extend_each_other_come_to_an_end(tmp_path: Path) -> None:
    (tmp_path / ".gitlab-ci.yml").write_text(
        ".a: {extends: .b}\n.b: {extends: .a, script: [!reference [.b, script]]}\nc: {extends: .a}\n"
    )

    read_pipeline(read(tmp_path / ".gitlab-ci.yml"))
