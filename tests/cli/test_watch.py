"""`mprun watch`: what runs again as files change, with real files and their events."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from runner.record.reader import RunView
from runner.store.run_folder import RunFolder, by_age, run_folders_in

pytest.importorskip("watchfiles")
pytestmark = pytest.mark.slow

TIMEOUT = 60.0
WAITING = "waiting for changes"
FILE = """
name: w
jobs:
  lint: {inputs: "src/*.py", run: "cat src/a.py"}
  test: {needs: lint, run: "echo tested", inputs: "tests/*"}
  docs: {inputs: docs.md, run: "cat docs.md"}
"""


class Watching:
    """A `mprun watch` under way, with what it has printed."""

    def __init__(self, command: list[str | Path], folder: Path, env: dict[str, str], printed: Path) -> None:
        self.folder, self._printed = folder, printed
        self._seen = 0
        with printed.open("wb") as out:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def write(self, name: str, text: str) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text, encoding="utf-8")

    def until(self, text: str, *, ended: bool = False) -> str:
        """Wait until it has printed this, and return all that it has printed since the last time."""
        end = time.monotonic() + TIMEOUT
        while True:
            printed = self._printed.read_text(encoding="utf-8")
            if text in printed[self._seen :]:
                new = printed[self._seen :]
                self._seen = len(printed)
                return new
            assert time.monotonic() < end, f"{text!r} never came: {printed}"
            assert ended or self.process.poll() is None, printed
            time.sleep(0.02)


Watch = Callable[..., Watching]


@pytest.fixture
def watch(mprun: Path, plain_env: dict[str, str], tmp_path: Path) -> Iterator[Watch]:
    started: list[Watching] = []

    def start(file: str, *more: str, **files: str) -> Watching:
        folder = tmp_path / "project"
        folder.mkdir()
        (folder / "w.yaml").write_text(file, encoding="utf-8")
        for name, text in files.items():
            path = folder / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        env = {**plain_env, "MPRUN_HOME": str(tmp_path / "home")}
        command = [mprun, "watch", "w.yaml", *more]
        started.append(Watching(command, folder, env, tmp_path / "printed"))
        return started[-1]

    yield start
    for each in started:
        with suppress(ProcessLookupError):
            os.killpg(each.process.pid, signal.SIGKILL)
        each.process.wait()


def files() -> dict[str, str]:
    return {"src__a_py": "one\n", "tests__t": "", "docs_md": "text\n"}


def test_what_is_affected_runs_again_with_all_that_needs_it(watch: Watch) -> None:
    w = watch(FILE, "--output", "stream", **files())
    first = w.until(WAITING)
    assert all(f"✓ {job} passed" in first for job in ("lint", "test", "docs"))

    w.write("src/a.py", "two\n")
    second = w.until(WAITING)

    assert "mprun: src/a.py changed: lint, test\n" in second
    assert "lint | two" in second
    assert "docs" not in second


def test_what_it_needs_and_is_not_affected_is_kept(watch: Watch) -> None:
    w = watch(FILE, "--output", "stream", **files())
    w.until(WAITING)

    w.write("tests/new", "")
    second = w.until(WAITING)

    assert "mprun: tests/new changed: test\n" in second
    assert "✓ test passed" in second
    assert "lint |" not in second


def test_each_time_is_a_run_in_the_record_with_its_reason(watch: Watch, tmp_path: Path) -> None:
    w = watch(FILE, **files())
    w.until(WAITING)
    w.write("docs.md", "more\n")
    w.until(WAITING)

    assert ["", "docs.md changed"] == [trigger_of(each) for each in by_age(run_folders_in(tmp_path / "home"))]


def trigger_of(folder: RunFolder) -> str:
    with RunView(folder.path) as view:
        return str(view.facts()["trigger"])


def test_a_job_without_inputs_runs_as_anything_changes_that_git_does_not_ignore(watch: Watch) -> None:
    file = 'name: w\njobs:\n  all: {run: "mkdir -p build; date +%N > build/made; echo ran"}\n'
    w = watch(file, src__a_py="", _gitignore="build/\n")
    subprocess.run(["git", "init", "-q"], cwd=w.folder, check=True)
    w.until(WAITING)

    w.write("build/by-hand", "")
    w.write("src/b.py", "")
    second = w.until(WAITING)

    assert "mprun: src/b.py changed: all\n" in second


def test_outputs_of_jobs_have_nobody_run_again(watch: Watch) -> None:
    file = """
name: w
jobs:
  make: {outputs: made.txt, run: "date +%N > made.txt"}
  docs: {inputs: docs.md, run: "cat docs.md"}
