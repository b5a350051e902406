"""What a past run was made of: its file and what it was given, as its record has them, and what has changed since."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import UsageError
from runner.facts import dataclass
from runner.record.facts import MASK, SECRET_LOST, why_not_again
from runner.record.reader import RunView
from runner.record.summary import RunSummary
from runner.store.run_folder import RunFolder, home
from runner.text import visible

if TYPE_CHECKING:
    from runner.cli.checking import JobsChoice

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
    """As it was given them."""
    overrides: Sequence[str]
    jobs: Sequence[str]
    """The ids of its legs."""
    args: Sequence[str] = ()
    """What stood behind `--`."""
    exact: bool = False
    """Whether some of these had to do without what they need."""
    more_params: Sequence[str] = ()
    """What it is given now, on top of that."""
    more_overrides: Sequence[str] = ()

    @property
    def params_now(self) -> list[str]:
        """What it is given from now on; of two for one name the later."""
        return _on_top(self.params, self.more_params)

    @property
    def overrides_now(self) -> list[str]:
        """The same of keys of the file."""
        return _on_top(self.overrides, self.more_overrides)

    def difference_given(self) -> Sequence[str]:
        """Return what it is given otherwise than then, as a difference line by line; nothing where that is alike."""
        pairs = (("--param", self.params, self.params_now), ("--set", self.overrides, self.overrides_now))
        gone = [f"-{word} {each}" for word, then, now in pairs for each in then if each not in now]
        new = [f"+{word} {each}" for word, then, now in pairs for each in now if each not in then]
        return ["--- given then", "+++ given now", *gone, *new] if gone or new else []

    def choice(self, jobs: Sequence[str], at_once: int | None) -> JobsChoice:
        """Return what has these jobs run, with or without what they need, as the run had its own."""
        from runner.cli.checking import JobsChoice

        names, only = ((), jobs) if self.exact else (jobs, ())
        return JobsChoice(names, at_once, only=only, args=self.args)

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


@dataclass(frozen=True, slots=True)
class More:
    """What a run is given on top of what it was given when it began."""

    params: Sequence[str] = ()
    overrides: Sequence[str] = ()


def past_run(summary: RunSummary, view: RunView, more: More | None = None) -> Past:
    """
    Read what a run was made of; `more` where it may be given something more, such as a secret that was not kept.

    Raises:
        UsageError: that is not enough to run it again.
    """
    facts, given = view.facts(), More() if more is None else more
    params = _given_again(facts.get("params") or (), given.params)
    overrides = _given_again(facts.get("overrides") or (), given.overrides)
    if (why := why_not_again({**facts, "params": params, "overrides": overrides})) is not None:
        again = "; give it once more" if why == SECRET_LOST and more is not None else ""
        raise UsageError(f"run '{summary.id}' {why}{again}")
    cwd = str(facts.get("cwd", ""))
    if cwd != str(Path.cwd()):
        is_from_here = RunFolder(summary.id, home()).is_from_here()
        way = _way_there(Path(cwd), Path(str(facts["file"])), is_from_here=is_from_here)
        raise UsageError(visible(f"run '{summary.id}' was started in '{cwd}'{way}"))
    return Past(
        run=summary.id,
        file=nearby(Path(str(facts["file"]))),
        text=facts["text"],
        included=facts.get("included") or {},
        params=params,
        overrides=overrides,
        jobs=facts.get("jobs") or (),
        args=facts.get("args") or (),
        exact=bool(facts.get("exact")),
        more_params=given.params,
        more_overrides=given.overrides,
    )


def _way_there(cwd: Path, file: Path, *, is_from_here: bool) -> str:
    """Say what to do with a run that was started in another folder, which may be gone, or on another machine."""
    if is_from_here and cwd.is_dir():
        return "; change to that folder first"
    shown = file.relative_to(cwd) if file.is_relative_to(cwd) else file
    command = f"`mprun run {shlex.quote(str(shown))}`" if shown.exists() else "`mprun run` with its file"
    if is_from_here:
        return f", which is not there any more; put it back under that name, or begin anew: {command}"
    there = (
        "it has come from elsewhere, and can be looked at and compared here; it is gone on with where it ran"
    )
    return f": {there}, and {command} begins anew"


def _given_again(then: Sequence[str], more: Sequence[str]) -> list[str]:
    """Put what is given once more in the place of a secret, which was not kept: it is taken for what it was."""
    now = {_key(each): each for each in more}
    return [now.get(_key(each), each) if MASK in each else each for each in then]


def _on_top(then: Sequence[str], more: Sequence[str]) -> list[str]:
    given = set(map(_key, more))
    return [*(each for each in then if _key(each) not in given), *more]


def _key(setting: str) -> str:
    return setting.partition("=")[0].strip()


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
