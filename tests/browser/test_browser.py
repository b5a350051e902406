"""The browser itself: that a visit sees what a page asks for and complains of, or the tests of pages could not fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser

Visitor = Callable[..., Any]


def test_a_visit_sees_what_a_page_asks_for_and_says(tmp_path: Path, visit: Visitor) -> None:
    page = tmp_path / "page.html"
    page.write_text("<img src='none.png'><script>console.log('said'); nothing()</script>", encoding="utf-8")

    seen = visit(page.as_uri(), scripts=True)

    assert [page.with_name("none.png").as_uri()] == seen.requests
    assert any("said" in each for each in seen.complaints)
    assert any("nothing is not defined" in each for each in seen.complaints)


def test_a_visit_runs_no_script_unless_asked(tmp_path: Path, visit: Visitor) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        "<p id='it'>text</p><script>document.getElementById('it').textContent = 'script'</script>",
        encoding="utf-8",
    )

    assert "text" == visit(page.as_uri()).page.inner_text("#it")
    assert "script" == visit(page.as_uri(), scripts=True).page.inner_text("#it")