"""
    w = watch(file, docs_md="")
    w.until(WAITING)
    w.write("made.txt", "by hand")
    w.write("docs.md", "more")

    assert "mprun: docs.md changed, and" not in w.until(WAITING)


def test_a_job_that_writes_what_it_depends_on_is_told_of_once_and_does_not_go_round(watch: Watch) -> None:
    file = 'name: w\njobs:\n  go: {inputs: "*.txt", run: "date +%N > now.txt; sleep 1"}\n'
    w = watch(file, in_txt="")

    told = w.until("passed over from now on")
    told += w.until(WAITING)
    assert told.count("'now.txt' changes whenever") == 1

    w.write("in.txt", "more")
    assert "in.txt changed" in w.until(WAITING)


def test_what_is_under_way_and_affected_is_cancelled_and_the_rest_stays(watch: Watch) -> None:
    file = """
name: w
jobs:
  slow: {inputs: a.txt, run: "echo $$ > slow.begun; test -e a.go || sleep 600"}
  other: {inputs: b.txt, run: "touch other.begun; until test -e b.go; do sleep 0.05; done; echo other-done"}
"""
    w = watch(file, "--jobs", "2", "--output", "stream", a_txt="", b_txt="")
    wait_for(w.folder / "slow.begun")
    wait_for(w.folder / "other.begun")
    (w.folder / "slow.begun").unlink()
    w.write("a.go", "")
    w.write("a.txt", "more")
    w.until("slow was cancelled after")
    w.write("b.go", "")
    shown = w.until(WAITING)

    assert "other | other-done" in shown
    assert "mprun: a.txt changed: slow\n" in shown
    assert "✓ slow passed" in shown


def wait_for(path: Path) -> None:
    end = time.monotonic() + TIMEOUT
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} never came"
        time.sleep(0.02)


def test_a_file_that_is_wrong_for_a_while_is_told_of_and_waited_for(watch: Watch) -> None:
    w = watch(FILE, "--output", "stream", **files())
    w.until(WAITING)

    w.write("w.yaml", FILE.replace("needs: lint", "needs: lnit"))
    assert "did you mean 'lint'?" in w.until("'w.yaml' is wrong")

    w.write("w.yaml", FILE.replace("echo tested", "echo anew"))
    again = w.until(WAITING)
    assert "mprun: w.yaml changed: test\n" in again
    assert "test | anew" in again


def test_a_file_that_is_included_counts_as_the_file(watch: Watch) -> None:
    w = watch(
        "name: w\ninclude: more.yaml\njobs: {a: {run: echo a}}\n", more_yaml="jobs: {b: {run: echo b}}\n"
    )
    w.until(WAITING)

    w.write("more.yaml", "jobs: {b: {run: echo c}}\n")

    assert "mprun: w.yaml changed: b\n" in w.until(WAITING)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_while_it_waits(watch: Watch, number: signal.Signals, code: int) -> None:
    w = watch(FILE, **files())
    w.until(WAITING)

    w.process.send_signal(number)

    assert code == w.process.wait(TIMEOUT)


def test_ctrl_c_has_what_runs_clean_up_and_ends_all(watch: Watch) -> None:
    file = 'name: w\njobs:\n  a: {run: "echo > begun; sleep 600", ensure: [echo > cleaned]}\n'
    w = watch(file)
    wait_for(w.folder / "begun")

    os.killpg(w.process.pid, signal.SIGINT)

    assert w.process.wait(TIMEOUT) == 130
    assert (w.folder / "cleaned").exists()


def test_killed_it_leaves_nothing(watch: Watch) -> None:
    file = 'name: w\njobs:\n  a: {run: "echo $$ > begun; exec sleep 654"}\n'
    w = watch(file)
    wait_for(w.folder / "begun")
    end = time.monotonic() + TIMEOUT
    while not (pid := (w.folder / "begun").read_text(encoding="utf-8").strip()):
        assert time.monotonic() < end

    w.process.kill()
    w.process.wait(TIMEOUT)

    while Path(f"/proc/{pid}").exists() or processes_in(w.folder):
        assert time.monotonic() < end, processes_in(w.folder)
        time.sleep(0.02)


def processes_in(folder: Path) -> list[str]:
    """The processes whose current folder this is."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (each / "cwd").readlink() == folder:
                found.append((each / "cmdline").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize(
    ("file", "more", "words"),
    [
        ("name: w\nstages: {a: {run: {command: [ls]}}}\n", [], "has stages and no jobs"),
        ("name: w\njobs: {lint: {run: ls}}\n", ["lnit"], "did you mean 'lint'?"),
        ("name: w\njobs: {lint: {run: ls}}\n", ["--no-record"], "needs the record"),
        ("name: w\njobs: {lint: {run: ls}}\n", ["--", "x"], "no job that runs takes arguments"),
    ],
)
def test_what_can_not_be_watched_is_refused(watch: Watch, file: str, more: list[str], words: str) -> None:
    w = watch(file, *more)

    assert w.process.wait(TIMEOUT) == 2
    w.until(words, ended=True)
