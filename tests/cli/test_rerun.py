"""`mprun rerun`, `diff`, `history export`: a past run once more, beside another, and elsewhere."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

SHOP = """\
name: shop
params:
  count: {type: integer, default: 3}
stages:
  lister: {run: "shop:orders", with: {count: "${{ params.count }}"}, to: orders}
  worker: {run: "shop:handle", from: orders, on_error: dead_letter}
limits: {max_errors: 100}
"""
HANDLERS = """\
from pathlib import Path

def orders(count):
    yield from range(count)

def handle(order):
    if order == 3 and not Path("mended").exists():
        raise ValueError("three")
"""
CI = """\
name: ci
include: common.yaml
jobs:
  build:
    outputs: {values: [version]}
    run: echo built | tee -a builds; echo version=1.4 >> $MPRUN_OUTPUT
  test: {needs: build, steps: [{run: "test -e mended && echo of ${{ needs.build.outputs.version }}"}]}
  ship: {needs: test, steps: [{run: echo shipped}]}
  lint: {steps: [{run: echo linted}]}
"""


class Place:
    """A folder with two workflows and a home of its own."""

    def __init__(self, folder: Path, run_mprun: RunMprun) -> None:
        self.folder = folder
        self._run = run_mprun
        for name, text in (("shop.yaml", SHOP), ("shop.py", HANDLERS), ("ci.yaml", CI)):
            (folder / name).write_text(text)
        (folder / "common.yaml").write_text("limits: {timeout: 5m}\n")

    def mprun(
        self, *words: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        home = {"MPRUN_HOME": str(self.folder / "home")}
        return self._run(*words, cwd=cwd or self.folder, env={**home, **(env or {})})

    def last(self) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self.mprun("show", "latest", "--format", "json").stdout)
        return shown

    def jobs(self) -> list[str]:
        lines = self.last()["report"]["jobs"]["jobs"]
        return [job["job"] for job in lines if job["state"] != "skipped" and job["kept_from"] is None]

    def kept(self) -> dict[str, str]:
        lines = self.last()["report"]["jobs"]["jobs"]
        return {job["job"]: job["kept_from"] for job in lines if job["kept_from"] is not None}


@pytest.fixture
def place(tmp_path: Path, run_mprun: RunMprun) -> Place:
    return Place(tmp_path, run_mprun)


def test_a_run_is_run_again_with_what_it_was_given(place: Place) -> None:
    place.mprun("run", "shop.yaml", "-q", "--param", "count=2", "--set", "queues.orders.maxsize=7")
    before = place.last()

    done = place.mprun("rerun", "shop", "-q")

    again = place.last()
    assert (0, "") == (done.returncode, done.stderr)
    assert before["id"] != again["id"]
    assert (["count=2"], ["queues.orders.maxsize=7"], 2) == (
        again["params"],
        again["overrides"],
        again["done"],
    )


def test_a_file_that_has_changed_is_refused_with_the_difference_or_run_as_it_was(place: Place) -> None:
    place.mprun("run", "shop.yaml", "-q")
    (place.folder / "shop.yaml").write_text(SHOP.replace("default: 3", "default: 1"))

    refused = place.mprun("rerun", "latest", "-q")
    as_then = place.mprun("rerun", "latest", "-q", "--as-then")
    told = place.last()

    assert 6 == refused.returncode
    assert "'shop.yaml' has changed since" in refused.stderr
    assert "-  count: {type: integer, default: 3}\n+  count: {type: integer, default: 1}\n" in refused.stderr
    assert (0, 3) == (as_then.returncode, told["done"])
    assert SHOP == place.mprun("show", "latest", "--file").stdout


def test_a_file_that_is_gone_is_said_to_be_gone(place: Place) -> None:
    place.mprun("run", "shop.yaml", "-q")
    (place.folder / "shop.yaml").unlink()

    refused = place.mprun("rerun", "latest", "-q")
    as_then = place.mprun("rerun", "latest", "-q", "--as-then")

    head = refused.stderr.partition("\n")[0].partition("' ")[2]
    assert (6, 0) == (refused.returncode, as_then.returncode)
    assert head.startswith(
        "can't be run again from its file: there is no 'shop.yaml' any more; `mprun rerun "
    )
    assert head.endswith(" --as-then` runs it as it was")


@pytest.mark.parametrize("options", [(), ("--as-then",)])
def test_what_a_file_includes_may_not_have_changed(place: Place, options: tuple[str, ...]) -> None:
    place.mprun("run", "ci.yaml")
    (place.folder / "common.yaml").write_text("limits: {timeout: 9m}\n")

    refused = place.mprun("rerun", "latest", *options)

    assert 6 == refused.returncode
    assert (
        "what its file includes has changed" in refused.stderr and "+limits: {timeout: 9m}" in refused.stderr
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "expected", "kept"),
    [
        (("--failed",), ["ship", "test"], ["build"]),
        (("--from", "test"), ["ship", "test"], ["build"]),
        (("--from", "build"), ["build", "ship", "test"], []),
        (("--from", "ship"), ["ship", "test"], ["build"]),
        (("--only", "test"), ["test"], ["build"]),
        (("--only", "lint"), ["lint"], []),
        ((), ["build", "lint", "ship", "test"], []),
    ],
)
def test_some_jobs_are_run_again_and_what_they_need_is_kept(
    place: Place, options: tuple[str, ...], expected: list[str], kept: list[str]
) -> None:
    assert 1 == place.mprun("run", "ci.yaml").returncode
    (place.folder / "mended").touch()

    again = place.mprun("rerun", "ci", *options)

    assert (0, expected, kept) == (again.returncode, sorted(place.jobs()), sorted(place.kept()))


@pytest.mark.slow
def test_what_is_kept_hands_on_what_it_had_and_is_shown_as_kept_with_the_log_of_then(place: Place) -> None:
    place.mprun("run", "ci.yaml")
    first = place.last()["id"]
    (place.folder / "mended").touch()

    again = place.mprun("rerun", "ci", "--failed", "--junit", "junit.xml", "--output", "stream")
    place.mprun("history", "prune")
    logs = place.mprun("logs", "latest", "build")

    assert 0 == again.returncode, again.stderr
    assert "test | of 1.4\n" in again.stdout
    assert f"- build is kept: it passed in 0.0s in run {first}\n" in again.stdout
    assert "build   passed, kept" in again.stderr and again.stderr.rstrip().endswith("3 passed; 1 kept")
    assert "built\n" == (place.folder / "builds").read_text()
    assert f'name="kept-from" value="{first}"' in (place.folder / "junit.xml").read_text()
    assert (0, {"build": first}) == (logs.returncode, place.kept())


@pytest.mark.slow
def test_what_was_kept_is_kept_again_and_its_log_outlives_the_run_that_made_it(place: Place) -> None:
    place.mprun("run", "ci.yaml")
    place.mprun("rerun", "ci", "--failed")
    (place.folder / "mended").touch()

    place.mprun("rerun", "latest", "--failed")
    for folder in sorted((place.folder / "home/runs").iterdir(), key=lambda each: each.stat().st_mtime)[:-1]:
        shutil.rmtree(folder)

    assert ["build"] == list(place.kept())
    assert (0, "built\n") == ((shown := place.mprun("logs", "latest", "build")).returncode, shown.stdout)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda folder: (folder / "a.c").write_text("other"), ["make", "test"]),
        (lambda folder: (folder / "a.o").unlink(), ["make", "test"]),
        (lambda folder: (folder / "page").unlink(), ["docs", "test"]),
        (lambda _: None, ["test"]),
    ],
    ids=["input", "made", "made without inputs", "nothing"],
)
@pytest.mark.quick("input", "nothing")
def test_what_has_lost_its_files_since_or_has_other_inputs_is_run_with_those_that_need_it(
    place: Place, spoil: Callable[[Path], object], expected: list[str]
) -> None:
    (place.folder / "a.c").write_text("one")
    (place.folder / "make.yaml").write_text(
        "name: make\njobs:\n"
        "  make: {inputs: '*.c', outputs: '*.o', run: cp a.c a.o}\n"
        "  docs: {outputs: page, run: touch page}\n"
        "  never: {needs: docs, if: failure(), inputs: '*.c', run: echo never}\n"
        "  test: {needs: [make, docs, never], run: test -e mended}\n"
    )
    place.mprun("run", "make.yaml")
    (place.folder / "mended").touch()
    spoil(place.folder)

    again = place.mprun("rerun", "make", "--failed")

    assert (0, expected) == (again.returncode, sorted(place.jobs())), again.stdout


@pytest.mark.slow
def test_a_job_that_hands_on_a_secret_is_not_kept(place: Place) -> None:
    (place.folder / "deploy.yaml").write_text(
        "name: deploy\njobs:\n"
        "  login: {secrets: TOKEN, outputs: {values: [key]}, run: 'echo key=x$TOKEN >> $MPRUN_OUTPUT'}\n"
        "  ship: {needs: login, secrets: TOKEN,"
        " run: 'test -e mended && test ${{ needs.login.outputs.key }} = x$TOKEN'}\n"
    )
    env = {"TOKEN": "hunter2-hunter2"}
    place.mprun("run", "deploy.yaml", env=env)
    (place.folder / "mended").touch()

    again = place.mprun("rerun", "deploy", "--failed", env=env)

    assert (0, ["login", "ship"]) == (again.returncode, sorted(place.jobs())), again.stdout


def test_of_a_matrix_only_the_legs_that_failed_run_again_and_all_have_their_part_in_what_is_handed_on(
    place: Place,
) -> None:
    (place.folder / "legs.yaml").write_text(
        "name: legs\njobs:\n"
        "  t:\n    strategy: {fail-fast: false, matrix: {n: [1, 2]}}\n    outputs: {values: [v]}\n"
        "    run: 'echo ${{ matrix.n }} >> ran; [ ${{ matrix.n }} = 1 ] || test -e mended;"
        " echo v=${{ matrix.n }} >> $MPRUN_OUTPUT'\n"
        "  sum: {needs: t, run: 'echo ${{ needs.t.outputs.v }} > sum'}\n"
    )
    place.mprun("run", "legs.yaml", "--jobs", "1")
    (place.folder / "mended").touch()

    again = place.mprun("rerun", "legs", "--failed")

    assert (0, ["sum", "t (2)"], ["t (1)"]) == (again.returncode, sorted(place.jobs()), list(place.kept()))
    assert ("1\n2\n2\n", {"1": "1", "2": "2"}) == (
        (place.folder / "ran").read_text(),
        json.loads((place.folder / "sum").read_text()),
    )


def test_a_run_of_some_jobs_is_run_again_with_those(place: Place) -> None:
    place.mprun("run", "ci.yaml", "--job", "lint")

    assert 0 == place.mprun("rerun", "latest").returncode
    assert ["lint"] == place.jobs()


@pytest.mark.slow
def test_what_failed_of_stages_are_their_dead_letters(place: Place) -> None:
    place.mprun("run", "shop.yaml", "-q", "--param", "count=5")
    (place.folder / "mended").touch()

    again = place.mprun("rerun", "shop", "--failed")

    assert 0 == again.returncode, again.stderr
    assert "1 of 1 letter of stage 'worker' replayed in run" in again.stderr
    assert "has put dead letters back, and can't be run again" in place.mprun("rerun", "latest").stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--failed", "--only", "x"), "--failed, --from and --only exclude one another"),
        (("--only", "worker"), "has stages and no jobs: --from and --only are for those"),
        (("--failed",), "has no dead letters that were not replayed"),
        (("--failed", "--as-then"), "don't go together for a run of stages"),
    ],
)
def test_what_cannot_be_run_again_is_refused(place: Place, words: tuple[str, ...], expected: str) -> None:
    place.mprun("run", "shop.yaml", "-q")

    refused = place.mprun("rerun", "latest", *words)

    assert 2 == refused.returncode
    assert expected in refused.stderr


@pytest.mark.slow
def test_a_job_that_is_not_there_is_refused_with_the_nearest(place: Place) -> None:
    place.mprun("run", "ci.yaml")

    for option in ("--from", "--only"):
        assert (
            "there is no job 'biuld'; did you mean 'build'?"
            in place.mprun("rerun", "ci", option, "biuld").stderr
        )
    place.mprun("run", "ci.yaml", "--job", "build")
    assert "no job of run" in place.mprun("rerun", "latest", "--failed").stderr


def test_a_run_of_another_folder_is_refused_with_that_folder(place: Place) -> None:
    place.mprun("run", "shop.yaml", "-q")
    (place.folder / "elsewhere").mkdir()

    refused = place.mprun("rerun", "latest", cwd=place.folder / "elsewhere")

    assert 2 == refused.returncode
    assert f"was started in '{place.folder}'; change to that folder first" in refused.stderr


def test_of_a_folder_that_was_renamed_it_is_said_how_to_begin_anew(place: Place) -> None:
    place.mprun("run", "shop.yaml", "-q")
    place.folder = place.folder.rename(place.folder.with_name("renamed"))

    refused = place.mprun("rerun", "latest")

    way = "which is not there any more; put it back under that name, or begin anew: `mprun run shop.yaml`"
    assert (2, True) == (refused.returncode, way in refused.stderr)


@pytest.mark.slow
def test_two_runs_are_compared_and_the_gate_is_an_exit_code(place: Place) -> None:
    place.mprun("run", "shop.yaml", "-q", "--param", "count=3")
    first = place.last()["id"]
    place.mprun("run", "shop.yaml", "-q", "--param", "count=5")

    shown = place.mprun("diff", first, "latest")
    told = json.loads(place.mprun("diff", first, "latest", "--format", "json").stdout)
    gate = place.mprun("diff", first, "latest", "--fail-over", "99%")
    back = place.mprun("diff", "latest", first, "--fail-over", "100%")

    assert 0 == shown.returncode
    assert (
        "+--param count=5" in shown.stdout and "new:  1× in stage worker: ValueError: three" in shown.stdout
    )
    assert ["lister", "worker"] == [stage["name"] for stage in told["stages"]]
    assert [{"stage": "worker", "error": "ValueError: three", "n": 1}] == told["new_kinds"]
    assert (1, "in stage 'worker' 1 items failed, and 0 before; --fail-over allows 99%") == (
        gate.returncode,
        gate.stderr.strip().removeprefix("mprun: "),
    )
    assert (0, "") == (back.returncode, back.stderr)


@pytest.mark.slow
def test_how_long_items_take_is_shown_and_part_of_the_gate(place: Place) -> None:
    (place.folder / "slow.py").write_text(
        "import time\n\ndef items():\n    yield from range(25)\n\n"
        "def handle(item, seconds):\n    time.sleep(seconds)\n"
    )
    (place.folder / "slow.yaml").write_text(
        "name: slow\nstages:\n  lister: {run: 'slow:items', to: q}\n"
        "  worker: {run: 'slow:handle', from: q, count: 3, with: {seconds: 0.02}}\n"
    )
    place.mprun("run", "slow.yaml", "-q")
    first = place.last()
    place.mprun("run", "slow.yaml", "-q", "--set", "stages.worker.with.seconds=0.1")

    shown = place.mprun("show", first["id"]).stdout
    told = json.loads(place.mprun("diff", first["id"], "latest", "--format", "json").stdout)
    gate = place.mprun("diff", first["id"], "latest", "--fail-over", "20%")

    (worker,) = (stage for stage in first["report"]["stages"] if stage["name"] == "worker")
    assert 0.02 * 7 / 8 < worker["p50_seconds"] < 0.06 and worker["slowest_seconds"] >= 0.02
    assert worker["slowest_item"].isdigit()
    assert "p50" in shown and "p95" in shown
    (change,) = (stage["p95_seconds"] for stage in told["stages"] if stage["name"] == "worker")
    assert change["after"] > 0.1 * 7 / 8 and change["ratio"] == change["after"] / change["before"]
    assert (1, True) == (gate.returncode, "in stage 'worker' 95% of the items take up to " in gate.stderr)


def test_a_limit_is_a_percentage(place: Place) -> None:
    refused = place.mprun("diff", "a", "b", "--fail-over", "much")

    assert (2, True) == (
        refused.returncode,
        "expected a percentage such as 20%, got 'much'" in refused.stderr,
    )


@pytest.mark.slow
def test_a_run_is_exported_and_looked_at_elsewhere(place: Place, run_mprun: RunMprun) -> None:
    place.mprun("run", "ci.yaml")
    place.mprun("history", "export", "ci", "-o", "ci.zip")
    elsewhere = {"MPRUN_HOME": str(place.folder / "other")}

    taken = run_mprun("history", "import", "ci.zip", cwd=place.folder, env=elsewhere)
    (place.folder / "home").rename(place.folder / "gone")
    shown = run_mprun("show", "ci", cwd=place.folder, env=elsewhere)
    logs = run_mprun("logs", "ci", "build", cwd=place.folder, env=elsewhere)

    assert (0, "built\n") == (taken.returncode, logs.stdout)
    assert "✗ test failed" in shown.stdout
    assert f"{elsewhere['MPRUN_HOME']}/runs/" in shown.stdout or "other/runs/" in shown.stdout


def test_old_records_are_pruned_on_demand(place: Place) -> None:
    place.mprun("run", "shop.yaml", "-q")

    told = json.loads(place.mprun("history", "prune", "--dry-run", "--format", "json").stdout)

    assert {"removed": [], "bytes": 0, "needed": {}, "outputs": [], "left": [], "dry_run": True} == told
    assert "removed 0 records of 1, 0B" in place.mprun("history", "prune").stderr
