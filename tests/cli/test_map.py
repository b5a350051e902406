"""`mprun map`: a command for each of many items, and the workflow file that it is."""

from __future__ import annotations

import gzip
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.cli.map_workflow import MapRequest, map_workflow
from runner.errors import UsageError

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]


def test_each_item_is_one_word_whatever_is_in_it(run_mprun: RunMprun, tmp_path: Path) -> None:
    odd = ["a b", "x'; touch hacked", "$(touch hacked)", "${{ nope }}", "-n", "包子", "", "two\nlines"]

    done = run_mprun("map", "-j2", "printf '[%s]' ${{ item }}", "--", *odd, cwd=tmp_path)

    assert (0, "") == (done.returncode, done.stderr)
    assert sorted(f"[{each}]" for each in odd) == sorted(done.stdout.replace("][", "]\0[").split("\0"))
    assert [] == list(tmp_path.iterdir())


def test_the_parts_of_a_path_stand_where_they_are_named(run_mprun: RunMprun) -> None:
    script = "echo ${{ item.stem }} ${{ item.suffix }} ${{ item.name }} ${{ item.parent }}"

    assert "a.tar .gz a.tar.gz in/b c\n" == run_mprun("map", script, "--", "in/b c/a.tar.gz").stdout


def test_a_command_that_names_no_item_gets_it_as_its_last_word(run_mprun: RunMprun) -> None:
    assert "got 1\n" == run_mprun("map", "echo got", "--", "1").stdout


