"""`mprun test`, as it is typed: what it shows, writes and returns."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

HANDLERS = """
import time

def numbers():
    yield from range(100)

def double(n):
    if n == 13:
        raise ValueError("no luck")
    return 2 * n

def hang(n):
    time.sleep(60)

def eat(n):
    pass
"""
FILE = """# a comment
name: shop
stages:
  numbers: {run: "h:numbers", to: numbers}
  double: {run: "h:double", from: numbers, to: doubled}   # times two
  eat: {run: "h:eat", from: doubled}
"""


def write(folder: Path, tests: str, file: str = FILE) -> Path:
    (folder / "h.py").write_text(HANDLERS)
    path = folder / "shop.yaml"
    path.write_text(f"{file}tests:\n{tests}")
    return path


GOOD = "  good: {stage: double, transport: inline, items: [1, 2], expect: {outputs: [2, 4]}}\n"
BAD = "  bad: {stage: double, transport: inline, items: [1, 13], expect: {outputs: [3]}}  # by hand\n"


def test_it_shows_each_test_and_what_is_different(run_mprun: RunMprun, tmp_path: Path) -> None:
    write(tmp_path, GOOD + BAD)
    done = run_mprun("test", "shop.yaml", "--junit", "j.xml", cwd=tmp_path)

    assert 1 == done.returncode
    lines = [line for line in done.stdout.splitlines() if "passed" not in line and "FAILED" not in line]
    assert lines == [
        "shop.yaml",
        "    shop.yaml:9:68: the outputs of 'double' are others",
        "      - 3",
        "      + 2",
        "    shop.yaml:9:59: an item failed that should not",
        '      + {item: 13, error: "ValueError: no luck"}',
    ]
    assert done.stderr.startswith("1 failed, 1 passed, ")
    suite = ElementTree.parse(tmp_path / "j.xml").getroot()[0]
    assert ("shop.yaml", "2", "1") == (suite.get("name"), suite.get("tests"), suite.get("failures"))
    assert "+ 2" in (suite.findtext("testcase/failure") or "")


def test_update_writes_what_came_and_nothing_else(run_mprun: RunMprun, tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + BAD)
    before = path.read_text()
    done = run_mprun("test", "shop.yaml", "--update", cwd=tmp_path)

    assert 0 == done.returncode
    wanted = before.replace("[3]}}", '[2], failures: [{item: 13, error: "ValueError: no luck"}]}}')
    assert wanted == path.read_text()
    assert 0 == run_mprun("test", "shop.yaml", cwd=tmp_path).returncode


def test_what_shares_an_anchor_is_left_for_the_user(run_mprun: RunMprun, tmp_path: Path) -> None:
    path = write(
        tmp_path,
        BAD.replace("items: [1, 13]", "items: &a [1]").replace(
            "expect: {outputs: [3]}", "expect: &b {outputs: [3]}"
        )
        + BAD.replace("bad:", "bad too:").replace("expect: {outputs: [3]}", "expect: *b"),
    )
    before = path.read_text()
    done = run_mprun("test", "shop.yaml", "--update", cwd=tmp_path)

    assert 1 == done.returncode
    assert ["  FAILED ", "  FAILED "] == [
        line[:9] for line in done.stdout.splitlines() if "bad" in line[9:15]
    ]
    assert 2 == done.stdout.count("'shop.yaml' is not changed: the expectations of")
    assert before == path.read_text()


def test_a_file_that_can_not_be_updated_does_not_keep_the_next_one_from_its_tests(
    run_mprun: RunMprun, tmp_path: Path
) -> None:
    """And nothing is said to be updated that is not."""
    shared = GOOD.replace("[1, 2], expect: {outputs: [2, 4]}", "[1, 1.5], expect: *b")
    write(tmp_path, BAD.replace("expect: {", "expect: &b {") + shared)
    other = tmp_path / "other.yaml"
    other.write_text(FILE + "tests:\n" + BAD)
    done = run_mprun("test", "shop.yaml", "other.yaml", "--update", cwd=tmp_path)

    assert 1 == done.returncode
    refused, updated = done.stdout.split("other.yaml\n", 1)
    assert "updated" not in refused
    assert "is not changed" in refused
    assert "updated bad" in updated
    assert "[2]" in other.read_text()


@pytest.mark.slow
def test_a_first_test_is_written_and_passes(run_mprun: RunMprun, tmp_path: Path) -> None:
    path = write(tmp_path, "")
    path.write_text(FILE)
    done = run_mprun("test", "shop.yaml", cwd=tmp_path)
    assert (0, "shop.yaml\n  no tests; `mprun test shop.yaml --create` writes a first one\n") == (
        done.returncode,
        done.stdout,
    )
    created = run_mprun("test", "shop.yaml", "--create", cwd=tmp_path)

    assert (0, "shop.yaml\n  a first test is written, 'first items'\n") == (
        created.returncode,
        created.stdout,
    )
    assert path.read_text() == FILE + (
        "\ntests:\n  first items:\n    replace: {numbers: {items: [0, 1, 2, 3, 4]}, eat: collect}\n"
        "    expect:\n      outputs: {eat: [0, 2, 4, 6, 8]}\n"
        "      ledger: {numbers: {put: 5, done: 5}, doubled: {put: 5, done: 5}}\n"
    )
    assert 0 == run_mprun("test", "shop.yaml", cwd=tmp_path).returncode


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("shop.yaml", "-k", "good"), 0, "1 passed"),
        (("shop.yaml", "-k", "nothing"), 0, "no tests were run"),
        (("shop.yaml", "nowhere.yaml"), 3, "there is no file 'nowhere.yaml'"),
        (("shop.yaml", "--update", "--create"), 2, "give one of them"),
        (("-",), 2, "name one, '-' has no place"),
        (("shop.yaml", "--junit", "no/such/j.xml"), 2, "can't be written"),
        ((), 2, "Missing argument 'FILE...'"),
    ],
)
def test_its_exit_code_tells_what_happened(
    run_mprun: RunMprun, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    write(tmp_path, GOOD)
    done = run_mprun("test", *arguments, cwd=tmp_path)

    assert code == done.returncode
    assert said in done.stderr


def test_a_wrong_test_keeps_all_from_running(run_mprun: RunMprun, tmp_path: Path) -> None:
    write(tmp_path, GOOD + "  odd: {stage: duoble, items: [], expect: {}}\n")
    done = run_mprun("test", "shop.yaml", "--junit", "j.xml", cwd=tmp_path)

    assert (3, "") == (done.returncode, done.stdout)
    assert "unknown-stage" in (tmp_path / "j.xml").read_text()
    assert "shop.yaml:9:16: error[unknown-stage]: there is no stage 'duoble'" in done.stderr


@pytest.mark.slow
def test_what_hangs_is_ended_and_has_failed(run_mprun: RunMprun, tmp_path: Path) -> None:
    hanging = FILE.replace("h:double", "h:hang").replace("limits", "limits")
    write(
        tmp_path, GOOD.replace("expect", "timeout: 300ms, expect").replace(", transport: inline", ""), hanging
    )
    done = run_mprun("test", "shop.yaml", cwd=tmp_path)

    assert 1 == done.returncode
    assert "it took longer than it may, 300ms" in done.stdout


def test_ctrl_c_ends_what_runs_and_tells_what_was_done(
    mprun: Path, plain_env: dict[str, str], tmp_path: Path
) -> None:
    write(tmp_path, GOOD.replace("double", "eat").replace("outputs: [2, 4]", "exit: 0"), FILE)
    hanging = GOOD.replace("good", "hangs").replace(", transport: inline", "")
    (tmp_path / "hang.yaml").write_text(FILE.replace("h:double", "h:hang") + "tests:\n" + hanging)
    env = {**plain_env, "TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    process = subprocess.Popen(
        [mprun, "test", "shop.yaml", "hang.yaml", "--junit", "j.xml"],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    begun = [next(process.stdout) for _ in range(3)]
    _until(lambda: _working(tmp_path / "tmp"))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)

    assert 130 == process.returncode
    assert begun[1].startswith("  passed  good")
    assert ("hang.yaml\n", "") == (begun[2], out)
    assert err.startswith("1 passed in 2 files, ")
    assert [] == [*(tmp_path / "tmp").iterdir()]
    assert "good" in (tmp_path / "j.xml").read_text()
    _until(lambda: not _working(tmp_path / "tmp"))


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _working(folder: Path) -> bool:
    """Say whether some process works in a folder below this one."""
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and str(folder) in str((entry / "cwd").readlink()):
                return True
        except OSError:
            continue
    return False


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        "kill: {stage: double, at_item: 50}",
        "kill: {stage: double, worker: 1, at_item: 10}",
        "kill: {stage: eat, at_item: 99}",
        "restart: {stage: eat, at_item: 60}",
        "restart: {stage: numbers, at_item: 30}",
        "restart: {stage: double, at_item: 40, times: 3}",
    ],
)
def test_whatever_is_killed_each_item_comes_out_once(run_mprun: RunMprun, tmp_path: Path, fault: str) -> None:
    items, doubled = [*range(20, 120)], [2 * n for n in range(20, 120)]
    write(
        tmp_path,
        f"  t:\n    replace: {{numbers: {{items: {items}}}, eat: collect}}\n    faults: [{fault}]\n"
        f"    expect: {{outputs: {{eat: {doubled}}}, ledger: {{numbers: {{put: 100, done: 100}}}}}}\n",
    )
    done = run_mprun("test", "shop.yaml", cwd=tmp_path)

    assert (0, done.stdout) == (done.returncode, done.stdout), done.stdout
    assert "passed" in done.stdout


def test_what_a_python_function_makes_is_given_and_compared(run_mprun: RunMprun, tmp_path: Path) -> None:
    write(
        tmp_path,
        "  t: {stage: double, items: 'h:numbers', transport: inline, expect: {ledger: {numbers: {put: 100}}, "
        "failures: [{item: 13}]}}\n",
    )
    done = run_mprun("test", "shop.yaml", cwd=tmp_path)

    assert 0 == done.returncode, json.dumps(done.stdout)


ROUTED = """name: routed
stages:
  numbers: {run: "h:numbers", to: numbers}
  double: {run: "h:double", from: numbers, to: {small: item < 10, else: big}, on_error: {to: bad}}
  small: {run: "h:eat", from: small}
  big: {run: "h:eat", from: big}
  bad: {run: "h:eat", from: bad}
"""


def test_a_stage_with_several_ways_has_outputs_by_queue(run_mprun: RunMprun, tmp_path: Path) -> None:
    failure = "{item: 13, error: 'ValueError: no luck', attempts: 1, stage: double}"
    outputs = f"{{small: [2], big: [40, 60], bad: [{failure}]}}"
    write(
        tmp_path,
        f"  alone: {{stage: double, items: [1, 20, 13, 30], expect: {{outputs: {outputs}}}}}\n"
        "  whole:\n    replace: {numbers: {items: [1, 20, 13]}, small: collect, big: collect, bad: collect}\n"
        f"    expect: {{outputs: {{small: [2], big: [40], bad: [{failure}]}}}}\n",
        ROUTED,
    )
    done = run_mprun("test", "shop.yaml", cwd=tmp_path)

    assert 0 == done.returncode, done.stdout
