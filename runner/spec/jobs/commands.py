"""What a job runs, as frozen facts: commands, the steps and services that they are, and when a service is ready.

The keys of each are declared here, once, on the fields that they become: GitHub's words where people know them. Seconds
for all times. A text for a shell keeps all its references, with the values that are known beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, field
from typing import Any

from runner.facts import dataclass
from runner.spec.keys import (
    ALSO_KNOWN_AS,
    BOOLEAN,
    DURATION,
    ENV,
    FOLDER,
    TEXT,
    Key,
    Shape,
    declares,
    integer,
    key,
    mapping,
    text,
)

SHELLS: Mapping[str, tuple[str, ...]] = {
    "sh": ("sh", "-ec", "{text}"),
    "bash": ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", "{text}"),
    "python": ("python3", "{0}"),
}
"""What the short names of shells stand for."""
USUAL_SHELL = "sh"


STEP_ID_PATTERN = r"^[A-Za-z_][A-Za-z0-9_-]*$"


COMMAND = Shape(
    {
        "type": ["string", "array"],
        "title": "a text for the shell, or a program with its arguments as a list",
        "minLength": 1,
        "minItems": 1,
        "items": {"type": ["string", "integer"], "title": "a text or an integer"},
    }
)
CONDITION = Shape(
    {
        "type": ["string", "boolean"],
        "title": "a condition such as always() or needs.build.result == 'passed'",
    },
    lambda written: str(written).lower() if isinstance(written, bool) else str(written or ""),
)
ABOUT_CONDITION: Mapping[str, Any] = {
    "examples": ["always()", "needs.build.outputs.changed == 'yes'"],
    ALSO_KNOWN_AS: ["when", "only-if", "condition"],
}


def about_condition(what: str, more: str = "") -> str:
    return (
        f"{what}: an expression of `success()`, `failure()`, `always()`, `cancelled()`, `needs.x.result`, "
        f"`needs.x.outputs.y`, {more}`params.x`, `env.X`, texts in single quotes, `==`, `!=`, `<`, `>`, `&&`, `||`, "
        "`!`, `contains(a, b)`, `startsWith(a, b)`, `endsWith(a, b)`, and `basename(a)`, `dirname(a)`, `stem(a)` and "
        "`suffix(a)` of the path of a file. Without one of the first four it is `success() && (…)`."
    )


def run_key(description: str, default: Any = MISSING) -> Key:
    return Key(
        COMMAND,
        f"{description} A text is for the shell; a list is a program and its arguments, without one. The value of a "
        "`${{ … }}` in a text never becomes part of the script, so that no quote in it is obeyed: it is one word, and "
        "in a script for another shell than `sh`, `bash` and the like it can't stand. Only where the text is one "
        "reference and nothing else, the value is the script.",
        "run",
        default=default,
        by_hand=True,
        more={
            "examples": ["pytest -q", ["python", "-m", "build"]],
            ALSO_KNOWN_AS: ["command", "commands", "cmd", "cmds", "script", "exec", "sh"],
        },
    )


def shell_key(inherited: str) -> Key:
    return Key(
        text(minLength=1),
        f"What runs a text of {inherited}: `sh`, `bash`, `python`, or a program with arguments in which `{{0}}` is the "
        "file that holds the text. `sh` (with `-e`) and `bash` (with `-eo pipefail`) stop at the first command that "
        "fails. In a pipe `sh` looks at its last command alone, so `pytest | tee log` passes whatever pytest says; "
        "`bash` fails if any of them does.",
        "shell",
        default=USUAL_SHELL,
        by_hand=True,
        more={"examples": ["bash", "python", "perl {0}"]},
    )


def folder_key(description: str) -> Key:
    also = {ALSO_KNOWN_AS: ["cwd", "dir", "workdir", "working_directory"]}
    return Key(FOLDER, description, "working-directory", default=None, more=also)


def _command_keys(run: str, of: str) -> Mapping[str, Any]:
    """The keys of a command that has an owner of its own: a step or a service."""
    return declares(
        run_key(run),
        shell_key("the step"),
        folder_key(
            f"The folder in which the {of} runs. A relative path starts at the job's folder."
        )._replace(by_hand=True),
        Key(
            ENV,
            f"Environment variables of this {of}, on top of the job's.",
            "env",
            default=None,
            by_hand=True,
        ),
    )


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """What is run: a text for a shell, or a program with its arguments."""

    run: str | tuple[str, ...]
    shell: tuple[str, ...] = SHELLS[USUAL_SHELL]
    """The program that runs a text: `{text}` is the text itself, `{0}` a file that holds it. Not used for a list."""
    env: Mapping[str, str] = field(default_factory=dict)
    directory: str | None = None
    """Relative to the job's folder, or absolute."""
    values: Mapping[str, str] = field(default_factory=dict)
    """What the references in a text stand for, by name, as far as that is known before the run: `params.x`."""


