"""A /proc that is not this namespace's, or none: the run is refused with a word, and signals nobody by its numbers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

APART = ["unshare", "--pid", "--fork", "--kill-child"]


def can_be_apart() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*APART, "--mount", "true"], check=False, capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(not can_be_apart(), reason="no namespaces may be made here")


@pytest.fixture
def kitchen(tmp_path: Path) -> Path:
    (tmp_path / "kitchen.py").write_text(
        "def steam():\n    yield from range(3)\n\ndef eat(bun):\n    print('ate', bun)\n"
    )
    file = tmp_path / "kitchen.yaml"
    file.write_text(
        "name: kitchen\nstages:\n  chef: {run: 'kitchen:steam', to: q}\n  eater: {run: 'kitchen:eat', from: q}\n"
    )
    return file


def run_apart(
    command: list[str | Path], env: Mapping[str, str], *, timeout: float = 60
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env=dict(env),
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_a_run_under_the_proc_of_another_namespace_is_refused(
    kitchen: Path, mprun: Path, plain_env: Mapping[str, str]
) -> None:
    done = run_apart([*APART, mprun, "run", kitchen, "-q"], plain_env)

    assert (1, "") == (done.returncode, done.stdout)
    assert "/proc shows the processes of another pid namespace" in done.stderr
    assert "--transport inline" in done.stderr


def test_a_run_under_its_own_proc_runs_in_any_namespace(
    kitchen: Path, mprun: Path, plain_env: Mapping[str, str]
) -> None:
    done = run_apart([*APART, "--mount-proc", mprun, "run", kitchen, "-q"], plain_env)

    assert ("ate 0\nate 1\nate 2\n", 0) == (done.stdout, done.returncode), done.stderr


def test_a_run_without_proc_is_refused_and_says_so(
    kitchen: Path, mprun: Path, plain_env: Mapping[str, str]
) -> None:
    alone = 'mount -t tmpfs none /proc && exec "$@"'

    done = run_apart(["unshare", "--mount", "sh", "-c", alone, "sh", mprun, "run", kitchen, "-q"], plain_env)

    assert (1, "") == (done.returncode, done.stdout)
    assert "/proc is not mounted" in done.stderr


def test_what_runs_in_one_process_needs_no_proc(
    kitchen: Path, mprun: Path, plain_env: Mapping[str, str]
) -> None:
    done = run_apart([*APART, mprun, "run", kitchen, "-q", "--transport", "inline"], plain_env)

    assert ("ate 0\nate 1\nate 2\n", 0) == (done.stdout, done.returncode), done.stderr
