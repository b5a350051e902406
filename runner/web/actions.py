"""What pages may do: stop, scale, cancel, put back, look into a worker, by the ways of the command line.

POST ──► Asked ──► control socket of the run ──► a sentence, or UsageError with the run's own words
"""

from __future__ import annotations

import json
import linecache
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runner.errors import UsageError
from runner.facts import dataclass
from runner.render.top.stack import stack_text
from runner.store.control_socket import ask
from runner.store.run_folder import RunFolder
from runner.units import counted
from runner.watch.replay import Replay
from runner.web.taps import WatchedTaps
from runner.web.watched import StacksAsked

REPLAY_SECONDS = 5.0
"""For which a replay is waited for: what is refused is refused by then."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a page has sent."""

    fields: Mapping[str, Any]

    @classmethod
    def parse(cls, body: bytes) -> Asked:
        """Read it. Raises UsageError."""
        try:
            fields = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            raise UsageError("expected an object of JSON")
        return cls(fields)

    def word(self, name: str) -> str:
        """Return a text. Raises UsageError."""
        found = self.fields.get(name)
        if not isinstance(found, str):
            raise UsageError(f"expected a text as '{name}'")
        return found

    def number(self, name: str) -> int:
        """Return a whole number. Raises UsageError."""
        found = self.fields.get(name)
        if not isinstance(found, int) or isinstance(found, bool):
            raise UsageError(f"expected a number as '{name}'")
        return found


Action = Callable[[RunFolder, Asked], str]


class Actions:
    """What can be asked for, each by the name that its path ends with."""

    def __init__(self, stacks: StacksAsked, taps: WatchedTaps) -> None:
        self._stacks = stacks
        self._taps = taps
        self.by_name: Mapping[str, Action] = {
            "stop": self.stop,
            "scale": self.scale,
            "stack": self.stack,
            "tap": self.tap,
            "replay": self.replay,
        }

    def stop(self, run_folder: RunFolder, asked: Asked) -> str:
        """Stop the run, or one of its workers or jobs."""
        chosen = {key: asked.word(key) for key in ("worker", "job") if key in asked.fields}
        answer = ask(run_folder.path, {"do": "stop", **chosen})
        if "job" in chosen:
            return f"cancelled {', '.join(answer['cancelled'])}"
        if "worker" in chosen:
            by = f" ({answer['signal']})" if answer["signal"] else ""
            return f"asked worker '{chosen['worker']}' to end{by}"
        return "asked the run to stop"

    def scale(self, run_folder: RunFolder, asked: Asked) -> str:
        """Give a stage so many workers more or fewer than it is to have now."""
        stage, by = asked.word("stage"), asked.number("by")
        status = ask(run_folder.path, {"do": "status"})
        known = {each["name"]: each["workers"] for each in status["stages"]}
        if stage not in known:
            raise UsageError(f"the run has no stage '{stage}'")
        answer = ask(run_folder.path, {"do": "scale", "stage": stage, "count": known[stage] + by})
        return f"stage '{stage}' goes to {counted(answer['count'], 'worker')}"

    def stack(self, run_folder: RunFolder, asked: Asked) -> str:
        """Have a worker say where it is."""
        worker = asked.word("worker")
        dump = ask(run_folder.path, {"do": "stacks", "worker": worker})["stacks"]
        linecache.checkcache()
        text = stack_text(dump, linecache.getline)
        if not text:
            raise UsageError(
                f"{worker} does not tell its stack: it has just begun, or is held outside of Python"
            )
        self._stacks.add(run_folder.run, {worker: text})
        return f"the stack of {worker} is below"

    def tap(self, run_folder: RunFolder, asked: Asked) -> str:
        """Show what passes at a stage, or show it no longer."""
        stage, side = asked.word("stage"), asked.word("side")
        if side == "off":
            self._taps.close(run_folder.path, stage)
            return "the tap is closed"
        self._taps.open(run_folder.path, stage, "in" if side == "in" else "out")
        return f"what {'goes into' if side == 'in' else 'comes out of'} {stage} is shown below"

    def replay(self, run_folder: RunFolder, asked: Asked) -> str:
        """Put letters of a stage back, or one of them, in a run of their own."""
        options = ["--stage", asked.word("stage")]
        if "letter" in asked.fields:
            options += ["--number", str(asked.number("letter"))]
        said = start_replay(run_folder, options)
        return said or "a run of its own puts them back; it is in the list of runs"


def start_replay(run_folder: RunFolder, options: Sequence[str]) -> str:
    """
    Begin `mprun dlq replay`, which goes on whatever becomes of us; return its last words, if it is over soon.

    Raises:
        UsageError: it was refused, in its own words, or has failed at once.
    """
    replay = Replay(run_folder, options)
    result = replay.result(REPLAY_SECONDS)
    if result is None:
        replay.let_go()
        return ""
    if result.exit_code:
        raise UsageError(result.last_words or f"it was not put back: exit code {result.exit_code}")
    return result.last_words
