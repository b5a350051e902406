"""References of a whole workflow: which scope where, and what is known afterwards."""

from __future__ import annotations

import pytest

from runner.loader.interpolation import Replaced, replace_references
from runner.spec.source.reader import read_text


def replaced(text: str, **given: str) -> Replaced:
    return replace_references(read_text(text, "w.yaml"), given, {"HOME": "/home/neo", "N": "1"})


def test_each_section_may_use_what_is_above_it() -> None:
    found = replaced(
        "params: {p: {default: '${{ env.HOME }}'}}\n"
        "env: {DATA: '${{ params.p }}/data'}\n"
        "stages: {a: {cwd: '${{ env.DATA }}'}}\n"
    )

    assert ({"cwd": "/home/neo/data"}, ()) == (found.data["stages"]["a"], found.diagnostics)


def test_a_whole_scalar_keeps_its_type() -> None:
    found = replaced("params: {n: {default: 3}}\nstages: {a: {count: '${{ params.n }}'}}\n", n="4")

    assert 4 == found.data["stages"]["a"]["count"]


def test_the_item_waits_for_the_worker_only_in_the_options_of_a_kind() -> None:
    found = replaced("stages: {a: {run: {command: ['${{ item }}', '${{ env.N }}']}, cwd: '${{ item }}'}}\n")

    assert (["${{ item }}", "1"], ["unknown-reference"], {("stages", "a", "cwd")}) == (
        found.data["stages"]["a"]["run"]["command"],
        [p.code for p in found.diagnostics],
        found.unread,
    )


def test_numbers_of_the_environment_are_taken_as_typed() -> None:
    found = replaced(
        "env: {V: 3.10, B: true}\nstages: {a: {env: {W: 1.0}}}\ndefaults: {stage: {env: {X: 2.50}}}\n"
    )

    assert ({"V": "3.10", "B": "true"}, {"W": "1.0"}, {"X": "2.50"}) == (
        found.data["env"],
        found.data["stages"]["a"]["env"],
        found.data["defaults"]["stage"]["env"],
    )


def test_what_uses_a_param_of_unknown_value_is_unread() -> None:
    found = replaced(
        "params: {n: {type: integer}}\nstages: {a: {count: '${{ params.n }}', cwd: '${{ env.N }}'}}\n"
    )

    assert (frozenset({("stages", "a", "count")}), ["missing-param"]) == (
        found.unread,
        [p.code for p in found.diagnostics],
    )


def test_notes_are_left_out_with_their_references() -> None:
    found = replaced("x-note: '${{ nonsense }}'\nname: w\n")

    assert ({"name": "w"}, ()) == (found.data, found.diagnostics)


@pytest.mark.parametrize(
    "text", ["stages: 3\n", "stages: {a: 3}\n", "params: 3\n", "env: [1]\n", "defaults: x\n"]
)
def test_sections_without_shape_pass_as_they_are(text: str) -> None:
    source = read_text(text, "w.yaml")

    assert source.data == replace_references(source, {}, {}).data


def test_a_param_is_used_where_a_text_or_a_condition_of_a_job_names_it() -> None:
    found = replaced(
        "params:\n"
        "  in_text: {default: 1}\n"
        "  in_condition: {default: true}\n"
        "  in_both: {default: 2}\n"
        "  nowhere: {default: 3}\n"
        "jobs:\n"
        "  build:\n"
        "    if: params.in_condition && params.in_both == 2\n"
        "    steps: [{run: 'echo ${{ params.in_text }} ${{ params.in_both }}'}]\n"
    )

    assert [("unused-param", "nothing uses the param 'nowhere'")] == [
        (diagnostic.code, diagnostic.message) for diagnostic in found.diagnostics
    ]