@pytest.fixture
def piped(mprun: Path, plain_env: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `mprun map` with a text on its standard input."""

    def run(text: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [mprun, "map", *words]
        return subprocess.run(
            command, input=text, capture_output=True, text=True, env=plain_env, timeout=60, check=False
        )

    return run


@pytest.mark.slow
def test_items_come_from_standard_input_by_lines_or_by_nul(
    piped: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    assert "1\ntwo words\n3\n" == piped("1\ntwo words\n3", "-k", "echo").stdout
    assert "<1><two\nlines>" == piped("1\0two\nlines\0", "-k", "-0", "printf '<%s>' ${{ item }}").stdout


@pytest.mark.parametrize(
    ("name", "text"),
    [("p.jsonl", '{"name": "neo"}\n'), ("p.csv", "name\nneo\n")],
)
def test_items_come_from_a_file_as_its_name_says(
    run_mprun: RunMprun, tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)

    assert "neo\n" == run_mprun("map", "--from", name, "echo ${{ item.name }}", cwd=tmp_path).stdout


def test_a_record_that_cannot_be_read_fails_alone(run_mprun: RunMprun, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"n": 1}\nbroken\n{"n": 3}\n')

    done = run_mprun("map", "-k", "--from", "p.jsonl", "echo ${{ item.n }}", cwd=tmp_path)

    assert (1, "1\n3\n") == (done.returncode, done.stdout)
    assert "mprun: 'broken': ValueError: p.jsonl:2:1: not JSON" in done.stderr
    assert "mprun: 1 of 3 failed" in done.stderr


@pytest.mark.slow
def test_why_it_broke_off_is_told_beside_what_failed(run_mprun: RunMprun, tmp_path: Path) -> None:
    numbers = "".join(f"{number}\n" for number in range(2000))
    (tmp_path / "t.gz").write_bytes(gzip.compress(numbers.encode())[:-1000])

    done = run_mprun("map", "-j1", "--from", "t.gz", "sh -c 'exit 1' sh", cwd=tmp_path)

    assert 1 == done.returncode
    assert "'t.gz' is cut short" in done.stderr


def test_a_closed_standard_input_is_no_place_to_read_items_from(mprun: Path) -> None:
    closed = ["sh", "-c", '"$0" map echo <&-', str(mprun)]

    done = subprocess.run(closed, capture_output=True, text=True, check=False, timeout=60)

    assert 2 == done.returncode
    assert "there are no items" in done.stderr


def test_no_items_is_no_failure(run_mprun: RunMprun) -> None:
    done = run_mprun("map", "echo")

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


def test_order_is_kept_where_it_is_asked_for(run_mprun: RunMprun) -> None:
    done = run_mprun("map", "-k", "-j3", "sleep 0.${{ item }}; echo ${{ item }}", "--", "3", "2", "1")

    assert "3\n2\n1\n" == done.stdout


def test_what_a_command_prints_comes_in_one_piece(run_mprun: RunMprun) -> None:
    script = "for n in 1 2 3 4 5 6; do printf '%05000d' ${{ item }}; done; echo"

    lines = run_mprun("map", "-j4", script, "--", *"123456789").stdout.split()

    assert sorted(f"{each:05000d}" * 6 for each in range(1, 10)) == sorted(lines)


def test_what_fails_is_told_counted_and_kept(run_mprun: RunMprun, tmp_path: Path) -> None:
    done = run_mprun("map", "sh -c 'echo said; exit $1' sh ${{ item }}", "--", "0", "3", cwd=tmp_path)

    assert (1, "said\nsaid\n") == (done.returncode, done.stdout)
    assert "mprun: '3': `sh -c 'echo said; exit $1' sh 3` exited with code 3" in done.stderr
    assert "mprun: 1 of 2 failed; `mprun dlq show " in done.stderr
    run = done.stderr.partition("mprun dlq show ")[2].partition("`")[0]
    assert "'3'" in run_mprun("dlq", "show", run, cwd=tmp_path).stdout


def test_what_fails_is_tried_again(run_mprun: RunMprun, tmp_path: Path) -> None:
    script = "test -e ${{ item }} || { touch ${{ item }}; exit 1; }"

    assert 1 == run_mprun("map", script, "--", "a", cwd=tmp_path).returncode
    assert 0 == run_mprun("map", "--retry", "1", script, "--", "b", cwd=tmp_path).returncode


def test_a_command_that_takes_too_long_fails(run_mprun: RunMprun) -> None:
    done = run_mprun("map", "--timeout", "200ms", "sleep 60", "--", "1")

    assert 1 == done.returncode
    assert "timed out after 200ms" in done.stderr


def test_so_many_may_fail_as_is_said(run_mprun: RunMprun) -> None:
    assert 0 == run_mprun("map", "--max-errors", "1", "test 1 =", "--", "1", "2").returncode
    assert 1 == run_mprun("map", "--max-errors", "40%", "test 1 =", "--", "1", "2").returncode


def test_the_file_that_is_printed_does_the_same(run_mprun: RunMprun, tmp_path: Path) -> None:
    asked = ("-k", "--retry", "2", "echo ${{ item }} | tr a-z A-Z", "--", "b c", "${{ x }}", "a")
    (tmp_path / "w.yaml").write_text(run_mprun("map", "--print", *asked).stdout)

    assert (
        run_mprun("map", *asked).stdout
        == run_mprun("w.yaml", "-q", cwd=tmp_path).stdout
        == "B C\n${{ X }}\nA\n"
    )


def test_a_command_that_is_wrong_is_shown_with_its_place(run_mprun: RunMprun) -> None:
    done = run_mprun("map", "echo ${{ itme }}", "--", "1")

    assert 3 == done.returncode
    assert "unknown-reference" in done.stderr
    assert "did you mean 'item'?" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("echo", "--from", "f", "--", "1"), "items are given after --, and with --from"),
        (("-0", "echo", "--", "1"), "-0 is for items that are read"),
        ((" ", "--", "1"), "the command is empty"),
        (("-0", "--from", "a.jsonl", "echo"), "-0 is for texts, and 'a.jsonl' is read as jsonl"),
        (("-j", "0", "echo", "--", "1"), "0 is not in the range"),
    ],
)
def test_what_does_not_fit_together_is_a_wrong_command_line(
    run_mprun: RunMprun, words: tuple[str, ...], message: str
) -> None:
    done = run_mprun("map", *words)

    assert 2 == done.returncode
    assert message in done.stderr


def test_a_program_that_is_not_there_fails_each_item(run_mprun: RunMprun) -> None:
    done = run_mprun("map", "no-such-program", "--", "1", "2")

    assert 1 == done.returncode
    assert "mprun: 2 of 2 failed" in done.stderr


def test_nobody_is_told_anything_where_the_reader_has_gone(mprun: Path) -> None:
    script = f"seq 20000 | {mprun} map -j2 echo | head -1"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)

    assert "" == done.stderr
    assert done.stdout.strip().isdigit()


@pytest.mark.slow
def test_ctrl_c_lets_what_is_begun_come_to_its_end(mprun: Path, tmp_path: Path) -> None:
    words = [str(mprun), "map", "-j1", "echo begun ${{ item }} >&2; sleep 0.5; touch ${{ item }}"]
    with subprocess.Popen(
        [*words, "--", *map(str, range(9))],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stderr is not None
        program.stderr.readline()
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=60)

    assert 130 == program.returncode
    assert (tmp_path / "0").exists()
    assert "stopped by SIGINT: items that were read go on for up to 10s" in said


def request(**given: Any) -> dict[str, Any]:
    return map_workflow(MapRequest(given.pop("script", "echo"), given.pop("items", ("a",)), **given))


def test_items_that_no_file_can_hold_are_refused() -> None:
    with pytest.raises(UsageError, match="is not UTF-8"):
        request(items=("\udcff",))


def test_compressed_files_are_read_by_what_is_in_them() -> None:
    assert {"jsonl": {"path": "x.jsonl.gz"}} == request(items=None, source="x.jsonl.gz")["stages"]["items"][
        "run"
    ]
    assert {"lines": {"path": "x.gz"}} == request(items=None, source="x.gz")["stages"]["items"]["run"]


def test_a_command_with_an_escaped_reference_alone_gets_the_item_too() -> None:
    run = request(script="echo $${{ x }}")["stages"]["command"]["run"]

    assert "echo $${{ x }} ${{ item }}" == run["command"]["run"]
