"""What every test file may ask for: the checkout, the installed command, a way to run it that always ends."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import selectors
import shutil
import signal
import subprocess
import sysconfig
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from forkserver import ForkServer
from hypothesis import HealthCheck, settings

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

# Variables, by how they begin, that change what Python or mprun prints: a test that needs one sets it.
_UNSETTLING = (
    *("PYTHONIOENCODING", "PYTHONUTF8", "PYTHONCOERCECLOCALE", "PYTHONUNBUFFERED", "PYTHONWARNINGS"),
    *("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"),
    *("LC_", "LANG", "COLUMNS", "LINES", "TERM", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "GITHUB_", "MPRUN_"),
)
_READ_AT_START = ("PYTHON", "LC_", "LANG")

# How long an example takes says how busy the machine is, and nothing of what is tested. The same examples come each
# time, so that a change is judged by what it changes; MPRUN_EXPLORE=1 looks for others, and for more.
_EXPLORES = "MPRUN_EXPLORE" in os.environ
settings.register_profile(
    "any machine",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=not _EXPLORES,
    max_examples=200 if _EXPLORES else 40,
)
settings.load_profile("any machine")


def pytest_configure() -> None:
    """Hear what asks to end, and let what a test starts hear it: `nohup` ignores SIGHUP, a `&` in a script SIGINT."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


def pytest_xdist_auto_num_workers() -> int:
    """Say what `-n auto` is: many tests wait for processes, so that a worker for each core leaves cores idle."""
    cores = len(os.sched_getaffinity(0))
    return cores + cores // 2


@pytest.hookimpl(tryfirst=True)  # before `-m "not slow"` looks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave to the slow run what `quick` does not name, and of a sweep what nobody asks for out of it."""
    _leave_to_the_slow_run(config, items)
    asked = os.environ.get("MPRUN_SWEEP") == "all" or any("::" in argument for argument in config.args)
    left_out = [item for item in items if not asked and not _is_of_the_sample(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if _is_of_the_sample(item)]


def _is_of_the_sample(item: pytest.Item) -> bool:
    """Say whether a case of a sweep is one of those that always run: the same ones each time, spread over all."""
    marker = item.get_closest_marker("sweep")
    return marker is None or zlib.crc32(item.name.encode()) % int(marker.args[0]) == 0


def _leave_to_the_slow_run(config: pytest.Config, items: list[pytest.Item]) -> None:
    unnamed: dict[tuple[str, str], bool] = {}
    for item in items:
        if (marker := item.get_closest_marker("quick")) is None:
            continue
        words = set(re.split(r"[-\[\]]", item.name))
        named = {case for case in marker.args if set(case.split("-")) <= words}
        for case in marker.args:
            key = item.nodeid.partition("[")[0], case
            unnamed[key] = unnamed.get(key, True) and case not in named
        if not named:
            item.add_marker("slow")
    wrong = [f"{test} has no case {case!r}" for (test, case), missing in unnamed.items() if missing]
    if wrong and not any("::" in argument for argument in config.args):  # which asks for one case, perhaps
        raise pytest.UsageError("\n".join(wrong))


def pytest_collection_finish() -> None:
    """
    Keep the collector away from the tests themselves: they stay to the end.

    Whoever a test forks would write to all of them in its first full collection, and so copy them.
    """
    gc.freeze()


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

    So does compiled code, to one folder for all of pytest's workers: where the checkout may not hold any, each
    command would compile all of mprun anew.
    """
    own = tmp_path_factory.getbasetemp()
    compiled = own.parent / "compiled" if "PYTEST_XDIST_WORKER" in os.environ else own / "compiled"
    settled = {key: value for key, value in os.environ.items() if not key.startswith(_UNSETTLING)}
    return {
        **settled,
        "MPRUN_HOME": str(tmp_path_factory.mktemp("mprun-home")),
        "PYTHONPYCACHEPREFIX": str(compiled),
    }


@pytest.fixture(scope="session")
def mprun_server(mprun: Path, plain_env: dict[str, str]) -> Iterator[ForkServer]:
    """What forks a command that has imported mprun already."""
    server = ForkServer(mprun, plain_env)
    yield server
    server.close()


@pytest.fixture(scope="session")
def run_mprun(mprun: Path, mprun_server: ForkServer, checkout: Path, plain_env: dict[str, str]) -> RunMprun:
    """
    Run `mprun` with pipes for stdout and stderr and nothing on stdin; both are read as strict UTF-8.

    `env` is laid over the plain environment. A run that takes longer than `timeout` seconds is killed with all that it
    started, and the test fails with what was printed so far. The process is a fork of one that has imported mprun,
    unless `env` has what Python reads as it starts: then it is a start from nothing.
    """

    def run(
        *arguments: str | Path,
        env: Mapping[str, str] | None = None,
        cwd: Path = checkout,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        given, environ = list(map(str, arguments)), {**plain_env, **(env or {})}
        (stdout, theirs), (stderr, theirs_too) = os.pipe(), os.pipe()
        if any(key.startswith(_READ_AT_START) for key in env or {}):
            command = _start([mprun, *given], environ, cwd, theirs, theirs_too)
        else:
            command = mprun_server.start(given, environ, cwd, theirs, theirs_too)
        os.close(theirs)
        os.close(theirs_too)
        shown = {stdout: b"", stderr: b""}
        is_late = not _read_to_end(shown, timeout)
        if is_late:
            os.killpg(command.pid, signal.SIGKILL)
            _read_to_end(shown, 10)
        code = command.wait()
        texts = [each.decode("utf-8") for each in shown.values()]
        if is_late:
            pytest.fail(
                f"mprun was not done after {timeout} s\nstdout: {texts[0]}\nstderr: {texts[1]}", pytrace=False
            )
        return subprocess.CompletedProcess(given, code, *texts)

    return run


def _start(
    command: list[str | Path], env: Mapping[str, str], cwd: Path, stdout: int, stderr: int
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env=env,
        cwd=cwd,
        start_new_session=True,  # so that one signal reaches whatever it started
    )


def _read_to_end(shown: dict[int, bytes], timeout: float) -> bool:
    """Read from pipes, and close each at its end. False if there was no end within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for descriptor in shown:
            with contextlib.suppress(OSError):  # closed the last time
                os.fstat(descriptor)
                selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            found = selector.select(max(0, deadline - time.monotonic()))
            if not found:
                return False
            for key, _ in found:
                chunk = os.read(key.fd, 1 << 16)
                shown[key.fd] += chunk
                if not chunk:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    return True
