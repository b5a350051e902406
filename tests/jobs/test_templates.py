"""References that are filled when a job starts: in texts, and in scripts, where no value is ever obeyed."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.jobs.templates import TemplateFiller, names_in_conditions
from runner.spec.expressions.evaluate import NeedContext

FILLING = TemplateFiller(
    {
        "build": NeedContext(result="passed", outputs={"wheel": "w.whl", "empty": ""}),
        "test": NeedContext(result="failed", outputs={"size": {"3.11": "1", "3.12": "2"}}),
    },
    {"TOKEN": "s3cret"},
)
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("nothing", "nothing"),
        ("${{ needs.build.outputs.wheel }}", "w.whl"),
        ("a ${{needs.build.outputs.wheel}} b", "a w.whl b"),
        ("${{ needs.build.result }}", "passed"),
        ("<${{ needs.build.outputs.empty }}>", "<>"),
        ("${{ needs.test.outputs.size.3.11 }}", ""),
        ("${{ needs.test.outputs.size }}", '{"3.11": "1", "3.12": "2"}'),
        ("${{ secrets.TOKEN }}", "s3cret"),
        ("${{ secrets.OTHER }}", ""),
        ("$${{ secrets.TOKEN }}", "${{ secrets.TOKEN }}"),
        ("$HOME ${HOME}", "$HOME ${HOME}"),
    ],
)
def test_texts_are_filled(template: str, expected: str) -> None:
    assert expected == FILLING.text(template)


def test_a_script_gets_variables_in_the_place_of_references() -> None:
    script, variables = FILLING.script(
        "a ${{ needs.build.outputs.wheel }} \"${{ secrets.TOKEN }}\" '$${{ x }}'"
    )

    assert ('a "${MPRUN_VALUE_1}" "${MPRUN_VALUE_2}" \'${{ x }}\'') == script
    assert {"MPRUN_VALUE_1": "w.whl", "MPRUN_VALUE_2": "s3cret"} == variables


def test_a_script_without_references_is_left_alone() -> None:
    assert ("echo $HOME", {}) == FILLING.script("echo $HOME")


@pytest.mark.parametrize("quote", ["", '"', "'"])
@settings(max_examples=15, deadline=None)
@given(value=VALUES)
def test_no_shell_obeys_a_value(quote: str, value: str) -> None:
    filling = TemplateFiller({"a": NeedContext(result="passed", outputs={"v": value})})
    script, variables = filling.script(f"printf %s {quote}${{{{ needs.a.outputs.v }}}}{quote}")

    done = subprocess.run(
        ["sh", "-c", script],
        env={**variables, "PATH": "/bin:/usr/bin"},
        capture_output=True,
        check=True,
        timeout=20,
    )

    assert value.encode() == done.stdout


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ({"a": {"if": "params.x && env.Y == 'z'"}}, {("params", "x"), ("env", "Y")}),
        (
            {"a": {"steps": [{"if": "contains(params.x, needs.b.result)"}]}},
            {("params", "x"), ("needs", "b", "result")},
        ),
        ({"a": {"if": "always()"}}, set()),
        ({"a": {"if": "== broken"}}, set()),
        ({"a": {"run": "params.x"}}, set()),
        ({"a": {"if": None}}, set()),
        (None, set()),
        ("text", set()),
    ],
)
def test_names_in_conditions(jobs: Any, expected: set[tuple[str, ...]]) -> None:
    assert expected == names_in_conditions(jobs)
