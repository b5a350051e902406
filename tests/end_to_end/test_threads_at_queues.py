"""Several threads of a handler at its queues: each item once, each thread its end of stream, on each transport."""

from __future__ import annotations

import textwrap
from collections import Counter
from pathlib import Path

import pytest

from runner.composition import run_file

ITEMS = 300
HANDLERS = """
    import os, signal, threading
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    from mprun import EndOfStream

    HERE = Path(__file__).parent

    def make(count):
        yield from range(count)

    def by_threads(work, threads):
        started = [threading.Thread(target=work) for _ in range(threads)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()

    def note(line):
        out = os.open(HERE / "noted.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(out, f"{line}\\n".encode())
        os.close(out)

    def copy(inbox, outbox, threads):
        def work():
            try:
                while True:
                    outbox.put(inbox.get())
                    inbox.task_done()
            except EndOfStream:
                note("end")
        by_threads(work, threads)

    def sink(queue, threads, dies):
        def work():
            try:
                while True:
                    item = queue.get()
                    if item == dies and not (HERE / "died").exists():
                        (HERE / "died").touch()
                        os.kill(os.getpid(), signal.SIGKILL)
                    note(item)
                    queue.task_done()
            except EndOfStream:
                note("end")
        by_threads(work, threads)

    def pooled(queue, threads, dies):
        def work(item):
            note(item)
            queue.task_done()
        with ThreadPoolExecutor(threads) as pool:
            try:
                while True:
                    pool.submit(work, queue.get())
            except EndOfStream:
                note("end")
"""
WORKFLOW = """
    name: threads
    transport: {transport}
    limits: {{timeout: 1m}}
    stages:
      maker: {{run: "threads:make", with: {{count: {items}}}, to: q}}
      copier: {{run: "threads:copy", with: {{threads: {threads}}}, from: q, to: r}}
      sink: {{run: "threads:{sink}", with: {{threads: {threads}, dies: {dies}}}, from: r}}
"""


def noted(folder: Path, transport: str, threads: int, sink: str = "sink", dies: int = -1) -> Counter[str]:
    """Run it, and return how often the sink noted what."""
    (folder / "threads.py").write_text(textwrap.dedent(HANDLERS), encoding="utf-8")
    text = WORKFLOW.format(transport=transport, threads=threads, sink=sink, dies=dies, items=ITEMS)
    (folder / "threads.yaml").write_text(textwrap.dedent(text), encoding="utf-8")
    report = run_file(folder / "threads.yaml")
    assert (0, "done") == (report.exit_code, report.outcome), report.reason
    return Counter((folder / "noted.txt").read_text().split())


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPRUN_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("transport", ["leased", "joinable", "inline"])
@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.quick("1-leased")
def test_each_thread_gets_items_of_its_own_and_its_end_of_the_stream(
    tmp_path: Path, transport: str, threads: int
) -> None:
    counts = noted(tmp_path, transport, threads)

    assert 2 * threads == counts.pop("end")
    assert {str(number): 1 for number in range(ITEMS)} == counts


@pytest.mark.parametrize("transport", ["leased", "joinable", "inline"])
@pytest.mark.quick("leased")
def test_one_thread_gets_what_others_say_is_done(tmp_path: Path, transport: str) -> None:
    counts = noted(tmp_path, transport, 2, "pooled")

    assert 3 == counts.pop("end")
    assert {str(number): 1 for number in range(ITEMS)} == counts


@pytest.mark.parametrize("dies", [0, 150, ITEMS - 1])
@pytest.mark.quick("150")
def test_a_kill_repeats_at_most_what_the_threads_have_in_hand(tmp_path: Path, dies: int) -> None:
    threads = 4

    counts = noted(tmp_path, "leased", threads, dies=dies)

    # Threads that wait while another has the last item in hand get their end, and then that one may kill them all.
    assert 2 * threads <= counts.pop("end") < 3 * threads
    assert ITEMS == len(counts)
    assert sum(counts.values()) - ITEMS < threads
