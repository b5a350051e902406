"""What handlers keep of their items, and what the file says of when these are done."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.jobs.plan import plan_for
from runner.loader.load import Checked, check
from runner.spec.commits import CheckpointPolicy, FlushPolicy, KeptState, LostBeside
from runner.spec.diagnostics import Severity

KITCHEN = """
def steam():
    yield from range(3)

def eat(bun):
    pass

class Total:
    def __init__(self):
        self.total = 0

    def __call__(self, bun):
        self.total += 1

class Rows:
    def __init__(self):
        self.rows = []

    def __call__(self, bun):
        self.rows.append(bun)

    def flush(self):
        self.rows.clear()

class Table(Rows):
    pass

class Greeter:
    def __init__(self, word="hello"):
        self.word = word

    def __call__(self, bun):
        return self.word, bun

class Counted(Rows):
    n = 0

    def __call__(self, bun):
        super().__call__(bun)
        self.n += 1

class Shared:
    seen = []

    def __call__(self, bun):
        self.seen.append(bun)

made = make()

SEEN = set()

def dedupe(bun):
    SEEN.add(bun)

def last(bun, rows=[]):
    rows.append(bun)

def driven(queue):
    SEEN.add(queue.get())

class Global:
    def __call__(self, bun):
        SEEN.add(bun)

class Later:
    def __init__(self):
        self.pool = ThreadPoolExecutor(2)
    def __call__(self, bun):
        self.pool.submit(print, bun)