@dataclass(frozen=True, slots=True)
class StepSpec:
    """One command of a job. Each has a process group of its own."""

    name: str = field(
        metadata=declares(
            Key(text(minLength=1), "What it is called where the run is shown.", default=None, by_hand=True)
        )
    )
    command: CommandSpec = field(metadata=_command_keys("What it does.", "step"))
    condition: str = key(
        CONDITION,
        about_condition("Whether the step runs, given the steps before it", "`matrix.x`, "),
        name="if",
        default="",
        more=ABOUT_CONDITION,
    )
    """Empty is `success()`."""
    id: str = key(
        text(pattern=STEP_ID_PATTERN),
        "What other steps of the job call it: `steps.<id>.outputs.<name>` is what it wrote as `name=value` to "
        "`$MPRUN_OUTPUT`, `steps.<id>.outcome` what became of it, and `steps.<id>.conclusion` the same after "
        "`continue-on-error`.",
        default="",
        more={"examples": ["build"]},
    )
    """Empty where nobody asks for it."""
    timeout: float | None = key(DURATION, "The longest it may take.", default=None)
    may_fail: bool = key(
        BOOLEAN,
        "Whether the job goes on, and passes, if this step fails.",
        name="continue-on-error",
        default=False,
    )


@dataclass(frozen=True, slots=True)
class ReadySpec:
    """How it is found out that a service or a background job is ready: a port or a URL that answers, a command that
    exits 0, or a line that is printed.
    """

    port: int | None = key(
        integer(1, 65535),
        "It is ready when this TCP port takes a connection, and no process listens there that is known not to be its "
        "own. Where somebody answers before it has started, the job fails.",
        default=None,
    )
    host: str = key(TEXT, "The machine of `port`.", default="127.0.0.1")
    http: str | None = key(
        text(minLength=1),
        "It is ready when a GET of this URL is answered with a status of 200 to 399; a redirect is not followed, and a "
        "certificate is not looked at. On this machine its port must be its own, as with `port`.",
        default=None,
        more={"examples": ["http://127.0.0.1:8080/health"], ALSO_KNOWN_AS: ["url", "http_get", "health"]},
    )
    command: CommandSpec | None = field(
        default=None, metadata=declares(run_key("It is ready when this exits with 0."))
    )
    prints: str | None = key(
        TEXT,
        "It is ready when it has printed a line in which this regular expression is found.",
        default=None,
    )
    every: float = key(DURATION, "The time between two looks.", default=0.1)
    timeout: float = key(DURATION, "The longest it may take to be ready.", default=30.0)


READY = mapping(ReadySpec, anyOf=[{"required": [word]} for word in ("port", "http", "run", "prints")])


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """A process that is started before the steps and stopped after them. If it ends before, the job fails."""

    name: str
    command: CommandSpec = field(metadata=_command_keys("What is kept running.", "service"))
    ready: ReadySpec | None = key(
        READY,
        "How it is found out that it is ready; the steps wait for it. Without it, it is ready at once.",
        default=None,
        by_hand=True,
    )
