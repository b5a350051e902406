"""What stages leave: refused before anything starts where two of them, or several workers, would write one file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.handlers.registry import built_in_kinds
from runner.loader.load import check, load
from runner.spec.plan import done_label, make_plan


def problems(folder: Path, stages: str, *, transport: str = "leased") -> list[str]:
    """What is wrong with a workflow that has these stages beside its source."""
    path = folder / "flow.yaml"
    path.write_text(
        f"name: flow\ntransport: {transport}\nstages:\n  source: {{run: {{command: [seq, 3]}}, to: q}}\n{stages}",
        encoding="utf-8",
    )
    found = check(path).diagnostics
    return [f"{each.code}: {each.message}; {each.help}" for each in found]


def test_two_stages_at_one_file_are_refused(tmp_path: Path) -> None:
    stages = "  a: {run: {text: {path: out}}, from: q}\n  b: {run: {jsonl: {path: ./out}}, from: q}\n"

    assert problems(tmp_path, stages) == [
        "shared-output: stages 'a' and 'b' both write './out'; give one of them another path; or let one stage write "
        "what both of them send to one queue"
    ]


def test_two_stages_with_folders_of_their_own_may_use_one_name(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    stages = (
        "  a: {run: {text: {path: out}}, cwd: a, from: q}\n  b: {run: {text: {path: out}}, cwd: b, from: q}\n"
    )

    assert [] == problems(tmp_path, stages)


@pytest.mark.parametrize("several", ["count: 2", "names: [neo, alex]"])
def test_several_workers_at_one_file_are_refused(tmp_path: Path, several: str) -> None:
    stages = f"  a: {{run: {{jsonl: {{path: out}}}}, from: q, {several}}}\n"

    assert problems(tmp_path, stages) == [
        "shared-output: stage 'a' has 2 workers, and one file has one writer, or lines could not be cut back to what "
        "is done; leave out `count`, or say `mode: replace`: then each worker has a part of its own, and they are "
        "joined in the end"
    ]


@pytest.mark.parametrize(
    "run",
    [
        "{jsonl: {path: out, mode: replace}}",
        "{jsonl: {path: '-'}}",
        "{print: {}}",
        "{csv: {path: out, mode: replace, columns: [a]}}",
        "{csv: {path: out, mode: replace, header: false}}",
    ],
)
def test_parts_and_standard_output_may_have_several_workers(tmp_path: Path, run: str) -> None:
    assert [] == problems(tmp_path, f"  a: {{run: {run}, from: q, count: 2}}\n")


def test_columns_that_each_worker_would_find_out_are_refused(tmp_path: Path) -> None:
    stages = "  a: {run: {csv: {path: out, mode: replace}}, from: q, count: 2}\n"

    assert problems(tmp_path, stages) == [
        "shared-output: stage 'a' has 2 workers, and each worker would take the columns from the first item that it "
        "gets, which need not be the same; name them under `columns`"
    ]


def test_a_part_of_an_item_in_the_path_of_a_file_is_refused(tmp_path: Path) -> None:
    stages = "  a: {run: {text: {path: '${{ item.name }}.txt'}}, from: q}\n"

    assert problems(tmp_path, stages) == [
        "unknown-reference: 'path' of 'text' is one for all items, so it can't have a part of an item in it; `dir` "
        "writes a file for each item"
    ]


@pytest.mark.parametrize(
    ("run", "more", "expected"),
    [
        ("{jsonl: {path: out}}", "", "flush 1s"),
        ("{jsonl: {path: out}}", ", flush: {every: 5s}", "flush 5s"),
        ("{print: {}}", "", "flush 1s"),
        ("{'null': {}}", "", "at return"),
    ],
)
def test_the_plan_says_when_its_items_are_done(tmp_path: Path, run: str, more: str, expected: str) -> None:
    assert [] == problems(tmp_path, f"  a: {{run: {run}, from: q{more}}}\n")
    (worker,) = (each for each in make_plan(load(tmp_path / "flow.yaml")).workers if each.stage == "a")

    assert expected == done_label(worker)


def test_flush_at_a_sink_that_has_nothing_to_flush_is_refused(tmp_path: Path) -> None:
    stages = "  a: {run: {'null': {}}, from: q, flush: {every: 1s}}\n"

    assert problems(tmp_path, stages) == [
        "handler-role: `flush` is for a class with a method flush(); 'null' is safe after each item; leave it out"
    ]


@pytest.mark.parametrize(
    ("run", "problem"),
    [
        ("{jsonl: {}}", "missing-key: 'run.jsonl' of stage 'a' has no 'path'"),
        ("{csv: {path: 5}}", "wrong-type"),
        ("{csv: {path: x, mode: overwrite}}", "unknown-value"),
        ("{csv: {path: x, header: [a]}}", "wrong-type"),
        ("{sqlite: {path: x}}", "missing-key: 'sqlite' of a consumer has no 'table'"),
        ("{dir: {path: x, nmae: y}}", "unknown-key"),
        ("{http: {url: 'http://x', items: a}}", "handler-role: 'items' in 'http' is not for a consumer"),
        ("{text: {path: x, line: '${{ itme }}'}}", "unknown-reference: there is no 'itme'"),
    ],
)
def test_wrong_options_are_problems_and_nothing_else(tmp_path: Path, run: str, problem: str) -> None:
    found = problems(tmp_path, f"  a: {{run: {run}, from: q, batch: 3, flush: {{every: 1s}}}}\n")

    assert 1 == sum(each.startswith(problem) for each in found), found


def test_files_without_names_are_refused_where_nobody_counts_items(tmp_path: Path) -> None:
    stages = "  a: {run: {dir: {path: out}}, from: q}\n"

    assert problems(tmp_path, stages, transport="joinable") == [
        "transport-cannot: stage 'a': under `joinable` nobody counts items, so that files have no names of their own; "
        "say `name`; use `leased`"
    ]


def test_two_tables_of_one_database_may_be_written_by_two_stages(tmp_path: Path) -> None:
    stages = "  a: {run: {sqlite: {path: x, table: a}}, from: q}\n  b: {run: {sqlite: {path: x, table: b}}, from: q}\n"

    assert [] == problems(tmp_path, stages)
    assert 1 == len(problems(tmp_path, stages.replace("table: b", "table: a")))


def test_a_table_takes_lists_of_items_and_the_plan_says_so(tmp_path: Path) -> None:
    assert [] == problems(tmp_path, "  a: {run: {sqlite: {path: x, table: a}}, from: q, batch: 50}\n")
    (worker,) = (each for each in make_plan(load(tmp_path / "flow.yaml")).workers if each.stage == "a")

    assert "batch of 50" == done_label(worker)


def test_a_parquet_file_is_not_added_to_and_a_folder_of_them_is(tmp_path: Path) -> None:
    stages = "  a: {run: {parquet: {path: out, mode: append}}, from: q}\n"

    assert problems(tmp_path, stages) == [
        "conflicting-keys: a Parquet file can't be added to; end `path` in a slash: then it is a folder, to which each "
        "run adds a file"
    ]
    assert [] == problems(tmp_path, stages.replace("path: out", "path: out/").replace("q}", "q, count: 2}"))


def test_a_library_that_is_not_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.loader.checks.outputs.find_spec", lambda _name: None)

    assert problems(tmp_path, "  a: {run: {parquet: {path: out}}, from: q}\n") == [
        "missing-library: 'parquet' needs pyarrow, which is not installed; pip install 'mprun[data]'"
    ]


WRONG = (None, 3, [1], {"x": None})
ROLES = {"producer": "to: q", "consumer": "from: q", "pipe": "from: q, to: p", "plain": ""}


def every_slip() -> Iterator[str]:
    """Each kind, with options that are none and with each option of each wrong shape."""
    for name, kind in built_in_kinds().items():
        if kind.writes is None and not any(part.writes for part in kind.parts.values()):
            continue
        needed = dict.fromkeys(kind.options.get("required", ()), "x")
        for wrong in WRONG:
            yield json.dumps({name: wrong})
            for option in kind.options["properties"]:
                yield json.dumps({name: {**needed, option: wrong}})


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.quick("consumer")
def test_options_of_any_shape_are_a_problem_and_never_a_fault(tmp_path: Path, role: str) -> None:
    path = tmp_path / "flow.yaml"
    for run in every_slip():
        path.write_text(f"name: x\nstages: {{s: {{run: {run}, {ROLES[role]}}}}}\n", encoding="utf-8")
        check(path)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (
            "{jsonl: {path: 's3://buns/out.jsonl'}}",
            "expected a path on this machine, got a URL: 's3://buns/out.jsonl'",
        ),
        ("{parquet: {path: 'memory://out/'}}", "expected a path on this machine, got a URL: 'memory://out/'"),
        (
            "{csv: {path: out.csv.gz}}",
            "'csv' compresses nothing, and the end of 'out.csv.gz' says that it is",
        ),
    ],
)
def test_a_path_that_promises_what_no_sink_does_is_refused(tmp_path: Path, run: str, words: str) -> None:
    (found,) = problems(tmp_path, f"  a: {{run: {run}, from: q}}\n")

    assert found.startswith(f"wrong-format: {words}; ")
