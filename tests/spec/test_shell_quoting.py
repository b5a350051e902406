"""References in scripts, run by a real shell: what comes out is what went in, whatever is in it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.spec.shell_quoting import as_script, hidden_failure, read_as_code, unfillable

NASTY = "a'b\"c $HOME `id` $(id) ; rm -rf / \\ * ! #"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("if (( ${{ x }} > 3 )); then", "(( … ))"),
        ("n=$(( 1 + ${{ x }} ))", "(( … ))"),
        ("let n=${{ x }}", "let"),
        ("declare -i n=${{ x }}", "declare -i"),
        ("[[ ${{ x }} -eq 0 ]]", "[[ … -eq … ]]"),
        ("[[ 1 -lt ${{ x }} ]] && y", "[[ … -eq … ]]"),
        ("[[ 1 -lt 2 ]] && echo ${{ x }}", None),
        ("[[ ${{ x }} == a ]]", None),
        ("(( n > 3 )) && echo ${{ x }}", None),
        ("eval echo ${{ x }}", "eval"),
        ("a; eval 'b; ${{ x }}'", "eval"),
        ("eval b; echo ${{ x }}", None),
        ("sh -c 'echo ${{ x }}'", "sh -c"),
        ('bash -e -uc "a; echo ${{ x }}"', "bash -e -uc"),
        ("/bin/sh -c 'a' | grep ${{ x }}", None),
        ("ssh -c aes ${{ x }}", "ssh"),
        ("evaluate ${{ x }}\neval y", None),
        ("eval y\necho ${{ x }}", None),
        ("ssh host echo ${{ x }}", "ssh"),
        ("ssh ${{ x }} uptime", None),
        ("su - joe -c 'echo ${{ x }}'", "su - joe -c"),
        ("perl -ne 'print ${{ x }}'", "perl -ne"),
        ('awk "BEGIN { print \\"${{ x }}\\" }"', "awk"),
        ("awk '{print}' ${{ x }}", None),
        ("awk -v x=${{ x }} '{print x}'", None),
        ("gawk ${{ x }} data", "gawk"),
        ('sed "s/x/${{ x }}/" data', "sed"),
        ("sed -e 's/x/${{ x }}/' data", "sed"),
        ("sed -i s/a/b/ ${{ x }}", None),
        ("env -S 'echo ${{ x }}'", "env -S"),
        ("env X=${{ x }} program", None),
        ("psql -d base -c 'select ${{ x }}'", "psql -d base -c"),
        ("psql -d ${{ x }}", None),
        ("sqlite3 base.db 'select ${{ x }}'", "sqlite3 base.db"),
        ("sqlite3 ${{ x }}", None),
        ("python3 make.py -c ${{ x }}", None),
        ("node -e 'f(${{ x }})'", "node -e"),
        ("read -p ${{ x }} name", None),
    ],
)
def test_what_reads_a_value_as_code_is_named(text: str, expected: str | None) -> None:
    assert expected == read_as_code(text, text.index("${{"), evaluates=True)


READERS = [
    "(( ${{ x }} > 3 ))",
    "echo $(( ${{ x }} + 1 ))",
    "echo $[ ${{ x }} ]",
    "for (( i=${{ x }}; i<1; i++ )); do :; done",
    "[[ ${{ x }} -eq 3 ]]",
    "[[ 3 -lt '${{ x }}' ]]",
    "[ ${{ x }} -eq 3 ]",
    "test ${{ x }} -gt 3",
    "let n=${{ x }}",
    "let ${{ x }}",
    "declare -i n=${{ x }}",
    "declare n=${{ x }}",
    "declare ${{ x }}=1",
    "typeset -i n=${{ x }}",
    "f() { local -i n=${{ x }}; }; f",
    "export n=${{ x }}",
    "read ${{ x }} <<< 1",
    "read -r '${{ x }}' <<< 1",
    "printf -v ${{ x }} y",
    "printf -v y %s ${{ x }}",
    "test -v ${{ x }}",
    "[ -v ${{ x }} ]",
    "[[ -v ${{ x }} ]]",
    "echo ${HOME[${{ x }}]}",
    "echo ${HOME:${{ x }}}",
    "echo ${HOME:1:${{ x }}}",
    "echo ${NONE:-${{ x }}}",
    "n[${{ x }}]=1",
    "eval echo ${{ x }}",
    "eval 'echo ${{ x }}'",
    "sh -c 'echo ${{ x }}'",
    'bash -ec "echo ${{ x }}"',
    'trap "echo ${{ x }}" EXIT',
    'trap "echo a" EXIT; echo ${{ x }}',
    "exec sh -c 'echo ${{ x }}'",
    "echo a | xargs -I{} sh -c 'echo ${{ x }}'",
    "python3 -c 'print(${{ x }})'",
    "case ${{ x }} in a) ;; esac",
    "for n in ${{ x }}; do :; done",
    "cat <<< ${{ x }}",
    "cat <<END\n${{ x }}\nEND\n",
    "[[ ${{ x }} == a ]]",
    "echo {1..${{ x }}}",
    "printf %d ${{ x }}",
    "n=${{ x }}; echo $n",
]


@pytest.mark.slow
@pytest.mark.parametrize("text", READERS)
def test_whatever_a_shell_obeys_is_warned_of_and_nothing_else_is(text: str, tmp_path: Path) -> None:
    script, _ = as_script(text, lambda _: "VALUE")
    touch = "__import__('os').mknod('obeyed')"
    for value in ("a[$(touch obeyed)]", "$(touch obeyed)", "x; touch obeyed", touch):
        env = {"VALUE": value, "PATH": os.environ["PATH"], "HOME": "/nowhere"}
        subprocess.run(
            ["bash", "-c", script], check=False, env=env, cwd=tmp_path, capture_output=True, timeout=20
        )

    is_obeyed = (tmp_path / "obeyed").exists()

    assert is_obeyed == (read_as_code(text, text.index("${{"), evaluates=True) is not None)


def test_arithmetic_obeys_nothing_in_a_plain_shell() -> None:
    assert None is read_as_code("n=$(( ${{ x }} ))", 5, evaluates=False)


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


def test_literal_braces_move_no_reference() -> None:
    text = "echo $${{ x }}; cat <<'END'\n${{ a }}\nEND\n"

    assert [(28, "${{ a }}")] == unfillable(text)


def test_each_reference_has_a_parameter_of_its_own_and_an_escaped_one_has_none() -> None:
    script, references = as_script("${{ a }} $${{ b }} '${{ c }}'", lambda n: f"V{n}")

    assert ("\"${V1}\" ${{ b }} ''\"${V2}\"''", ["${{ a }}", "${{ c }}"]) == (script, references)


def shell(text: str, value: str) -> str:
    script, _ = as_script(text, lambda _: "VALUE")
    done = subprocess.run(
        ["sh", "-ec", script], env={"VALUE": value, "PATH": "/usr/bin:/bin"}, capture_output=True, check=True
    )
    return done.stdout.decode()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("pytest | tee log", "pytest"),
        ("echo hi; make 2>&1 | tee log", "make 2>&1"),
        ("go;  make | tee log", "make"),
        ("a |\n  b", "a"),
        ("a |& b", "a"),
        ("a && b x | c", "b x"),
        ("x=$(curl u | jq .)", "curl u"),
        ("for f in x; do curl $f | tar x; done", "curl $f"),
        ("curl ${U} ${{ params.x }} | sh", "curl ${U} ${{ params.x }}"),
        ("cat $${{ x }} | sort", "cat $${{ x }}"),
        ("curl 'http://x|y' | sh", "curl 'http://x|y'"),
        ("(make; x) | tee log", "|"),
        ("{ make; } | tee log", "|"),
        ("echo x | cat; printf y | cat; seq 3 | cat; yes | head", None),
        ("a || b", None),
        ("if a | b; then :; fi; ! c | d", None),
        ("a | grep -q x && echo", None),
        ("echo 'a | b' \"a | b\" a\\|b # a | b", None),
        ("case $x in a|b) echo;; c | d) curl;; esac", None),
        ("cat <<E\na | b\nE\n", None),
        ("set -o pipefail\na | b", None),
        ("echo >| f; echo $((1|2)); [[ a =~ x|y ]]", None),
    ],
)
def test_a_command_whose_failure_a_pipe_hides_is_found(script: str, expected: str | None) -> None:
    found = hidden_failure(script)

    assert expected == (None if found is None else script[found[0] : sum(found)])
