"""One run as one file, to be kept or sent, and to be looked at elsewhere as if it had run there.

    runs/<id>/ ──► export_run ──► run.zip ──► import_run ──► runs/<id>/ of another home

What comes from elsewhere is not trusted: only files of a record are taken, to a bound, and it has no seal, so that its
dead letters are unpickled only for who says that they know them.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import tempfile
import zipfile
from contextlib import closing
from pathlib import Path

from runner.errors import MprunError, UsageError
from runner.record.reader import RecordDamaged, RunView
from runner.record.schema import DATABASE, OF_THE_CUT, open_to_read
from runner.store.dead_letters import FOLDER as LETTERS
from runner.store.run_folder import FACTS, JOB_LOGS, RunFolder
from runner.store.run_lock import ENDED, LOCK

MOST_BYTES = 4_000_000_000
"""That an imported record may unpack to."""
_MOST_FILES = 100_000
_OWN_FILES = (FACTS, ENDED, LOCK)
_MEMBER = re.compile(
    rf"(?P<run>[\w-]{{1,64}})/(?:{DATABASE}|{'|'.join(map(re.escape, _OWN_FILES))}|(?:{LETTERS}|{JOB_LOGS})/[^/\\]+)"
)
_DRAFTS = "imports"


def export_run(run_folder: RunFolder, file: Path) -> int:
    """
    Write the record of a run that is over into one new file; return how long that is.

    Raises:
        RecordDamaged: its database can't be read.
        UsageError: there is such a file already.
        MprunError: it can't be written.
    """
    try:
        with file.open("xb") as out:
            file.chmod(0o600)
            try:
                _pack(run_folder, out)
            except BaseException:
                file.unlink(missing_ok=True)
                raise
    except FileExistsError:
        raise UsageError(f"'{file}' is there already; name another file") from None
    except OSError as error:
        raise MprunError(f"'{file}' can't be written: {error.strerror or error}") from error
    return file.stat().st_size


def _pack(run_folder: RunFolder, out: object) -> None:
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / DATABASE
            _copy_database(run_folder, copy)
            archive.write(copy, f"{run_folder.run}/{DATABASE}")
        for name in _OWN_FILES:
            if (run_folder.path / name).exists():
                archive.write(run_folder.path / name, f"{run_folder.run}/{name}")
        # What a job that was killed had written to hand on, beside its log, may be secret.
        for below, pattern in ((LETTERS, "*"), (JOB_LOGS, "*.log")):
            for path in sorted((run_folder.path / below).glob(pattern)):
                if path.is_file():
                    archive.write(path, f"{run_folder.run}/{below}/{path.name}")


def _copy_database(run_folder: RunFolder, copy: Path) -> None:
    """Copy it as a whole, with what is still in its log; without what only here the run can be gone on from."""
    try:
        with (
            closing(open_to_read(run_folder.path / DATABASE)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")
            tables = {
                name for (name,) in target.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            }
            with target:
                for table in tables.intersection(OF_THE_CUT):
                    target.execute(f"DELETE FROM {table}")
            target.execute("VACUUM")
    except sqlite3.Error as error:
        raise RecordDamaged(f"the record of run '{run_folder.run}' can't be read: {error}") from error


def import_run(file: Path, place: Path) -> str:
    """
    Put the record of a run from elsewhere among those of a home; return its id.

    Raises:
        UsageError: the file is none that `export_run` has written, or the run is there already.
        MprunError: it can't be written.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            run = _checked(archive, file)
            run_folder = RunFolder(run, place)
            if run_folder.path.exists():
                raise UsageError(f"run '{run}' is there already")
            _unpack(archive, run_folder)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise UsageError(f"'{file}' is no exported run: {error}") from error
    except OSError as error:
        kind = UsageError if isinstance(error, FileNotFoundError) else MprunError
        raise kind(f"'{file}' can't be imported: {error.strerror or error}") from error
    return run


def _checked(archive: zipfile.ZipFile, file: Path) -> str:
    """Return the id of the run that an archive is of, where nothing else is in it."""
    members = archive.infolist()
    found = [_MEMBER.fullmatch(member.filename) for member in members]
    runs = {match["run"] for match in found if match is not None}
    strange = next((m.filename for m, match in zip(members, found, strict=True) if match is None), None)
    if strange is not None or len(runs) != 1 or f"{min(runs)}/{DATABASE}" not in archive.namelist():
        what = f"'{strange}' is in it" if strange is not None else "it has no run in it, or several"
        raise UsageError(f"'{file}' is no exported run: {what}")
    if sum(member.file_size for member in members) > MOST_BYTES or len(members) > _MOST_FILES:
        raise UsageError(f"'{file}' is no exported run: it would unpack to more than a record may have")
    return runs.pop()


def _unpack(archive: zipfile.ZipFile, run_folder: RunFolder) -> None:
    drafts = run_folder.home / _DRAFTS
    draft = drafts / run_folder.run
    RunFolder(run_folder.run, run_folder.home).make().rmdir()
    draft.mkdir(mode=0o700, parents=True)
    try:
        for member in archive.infolist():
            path = drafts / member.filename
            path.parent.mkdir(mode=0o700, exist_ok=True)
            with archive.open(member) as source, path.open("xb") as target:
                path.chmod(0o600)
                shutil.copyfileobj(source, target)
        try:
            RunView(draft).__exit__(None, None, None)
        except RecordDamaged as error:
            raise UsageError(f"it is no exported run: {error}") from error
        draft.rename(run_folder.path)
    finally:
        shutil.rmtree(drafts, ignore_errors=True)
