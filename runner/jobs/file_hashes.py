"""`hashFiles('**/lock.json')`: one digest of the files that patterns match, so that a key changes as any of them does.

The digest is that of the digests of the files, in the order of their paths from the folder of the job. Where nothing
matches it is an empty text. A pattern with `!` before it takes out again what those before it matched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from runner.jobs.up_to_date import find_files
from runner.spec.expressions.functions import HASH_FILES, ExpressionError

MOST_FILES = 20_000
MOST_BYTES = 4 * 1024**3
_CHUNK = 1 << 20


def hash_files(folder: Path, patterns: Sequence[str]) -> str:
    """
    Return the digest of what the patterns match below a folder.

    Raises:
        ExpressionError: there is too much of it, or a file can't be read.
    """
    lines = [line.strip() for text in patterns for line in text.splitlines()]
    found = [name for name in find_files(folder, [*filter(None, lines)])[0] if (folder / name).is_file()]
    if len(found) > MOST_FILES:
        raise ExpressionError(
            f"{HASH_FILES}() matches {len(found):,} files, and takes at most {MOST_FILES:,}"
        )
    whole, size = hashlib.sha256(), 0
    for name in found:
        try:
            size += (folder / name).stat().st_size
            if size > MOST_BYTES:
                raise ExpressionError(f"{HASH_FILES}() matches more than {MOST_BYTES >> 30} GiB of files")
            whole.update(_digest(folder / name))
        except OSError as error:
            raise ExpressionError(f"{HASH_FILES}() can't read '{name}': {error.strerror}") from None
    return whole.hexdigest() if found else ""


def _digest(path: Path) -> bytes:
    one = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            one.update(chunk)
    return one.digest()
