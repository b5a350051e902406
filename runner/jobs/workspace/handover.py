"""The files that jobs make for those that need them: kept in the folder of the run, and laid into other trees.

    build (copy)  dist/a.whl ───keep────► artefacts/build-1f3a…/dist/a.whl ──lay──► dist/a.whl   test (shared, copy, …)

A folder of artefacts is there as a whole or not at all. Nothing is laid outside of a tree, nor by way of a link that
leads out of it; each file is whole at every moment, as it takes the place of what was there in one step.
"""

from __future__ import annotations

import filecmp
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from runner.jobs.up_to_date import find_files
from runner.jobs.workspace.copying import copy_file, link_or_copy
from runner.jobs.workspace.removal import remove_tree
from runner.jobs.workspace.request import Handover
from runner.text import printable

_MOST_SHOWN = 120

KeepGoing = Callable[[], None]


class HandoverRefused(Exception):
    """What a job has made can't be handed on, or not be laid where it belongs. The text says why."""


def keep_made(root: str, directory: str, patterns: Sequence[str], folder: str, *, linked: bool) -> int:
    """
    Keep in `folder` what a job has made in the tree at `root`: `linked`, where nobody writes to that any more.

    `patterns` start at `directory`. What they mean outside of the tree stays there. Return how many files there are.
    Raises HandoverRefused, OSError.
    """
    made = find_files(Path(directory), patterns)[0]
    found = (os.path.normpath(os.path.join(directory, path)) for path in made)  # noqa: PTH118
    paths = [path for path in (os.path.relpath(place, root) for place in found) if not path.startswith("../")]
    for path in paths:
        _require_inside(root, path, "an output of it")
        _require_aim_inside(root, path)
    _keep(root, paths, folder, linked=linked)
    return len(paths)


def _keep(root: str, paths: Iterable[str], folder: str, *, linked: bool) -> None:
    draft = f"{folder}.part"
    remove_tree(draft)
    os.makedirs(draft, 0o700)  # noqa: PTH103
    for path in paths:
        _put(os.path.join(root, path), os.path.join(draft, path), linked=linked)  # noqa: PTH118
    remove_tree(folder)
    os.rename(draft, folder)  # noqa: PTH104


def _put(source: str, target: str, *, linked: bool) -> None:
    os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)  # noqa: PTH103, PTH120
    if os.path.islink(source):  # noqa: PTH114
        os.symlink(os.readlink(source), target)  # noqa: PTH115, PTH211
    elif linked:
        link_or_copy(source, target)
    else:
        copy_file(source, target)


def take_over(folder: str, own: str) -> None:
    """Have in `own` too what is kept in a folder. Where it can't be had there is none. Raises nothing."""
    if folder != own and os.path.isdir(folder):  # noqa: PTH112
        with suppress(OSError):
            _keep(folder, _files_in(folder), own, linked=True)


def lay(handed: Sequence[Handover], root: str, keep_going: KeepGoing) -> int:
    """
    Lay into the tree at `root` what a job gets of others; return how many files are there by that.

    Raises HandoverRefused, OSError, and what `keep_going` does.
    """
    by: dict[str, Handover] = {}
    for one in handed:
        for path in _files_in(one.folder):
            other = by.setdefault(path, one)
            if other is not one and not _are_equal(f"{other.folder}/{path}", f"{one.folder}/{path}"):
                raise HandoverRefused(
                    f"'{_shown(path)}' is made by '{other.leg}' and by '{one.leg}', and is not the same: "
                    "give each a path of its own, with ${{ matrix.… }} where they are legs"
                )
    for number, (path, one) in enumerate(by.items()):
        keep_going()
        _lay_one(f"{one.folder}/{path}", root, path, f"{one.folder}.{os.getpid()}.{number}")
    return len(by)


def _lay_one(source: str, root: str, path: str, draft: str) -> None:
    _require_inside(root, path, "what it needs")
    target = os.path.join(root, path)  # noqa: PTH118
    if _are_equal(source, target):
        return
    if os.path.isdir(target) and not os.path.islink(target):  # noqa: PTH112, PTH114
        raise HandoverRefused(
            f"'{_shown(path)}', which it needs, can't be laid there: it is a folder in this tree"
        )
    os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
    try:
        _move_in(source, draft, target)
    except OSError:  # another file system
        _move_in(source, f"{target}.{os.path.basename(draft)}", target)  # noqa: PTH119


def _move_in(source: str, draft: str, target: str) -> None:
    try:
        _put(source, draft, linked=False)
        os.replace(draft, target)  # noqa: PTH105
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)  # noqa: PTH108
        raise


def _require_inside(root: str, path: str, what: str) -> None:
    """Refuse a path that leads out of a tree by a link in it."""
    folder = os.path.realpath(os.path.dirname(os.path.join(root, path)))  # noqa: PTH118, PTH120
    if not _is_within(folder, os.path.realpath(root)):
        raise HandoverRefused(f"'{_shown(path)}', {what}, is behind a link that leads out of the tree")


def _require_aim_inside(root: str, path: str) -> None:
    place = os.path.join(root, path)  # noqa: PTH118
    if os.path.islink(place) and not _is_within(os.path.realpath(place), os.path.realpath(root)):  # noqa: PTH114
        raise HandoverRefused(f"'{_shown(path)}', an output of it, is a link that leads out of the tree")


def _is_within(place: str, top: str) -> bool:
    return place == top or place.startswith(f"{top.rstrip('/')}/")


def _are_equal(one: str, other: str) -> bool:
    try:
        facts = os.lstat(one), os.lstat(other)
        if stat.S_IFMT(facts[0].st_mode) != stat.S_IFMT(facts[1].st_mode):
            return False
        if stat.S_ISLNK(facts[0].st_mode):
            return os.readlink(one) == os.readlink(other)  # noqa: PTH115
        same = facts[0].st_size == facts[1].st_size and facts[0].st_mode == facts[1].st_mode
        return same and filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def _files_in(folder: str) -> Iterator[str]:
    for where, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(where, name))]  # noqa: PTH114, PTH118
        for name in sorted((*names, *links)):
            yield os.path.relpath(os.path.join(where, name), folder)  # noqa: PTH118


def _shown(path: str) -> str:
    return printable(path, _MOST_SHOWN)
