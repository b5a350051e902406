"""Jobs as pictures."""

from __future__ import annotations

import pytest
from jobs_specs import job

from runner.render.graph import draw_jobs, waves
from runner.spec.jobs.model import NeedSpec

JOBS = (
    job("deploy", needs="test"),
    job("lint"),
    job("build"),
    job("test", needs=[NeedSpec("build"), NeedSpec("lint", optional=True)], legs=2),
)


def test_a_job_is_in_the_first_wave_after_all_that_it_needs() -> None:
    assert [["lint", "build"], ["test"], ["deploy"]] == [[j.name for j in wave] for wave in waves(JOBS)]


def test_a_long_chain_is_no_deep_recursion() -> None:
    chain = [job("j0"), *(job(f"j{n}", needs=f"j{n - 1}") for n in range(1, 3000))]

    assert 3000 == len(waves(list(reversed(chain))))


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (
            "ascii",
            "1  lint\n   build\n2  test ×2  needs build, lint (optional)\n3  deploy   needs test\n",
        ),
        (
            "mermaid",
            'flowchart LR\n    j1["deploy"]\n    j2["lint"]\n    j3["build"]\n    j4["test ×2"]\n'
            "    j4 --> j1\n    j3 --> j4\n    j2 -.-> j4\n",
        ),
        (
            "dot",
            'digraph "w" {\n    rankdir=LR;\n    node [shape=box];\n    j1 [label="deploy"];\n    j2 [label="lint"];\n'
            '    j3 [label="build"];\n    j4 [label="test ×2"];\n    j4 -> j1;\n    j3 -> j4;\n'
            "    j2 -> j4 [style=dotted];\n}\n",
        ),
    ],
)
def test_the_picture(form: str, expected: str) -> None:
    assert expected == draw_jobs("w", JOBS, form)
