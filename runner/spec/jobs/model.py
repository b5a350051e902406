"""What the user wrote under `jobs`, as frozen facts. Made by `build_jobs`, read by the plan and by the graph.

    jobs.test: {strategy: {matrix: {python: ["3.11", "3.12"]}}, needs: build, …}
        │ one leg for each combination; `${{ matrix.x }}` and `${{ params.x }}` are replaced by now
        ▼
    JobSpec(test, needs=[build], legs=[LegSpec("test (3.11)"), LegSpec("test (3.12)")])

A job without a matrix has one leg, whose id is the job's name. The keys of a job are declared here, once, on the fields
that they become: GitHub's words where people know them. What a matrix gives a leg is put in before a leg is checked, so
`continue-on-error: ${{ matrix.risky }}` is a boolean by the time it is judged.

Seconds for all times. What is only known while jobs run stays in texts as `${{ needs.… }}` and `${{ secrets.… }}`; a
text for a shell keeps all its references, with the values that are known beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import Enum
from typing import Any

from runner.facts import dataclass
from runner.spec.jobs.commands import (
    ABOUT_CONDITION,
    CONDITION,
    READY,
    ReadySpec,
    ServiceSpec,
    StepSpec,
    about_condition,
    folder_key,
    run_key,
    shell_key,
)
from runner.spec.jobs.workspace import CacheSpec, WorkspaceKind, cache_key, workspace_key
from runner.spec.keys import (
    ALSO_KNOWN_AS,
    BOOLEAN,
    DURATION,
    DURATION_OR_NONE,
    ENV,
    ENV_NAME_PATTERN,
    NAME,
    TEXT,
    Key,
    Shape,
    as_tuple,
    choice,
    declares,
    integer,
    key,
    mapping,
    text,
    texts,
    values_of,
)

MOST_ATTEMPTS = 1000
_GLOB = text(minLength=1)


@dataclass(frozen=True, slots=True)
class AttemptsSpec:
    """How often a job is tried."""

    max: int = key(integer(1, MOST_ATTEMPTS), "How often it is tried in all.", default=1)
    backoff: float = key(
        DURATION_OR_NONE,
        "The wait before the second attempt; each further one is twice as long.",
        default=1.0,
    )
    max_backoff: float = key(
        DURATION_OR_NONE, "The longest wait between two attempts.", name="max-backoff", default=60.0
    )
    on: tuple[int, ...] = key(
        Shape(
            {
                "type": "array",
                "items": {"type": "integer", "minimum": 1, "maximum": 255},
                "minItems": 1,
                "title": "a list of exit codes",
            },
            as_tuple,
        ),
        "The exit codes that are worth another attempt; signal n counts as 128 + n. Without it every failure is.",
        default=(),
    )
    timeout: float | None = key(DURATION, "The longest that one attempt may take.", default=None)


class GroupScope(Enum):
    """Whose jobs a concurrency group holds apart."""

    RUN = "run"
    MACHINE = "machine"


@dataclass(frozen=True, slots=True)
class ConcurrencySpec:
    """At most `limit` legs of a group run at once; the others wait in the order in which they became ready."""

    group: str = field(metadata=declares(Key(NAME, "The group's name, the same in all its jobs.")))
    limit: int = field(
        default=1,
        metadata=declares(
            Key(integer(1), "How many jobs of the group may run at once."),
            Key(
                choice(["fifo"]),
                "`fifo`: the others wait, all of them, in the order in which they became ready.",
                "queue",
                default="fifo",
                by_hand=True,
            ),
        ),
    )
    scope: GroupScope = key(
        choice(GroupScope),
        "Whose jobs are meant: those of this `run`, or of all runs of this user on the `machine`. Where two say "
        "different limits of one group of the machine, the smaller holds.",
        default=GroupScope.RUN,
    )
    cancels: bool = key(
        BOOLEAN,
        "Whether those of the group that came before are cancelled, also while they wait: whoever comes last runs, "
        "once their clean-up is done.",
        name="cancel-in-progress",
        default=False,
    )

    @classmethod
    def written(cls, **given: Any) -> ConcurrencySpec | None:
        """Return what the file gives; None where it has no group, which has been reported."""
        return cls(**given) if "group" in given else None


@dataclass(frozen=True, slots=True)
class NeedSpec:
    """A job to wait for."""

    job: str = field(metadata=declares(Key(NAME, "The job to wait for.")))
    optional: bool = key(BOOLEAN, "Whether it does not matter what becomes of it.", default=False)

    @classmethod
    def written(cls, need: str | Mapping[str, Any]) -> NeedSpec:
        """Return what the file gives, with an empty name where it gives none, which has been reported."""
        return cls(need) if isinstance(need, str) else cls(**{"job": "", **values_of(cls, need)})


_NEED = mapping(
    NeedSpec, type=["string", "object"], title="a job's name, or a mapping with 'job' and 'optional'"
)
_STEP = mapping(
    StepSpec, type=["string", "object"], minLength=1, title="a text for the shell, or a mapping with 'run'"
)
_STEPS = Shape({"type": "array", "minItems": 1, "title": "a list of steps"}, items=_STEP)


@dataclass(frozen=True, slots=True)
class LegSpec:
    """What is run as one: a job, with one combination of its matrix where it has one."""

    id: str
    """The job's name, and the values of its matrix: `test (3.11, slow)`."""
    job: str
    """The name of the job that it is a leg of."""
    steps: tuple[StepSpec, ...] = field(
        metadata=declares(
            run_key("The one command of a job that has no `steps`.", default=None),
            Key(
                _STEPS,
                "Commands that run one after the other. The first that fails ends the job.",
                "steps",
                default=None,
                by_hand=True,
            ),
            shell_key("its steps")._replace(usual=True),
        )
    )
    label: str = ""
    """What stands in the brackets of its id: the key of this leg in a map of outputs."""
    matrix: Mapping[str, Any] = field(default_factory=dict)
    strategy: Mapping[str, Any] = field(default_factory=dict)
    """What `strategy` is for this leg: `job-index`, `job-total`, …"""
    directory: str = field(
        default=".",
        metadata=declares(
            folder_key(
                "The folder in which its steps run. A relative path starts at the workflow file's folder."
            )._replace(usual=True)
        ),
    )
    workspace: WorkspaceKind = workspace_key()
    cache: tuple[CacheSpec, ...] = cache_key()
    env: Mapping[str, str] = key(
        ENV,
        "Environment variables of all its steps, on top of the workflow's own.",
        default_factory=dict,
        usual=True,
        by_hand=True,
    )
    """The workflow's, and over it the job's own. Each step's is laid over this."""
    ensure: tuple[StepSpec, ...] = key(
        _STEPS,
        "Clean-up: steps that run after all others, whatever became of them, also when the job is cancelled or out of "
        "time. A step of it that fails makes the job fail. Each has a minute, if it has no `timeout` of its own.",
        default=(),
        by_hand=True,
    )
    services: tuple[ServiceSpec, ...] = key(
        Shape({}), "Processes in the background of the job, by name.", default=(), by_hand=True
    )
    interactive: bool = key(
        BOOLEAN,
        "Whether its steps read what is typed: they have the terminal that mprun was started at, for them alone, and "
        "what they print there is neither kept nor masked. Of such jobs one runs at once, and what others print is "
        "shown when it is over. Where there is no terminal they read mprun's standard input, and print as any job.",
        default=False,
        more={ALSO_KNOWN_AS: ["tty", "stdin", "stdin_open"]},
    )
    background: bool = key(
        BOOLEAN,
        "Whether it goes on while others use it: a server, say. Those that need it start when it is ready, and it is "
        "ended when the last of them is over; one that nobody needs, when all other jobs are, or by Ctrl-C. It fails "
        "if it ends by itself before. It takes no place of `--jobs`. Of `steps` it is the last that goes on.",
        default=False,
        more={ALSO_KNOWN_AS: ["daemon", "detach", "is_daemon"]},
    )
    ready: ReadySpec | None = key(
        READY,
        "How it is found out that a background job is ready. Without it, it is ready as soon as it has started.",
        default=None,
        by_hand=True,
    )
    condition: str = key(
        CONDITION,
        about_condition("Whether the job runs", "`matrix.x`, "),
        name="if",
        default="",
        more=ABOUT_CONDITION,
    )
    """Empty is `success()`."""
    dotenv: tuple[str, ...] = key(
        texts(_GLOB, "the path of a file, or a list of paths"),
        "Files of variables, under `env`. Paths start at the workflow file's folder.",
        default=(),
        usual=True,
    )
    secrets: tuple[str, ...] = key(
        texts(text(pattern=ENV_NAME_PATTERN), "a variable's name, or a list of names"),
        "Names of environment variables whose values are secret. The job gets them, other jobs don't, and wherever a "
        "value would be shown there is `***`. In texts: `${{ secrets.NAME }}`.",
        default=(),
        usual=True,
    )
    timeout: float | None = key(
        DURATION,
        "The longest it may take once it has begun, with services, all attempts and the waits between them.",
        default=None,
        usual=True,
        more={ALSO_KNOWN_AS: ["deadline"]},
    )
    idle_timeout: float | None = key(
        DURATION,
        "The longest that it may print nothing, from the last that it printed. It is then stopped, and fails.",
        name="idle-timeout",
        default=None,
        usual=True,
    )
    attempts: AttemptsSpec = key(
        mapping(
            AttemptsSpec,
            short="max",
            type=["integer", "object"],
            minimum=1,
            maximum=MOST_ATTEMPTS,
            title="a number of attempts, or a mapping with 'max', 'backoff', 'on' and so on",
        ),
        "How often the job is tried before it has failed. A number is short for `max`.",
        default=AttemptsSpec(),
        shown=None,
        usual=True,
        more={ALSO_KNOWN_AS: ["retry", "retries"]},
    )
    may_fail: bool = key(
        BOOLEAN,
        "Whether the job may fail. If it does its result is `allowed`: the run does not fail, what needs it runs, and "
        "the end of the run says so.",
        name="continue-on-error",
        default=False,
        usual=True,
        more={ALSO_KNOWN_AS: ["allow-failure", "allow_failure"]},
    )
    concurrency: ConcurrencySpec | None = key(
        mapping(
            ConcurrencySpec,
            short="group",
            read=ConcurrencySpec.written,
            type=["string", "object"],
            minLength=1,
            title="a group's name, or a mapping with 'group'",
        ),
        "A group of which only so many jobs run at once: what can't share a port or a database.",
        default=None,
        usual=True,
    )
    inputs: tuple[str, ...] = key(
        texts(_GLOB, "a glob, or a list of globs"),
        "Globs of files, from the job's folder. With these the job is skipped when it has passed before and since then "
        "no input, no output and nothing of its definition has changed.",
        default=(),
    )
    outputs: tuple[str, ...] = key(
        Shape(
            {
                "type": ["string", "array", "object"],
                "items": _GLOB.fragment,
                "minLength": 1,
                "title": "globs, or a mapping with 'files' and 'values'",
                "properties": {
                    "files": texts(_GLOB, "a glob, or a list of globs").fragment
                    | {
                        "description": "Globs of the files that it makes, from the job's folder. One that matches "
                        "nothing at the end makes the job fail, and while a file is missing it is not up to date."
                    },
                    "values": texts(text(pattern=r"^[^\W\d][\w-]*$"), "a name, or a list of names").fragment
                    | {
                        "description": "Names of the values that it writes as `name=value` lines to the file "
                        "`$MPRUN_OUTPUT`. Jobs that need it use them as `${{ needs.<job>.outputs.<name> }}`; a "
                        "matrix gives a map of its legs. One that is missing at the end makes the job fail."
                    },
                },
                "additionalProperties": False,
            }
        ),
        "What it makes: files, and values for the jobs that need it. Globs alone are short for `files`.",
        default=(),
        by_hand=True,
    )
    """Globs of the files that it makes."""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """Steps that run once, when the jobs that it needs are done. Where it has a matrix, it is one job for each
    combination.
    """

    name: str
    legs: tuple[LegSpec, ...]
    """In the order of its matrix."""
    needs: tuple[NeedSpec, ...] = key(
        Shape(
            {"type": ["string", "array"], "title": "a job's name, or a list of names"},
            lambda written: tuple(map(NeedSpec.written, as_tuple(written))),
            items=_NEED,
        ),
        "Jobs that must be over before this one starts. It runs if none of them has failed or was cancelled, and `if` "
        "says nothing else. One that was skipped by its own `if`, or as it was up to date, is no hindrance.",
        default=(),
        more={ALSO_KNOWN_AS: ["depends-on", "depends_on", "deps", "requires", "after"]},
    )
    values: tuple[str, ...] = ()
    """The names that it must write to `$MPRUN_OUTPUT`: what others may use as `needs.<job>.outputs.<name>`."""
    has_matrix: bool = False
    fail_fast: bool = key(
        BOOLEAN,
        "Whether the other legs are cancelled when one has failed.",
        name="strategy.fail-fast",
        default=True,
    )
    max_parallel: int | None = key(
        integer(1),
        "The most legs that run at once. Without it, `--jobs` alone is the bound.",
        name="strategy.max-parallel",
        default=None,
    )
    manual: bool = key(
        BOOLEAN,
        "Whether the job is a task of its own, such as a release: it runs only where it is named, as in `mprun FILE "
        "JOB`, or where a job that runs needs it.",
        default=False,
    )
    description: str = key(TEXT, "What the job is for.", default="")
