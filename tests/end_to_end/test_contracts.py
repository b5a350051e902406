"""`queues.<q>.schema` in real runs: who fails, and what becomes of the item."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.composition import run_file
from runner.events.report import Report
from runner.store.dead_letters import dead_letter_queues

KITCHEN = """
    from pathlib import Path

    PRICES = [1, "free", 2.5, None, 3]

    def steam():
        yield from PRICES

    def cost(price):
        return {"price": price}

    def cost_twice(price):
        yield {"price": 0}
        yield {"price": price}

    def cost_all(prices):
        for price in prices:
            yield {"price": price}

    def drive(inbox, outbox):
        while True:
            price = inbox.get()
            outbox.put({"price": price})
            inbox.task_done()

    def eat(item):
        with Path("eaten.txt").open("a") as file:
            print(item["price"], file=file)
"""


def run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, transport: str, **keys: str
) -> tuple[Report, list[str]]:
    """Run three good items and two bad ones; return the report, and what was eaten."""
    monkeypatch.setenv("MPRUN_HOME", str(folder / "home"))
    monkeypatch.chdir(folder)
    handler, more = keys.get("handler", "cost"), keys.get("more", "on_error: dead_letter")
    (folder / "kitchen.py").write_text(textwrap.dedent(KITCHEN))
    (folder / "contract.yaml").write_text(
        "name: contract\nlimits: {timeout: 30s, max_errors: 10}\n"
        "queues: {costs: {schema: {properties: {price: {type: number}}}}}\n"
        "stages:\n  chef: {run: 'kitchen:steam', to: prices}\n"
        f"  cook: {{run: 'kitchen:{handler}', from: prices, to: costs, {more}}}\n"
        "  eater: {run: 'kitchen:eat', from: costs}\n"
    )
    report = run_file(folder / "contract.yaml", transport=transport)
    eaten = folder / "eaten.txt"
    return report, eaten.read_text().splitlines() if eaten.exists() else []


def test_an_item_that_does_not_keep_it_is_a_dead_letter_of_the_stage_that_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, eaten = run(tmp_path, monkeypatch, "leased")

    letters = [letter for each in dead_letter_queues() for letter in each.letters]
    assert (0, ["1", "2.5", "3"]) == (report.exit_code, eaten), report.reason
    assert ["free", None] == [letter.unpickle(tmp_path) for letter in letters]
    assert "queue 'costs': $.price: expected number, got 'free'" in letters[0].error


@pytest.mark.parametrize("transport", ["joinable", "inline"])
def test_under_every_transport_it_goes_the_way_of_on_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    report, eaten = run(tmp_path, monkeypatch, transport, more="on_error: skip")

    assert (0, ["1", "2.5", "3"]) == (report.exit_code, eaten), report.reason
    assert [2] == [stage.failed for stage in report.stages if stage.name == "cook"]


@pytest.mark.parametrize("transport", ["leased", "joinable", "inline"])
def test_without_on_error_the_run_fails_and_names_the_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    report, _ = run(tmp_path, monkeypatch, transport, more="on_error: fail")

    assert 1 == report.exit_code
    assert "queue 'costs': $.price: expected number, got 'free'" in str(report.reason)


@pytest.mark.parametrize("transport", ["leased", "joinable", "inline"])
def test_an_item_of_a_producer_fails_and_its_others_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    monkeypatch.setenv("MPRUN_HOME", str(tmp_path / "home"))
    (tmp_path / "prices.jsonl").write_text('1\n"free"\n3\n')
    (tmp_path / "kitchen.py").write_text("def eat(item): pass\n")
    (tmp_path / "contract.yaml").write_text(
        "name: contract\nlimits: {max_errors: 10}\nqueues: {prices: {schema: {type: number}}}\nstages:\n"
        "  chef: {run: {jsonl: {path: prices.jsonl}}, to: prices, on_error: skip}\n"
        "  eater: {run: 'kitchen:eat', from: prices}\n"
    )
    monkeypatch.chdir(tmp_path)

    report = run_file(tmp_path / "contract.yaml", transport=transport)

    (queue,) = report.queues
    assert (0, 3, 2, 1) == (report.exit_code, queue.put, queue.done, queue.dropped), report.reason


def test_of_a_batch_only_those_fail_whose_outputs_do_not_keep_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = "batch: {size: 5}, on_error: dead_letter"
    report, eaten = run(tmp_path, monkeypatch, "leased", handler="cost_all", more=more)

    assert (0, {"1", "2.5", "3"}) == (report.exit_code, set(eaten)), report.reason
    assert 2 == sum(len(each.letters) for each in dead_letter_queues())


@pytest.mark.parametrize("transport", ["leased", "joinable", "inline"])
def test_whoever_drives_the_queue_is_refused_at_the_put(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    report, _ = run(tmp_path, monkeypatch, transport, handler="drive", more="description: by hand")

    assert 1 == report.exit_code
    assert "ContractBroken: queue 'costs': $.price: expected number, got 'free'" in str(report.reason)


@pytest.mark.parametrize("transport", ["leased", "joinable"])
@pytest.mark.slow
def test_a_pattern_that_comes_to_no_end_fails_the_item_and_is_no_hang(
    tmp_path: Path, run_mprun: Callable[..., Any], transport: str
) -> None:
    (tmp_path / "h.py").write_text("def make():\n    yield 'a' * 40 + '!'\n    yield 'a'\ndef eat(x): pass\n")
    (tmp_path / "flow.yaml").write_text(
        "name: x\nlimits: {max_errors: 1}\nqueues: {q: {schema: {pattern: '^(a+)+$'}}}\nstages:\n"
        "  m: {run: 'h:make', to: q, on_error: skip}\n  e: {run: 'h:eat', from: q}\n"
    )

    done = run_mprun("run", "flow.yaml", "--transport", transport, cwd=tmp_path, timeout=30)

    assert 0 == done.returncode, done.stderr
    assert "it came to no end: something that repeats is repeated" in done.stderr
    assert "ledger: 2 put = 1 done + 1 dropped" in done.stderr
