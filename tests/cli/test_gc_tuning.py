"""When the garbage collector runs: seldom while a command starts, as usual once a run has begun."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import gc
usual, frozen = gc.get_threshold(), gc.get_freeze_count()
from runner.cli.gc_tuning import resume_collection, defer_collection
defer_collection()
seldom = gc.get_threshold()
if {runs}:
    resume_collection()
    print(gc.get_threshold() == usual, gc.get_freeze_count() > frozen)
else:
    print(seldom[0] >= 100 * usual[0], gc.get_freeze_count() > frozen)


class Garbage:
    def __del__(self):
        print("collected")


garbage = Garbage()
garbage.itself = garbage
del garbage
"""


def told_by(*, runs: bool) -> list[str]:
    script = SCRIPT.format(runs=runs)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_command_that_only_looks_does_not_search_for_garbage_not_even_at_its_end() -> None:
    assert ["True False"] == told_by(runs=False)


def test_once_a_run_has_begun_garbage_is_collected_as_python_does_it() -> None:
    assert ["True True", "collected"] == told_by(runs=True)
