"""A Procfile: each line is a process that goes on, so a job in the background.

web: bundle exec puma -p $PORT      web: {background: true, env: {PORT: "5000"}, run: …}
"""

from __future__ import annotations

import re
from pathlib import Path

from runner.importers.model import ImportedFile, ImportedJob, ImportedStep, Note, Outcome
from runner.spec.source.positions import Text

_LINE = re.compile(r"^([A-Za-z0-9_-]+)\s*:\s*(.+)$")
_FIRST_PORT = 5000
_NEXT_PORT = 100
"""What foreman gives the second process, above the first."""


def read_procfile(text: Text, path: Path) -> ImportedFile:
    """Return what a Procfile comes to."""
    imported = ImportedFile("procfile", text.file)
    for number, line in enumerate(text.text.splitlines(), start=1):
        found = _LINE.match(line.strip())
        if found is not None:
            job = imported.add(found[1], number)
            _fill(job, found[2], _FIRST_PORT + _NEXT_PORT * (len(imported.jobs) - 1))
        elif line.strip() and not line.lstrip().startswith("#"):
            imported.notes.append(Note(number, Outcome.LEFT, line.strip(), "a line is `name: command`"))
    if (path.parent / ".env").is_file():
        for job in imported.jobs.values():
            job.keys["dotenv"] = ".env"
        imported.notes.append(Note(1, Outcome.TRANSLATED, ".env", "each job has it as `dotenv`"))
    return imported


def _fill(job: ImportedJob, command: str, port: int) -> None:
    if job.name == "release":
        job.keys["manual"] = True
        job.notes.append(
            Note(job.line, Outcome.TRANSLATED, job.name, "it runs where it is named, ahead of the others")
        )
    else:
        job.keys["background"] = True
    if "PORT" in command:
        job.keys["env"] = {"PORT": str(port)}
        job.notes.append(Note(job.line, Outcome.TRANSLATED, "$PORT", f"{port}, as foreman has it"))
    job.steps.append(ImportedStep(job.line, {"run": command}, [Note(job.line, Outcome.KEPT, command)]))
