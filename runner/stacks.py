"""What `faulthandler` says of a worker, cut down to what its user wants to see: the handler's frames. Pure.

handler ◄── loops of the transport ◄── worker ◄── multiprocessing ◄── supervisor        innermost frame first
└────────── kept ────────────────┘      └── the same in every worker: left out ──┘
"""

from __future__ import annotations

import re
from pathlib import Path

_WORKER = re.escape(str(Path(__file__).with_name("worker.py")))
_ROOT = re.compile(rf'^  File "{_WORKER}", line \d+ in \w+$')


def own_frames(dump: str) -> str:
    """Drop from each stack what lies below the worker's own frames; a stack without them is left whole."""
    kept = []
    below = False
    for line in dump.splitlines():
        if not line.startswith("  "):
            below = False  # the head of another thread's stack
        below = below or _ROOT.match(line) is not None
        if not below:
            kept.append(line)
    return "".join(f"{line}\n" for line in kept)
