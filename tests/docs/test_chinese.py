"""The Chinese pages show what the English ones do, which is run; and whichever English page has no twin is named."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ENGLISH = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "recipes").glob("*.md")),
]
CHINESE = [ROOT / "README.zh.md", *sorted((ROOT / "docs" / "zh").glob("*.md"))]
INDEX = ROOT / "docs" / "zh" / "README.md"
BLOCK = re.compile(r"^```[^\n]*\n.*?^```$", re.MULTILINE | re.DOTALL)


def blocks_of(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def closest(block: str, known: list[str]) -> str:
    """What an English page has in its place, as a difference: it has changed since, most likely."""
    near = difflib.get_close_matches(block, known, n=1, cutoff=0.3)
    return "".join(difflib.ndiff(block.splitlines(True), near[0].splitlines(True))) if near else block


@pytest.mark.parametrize("page", CHINESE, ids=lambda page: page.name)
def test_what_a_chinese_page_shows_an_english_one_shows_too(page: Path) -> None:
    known = [block for each in ENGLISH for block in blocks_of(each)]
    strange = [block for block in blocks_of(page) if block not in known]

    assert [] == strange, "\n".join(closest(block, known) for block in strange)


def test_every_english_page_has_a_twin_or_is_named_as_having_none() -> None:
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    twins = {path.name for path in (ROOT / "docs" / "zh").glob("*.md")}
    alone = INDEX.read_text(encoding="utf-8").partition("## 只有英文")[2]
    named = set(re.findall(r"\(\.\./([\w-]+\.md)\)", alone))

    assert pages - twins == named


def test_each_recipe_is_a_section_of_the_page_in_chinese() -> None:
    recipes = {path.name for path in (ROOT / "docs" / "recipes").glob("*.md")} - {"README.md"}
    sections = re.findall(
        r"^## ", (ROOT / "docs" / "zh" / "recipes.md").read_text(encoding="utf-8"), re.MULTILINE
    )

    assert len(recipes) == len(sections)
