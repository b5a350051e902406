"""`mprun handlers`: the kinds, and one of them in full."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

from runner.cli.handlers import KindCard, card_text
from runner.handlers.registry import built_in_kinds

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

TWO_WAYS = {
    "oneOf": [
        {"type": "string", "description": "A path."},
        {
            "type": "object",
            "required": ["path"],
            "properties": {
                "path": {"type": "string", "description": "The file."},
                "mode": {"enum": ["fast", "safe"], "default": "safe", "description": "How."},
                "limit": {"oneOf": [{"type": "integer"}, {"type": "null"}], "description": "At most."},
            },
        },
    ]
}


def test_python_comes_first_and_every_built_in_kind_follows(run_mprun: RunMprun) -> None:
    listed = json.loads(run_mprun("handlers", "--format", "json").stdout)

    assert [kind["name"] for kind in listed][: 1 + len(built_in_kinds())] == ["python", *built_in_kinds()]


def test_the_list_is_a_line_a_kind(run_mprun: RunMprun) -> None:
    lines = run_mprun("handlers").stdout.splitlines()

    assert lines[0].split() == ["KIND", "ROLES", "WHAT", "IT", "IS"]
    assert lines[1].startswith("python   producer, pipe, consumer, plain  ")


@pytest.mark.parametrize("name", ["python", *built_in_kinds()])
@pytest.mark.quick("csv", "http", "command", "python")
def test_one_kind_shows_its_options_and_its_example(run_mprun: RunMprun, name: str) -> None:
    done = run_mprun("handlers", name)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{name}\n")
    assert "\nOptions:\n" in done.stdout
    assert "\nOver the runner's death, by `mprun resume`:\n" in done.stdout
    assert "\nExample:\n" in done.stdout


def test_options_show_type_default_and_what_is_required() -> None:
    shown = card_text(KindCard("copy", "Copies.", ("pipe",), TWO_WAYS, "x:\n  run: {copy: a}\n"))

    assert shown == (
        "copy\n  Copies.\n\nRoles: pipe\n\nOptions:\n"
        "  text\n      A path.\n"
        "  path: text\n      The file. (required)\n"
        '  mode: fast | safe\n      How. (default: "safe")\n'
        "  limit: integer or null\n      At most.\n"
        "\nExample:\n  x:\n    run: {copy: a}\n"
    )


def test_a_misspelt_kind_names_the_nearest(run_mprun: RunMprun) -> None:
    done = run_mprun("handlers", "comand")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "mprun: there is no handler kind 'comand'; did you mean 'command'?\n"
