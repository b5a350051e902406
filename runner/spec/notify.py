"""Whom to tell that a run has ended, failed, stalled, or had its first failure: `notify`, in a file or for all runs.

notify:
  - {on: failed, run: [mail-me, --urgent]}             a program: facts in its environment, and as JSON on its stdin
  - {on: [finished, stalled], http: "https://…"}       a POST of the same JSON
"""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from runner.facts import dataclass
from runner.spec.keys import BOOLEAN, DURATION, TEXT, Key, Shape, as_tuple, declares, key, text, values_of

DELIVERY_TIMEOUT = 10.0
"""Seconds that one may take; then it is ended."""


class NotifyOn(StrEnum):
    """What somebody may want to be told of."""

    FINISHED = "finished"
    """The run has ended, in whichever way."""
    FAILED = "failed"
    """It has ended, and is not done."""
    STALLED = "stalled"
    """Nothing moves any more, and there is work."""
    FIRST_FAILURE = "first_failure"


_WORDS = [each.value for each in NotifyOn]
_ON = Shape(
    {
        "type": ["string", "array"],
        "pattern": f"^({'|'.join(_WORDS)})$",
        "items": {"enum": _WORDS},
        "minItems": 1,
        "uniqueItems": True,
        "title": f"one of {', '.join(_WORDS)}, or a list of these",
    },
    lambda written: tuple(NotifyOn(each) for each in as_tuple(written)),
)


@dataclass(frozen=True, slots=True)
class NotifySpec:
    """Who is told of what. It never changes what the run comes to, nor its exit code."""

    on: tuple[NotifyOn, ...] = field(
        metadata=declares(
            Key(
                _ON,
                "What it is told of. `finished`: the run has ended, in whichever way. `failed`: it has not ended with "
                "exit code 0, was killed, or could not begin. `stalled`: for `stalled_after` nothing was put, taken or "
                "done, and there is work. `first_failure`: an item has failed for good, a worker has died, or a job "
                "has failed, for the first time in the run.",
                more={"examples": ["failed", ["finished", "stalled"]]},
            )
        )
    )
    run: tuple[str, ...] = key(
        Shape(
            {
                "type": "array",
                "items": TEXT.fragment,
                "minItems": 1,
                "title": "a list of a program and its arguments",
            },
            as_tuple,
        ),
        "A program with its arguments. It has facts of the run in its environment, as `MPRUN_EVENT`, and as JSON on "
        "its standard input. After 10s it is ended, with all that it has started.",
        default=(),
        more={"examples": [["notify-send", "mprun"]]},
    )
    http: str | None = key(
        text(pattern=r"^https?://[^\s/?#]+\S*$", title="a URL that begins with http:// or https://"),
        "A URL to which the same JSON is sent by POST. It has 10s to answer 2xx.",
        default=None,
        more={"examples": ["https://hooks.example.com/mprun"]},
    )
    stalled_after: float = key(
        DURATION, "How long nothing may move until the run counts as stalled.", default=300.0, shown="5m"
    )


_ENTRY = Shape(
    {
        "anyOf": [{"required": ["run"]}, {"required": ["http"]}],
        "not": {"required": ["run", "http"], "description": "keep one; make another entry of the other"},
    },
    model=NotifySpec,
)
NOTIFY = Shape(
    {"type": "array", "title": "a list of mappings"},
    lambda written: tuple(NotifySpec(**values_of(NotifySpec, each)) for each in written if _is_whole(each)),
    items=_ENTRY,
)
NOTIFY_MEANS = (
    "Who is told when the run has ended, has failed, has stalled, or when something fails for the first time: a "
    "program or a URL each. What it comes to never changes the run. `notify` in your own configuration, "
    "`~/.config/mprun/config.yaml`, holds for every run beside it."
)


def _is_whole(written: object) -> bool:
    """Whether an entry has what it must have: else that has been reported."""
    return isinstance(written, dict) and "on" in written


@dataclass(frozen=True, slots=True)
class UserConfig:
    """What holds for every run of a user."""

    notify: tuple[NotifySpec, ...] = key(
        NOTIFY,
        "Who is told of every run, beside those that its file names.",
        default=(),
        more={"examples": [[{"on": "failed", "run": ["notify-send", "mprun"]}]]},
    )
    bell: bool = key(
        BOOLEAN, "Whether the terminal rings at the end of a run, as with `--bell`.", default=False
    )
