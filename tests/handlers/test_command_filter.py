"""A command that is kept running: its conversation, each way in which that breaks, and its end. With real programs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from runner.errors import CommandFailed
from runner.handlers.command.kind import build
from runner.handlers.kinds import Mapper, WorkerContext
from runner.spec.model import Role

UPPER = "import sys\nfor line in sys.stdin: print(line.upper(), end='', flush=True)"


@contextmanager
def kept(run: Any, role: Role = Role.PIPE, *, bound: float = 5.0, **options: Any) -> Iterator[Mapper]:
    """A filter; whoever is left of it at the end of a test is ended."""
    context = WorkerContext("neo", "chef", os.getpid(), os.getppid(), role=role, close_timeout=bound)
    mapper = build({"run": run, "filter": True, **options}, context)
    assert isinstance(mapper, Mapper)
    try:
        yield mapper
    finally:
        with suppress(CommandFailed):
            mapper.close()


def test_one_program_answers_item_after_item() -> None:
    with kept('while read -r line; do echo $$ "$line"; done') as mapper:
        answers = [str(mapper.call(item)).split(" ", 1) for item in ("a", "包子  x", "", 3)]

    assert [answer for _, answer in answers] == ["a", "包子  x", "", "3"]
    assert len({pid for pid, _ in answers}) == 1


def test_items_and_answers_may_be_json() -> None:
    program = "import sys, json\nfor line in sys.stdin: print(json.dumps(json.loads(line)['n']), flush=True)"
    with kept(["python3", "-c", program], stdin="json", output="json") as mapper:
        assert [mapper.call({"n": n}) for n in (1, [2, "x\ny"], None)] == [1, [2, "x\ny"], None]


def test_a_consumer_waits_for_the_answer_and_puts_none() -> None:
    with kept(["python3", "-c", UPPER], Role.CONSUMER) as mapper:
        assert mapper.call("a") is None


def test_an_item_bigger_than_any_pipe_goes_through_and_so_does_its_answer() -> None:
    with kept(["python3", "-c", UPPER]) as mapper:
        assert mapper.call("a" * 3_000_000) == "A" * 3_000_000


def once_then_cat(folder: Path, fault: str) -> str:
    """A program that does this with its first item, and answers as it should once it is started again."""
    return f"if mkdir {folder}/tried 2>&-; then {fault}; fi; exec cat"


FAULTS = {
    "it exits": ("read -r line; exit 7", "exited with code 7 before it had answered"),
    "it exits with last words": ("read -r line; echo why >&2; exit 7", "exited with code 7.*: why$"),
    "it ends well": ("read -r line; exit 0", "exited with code 0 before it had answered"),
    "it is killed": ("read -r line; kill -9 $$", "was killed by SIGKILL"),
    "it ends in its answer": (
        "read -r line; printf half; exit 0",
        "exited with code 0, in the middle of its answer 'half'",
    ),
    "it closes its output": ("read -r line; exec >&-; exec sleep 600", "closed its standard output"),
    "it answers twice": (
        "read -r line; env printf 'a\\nb\\n'; exec sleep 600",
        "answered with more than a line: 'a.*b'",
    ),
    "it says nothing": (
        "read -r line; exec sleep 600",
        "gave no answer within 300ms; it has to send each answer at once",
    ),
    "it begins and stops": ("read -r line; printf half; exec sleep 600", "gave no answer within 300ms"),
    "it ignores SIGTERM": (
        "trap '' TERM; read -r line; sleep 600 & wait; wait",
        "gave no answer within 300ms",
    ),
}


SLOW = ("it closes its output", "it ignores SIGTERM")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in FAULTS]
)
@pytest.mark.quick("it exits")
def test_what_goes_wrong_fails_the_item_in_hand_and_the_next_has_a_fresh_program(
    name: str, tmp_path: Path
) -> None:
    fault, words = FAULTS[name]
    with kept(once_then_cat(tmp_path, fault), answer_timeout=0.3 if "300ms" in words else 30) as mapper:
        with pytest.raises(CommandFailed, match=words):
            mapper.call("first")
        assert mapper.call("second") == "second"


def test_what_does_not_read_fails_the_item_too(tmp_path: Path) -> None:
    with kept(once_then_cat(tmp_path, "exec sleep 600"), answer_timeout=0.3) as mapper:
        with pytest.raises(CommandFailed, match="did not read the item within 300ms"):
            mapper.call("x" * 1_000_000)
        assert mapper.call("second") == "second"


def test_an_answer_that_nobody_asked_for_is_no_answer_to_the_next_item(tmp_path: Path) -> None:
    waits = f"until test -e {tmp_path}/go; do :; done"
    fault = f'read -r line; echo "$line"; {waits}; echo more; touch {tmp_path}/said; exec sleep 600'
    with kept(once_then_cat(tmp_path, fault)) as mapper:
        assert mapper.call("first") == "first"
        (tmp_path / "go").touch()
        wait_for((tmp_path / "said").exists)
        with pytest.raises(CommandFailed, match="said something that it was not asked: 'more'"):
            mapper.call("second")
        assert mapper.call("third") == "third"


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_its_death_between_two_items_fails_the_next(tmp_path: Path) -> None:
    fault = f'read -r line; echo "$line"; echo gone > {tmp_path}/gone; exit 4'
    with kept(once_then_cat(tmp_path, fault)) as mapper:
        assert mapper.call("first") == "first"
        wait_for((tmp_path / "gone").exists)
        with pytest.raises(CommandFailed, match="exited with code 4") as caught:
            mapper.call("second")
        assert caught.value.code == 4
        assert mapper.call("third") == "third"


@pytest.mark.parametrize(
    ("item", "options", "error", "words"),
    [
        ("a\nb", {}, ValueError, "would be several lines; `stdin: json` makes one of it"),
        ({1, 2}, {"stdin": "json"}, ValueError, r"\$: set has no form"),
        ("a", {"output": "json"}, CommandFailed, "its answer is not JSON: Expecting value: a$"),
    ],
)
def test_an_item_or_an_answer_that_has_no_form_fails_and_the_program_goes_on(
    item: object, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with kept("cat", **options) as mapper:
        with pytest.raises(error, match=words):
            mapper.call(item)
        assert mapper.call(3) in ("3", 3)


def test_there_is_no_such_program() -> None:
    with kept(["no-such-program"]) as mapper, pytest.raises(CommandFailed, match="there is no command"):
        mapper.call("x")


# ── its end ──


def pids_of(folder: Path) -> list[int]:
    return [int(pid) for pid in (folder / "pids").read_text().split()]


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def test_it_sees_the_end_of_its_input_and_does_what_it_does_then(tmp_path: Path) -> None:
    with kept(f"cat; echo done > {tmp_path}/done") as mapper:
        mapper.call("a")
        mapper.close()

    assert (tmp_path / "done").read_text() == "done\n"


@pytest.mark.parametrize(
    ("behind", "words"),
    [
        ("exit 3", "exited with code 3"),
        ("echo total 5", "said more at its end than it was asked: 'total 5'"),
        ("sleep 600", "did not end within 500ms when its standard input was closed"),
        ("trap '' TERM; sleep 600 & wait; wait", "did not end within 500ms"),
    ],
)
@pytest.mark.quick("exit 3-exited with code 3")
def test_an_end_that_is_not_good_is_told_and_nobody_is_left(behind: str, words: str, tmp_path: Path) -> None:
    begun = time.monotonic()
    with kept(
        f"echo $$ > {tmp_path}/pids; sleep 600 & echo $! >> {tmp_path}/pids; cat; {behind}", bound=0.5
    ) as mapper:
        mapper.call("a")
        with pytest.raises(CommandFailed, match=words):
            mapper.close()

    assert time.monotonic() - begun < 5
    assert len(pids_of(tmp_path)) == 2
    wait_for(lambda: all(map(is_gone, pids_of(tmp_path))))


def test_a_filter_without_items_was_never_started(tmp_path: Path) -> None:
    with kept(["touch", str(tmp_path / "started")]) as mapper:
        mapper.close()

    assert not (tmp_path / "started").exists()


def test_what_it_says_on_stderr_is_the_runs(capfd: pytest.CaptureFixture[str]) -> None:
    with kept('while read -r line; do echo "got $line" >&2; echo; done') as mapper:
        mapper.call("a")
        mapper.call("b")
        mapper.close()

    assert capfd.readouterr().err == "got a\ngot b\n"
