"""A producer may be restarted only if it can go on where it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.loader.checks.handlers import check_resumable
from runner.spec.failures import RestartOn, RestartPolicy
from runner.spec.model import HandlerRef, StageSpec

SOURCE = """\
def blind(n):
    yield from range(n)

def noting(n, resume):
    yield resume

def aware(n, offset):
    yield from range(offset, n)

class Aware:
    def __init__(self, offset):
        self.offset = offset
    def __iter__(self):
        yield self.offset

class AwareWhenCalled:
    def __call__(self, offset):
        yield offset
"""
ASKED = RestartPolicy()


def codes(folder: Path, target: str, **more: object) -> list[str]:
    (folder / "resumed.py").write_text(SOURCE)
    kind, _, name = target.rpartition(" ")
    handler = HandlerRef(kind or "python", name if kind else f"resumed:{name}")
    stage = StageSpec("chef", handler, sends="q", **more)  # type: ignore[arg-type]
    return [fault.code for fault in check_resumable(stage, folder)]


@pytest.mark.parametrize(
    ("target", "more", "expected"),
    [
        ("blind", {}, []),
        ("blind", {"restart": RestartPolicy(on=RestartOn.NEVER)}, []),
        ("blind", {"restart": ASKED}, ["restart-repeats"]),
        ("blind", {"restart": ASKED, "deterministic": True}, []),
        ("blind", {"restart": ASKED, "receives": "p"}, []),
        ("aware", {"restart": ASKED}, []),
        ("noting", {"restart": ASKED}, []),
        ("Aware", {"restart": ASKED}, []),
        ("AwareWhenCalled", {"restart": ASKED}, []),
        ("lines lines", {"restart": ASKED}, []),
        ("command command", {"restart": ASKED}, ["restart-repeats"]),
        ("command command", {"restart": ASKED, "deterministic": True}, []),
    ],
)
def test_a_restart_that_would_put_items_twice_is_refused(
    tmp_path: Path, target: str, more: dict[str, object], expected: list[str]
) -> None:
    assert expected == codes(tmp_path, target, **more)
