"""One attempt's output, followed in a log that may be shared with other attempts."""

from __future__ import annotations

from pathlib import Path

from job_histories import finished, retried, started

from runner.jobs.log import CHUNK
from runner.render.job_output.follow import FollowedLog, LogFollower


def follow(log: Path) -> FollowedLog:
    return FollowedLog(str(log), colors=False)


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
    follower = LogFollower(colors=False)
    _, first = follower.begin(started("job", log=str(log)))
    log.write_bytes(b"attempt 1\n")
    follower.end(retried("job"))
    log.write_bytes(b"attempt 1\nattempt 2\n")  # before anybody heard that it began
    _, second = follower.begin(started("job", attempt=2, log=str(log)))
    follower.end(finished("job", attempt=2))

    assert [b"attempt 2\n", b"attempt 1\n"] == [second.lines(), first.lines()]


def test_an_attempt_with_a_log_of_its_own_has_all_of_it(tmp_path: Path) -> None:
    follower = LogFollower(colors=False)
    follower.begin(started("job", log=str(tmp_path / "1.log")))
    follower.end(retried("job"))
    (tmp_path / "2.log").write_bytes(b"attempt 2\n")
    _, second = follower.begin(started("job", attempt=2, log=str(tmp_path / "2.log")))
    follower.end_all()

    assert (b"attempt 2\n", True) == (second.lines(), second.is_done)


def test_an_end_without_a_beginning_is_none_of_ours() -> None:
    assert LogFollower(colors=False).end(finished("job")) is None


def test_a_job_is_begun_until_its_end_is_told_also_between_attempts(tmp_path: Path) -> None:
    follower = LogFollower(colors=False)
    begun = [follower.is_begun("job")]
    follower.begin(started("job", log=str(tmp_path / "log")))
    for event in (retried("job"), finished("job")):
        begun.append(follower.is_begun("job"))
        follower.end(event)
    begun.append(follower.is_begun("job"))

    assert [False, True, True, False] == begun


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
