"""The pictures of docs/watching.md: docs/pictures/make.py makes each of them anew, of a real run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parent.parent.parent
PICTURES = ROOT / "docs" / "pictures"
OF_THE_README = {"baozi.svg"}
"""Recorded by another script: tests/docs/test_recorded.py tries it."""
PNG = b"\x89PNG\r\n\x1a\n"

pytestmark = pytest.mark.browser


def beside_the_script() -> set[str]:
    return {each.name for each in PICTURES.glob("*.[ps][nv]g")} - OF_THE_README


def shown() -> set[str]:
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))
    return set(re.findall(r"[\"(]pictures/([\w-]+\.\w+)[\")]", pages))


def test_the_script_makes_each_picture_that_a_page_shows(browser: Browser, tmp_path: Path) -> None:
    assert browser.is_connected()  # else there is nothing to make them with
    command = [sys.executable, PICTURES / "make.py", tmp_path, "--items", "600"]
    subprocess.run(command, check=True, cwd=ROOT, timeout=300, capture_output=True)

    made = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    assert shown() <= made.keys()
    assert beside_the_script() == made.keys()
    assert all(picture.startswith(PNG) for name, picture in made.items() if name.endswith(".png"))
    for name, words in (("top", "parser"), ("plot", "pages")):
        assert words in made[f"{name}.svg"].decode()
        assert "http" not in made[f"{name}.svg"].decode().replace("http://www.w3.org/2000/svg", "")


def test_every_picture_beside_the_script_is_shown() -> None:
    assert shown() == beside_the_script()
