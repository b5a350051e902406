"""Items that pass in a run under way, as its workers show them to whoever looks on, whatever handles them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from runner.ipc.shown_items import Side
from runner.ipc.status_page import PAGE, Word
from runner.store.control_socket import ask
from runner.store.discovery import running_folders
from runner.watch.tap import ShownItem, TapClient

PATIENCE = 60.0

HANDLERS = """\
import os
import time
from pathlib import Path

def numbers(pause=0.004):
    number = 0
    while not Path("enough").exists():
        yield number
        number += 1
        time.sleep(pause)

def flood():
    number = 0
    while not Path("enough").exists():
        for number in range(number, number + 100):
            yield number
        number += 1

def put_numbers(outbox):
    for number in numbers():
        outbox.put(number)

def note(item):
    pass

def double(number):
    return {"twice": 2 * number}

def split(number):
    yield ("first", number)
    yield ("second", number)

def sums(numbers):
    for number in numbers:
        yield {"of": number, "among": len(numbers)}

async def wait_for(number):
    return [number]

def slowly(number):
    time.sleep(0.002)
    return str(number)

def driven(inbox, outbox):
    while True:
        number = inbox.get()
        outbox.put({"driven": number})
        inbox.task_done()

class Held:
    def __call__(self, number):
        return number

    def flush(self):
        pass

def heavy(number):
    return {"number": number, "bulk": bytes(300_000)}
"""


class Scene:
    """A folder in which one workflow runs, and whoever looks at it."""

    def __init__(self, folder: Path, mprun: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self._mprun = mprun
        self.env = {**env, "MPRUN_HOME": str(folder / "home")}
        self.process: subprocess.Popen[str] | None = None
        (folder / "h.py").write_text(HANDLERS)

    def start(self, text: str) -> Path:
        """Begin to run a file, and return the folder of the run once it answers."""
        (self.folder / "w.yaml").write_text(text)
        self.process = subprocess.Popen(
            [self._mprun, "w.yaml", "-q", "--report", "report.json"],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        (run_folder,) = wait_until(lambda: running_folders(self.folder / "home"))
        wait_until(lambda: all(each["state"] == "alive" for each in status(run_folder.path)["workers"]))
        return run_folder.path

    def end(self) -> tuple[int, dict[str, Any]]:
        """Let the producers come to their end; return the exit code and the report."""
        (self.folder / "enough").touch()
        assert self.process is not None
        self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, json.loads((self.folder / "report.json").read_text())

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a command that looks at the run."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [self._mprun, *arguments],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            encoding="utf-8",
        )


@pytest.fixture
def scene(tmp_path: Path, mprun: Path, plain_env: dict[str, str]) -> Iterator[Scene]:
    scene = Scene(tmp_path, mprun, plain_env)
    yield scene
    if scene.process is not None and scene.process.poll() is None:
        scene.process.kill()
        scene.process.communicate()


def wait_until(told: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := told()):
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)
    return found


def status(folder: Path) -> dict[str, Any]:
    return ask(folder, {"do": "status"})


def seen_by(clients: Sequence[TapClient], count: int) -> list[list[ShownItem]]:
    """Look through all of them until each has seen so many items."""
    seen: list[list[ShownItem]] = [[] for _ in clients]

    def look() -> bool:
        for place, client in enumerate(clients):
            seen[place] += client.poll()
        return all(len(items) >= count for items in seen)

    wait_until(look)
    return seen


def leave_in_pages(pid: int, side: Side) -> list[int]:
    """What the pages of a run's workers say of how many items may be shown, as the runner's own memory has them."""
    word = {Side.TAKEN: Word.SHOW_TAKEN, Side.MADE: Word.SHOW_MADE}[side]
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if "mprun-status" in str(link.readlink()):
                pages = link.read_bytes()
                found += [
                    struct.unpack_from("<Q", pages, at + 8 * word)[0] for at in range(0, len(pages), PAGE)
                ]
    return [leave for leave in found if leave]


KINDS = """\
name: kinds
stages:
  lister: {run: "h:numbers", to: [plain, yielded, batched, awaited, threaded, called, driven, held, heavy]}
  doubler: {run: "h:double", from: plain, to: a, count: 2}
  splitter: {run: "h:split", from: yielded, to: a}
  batcher: {run: "h:sums", from: batched, to: a, batch: {size: 8, wait: 20ms}}
  waiter: {run: "h:wait_for", from: awaited, to: a, concurrency: 8}
  threader: {run: "h:slowly", from: threaded, to: a, threads: 4}
  commander: {run: {command: {run: [cat], filter: true}}, from: called, to: a}
  driver: {run: "h:driven", from: driven, to: a}
  holder: {run: "h:Held", from: held, to: a}
  heaver: {run: "h:heavy", from: heavy, to: b}
  eater: {run: "h:note", from: a, count: 2}
  heavy-eater: {run: "h:note", from: b}
