"""Tests in a file: what can't be is told, at its line, with what would do."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.loader.load import check

FILE = """
name: shop
params: {n: {default: 1}}
queues: {rows: {maxsize: "${{ params.n }}"}}
stages:
  tidy: {run: "shop:tidy"}
  read: {run: {jsonl: {path: rows.jsonl}}, to: rows}
  clean: {run: "shop:clean", from: rows, to: good, count: 2}
  save: {run: {jsonl: {path: out.jsonl}}, from: good}
tests:
"""
WHOLE = "replace: {tidy: skip, read: {items: [1]}, save: collect}"


def told(folder: Path, test: str, file: str = FILE) -> list[tuple[str, int, str, str | None]]:
    """Return code, column, message and help of each problem of one test, which is on one line."""
    (folder / "shop.py").write_text("def tidy(): pass\ndef clean(row): return row\n")
    path = folder / "shop.yaml"
    path.write_text(f"{file}  t: {{{test}}}\n")
    return [(d.code, d.span.column, d.message, d.help) for d in check(path).diagnostics]


@pytest.mark.parametrize(
    "test",
    [
        "stage: clean, items: [], expect: {}",
        "stage: clean, items: [{a: '${{ params.x }}'}], expect: {outputs: ['${{ item }}'], exit: 0, failures: []}",
        "stage: clean, items: 'shop:tidy', transport: inline, timeout: 1s, expect: {ledger: {good: {put: 1}}}",
        "stage: tidy, expect: {exit: 0}",
        f"{WHOLE}, params: {{n: 3}}, expect: {{outputs: {{save: [1]}}, ledger: {{rows: {{done: 1}}}}}}",
        f"{WHOLE}, faults: [{{kill: {{stage: clean, worker: clean-2, at_item: 1}}}}], expect: {{exit: 1}}",
        f"{WHOLE}, faults: [{{restart: {{stage: save, at_item: 9}}}}, {{delay: {{stage: read}}}}], expect: {{}}",
        f"{WHOLE}, files: shop.py, expect: {{}}",
    ],
)
def test_what_goes_together_is_fine(tmp_path: Path, test: str) -> None:
    assert [] == told(tmp_path, test)


@pytest.mark.parametrize(
    ("test", "code", "message"),
    [
        ("stage: claen, items: [], expect: {}", "unknown-stage", "there is no stage 'claen'"),
        ("stage: clean, items: []", "missing-key", "test 't' has no 'expect'"),
        ("stage: clean, itmes: [], expect: {}", "unknown-key", "test 't' has no key 'itmes'"),
        (
            "stage: clean, items: 3, expect: {}",
            "wrong-type",
            "expected a list of items, or `module:callable`",
        ),
        (
            "stage: clean, items: [], expect: {output: []}",
            "unknown-key",
            "'expect' of test 't' has no key 'output'",
        ),
        ("stage: clean, items: [], expect: {exit: 256}", "out-of-range", "expected an integer from 0 to 255"),
        ("stage: clean, items: [], expect: {failures: {}}", "wrong-type", "expected a list of failures"),
        ("stage: clean, items: [], expect: {failures: [{eror: x}]}", "unknown-key", "has no key 'eror'"),
        ("stage: clean, items: [], expect: {ledger: {rows: {puts: 1}}}", "unknown-key", "has no key 'puts'"),
        (
            "stage: clean, items: [], expect: {ledger: {rwos: {}}}",
            "unknown-queue",
            "there is no queue 'rwos'",
        ),
        ("stage: clean, expect: {}", "test-misfit", "test 't' gives stage 'clean' no items"),
        (
            "stage: clean, items: [], expect: {outputs: {a: []}}",
            "test-misfit",
            "writes to one queue are a list",
        ),
        ("stage: tidy, items: [], expect: {}", "test-misfit", "stage 'tidy' reads no queue"),
        ("stage: tidy, expect: {outputs: []}", "test-misfit", "stage 'tidy' writes to no queue"),
        ("stage: read, expect: {outputs: []}", "not-hermetic", "stage 'read' runs `jsonl`"),
        (
            "stage: clean, items: [], replace: {read: real}, expect: {}",
            "test-misfit",
            "there is nothing to replace",
        ),
        ("replace: {read: {items: []}, save: collect}, expect: {}", "not-hermetic", "the plain stage 'tidy'"),
        (
            "replace: {tidy: skip, save: collect}, expect: {}",
            "not-hermetic",
            "does not replace the source 'read'",
        ),
        (
            "replace: {tidy: skip, read: {items: []}}, expect: {}",
            "not-hermetic",
            "does not replace the sink 'save'",
        ),
        (
            "replace: {tidy: skip, read: real, save: collect}, expect: {}",
            "not-hermetic",
            "stage 'read' runs `jsonl`",
        ),
        (
            "replace: {tidy: skip, read: skip, save: collect}, expect: {}",
            "test-misfit",
            "would have no writer",
        ),
        (
            "replace: {tidy: skip, read: collect, save: collect}, expect: {}",
            "test-misfit",
            "'read' is no sink",
        ),
        (
            "replace: {tidy: skip, read: {items: []}, save: {items: []}}, expect: {}",
            "test-misfit",
            "'save' is no source",
        ),
        (f"{WHOLE[:-1]}, clean: real, x: real}}, expect: {{}}", "unknown-stage", "there is no stage 'x'"),
        ("replace: {tidy: skp}, expect: {}", "wrong-format", "one of collect, real, skip"),
        (f"{WHOLE}, items: [], expect: {{}}", "test-misfit", "does not say which stage gets these items"),
        (f"{WHOLE}, expect: {{outputs: []}}", "test-misfit", "a workflow may have outputs of several stages"),
        (
            f"{WHOLE}, expect: {{outputs: {{clean: []}}}}",
            "test-misfit",
            "nothing collects the outputs of 'clean'",
        ),
        (
            f"{WHOLE}, expect: {{outputs: {{svae: []}}}}",
            "unknown-stage",
            "nothing collects the outputs of 'svae'",
        ),
        (
            f"{WHOLE}, expect: {{outputs: {{save: 1}}}}",
            "wrong-type",
            "the outputs of 'save' are a list of items",
        ),
        (f"{WHOLE}, params: {{m: 1}}, expect: {{}}", "unknown-param", "the workflow has no param 'm'"),
        (f"{WHOLE}, files: nowhere, expect: {{}}", "no-file", "there is no file 'nowhere'"),
        (f"{WHOLE}, files: ../x, expect: {{}}", "test-misfit", "is not beside the workflow file"),
        (f"{WHOLE}, faults: [], timeout: soon, expect: {{}}", "wrong-format", "expected a duration"),
        (f"{WHOLE}, faults: [{{kil: {{}}}}], expect: {{}}", "unknown-key", "has no key 'kil'"),
        (f"{WHOLE}, faults: [{{kill: {{stage: clean}}}}], expect: {{}}", "missing-key", "has no 'at_item'"),
        (
            f"{WHOLE}, faults: [{{kill: {{stage: x, at_item: 1}}}}], expect: {{}}",
            "unknown-stage",
            "no stage 'x'",
        ),
        (f"{WHOLE}, faults: [{{delay: {{stage: tidy}}}}], expect: {{}}", "test-misfit", "is round no queue"),
        (
            f"{WHOLE}, faults: [{{kill: {{stage: clean, at_item: 1, worker: 3}}}}], expect: {{}}",
            "test-misfit",
            "stage 'clean' has 2 workers here, and no worker 3",
        ),
        (
            f"{WHOLE}, transport: inline, faults: [{{kill: {{stage: clean, at_item: 1}}}}], expect: {{}}",
            "needs-leased",
            "`kill` needs `leased`",
        ),
        (
            "stage: clean, items: [], faults: [{kill: {stage: save, at_item: 1}}], expect: {}",
            "test-misfit",
            "stage 'save' is not in this test",
        ),
    ],
)
def test_what_does_not_go_together_is_one_problem(tmp_path: Path, test: str, code: str, message: str) -> None:
    (found,) = told(tmp_path, test)

    assert code == found[0]
    assert message in found[2]
    assert found[3] is not None or code in ("wrong-type", "out-of-range", "wrong-format")


def test_tests_are_for_stages(tmp_path: Path) -> None:
    (found,) = told(tmp_path, "expect: {}", "name: ci\njobs: {a: {run: 'true'}}\ntests:\n")

    assert "not-for-jobs" == found[0]


def test_a_wrong_stage_brings_no_problems_of_its_tests(tmp_path: Path) -> None:
    found = told(tmp_path, f"{WHOLE}, expect: {{}}", FILE.replace("from: good", "form: good"))

    assert ["unknown-key"] == [code for code, *_ in found]
