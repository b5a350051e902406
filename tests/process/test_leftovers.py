"""What a handler's calls leave undone: found by a look, while what is done is not."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import logging
import logging.handlers
import mmap
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
import weakref
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from runner.process.leftovers import Leftovers

GO_ON = threading.Event()
KEPT: list[object] = []

Call = Callable[[ExitStack], object]


def look_after(call: Call, before: Call = lambda _: None) -> list[str]:
    """What is found once a call has returned; `before` is done when the handler is made."""
    found: list[str] = []
    with ExitStack() as stack:
        GO_ON.clear()
        stack.callback(GO_ON.set)
        leftovers = Leftovers(found.append)
        before(stack)
        leftovers.begin()
        call(stack)
        leftovers.look()
        leftovers.look()
    return found


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def text_file(stack: ExitStack) -> object:
    return stack.enter_context(open("lines.txt", "w")).write("x")  # noqa: PTH123


def bytes_file(stack: ExitStack) -> object:
    return stack.enter_context(open("lines.bin", "wb")).write(b"x")  # noqa: PTH123


def packed_file(stack: ExitStack) -> object:
    return stack.enter_context(gzip.open("lines.gz", "wb")).write(b"x")


def archive(stack: ExitStack) -> object:
    stack.enter_context(zipfile.ZipFile("lines.zip", "w")).writestr("x", "x")
    return None


def untold_file(stack: ExitStack) -> object:
    descriptor = os.open("rows.h5", os.O_WRONLY | os.O_CREAT)
    stack.callback(os.close, descriptor)
    return os.write(descriptor, b"x")


def rows(stack: ExitStack) -> object:
    connection = sqlite3.connect("rows.db")
    stack.callback(connection.close)
    connection.execute("create table rows (item)")
    return connection.execute("insert into rows values (1)")


def wait_for_word() -> None:
    GO_ON.wait()


def thread(stack: ExitStack) -> object:
    begun = threading.Thread(target=wait_for_word, name="writer")
    begun.start()
    stack.callback(begun.join)
    stack.callback(GO_ON.set)
    return None


def timer(stack: ExitStack) -> object:
    begun = threading.Timer(60, print)
    begun.start()
    stack.callback(begun.join)
    stack.callback(begun.cancel)
    return None


def executor(stack: ExitStack) -> object:
    pool = stack.enter_context(ThreadPoolExecutor(1))
    stack.callback(GO_ON.set)
    return pool.submit(GO_ON.wait)


def queued(stack: ExitStack) -> object:
    return [executor_of(stack).submit(GO_ON.wait) for _ in range(3)]


def executor_of(stack: ExitStack) -> ThreadPoolExecutor:
    pool = stack.enter_context(ThreadPoolExecutor(1))
    stack.callback(GO_ON.set)
    return pool


def processes(stack: ExitStack) -> object:
    pool = stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
    return pool.submit(time.sleep, 0.3)


def pool_of_processes(stack: ExitStack) -> object:
    pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(1))
    return pool.apply_async(time.sleep, (60,))


def program(stack: ExitStack) -> object:
    begun = subprocess.Popen(["sleep", "60"])
    stack.callback(begun.wait)
    stack.callback(begun.send_signal, signal.SIGKILL)
    return None


def task(stack: ExitStack) -> object:
    loop = asyncio.new_event_loop()
    stack.callback(loop.close)

    async def later() -> None:
        await asyncio.sleep(60)

    async def begin() -> None:
        KEPT.append(asyncio.ensure_future(later()))

    loop.run_until_complete(begin())

    def end() -> None:
        waiting = KEPT.pop()
        assert isinstance(waiting, asyncio.Task)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(waiting)

    stack.callback(end)
    return None


def log(stack: ExitStack) -> object:
    handler = logging.handlers.MemoryHandler(1000, target=logging.NullHandler())
    stack.callback(handler.close)
    handler.emit(logging.makeLogRecord({"msg": "x", "levelno": logging.INFO}))
    return None


LEFT: dict[str, tuple[Call, str]] = {
    "a text in a buffer": (text_file, "lines.txt was not flushed"),
    "bytes in a buffer": (bytes_file, "lines.bin was not flushed"),
    "a packed file": (packed_file, "a GzipFile is whole only once it is closed"),
    "an archive": (archive, "a ZipFile is whole only once it is closed"),
    "a file of who does not tell": (untold_file, "rows.h5 is open for writing"),
    "rows": (rows, "a transaction in SQLite is not committed"),
    "a thread": (thread, "thread 'writer', which a call has begun, is at work"),
    "a timer": (timer, "which a call has begun, is at work"),
    "work for an executor": (executor, "of an executor has work to do"),
    "work that waits for an executor": (queued, "of an executor has work to do"),
    "work for processes": (processes, "of a pool of processes has work to do"),
    "work for a pool": (pool_of_processes, "of a pool of processes has work to do"),
    "a program": (program, "), which a call has begun, is still running"),
    "a task": (task, "a task of asyncio, later(), has not ended"),
    "lines of a log": (log, "a MemoryHandler has lines in its buffer"),
}


@pytest.mark.parametrize(("call", "expected"), LEFT.values(), ids=LEFT)
def test_what_a_call_leaves_undone_is_found_once(call: Call, expected: str) -> None:
    found = look_after(call)

    assert 1 == len(found)
    assert expected in found[0]


def flushed_file(stack: ExitStack) -> object:
    file = stack.enter_context(open("lines.txt", "w"))  # noqa: PTH123, SIM115
    file.write("x")
    file.flush()
    return None


def closed_file(_stack: ExitStack) -> object:
    return Path("lines.txt").write_text("x")


def committed_rows(stack: ExitStack) -> object:
    connection = sqlite3.connect("rows.db")
    stack.callback(connection.close)
    connection.execute("pragma journal_mode=wal")
    connection.execute("create table rows (item)")
    connection.execute("insert into rows values (1)")
    return connection.commit()


def nameless_file(stack: ExitStack) -> object:
    return stack.enter_context(tempfile.TemporaryFile()).write(b"x")


def lock_file(stack: ExitStack) -> object:
    return stack.callback(os.close, os.open("rows.lock", os.O_WRONLY | os.O_CREAT))


def mapped_file(stack: ExitStack) -> object:
    with open("rows.bin", "w+b") as file:  # noqa: PTH123
        file.truncate(4096)
        mapped = stack.enter_context(mmap.mmap(file.fileno(), 4096))
    mapped[0] = 1
    return None


def awaited_work(stack: ExitStack) -> object:
    return sum(stack.enter_context(ThreadPoolExecutor(4)).map(abs, range(100)))


def awaited_processes(stack: ExitStack) -> object:
    pool = stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
    return pool.submit(abs, 1).result()


def awaited_pool(stack: ExitStack) -> object:
    return stack.enter_context(multiprocessing.get_context("spawn").Pool(1)).apply(abs, (1,))


def ended_thread(_stack: ExitStack) -> object:
    begun = threading.Thread(target=abs, args=(1,))
    begun.start()
    return begun.join()


def ended_program(_stack: ExitStack) -> object:
    return subprocess.run(["true"], check=True)


def unwaited_program(stack: ExitStack) -> object:
    begun = subprocess.Popen(["true"], stdout=subprocess.PIPE)
    stack.callback(begun.communicate)
    assert begun.stdout is not None
    return begun.stdout.read()


def asyncio_run(_stack: ExitStack) -> object:
    return asyncio.run(asyncio.sleep(0))


DONE: dict[str, Call] = {
    each.__name__.replace("_", " "): each
    for each in (
        flushed_file,
        closed_file,
        committed_rows,
        nameless_file,
        lock_file,
        mapped_file,
        awaited_work,
        awaited_processes,
        awaited_pool,
        ended_thread,
        ended_program,
        unwaited_program,
        asyncio_run,
    )
}


@pytest.mark.parametrize("call", DONE.values(), ids=DONE)
def test_what_is_done_when_a_call_returns_is_not(call: Call) -> None:
    assert [] == look_after(call)


@pytest.mark.parametrize("before", [untold_file, thread, program], ids=["a file", "a thread", "a program"])
def test_what_was_there_before_the_first_call_is_of_no_item(before: Call) -> None:
    assert [] == look_after(lambda _: None, before)


def test_what_waits_in_a_file_is_found_whenever_that_was_opened() -> None:
    with open("lines.txt", "w") as file:  # noqa: PTH123
        found = look_after(lambda _: file.write("x"), lambda _: None)

    assert [] == found, "it is older than the handler"
    opened: list[object] = []

    def open_it(stack: ExitStack) -> object:
        opened.append(stack.enter_context(open("more.txt", "w")))  # noqa: PTH123, SIM115
        return None

    assert ["more.txt was not flushed"] == look_after(lambda _: opened[0].write("x"), open_it)  # type: ignore[attr-defined]


def test_a_look_keeps_nothing_that_a_thread_has_in_hand() -> None:
    class Bun:
        pass

    def hold(_bun: Bun) -> None:
        GO_ON.wait()

    GO_ON.clear()
    leftovers, bun = Leftovers(lambda _: None), Bun()
    holder, gone = threading.Thread(target=hold, args=(bun,)), weakref.ref(bun)
    del bun
    gc.disable()
    try:
        holder.start()
        leftovers.look()
        GO_ON.set()
        holder.join()
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(("workers", "at_first"), [(1, 8), (16, 8), (64, 2), (1000, 1)])
def test_looks_become_seldom_and_sooner_where_there_are_many_workers(workers: int, at_first: int) -> None:
    looks: list[float] = []

    class Counted(Leftovers):
        def _first(self) -> str | None:
            looks.append(time.perf_counter())
            return None

    leftovers = Counted(lambda _: None, workers)
    until = time.perf_counter() + 0.2
    while time.perf_counter() < until:
        leftovers.look()

    assert at_first <= len(looks) <= at_first + 1 + 0.2 / 0.02


def test_a_file_that_takes_the_number_of_one_from_before_is_found() -> None:
    def take_its_number(stack: ExitStack) -> object:
        os.close(numbers.pop())
        return text_file(stack)

    numbers: list[int] = [os.open("old.txt", os.O_WRONLY | os.O_CREAT)]
    found: list[str] = []
    with ExitStack() as stack:
        leftovers = Leftovers(found.append)
        leftovers.begin()
        take_its_number(stack)
        leftovers.look()

    assert ["lines.txt was not flushed"] == found