"""
WARNING = (
    "Total keeps what it makes of its items in `self.total` (kitchen.py, line 13): if a worker dies, that is lost, and "
    "the run fails"
)


def checked(folder: Path, eater: str, *more: str) -> Checked:
    (folder / "kitchen.py").write_text(KITCHEN, encoding="utf-8")
    file = folder / "kitchen.yaml"
    file.write_text(
        "name: kitchen\nstages:\n"
        "  chef: {run: kitchen:steam, to: q}\n"
        f"  eater: {{run: kitchen:{eater}, from: q}}\n",
        encoding="utf-8",
    )
    return check(file, overrides=more)


def kept(found: Checked) -> KeptState | None:
    """What the run is told that a worker of the eater keeps."""
    assert found.spec is not None
    (worker,) = (worker for worker in plan_for(found.spec).workers if worker.stage == "eater")
    return worker.kept


def test_a_class_that_keeps_something_is_warned_of(tmp_path: Path) -> None:
    found = checked(tmp_path, "Total")

    (diagnostic,) = found.diagnostics
    assert ("stateful-handler", Severity.WARNING, WARNING) == (
        diagnostic.code,
        diagnostic.severity,
        diagnostic.message,
    )
    assert (4, "`state: checkpoint`") == (diagnostic.span.line, (diagnostic.help or "")[6:25])
    assert KeptState("total", "kitchen.py", 13) == kept(found)


@pytest.mark.parametrize(
    "words",
    ["state=none", "state=checkpoint", "restart=never", "restart=crash"],
)
def test_a_word_in_the_file_settles_it(tmp_path: Path, words: str) -> None:
    found = checked(tmp_path, "Total", f"stages.eater.{words}")

    assert ((), None) == (found.diagnostics, kept(found))


def test_what_a_flush_leaves_out_is_warned_of(tmp_path: Path) -> None:
    found = checked(tmp_path, "Counted")

    (diagnostic,) = found.diagnostics
    message = (
        "Counted keeps what it makes of its items in `self.n` (kitchen.py, line 40), with which `flush()` does "
        "nothing: if a worker dies, that is lost, and the run fails"
    )
    assert ("stateful-handler", message) == (diagnostic.code, diagnostic.message)
    assert KeptState("n", "kitchen.py", 40, LostBeside.FLUSH) == kept(found)


@pytest.mark.parametrize("words", ["state=none", "state=checkpoint", "restart=crash"])
def test_a_word_in_the_file_settles_what_a_flush_leaves_out(tmp_path: Path, words: str) -> None:
    found = checked(tmp_path, "Counted", f"stages.eater.{words}")

    assert ((), None) == (found.diagnostics, kept(found))


@pytest.mark.parametrize("restart", [[], ["stages.eater.restart=crash"]])
def test_what_a_checkpoint_does_not_have_is_warned_of(tmp_path: Path, restart: list[str]) -> None:
    found = checked(tmp_path, "Shared", "stages.eater.state=checkpoint", *restart)

    (diagnostic,) = found.diagnostics
    message = (
        "Shared keeps what it makes of its items in `self.seen` (kitchen.py, line 46), which is the class's, so that "
        "a checkpoint of the instance does not have it: if a worker dies, that is lost"
    )
    assert (
        "stateful-handler",
        message + ("" if restart else ", and the run fails"),
        "make it in `__init__`",
    ) == (
        diagnostic.code,
        diagnostic.message,
        diagnostic.help,
    )
    lost = KeptState("seen", "kitchen.py", 46, LostBeside.CHECKPOINT)
    assert (None if restart else lost) == kept(found)


@pytest.mark.parametrize("handler", ["Rows", "Table"])
def test_a_class_that_is_flushed_keeps_nothing_that_could_be_lost(tmp_path: Path, handler: str) -> None:
    found = checked(tmp_path, handler)

    assert ((), None) == (found.diagnostics, kept(found))


@pytest.mark.parametrize("transport", ["joinable", "inline"])
def test_where_no_worker_is_replaced_nothing_is_said(tmp_path: Path, transport: str) -> None:
    found = checked(tmp_path, "Total", f"transport={transport}")

    assert ((), None) == (found.diagnostics, kept(found))


@pytest.mark.parametrize("handler", ["eat", "Greeter"])
def test_a_handler_that_keeps_nothing_is_replaced_as_ever(tmp_path: Path, handler: str) -> None:
    found = checked(tmp_path, handler)

    assert ((), None) == (found.diagnostics, kept(found))


def test_what_cannot_be_read_is_not_warned_of_and_the_run_is_told(tmp_path: Path) -> None:
    found = checked(tmp_path, "made")

    assert ((), KeptState()) == (found.diagnostics, kept(found))


@pytest.mark.parametrize(
    ("handler", "more", "code", "message"),
    [
        (
            "eat",
            "flush={every: 2s}",
            "handler-role",
            "eat() is a function: its items are done when it has returned",
        ),
        ("Greeter", "flush={items: 2}", "handler-role", "Greeter has no method flush() that could be called"),
        (
            "eat",
            "state=checkpoint",
            "handler-role",
            "eat() is a function: its items are done when it has returned",
        ),
    ],
)
def test_what_a_handler_cannot_do_is_refused(
    tmp_path: Path, handler: str, more: str, code: str, message: str
) -> None:
    (found,) = checked(tmp_path, handler, f"stages.eater.{more}").diagnostics

    assert (code, Severity.ERROR, message) == (found.code, found.severity, found.message[: len(message)])


@pytest.mark.parametrize("key", ["flush={every: 2s}", "state=checkpoint"])
def test_a_kind_of_handler_that_is_no_class_is_refused(tmp_path: Path, key: str) -> None:
    (found,) = checked(tmp_path, "eat", "stages.eater.run={'null': {}}", f"stages.eater.{key}").diagnostics

    assert "handler-role" == found.code


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["stages.chef.flush={every: 2s}"], "stage 'chef' takes no items, so there is nothing to make safe"),
        (
            ["stages.eater.state=checkpoint", "stages.eater.restart=never"],
            "`state: checkpoint` has no effect beside `restart: never`: nobody takes a worker's place",
        ),
    ],
)
def test_what_has_no_effect_is_warned_of(tmp_path: Path, more: list[str], message: str) -> None:
    (found,) = checked(tmp_path, "Total" if len(more) > 1 else "eat", *more).diagnostics

    assert ("no-effect", Severity.WARNING, message) == (found.code, found.severity, found.message)


def test_a_state_is_not_kept_where_a_death_ends_the_run(tmp_path: Path) -> None:
    (found,) = checked(
        tmp_path, "Total", "transport=joinable", "stages.eater.state={checkpoint: {every: 5s}}"
    ).diagnostics

    assert "transport-cannot" == found.code


@pytest.mark.parametrize(
    ("state", "code"),
    [("{checkpoint: 5s}", "wrong-type"), ("{checkpoint: null}", "wrong-type"), ("{}", "missing-key")],
)
def test_a_checkpoint_that_is_written_wrong_is_a_problem_of_the_file(
    tmp_path: Path, state: str, code: str
) -> None:
    (found,) = checked(tmp_path, "Total", f"stages.eater.state={state}").diagnostics

    assert code == found.code


def test_how_often_is_read_from_the_file(tmp_path: Path) -> None:
    found = checked(
        tmp_path, "Rows", "stages.eater.flush={every: 2s}", "stages.eater.state={checkpoint: {most: 1KiB}}"
    )

    assert found.spec is not None
    (worker,) = (worker for worker in plan_for(found.spec).workers if worker.stage == "eater")
    assert (FlushPolicy(2.0), CheckpointPolicy(1.0, 1024)) == (worker.flush, worker.checkpoint)


@pytest.mark.parametrize(
    ("handler", "where"),
    [
        ("dedupe", "the global `SEEN` (kitchen.py, line 53)"),
        ("last", "`rows`, a default in kitchen.py (line 56)"),
        ("Global", "the global `SEEN` (kitchen.py, line 63)"),
    ],
)
def test_what_is_kept_outside_is_warned_of(tmp_path: Path, handler: str, where: str) -> None:
    (diagnostic,) = checked(tmp_path, handler).diagnostics

    message = f"{handler} keeps what it makes of its items in {where}: if a worker dies, that is lost"
    assert ("stateful-handler", f"{message}, and the run fails") == (diagnostic.code, diagnostic.message)
    assert (diagnostic.help or "").startswith("keep it in `self` of a class, and write `state: checkpoint`")
    assert () == checked(tmp_path, handler, "stages.eater.state=none").diagnostics


def test_a_checkpoint_of_the_instance_does_not_have_what_is_outside(tmp_path: Path) -> None:
    (diagnostic,) = checked(tmp_path, "Global", "stages.eater.state=checkpoint").diagnostics

    assert ", which no checkpoint of the instance has: if a worker dies" in diagnostic.message
    assert "keep it in `self`" == diagnostic.help


def test_who_drives_its_queue_says_itself_when_an_item_is_done(tmp_path: Path) -> None:
    found = checked(tmp_path, "driven")

    assert ((), None) == (found.diagnostics, kept(found))


@pytest.mark.parametrize("state", ["", "checkpoint"])
def test_work_that_a_call_does_not_wait_for_is_warned_of(tmp_path: Path, state: str) -> None:
    found = checked(tmp_path, "Later", *([f"stages.eater.state={state}"] if state else []))

    (diagnostic,) = found.diagnostics
    message = (
        "Later leaves work on its items for `self.pool.submit()`, which a call does not wait for (kitchen.py, line "
        "LINE): if a worker dies, that is lost, and the run fails"
    )
    lines = (tmp_path / "kitchen.py").read_text(encoding="utf-8").splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "submit" in text)
    assert ("stateful-handler", message.replace("LINE", str(line))) == (diagnostic.code, diagnostic.message)
    assert (diagnostic.help or "").startswith("wait for it before the call returns, or in a method `flush()`")
