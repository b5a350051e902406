"""Options of a command that can't hold beside one another, or beside what the stage is: each is told at its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.loader.load import check

Told = list[tuple[str, str, str]]


def told(tmp_path: Path, command: str, stage: str = "from: q, to: r") -> Told:
    """The problems of one stage: the text that each points at, its code and its message."""
    file = tmp_path / "w.yaml"
    text = (
        "name: w\nparams: {p: {default: x}}\nstages:\n"
        "  feed: {run: {command: 'seq 3'}, to: q}\n"
        f"  w: {{run: {{command: {command}}}, {stage}}}\n"
        "  end: {run: {command: 'true'}, from: r}\n"
    )
    file.write_text(text if "to: r" in stage else text.replace("from: r}", "from: q}"), encoding="utf-8")
    lines = file.read_text().splitlines()
    return [
        (lines[p.span.line - 1][p.span.column - 1 :][: p.span.width], p.code, p.message)
        for p in check(file).diagnostics
        if p.span.line == 5
    ]


@pytest.mark.parametrize(
    ("command", "stage"),
    [
        ("{run: [cat], stdin: text}", "from: q, to: r"),
        ("{run: 'cat | cat', stdin: json, output: json, shell: bash}", "from: q, to: r"),
        ("{run: 'wc ${{ item }}', output: text, shell: none}", "from: q, to: r"),
        ("{run: cat, filter: true}", "from: q, to: r"),
        ("{run: cat, filter: true, answer_timeout: 3s, stdin: json, output: lines}", "from: q"),
        ("{run: 'seq 3', output: json}", "to: r"),
        ("{run: 'seq 3', stdin: none, filter: false}", "to: r"),
        ("{run: 'ls ${{ item }}', output: none}", "from: q"),
        ("'ls ${{ item }} ${{ params.p }}'", "from: q, batch: 8"),
        ("'ls -- \"${{ stem(item) }}\" | cat'", "from: q, batch: 8"),
        ("[ls, '${{ item.a }}-${{ item.b }}']", "from: q, batch: 8"),
        ("{run: [cat], stdin: json}", "from: q, batch: 8"),
    ],
)
def test_what_fits_together_is_well(tmp_path: Path, command: str, stage: str) -> None:
    assert told(tmp_path, command, stage) == []


CONFLICTS = [
    ("{run: [ls, '${{ item }}'], shell: bash}", "from: q", "shell", "a list is run without a shell"),
    (
        "{run: 'ls | cat', shell: none}",
        "to: r",
        "shell",
        "`|` is for a shell, and with `shell: none` nobody reads it",
    ),
    ("{run: 'ls 2>&1', shell: none}", "to: r", "shell", "`2>&1` is for a shell"),
    (
        '{run: "ls \'a", shell: none}',
        "to: r",
        "run",
        "a text without a shell is split at its spaces: No closing quot",
    ),
    (
        "{run: cat, stdin: text}",
        "to: r",
        "stdin",
        "stage 'w' takes no items, so its program has nothing to read",
    ),
    (
        "{run: cat, filter: true}",
        "to: r",
        "filter",
        "stage 'w' takes no items, so its program has nothing to read",
    ),
    (
        "{run: cat, filter: true, stdin: none}",
        "from: q",
        "stdin",
        "a `filter` gets its items on its standard input",
    ),
    (
        "{run: cat, filter: true, output: text}",
        "from: q, to: r",
        "output",
        "a `filter` answers each item with one line",
    ),
    (
        "{run: cat, filter: true, output: none}",
        "from: q",
        "output",
        "a `filter` answers each item with one line",
    ),
    ("{run: cat, filter: true}", "from: q, batch: 3", "batch", "a `filter` answers its items one by one"),
    (
        "{run: [grep, '${{ item }}'], filter: true}",
        "from: q",
        "run",
        "a `filter` is started before there is any 'item'",
    ),
    (
        "{run: 'ls ${{ item }}', answer_timeout: 3}",
        "from: q",
        "answer_timeout",
        "'answer_timeout' is for a `filter`",
    ),
    (
        "{run: 'ls ${{ item }}', output: json}",
        "from: q",
        "output",
        "stage 'w' has no `to`, so no item becomes",
    ),
    ("{run: 'ls ${{ item }}', output: none}", "from: q, to: r", "output", "the stage puts nothing on 'r'"),
    ("'ls'", "from: q, batch: 8", "batch", "the program would not see the items of its batches"),
    (
        "'ls a${{ item }}'",
        "from: q, batch: 8",
        "command",
        "of a batch, `${{ item }}` is as many words as there are",
    ),
    ("'wc < ${{ item }}'", "from: q, batch: 8", "command", "can't be part of another"),
    ("{run: 'x=${{ item }}; ls'}", "from: q, batch: 8", "run", "can't be part of another"),
    (
        "'ls ${{ item.a }} ${{ item.b }}'",
        "from: q, batch: 8",
        "command",
        "one reference to 'item' can be filled",
    ),
]


@pytest.mark.parametrize(("command", "stage", "key", "words"), CONFLICTS)
def test_what_does_not_is_told_at_the_key(
    tmp_path: Path, command: str, stage: str, key: str, words: str
) -> None:
    [(at, code, message)] = told(tmp_path, command, stage)

    assert (at, code) == (key, "conflicting-keys")
    assert words in message


@pytest.mark.parametrize(
    ("command", "stage", "at", "code"),
    [
        ("{run: 'echo ${{ item }}'}", "to: r", "item", "unknown-reference"),
        ("{run: [echo, '${{ item.a }}']}", "to: r", "item.a", "unknown-reference"),
        ("{run: 'echo ${{ params.q }}'}", "from: q", "params.q", "unknown-reference"),
        ("{run: 'echo ${{ stm(item) }}'}", "from: q", "stm", "reference-syntax"),
        ("{run: 'eval ${{ item }}'}", "from: q", "${{ item }}", "value-as-code"),
        ("{run: [sh, -c, '${{ item }}']}", "from: q", "${{ item }}", "value-as-code"),
        ("{run: 'cat | wc', stdin: none}", "from: q", "cat", "empty-stdin"),
        ("{run: 'zcat ${{ item }} | wc', shell: sh}", "from: q", "zcat ${{ item }}", "hidden-failure"),
    ],
)
def test_the_script_of_the_long_form_is_checked_as_that_of_the_short_one(
    tmp_path: Path, command: str, stage: str, at: str, code: str
) -> None:
    assert [(where, what) for where, what, _ in told(tmp_path, command, stage)] == [(at, code)]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("{run: ls, shell: zsh}", "zsh"),
        ("{run: ls, stdin: item}", "item"),
        ("{run: ls, stdn: text}", "stdn"),
        ("{shell: bash}", "run"),
        ("{run: ls, answer_timeout: soon}", "soon"),
        ("{run: ls, filter: 'on'}", "filter"),
    ],
)
def test_a_value_that_is_none_of_an_option_is_told(tmp_path: Path, command: str, words: str) -> None:
    [(_, _, message)] = told(tmp_path, command)

    assert words in message


@pytest.mark.parametrize(
    ("on", "run", "message"),
    [
        ("75", "command: 'false'", None),
        ("[75, SIGKILL, OSError]", "command: 'false'", None),
        ("[1, 1]", "command: 'false'", "uniqueItems"),
        ("0", "command: 'false'", "retry.on"),
        ("256", "command: 'false'", "retry.on"),
        ("true", "command: 'false'", "retry.on"),
        ("SIGKIL", "command: 'false'", "there is no signal 'SIGKIL'"),
        ("75", "lines: {path: a}", "75 is an exit code, and only a `command` ends with one"),
        (
            "[OSError, SIGTERM]",
            "jsonl: {path: a}",
            "'SIGTERM' is a signal, and only a `command` ends with one",
        ),
    ],
)
def test_retry_takes_exit_codes_and_signals_of_a_command(
    tmp_path: Path, on: str, run: str, message: str | None
) -> None:
    file = tmp_path / "w.yaml"
    ends = "to: q" if "lines" in run else "from: q"
    file.write_text(f"name: w\nstages:\n  w: {{run: {{{run}}}, {ends}, retry: {{attempts: 3, on: {on}}}}}\n")

    found = [
        p
        for p in check(file).diagnostics
        if p.code not in ("no-reader", "no-writer") and "queue" not in p.message
    ]

    if message is None:
        assert found == []
    elif message in ("uniqueItems", "retry.on"):
        assert len(found) == 1
    else:
        assert message in {p.message for p in found}
