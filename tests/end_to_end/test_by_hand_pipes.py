"""Pipe stages that drive `inbox` and `outbox`: what is put for an item leaves with the word that the item is done."""

from __future__ import annotations

import textwrap
from collections import Counter
from pathlib import Path

import pytest

from runner.composition import run_file
from runner.events.report import Report

PRELUDE = """
    import os, signal, time
    from pathlib import Path
    HERE = Path(__file__).parent
    def src():
        yield from range(20)
    def eat(item):
        with (HERE / "eaten").open("a") as eaten:
            eaten.write(f"{item}\\n")
    def die_once():
        if not (HERE / "died").exists():
            (HERE / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
    """


def run(folder: Path, handler: str, queues: str = "", stage: str = "") -> tuple[Report, Counter[str]]:
    """Run a by-hand pipe `fill` between a source and a consumer; return the report and what was eaten."""
    (folder / "kitchen.py").write_text(textwrap.dedent(PRELUDE) + textwrap.dedent(handler), encoding="utf-8")
    source = f"""
        name: byhand
        limits: {{timeout: 40s}}
        {queues}
        stages:
          src: {{run: "kitchen:src", to: q}}
          fill: {{run: "kitchen:fill", from: q, to: r{stage}}}
          eat: {{run: "kitchen:eat", from: r}}
        """
    (folder / "byhand.yaml").write_text(textwrap.dedent(source), encoding="utf-8")
    report = run_file(folder / "byhand.yaml", transport="leased", observers=[])
    return report, Counter((folder / "eaten").read_text().split())


EACH_ONCE = Counter(map(str, range(20)))


@pytest.mark.parametrize(
    ("queues", "outputs"),
    [
        ("", 1),
        ("queues: {r: {maxsize: 1}}", 3),
        ("queues: {r: {max_bytes: 1KiB}}", 3),
        ("queues: {q: {maxsize: 2}}", 3),
    ],
)
@pytest.mark.quick("-1")
def test_what_was_put_for_an_item_whose_worker_is_killed_is_put_once(
    tmp_path: Path, queues: str, outputs: int
) -> None:
    handler = f"""
        def fill(inbox, outbox):
            while True:
                item = inbox.get()
                for _ in range({outputs}):
                    outbox.put(item)
                if item == 7:
                    time.sleep(0.02)
                    die_once()
                inbox.task_done()
        """

    report, eaten = run(tmp_path, handler, queues)

    assert 0 == report.exit_code, report.reason
    assert Counter(dict.fromkeys(EACH_ONCE, outputs)) == eaten


def test_what_was_put_for_an_item_that_fails_is_not_put(tmp_path: Path) -> None:
    handler = """
        def fill(inbox, outbox):
            while True:
                item = inbox.get()
                outbox.put(item)
                if item == 7 and not (HERE / "died").exists():
                    (HERE / "died").touch()
                    raise ValueError("once")
                inbox.task_done()
        """

    report, eaten = run(tmp_path, handler, stage=", restart: always")

    assert 0 == report.exit_code, report.reason
    assert EACH_ONCE == eaten


def test_what_was_put_leaves_in_a_moment_though_the_item_is_not_done(tmp_path: Path) -> None:
    handler = """
        def fill(inbox, outbox):
            while True:
                item = inbox.get()
                outbox.put(item)
                while not (HERE / "eaten").exists():
                    time.sleep(0.01)
                inbox.task_done()
        """

    report, eaten = run(tmp_path, handler)

    assert (0, EACH_ONCE) == (report.exit_code, eaten)


def test_who_takes_several_items_and_puts_them_in_the_end_loses_none(tmp_path: Path) -> None:
    handler = """
        import mprun
        def fill(inbox, outbox):
            taken = []
            try:
                while True:
                    taken.append(inbox.get())
                    outbox.put(taken[-1])
                    if len(taken) == 3:
                        for _ in range(3):
                            inbox.task_done()
                        taken = []
            except mprun.EndOfStream:
                for _ in taken:
                    inbox.task_done()
        """

    report, eaten = run(tmp_path, handler, "queues: {r: {maxsize: 2}}")

    assert (0, EACH_ONCE) == (report.exit_code, eaten)


@pytest.mark.slow
def test_more_than_a_frame_holds_goes_through_a_queue_with_little_room(tmp_path: Path) -> None:
    handler = """
        def fill(inbox, outbox):
            while True:
                item = inbox.get()
                for _ in range(300):
                    outbox.put(item)
                inbox.task_done()
        """

    report, eaten = run(tmp_path, handler, "queues: {r: {maxsize: 5}}")

    assert (0, Counter(dict.fromkeys(EACH_ONCE, 300))) == (report.exit_code, eaten)
