"""The files by which the steps of an attempt hand on what others need: values, variables, folders, a summary.

    $MPRUN_OUTPUT, $GITHUB_OUTPUT   0001-job.out.2        values: `steps.<id>.outputs`, and those of the job
    $GITHUB_ENV                     0001-job.out.2.env    variables of the steps that follow
    $GITHUB_PATH                    0001-job.out.2.path   folders, a line each, that these find programs in first
    $GITHUB_STEP_SUMMARY            0001-job.out.summary  Markdown for people: kept beside the log, without secrets

Each step has files of its own, so that it is known what is whose. All of them may be secret: they go with the attempt,
and what a runner that was killed has left of them is swept by their name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import field
from pathlib import Path

from runner.facts import dataclass
from runner.jobs.files import MOST_BYTES, VARIABLES, OutputMistake, Outputs, read_outputs
from runner.jobs.masking import Masker

SUMMARY = "GITHUB_STEP_SUMMARY"
_ENV, _PATH = "GITHUB_ENV", "GITHUB_PATH"
_KEPT = ("GITHUB_", "RUNNER_", "MPRUN_")
"""What names of variables begin with that no step may set for others, as on GitHub."""


@dataclass(frozen=True, slots=True)
class Left:
    """What a step has left when it is over."""

    values: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    """Folders, the one that is looked in first before the others."""
    mistake: str = ""
    """What of it can't be read; the step has failed."""
    ignored: tuple[str, ...] = ()
    """Variables that it can't set."""

    def over(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the variables of the steps that follow."""
        after = {**env, **self.env}
        if self.path:
            after["PATH"] = os.pathsep.join(filter(None, (*self.path, after.get("PATH", ""))))
        return after


class StepFiles:
    """Those of one attempt."""

    def __init__(self, base: str) -> None:
        """`base` is what the names of all of them begin with; it is itself the file of what belongs to no step."""
        self._base = base
        self._taken: set[int] = set()
        self._scripts: set[Path] = set()

    def variables(self, step: int | None = None) -> dict[str, str]:
        """Return the variables that name the files, for a step by its number or for what belongs to none."""
        own = self._base if step is None else f"{self._base}.{step}"
        return {
            **dict.fromkeys(VARIABLES, own),
            _ENV: f"{own}.env",
            _PATH: f"{own}.path",
            SUMMARY: f"{self._base}.summary",
        }

    def script(self, step: int) -> Path:
        """Return the file for what a step has another program read."""
        path = Path(f"{self._base}.script{step}")
        self._scripts.add(path)
        return path

    def take(self, step: int) -> Left:
        """Return what a step has left. Raises OSError."""
        self._taken.add(step)
        names = self.variables(step)
        outputs, env = read_outputs(Path(names[VARIABLES[0]])), read_outputs(Path(names[_ENV]))
        kept = tuple(name for name in env.values if name.startswith(_KEPT))
        return Left(
            outputs.values,
            {name: value for name, value in env.values.items() if name not in kept},
            tuple(reversed(_lines(names[_PATH]))),
            next(_mistakes(outputs, env), ""),
            kept,
        )

    def outputs(self) -> Outputs:
        """Return all values together: of two the later step's. Raises OSError."""
        values: dict[str, str] = {}
        mistakes: list[OutputMistake] = []
        for name in (self._base, *(f"{self._base}.{step}" for step in sorted(self._taken))):
            found = read_outputs(Path(name))
            values |= found.values
            mistakes += found.mistakes
        return Outputs(values, tuple(mistakes))

    def keep_summary(self, masker: Masker, theirs: str | None) -> None:
        """Keep the summary beside the log, and add it to `theirs`, which GitHub shows where mprun is a step itself."""
        try:
            with Path(f"{self._base}.summary").open("rb") as stream:
                written = stream.read(MOST_BYTES)
        except FileNotFoundError:
            return
        shown = masker.text(written.decode(errors="replace"))
        Path(f"{self._base.removesuffix('.out')}.summary.md").write_text(shown, encoding="utf-8")
        if theirs:
            with Path(theirs).open("a", encoding="utf-8") as stream:
                stream.write(shown)

    def remove(self) -> None:
        """Take all of them away."""
        own = (self.variables(step).values() for step in (None, *self._taken))
        for name in {*(name for names in own for name in names), *map(str, self._scripts)}:
            with suppress(OSError):
                os.unlink(name)  # noqa: PTH108 - some for each step of thousands


def _mistakes(outputs: Outputs, env: Outputs) -> Iterator[str]:
    yield from (f"wrote what can't be read: {mistake}" for mistake in outputs.mistakes)
    for mistake in env.mistakes:
        help_ = f"; {mistake.help}" if mistake.help else ""
        yield f"wrote what can't be read: line {mistake.line} of ${_ENV}: {mistake.message}{help_}"


def _lines(name: str) -> list[str]:
    try:
        text = Path(name).read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return []
    return [line for line in text.splitlines() if line.strip()]
