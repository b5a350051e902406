"""Where a path starts: the same for each key that takes one, in an included file and from whatever folder one runs it.

top/main.yaml ──include──► top/sub/part.yaml      run from elsewhere/: every path of part.yaml starts at top/
"""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.handlers.registry import all_kinds
from runner.loader.schema.workflow import workflow_schema

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

FOLDERS = ("top", "top/inner", "top/sub", "top/sub/inner", "elsewhere", "elsewhere/inner")


def _reader(run: str) -> str:
    return f"stages: {{a: {{run: {run}, to: q, cwd: .}}, b: {{run: {{print: {{}}}}, from: q}}}}"


def _writer(run: str) -> str:
    return f"stages: {{a: {{run: {{csv: {{path: here.csv}}}}, to: q}}, b: {{run: {run}, from: q, cwd: .}}}}"


STEP = "{run: cat here.txt, working-directory: inner}"
SERVICE = "{run: 'cp here.txt seen; echo up; sleep 60', working-directory: inner, ready: {prints: up}}"
READ = {
    "include": ("include: more.yaml", "sub"),
    "stages.*.use": ("stages: {a: {use: kit.yaml}}", "sub"),
    "stages.*.cwd": ("stages: {a: {run: {command: [cat, here.txt]}, cwd: inner}}", "top/inner"),
    "defaults.stage.cwd": (
        "defaults: {stage: {cwd: inner}}\nstages: {a: {run: {command: [cat, here.txt]}}}",
        "top/inner",
    ),
    "stages.*.run.lines.path": (_reader("{lines: {path: here.txt}}"), "top"),
    "stages.*.run.csv.path": (_reader("{csv: {path: here.csv}}"), "top"),
    "stages.*.run.jsonl.path": (_reader("{jsonl: {path: here.jsonl}}"), "top"),
    "stages.*.run.sqlite.path": (_reader("{sqlite: {path: here.db, table: places}}"), "top"),
    "stages.*.run.parquet.path": (_reader("{parquet: {path: here.parquet}}"), "top"),
    "stages.*.run.files.path": (_reader("{files: {path: 'i am */here.txt'}}"), "top"),
    "jobs.*.working-directory": ("jobs: {a: {working-directory: inner, run: cat here.txt}}", "top/inner"),
    "jobs.*.steps.*.working-directory": (f"jobs: {{a: {{steps: [{STEP}]}}}}", "top/inner"),
    "jobs.*.ensure.*.working-directory": (f"jobs: {{a: {{run: 'true', ensure: [{STEP}]}}}}", "top/inner"),
    "jobs.*.services.*.working-directory": (
        f"jobs: {{a: {{services: {{s: {SERVICE}}}, run: cat inner/seen}}}}",
        "top/inner",
    ),
    "defaults.job.working-directory": (
        "defaults: {job: {working-directory: inner}}\njobs: {a: {run: cat here.txt}}",
        "top/inner",
    ),
    "defaults.job.dotenv": ("defaults: {job: {dotenv: here.env}}\njobs: {a: {run: echo $PLACE}}", "top"),
    "jobs.*.dotenv": ("jobs: {a: {dotenv: here.env, run: echo $PLACE}}", "top"),
}
WRITTEN = {
    "stages.*.run.text.path": _writer("{text: {path: made}}"),
    "stages.*.run.jsonl.path": _writer("{jsonl: {path: made}}"),
    "stages.*.run.csv.path": _writer("{csv: {path: made}}"),
    "stages.*.run.sqlite.path": _writer("{sqlite: {path: made, table: places}}"),
    "stages.*.run.parquet.path": _writer("{parquet: {path: made}}"),
    "stages.*.run.dir.path": _writer("{dir: {path: made, name: one}}"),
}
OF_JOBS = {"jobs.*.inputs", "jobs.*.outputs.files", "jobs.*.cache.paths", "jobs.*.cache.*.paths"}
OF_TESTS = {"tests.*.files"}
"""Beside the file, from where they are copied: tests/file_tests tries them."""

_STARTS = re.compile(r"\b[Pp]aths? starts? (at|from)\b|\bfrom the job's folder")
_TAKES_PATHS = re.compile(r"^(the path of a|a glob)")


