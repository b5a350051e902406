"""Files that others may read at any moment: whole or not there at all."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from runner.text import write_atomically


def test_a_file_takes_the_place_of_an_older_one_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text("of an earlier run")

    write_atomically(path, b"{}", mode=0o600)

    assert ["facts.json"] == [each.name for each in tmp_path.iterdir()]
    assert (b"{}", 0o600) == (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))


def test_a_file_that_cannot_be_put_in_its_place_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()

    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path / "taken", b"{}")

    assert ["taken"] == [each.name for each in tmp_path.iterdir()]
