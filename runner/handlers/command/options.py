"""What a file says of a command: the program, its shell, what it is given and what is taken from it. Pure.

    command: [sha256sum, "${{ item }}"]                      the short form: `run` alone
    command: {run: jq .price, stdin: json, output: json}     all of it

Each option is declared once, on its field: schema, page of reference and reading follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from runner.facts import dataclass
from runner.spec.keys import BOOLEAN, DURATION, Shape, choice, closed_mapping, key, values_of
from runner.spec.model import Role
from runner.spec.references import is_one_reference


class Shell(StrEnum):
    """What reads a text."""

    BASH = "bash"
    SH = "sh"
    NONE = "none"


class Stdin(StrEnum):
    """What a program is given to read."""

    NONE = "none"
    TEXT = "text"
    JSON = "json"


class OutputForm(StrEnum):
    """What becomes of what a program prints."""

    LINES = "lines"
    JSON = "json"
    TEXT = "text"
    NONE = "none"
    WHOLE = "whole"


_RUN: Final = Shape(
    {
        "type": ["string", "array"],
        "title": "a program with its arguments as a list, or a text for the shell",
        "minLength": 1,
        "minItems": 1,
        "items": {"type": ["string", "integer"], "title": "a text or an integer"},
    },
    lambda written: written if isinstance(written, str) else tuple(written),
)


@dataclass(frozen=True, slots=True)
class CommandOptions:
    """A program, or a text for the shell, and how items reach it and leave it."""

    run: str | tuple[str | int, ...] = key(
        _RUN,
        "A list is a program and its arguments, run without a shell. A text is for the shell. `${{ item }}` and "
        "`${{ item.name }}` are filled for each item, also through `basename`, `dirname`, `stem` and `suffix`, as in "
        "`${{ stem(item.path) }}`. In a text these and all other references are one word each, need no quotes, and "
        "nothing in them is obeyed; a text that is one reference is what that holds. In a stage with `batch`, a word "
        "with `${{ item }}` in it is there once for each item of the batch.",
        more={
            "examples": [["convert", "${{ item.path }}", "-resize", "50%", "out.png"], "wc -l ${{ item }}"]
        },
    )
    shell: Shell | None = key(
        choice(Shell),
        "What reads a text. `bash`, the default where there is bash, is `bash -o pipefail`, in which a pipe fails if "
        "any command of it does; `sh` goes by the last command of a pipe; `none` splits the text at its spaces, heeds "
        "quotes, and starts the program itself. Neither stops at a command that fails, as `set -e` does. A text that "
        "uses nothing of a shell is run without one, which is quicker. `mprun plan` shows which it is.",
        default=None,
    )
    stdin: Stdin | None = key(
        choice(Stdin),
        "What the program reads on its standard input. `text`: the item, as it is; of a batch or for a `filter` a "
        "line for each. `json`: a line of JSON for each item. `none`: nothing. Without the key it is `text` for a "
        "`filter`, and else `none`. A program need not read all of it.",
        default=None,
    )
    output: OutputForm | None = key(
        choice(OutputForm),
        "What becomes of what the program prints. `lines`: each line is an item, as it comes. `json`: each line is "
        "JSON, and an item is what it holds; a line that is not JSON fails the item in hand. `text`: all of it is one "
        "item. `none`: it is the run's own output. `whole`: that too, but in one piece, once the program has ended, so "
        "that no other's stands in it; in a stage with `to` it is one item, and what a program that fails has "
        "printed goes to stderr. Without the key it is `lines` in a stage with `to`, else `none`.",
        default=None,
    )
    filter: bool = key(
        BOOLEAN,
        "The program is started once in each worker and kept running, and gets item after item on its standard input: "
        "one line for each, which it answers with one line, `json` or not. The answer says that the item is done, and "
        "goes on where the stage has `to`; the JSON `null` puts nothing. It has to send each answer at once, as "
        "`sed -u`, `jq --unbuffered` and `grep --line-buffered` do. If it ends, says nothing in time, or answers with "
        "more than a line, the item in hand has failed, and it is started again for the next. At the end its standard "
        "input is closed; if it has not ended by itself within `limits.close_timeout` it is terminated.",
        default=False,
    )
    answer_timeout: float = key(
        DURATION,
        "For a `filter`: the longest that it may take to read an item and answer it, its start included where it was "
        "not running. Then it is ended, and the item has failed.",
        default=60.0,
    )

    def stdin_of(self) -> Stdin:
        """Return what the program reads."""
        return self.stdin or (Stdin.TEXT if self.filter else Stdin.NONE)

    def output_of(self, role: Role) -> OutputForm:
        """Return what becomes of its output in a stage of this role."""
        return self.output or (
            OutputForm.LINES if role in (Role.PRODUCER, Role.PIPE) or self.filter else OutputForm.NONE
        )


def options_schema() -> dict[str, Any]:
    """Return the schema of what a file has under `command`."""
    long, short = closed_mapping(CommandOptions), _RUN.fragment
    title = "a program with its arguments as a list, a text for the shell, or a mapping with `run`"
    described = {
        "description": (
            "A list is a program and its arguments, a text is for the shell; a mapping has one of them as its `run`, "
            "and says what the program reads and what becomes of what it prints."
        ),
        "examples": [
            ["sha256sum", "${{ item.path }}"],
            {"run": "jq -c .price", "stdin": "json", "output": "json"},
        ],
    }
    return {**long, **short, "type": [*short["type"], "object"], "title": title, **described}


def read_options(written: Any) -> CommandOptions:
    """Return what fits the schema as options."""
    return CommandOptions(**values_of(CommandOptions, long_form(written)))


def long_form(written: Any) -> Mapping[str, Any]:
    """Return the options in their long form."""
    return written if isinstance(written, Mapping) else {"run": written}


def script_of(written: Any) -> str | None:
    """Return the script in some options, checked or not: a text in which no value becomes part of the text."""
    run = written.get("run") if isinstance(written, Mapping) else written
    return run if isinstance(run, str) and not is_one_reference(run) else None


def with_script(filled: Any, script: str | None) -> Any:
    """Return options whose references are filled, with the script as it was written."""
    if script is None:
        return filled
    return {**filled, "run": script} if isinstance(filled, Mapping) else script
