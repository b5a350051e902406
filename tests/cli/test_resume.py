"""`mprun resume` of stages: a run that was killed, stopped or has failed, gone on with, or refused with the reason."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]

SHOP = """\
name: shop
params:
  count: {type: integer, default: 200}
queues: {orders: {maxsize: 20}}
stages:
  lister: {run: "shop:orders", with: {count: "${{ params.count }}"}, to: orders}
  worker: {run: "shop:handle", from: orders}
"""
HANDLERS = """\
import contextlib, json, os, random, signal, sqlite3, time
from pathlib import Path

def orders(count):
    yield from range(count)

def random_orders(count):
    for _ in range(count):
        yield random.random()

def handle(order, worker):
    with open("handled.txt", "a") as file:
        file.write(f"{order}\\n")
    if order == 40 and Path("deadly").exists():
        die(30)
    if order == 40 and Path("faulty").exists():
        raise ValueError("forty")
    if Path("slow").exists():
        time.sleep(0.05)

class Counter:
    def __init__(self):
        self.count = 0

    def __call__(self, order):
        self.count += 1
        if self.count == 41 and Path("deadly").exists():
            die(30)

def die(done):
    # The runner, once its record has a cut in which so many are done: who waits for a time is too early, or too late.
    (db,) = Path(".").glob(".mprun/runs/*/run.db") if wait_for_db() else ()
    while True:
        with contextlib.closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
            with contextlib.suppress(sqlite3.Error):
                for (told,) in connection.execute("SELECT told FROM account"):
                    if json.loads(told)["partitions"][0]["done"] >= done:
                        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(0.02)

def wait_for_db():
    while not list(Path(".").glob(".mprun/runs/*/run.db")):
        time.sleep(0.02)
    return True
