"""The rules of `jobs`, one small file each: run by the installed command, and held to what the file itself expects.

    conformance/jobs/needs-failed.yaml ──copied──► a folder of its own ──mprun run──► exit code, events, logs
                     └── x-expect ◄──────────────────── compared ────────────────────────┘

| under `x-expect` | |
|---|---|
| `exit` | the exit code |
| `jobs` | every leg, with its result, or what its last event has: `{result: failed, exitcode: 3}` |
| `events`, `never` | events that there are, and are not, by some of their fields |
| `order`, `orders` | `a finished` before `b started` and so on; others may come between |
| `at_once` | by a pattern of names, how many of these ran at once at most |
| `logs` | by leg, texts that its log has |
| `shown`, `hidden` | texts that the command prints; texts that are in nothing that is printed or kept |
| `problems` | what `mprun validate` has to say, all of it; without `jobs` nothing is run |
| `files`, `remove`, `env`, `arguments`, `stop` | what is there before, or happens meanwhile; `{port}` is a free one |
| `again` | further runs in the same folder, each with expectations of its own |
| `slow` | that it is left to the slow run |

A value that begins with `~` is a pattern to be found; all others are equal or wrong.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.cli.main import main

RULES = sorted((Path(__file__).resolve().parent / "jobs").glob("*.yaml"))
TIMEOUT = 60.0
_CLOSING = ("job.finished", "job.skipped", "job.cancelled")


def expectation(rule: Path) -> dict[str, Any]:
    """Read what stands under `x-expect`. The workflow above it need not be YAML that others can read."""
    text = rule.read_text(encoding="utf-8")
    expected: dict[str, Any] = yaml.safe_load(text[text.index("\nx-expect:") :])["x-expect"]
    return expected


def marks(rule: Path) -> tuple[pytest.MarkDecorator, ...]:
    return (pytest.mark.slow,) if expectation(rule).get("slow") else ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that one run has left."""

    exitcode: int
    printed: str
    events: tuple[Mapping[str, Any], ...]


