"""SIGTERM to one worker that is in its `flush()` or in its `close()`: what is in the file, against the exit code.

handler ──► "blocked" with its pid ──► the test sends SIGTERM ──► the worker dies there, with its effect undone
"""

from __future__ import annotations

import os
import signal
import subprocess
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

KITCHEN = """
    import os, signal
    from pathlib import Path

    def count(last):
        yield from range(last)

    def append(items):
        text = "".join(f"{item}\\n" for item in items).encode()
        lines = os.open("lines.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        assert os.write(lines, text) == len(text)
        os.close(lines)

    class Flushing:
        def __init__(self, where, when):
            self.where, self.when, self.items, self.lines = where, when, [], 0

        def __call__(self, item):
            self.items.append(item)

        def flush(self):
            if self.lines + len(self.items) > self.when:
                self.block("flush")
            self.write()

        def close(self):
            self.block("close")

        def block(self, place):
            if place == self.where and not Path("blocked").exists():
                Path("new").write_text(str(os.getpid()))
                Path("new").rename("blocked")
                while True:
                    signal.pause()

        def write(self):
            append(self.items)
            self.lines += len(self.items)
            self.items = []

    class Closing(Flushing):
        flush = None

        def close(self):
            self.block("close")
            self.write()

    class Empty(Flushing):
        flush = None

        def __call__(self, item):
            append([item])
"""

ALL = [str(item) for item in range(1000)]
START = [
    ("leased", "fork"),
    pytest.param("leased", "spawn", marks=pytest.mark.slow),
    pytest.param("joinable", "fork", marks=pytest.mark.slow),
    pytest.param("joinable", "spawn", marks=pytest.mark.slow),
]


@contextmanager
def terminates_who_is_blocked(folder: Path) -> Iterator[None]:
    """Send SIGTERM to the worker that says that it is blocked, as soon as it does."""
    over = threading.Event()

    def terminate() -> None:
        while not over.wait(0.005):
            if (folder / "blocked").exists():
                os.kill(int((folder / "blocked").read_text()), signal.SIGTERM)
                return

    thread = threading.Thread(target=terminate)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def run(
    run_mprun: RunMprun, folder: Path, handler: str, with_: str, where: tuple[str, str]
) -> subprocess.CompletedProcess[str]:
    transport, start = where
    (folder / "kitchen.py").write_text(textwrap.dedent(KITCHEN), encoding="utf-8")
    (folder / "kitchen.yaml").write_text(
        f"name: kitchen\ntransport: {transport}\n"
        f"defaults: {{stage: {{start_method: {start}}}}}\n"
        "limits: {timeout: 60s}\n"
        "stages:\n"
        "  chef: {run: kitchen:count, with: {last: 1000}, to: q}\n"
        f"  eater: {{run: kitchen:{handler}, with: {with_}, from: q}}\n",
        encoding="utf-8",
    )
    with terminates_who_is_blocked(folder):
        done = run_mprun("run", "kitchen.yaml", "-q", cwd=folder)
    assert (folder / "blocked").exists(), "nobody came there"
    return done


def check(folder: Path, done: subprocess.CompletedProcess[str], *, fails: bool, reason: str) -> None:
    """Hold the effects against the exit code: 0 is complete and once; else it says who ended, and of what."""
    file = folder / "lines.txt"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    assert len(set(lines)) == len(lines), "a line is there twice"
    assert int(fails) == done.returncode, done.stderr
    if fails:
        assert "worker 'eater-1'" in done.stderr
        assert "SIGTERM" in done.stderr
        assert reason in done.stderr
    else:
        assert sorted(ALL) == sorted(lines)


@pytest.mark.parametrize(("transport", "start"), START)
@pytest.mark.parametrize("when", [0, 300, 999], ids=["the first", "in the middle", "the last"])
@pytest.mark.quick("in the middle")
def test_sigterm_in_a_flush_loses_and_repeats_nothing(
    run_mprun: RunMprun, tmp_path: Path, when: int, transport: str, start: str
) -> None:
    done = run(run_mprun, tmp_path, "Flushing", f"{{where: flush, when: {when}}}", (transport, start))

    check(tmp_path, done, fails=transport == "joinable", reason="killed by SIGTERM")


@pytest.mark.parametrize(("transport", "start"), START)
def test_sigterm_in_the_close_of_who_has_flushed_loses_and_repeats_nothing(
    run_mprun: RunMprun, tmp_path: Path, transport: str, start: str
) -> None:
    done = run(run_mprun, tmp_path, "Flushing", "{where: close, when: 2000}", (transport, start))

    check(tmp_path, done, fails=transport == "joinable", reason="killed by SIGTERM")


@pytest.mark.parametrize(("transport", "start"), START)
@pytest.mark.parametrize(
    ("handler", "lost"),
    [
        ("Closing", "what it kept of 1,000 items in `self.items`"),
        ("Empty", "it was in its close(), and what that was"),
    ],
)
def test_sigterm_in_the_close_that_was_to_make_things_safe_fails_the_run(
    run_mprun: RunMprun, tmp_path: Path, handler: str, lost: str, transport: str, start: str
) -> None:
    done = run(run_mprun, tmp_path, handler, "{where: close, when: 2000}", (transport, start))

    check(tmp_path, done, fails=True, reason=lost if transport == "leased" else "killed by SIGTERM")
