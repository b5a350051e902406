"""Two runs at one place: the second is refused and told by whom, and what the first has written is all there."""

from __future__ import annotations

import os
import signal
import subprocess
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from sink_runs import SINKS, Sink

SOURCE = """
    import time
    from pathlib import Path

    def count():
        for number in range(20):
            if number == 10:
                Path("begun").touch()
                while not Path("go").exists():
                    time.sleep(0.01)
            yield {"n": number, "word": "包"}

    def few():
        yield {"n": 99, "word": "包"}
"""
RUN = (
    "name: flow\nresume: required\nstages:\n  source: {run: 'source:%s', to: q}\n  sink: {run: %s, from: q}\n"
)
MODES = [(name, mode) for name, sink in SINKS.items() for mode in sink.modes]

pytestmark = pytest.mark.slow


class Place:
    """A folder in which runs write to one place."""

    def __init__(self, folder: Path, sink: Sink, mprun: Path, env: Mapping[str, str]) -> None:
        self.folder, self.sink, self._mprun = folder, sink, mprun
        self._env = {**env, "MPRUN_HOME": str(folder / ".mprun")}
        (folder / "source.py").write_text(textwrap.dedent(SOURCE), encoding="utf-8")

    def start(self, source: str, mode: str) -> subprocess.Popen[str]:
        run = self.sink.options(f", mode: {mode}")
        (self.folder / f"{source}.yaml").write_text(RUN % (source, run), encoding="utf-8")
        return self.call("run", f"{source}.yaml", "-q")

    def call(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self._mprun, *arguments], cwd=self.folder, env=self._env, stderr=subprocess.PIPE, text=True
        )

    @contextmanager
    def begun(self, mode: str) -> Iterator[subprocess.Popen[str]]:
        """A run in the middle of its work."""
        first = self.start("count", mode)
        try:
            deadline = time.monotonic() + 30
            while not (self.folder / "begun").exists():
                assert first.poll() is None and time.monotonic() < deadline, "it has not begun"
                time.sleep(0.01)
            yield first
        finally:
            first.kill()
            first.communicate()

    def ended(self, run: subprocess.Popen[str]) -> tuple[int, str]:
        _, told = run.communicate(timeout=60)
        return run.returncode, told


@pytest.fixture
def place(tmp_path: Path, mprun: Path, plain_env: dict[str, str], name: str) -> Place:
    return Place(tmp_path, SINKS[name], mprun, plain_env)


@pytest.mark.parametrize(("name", "mode"), MODES)
def test_the_second_run_is_refused_and_the_first_loses_nothing(place: Place, mode: str) -> None:
    with place.begun(mode) as first:
        code, told = place.ended(place.start("few", "replace"))
        (place.folder / "go").touch()
        assert (0, "") == place.ended(first)

    assert (1, True) == (code, "another run writes it" in told)
    assert f"in process {first.pid}" in told
    assert list(range(20)) == place.sink.read(place.folder / "out")


@pytest.mark.parametrize(("name", "mode"), MODES)
def test_a_run_that_was_killed_keeps_nobody_out_and_goes_on(place: Place, mode: str) -> None:
    with place.begun(mode) as first:
        time.sleep(0.3)  # a cut is a tenth of a second old at most
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    (place.folder / "go").touch()

    resumed = place.ended(place.call("resume", "flow", "-q"))

    assert (0, "") == resumed
    assert list(range(20)) == place.sink.read(place.folder / "out")


@pytest.mark.parametrize(("name", "mode"), MODES)
def test_the_next_run_is_not_kept_out_by_one_that_was_killed(place: Place, mode: str) -> None:
    with place.begun(mode) as first:
        os.kill(first.pid, signal.SIGKILL)
        first.wait()

    assert (0, "") == place.ended(place.start("few", "replace"))
    assert [99] == place.sink.read(place.folder / "out")
