"""Memory of big objects is used again instead of being given back and made anew."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_PROGRAM = """
import resource, sys
from runner.ipc.shm.allocator import disable_trim

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    item = b""
    for number in range(200):
        item = bytes(4 * 1024 * 1024 + number)  # as in a loop: the last one goes when the next one is there
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == "keeping":
    disable_trim()
    disable_trim()
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told so")
def test_a_process_that_keeps_freed_memory_asks_the_kernel_for_little() -> None:
    """In a process of its own, since there is no way back."""
    faults = _faults("keeping")

    assert faults < 200


def _faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, how], capture_output=True, text=True, check=True, timeout=60
    )
    return int(done.stdout)
