"""`mprun schema` prints valid schemas, the ones that ship."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize("which", ["workflow", "event", "report", "top"])
def test_it_prints_the_schema_that_ships(run_mprun: RunMprun, checkout: Path, which: str) -> None:
    done = run_mprun("schema", which)

    file = checkout / "schemas" / f"{which}.schema.json"
    if os.environ.get("UPDATE_DOCS"):
        file.write_text(done.stdout, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    Draft202012Validator.check_schema(json.loads(done.stdout))
    assert done.stdout == file.read_text(encoding="utf-8")


def test_the_schema_of_workflows_is_the_default(run_mprun: RunMprun) -> None:
    assert run_mprun("schema").stdout == run_mprun("schema", "workflow").stdout


def test_an_unknown_schema_is_a_usage_error(run_mprun: RunMprun) -> None:
    assert run_mprun("schema", "workflo").returncode == 2