def test_there_are_rules_enough() -> None:
    assert len(RULES) >= 80


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule.stem, marks=marks(rule)) for rule in RULES])
def test_rule(
    rule: Path, tmp_path: Path, mprun: Path, plain_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = expectation(rule)
    shutil.copy(rule, tmp_path / "rule.yaml")
    env = {**plain_env, "MPRUN_HOME": str(tmp_path / "home")}

    if "problems" in expected:
        prepare(tmp_path, expected)
        assert [] == list(unlike_problems(expected, validate(tmp_path, expected, monkeypatch)))
    for number, round_ in enumerate([expected, *expected.get("again", ())] if "jobs" in expected else []):
        prepare(tmp_path, round_)
        outcome = run(mprun, tmp_path, round_, env, tmp_path / f"events-{number}.jsonl")

        assert [] == list(differences(round_, outcome, tmp_path)), outcome.printed


def prepare(folder: Path, expected: Mapping[str, Any]) -> None:
    for name, content in expected.get("files", {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    for name in expected.get("remove", ()):
        (folder / name).unlink()


def run(mprun: Path, folder: Path, expected: Mapping[str, Any], env: Mapping[str, str], log: Path) -> Outcome:
    given = [text.replace("{port}", str(free_port())) for text in expected.get("arguments", ())]
    arguments = ["run", "rule.yaml", "--events", log, *given]
    printed = folder / "printed"
    with printed.open("wb") as out:
        process = subprocess.Popen(
            [mprun, *arguments],
            cwd=folder,
            env={**env, **expected.get("env", {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            for stop in expected.get("stop", ()):
                wait_for(folder / stop["when"])
                process.send_signal(getattr(signal, stop["signal"]))
            process.wait(TIMEOUT)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return Outcome(
        process.returncode, printed.read_text(encoding="utf-8"), tuple(json.loads(line) for line in lines)
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def wait_for(path: Path) -> None:
    """Wait for what a job does to show that it runs; whoever waits is bounded by the end of the test."""
    end = time.monotonic() + TIMEOUT
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} never came"
        time.sleep(0.01)


def validate(folder: Path, expected: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Run `mprun validate` in this process: it starts none."""
    for name, value in expected.get("env", {}).items():
        monkeypatch.setenv(name, value)
    out = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        exitcode = main(["validate", "rule.yaml", "--format", "json"])
    assert (3 if expected["exit"] == 3 else 0) == exitcode
    found: list[Any] = json.loads(out.getvalue())
    return found


# ── what is expected, and what is there ──


def differences(expected: Mapping[str, Any], outcome: Outcome, folder: Path) -> Iterator[str]:
    if expected["exit"] != outcome.exitcode:
        yield f"exit {outcome.exitcode} instead of {expected['exit']}"
    yield from unlike_jobs(expected.get("jobs", {}), outcome)
    yield from unlike_events(expected, outcome)
    orders = [*expected.get("orders", ()), *([expected["order"]] if "order" in expected else [])]
    for order in orders:
        if not in_order(order, told(outcome)):
            yield f"not in the order {order}: {told(outcome)}"
    for pattern, most in expected.get("at_once", {}).items():
        if most != (seen := most_at_once(pattern, outcome)):
            yield f"{seen} of {pattern} at once instead of {most}"
    yield from unlike_texts(expected, outcome, folder)


def unlike_jobs(expected: Mapping[str, Any], outcome: Outcome) -> Iterator[str]:
    """Compare the last event of each leg: a job that ran and was cancelled is told to be finished too."""
    last = {event["job"]: event for event in outcome.events if event["event"] in _CLOSING}
    began = {event["job"]: event for event in outcome.events if event["event"] == "job.started"}
    if expected.keys() != last.keys():
        yield f"jobs {sorted(last)} instead of {sorted(expected)}"
    for job in expected.keys() & last.keys():
        wanted = expected[job] if isinstance(expected[job], dict) else {"result": expected[job]}
        event = {"result": last[job]["event"].removeprefix("job."), **last[job]}
        if event["result"] == "passed" and "reason" in wanted:
            event["reason"] = began[job]["reason"]  # why it ran says more than that it passed
        if not is_like(wanted, event):
            yield f"{job} is { ({key: event.get(key) for key in wanted}) } instead of {wanted}"


def unlike_events(expected: Mapping[str, Any], outcome: Outcome) -> Iterator[str]:
    for wanted in expected.get("events", ()):
        if not any(is_like(wanted, event) for event in outcome.events):
            yield f"no event is {wanted}"
    for unwanted in expected.get("never", ()):
        yield from (f"there is {event}" for event in outcome.events if is_like(unwanted, event))


def unlike_texts(expected: Mapping[str, Any], outcome: Outcome, folder: Path) -> Iterator[str]:
    logs = {event["job"]: Path(event["log"]) for event in outcome.events if event["event"] == "job.started"}
    for job, texts in expected.get("logs", {}).items():
        content = (folder / logs[job]).read_text(encoding="utf-8") if job in logs else ""
        for text in [texts] if isinstance(texts, str) else texts:
            if text not in content:
                yield f"the log of {job} has no {text!r}: {content!r}"
    yield from (f"{text!r} is not shown" for text in expected.get("shown", ()) if text not in outcome.printed)
    for text in expected.get("hidden", ()):
        in_rule = text in (folder / "rule.yaml").read_text(encoding="utf-8")  # which the record has too
        apart = {"rule.yaml", *(["run.db", "run.db-wal"] if in_rule else [])}
        kept = [path for path in folder.rglob("*") if path.is_file() and path.name not in apart]
        yield from (f"{text!r} is in {path.name}" for path in kept if text.encode() in path.read_bytes())


def unlike_problems(expected: Mapping[str, Any], found: list[Any]) -> Iterator[str]:
    wanted = expected["problems"]
    if len(wanted) != len(found) or not all(map(is_like, wanted, found)):
        yield f"problems {found} instead of {wanted}"


def is_like(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    return all(key in found and is_value_like(value, found[key]) for key, value in wanted.items())


def is_value_like(wanted: object, found: object) -> bool:
    if isinstance(wanted, str) and wanted.startswith("~"):
        return re.search(wanted[1:], str(found), re.DOTALL) is not None
    return wanted == found


def told(outcome: Outcome) -> list[str]:
    """The events as `order` writes them: `a started`, `service.ready db`, `step.started 1`."""
    lines = []
    for event in outcome.events:
        noun, _, verb = event["event"].partition(".")
        if noun == "job":
            lines.append(f"{event['job']} {verb}")
        elif noun in ("service", "step"):
            lines.append(f"{event['event']} {event.get('service', event.get('step'))}")
    return lines


def in_order(wanted: list[str], lines: list[str]) -> bool:
    rest = iter(lines)
    return all(line in rest for line in wanted)


def most_at_once(pattern: str, outcome: Outcome) -> int:
    change = Counter({"job.started": 1, "job.finished": -1, "job.retried": -1})
    running = most = 0
    for event in outcome.events:
        if re.search(pattern, event.get("job", "")):
            running += change[event["event"]]
            most = max(most, running)
    return most
