"""The tests in the shipped workflows pass, and those without say so."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

WORKFLOWS = Path(__file__).resolve().parent.parent.parent / "workflows"


@pytest.mark.slow
def test_the_tests_in_shipped_workflows_pass(run_mprun: RunMprun) -> None:
    done = run_mprun("test", *sorted(WORKFLOWS.glob("*.yaml")))

    assert 0 == done.returncode, done.stdout
    assert 2 == done.stdout.count("no tests: it has jobs, and tests are for stages")
    assert 9 == done.stdout.count("  passed  ")


@pytest.mark.slow
def test_each_lesson_says_that_it_has_no_tests(run_mprun: RunMprun) -> None:
    files = sorted((WORKFLOWS / "gallery").glob("*.yaml"))
    done = run_mprun("test", *files)

    assert 0 == done.returncode
    assert len(files) == done.stdout.count("no tests; `mprun test ")
