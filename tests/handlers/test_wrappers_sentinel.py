"""No handler puts what readers take for the end: refused at its put, whatever the handler's shape."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.composition import run_file
from runner.handlers.kinds import Driver, Mapper, Source
from runner.handlers.wrappers import check_puts, refuse_sentinel

REFUSED = "'end' is the sentinel of queue 'q': leave it out, each reader gets one at the end"


def test_a_producer_is_stopped_at_the_mark_and_not_before() -> None:
    made: Any = check_puts(Source(lambda: iter(["x", "end", "y"])), refuse_sentinel("q", "end"))
    items = iter(made.items())

    assert "x" == next(items)
    with pytest.raises(ValueError, match=REFUSED):
        next(items)


def test_what_a_pipe_stage_returns_or_yields_is_looked_at() -> None:
    def several(item: object) -> Iterator[object]:
        yield from [item, "end"]

    one: Any = check_puts(Mapper(lambda item: item), refuse_sentinel("q", "end"))
    many: Any = check_puts(Mapper(several), refuse_sentinel("q", "end"))

    assert ("x", "x") == (one.call("x"), next(many.call("x")))
    with pytest.raises(ValueError, match=REFUSED):
        one.call("end")
    with pytest.raises(ValueError, match=REFUSED):
        list(many.call("x"))


def test_none_from_a_pipe_stage_puts_nothing_and_is_no_mark() -> None:
    handler: Any = check_puts(Mapper(lambda _: None), refuse_sentinel("q", None))

    assert handler.call("x") is None


def test_whoever_drives_the_queue_is_refused_at_the_put() -> None:
    put: list[object] = []

    class Queue:
        get = task_done = join = qsize = empty = full = staticmethod(lambda *_: None)

        def put(self, item: object, _block: bool, _timeout: float | None) -> None:
            put.append(item)

    handler: Any = check_puts(
        Driver(lambda _, outbox: [outbox.put(item) for item in (0, False)]), refuse_sentinel("q", False)
    )

    with pytest.raises(ValueError, match="False is the sentinel"):
        handler.call(None, Queue())
    assert [0] == put


@pytest.mark.parametrize("transport", ["leased", "joinable", "inline"])
def test_a_run_says_which_worker_puts_the_mark_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    monkeypatch.setenv("MPRUN_HOME", str(tmp_path / "home"))
    (tmp_path / "k.py").write_text(
        textwrap.dedent(
            """
            def steam():
                yield from ["x", "end", "y"]

            def eat(queue):
                while queue.get() != "end":
                    queue.task_done()
            """
        )
    )
    (tmp_path / "k.yaml").write_text(
        "name: k\nqueues: {q: {sentinel: end}}\nlimits: {timeout: 30s}\n"
        "stages:\n  chef: {run: 'k:steam', to: q}\n  eater: {run: 'k:eat', from: q}\n"
    )

    report = run_file(tmp_path / "k.yaml", transport=transport)

    assert 1 == report.exit_code
    assert "'chef-1'" in report.reason
    assert REFUSED in report.reason
