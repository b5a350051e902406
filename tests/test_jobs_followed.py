"""One attempt's output, followed in a log that may be shared with other attempts."""

from __future__ import annotations

from pathlib import Path

from runner.jobs.followed import Followed
from runner.jobs.tail import CHUNK


def follow(log: Path, *, first_attempt: bool = True) -> Followed:
    return Followed(str(log), first_attempt=first_attempt, colors=False)


def test_lines_come_as_they_are_whole_and_the_last_one_at_the_end(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    followed = follow(log)
    shown = [followed.lines()]
    log.write_bytes(b"one\ntw")
    shown.append(followed.lines())
    log.write_bytes(b"one\ntwo\nthree")
    shown.append(followed.lines())
    followed.end()
    shown.append(followed.lines())

    assert [b"", b"one\n", b"two\n", b"three\n"] == shown
    assert followed.is_done


def test_each_attempt_has_what_was_written_in_its_time(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_bytes(b"attempt 1\n")
    first = follow(log)
    first.end()
    second = follow(log, first_attempt=False)
    log.write_bytes(b"attempt 1\nattempt 2\n")
    second.end()

    assert [b"attempt 2\n", b"attempt 1\n"] == [second.lines(), first.lines()]


def test_it_says_whether_there_may_be_more_at_once(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_bytes(b"x\n" * CHUNK)
    followed = follow(log)
    more = []
    for _ in range(3):
        followed.lines()
        more.append(followed.has_more)

    assert [True, True, False] == more
    followed.close()


def test_a_question_that_nobody_will_answer_can_be_shown(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_bytes(b"Continue? [y/N] ")
    followed = follow(log)

    assert (b"", b"Continue? [y/N] \n") == (followed.lines(), followed.unfinished_line())
    followed.close()


def test_a_job_without_a_log_is_done_when_it_ends(tmp_path: Path) -> None:
    followed = follow(tmp_path / "never made.log")
    followed.end()

    assert (b"", True) == (followed.lines(), followed.is_done)
