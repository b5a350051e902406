"""Jobs laid out: one leg for each combination, each with its values put in and its shape judged."""

from __future__ import annotations

from typing import Any

import pytest

from runner.loader.jobs import Expanded, expand_jobs, waits_for_matrix
from runner.loader.schema.workflow import workflow_schema
from runner.spec.source.reader import read_text

HEAD = "name: w\njobs:\n"


def expanded(jobs: str) -> Expanded:
    source = read_text(HEAD + jobs, "w.yaml")
    return expand_jobs(source, source.data["jobs"], workflow_schema({}))


def legs(jobs: str) -> dict[str, Any]:
    found = expanded(jobs)
    assert () == found.diagnostics
    return {leg.id: data for job in found.jobs for leg, data in job.legs}


def test_a_job_without_a_matrix_is_one_leg_with_its_own_data() -> None:
    assert {"a": {"run": "x"}} == legs("  a: {run: x}\n")


def test_each_leg_has_its_values_in_its_texts_and_keeps_their_type() -> None:
    found = legs(
        "  t: {strategy: {matrix: {n: [1], may: [true]}}, run: x, working-directory: 'go ${{ matrix.n }}', "
        "continue-on-error: '${{ matrix.may }}', env: {N: '${{ matrix.n }}'}}\n"
    )

    (data,) = found.values()
    assert ("go 1", True, 1) == (data["working-directory"], data["continue-on-error"], data["env"]["N"])


def test_what_is_known_later_stays_and_so_does_a_condition() -> None:
    found = legs(
        "  t:\n    strategy: {matrix: {n: [1]}}\n    if: matrix.n == 1\n"
        "    working-directory: ${{ needs.a.outputs.b }} ${{ secrets.C }} ${{ matrix.n }}\n"
        "    run: echo ${{ matrix.n }}\n"
    )

    (data,) = found.values()
    assert "${{ needs.a.outputs.b }} ${{ secrets.C }} 1" == data["working-directory"]
    assert ("echo ${{ matrix.n }}", "matrix.n == 1") == (data["run"], data["if"])


def test_a_value_of_the_matrix_is_judged_leg_by_leg() -> None:
    found = expanded("  t: {strategy: {matrix: {time: [1s, soon]}}, timeout: '${{ matrix.time }}', run: x}\n")

    assert ["wrong-format"] == [diagnostic.code for diagnostic in found.diagnostics]
    assert [True, False] == ["timeout" in data for job in found.jobs for _, data in job.legs]


def test_a_time_of_nothing_may_come_by_the_matrix_too() -> None:
    found = expanded("  t: {strategy: {matrix: {time: [0s]}}, timeout: '${{ matrix.time }}', run: x}\n")

    assert ["out-of-range"] == [diagnostic.code for diagnostic in found.diagnostics]


def test_a_key_that_the_matrix_does_not_have_is_found_once_for_all_legs() -> None:
    found = expanded("  t: {strategy: {matrix: {os: [a, b]}}, run: 'x ${{ matrix.so }}'}\n")

    assert [("unknown-reference", "did you mean 'matrix.os'?")] == [
        (p.code, p.help) for p in found.diagnostics
    ]


def test_a_matrix_that_can_not_be_meant_leaves_a_job_without_legs() -> None:
    found = expanded("  t: {strategy: {matrix: {os: [a, a]}}, run: x}\n")

    assert (["duplicate-leg"], ()) == ([p.code for p in found.diagnostics], found.jobs[0].legs)


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ({"a": {"run": "${{ matrix.n }}"}}, {("jobs", "a", "run")}),
        ({"a": {"steps": ["x ${{ matrix.n }}"]}}, {("jobs", "a", "steps", 0)}),
        ({"a": {"outputs": {"files": "${{ matrix.n }}"}}}, {("jobs", "a", "outputs", "files")}),
        # A condition is read by others, and these are the same for all legs.
        ({"a": {"if": "${{ matrix.n }}", "steps": [{"if": "${{ matrix.n }}"}]}}, set()),
        ({"a": {"needs": "${{ matrix.n }}", "strategy": "${{ matrix.n }}"}}, set()),
        ({"a": {"outputs": {"values": "${{ matrix.n }}"}}}, set()),
        ({"a": {"run": "${{ params.n }} $${{ matrix.n }}"}}, set()),
        ({"a": "${{ matrix.n }}"}, set()),
        ("${{ matrix.n }}", set()),
        (None, set()),
    ],
)
def test_what_waits_for_the_matrix(jobs: object, expected: set[tuple[str | int, ...]]) -> None:
    assert expected == waits_for_matrix({"jobs": jobs})
