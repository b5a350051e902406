"""What a key does: a state machine without a terminal. Pure.

bytes of a terminal ──► keys_in ──► names of keys
View, key, Choices ──► pressed ──► View, Effect: what is to be done outside, if anything
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace

from runner.facts import dataclass
from runner.render.top.flow_table import Order
from runner.render.top.view import Effect, Question, Screen, View

_PAGE = 10
_SEQUENCES = {
    "[A": "up",
    "[B": "down",
    "OA": "up",
    "OB": "down",
    "[5~": "page-up",
    "[6~": "page-down",
    "[H": "home",
    "[F": "end",
    "OH": "home",
    "OF": "end",
    "[1~": "home",
    "[4~": "end",
    "OP": "?",
    "[11~": "?",
}
_NAMES = {
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x03": "interrupt",
    "\x04": "q",
}
_STEPS = {"up": -1, "k": -1, "down": 1, "j": 1, "page-up": -_PAGE, "page-down": _PAGE}
_STOP = "Stop the run? What is in its queues is still worked off."
_STOP_AGAIN = "It stops already. Kill all of it now?"
_QUIT = Effect("quit")
Pressed = tuple[View, Effect | None]


@dataclass(frozen=True, slots=True)
class Choices:
    """What there is to choose from at the moment, and what can be done with it."""

    rows: Sequence[str] = ()
    """Keys of the rows of the screen, from top to bottom."""
    workers: Mapping[str, int] = field(default_factory=dict)
    """How many each stage has."""
    read_by: Mapping[str, str] = field(default_factory=dict)
    """By queue, the stage that reads it: that is the one that a key on its row is for."""
    letters: Mapping[str, int] = field(default_factory=dict)
    """By kind of failure, how many items of it there are, where some are kept as dead letters."""
    is_live: bool = True
    is_stopping: bool = False
    has_jobs: bool = False


def keys_in(text: str) -> Iterator[str]:
    """Name the keys in what a terminal has sent at once. An escape with nothing known behind it is the key itself."""
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char != "\x1b":
            yield _NAMES.get(char, char if char.isprintable() else "")
            continue
        known = next((each for each in _SEQUENCES if text.startswith(each, at)), None)
        if known is not None:
            at += len(known)
            yield _SEQUENCES[known]
        elif text.startswith(("[", "O"), at):  # a key that we have no use for
            at += 1
            while at < len(text) and not text[at - 1 : at].isalpha() and text[at - 1] != "~":
                at += 1
        else:
            yield "escape"


def pressed(view: View, key: str, choices: Choices) -> Pressed:
    """Return what is looked at after a key, and what it asks to be done."""
    if key == "interrupt":
        return view, _QUIT
    if not key:
        return view, None
    if view.question is not None:
        return replace(view, question=None), view.question.effect if key in ("y", "Y") else None
    if view.is_typing:
        return _typed(view, key), None
    view = replace(view, said="")
    if view.screen is Screen.HELP:
        return (view, _QUIT) if key == "q" else (replace(view, screen=view.behind), None)
    if key in _STEPS and not (key == "k" and view.screen is Screen.STAGE):
        return _moved(view, choices, _STEPS[key]), None
    return _other(view, key, choices)


def _other(view: View, key: str, choices: Choices) -> Pressed:
    match key:
        case "q":
            return view, _QUIT
        case "escape":
            return _back(view)
        case "g" | "home":
            return _moved(view, choices, -len(choices.rows)), None
        case "G" | "end":
            return _moved(view, choices, len(choices.rows)), None
        case "?":
            return replace(view, screen=Screen.HELP, behind=view.screen), None
        case "f" if view.screen in (Screen.RUN, Screen.STAGE):
            return replace(view, screen=Screen.FAILURES, behind=view.screen), None
        case "/" if view.screen is Screen.RUN:
            return replace(view, is_typing=True), None
        case "o" if view.screen is Screen.RUN and not choices.has_jobs:
            orders = list(Order)
            return replace(view, order=orders[(orders.index(view.order) + 1) % len(orders)]), None
        case "enter":
            return _into(view, choices)
        case "t" if view.screen in (Screen.RUN, Screen.STAGE) and not choices.has_jobs and choices.is_live:
            return _tapping(view, choices)
        case "r" if view.screen in (Screen.RUN, Screen.STAGE, Screen.FAILURES):
            return view, Effect("report")
        case "l" if view.screen is Screen.STAGE or (view.screen is Screen.RUN and choices.has_jobs):
            chosen = _chosen(view, choices)
            return view, Effect("log", chosen) if chosen else None
    return _acting(view, key, choices)


def _tapping(view: View, choices: Choices) -> Pressed:
    """Look at what passes in the chosen queue, or at what a stage makes."""
    place = f"stage/{view.stage}" if view.screen is Screen.STAGE else _chosen(view, choices)
    if not place:
        return view, None
    return replace(view, screen=Screen.TAP, before_tap=view.screen), Effect("tap", place.replace("/", ":", 1))


def _back(view: View) -> Pressed:
    if view.screen is Screen.TAP:
        return replace(view, screen=view.before_tap), None
    if view.screen is Screen.FAILURES:
        return replace(view, screen=view.behind if view.stage else Screen.RUN), None
    if view.screen is Screen.STAGE:
        return replace(view, screen=Screen.RUN, stage=""), None
    if view.wanted:
        return replace(view, wanted=""), None
    return view, _QUIT


def _typed(view: View, key: str) -> View:
    match key:
        case "enter":
            return replace(view, is_typing=False)
        case "escape":
            return replace(view, is_typing=False, wanted="")
        case "backspace":
            return replace(view, wanted=view.wanted[:-1])
    return replace(view, wanted=view.wanted + key) if len(key) == 1 else view


def _chosen(view: View, choices: Choices) -> str:
    key = view.chosen.get(view.screen, "")
    return key if key in choices.rows else (choices.rows[0] if choices.rows else "")


def _moved(view: View, choices: Choices, by: int) -> View:
    if not choices.rows:
        return view
    place = choices.rows.index(_chosen(view, choices)) + by
    key = choices.rows[min(max(place, 0), len(choices.rows) - 1)]
    return replace(view, chosen={**view.chosen, view.screen: key})


def _stage_of(view: View, choices: Choices) -> str:
    """Return the stage that a key is for: of a queue, the one that reads it."""
    if view.screen is Screen.STAGE:
        return view.stage
    kind, _, name = _chosen(view, choices).partition("/")
    return name if kind == "stage" else choices.read_by.get(name, "")


def _into(view: View, choices: Choices) -> Pressed:
    chosen = _chosen(view, choices)
    match view.screen:
        case Screen.RUNS if chosen:
            return replace(view, screen=Screen.RUN), Effect("open", chosen)
        case Screen.RUN if not choices.has_jobs and (stage := _stage_of(view, choices)):
            return replace(view, screen=Screen.STAGE, stage=stage), None
        case Screen.STAGE if chosen and choices.is_live:
            return view, Effect("stacks", chosen)
    return view, None


def _acting(view: View, key: str, choices: Choices) -> Pressed:
    """Do, or ask about, what changes the run."""
    of_screen = {Screen.RUN: "+=-sx", Screen.STAGE: "+=-sk", Screen.FAILURES: "R"}.get(view.screen, "")
    if key not in of_screen:
        return view, None
    if view.is_read_only:
        return replace(view, said="--read-only: keys that change the run are off"), None
    if key == "R":
        return _putting_back(view, choices)
    if not choices.is_live:
        return replace(view, said="the run is over"), None
    stage, chosen = _stage_of(view, choices), _chosen(view, choices)
    match key:
        case "+" | "=" if stage in choices.workers:
            return view, Effect("scale", stage, choices.workers[stage] + 1)
        case "-" if choices.workers.get(stage, 0) > 1:
            return view, Effect("scale", stage, choices.workers[stage] - 1)
        case "-" if stage in choices.workers:
            return replace(view, said=f"{stage} has one worker, and keeps it"), None
        case "s":
            return _asking(view, _STOP_AGAIN if choices.is_stopping else _STOP, Effect("stop"))
        case "k" if view.screen is Screen.STAGE and chosen:
            return _asking(view, f"End {chosen}? Nobody takes its place.", Effect("stop-worker", chosen))
        case "x" if choices.has_jobs and chosen:
            return _asking(view, f"Cancel the job {chosen}?", Effect("stop-job", chosen))
    return view, None


def _putting_back(view: View, choices: Choices) -> Pressed:
    kind = _chosen(view, choices)
    if kind not in choices.letters:
        return replace(
            view, said="no item of this kind is kept: its stage has no `on_error: dead_letter`"
        ), None
    text = f"Put what is kept of these {choices.letters[kind]:,} back, in a run of its own?"
    return _asking(view, text, Effect("replay", kind))


def _asking(view: View, text: str, effect: Effect) -> Pressed:
    return replace(view, question=Question(text, effect)), None