"""
MADE: dict[str, Callable[[Any], Any]] = {
    "doubler": lambda item: item["twice"] // 2,
    "splitter": lambda item: item[1],
    "batcher": lambda item: item["of"],
    "waiter": lambda item: item[0],
    "threader": int,
    "commander": int,
    "driver": lambda item: item["driven"],
    "holder": int,
    "heaver": lambda item: item["number"],
}
"""Of which number each stage has made what it shows."""


def rises(numbers: Sequence[int]) -> bool:
    return list(numbers) == sorted(numbers)


@pytest.mark.slow
def test_handlers_of_every_kind_show_what_they_take_and_what_they_make(scene: Scene) -> None:
    folder = scene.start(KINDS)
    queues = ("plain", "yielded", "batched", "awaited", "threaded", "called", "driven", "held", "heavy")
    taken = [TapClient(folder, queue) for queue in queues]
    made = [TapClient(folder, stage, "out") for stage in MADE]

    seen = seen_by([*taken, *made], 5)

    for client in (*taken, *made):
        client.close()
    code, report = scene.end()
    assert 0 == code, report["reason"]
    for queue, items in zip(queues, seen, strict=False):
        # Each queue gets every number, so that an item's place is its number.
        expected = [f"{folder.name}/{queue}/{shown.item}" for shown in items]
        assert expected == [shown.id for shown in items]
        by_worker: defaultdict[str, list[int]] = defaultdict(list)
        for shown in items:
            by_worker[shown.worker].append(shown.item)
        assert all(map(rises, by_worker.values())), by_worker
    for stage, items in zip(MADE, seen[len(taken) :], strict=True):
        assert {stage} == {shown.stage for shown in items}
        numbers = [MADE[stage](shown.item) for shown in items]
        assert all(type(number) is int and 0 <= number for number in numbers)
        assert {("b",) if stage == "heaver" else ("a",)} == {shown.queues for shown in items}
        if stage not in ("doubler", "threader", "waiter"):  # in which several are under way
            assert rises(numbers), numbers


JOINABLE = """\
name: joined
transport: joinable
stages:
  lister: {run: "h:numbers", to: plain}
  doubler: {run: "h:double", from: plain, to: a, count: 2}
  eater: {run: "h:note", from: a}
  putter: {run: "h:put_numbers", to: driven}
  driver: {run: "h:driven", from: driven, to: b}
  batcher: {run: "h:sums", from: b, to: c, batch: {size: 8, wait: 20ms}}
  last: {run: "h:note", from: c}
  flooder: {run: "h:flood", to: d}
  holder: {run: "h:Held", from: d, to: e}
  drain: {run: "h:note", from: e}
"""


@pytest.mark.slow
def test_workers_at_joinable_queues_show_items_too(scene: Scene) -> None:
    folder = scene.start(JOINABLE)
    made = ("lister", "doubler", "putter", "driver", "batcher", "flooder", "holder")
    taken = ("doubler", "eater", "driver", "batcher", "last", "holder", "drain")
    clients = [
        *(TapClient(folder, each, "out") for each in made),
        *(TapClient(folder, each, "in") for each in taken),
    ]

    seen = seen_by(clients, 4)

    for client in clients:
        client.close()
    assert 0 == scene.end()[0]
    assert {None} == {shown.id for items in seen for shown in items}
    assert [[name] for name in (*made, *taken)] == [sorted({each.stage for each in items}) for items in seen]
    assert rises([shown.item for shown in seen[made.index("flooder")]])
    assert rises([shown.item for shown in seen[len(made) + taken.index("holder")]])


ROUTED = """\
name: routed
stages:
  lister: {run: "h:numbers", to: {odd: "endsWith(item, '1') || endsWith(item, '7')", else: other}}
  a: {run: "h:note", from: odd}
  b: {run: "h:note", from: other}