"""


class Place:
    """A folder with a workflow, and a home in it."""

    def __init__(self, folder: Path, run_mprun: RunMprun) -> None:
        self.folder = folder
        self._run = run_mprun
        self.write("shop.yaml", SHOP)
        self.write("shop.py", HANDLERS)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def change(self, name: str, before: str, after: str) -> None:
        text = (self.folder / name).read_text(encoding="utf-8")
        assert before in text
        self.write(name, text.replace(before, after))

    def mprun(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        home = {"MPRUN_HOME": str(self.folder / ".mprun")}
        return self._run(*words, cwd=self.folder, env={**home, **(env or {})})

    def kill(self) -> None:
        """Leave a run behind whose runner was killed when some of its items were done."""
        self.write("deadly", "")
        killed = self.mprun("run", "shop.yaml", "-q")
        assert killed.returncode == -9, killed.stderr
        (self.folder / "deadly").unlink()

    def handled(self) -> list[int]:
        return [int(line) for line in (self.folder / "handled.txt").read_text(encoding="utf-8").split()]

    def history(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.mprun("history", "--format", "json").stdout)
        return rows


@pytest.fixture
def place(tmp_path: Path, run_mprun: RunMprun) -> Place:
    return Place(tmp_path, run_mprun)


def test_a_killed_run_is_gone_on_with_as_the_same_run(place: Place) -> None:
    place.kill()
    before = place.handled()
    (killed,) = place.history()
    assert killed["outcome"] == "killed"

    told = place.mprun("resume", "latest", "--check")
    assert told.returncode == 0, told.stderr
    assert re.search(r"\d+ items are done, \d+ wait, \d+ of them in workers' hands", told.stdout)
    assert re.search(r"lister-1 makes again, and leaves out, its first \d+ items", told.stdout)
    assert place.handled() == before

    resumed = place.mprun("resume", "shop", "--no-progress")
    assert resumed.returncode == 0, resumed.stderr
    assert set(place.handled()) == set(range(200))
    assert len(place.handled()) < 200 + 40
    assert re.search(r"ledger: 200 put = \d+ done before \+ \d+ done\n", resumed.stderr)
    assert "run.resumed" in resumed.stderr
    (row,) = place.history()
    assert (row["id"], row["outcome"], row["incarnations"], row["done"]) == (killed["id"], "done", 2, 200)

    again = place.mprun("resume", killed["id"])
    assert (again.returncode, again.stderr) == (0, f"run '{killed['id']}' is done: nothing is left\n")


@pytest.mark.slow
def test_a_run_that_ctrl_c_has_ended_says_how_to_go_on(place: Place) -> None:
    place.change("shop.py", "die(30)", "os.kill(os.getppid(), signal.SIGINT)")
    place.write("deadly", "")
    stopped = place.mprun("run", "shop.yaml", "--no-progress", "--param", "count=5000")
    assert stopped.returncode == 130, stopped.stderr
    (row,) = place.history()
    assert stopped.stderr.endswith(f"resume with: mprun resume {row['id']}\n")
    (place.folder / "deadly").unlink()
    assert place.mprun("resume", row["id"], "-q").returncode == 0
    assert place.handled() == list(range(5000))


@pytest.mark.slow
def test_a_run_that_a_bug_has_ended_goes_on_once_it_is_mended_and_says_what_has_changed(place: Place) -> None:
    place.write("faulty", "")
    failed = place.mprun("run", "shop.yaml", "--no-progress")
    assert failed.returncode == 1
    assert "resume with: mprun resume" in failed.stderr
    place.change("shop.py", 'raise ValueError("forty")', "pass  # mended")
    resumed = place.mprun("resume", "latest", "--no-progress")
    assert resumed.returncode == 0, resumed.stderr
    assert re.search(
        r"mprun: shop.py has changed since; \d+ finished items keep what the old code did", resumed.stderr
    )
    assert set(place.handled()) == set(range(200))


@pytest.mark.slow
def test_items_that_had_failed_are_counted_in_the_run_they_failed_in_whoever_goes_on(place: Place) -> None:
    place.change("shop.yaml", "from: orders}", "from: orders, on_error: skip}\nlimits: {max_errors: 30}")
    place.change(
        "shop.py",
        "    if order == 40",
        "    if order % 20 == 7:\n        raise ValueError(order)\n    if order == 40",
    )
    place.kill()
    resumed = place.mprun("resume", "latest", "-q")
    assert resumed.returncode == 0, resumed.stderr
    (row,) = place.history()
    assert (2, 190, 10) == (row["incarnations"], row["done"], row["failed"])


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["resume", "rerun"])
def test_a_file_that_came_over_standard_input_is_what_the_record_has_of_it(
    place: Place, mprun: Path, plain_env: Mapping[str, str], verb: str
) -> None:
    place.write("faulty", "")
    failed = subprocess.run(
        [mprun, "run", "-", "-q"],
        cwd=place.folder,
        env={**plain_env, "MPRUN_HOME": str(place.folder / ".mprun")},
        input=SHOP,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert failed.returncode == 1, failed.stderr
    (place.folder / "faulty").unlink()
    again = place.mprun(verb, "latest", "-q")
    assert again.returncode == 0, again.stderr
    assert set(place.handled()) == set(range(200))


@pytest.mark.quick("another sharding")
@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("  worker: {", "  eater: {", "stage 'worker': it is gone"),
        (
            "from: orders}",
            "from: orders, shard_by: '@', count: 2}",
            "queue 'orders': it was not sharded, and is sharded by",
        ),
        ("orders", "others", "queue 'orders': it is gone, and items may be in it"),
    ],
    ids=["a stage that is gone", "another sharding", "a queue that is gone"],
)
def test_what_is_left_of_a_run_has_no_place_in_another_topology(
    place: Place, before: str, after: str, words: str
) -> None:
    place.kill()
    text = SHOP.replace("shop:orders", "shop:HANDLER").replace(before, after).replace("HANDLER", "orders")
    place.write("shop.yaml", text)
    for more in ((), ("--check",), ("--changed", "ok")):
        refused = place.mprun("resume", "latest", *more)
        assert refused.returncode == 6, refused.stderr
        assert words in refused.stderr
        assert "--- shop.yaml then\n+++ shop.yaml now\n" in refused.stderr
        assert "begins anew" in refused.stderr


@pytest.mark.slow
def test_a_producer_that_is_given_something_else_has_to_be_asked_for(place: Place) -> None:
    place.kill()
    place.change("shop.yaml", "default: 200", "default: 250")
    refused = place.mprun("resume", "latest")
    assert refused.returncode == 6
    assert "stage 'lister': `with` has changed" in refused.stderr
    assert place.mprun("resume", "latest", "--changed", "ok", "-q").returncode == 0
    assert set(place.handled()) == set(range(250))


@pytest.mark.slow
def test_a_producer_that_gives_something_else_ends_the_run_and_both_are_shown(place: Place) -> None:
    place.change("shop.yaml", "shop:orders", "shop:random_orders")
    place.change("shop.py", "order == 40 and Path", "len(open('handled.txt').readlines()) == 40 and Path")
    place.kill()
    refused = place.mprun("resume", "latest", "-q")
    assert refused.returncode == 6, refused.stderr
    assert re.search(r"'lister'.* gave something else at item \d+", refused.stderr)
    assert "resume with:" not in refused.stderr
    assert "goes on with it" not in place.mprun("show", "latest").stdout
    again = place.mprun("resume", "latest", "--check")
    assert (6, True) == (again.returncode, "once it gives that again, `--changed ok` goes on" in again.stderr)


@pytest.mark.slow
def test_a_file_that_has_become_shorter_is_refused_before_anything_begins(place: Place) -> None:
    place.write("in.txt", "".join(f"{n}\n" for n in range(5000)))
    place.change(
        "shop.yaml", '"shop:orders", with: {count: "${{ params.count }}"}', "{lines: {path: in.txt}}"
    )
    place.change("shop.py", "order == 40", "order == '40'")
    place.kill()
    place.write("in.txt", "0\n")
    for more in ("--check", "-q"):
        refused = place.mprun("resume", "latest", more)
        assert (6, True) == (refused.returncode, "'in.txt' has become shorter" in refused.stderr)
    assert "killed" == place.history()[0]["outcome"]


@pytest.mark.slow
def test_of_two_that_go_on_at_once_one_is_told_who_the_other_is(place: Place) -> None:
    place.kill()
    place.write("slow", "")
    place.change("shop.py", 'with open("handled.txt"', 'second()\n    with open("handled.txt"')
    place.change(
        "shop.py",
        "def wait_for_db",
        "def second():\n"
        "    import subprocess, sys\n"
        "    if not Path('second').exists():\n"
        "        mprun = Path(sys.executable).with_name('mprun')\n"
        "        done = subprocess.run([mprun, 'resume', 'latest'], capture_output=True, text=True)\n"
        "        Path('second').write_text(f'{done.returncode} {os.getppid()} {done.stderr}')\n\n"
        "def wait_for_db",
    )
    place.mprun("resume", "latest", "-q")
    code, pid, words = (place.folder / "second").read_text(encoding="utf-8").split(" ", 2)
    assert code == "6", words
    assert f"process {pid} runs it" in words


@pytest.mark.slow
def test_what_a_handler_kept_in_itself_is_not_passed_over_in_silence(place: Place) -> None:
    place.change("shop.yaml", "shop:handle", "shop:Counter")
    place.kill()
    refused = place.mprun("resume", "latest")
    assert refused.returncode == 6, refused.stderr
    assert re.search(
        r"stage 'worker': what it kept of \d+ items in `self.count` \(shop.py, line \d+\) is lost",
        refused.stderr,
    )
    place.change("shop.yaml", "from: orders}", "from: orders, state: none}")
    assert place.mprun("resume", "latest", "-q").returncode == 0


def test_under_another_transport_nobody_knows_what_was_in_the_queues(place: Place) -> None:
    place.change("shop.yaml", "name: shop", "name: shop\ntransport: joinable")
    place.write("faulty", "")
    failed = place.mprun("run", "shop.yaml", "--no-progress")
    assert failed.returncode == 1
    assert "resume with" not in failed.stderr
    refused = place.mprun("resume", "latest")
    assert refused.returncode == 6
    assert "under `joinable` nobody knows what is in the queues" in refused.stderr


@pytest.mark.slow
def test_where_the_file_is_gone_its_record_has_it(place: Place) -> None:
    place.kill()
    (place.folder / "shop.yaml").unlink()
    refused = place.mprun("resume", "latest", "-q")
    (row,) = place.history()
    assert (refused.returncode, refused.stderr) == (
        6,
        f"mprun: run '{row['id']}' can't be gone on with: there is no 'shop.yaml' any more; "
        f"`mprun show {row['id']} --file > shop.yaml` writes it as it was\n",
    )
    place.write("shop.yaml", place.mprun("show", row["id"], "--file").stdout)
    assert place.mprun("resume", "latest", "-q").returncode == 0
    assert set(place.handled()) == set(range(200))


def test_a_run_is_gone_on_with_in_its_record_and_nowhere_else(place: Place) -> None:
    place.kill()
    refused = place.mprun("resume", "latest", "--no-record")
    assert (refused.returncode, refused.stderr) == (
        2,
        "mprun: --no-record: a run is gone on with in its record\n",
    )
    unknown = place.mprun("resume", "zzz")
    assert unknown.returncode == 2
    assert "there is no run 'zzz'" in unknown.stderr


MORE = """\
import time

