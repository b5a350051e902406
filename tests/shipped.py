"""What the tests of the workflows that ship share: where these are, and how long they and their scripts are."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


def written(text: str) -> list[str]:
    """Return the lines of YAML or Python without empty ones, comments and docstrings."""
    bare = re.sub(r'(?ms)^\s*"""(.*?)"""', "", text)
    return [line for line in bare.splitlines() if line.strip() and not line.lstrip().startswith("#")]
