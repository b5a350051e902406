"""The observer that shows jobs: in step with the run, without a reader, and out of time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_histories import cancelled, event, finished, retried, run_finished, run_started, skipped, started

from runner.events.base import Event
from runner.render.job_output.base import JobOutput, QuietView, writer
from runner.render.job_output.modes import open_output
from runner.render.style import OutputStyle


class Scripted:
    """A way of showing that has so many more steps, and takes notes."""

    def __init__(self, steps: int, trouble: OSError | None = None) -> None:
        self.steps = steps
        self.trouble = trouble
        self.done: list[str] = []

    def observe(self, event: Event) -> None:
        self.done.append(event.kind)

    def step(self) -> float | None:
        if self.trouble is not None:
            raise self.trouble
        self.steps -= 1
        return 0 if self.steps >= 0 else None

    def finish(self) -> None:
        self.done.append("finish")


def test_the_end_of_the_run_leaves_the_rest_to_be_shown_and_then_ends_what_is_open() -> None:
    show = Scripted(steps=2)
    observer = JobOutput(show)

    observer.observe(run_started(1))
    observer.observe(run_finished())
    waits = [observer.tick() for _ in range(3)]
    observer.close()

    assert ([0, 0, None], ["run.started", "run.finished", "finish"]) == (waits, show.done)


def test_what_is_told_after_the_end_of_the_run_does_not_undo_it() -> None:
    show = Scripted(steps=0)
    observer = JobOutput(show)

    observer.observe(run_finished())
    observer.observe(event("events.dropped", count=3))
    observer.close()

    assert ["run.finished", "events.dropped", "finish"] == show.done


def test_a_run_that_breaks_off_says_nothing_more() -> None:
    show = Scripted(steps=2)
    observer = JobOutput(show)

    observer.observe(run_started(1))
    observer.close()

    assert ["run.started"] == show.done


def test_a_reader_that_went_away_between_events_is_told_at_the_next() -> None:
    observer = JobOutput(Scripted(1, BrokenPipeError()))

    assert observer.tick() is None
    with pytest.raises(BrokenPipeError):
        observer.observe(run_finished())


def test_everything_is_written_even_where_a_pipe_takes_little_at_a_time(tmp_path: Path) -> None:
    file = tmp_path / "out"
    fd = os.open(file, os.O_WRONLY | os.O_CREAT)
    writer(fd)(b"x" * 1_000_000)
    os.close(fd)

    assert 1_000_000 == file.stat().st_size


def test_quiet_tells_of_failures_at_once_and_of_nothing_else() -> None:
    written: list[bytes] = []
    show = QuietView(written.append, OutputStyle())
    for each in [
        run_started(4),
        started("lint"),
        finished("lint"),
        finished("docs", result="allowed"),
        finished("test", result="failed", reason="step 1 exited with code 2"),
        finished("e2e", result="timed_out", reason="it took more than 1s"),
    ]:
        show.observe(each)

    assert b"".join(written).decode() == (
        "✗ test failed after 1.0s: step 1 exited with code 2\n✗ e2e timed out after 1.0s: it took more than 1s\n"
    )
    assert show.step() is None


@pytest.mark.parametrize("mode", ["stream", "group", "quiet", "json"])
@pytest.mark.parametrize("for_github", [False, True])
def test_each_mode_shows_a_run_to_its_end(mode: str, for_github: bool, tmp_path: Path) -> None:
    log = tmp_path / "lint.log"
    log.write_bytes(b"checking\n")
    fd = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    observer = open_output(fd, mode, for_github=for_github)

    for each in [
        run_started(1),
        started("lint", log=str(log)),
        finished("lint", result="failed", log=str(log)),
        run_finished(1),
    ]:
        observer.observe(each)
    while observer.tick() is not None:
        pass
    observer.close()
    os.close(fd)

    shown = (tmp_path / "out").read_text(encoding="utf-8")
    assert (mode != "quiet") == ("checking" in shown)
    assert "lint" in shown
    assert for_github == ("stop-commands" in shown) or mode in ("quiet", "json")


HAPPENINGS = [
    *(started(job, attempt=attempt, log=os.devnull) for job in "ab" for attempt in (1, 2)),
    *(
        finished(job, result=result, attempt=attempt)
        for job in "ab"
        for attempt in (1, 2)
        for result in ("passed", "failed")
    ),
    *(make(job) for job in "ab" for make in (retried, skipped, cancelled)),
    *(event("job.silent", job=job, seconds=1.0) for job in "ab"),
    event("events.dropped", count=3),
]


@pytest.mark.parametrize("mode", ["stream", "group", "quiet", "json"])
@given(history=st.lists(st.sampled_from(HAPPENINGS), max_size=25), steps=st.lists(st.integers(0, 25)))
@pytest.mark.quick("stream")
def test_no_event_that_is_missing_or_comes_twice_stops_the_output(
    mode: str, history: list[Event], steps: list[int]
) -> None:
    fd = os.open(os.devnull, os.O_WRONLY)
    observer = open_output(fd, mode)
    for number, each in enumerate([run_started(2), *history, run_finished()]):
        observer.observe(each)
        if number in steps:
            observer.tick()
    waits = [observer.tick() for _ in range(100)]
    observer.close()
    os.close(fd)

    assert waits[-1] is None
