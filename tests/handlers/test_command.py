"""The kind `command`, with real programs."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from types import GeneratorType
from typing import Any

import jsonschema
import pytest
import yaml

from runner.errors import CommandFailed
from runner.handlers.command.kind import COMMAND, build
from runner.handlers.kinds import Mapper, Source, Task, WorkerContext
from runner.spec.model import Role

NASTY = "a'b\"c; $(echo no) `echo no` \\ *"


def context(role: Role) -> WorkerContext:
    return WorkerContext("neo", "chef", os.getpid(), os.getppid(), role=role)


def pipe(options: Any, item: object) -> list[object]:
    mapper = build(options, context(Role.PIPE))
    assert isinstance(mapper, Mapper)
    result = mapper.call(item)
    assert isinstance(result, GeneratorType), "only a generator is put item by item"
    return list(result)


def test_a_producer_makes_an_item_of_each_line() -> None:
    source = build("printf '一\\n二\\n\\nlast'", context(Role.PRODUCER))

    assert isinstance(source, Source)
    assert list(source.items()) == ["一", "二", "", "last"]


def test_lines_come_before_the_command_has_ended() -> None:
    source = build(["sh", "-c", "echo first; exec sleep 600"], context(Role.PRODUCER))

    assert isinstance(source, Source)
    items = iter(source.items())
    assert next(items) == "first"
    items.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("role", [Role.PRODUCER, Role.PIPE])
@pytest.mark.parametrize(
    ("left_behind", "lines"),
    [
        ("sleep 600", ["a", "b"]),
        ("sleep 0.02; echo late; sleep 600", ["a", "b", "late"]),
        ("exec 2>&-; sleep 600", ["a", "b"]),
    ],
)
@pytest.mark.quick("sleep 0.02; echo late; sleep 600-lines1-pipe")
def test_a_command_is_over_when_its_program_ends_whatever_it_leaves_in_the_background(
    role: Role, left_behind: str, lines: list[str], tmp_path: Path
) -> None:
    line = f"echo a; ({left_behind}) & echo $! > {tmp_path}/pid; printf b; echo"
    try:
        made = pipe(line, "x") if role is Role.PIPE else produced(line)
        assert made == lines
        assert Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_who_goes_on_printing_in_the_background_does_not_keep_a_command_from_its_end(tmp_path: Path) -> None:
    made = produced(f"(exec yes) & echo $! > {tmp_path}/pid; sleep 0.05")

    assert set(made) <= {"y"}
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_all_that_a_command_printed_is_taken_however_slow_the_reader(tmp_path: Path) -> None:
    source = build(
        "seq 9000; (sleep 600) & echo $! > pid".replace("pid", str(tmp_path / "pid")), context(Role.PRODUCER)
    )
    assert isinstance(source, Source)

    items = iter(source.items())
    first = next(items)
    while not (tmp_path / "pid").exists():
        time.sleep(0.01)
    time.sleep(0.25)  # longer than there is patience for what comes late

    assert [first, *items] == [str(number) for number in range(1, 9001)]
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def produced(line: str) -> list[object]:
    source = build(line, context(Role.PRODUCER))
    assert isinstance(source, Source)
    return list(source.items())


@pytest.mark.parametrize(
    ("options", "item", "lines"),
    [
        (["echo", "${{ item }}"], NASTY, [NASTY]),
        (["echo", "<${{ item.path }}>", 3], {"path": "a b"}, ["<a b> 3"]),
        (["echo", "${{ item }}"], {"a": [1, None]}, ['{"a": [1, null]}']),
        (["echo", "${{ item }}"], b"bytes", ["bytes"]),
        (["echo", "$HOME"], "x", ["$HOME"]),
        (["cat"], "stdin is empty", []),
    ],
)
def test_a_pipe_stage_fills_the_item_in(options: Any, item: object, lines: list[str]) -> None:
    assert pipe(options, item) == lines


@pytest.mark.parametrize(
    "line",
    [
        "printf '%s\\n' ${{ item }}",
        'printf "%s\\n" "${{ item }}"',
        "printf '%s\\n' '${{ item }}'",
        "printf '%s\\n' \"\"${{ item }}''",
        "printf '%s\\n' it\\'s >/dev/null; printf '%s\\n' ${{ item }}",
    ],
)
def test_nothing_in_an_item_is_obeyed_by_the_shell(line: str) -> None:
    assert pipe(line, NASTY) == [NASTY]


def test_several_references_and_a_literal_one() -> None:
    assert pipe("echo ${{ item.a }}-${{ item.b }} '$${{ item }}'", {"a": 1, "b": 2}) == ["1-2 ${{ item }}"]


def test_the_variables_of_the_shell_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUN", "baozi")

    assert pipe('echo "$BUN ${BUN}" ${{ item }}', "x") == ["baozi baozi x"]


def test_the_output_of_a_consumer_is_the_runs(capfd: pytest.CaptureFixture[str]) -> None:
    mapper = build("echo ate ${{ item }}; echo burp >&2", context(Role.CONSUMER))

    assert isinstance(mapper, Mapper)
    assert mapper.call("bun") is None
    assert capfd.readouterr() == ("ate bun\n", "burp\n")


def test_a_plain_command_runs_once(tmp_path: Path) -> None:
    task = build(["touch", str(tmp_path / "done")], context(Role.PLAIN))

    assert isinstance(task, Task)
    task.call()
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("echo one >&2; echo two >&2; exit 3", "exited with code 3: one | two"),
        ("kill -9 $$", "was killed by SIGKILL"),
        ("kill -40 $$", "was killed by signal 40"),  # a real-time signal has no name
        (["false"], "`false` exited with code 1"),
        (["no-such-program-here"], "there is no command 'no-such-program-here'"),
        (["/"], "'/' is not a program that may be run"),
    ],
)
def test_a_command_that_fails_says_how(options: Any, message: str) -> None:
    task = build(options, context(Role.PLAIN))

    assert isinstance(task, Task)
    with pytest.raises(CommandFailed) as caught:
        task.call()
    assert str(caught.value).endswith(message)


def test_only_the_last_words_of_a_command_are_kept() -> None:
    task = build("seq 1000 >&2; exit 1", context(Role.PLAIN))

    assert isinstance(task, Task)
    with pytest.raises(CommandFailed, match=r": 991 \| 992 .* \| 1000$"):
        task.call()


def test_an_abandoned_command_is_terminated(tmp_path: Path) -> None:
    lines = pipe_lines(f"echo $$ > {tmp_path}/pid; echo up; exec sleep 600")
    next(lines)
    pid = int((tmp_path / "pid").read_text())

    lines.close()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def pipe_lines(line: str) -> Any:
    mapper = build(line, context(Role.PIPE))
    assert isinstance(mapper, Mapper)
    return mapper.call("x")


def test_what_the_file_knows_is_a_word_too_and_not_read_as_a_reference_again() -> None:
    values = {"params.title": NASTY, "env.X": "${{ item }}"}
    mapper = build(
        "printf '%s\\n' ${{ params.title }} '${{ env.X }}' \"${{ item }}\"",
        replace(context(Role.PIPE), values=values),
    )

    assert isinstance(mapper, Mapper)
    assert list(mapper.call("i")) == [NASTY, "${{ item }}", "i"]  # type: ignore[call-overload]


def test_a_pipe_fails_if_any_command_of_it_does() -> None:
    task = build("false | cat", context(Role.PLAIN))

    assert isinstance(task, Task)
    with pytest.raises(CommandFailed, match="exited with code 1"):
        task.call()


def test_where_there_is_no_bash_a_text_is_for_sh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert pipe("echo ${{ item }} | while read -r word; do echo $word; done", "x") == ["x"]


def test_an_item_without_the_field_says_so() -> None:
    with pytest.raises(LookupError, match="path"):
        pipe(["echo", "${{ item.path }}"], {"name": "x"})


@pytest.mark.parametrize("options", ["", [], ["a", 1.5], ["a", True], {"argv": []}, 3])
def test_other_options_do_not_validate(options: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(options, dict(COMMAND.options))


def test_the_example_validates() -> None:
    for stage in yaml.safe_load(COMMAND.example)["stages"].values():
        jsonschema.validate(stage["run"]["command"], dict(COMMAND.options))
        assert Role.of(stage.get("from"), stage.get("to")) in COMMAND.roles
