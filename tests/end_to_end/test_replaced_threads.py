"""Handlers that replace what threads are made of, as gevent and eventlet do, and that meddle with their process.

Each run comes to an end: it does its work, or fails with a sentence.
"""

from __future__ import annotations

import importlib.util
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RunMprun = Callable[..., Any]

TRANSPORTS = ["leased", "joinable", "inline"]
FLOW = """
name: patched
stages:
  source: {run: "h:source", to: q}
  pipe: {run: "h:pipe", from: q, to: p}
  sink: {run: "h:sink", from: p, count: 2}
"""
HANDLERS = """
DONE = []

def once():
    if not DONE:
        DONE.append(True)
        if LATE:
            meddle()

def source():
    for n in range(50):
        once()
        yield n

def pipe(n):
    once()
    return n + 1

def sink(n):
    once()

if not LATE:
    meddle()
"""
# A thread that is never given a turn, and a lock that only its own thread is let into: what a greenlet looks like to
# others. It replaces as much as `gevent.monkey.patch_all()` does.
STAND_IN = """
import _thread, select, socket, threading, time
class Green:
    held = False
    def acquire(self, blocking=True, timeout=-1):
        while self.held and blocking:
            time.sleep(1000)
        self.held = True
        return True
    __enter__ = acquire
    def release(self, *_):
        self.held = False
    __exit__ = release
    def locked(self):
        return self.held
def never(*_, **__):
    return 1
for module in (_thread, threading):
    for name in ("start_new_thread", "_start_new_thread", "_start_joinable_thread", "start_joinable_thread"):
        if hasattr(module, name):
            setattr(module, name, never)
for name in ("_allocate_lock", "Lock", "RLock", "_CRLock"):  # imports take theirs from `_thread`
    setattr(threading, name, Green)
class Blind:
    def register(self, *_):
        pass
    def poll(self, timeout=None):
        return []
select.poll = Blind
select.select = lambda *_: ([], [], [])
socket.socket.setblocking = lambda *_: None
"""
MEDDLING = {
    "uvloop": "import uvloop; uvloop.install()",
    "faulthandler": "import faulthandler, signal; faulthandler.enable(); faulthandler.register(signal.SIGTERM)",
    "its own wakeup fd": "import signal, socket; global P; P = socket.socketpair(); P[0].setblocking(False)\n"
    "try: signal.set_wakeup_fd(P[0].fileno())\nexcept ValueError: pass",
    "closes what is open": "import os; os.closerange(3, 4096)",
    "timeouts of sockets": "import socket; socket.setdefaulttimeout(0.001)",
    "sockets that never wait": "import socket; socket.setdefaulttimeout(0)",
    "little room for recursion": "import sys; sys.setrecursionlimit(70)",
    "hooks that raise": "import sys, threading\nthreading.excepthook = sys.excepthook = sys.unraisablehook = 1",
    "another folder": "import os, tempfile; f = tempfile.mkdtemp(); os.chdir(f); os.rmdir(f)",
    "no rights for what it makes": "import os; os.umask(0o777)",
    "signals that it handles": "import signal\nfor each in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):\n"
    "    try: signal.signal(each, lambda *_: None)\n    except ValueError: pass",
    "signals that it blocks": "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
    "a clock that stands": "import time; time.monotonic = lambda: 5.0",
    "threads that never start": "import threading; threading.Thread.start = lambda self: None",
    "no further descriptor": "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 4096))",
    "a fork that stays": "import os, time\nif os.fork() == 0:\n    time.sleep(1000)\n    os._exit(0)",
    "an end that takes long": "import atexit, time; atexit.register(time.sleep, 1000)",
}


def run(folder: Path, run_mprun: RunMprun, meddle: str, transport: str, *, late: bool) -> Any:
    code = f"LATE = {late}\ndef meddle():\n{textwrap.indent(meddle.strip(), '    ')}\n{HANDLERS}"
    (folder / "h.py").write_text(code, encoding="utf-8")
    (folder / "flow.yaml").write_text(FLOW + "limits: {close_timeout: 1s}\n", encoding="utf-8")
    return run_mprun("run", "flow.yaml", "--transport", transport, cwd=folder, timeout=30)


@pytest.mark.parametrize("late", [False, True], ids=["at import", "in a call"])
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    "patch",
    [
        STAND_IN,
        pytest.param("from gevent import monkey; monkey.patch_all()", id="gevent"),
        pytest.param("import eventlet; eventlet.monkey_patch()", id="eventlet", marks=pytest.mark.slow),
    ],
)
@pytest.mark.quick("patch0-leased-at import", "patch0-inline-at import", "patch0-inline-in a call")
def test_threads_that_a_handler_replaces_are_no_hang(
    tmp_path: Path, run_mprun: RunMprun, patch: str, transport: str, late: bool
) -> None:
    for name in ("gevent", "eventlet"):
        if name in patch and importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")

    done = run(tmp_path, run_mprun, patch, transport, late=late)

    if transport == "inline":
        assert 1 == done.returncode
        if patch == STAND_IN:  # gevent may fail by itself, outside the main thread, before it can be told
            assert "its handler replaces threads by something else" in done.stderr
    else:
        assert 0 == done.returncode, done.stderr
        assert "ledger: 100 put = 100 done" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("late", [False, True], ids=["at import", "in a call"])
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("meddle", MEDDLING.values(), ids=MEDDLING)
def test_a_handler_that_meddles_with_its_process_does_its_work_or_fails_the_run(
    tmp_path: Path, run_mprun: RunMprun, meddle: str, transport: str, late: bool
) -> None:
    if "uvloop" in meddle and importlib.util.find_spec("uvloop") is None:
        pytest.skip("uvloop is not installed")

    done = run(tmp_path, run_mprun, meddle, transport, late=late)

    assert done.returncode in (0, 1), done.stderr
    assert ("100 done" in done.stderr) == (done.returncode == 0)
