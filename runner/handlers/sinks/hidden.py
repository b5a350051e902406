"""What a run makes beside what it writes: hidden folders, which it locks while it lasts, and whoever comes later finds.

out.jsonl    .out.jsonl.d5fc.mprun/     parts of what is to take its place, or only a mark that run d5fc wrote it
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import shutil
from pathlib import Path

ENDING = ".mprun"


def hidden(path: Path, run: str) -> Path:
    """Return the folder beside `path` in which a run makes what is to take its place."""
    return path.with_name(f".{path.name}.{run}{ENDING}")


def lock_alone(descriptor: int) -> bool:
    """Lock what is open; False where another has. Some file systems know no locks, and then nobody has any."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def open_folder(folder: Path) -> int:
    """Open it, to be locked. Raises OSError."""
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def begun_by(path: Path) -> list[str]:
    """Name the runs that have something beside `path`: they are at it, or have not ended well."""
    begins = f".{path.name}."
    found = (each.name for each in path.parent.glob(f"{glob.escape(begins)}*{ENDING}"))
    return [
        name.removeprefix(begins).removesuffix(ENDING) for name in found if not name.endswith(f".old{ENDING}")
    ]


def beside(path: Path) -> list[Path]:
    """Return the hidden folders beside `path`, whoever made them."""
    return list(path.parent.glob(f".{glob.escape(path.name)}.*{ENDING}"))


def second_name(folder: Path) -> Path:
    """Return what a hidden folder is called while it is taken away."""
    return folder.with_name(f"{folder.name.removesuffix(ENDING)}.old{ENDING}")


def remove_at_once(folder: Path) -> None:
    """
    Take a folder away so that it is whole or gone for whoever is killed meanwhile, or comes later.

    Where it is gone already, what a kill may have left of it is.
    """
    old = second_name(folder)
    with contextlib.suppress(OSError):
        folder.rename(old)
    for each in (old, folder):
        shutil.rmtree(each, ignore_errors=True)


def status(path: Path) -> os.stat_result | None:
    """Return that of what is at a path; None where nothing is."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def inode(path: Path) -> int | None:
    """Return what tells a file from another that takes its place; None where there is none."""
    # Not the device: that may have another number once the machine has been started again.
    found = status(path)
    return None if found is None else found.st_ino
