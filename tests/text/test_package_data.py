"""Files that ship are found in a wheel and in a checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import MprunInternalError
from runner.package_data import shipped


def a_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}", encoding="utf-8")
    return path


def test_in_a_checkout_they_are_beside_the_package(tmp_path: Path) -> None:
    expected = a_file(tmp_path / "schemas" / "a.json")

    assert shipped("schemas/a.json", package=tmp_path / "runner") == expected


def test_in_a_wheel_they_are_inside_the_package_and_a_neighbour_does_not_count(tmp_path: Path) -> None:
    a_file(tmp_path / "schemas" / "a.json")
    expected = a_file(tmp_path / "runner" / "_shipped" / "schemas" / "a.json")

    assert shipped("schemas/a.json", package=tmp_path / "runner") == expected


def test_an_incomplete_installation_says_what_is_missing_and_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(MprunInternalError) as caught:
        shipped("schemas/none.json", package=tmp_path / "runner")

    assert "'schemas/none.json'" in str(caught.value)
    assert str(tmp_path / "runner" / "_shipped") in str(caught.value)
