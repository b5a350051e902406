"""The first line to whoever begins to watch: all that is known of the run so far.

    RunState ──► hello_line ──► {"hello": …, "state": "…"} ──► read_hello ──► RunState, which goes on with the events

What is packed are the facts of the fold themselves, so that it has all of them, exactly. They are unpacked by names of
classes that hold facts and do nothing, and only by the same version of mprun: another one reads the record.
"""

from __future__ import annotations

import base64
import io
import json
import pickle
import zlib
from enum import Enum
from typing import Any, Final

from runner import __version__
from runner.events.base import Event
from runner.watch.state import RunState

_PACKAGES: Final = ("runner.events.", "runner.record.", "runner.spec.", "runner.watch.")
_PLAIN: Final = frozenset(
    {("builtins", "set"), ("builtins", "frozenset"), ("collections", "deque"), ("collections", "Counter")}
)
_MADE_BY: Final = frozenset({("runner.events.base", "_again")})


class NoHello(Exception):
    """What came first is no state of a run that could be read here; it says why."""


def hello_line(state: RunState, missed: int = 0) -> bytes:
    """Write the whole state as one line. `missed`: so many events the watcher has not got, which are in this."""
    packed = base64.b64encode(zlib.compress(pickle.dumps(state, protocol=5), 1)).decode()
    hello = {
        "hello": state.run,
        "version": __version__,
        "workflow": state.workflow,
        "phase": state.phase.value,
        "pid": state.pid,
        "missed": missed,
        "state": packed,
    }
    return json.dumps(hello).encode() + b"\n"


def is_hello(line: bytes) -> bool:
    """Tell the whole state from an event, which is a list."""
    return line.startswith(b"{")


def read_hello(line: bytes) -> tuple[RunState, int]:
    """Return the state, and how many events it stands for that did not come. Raises NoHello."""
    try:
        hello = json.loads(line)
        if "refused" in hello:
            raise NoHello(str(hello["refused"]))
        if hello["version"] != __version__:
            raise NoHello(f"the run is mprun {hello['version']}'s, and this is {__version__}")
        packed = io.BytesIO(zlib.decompress(base64.b64decode(hello["state"])))
        state = _FactsUnpickler(packed).load()
        missed = int(hello["missed"])
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        EOFError,
        zlib.error,
        pickle.UnpicklingError,
    ) as error:
        raise NoHello(f"what the run says can't be read: {error}") from error
    if not isinstance(state, RunState):
        raise NoHello("what the run says is not its state")
    return state, missed


class _FactsUnpickler(pickle.Unpickler):
    """Unpacks facts, and nothing that does anything."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PLAIN:
            return super().find_class(module, name)
        if module.startswith(_PACKAGES):
            found = super().find_class(module, name)
            if (module, name) in _MADE_BY or _holds_facts(found):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is no fact of a run")


def _holds_facts(found: object) -> bool:
    """Say whether it is a class of ours whose making has no effect: data, an event, a word, or what folds events."""
    if not isinstance(found, type) or not found.__module__.startswith(_PACKAGES):
        return False
    is_data = hasattr(found, "__dataclass_fields__") or hasattr(found, "_fields")
    return is_data or issubclass(found, Event | Enum) or found.__name__ in _FOLDS


_FOLDS: Final = frozenset({"Series", "ReportBuilder", "JobReportBuilder"})
