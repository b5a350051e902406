"""The handlers of stdlib_words.yaml, and the same work by one process: `python stdlib_words.py`.

list_files ──► files ──► count_names ──► counts ──► Table
"""

from __future__ import annotations

import argparse
import os
import sysconfig
import tokenize
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from keyword import iskeyword
from pathlib import Path

INSTALLED = {"site-packages", "dist-packages"}  # other people's packages, inside the library's own folder


def list_files(limit: int = 0) -> Iterator[str]:
    """Yield the paths of the running interpreter's own `.py` files, as it finds them; 0 yields all."""
    yield from islice(walk(sysconfig.get_path("stdlib")), limit or None)


def walk(library: str) -> Iterator[str]:
    """Yield every `.py` file below a folder. Sorted, so that a limit takes the same files each time."""
    for folder, subfolders, names in os.walk(library):
        subfolders[:] = sorted(set(subfolders) - INSTALLED)
        yield from (str(Path(folder, name)) for name in sorted(names) if name.endswith(".py"))


def count_names(file: str) -> dict[str, int]:
    """Count the identifiers of one file. Files that are broken on purpose, for tests, have none."""
    try:
        with tokenize.open(file) as source:
            names = (token.string for token in tokenize.generate_tokens(source.readline) if is_name(token))
            return dict(Counter(names))
    except (SyntaxError, UnicodeDecodeError, tokenize.TokenError):
        return {}


def is_name(token: tokenize.TokenInfo) -> bool:
    """Say whether a token is an identifier; `tokenize` calls keywords names too."""
    return token.type == tokenize.NAME and not iskeyword(token.string)


class Table:
    """Adds up the counts of all files, and prints the `top` identifiers when there are no more."""

    def __init__(self, top: int = 20) -> None:
        self.top = top
        self.totals: Counter[str] = Counter()

    def __call__(self, counts: dict[str, int]) -> None:
        """Add the counts of one file."""
        self.totals.update(counts)

    def close(self) -> None:
        """Print the table. Equal counts are in order of name, since files arrive in no fixed order."""
        ranked = sorted(self.totals.items(), key=lambda row: (-row[1], row[0]))[: self.top]
        width = max((len(name) for name, _ in ranked), default=0)
        for rank, (name, uses) in enumerate(ranked, start=1):
            print(f"{rank:>3}  {name:<{width}}  {uses:>8,}")


def main() -> None:
    """Do it all in this process."""
    parser = argparse.ArgumentParser(description="Print the most used identifiers of the standard library.")
    parser.add_argument("--limit", type=int, default=0, help="how many files to read; 0 reads them all")
    parser.add_argument("--top", type=int, default=20, help="how many identifiers to print")
    options = parser.parse_args()
    table = Table(options.top)
    for file in list_files(options.limit):
        table(count_names(file))
    table.close()


if __name__ == "__main__":
    main()
