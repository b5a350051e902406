"""Scripts of jobs: which texts are scripts, what stays in them, and that no value in one is ever obeyed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.jobs.templates import display_command, is_script, restore_scripts
from runner.spec.jobs.commands import CommandSpec

NASTY = "\"; echo pwned; ' $(echo pwned) `echo pwned` #"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("run", True),
        ("steps.0", True),
        ("steps.0.run", True),
        ("ensure.1", True),
        ("services.db.run", True),
        ("services.env.run", True),
        ("services.db.ready.run", True),
        ("run.0", False),
        ("env.run", False),
        ("steps.0.env.run", False),
        ("services.db.env.run", False),
        ("strategy.matrix.include.0.run", False),
        ("steps.0.name", False),
    ],
)
def test_a_script_is_what_a_shell_reads(path: str, expected: bool) -> None:
    keys = tuple(int(key) if key.isdecimal() else key for key in path.split("."))

    assert expected == is_script(("jobs", "a", *keys))


@pytest.mark.parametrize(
    ("written", "filled", "expected"),
    [
        ({"run": "x ${{ params.a }}"}, {"run": "x 1"}, {"run": "x ${{ params.a }}"}),
        ({"run": "${{ params.a }}"}, {"run": "make"}, {"run": "make"}),
        ({"run": ["x", "${{ params.a }} y"]}, {"run": ["x", "1 y"]}, {"run": ["x", "1 y"]}),
        ({"steps": ["x ${{ params.a }}"]}, {"steps": ["x 1"]}, {"steps": ["x ${{ params.a }}"]}),
        ({"timeout": "${{ params.a }}s"}, {"timeout": "1s"}, {"timeout": "1s"}),
    ],
)
def test_only_scripts_with_more_than_a_reference_stay_as_they_were_written(
    written: Any, filled: Any, expected: Any
) -> None:
    assert expected == restore_scripts(written, filled, ("jobs", "a"))


def test_people_read_a_script_with_what_is_known_put_in() -> None:
    command = CommandSpec("go ${{ params.a }} ${{ needs.b.result }}", values={"params.a": "1"})

    assert "go 1 ${{ needs.b.result }}" == display_command(command)


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.quick("bash")
def test_no_value_of_any_kind_is_obeyed(
    shell: str, tmp_path: Path, mprun: Path, plain_env: dict[str, str]
) -> None:
    places = [
        f"{quote}${{{{ {name}.g }}}}{quote}"
        for name in ("params", "env", "matrix")
        for quote in ("", '"', "'")
    ]
    jobs = {"a": {"shell": shell, "strategy": {"matrix": {"g": [NASTY]}}}}
    jobs["a"]["steps"] = [f"printf '%s\\n' {place}" for place in places]
    (tmp_path / "w.yaml").write_text(
        yaml.dump({"name": "w", "params": {"g": {"default": "x"}}, "jobs": jobs})
    )

    done = subprocess.run(
        [mprun, "w.yaml", "--param", f"g={NASTY}", "--output", "json"],
        cwd=tmp_path,
        env={**plain_env, "g": NASTY},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    events = map(json.loads, done.stdout.splitlines())
    printed = "".join(event["text"] for event in events if event["event"] == "job.printed")
    assert [NASTY] * len(places) == printed.splitlines()
