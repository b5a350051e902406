"""What every test file may ask for: the checkout, the installed command, a way to run it that always ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

# Variables, by how they begin, that change what Python or mprun prints: a test that needs one sets it.
_UNSETTLING = (
    *("PYTHONIOENCODING", "PYTHONUTF8", "PYTHONCOERCECLOCALE", "PYTHONUNBUFFERED", "PYTHONWARNINGS"),
    *("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"),
    *("LC_", "LANG", "COLUMNS", "LINES", "TERM", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "GITHUB_", "MPRUN_"),
)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the checkout these tests belong to. The package itself may be installed elsewhere."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def mprun() -> Path:
    """The `mprun` command installed for the interpreter that runs the tests."""
    found = shutil.which("mprun", path=sysconfig.get_path("scripts"))
    if found is None:
        pytest.fail("mprun is not installed for this interpreter: pip install '.[test]'", pytrace=False)
    return Path(found)


@pytest.fixture(scope="session")
def plain_env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """
    The environment without whatever changes output; what runs leave behind goes to temporary folders.

    So does compiled code: where the checkout may not hold any, each command would compile all of mprun anew.
    """
    settled = {key: value for key, value in os.environ.items() if not key.startswith(_UNSETTLING)}
    return {
        **settled,
        "MPRUN_HOME": str(tmp_path_factory.mktemp("mprun-home")),
        "PYTHONPYCACHEPREFIX": str(tmp_path_factory.mktemp("compiled")),
    }


@pytest.fixture(scope="session")
def run_mprun(mprun: Path, checkout: Path, plain_env: dict[str, str]) -> RunMprun:
    """
    Run `mprun` with pipes for stdout and stderr and nothing on stdin; both are read as strict UTF-8.

    `env` is laid over the plain environment. A run that takes longer than `timeout` seconds is killed with
    all that it started, and the test fails with what was printed so far.
    """

    def run(
        *arguments: str | Path,
        env: Mapping[str, str] | None = None,
        cwd: Path = checkout,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        process = subprocess.Popen(
            [mprun, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env={**plain_env, **(env or {})},
            cwd=cwd,
            start_new_session=True,  # so that one signal reaches whatever it started
        )
        stdout, stderr = _communicate(process, timeout)
        return subprocess.CompletedProcess(list(map(str, arguments)), process.returncode, stdout, stderr)

    return run


def _communicate(process: subprocess.Popen[str], timeout: float) -> tuple[str, str]:
    try:
        return process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate(timeout=10)
        pytest.fail(
            f"mprun was not done after {timeout} s\nstdout: {stdout}\nstderr: {stderr}", pytrace=False
        )
