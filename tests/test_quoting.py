"""References in scripts, run by a real shell: what comes out is what went in, whatever is in it."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.quoting import as_script, unfillable

NASTY = "a'b\"c $HOME `id` $(id) ; rm -rf / \\ * ! #"


@pytest.mark.parametrize(
    "text",
    [
        "printf %s ${{ x }}",
        'printf %s "${{ x }}"',
        "printf %s '${{ x }}'",
        "# don't be fooled by this\nprintf %s ${{ x }}",
        'true;# nor by \'this\nprintf %s "${{ x }}"',
        "echo a#'b' > /dev/null; printf %s ${{ x }}",
        "echo \\' > /dev/null; printf %s ${{ x }}",
        "head -c -1 <<END\n${{ x }}\nEND\n",
        "cat > /dev/null <<END\nit's\nEND\nprintf %s ${{ x }}",
        "cat > /dev/null <<'END'\nit's\n END\nEND\nprintf %s ${{ x }}",
        "cat > /dev/null <<-\\END; printf %s ${{ x }}\nit's\n\tEND\n",
        "cat <<A > /dev/null; cat <<B > /dev/null\n\"\nB\nA\n'\nA\nB\nprintf %s ${{ x }}",
        "printf %s $(( 1 << 2 )) > /dev/null\nprintf %s '${{ x }}'",
        'printf %s "$(printf %s "${{ x }}")"',
        'printf %s "$(printf %s ${{ x }})"',
        "printf %s \"$(printf %s '${{ x }}')\"",
        "(printf %s ${{ x }})",
        'echo "\\$(" > /dev/null; printf %s "${{ x }}"',
    ],
)
def test_a_value_is_never_obeyed(text: str) -> None:
    assert NASTY == shell(text, NASTY)


@settings(max_examples=40, deadline=None)
@given(value=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_text_arrives_as_it_is(value: str) -> None:
    assert value == shell("printf %s '[${{ x }}]'", value)[1:-1]


def test_a_here_document_in_quotes_fills_nothing_and_that_can_be_told() -> None:
    text = "cat <<'A' <<B\n${{ a }}\nA\n${{ b }}\nB\n${{ a }}"

    assert [(14, "${{ a }}")] == unfillable(text)


def test_each_reference_has_a_parameter_of_its_own_and_an_escaped_one_has_none() -> None:
    script, references = as_script("${{ a }} $${{ b }} '${{ c }}'", lambda n: f"V{n}")

    assert ("\"${V1}\" ${{ b }} ''\"${V2}\"''", ["${{ a }}", "${{ c }}"]) == (script, references)


def shell(text: str, value: str) -> str:
    script, _ = as_script(text, lambda _: "VALUE")
    done = subprocess.run(
        ["sh", "-ec", script], env={"VALUE": value, "PATH": "/usr/bin:/bin"}, capture_output=True, check=True
    )
    return done.stdout.decode()