def numbers():
    for number in range(100_000):
        yield number
        time.sleep(0.005)

def few():
    yield from range(60)

def faulty(item):
    if item == 50:
        raise ValueError("fifty")

def idle():
    time.sleep(60)

def nothing():
    pass

class Sum:
    def __init__(self):
        self.total = 0

    def __call__(self, item):
        self.total += item

    def close(self):
        with open("sum.txt", "w") as file:
            file.write(str(self.total))
"""
FAILS = '  lister: {run: "more:few", to: q}\n  worker: {run: "more:faulty", from: q}\n'
RUNS = '  lister: {run: "more:numbers", to: q}\n'
ENDS = {
    "a failure": (True, FAILS),
    "a failure without cuts": (False, f"{FAILS}resume: none\n"),
    "a failure beside a plain stage that waits": (False, f'{FAILS}  clock: {{run: "more:idle"}}\n'),
    "a failure behind a plain stage": (
        True,
        FAILS.replace("from: q}", "from: q, needs: [clock]}") + '  clock: {run: "more:nothing"}\n',
    ),
    "a failure beside a shared object": (False, f"{FAILS}shared: {{board: {{kind: dict}}}}\n"),
    "a failure under another transport": (False, f"{FAILS}transport: joinable\n"),
    "a timeout": (
        True,
        f"{RUNS}  worker: {{run: {{jsonl: {{path: out.jsonl}}}}, from: q}}\nlimits: {{timeout: 400ms}}\n",
    ),
    "a timeout of what keeps something": (
        False,
        f'{RUNS}  worker: {{run: "more:Sum", from: q}}\nlimits: {{timeout: 400ms}}\n',
    ),
    "a failed job": (True, "jobs:\n  a: {run: 'true'}\n  b: {run: 'false', needs: [a]}\n"),
    "a failed job of which nothing is kept": (False, "jobs:\n  b: {run: 'false'}\nresume: none\n"),
    "a job that took too long": (True, "jobs:\n  b: {run: sleep 60}\nlimits: {timeout: 400ms}\n"),
}


@pytest.mark.quick("a failure", "a failure beside a plain stage that waits")
@pytest.mark.parametrize(("goes_on", "text"), ENDS.values(), ids=ENDS.keys())
def test_the_last_line_says_how_to_go_on_exactly_where_that_would_begin(
    place: Place, text: str, *, goes_on: bool
) -> None:
    place.write("more.py", MORE)
    place.write("flow.yaml", f"name: flow\n{'' if text.startswith('jobs') else 'stages:'}\n{text}")
    ended = place.mprun("run", "flow.yaml", "-q", "--report", "report.json", "--events", "events.jsonl")
    assert ended.returncode in (1, 5), ended.stderr
    (row,) = place.history()
    way = f"resume with: mprun resume {row['id']}\n"
    assert [goes_on, goes_on] == [ended.stderr.endswith(way), way in ended.stderr]
    last = json.loads((place.folder / "events.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    report = json.loads((place.folder / "report.json").read_text(encoding="utf-8"))
    assert [goes_on] * 3 == [last["resumable"], report["resumable"], row["resumable"] is not None]

    accepted = place.mprun("resume", row["id"], "--check")
    assert accepted.returncode == (0 if goes_on else 6), ended.stderr + accepted.stderr
    shown = place.mprun("show", row["id"]).stdout
    assert goes_on == (f"`mprun resume {row['id']}` goes on with it" in shown)


@pytest.mark.slow
def test_what_a_handler_has_written_as_it_closed_is_not_written_over_unless_that_is_asked_for(
    place: Place,
) -> None:
    place.write("more.py", MORE)
    place.write("flow.yaml", f"name: flow\nstages:\n{ENDS['a timeout of what keeps something'][1]}")
    ended = place.mprun("run", "flow.yaml", "--no-progress")
    (row,) = place.history()
    assert ended.stderr.endswith(
        f"what has to be known before it is resumed: mprun resume {row['id']} --check\n"
    )
    first = (place.folder / "sum.txt").read_text(encoding="utf-8")

    for more in ((), ("--check",)):
        refused = place.mprun("resume", "latest", *more)
        assert refused.returncode == 6
        assert re.search(
            r"stage 'worker': what it kept of \d+ items in `self.total` .* was in workers that closed",
            refused.stderr,
        )
        assert "`--changed ok` goes on all the same" in refused.stderr
    assert first == (place.folder / "sum.txt").read_text(encoding="utf-8")

    again = place.mprun("resume", "latest", "--changed", "ok", "--no-progress")
    assert again.returncode == 5
    assert "new ones begin with nothing" in again.stderr
    assert first != (place.folder / "sum.txt").read_text(encoding="utf-8")


@pytest.mark.slow
def test_bounds_are_given_anew_and_stay_and_what_the_rest_stands_on_is_refused(place: Place) -> None:
    place.kill()
    given = ("--set", "limits.timeout=50s", "--set", "stages.worker.count=2")
    told = json.loads(place.mprun("resume", "latest", "--check", "--format", "json", *given).stdout)
    assert [True, 200] == [
        told["goes_on"],
        told["done"] + told["waiting"] + 200 - told["producers"][0]["put"],
    ]
    assert ("lister-1", "again") == (told["producers"][0]["worker"], told["producers"][0]["way"])
    assert [
        "`limits`: `timeout` was nothing, and is 50.0",
        "stage 'worker': `count` was 1, and is 2",
    ] == told["notes"]

    refused = place.mprun("resume", "latest", *given, "--param", "count=250", "--check", "--format", "json")
    assert refused.returncode == 6
    assert "stage 'lister': `with` has changed" in json.loads(refused.stdout)["error"]
    assert "+++ given now\n+--param count=250\n+--set limits.timeout=50s\n" in refused.stderr

    assert place.mprun("resume", "latest", *given, "-q").returncode == 0
    shown = json.loads(place.mprun("show", "latest", "--format", "json").stdout)
    assert ["limits.timeout=50s", "stages.worker.count=2"] == shown["overrides"]
    done = place.mprun("resume", "latest", "--check", "--format", "json")
    assert {"goes_on": False, "run": shown["id"]} == json.loads(done.stdout)


@pytest.mark.slow
def test_a_run_that_had_too_little_time_is_given_more_and_keeps_what_it_was_given(place: Place) -> None:
    place.write("slow", "")
    first = place.mprun("run", "shop.yaml", "-q", "--set", "limits.timeout=700ms", "--param", "count=40")
    assert first.returncode == 5
    assert place.mprun("resume", "latest", "-q").returncode == 5
    again = place.mprun("resume", "latest", "-q", "--set", "limits.timeout=50s")
    assert (again.returncode, again.stderr) == (0, "")
    assert set(place.handled()) == set(range(40))
    shown = json.loads(place.mprun("show", "latest", "--format", "json").stdout)
    assert (["count=40"], ["limits.timeout=50s"]) == (shown["params"], shown["overrides"])


@pytest.mark.slow
def test_a_secret_that_was_given_and_not_kept_is_given_once_more(place: Place) -> None:
    text = "name: ci\nparams: {key: {type: string}}\njobs:\n"
    job = "  send: {secrets: [KEY], run: 'test -e sent || { touch sent; false; }; echo ${{ params.key }}'}\n"
    place.write("ci.yaml", text + job)
    env = {"KEY": "s3cr3tkey"}
    failed = place.mprun("run", "ci.yaml", "-q", "--param", "key=s3cr3tkey", env=env)
    assert failed.returncode == 1
    assert "resume with" not in failed.stderr
    refused = place.mprun("resume", "latest", env=env)
    assert refused.returncode == 2
    assert "was given a secret by --param or --set, which was not kept; give it once more" in refused.stderr
    given = ("--param", "key=s3cr3tkey")
    told = json.loads(place.mprun("resume", "latest", "--check", "--format", "json", *given, env=env).stdout)
    assert [["send"], [], []] == [[each["job"] for each in told["to_run"]], told["kept"], told["gone"]]
    assert place.mprun("resume", "latest", "-q", *given, env=env).returncode == 0


def test_a_check_is_what_has_a_form_for_programs(place: Place) -> None:
    refused = place.mprun("resume", "shop", "--format", "json")
    assert refused.returncode == 2
    assert "--format json is what --check prints" in json.loads(refused.stdout)["error"]
