"""`mprun graph`: the shipped workflows as pictures."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

RunMprun = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("ascii", "| chef ×3 |-- steamer ≤10 -->| eater ×2 (daemon) |"),
        ("mermaid", 's1 -->|"steamer ≤10"| s2'),
        ("dot", 's1 -> s2 [label="steamer ≤10"];'),
    ],
)
def test_counts_are_on_the_boxes_and_sizes_on_the_arrows(
    run_mprun: RunMprun, form: str, expected: str
) -> None:
    done = run_mprun("graph", "workflows/baozi.yaml", "--format", form)

    assert (done.returncode, done.stderr) == (0, "")
    assert expected in done.stdout


def test_ascii_is_the_default(run_mprun: RunMprun) -> None:
    shown = run_mprun("graph", "workflows/baozi.yaml").stdout

    assert shown == run_mprun("graph", "workflows/baozi.yaml", "--format", "ascii").stdout
