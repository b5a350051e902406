"""Commands in whole runs: batches, filters, exit codes that are tried again, workers that are killed."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

TRANSPORTS = pytest.mark.parametrize("transport", ["leased", "joinable", "inline"])


@pytest.fixture
def run(run_mprun: RunMprun, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run stages in an empty folder."""

    def run_stages(stages: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "w.yaml").write_text(f"name: w\nstages:\n{stages}", encoding="utf-8")
        return run_mprun("w.yaml", "-q", *arguments, cwd=tmp_path)

    return run_stages


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@TRANSPORTS
@pytest.mark.quick("leased")
def test_items_go_through_a_filter_a_batch_and_a_call(run: Run, transport: str, tmp_path: Path) -> None:
    done = run(
        "  feed: {run: {command: 'seq 100'}, to: n}\n"
        "  double: {run: {command: {run: 'while read -r n; do echo $((n * 2)); done', filter: true}}, from: n, to: d}\n"
        "  group: {run: {command: {run: [sed, s/^/x/], stdin: text}}, from: d, batch: 7, to: g}\n"
        "  out: {run: {jsonl: {path: out.jsonl}}, from: g}\n",
        "--transport",
        transport,
    )

    assert (done.returncode, done.stderr) == (0, "")
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [f"x{2 * n}" for n in range(1, 101)]


def test_a_batch_with_one_bad_item_is_split_until_that_stands_alone(run: Run, tmp_path: Path) -> None:
    done = run(
        "  feed: {run: {command: 'seq 20'}, to: n}\n"
        "  pick: {run: {command: 'for n in ${{ item }}; do [ $n != 13 ] || exit 3; done; printf \"%s\\n\" ${{ item }}'"
        "},\n    from: n, batch: 8, on_error: skip, to: m}\n"
        "  out: {run: {jsonl: {path: out.jsonl}}, from: m}\n",
        "--set",
        "limits.max_errors=1",
    )

    assert done.returncode == 0, done.stderr
    made = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert sorted(map(int, made)) == [n for n in range(1, 21) if n != 13]


def test_an_exit_code_that_retry_names_is_tried_again_and_another_is_not(run: Run, tmp_path: Path) -> None:
    done = run(
        "  feed: {run: {command: 'printf \"75\\n1\\n\"'}, to: n}\n"
        "  try: {run: {command: 'echo ${{ item }} >> tried; exit ${{ item }}'}, from: n, on_error: skip,\n"
        "    retry: {attempts: 3, backoff: 1ms, on: [75, SIGKILL]}}\n",
    )

    assert done.returncode == 1
    assert Counter((tmp_path / "tried").read_text().split()) == {"75": 3, "1": 1}


def test_a_filter_that_dies_costs_the_item_in_hand_an_attempt_and_nothing_else(
    run: Run, tmp_path: Path
) -> None:
    done = run(
        "  feed: {run: {command: 'seq 30'}, to: n}\n"
        "  pass: {run: {command: {run: 'while read -r n; do\n"
        "    if [ $n = 17 ] && mkdir died; then exit 4; fi; echo $n; done',\n"
        "    filter: true}}, from: n, to: m, retry: {attempts: 2, backoff: 1ms, on: 4}}\n"
        "  out: {run: {jsonl: {path: out.jsonl}}, from: m}\n",
    )

    assert done.returncode == 0, done.stderr
    made = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert sorted(map(int, made)) == list(range(1, 31))


def test_a_filter_that_ends_badly_fails_the_run(run: Run) -> None:
    done = run(
        "  feed: {run: {command: 'seq 3'}, to: n}\n"
        "  pass: {run: {command: {run: 'cat; echo could not save >&2; exit 9', filter: true}}, from: n}\n",
    )

    assert done.returncode == 1
    assert "exited with code 9: could not save" in done.stderr


@pytest.mark.slow
def test_when_a_worker_is_killed_its_filter_goes_too_and_nothing_is_lost_or_twice(
    run: Run, tmp_path: Path
) -> None:
    done = run(
        "  feed: {run: {command: 'seq 200'}, to: n}\n"
        "  pass: {run: {command: {run: 'echo $$ >> pids; while read -r n; do\n"
        "    if [ $n = 120 ] && mkdir died; then kill -9 $PPID; sleep 600; fi; echo $n; done', filter: true}},\n"
        "    from: n, to: m, count: 2}\n"
        "  out: {run: {jsonl: {path: out.jsonl}}, from: m}\n",
    )

    assert done.returncode == 0, done.stderr
    made = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert sorted(map(int, made)) == list(range(1, 201))
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) >= 2
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
