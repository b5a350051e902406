"""How jobs hang together: needs, conditions, groups, names and shells, each wrong one told at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.loader.load import check
from runner.spec.diagnostics import LocatedDiagnostic


def diagnostics(folder: Path, jobs: str, head: str = "") -> list[LocatedDiagnostic]:
    path = folder / "w.yaml"
    path.write_text(f"name: w\n{head}jobs:\n{jobs}", encoding="utf-8")
    return list(check(path).diagnostics)


FINE = {
    "a chain": "  a: {run: x}\n  b: {needs: a, run: x}\n  c: {needs: [a, {job: b, optional: true}], run: x}\n",
    "a group": "  a: {run: x, concurrency: g}\n  b: {run: x, concurrency: {group: g, limit: 1}}\n",
    "failure() of a need": "  a: {run: x}\n  b: {needs: a, if: failure(), run: x}\n",
    "failure() of a step": "  a: {steps: [x, {if: failure(), run: x}]}\n",
    "a regular expression": "  a: {run: x, services: {s: {run: x, ready: {prints: '^up [(]'}}}}\n",
    "a shell of one's own": "  a: {shell: fish, run: x}\n  b: {shell: 'perl {0}', run: x}\n",
    "a key near to include": "  a: {strategy: {matrix: {includes: [x]}}, run: x}\n",
}


@pytest.mark.parametrize("jobs", FINE.values(), ids=FINE.keys())
def test_what_hangs_together_is_fine(jobs: str, tmp_path: Path) -> None:
    assert [] == [diagnostic.message for diagnostic in diagnostics(tmp_path, jobs)]


@pytest.mark.parametrize(
    ("jobs", "code", "line", "column", "words"),
    [
        ("  a: {needs: a, run: x}\n", "needs-itself", 3, 14, "take it out"),
        ("  ab: {run: x}\n  c: {needs: ac, run: x}\n", "unknown-need", 4, 14, "did you mean 'ab'?"),
        (
            "  ab: {run: x}\n  c: {needs: [{job: ac}], run: x}\n",
            "unknown-need",
            4,
            21,
            "did you mean 'ab'?",
        ),
        ("  a: {run: x}\n  b: {needs: [a, a], run: x}\n", "duplicate-entry", 4, 18, "once"),
        (
            "  a: {needs: b, run: x}\n  b: {needs: a, run: x}\n",
            "cycle",
            3,
            7,
            "take one of them out",
        ),
        ("  a: {if: failure(), run: x}\n", "never-runs", 3, 11, "name the jobs"),
        (
            "  a: {run: x, concurrency: g}\n  b: {run: x, concurrency: {group: g, limit: 2}}\n",
            "conflicting-limits",
            4,
            15,
            "the same",
        ),
        ("  a: {shell: bahs, run: x}\n", "unknown-value", 3, 14, "did you mean 'bash'?"),
        ("  a: {shell: 'sh \"', run: x}\n", "wrong-format", 3, 14, ""),
        (
            "  a: {run: x, services: {s: {run: x, ready: {prints: '('}}}}\n",
            "wrong-format",
            3,
            54,
            "",
        ),
        (
            "  a: {strategy: {matrix: {n: [1], exlude: [{n: 1}]}}, run: x}\n",
            "unknown-key",
            3,
            35,
            "did you mean 'exclude'?",
        ),
        (
            "  t: {strategy: {matrix: {n: [1]}}, run: x}\n  t (1): {run: x}\n",
            "duplicate-leg",
            4,
            3,
            "another name",
        ),
        ("  a: {if: 'alway()', run: x}\n", "unknown-function", 3, 12, "did you mean 'always'?"),
        ("  a: {steps: [{if: 'alway()', run: x}]}\n", "unknown-function", 3, 21, "did you mean 'always'?"),
        ("  a: {run: x, ensure: [{if: 'a =', run: x}]}\n", "condition-syntax", 3, 32, "write '=='"),
    ],
)
def test_what_does_not_is_told_at_its_place(
    jobs: str, code: str, line: int, column: int, words: str, tmp_path: Path
) -> None:
    (diagnostic,) = diagnostics(tmp_path, jobs)

    assert (code, line, column) == (diagnostic.code, diagnostic.span.line, diagnostic.span.column)
    assert words in (diagnostic.help or "")


def test_hosts_of_unknown_needs_are_told_without_looking_for_what_each_was_meant_for(tmp_path: Path) -> None:
    found = diagnostics(tmp_path, "".join(f"  j{n}: {{needs: x{n}, run: x}}\n" for n in range(300)))

    assert [("unknown-need", None)] * 300 == [(diagnostic.code, diagnostic.help) for diagnostic in found]


def test_jobs_need_the_transport_that_can_run_them(tmp_path: Path) -> None:
    (diagnostic,) = diagnostics(tmp_path, "  a: {run: x}\n", "transport: inline\n")

    assert ("needs-leased", 2, 12) == (diagnostic.code, diagnostic.span.line, diagnostic.span.column)


def test_a_circle_is_told_from_its_first_job_in_the_file(tmp_path: Path) -> None:
    (diagnostic,) = diagnostics(
        tmp_path,
        "  a: {run: x}\n  c: {needs: [a, b], run: x}\n  d: {needs: c, run: x}\n  b: {needs: d, run: x}\n",
    )

    assert "these jobs wait for each other: c → b → d → c" == diagnostic.message


def test_a_long_circle_is_shown_in_part(tmp_path: Path) -> None:
    (diagnostic,) = diagnostics(
        tmp_path, "".join(f"  j{n}: {{needs: j{(n + 1) % 99}, run: x}}\n" for n in range(99))
    )

    assert diagnostic.message.endswith("j0 → j1 → j2 → j3 → j4 → j5 → j6 → j7 → j8 → j9 → … → j0")


def test_all_mistakes_of_all_jobs_are_told_at_once_in_file_order(tmp_path: Path) -> None:
    found = diagnostics(tmp_path, "  a: {needs: x, run: x}\n  b: {if: y, run: x}\n  c: {comand: x}\n")

    assert [3, 4, 5] == [diagnostic.span.line for diagnostic in found]


@pytest.mark.parametrize(
    ("head", "column", "words"),
    [
        ("queues: {q: {}}\n", 1, "'queues' is for stages"),
        ("defaults: {stage: {count: 2}}\n", 12, "'defaults.stage' is for stages"),
        ("limits: {max_errors: 3}\n", 10, "'limits.max_errors' is for stages"),
        ("limits: {stall_timeout: 3s}\n", 10, "'limits.stall_timeout' is for stages"),
        ("resume: {every: 1s}\n", 10, "'resume.every' is for stages"),
    ],
)
def test_a_key_that_only_concerns_stages_is_refused(
    head: str, column: int, words: str, tmp_path: Path
) -> None:
    [found] = diagnostics(tmp_path, "  a: {run: x}\n", head)

    assert ("not-for-jobs", 2, column) == (found.code, found.span.line, found.span.column)
    assert words in found.message


def test_jobs_of_an_included_file_are_jobs_of_this_one(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("jobs:\n  base: {run: x}\n", encoding="utf-8")

    assert [] == diagnostics(tmp_path, "  own: {needs: base, run: x}\n", "include: base.yaml\n")
