"""Markup: whatever text is put into a page stays text."""

from __future__ import annotations

from html.parser import HTMLParser
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from runner.render.page.markup import element, joined
from runner.render.page.svg import standalone, words
from runner.text import visible

ODD = st.text(st.characters() | st.sampled_from("<>&\"'`/=!-\0\x1b\u202e\ud800"), max_size=60)


class Seen(HTMLParser):
    """What a browser makes of markup: its tags, their attributes, and the text between."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


def spelt(text: str) -> str:
    return "\n".join(map(visible, text.split("\n")))


@given(ODD, ODD)
def test_no_text_becomes_markup_whether_as_content_or_as_an_attribute(content: str, attribute: str) -> None:
    seen = Seen(str(element("td", content, class_=attribute)))

    assert [("td", [("class", spelt(attribute))])] == seen.tags
    assert spelt(content) == seen.text


@given(st.lists(ODD, max_size=5))
def test_pieces_behind_each_other_are_the_texts_behind_each_other(texts: list[str]) -> None:
    assert "".join(map(spelt, texts)) == Seen(str(joined(texts, None))).text


@given(ODD)
def test_a_picture_with_any_text_is_well_formed(text: str) -> None:
    file = str(standalone(100, 100, words(0, 0, text, "ink", id=text)))

    read = ElementTree.fromstring(file.encode("utf-8"))

    assert [spelt(text)] == [each.text or "" for each in read.iter("{http://www.w3.org/2000/svg}text")]


def test_what_is_an_element_is_put_in_as_it_is() -> None:
    assert '<p class="x">a <b>1</b></p>' == str(
        element("p", ["a ", element("b", 1)], None, class_="x", id=None)
    )


def test_numbers_are_as_short_as_a_picture_needs_them() -> None:
    drawn = str(element("rect", x=1 / 3, y=2.0, rx=-1.5, stroke_width=1, hidden=True, open=False))

    assert '<rect x="0.33" y="2" rx="-1.5" stroke-width="1" hidden="true"></rect>' == drawn
