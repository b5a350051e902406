"""What the format of trace events asks of a document, and what a viewer shows of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

TraceEvent = dict[str, Any]


def require_valid(document: dict[str, Any]) -> list[TraceEvent]:
    """Return the events of a document; fail where a viewer would refuse, misplace or hide one."""
    events: list[TraceEvent] = document["traceEvents"]
    assert {"M", "X", "i", "C", "s", "f"} >= {each["ph"] for each in events}
    for each in events:
        assert isinstance(each["name"], str) and each["name"], each
        assert isinstance(each["pid"], int) and isinstance(each["tid"], int), each
        assert each["ts"] >= 0.0 and each.get("dur", 0.0) >= 0.0, each
    names = [each for each in events if each["ph"] == "M"]
    happened = [each for each in events if each["ph"] != "M"]
    assert events == [*names, *happened]
    assert happened == sorted(happened, key=lambda each: each["ts"])
    _require_named(names, happened)
    _require_nested(happened)
    arrows = Counter((each["id"], each["ph"]) for each in happened if each["ph"] in "sf")
    assert all(arrows[number, "s"] == arrows[number, "f"] == 1 for number, _ in arrows)
    return events


def _require_named(names: list[TraceEvent], happened: list[TraceEvent]) -> None:
    named = Counter((each["name"], each["pid"], each["tid"]) for each in names)
    assert all(count == 1 for count in named.values()), "named twice"
    assert {each["pid"] for each in happened} <= {pid for name, pid, _ in named if name == "process_name"}
    shown = {(each["pid"], each["tid"]) for each in happened if each["ph"] != "C"}
    assert shown <= {(pid, tid) for name, pid, tid in named if name == "thread_name"}


def _require_nested(happened: list[TraceEvent]) -> None:
    """Of two slices of one track either one is within the other, or they have nothing in common."""
    tracks: dict[tuple[int, int], list[float]] = defaultdict(list)
    for each in (each for each in happened if each["ph"] == "X"):
        ends = tracks[each["pid"], each["tid"]]
        while ends and ends[-1] <= each["ts"] + 0.002:
            ends.pop()
        assert not ends or each["ts"] + each["dur"] <= ends[-1] + 0.002, each
        ends.append(each["ts"] + each["dur"])


def shown_on(events: list[TraceEvent], thread: str) -> list[str]:
    """Return the names of what a viewer shows on the line of this name, in order of time."""
    tracks = [
        (each["pid"], each["tid"])
        for each in events
        if each["name"] == "thread_name" and each["args"]["name"] == thread
    ]
    return [each["name"] for each in events if each["ph"] in "Xi" and (each["pid"], each["tid"]) in tracks]
