"""`mprun expand`, as it is typed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]
MAIN = """name: main
stages:
  read: {run: "h:read", to: q}
  small: {use: t.yaml, with: {n: 64}, queues: {in: q}}
"""
TEMPLATE = """params: {n: {type: integer}}
stages:
  eat: {run: "h:eat", with: {n: "${{ params.n }}"}, from: in}
"""


def write(folder: Path, template: str = TEMPLATE) -> None:
    (folder / "main.yaml").write_text(MAIN)
    (folder / "t.yaml").write_text(template)
    (folder / "h.py").write_text("def read(): yield 1\ndef eat(item, n): pass\n")


def test_it_prints_one_document_with_the_line_of_each_value(run_mprun: RunMprun, tmp_path: Path) -> None:
    write(tmp_path)
    done = run_mprun("expand", "main.yaml", "--set", "stages.small.with.n=3", cwd=tmp_path)

    assert (0, "") == (done.returncode, done.stderr)
    assert (
        done.stdout
        == """name: main                    # main.yaml:1
stages:
  read: {run: h:read, to: q}  # main.yaml:3
  small-eat:
    run: h:eat                # t.yaml:3
    with: {"n": 3}            # t.yaml:3 <- --set
    from: q                   # t.yaml:3
"""
    )


def test_programs_get_the_document_and_its_origins(run_mprun: RunMprun, tmp_path: Path) -> None:
    write(tmp_path)
    told = json.loads(run_mprun("expand", "main.yaml", "--format", "json", cwd=tmp_path).stdout)

    assert {"read", "small-eat"} == told["document"]["stages"].keys()
    assert {
        "path": ["stages", "small-eat", "with", "n"],
        "file": "t.yaml",
        "line": 3,
        "column": 33,
        "params": [{"name": "small-n", "file": "main.yaml", "line": 4, "column": 34}],
        "used": [{"file": "main.yaml", "line": 4, "column": 16, "name": "small"}],
    } in told["origins"]


def test_a_file_that_is_wrong_is_refused_with_both_places(run_mprun: RunMprun, tmp_path: Path) -> None:
    write(tmp_path, TEMPLATE.replace("from: in", "form: in"))
    done = run_mprun("expand", "main.yaml", cwd=tmp_path)

    assert (3, "") == (done.returncode, done.stdout)
    assert "t.yaml:3:53: error[unknown-key]: stage 'eat' has no key 'form'" in done.stderr
    assert "  help: did you mean 'from'?\n  used: as 'small' at main.yaml:4:16\n" in done.stderr
    told = [
        json.loads(run_mprun("validate", "main.yaml", "--format", form, cwd=tmp_path).stdout)
        for form in ("json", "sarif")
    ]
    assert [{"file": "main.yaml", "line": 4, "column": 16, "name": "small"}] == told[0][0]["used"]
    related = told[1]["runs"][0]["results"][0]["relatedLocations"]
    assert ["used as 'small'"] == [each["message"]["text"] for each in related]
    assert (
        "used as 'small' at main.yaml:4:16"
        in run_mprun("validate", "main.yaml", "--format", "github", cwd=tmp_path).stdout
    )
