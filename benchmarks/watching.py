"""What it costs a run of small items to be watched: by `top`, by a tap of ten items a second, by five pages of the
dashboard, and by a scrape of its metrics each second.

    one run, 3×2 numbers:  │ alone │ watched │ alone │ watched │ …      items done in each stretch of some seconds

What watchers take of the cores is in it; what their start takes is not: a stretch begins when they are there.

    pip install -c constraints.txt -e '.[bench,web,metrics]'; python benchmarks/watching.py --pairs 7
"""

from __future__ import annotations

import argparse
import os
import pty
import re
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from alternate import installed_mprun

from runner.errors import MprunError
from runner.store.control_socket import ask
from runner.watch.client import find_watchable

PAGES = 5
SETTLE = 2.0
_START_TIMEOUT = 30.0
_FILE = """
name: numbers
stages:
  make: {run: "counting:make", to: numbers, count: 3, with: {count: 4000000000}}
  take: {run: "counting:take", from: numbers, count: 2}
"""
_HANDLERS = """
def make(count):
    yield from range(count)

def take(number):
    pass
"""


def main() -> None:
    """Run it, and print a row for each kind of watcher and one for all."""
    parser = argparse.ArgumentParser(description="What it costs a run of small items to be watched.")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        (folder / "numbers.yaml").write_text(_FILE, encoding="utf-8")
        (folder / "counting.py").write_text(_HANDLERS, encoding="utf-8")
        port = _free_port()
        with _process(["run", "numbers.yaml", "-q", "--metrics", f"127.0.0.1:{port}"], folder):
            run = _found(folder)
            for name, watchers in _rows(folder, run.name, port).items():
                print(_row(name, watchers, lambda: _done(run), asked.pairs, asked.seconds), flush=True)
            with suppress(MprunError):
                ask(run, {"do": "stop"})


Watcher = Callable[[ExitStack], None]


def _rows(folder: Path, run: str, port: int) -> dict[str, list[Watcher]]:
    def top(stack: ExitStack) -> None:
        stack.enter_context(_on_a_terminal(["top", run], folder))

    def tap(stack: ExitStack) -> None:
        stack.enter_context(_process(["tap", run, "numbers"], folder))

    def pages(stack: ExitStack) -> None:
        stack.enter_context(_dashboard(folder, run))

    def metrics(stack: ExitStack) -> None:
        stack.enter_context(_scrapes(f"http://127.0.0.1:{port}/metrics"))

    return {
        "nobody": [],
        "top": [top],
        "a tap of 10/s": [tap],
        f"{PAGES} pages of the dashboard": [pages],
        "metrics, a scrape a second": [metrics],
        "all of them": [top, tap, pages, metrics],
    }


def _row(name: str, watchers: list[Watcher], done: Callable[[], int], pairs: int, seconds: float) -> str:
    alone, watched = [], []
    for _ in range(pairs):
        alone.append(_rate(done, seconds))
        with ExitStack() as stack:
            for watcher in watchers:
                watcher(stack)
            time.sleep(SETTLE)
            watched.append(_rate(done, seconds))
        time.sleep(SETTLE / 2)
    one, other = statistics.median(alone), statistics.median(watched)
    each = statistics.median(b / a for a, b in zip(alone, watched, strict=True))
    return f"{name:<28} {one:>13,.0f}/s alone {other:>13,.0f}/s watched  {other / one:.3f} (pairs {each:.3f})"


def _rate(done: Callable[[], int], seconds: float) -> float:
    before, began = done(), time.monotonic()
    time.sleep(seconds)
    after = done()
    return (after - before) / (time.monotonic() - began)


def _done(run: Path) -> int:
    workers: list[dict[str, Any]] = ask(run, {"do": "status"})["workers"]
    return sum(worker["received"] for worker in workers)


def _found(folder: Path) -> Path:
    deadline = time.monotonic() + _START_TIMEOUT
    while True:
        try:
            found = find_watchable("numbers", folder / ".mprun").path
            ask(found, {"do": "status"})
            return found
        except MprunError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@contextmanager
def _process(arguments: list[str], folder: Path, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Have `mprun` do something meanwhile."""
    env = {**os.environ, "MPRUN_HOME": str(folder / ".mprun")}
    quiet = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        **options,
    }
    process = subprocess.Popen([installed_mprun(), *arguments], cwd=folder, env=env, text=True, **quiet)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _on_a_terminal(arguments: list[str], folder: Path) -> Iterator[None]:
    """Have it done on a terminal that is read all the time."""
    ours, theirs = pty.openpty()

    def read() -> None:
        with suppress(OSError):  # nobody writes any more
            while os.read(ours, 65536):
                pass

    with _process(arguments, folder, stdin=theirs, stdout=theirs, stderr=theirs):
        os.close(theirs)
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        yield
    reader.join(5)
    os.close(ours)


@contextmanager
def _dashboard(folder: Path, run: str) -> Iterator[None]:
    """Have the streams of several pages read, as browsers do."""
    with (
        _process(["dashboard", "--port", "0"], folder, stdout=subprocess.PIPE) as process,
        ExitStack() as streams,
    ):
        assert process.stdout is not None
        link = next(
            found for line in process.stdout if (found := re.search(r"http://([^/]+)(/login\S+)", line))
        )
        for _ in range(PAGES):
            streams.enter_context(_stream(link[1], link[2], f"/runs/{run}"))
        yield


@contextmanager
def _stream(host: str, login: str, page: str) -> Iterator[None]:
    line = HTTPConnection(host, timeout=30)
    line.request("GET", login)
    cookie = line.getresponse().headers["Set-Cookie"].partition(";")[0]
    line.close()
    line.request("GET", page, headers={"Cookie": cookie})
    body = line.getresponse().read().decode()
    seen = re.search(r'data-seen="([^"]*)"', body)
    line.request("GET", f"/stream{page}?seen={seen[1] if seen else ''}", headers={"Cookie": cookie})
    answer = line.getresponse()

    def read() -> None:
        with suppress(OSError, ValueError, AttributeError, HTTPException):  # it was closed meanwhile
            while answer.read1(65536):
                pass

    threading.Thread(target=read, daemon=True).start()
    try:
        yield
    finally:
        if line.sock is not None:
            with suppress(OSError):
                line.sock.shutdown(socket.SHUT_RDWR)
        line.close()


@contextmanager
def _scrapes(url: str) -> Iterator[None]:
    over = threading.Event()

    def scrape() -> None:
        while not over.wait(1.0):
            with urllib.request.urlopen(url, timeout=10) as answer:
                answer.read()

    scraper = threading.Thread(target=scrape, daemon=True)
    scraper.start()
    try:
        yield
    finally:
        over.set()
        scraper.join(15)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
