"""`to`: what it may be, what is said of one that is wrong, and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.loader.load import check, load
from runner.spec.plan import make_plan

HEAD = "name: w\nparams: {limit: {type: integer, default: 500}}\nstages:\n  a: {run: 'k:make', "
TAIL = "}\n  b: {run: 'k:eat', from: b}\n  c: {run: 'k:eat', from: c}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "k.py").write_text("def make():\n    yield 1\n\ndef eat(item):\n    pass\n")
    return tmp_path


def found_in(folder: Path, keys: str, **more: str) -> list[tuple[int, str, str]]:
    (folder / "w.yaml").write_text(HEAD.replace("name: w\n", f"name: w\n{more.get('top', '')}") + keys + TAIL)
    diagnostics = check(folder / "w.yaml").diagnostics
    return [(each.span.column, each.code, each.help or "") for each in diagnostics]


@pytest.mark.parametrize(
    "keys",
    [
        "to: [b, c]",
        "to: {b: item.status < params.limit, else: c}",
        "to: {b: true, c: '${{ item.status >= params.limit }}'}",
        "to: {b: item, c: item.ok, else: c}",
    ],
)
def test_a_stage_may_write_to_several_queues(folder: Path, keys: str) -> None:
    unused = [] if "params" in keys else ["unused-param"]

    assert unused == [code for _, code, _ in found_in(folder, keys)]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("to: [b, d]", [(30, "queue-without-reader", "let a stage read it with `from: d`")]),
        ("to: [b, c, b]", [(36, "duplicate-entry", "")]),
        (
            "to: {b: true, c: status > 3}",
            [(42, "unknown-reference", "write item.status for what the item has")],
        ),
        ("to: {b: item.x, els: c}", [(41, "unknown-key", "did you mean `else: c`")]),
        ("to: {b: item.x ==, c: true}", [(33, "condition-syntax", "")]),
        ("to: {b: 7, c: true}", [(33, "wrong-type", "")]),
        ("to: []", [(25, "out-of-range", "")]),
        ("to: {b: true, else: [c]}", [(45, "wrong-type", "")]),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(
    folder: Path, keys: str, expected: list[tuple[int, str, str]]
) -> None:
    found = [
        each for each in found_in(folder, keys) if each[1] not in ("unused-param", "queue-without-writer")
    ]

    assert [code for _, code, _ in expected] == [code for _, code, _ in found]
    assert all(here[2].startswith(there[2]) for here, there in zip(found, expected, strict=True))


def test_a_transport_without_a_ledger_and_an_order_that_is_kept_know_one_queue_only(folder: Path) -> None:
    assert "transport-cannot" in [
        code for _, code, _ in found_in(folder, "to: [b, c]", top="transport: joinable\n")
    ]
    pipe = "to: q}\n  p: {run: 'k:eat', from: q, order: keep, to: [b, c]"
    assert "conflicting-keys" in [code for _, code, _ in found_in(folder, pipe)]


def test_one_queue_in_a_list_is_the_plain_case(folder: Path) -> None:
    (folder / "w.yaml").write_text(HEAD + "to: [b]" + TAIL.replace("from: c", "from: b"))

    stage = load(folder / "w.yaml").stages[0]

    assert ("b", (), ("b",)) == (stage.sends, stage.routes, stage.targets)


def test_the_plan_knows_every_queue_of_a_stage(folder: Path) -> None:
    (folder / "w.yaml").write_text(HEAD + "to: {b: item.x, else: c}" + TAIL)

    plan = make_plan(load(folder / "w.yaml"))

    (worker,) = (each for each in plan.workers if each.stage == "a")
    assert (("b", "c"), None, "b") == (worker.targets, worker.sends, worker.counted_in)
    assert [("b", ("a-1",)), ("c", ("a-1",))] == [(queue.name, queue.writers) for queue in plan.queues]


LOOP = "name: w\n{}queues:\n  q: {{{}}}\nstages:\n  a: {{run: 'k:make', to: q}}\n"
LOOP += "  b: {{run: 'k:turn', from: q, to: {}}}\n"
LOOP += "  c: {{run: 'k:eat', from: r}}\n"


@pytest.mark.parametrize(
    ("top", "keys", "to", "expected"),
    [
        ("", "loop: true", "[q, r]", []),
        ("", "loop: true, unique: item.url, maxsize: 1", "{q: item.x, else: r}", []),
        ("", "loop: true, unique: {by: item, most: 5}", "[q, r]", []),
        ("", "", "[q, r]", ["cycle"]),
        ("", "loop: true", "r", ["unused-loop"]),
        ("", "lop: true", "r", ["unknown-key"]),
        ("", "loop: yse", "r", ["wrong-type"]),
        ("", "unique: item..url", "r", ["wrong-format"]),
        ("", "unique: {key: item.url}", "r", ["unknown-key", "missing-key"]),
        ("", "unique: {by: item, most: 0}", "r", ["out-of-range"]),
        ("transport: joinable\n", "loop: true", "q", ["transport-cannot", "queue-without-writer"]),
        ("transport: joinable\n", "unique: item", "r", ["transport-cannot"]),
        ("", "loop: true", "[q, r], on_error: {to: q}", []),
        ("", "unique: item", "[r], on_error: {to: q}", ["conflicting-keys", "cycle"]),
    ],
)
def test_a_queue_may_go_round_and_take_each_key_once(
    folder: Path, top: str, keys: str, to: str, expected: list[str]
) -> None:
    with (folder / "k.py").open("a") as file:
        file.write("\ndef turn(item):\n    return item\n")
    (folder / "w.yaml").write_text(LOOP.format(top, keys, to))

    assert sorted(expected) == sorted(each.code for each in check(folder / "w.yaml").diagnostics)


def test_a_stage_may_need_one_that_goes_round(folder: Path) -> None:
    (folder / "k.py").write_text(
        "def make():\n    yield 1\n\ndef turn(item):\n    return item\n\ndef end():\n    pass\n"
    )
    (folder / "w.yaml").write_text(
        "name: w\nqueues: {q: {loop: true}}\nstages:\n  a: {run: 'k:make', to: q}\n"
        "  b: {run: 'k:turn', from: q, to: q}\n  c: {run: 'k:end', needs: b}\n"
    )

    assert [] == [each.code for each in check(folder / "w.yaml").diagnostics]


def test_what_is_usual_for_failures_leaves_out_who_reads_them(folder: Path) -> None:
    (folder / "w.yaml").write_text(
        "name: w\ndefaults: {stage: {on_error: {to: e}}}\nstages:\n  a: {run: 'k:make', to: b}\n"
        "  b: {run: 'k:eat', from: b}\n  e: {run: 'k:eat', from: e}\n"
    )

    assert {"a": "e", "b": "e", "e": None} == {
        each.name: each.errors_to for each in load(folder / "w.yaml").stages
    }
