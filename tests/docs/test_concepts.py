"""docs/concepts.md shows the files of the gallery as they are. Its commands are run by tests/docs/test_docs.py.

A block `yaml file=gallery/x.yaml` of the page is the file without its first line, which is for editors. After a change
of the gallery `UPDATE_DOCS=1 pytest tests/docs/test_concepts.py` writes the files into the page.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "concepts.md"
GALLERY = ROOT / "workflows" / "gallery"
SHOWN = re.compile(r"^```(?:yaml|python) file=gallery/(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

ORDER = (
    *("Process", "Join", "Terminate", "Isolation", "Daemon", "Mutex", "Queue", "Producer and consumer"),
    *("JoinableQueue", "A server"),
)
TERMS = ("进程", "守护进程", "互斥锁", "队列", "生产者消费者模型")


def shown() -> dict[str, str]:
    return {found[1]: found[2] for found in SHOWN.finditer(PAGE.read_text(encoding="utf-8"))}


def as_shown(file: str) -> str:
    text = (GALLERY / file).read_text(encoding="utf-8")
    return text.partition("\n")[2] if file.endswith(".yaml") else text


@pytest.mark.parametrize("file", sorted(shown()))
def test_a_file_is_shown_as_it_is(file: str) -> None:
    if os.environ.get("UPDATE_DOCS"):
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(page.replace(shown()[file], as_shown(file)), encoding="utf-8")

    assert as_shown(file) == shown()[file]


def test_every_file_of_the_gallery_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert [] == [path.stem for path in sorted(GALLERY.glob("*.yaml")) if path.stem not in page]


def test_the_page_goes_from_the_process_to_the_queue_that_is_joined() -> None:
    headings = re.findall(r"^## (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert list(ORDER) == [re.sub(r" \(.*\)$", "", heading) for heading in headings]
    assert [] == [term for term in TERMS if not any(f"({term})" in heading for heading in headings)]


def test_every_chapter_says_where_the_program_goes_wrong_that_is_written_by_hand() -> None:
    chapters = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    lessons = [chapter for chapter in chapters if not chapter.startswith("A server")]

    assert [] == [chapter.partition("\n")[0] for chapter in lessons if "by hand" not in chapter.lower()]
