"""What a past run was made of: its file and what it was given, as its record has them, and what has changed since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.errors import UsageError
from runner.record.facts import why_not_again
from runner.record.reader import RunView
from runner.record.summary import RunSummary
from runner.text import visible

STDIN = Path("-")
"""What stands for standard input where a file is named."""


@dataclass(frozen=True, slots=True)
class Past:
    """What a run was made of."""

    run: str
    file: Path
    text: str
    included: Mapping[str, str]
    params: Sequence[str]
    overrides: Sequence[str]
    jobs: Sequence[str]
    """The ids of its legs."""

    @property
    def was_piped(self) -> bool:
        """Whether its file came over standard input: what its record has of it is all that there is."""
        return self.file == STDIN

    @property
    def is_gone(self) -> bool:
        """Whether its file is not where it was."""
        return not self.was_piped and not self.file.exists()

    @property
    def text_to_check(self) -> str | None:
        """What to check now, instead of what is in the file; None where that is to be read."""
        return self.text if self.was_piped else None


def past_run(summary: RunSummary, view: RunView) -> Past:
    """Read what a run was made of. Raises `UsageError` where that is not enough to run it again."""
    facts = view.facts()
    if (why := why_not_again(facts)) is not None:
        raise UsageError(f"run '{summary.id}' {why}")
    cwd = str(facts.get("cwd", ""))
    if cwd != str(Path.cwd()):
        raise UsageError(visible(f"run '{summary.id}' was started in '{cwd}'; change to that folder first"))
    return Past(
        run=summary.id,
        file=nearby(Path(str(facts["file"]))),
        text=facts["text"],
        included=facts.get("included") or {},
        params=facts.get("params") or (),
        overrides=facts.get("overrides") or (),
        jobs=facts.get("jobs") or (),
    )


def nearby(file: Path) -> Path:
    """Name a file as one would from here: what is shown of it then is as short as what was shown the first time."""
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file


def difference(text: str, file: Path) -> Sequence[str]:
    """Return how a file differs from what it held, line by line; nothing where it does not. One gone is empty.

    What came over standard input does not change.
    """
    from runner.record.comparison import unified

    if file == STDIN:
        return ()
    try:
        now = file.read_bytes().decode("utf-8", "replace").lstrip("\ufeff")
    except OSError:
        now = ""
    if now == text:
        return ()
    lines = unified(text.splitlines(), now.splitlines(), f"{file} then", f"{file} now")
    return lines or (f"the ends of lines of '{file}' have changed",)