def _fragments(fragment: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(fragment, dict):
        yield ".".join(path), fragment
        for key, each in fragment.get("properties", {}).items():
            yield from _fragments(each, (*path, key))
        for word in ("additionalProperties", "items"):
            yield from _fragments(fragment.get(word), (*path, "*"))


def test_every_key_that_takes_a_path_is_tried_here_and_says_where_it_starts() -> None:
    keys = dict(_fragments(workflow_schema(all_kinds())))
    says = {key for key, each in keys.items() if _STARTS.search(each.get("description", ""))}
    takes = {key for key, each in keys.items() if _TAKES_PATHS.match(each.get("title", ""))}

    assert {key for key in takes | says if not key.endswith(".*")} == {*READ, *WRITTEN, *OF_JOBS, *OF_TESTS}
    assert takes - says - {key for key in takes if key.endswith(".*")} == set()


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """Folders that each hold the same files, with their own name in them."""
    for place in FOLDERS:
        folder = tmp_path / place
        (folder / f"i am {folder.name}").mkdir(parents=True)
        (folder / f"i am {folder.name}" / "here.txt").touch()
        (folder / "here.txt").write_text(f"i am {place};\n")
        (folder / "here.csv").write_text(f"place\ni am {place};\n")
        (folder / "here.jsonl").write_text(json.dumps({"place": f"i am {place};"}) + "\n")
        (folder / "here.env").write_text(f"PLACE='i am {place};'\n")
        (folder / "more.yaml").write_text(f"jobs: {{a: {{run: 'echo \"i am {folder.name};\"'}}}}\n")
        (folder / "kit.yaml").write_text(
            f"stages: {{say: {{run: {{command: [echo, 'i am {folder.name};']}}}}}}\n"
        )
        with sqlite3.connect(folder / "here.db") as database:
            database.execute("create table places (place text)")
            database.execute("insert into places values (?)", (f"i am {place};",))
        database.close()
    return tmp_path


def _run(run_mprun: RunMprun, places: Path, part: str) -> subprocess.CompletedProcess[str]:
    (places / "top/main.yaml").write_text("name: main\ninclude: sub/part.yaml\n")
    (places / "top/sub/part.yaml").write_text(part + "\n")
    return run_mprun("run", "../top/main.yaml", cwd=places / "elsewhere")


@pytest.mark.slow
@pytest.mark.parametrize("key", READ)
def test_what_is_read_lies_where_every_path_of_an_included_file_starts(
    run_mprun: RunMprun, places: Path, key: str
) -> None:
    if "parquet" in key:
        parquet = pytest.importorskip("pyarrow.parquet")
        for place in FOLDERS:
            table = pytest.importorskip("pyarrow").table({"place": [f"i am {place};"]})
            parquet.write_table(table, places / place / "here.parquet")
    part, start = READ[key]

    done = _run(run_mprun, places, part)

    assert 0 == done.returncode, done.stderr
    assert {f"i am {start}"} == set(re.findall(r"i am [\w/]+(?=;|/here)", done.stdout))


@pytest.mark.slow
@pytest.mark.parametrize("key", WRITTEN)
def test_what_is_written_lies_where_every_path_of_an_included_file_starts(
    run_mprun: RunMprun, places: Path, key: str
) -> None:
    if "parquet" in key:
        pytest.importorskip("pyarrow")

    done = _run(run_mprun, places, WRITTEN[key])

    assert 0 == done.returncode, done.stderr
    assert ["top"] == [place for place in FOLDERS if (places / place / "made").exists()]


@pytest.mark.slow
def test_workers_of_a_stage_without_cwd_work_where_mprun_was_started(
    run_mprun: RunMprun, places: Path
) -> None:
    done = _run(run_mprun, places, "stages: {a: {run: {command: [cat, here.txt]}}}")

    assert (0, "i am elsewhere;\n") == (done.returncode, done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["{key: k, paths: made}", "[{key: k, paths: made}]"])
def test_what_is_cached_lies_in_the_folder_of_the_job(run_mprun: RunMprun, places: Path, cache: str) -> None:
    job = f"{{working-directory: inner, cache: {cache}, run: '[ -e made ] || touch made'}}"
    first = _run(run_mprun, places, f"jobs: {{a: {job}}}")
    (places / "top/inner/made").unlink()

    again = _run(run_mprun, places, f"jobs: {{a: {job.replace('|| touch made', '&& echo restored')}}}")

    assert [0, 0] == [first.returncode, again.returncode], again.stderr
    assert "restored" in again.stdout
    assert ["top/inner"] == [place for place in FOLDERS if (places / place / "made").exists()]


@pytest.mark.slow
def test_globs_of_a_job_start_at_its_folder(run_mprun: RunMprun, places: Path) -> None:
    job = "{working-directory: inner, inputs: here.txt, outputs: {files: made}, run: 'touch made'}"

    first, again = (_run(run_mprun, places, f"jobs: {{a: {job}}}") for _ in range(2))
    (places / "top/inner/here.txt").write_text("changed\n")
    changed = _run(run_mprun, places, f"jobs: {{a: {job}}}")

    assert [0, 0, 0] == [done.returncode for done in (first, again, changed)], first.stderr
    assert [False, True, False] == ["up to date" in done.stderr for done in (first, again, changed)]
    assert ["top/inner"] == [place for place in FOLDERS if (places / place / "made").exists()]
