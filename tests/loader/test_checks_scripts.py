"""References in the commands of stages: where they can't stand, and what they are filled with."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.loader.load import check

READER = "  r: {run: {lines: {path: in.txt}}, to: q}\n"


def codes(tmp_path: Path, stages: str, top: str = "") -> list[tuple[int, int, str]]:
    file = tmp_path / "w.yaml"
    file.write_text(f"name: w\n{top}stages:\n{stages}", encoding="utf-8")
    return [(p.span.line, p.span.column, p.code) for p in check(file).diagnostics]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("\"cat <<'E'\\n${{ item }}\\nE\\n\"", (4, 34, "reference-in-script")),
        ('"cat <<E\\n${{ item }}\\nE\\n"', None),
        ("'echo $(( ${{ item }} + 1 ))'", (4, 32, "value-as-code")),
        ("'eval ${{ item }}'", (4, 28, "value-as-code")),
        ("[sh, -c, 'echo ${{ item }}']", (4, 37, "value-as-code")),
        ("[bash, -ec, 'echo ${{ item }}']", (4, 40, "value-as-code")),
        ("[python3, -c, 'print(${{ item }})']", (4, 43, "value-as-code")),
        ("[python3, -m, '${{ item }}']", None),
        ("[sh, script.sh, '${{ item }}']", None),
        ("'${{ item }}'", None),
    ],
)
def test_what_a_command_does_with_items(
    tmp_path: Path, command: str, expected: tuple[int, int, str] | None
) -> None:
    found = codes(tmp_path, f"{READER}  w: {{run: {{command: {command}}}, from: q}}\n")

    assert found == ([] if expected is None else [expected])


@pytest.mark.parametrize("command", ["'echo ${{ item }}'", "[echo, '${{ item }}']"])
@pytest.mark.parametrize("to", [", to: q", ""])
def test_there_is_no_item_where_none_is_taken(tmp_path: Path, command: str, to: str) -> None:
    reader = "  w: {run: {command: 'true'}, from: q}\n" if to else ""

    found = codes(tmp_path, f"  p: {{run: {{command: {command}}}{to}}}\n{reader}")

    assert found == [(3, 32 if command.startswith("'") else 34, "unknown-reference")]


def test_a_stage_without_a_known_queue_may_have_items(tmp_path: Path) -> None:
    stages = "  p: {run: {command: 'echo ${{ item }}'}, from: '${{ params.q }}'}\n"

    assert [code for _, _, code in codes(tmp_path, stages)] == ["unknown-reference"]


def test_values_are_kept_beside_the_script_and_env_is_what_the_workers_see(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(
        """\
name: w
params: {title: {default: "a; b"}}
env: {TOP: top, OWN: outer}
defaults: {stage: {env: {USUAL: "${{ env.TOP }}!", SHARED: usual}}}
stages:
  a:
    run: {command: "echo ${{ params.title }} ${{ env.OWN }} ${{ env.USUAL }} ${{ env.SHARED }} $${{ x }}"}
    env: {OWN: "${{ params.title }}", SHARED: own}
    cwd: ${{ env.SHARED }}
  b: {run: {command: "${{ params.title }}"}}
  c: {run: {command: [echo, "${{ params.title }}"]}}
""",
        encoding="utf-8",
    )

    checked = check(file)

    assert checked.spec is not None, checked.diagnostics
    a, b, c = checked.spec.stages
    assert a.handler.values == {
        "params.title": "a; b",
        "env.OWN": "a; b",
        "env.USUAL": "top!",
        "env.SHARED": "own",
    }
    assert "${{ params.title }}" in a.handler.options
    assert a.cwd == tmp_path / "own"
    assert (b.handler.options, c.handler.options) == ("a; b", ["echo", "a; b"])


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("cat", "cat"),
        ("cat - | sort > sorted.txt", "cat"),
        ("wc -l", "wc"),
        ("head -n 5; echo ${{ item }}", "head"),
        ("xargs rm", "xargs"),
        ("tr a b", "tr"),
        ("[sort, -u]", "sort"),
        ("cat ${{ item }}", None),
        ("wc -l < ${{ item }}", None),
        ("[wc, -l, '${{ item }}']", None),
        ("echo ${{ item }} | wc -l", None),
        ("cat <<< ${{ item }}", None),
        ("category", None),
    ],
)
def test_a_program_that_would_read_an_empty_input_is_told(
    tmp_path: Path, command: str, expected: str | None
) -> None:
    written = command if command.startswith("[") else f'"{command}"'
    found = codes(tmp_path, f"{READER}  w: {{run: {{command: {written}}}, from: q}}\n")

    assert [code for _, _, code in found] == ([] if expected is None else ["empty-stdin"])


def test_an_empty_input_is_told_of_in_jobs_too(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_text("name: w\njobs: {a: {steps: [sort, 'sort < a']}}\n", encoding="utf-8")

    assert ["empty-stdin"] == [found.code for found in check(file).diagnostics]


@pytest.mark.parametrize("shell", ["bash -c", "python3 -c", "perl -e", "sed -e"])
def test_a_shell_that_would_run_the_path_of_its_script_is_told(tmp_path: Path, shell: str) -> None:
    assert ["wrong-format"] == of_shell(tmp_path, shell)


@pytest.mark.parametrize("shell", ["bash -e {0}", "bash", "sh -ex"])
def test_a_shell_that_gets_the_path_of_its_script_is_fine(tmp_path: Path, shell: str) -> None:
    assert [] == of_shell(tmp_path, shell)


def of_shell(tmp_path: Path, shell: str) -> list[str]:
    file = tmp_path / "w.yaml"
    file.write_text(f"name: w\njobs: {{a: {{shell: '{shell}', run: echo}}}}\n", encoding="utf-8")
    return [found.code for found in check(file).diagnostics]