"""
SIMPLE = """\
name: simple
stages:
  lister: {run: "h:numbers", to: q}
  eater: {run: "h:note", from: q, count: COUNT}
"""


@pytest.mark.slow
def test_what_is_put_on_one_of_several_queues_is_told_from_the_others(scene: Scene) -> None:
    folder = scene.start(ROUTED)
    whole, odd = TapClient(folder, "lister"), TapClient(folder, "odd", "in")

    seen = seen_by([whole, odd], 5)

    assert {("odd",), ("other",)} >= {shown.queues for shown in seen[0]}
    assert {("odd",)} == {shown.queues for shown in seen[1]}
    assert 0 == scene.end()[0]


@pytest.mark.parametrize("transport", ["leased", "joinable"])
@pytest.mark.quick("leased")
@pytest.mark.slow
def test_for_who_is_killed_while_looking_nobody_shows_anything_any_more(scene: Scene, transport: str) -> None:
    folder = scene.start(SIMPLE.replace("COUNT", "2") + f"transport: {transport}\n")
    pid = status(folder)["pid"]
    looking = scene.command("tap", "simple", "q", "--format", "jsonl")
    assert looking.stdout is not None
    assert "q" in json.loads(looking.stdout.readline())["queues"]
    assert leave_in_pages(pid, Side.TAKEN)

    looking.send_signal(signal.SIGKILL)
    looking.communicate()

    wait_until(lambda: not leave_in_pages(pid, Side.TAKEN))
    assert 0 == scene.end()[0]


@pytest.mark.slow
def test_a_worker_that_is_replaced_goes_on_being_looked_at(scene: Scene) -> None:
    folder = scene.start(SIMPLE.replace("COUNT", "1"))
    client = TapClient(folder, "q", limit=100)
    before = seen_by([client], 5)[0]
    (victim,) = (each for each in status(folder)["workers"] if each["stage"] == "eater")

    os.kill(victim["pid"], signal.SIGKILL)
    wait_until(
        lambda: (
            status(folder)["workers"][0]["generation"] > 1 or status(folder)["workers"][1]["generation"] > 1
        )
    )
    after = seen_by([client], 5)[0]

    code, report = scene.end()
    numbers = [shown.item for shown in (*before, *after)]
    assert rises(numbers) and len(numbers) > len(before)
    assert (0, "done") == (code, report["outcome"])


@pytest.mark.slow
def test_workers_that_are_killed_again_and_again_while_they_show_items_lose_none(scene: Scene) -> None:
    folder = scene.start(SIMPLE.replace("COUNT", "2, restart: {max: 100}"))
    client = TapClient(folder, "eater", "in", limit=100, per=0.1)

    for _ in range(6):
        seen_by([client], 20)
        alive = [
            each["pid"] for each in status(folder)["workers"] if each["stage"] == "eater" and each["pid"]
        ]
        os.kill(alive[0], signal.SIGKILL)
        wait_until(lambda: 3 == sum(each["state"] == "alive" for each in status(folder)["workers"]))

    code, report = scene.end()
    (queue,) = report["queues"]
    assert (0, queue["put"]) == (code, queue["done"])


@pytest.mark.slow
def test_a_client_that_stops_asking_holds_up_nothing_and_is_served_again(scene: Scene) -> None:
    folder = scene.start(SIMPLE.replace("COUNT", "1"))
    client = TapClient(folder, "q")
    seen_by([client], 2)

    wait_until(lambda: not leave_in_pages(status(folder)["pid"], Side.TAKEN))
    passed = client.passed
    later = list(client.items(1.0))

    assert client.passed > passed
    assert later
    assert 0 == scene.end()[0]
