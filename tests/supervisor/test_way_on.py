"""Whether there is a way on for a run that has ended: not where a producer can't, its input is gone, or all is done."""

from __future__ import annotations

import signal
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from runner.ledger.accounts import Account
from runner.loader.load import load
from runner.spec.plan import InputFile, Plan, make_plan
from runner.supervisor.outcome import failed, interrupted, not_repeated
from runner.supervisor.way_on import changed_inputs, is_nothing_left, is_way_on

FILE = """\
name: shop
stages:
  reader: {run: {lines: {path: in.txt}}, to: q, COUNT}
  eater: {run: "builtins:print", from: q}
"""
ALL_DONE = [Account("q", 10, put=3, done=3)]
ONE_LEFT = [Account("q", 10, put=3, done=2, waiting=1)]
STOPPED = interrupted(signal.SIGINT)


def plan_of(folder: Path, text: str = FILE, *, count: int = 1) -> Plan:
    (folder / "in.txt").write_text("1\n2\n3\n")
    (folder / "flow.yaml").write_text(text.replace("COUNT", f"count: {count}, cwd: '{folder}'"))
    return make_plan(load(folder / "flow.yaml"))


@pytest.mark.parametrize(
    ("expected", "accounts", "ended", "closed"),
    [
        (True, ALL_DONE, {"reader-1", "eater-1"}, ()),
        (True, ALL_DONE, {"reader-1"}, {"eater-1"}),
        (False, ALL_DONE, {"eater-1"}, {"reader-1"}),
        (False, ALL_DONE, {"reader-1"}, ()),
        (False, ONE_LEFT, {"reader-1", "eater-1"}, ()),
    ],
)
def test_nothing_is_left_where_producers_have_ended_and_consumers_have_closed_behind_all_items(
    tmp_path: Path,
    accounts: list[Account],
    ended: Collection[str],
    closed: Collection[str],
    *,
    expected: bool,
) -> None:
    plan = plan_of(tmp_path)

    assert expected == is_nothing_left(plan, accounts, ended, closed)
    assert expected is not is_way_on(plan, STOPPED, accounts, {}, ended, closed)
    assert is_way_on(plan, failed("it"), accounts, {}, ended, closed)


def test_an_output_that_is_not_in_its_place_is_left_to_do(tmp_path: Path) -> None:
    sink = FILE.replace('"builtins:print"', "{jsonl: {path: out.jsonl, mode: replace}}")

    assert not is_nothing_left(plan_of(tmp_path, sink), ALL_DONE, {"reader-1", "eater-1"}, ())


def test_who_has_not_given_the_same_again_will_not_the_next_time(tmp_path: Path) -> None:
    assert not is_way_on(plan_of(tmp_path), not_repeated("it"), ONE_LEFT, {}, (), ())


def test_who_goes_on_behind_what_it_has_read_needs_the_file_as_long_as_it_was(tmp_path: Path) -> None:
    one, two, path = plan_of(tmp_path), plan_of(tmp_path, count=2), tmp_path / "in.txt"
    file = InputFile("in.txt", 6)

    def told(plan: Plan, *ended: str, files: tuple[InputFile, ...] = (file,)) -> list[str]:
        return list(changed_inputs(plan, {"reader": files}, ended))

    assert [] == told(one)
    path.write_text("1\n2\n3\n4\n")
    assert [] == told(one)
    path.write_text("1\n")
    shorter = ["stage 'reader': 'in.txt' has become shorter since the stage began: it has 2 bytes of 6"]
    assert [shorter, shorter, shorter] == [told(one), told(two), told(two, "reader-1")]
    assert not is_way_on(one, failed("it"), ONE_LEFT, {"reader": [file]}, (), ())
    path.unlink()
    assert "there is no 'in.txt' any more" in told(one)[0]
    assert [[], []] == [told(one, "reader-1"), told(two, "reader-1", "reader-2")]
    assert [] == told(two, "reader-1", files=(file, replace(file, path="more.txt")))
    assert [] == told(one, files=(replace(file, size=None), InputFile("https://a.b/in.txt", 0)))
