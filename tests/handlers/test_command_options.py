"""What a command reads, what becomes of what it prints, batches, and who reads a text. With real programs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import GeneratorType
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import CommandFailed
from runner.handlers.command.kind import COMMAND, build
from runner.handlers.command.options import CommandOptions, Shell
from runner.handlers.command.streams import split_lines
from runner.handlers.command.words import is_split, runs_as, split, word_builder
from runner.handlers.kinds import Mapper, Source, WorkerContext
from runner.spec.model import Role

NASTY = "a'b\"c; $(echo no) `echo no` \\ * ~"


def context(role: Role = Role.PIPE, *, in_batches: bool = False, **values: str) -> WorkerContext:
    known = {name.replace("__", "."): value for name, value in values.items()}
    bare = WorkerContext("neo", "chef", os.getpid(), os.getppid(), role=role)
    return replace(bare, in_batches=in_batches, values=known)


def made(options: Any, item: object, **more: Any) -> list[object]:
    mapper = build(options, context(**more))
    assert isinstance(mapper, Mapper)
    result = mapper.call(item)
    assert isinstance(result, GeneratorType)
    return list(result)


# ── stdin ──


@pytest.mark.parametrize(
    ("stdin", "item", "read"),
    [
        ("text", "a\n包子", "a\n包子".encode()),
        ("text", b"\x00\xff", b"\x00\xff"),
        ("text", "\udcff", b"\xff"),
        ("text", {"a": 1}, b'{"a": 1}'),
        ("text", 3.5, b"3.5"),
        ("text", Path("a/b"), b"a/b"),
        ("json", {"a": "包\n子"}, '{"a": "包\\n子"}\n'.encode()),
        ("json", "\udcff", b'"\\udcff"\n'),
        ("none", "x", b""),
    ],
)
def test_a_program_reads_the_item(stdin: str, item: object, read: bytes, tmp_path: Path) -> None:
    assert made({"run": ["tee", str(tmp_path / "read")], "stdin": stdin, "output": "text"}, item) == [
        read.decode("utf-8", "surrogateescape")
    ]
    assert (tmp_path / "read").read_bytes() == read


def test_more_than_a_pipe_holds_goes_both_ways_at_once() -> None:
    assert made({"run": "cat", "stdin": "text", "output": "text"}, "包" * 1_000_000) == ["包" * 1_000_000]


@pytest.mark.parametrize("run", ["head -c 1", "echo a", "exec <&-; sleep 0.02; echo a"])
def test_a_program_need_not_read_what_it_is_given(run: str) -> None:
    assert made({"run": run, "stdin": "text"}, "a" * 1_000_000) == ["a"]


@pytest.mark.parametrize(
    "options", [{"run": "cat", "stdin": "json"}, {"run": "cat", "stdin": "text"}, ["echo", "${{ item }}"]]
)
@pytest.mark.parametrize(
    ("item", "words"), [({"a": {1}}, r"\$.a: set has no form"), (float("nan"), "nan has no form")]
)
def test_what_has_no_form_fails_its_item_and_names_the_field(options: Any, item: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made(options, item)


# ── output ──


@pytest.mark.parametrize(
    ("output", "printed", "items"),
    [
        ("lines", "a\\n\\nb", ["a", "", "b"]),
        ("text", "a\\n\\nb\\n", ["a\n\nb\n"]),
        ("text", "", [""]),
        ("json", '{"a": [1.5, null]}\\n"包"\\n7', [{"a": [1.5, None]}, "包", 7]),
    ],
)
@pytest.mark.parametrize("role", [Role.PIPE, Role.PRODUCER])
def test_what_a_program_prints_becomes_items(
    output: str, printed: str, items: list[object], role: Role
) -> None:
    handler = build({"run": f"printf '{printed}'", "output": output}, context(role))

    values = handler.items() if isinstance(handler, Source) else handler.call("x")  # type: ignore[union-attr]
    assert list(values) == items


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        ("1\\n{a: 1}\\n", "line 2 of its output is not JSON: Expecting property name.*: {a: 1}$"),
        ("1 2", "line 1 of its output is not JSON: Extra data: 1 2$"),
        ("1\\n\\n2", "line 2 of its output is not JSON: Expecting value: it is empty"),
        ("NaN", "line 1 of its output is not JSON: NaN is no number: NaN"),
        ("\\377", r"line 1 of its output is not JSON: .*: \\xff$"),
        ("\\033[31m", r"is not JSON: Expecting value: \\x1b\[31m$"),
        ("[" * 100_000, r"is not JSON: .*: \[{199}…$"),
    ],
)
def test_a_line_that_is_not_json_fails_the_item_and_is_shown(printed: str, words: str) -> None:
    with pytest.raises(CommandFailed, match=words):
        made({"run": f"printf '{printed}'", "output": "json"}, "x")


@given(st.lists(st.binary(max_size=5)), st.data())
def test_lines_are_the_same_however_they_come(lines: list[bytes], data: st.DataObject) -> None:
    lines = [line.replace(b"\n", b"") for line in lines]
    whole = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))

    def chunks() -> Iterator[bytes]:
        for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            yield whole[start:stop]

    assert list(split_lines(chunks())) == lines


# ── batches ──


@pytest.mark.parametrize(
    ("run", "items", "printed"),
    [
        (["echo", "${{ item }}", "end"], ["a b", NASTY], [f"a b {NASTY} end"]),
        (
            ["echo", "-${{ item.a }}.${{ item.b }}", "."],
            [{"a": 1, "b": 2}, {"a": 3, "b": 4}],
            ["-1.2 -3.4 ."],
        ),
        ("printf '<%s>' ${{ item }}", ["a b", NASTY], [f"<a b><{NASTY}>"]),
        ("printf '<%s>' \"${{ stem(item) }}\" | cat", ["x/a.b", "c"], ["<a><c>"]),
        ("printf '<%s>' '${{ item }}'; echo $#", ["a b", "c"], ["<a b><c>2"]),
        (
            "for f in ${{ item }}; do echo ${{ params.p }} \"$f\" '${{ params.q }}'; done",
            ["a b", "c"],
            [f"{NASTY} a b q", f"{NASTY} c q"],
        ),
        ({"run": "echo ${{ item }} ${{ params.q }} >&2", "shell": "none"}, ["a b", "c"], ["a b c q >&2"]),
    ],
)
def test_a_word_with_the_item_is_there_once_for_each_of_a_batch(
    run: Any, items: list[object], printed: list[str]
) -> None:
    assert made(run, items, in_batches=True, params__p=NASTY, params__q="q") == printed


@pytest.mark.parametrize(("stdin", "read"), [("text", ["a b", "3"]), ("json", ['"a b"', "3"])])
def test_a_batch_may_come_as_lines(stdin: str, read: list[str]) -> None:
    assert made({"run": ["cat"], "stdin": stdin}, ["a b", 3], in_batches=True) == read


def test_a_text_of_two_lines_is_no_line_of_a_batch() -> None:
    with pytest.raises(ValueError, match="would be several lines; `stdin: json`"):
        made({"run": ["cat"], "stdin": "text"}, ["a\nb"], in_batches=True)


# ── what the system does not take ──


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (
            ["x" * 200_000],
            r"1 arguments, 200,004 bytes, are more than the system takes; hand over with `stdin`",
        ),
        (["x" * 100] * 30_000, "are more than the system takes"),
        (["a\0b"], "an argument can't hold a NUL character; `stdin` hands the item over as it is"),
    ],
)
def test_arguments_that_the_system_does_not_take_are_told(items: list[object], words: str) -> None:
    with pytest.raises(CommandFailed, match=words):
        made(["echo", "${{ item }}"], items, in_batches=True)


def test_a_script_whose_interpreter_is_missing_is_told_as_that(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)

    with pytest.raises(
        CommandFailed, match=r"the first line of '.*/script' names a program that is not there"
    ):
        made([str(script)], "x")


@pytest.mark.parametrize(
    ("run", "code"),
    [("exit 75", 75), ("kill -TERM $$", -15), ("exit 255", 255)],
)
def test_a_failure_knows_its_exit_code(run: str, code: int) -> None:
    with pytest.raises(CommandFailed) as caught:
        made(run, "x")
    assert caught.value.code == code


def test_the_last_words_of_a_failure_are_bounded_and_nothing_in_them_is_obeyed() -> None:
    with pytest.raises(CommandFailed) as caught:
        made("printf '\\033[31mred\\nlong %09999d\\n' 1 >&2; exit 1", "x")

    said = str(caught.value)
    assert r"\x1b[31mred | long 000" in said
    assert "\x1b" not in said
    assert len(said) < 1000


# ── who reads a text ──


@pytest.mark.parametrize(
    ("text", "alone"),
    [
        ("sha256sum ${{ item }}", True),
        ("sha256sum -b -- '${{ item }}' \"a b\"", True),
        ("  ls  -l ", True),
        ("sha256sum ${{ item }} > out", False),
        ("sha256sum $HOME", False),
        ("sha256sum *.txt", False),
        ("sha256sum ~/x", False),
        ('sha256sum "a\\b"', False),
        ("ls\nls", False),
        ("A=b ls", False),
        ("echo a", False),
        ("${{ item }} a", False),
        ("no-such-program a", False),
        ("ls # all", False),
        ("ls 'a", False),
    ],
)
def test_a_text_that_uses_nothing_of_a_shell_has_none(text: str, alone: bool) -> None:
    assert is_split(CommandOptions(run=text)) is alone


@pytest.mark.parametrize(
    "text",
    [
        "env printf '<%s>' '${{ item }}' \"x  y\" a'b'c z=1",
        "env printf '<%s>' ${{ item }}-\"${{ item }}\" ''",
    ],
)
@pytest.mark.parametrize("item", [NASTY, "", "a b"])
def test_it_means_the_same_to_a_shell(text: str, item: str) -> None:
    alone = word_builder(CommandOptions(run=text), {}, batch=False)(item)

    assert alone[0] == "env"
    assert made(text, item) == made(f"{text}; true", item)


@pytest.mark.parametrize(("shell", "printed"), [("bash", ["bash"]), ("sh", ["sh"]), (None, ["bash"])])
def test_the_shell_may_be_chosen(shell: str | None, printed: list[str]) -> None:
    run = {
        "run": 'if [ "${BASH_VERSION-}" ]; then echo bash; else echo sh; fi',
        **({"shell": shell} if shell else {}),
    }

    assert made(run, "x") == printed


def test_sh_goes_by_the_last_command_of_a_pipe() -> None:
    assert made({"run": "false | echo a", "shell": "sh"}, "x") == ["a"]
    with pytest.raises(CommandFailed):
        made({"run": "false | echo a", "shell": "bash"}, "x")


def test_a_text_may_be_split_without_a_shell() -> None:
    run = {"run": "echo '$HOME  x' ${{ item }}${{ params.p }} $${{", "shell": "none"}

    assert made(run, NASTY, params__p="*") == [f"$HOME  x {NASTY}* ${{{{"]
    assert split("a 'b c' ${{ item }}d") == ["a", "b c", "${{ item }}d"]


@pytest.mark.parametrize(
    ("written", "by"),
    [
        (["ls"], "without a shell"),
        ("ls -l", "without a shell"),
        ("ls | cat", "bash -o pipefail"),
        ({"run": "ls | cat", "shell": "sh"}, "/bin/sh"),
        ({"run": "cat", "filter": True}, "without a shell, started once a worker"),
    ],
)
def test_what_runs_it_can_be_told(written: Any, by: str) -> None:
    assert runs_as(written) == by


def test_shells_read_otherwise_where_a_variable_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from runner.handlers.command import words

    words._shell_is_changed.cache_clear()
    monkeypatch.setenv("BASH_ENV", "/dev/null")
    assert not is_split(CommandOptions(run="ls -l"))
    monkeypatch.undo()
    words._shell_is_changed.cache_clear()
    assert is_split(CommandOptions(run="ls | cat", shell=Shell.NONE))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"run": ""},
        {"run": []},
        {"run": "a", "shell": "zsh"},
        {"run": "a", "stdin": "item"},
        {"run": "a", "output": "csv"},
        {"run": "a", "filter": "yes"},
        {"run": "a", "answer_timeout": 0},
        {"run": "a", "answer_timeout": "soon"},
        {"run": "a", "per": "worker"},
    ],
)
def test_other_options_do_not_validate(options: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(options, dict(COMMAND.options))
