"""Reads a report that is a page, after a look at what it may do."""

import base64
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

_VOID = {"meta", "img"}


class Page(HTMLParser):
    """The elements, attributes and text of a page, of which each element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return "\n".join(self.texts)

    @property
    def pictures(self) -> list[str]:
        head = "data:image/svg+xml;base64,"
        return [base64.b64decode(value.removeprefix(head)).decode() for name, value in self.attributes if name == "src"]


def read_page(text: str) -> Page:
    """Parse a page, after a look at what it may do."""
    page = Page(text)
    allowed = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "dl", "dt", "dd", "bdi", "section", "p"}
    assert page.tags <= allowed | {"main", "img", "div", "table", "thead", "tbody", "tr", "th", "td"}
    assert all(value.startswith("data:image/svg+xml;base64,") for name, value in page.attributes if name == "src")
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "href"]
    assert not re.search(r"@import|url\(", text)
    for svg in page.pictures:
        for element in ET.fromstring(svg).iter():  # noqa: S314  # made here
            assert element.tag.rpartition("}")[2] in {"svg", "g", "rect", "path", "line", "text", "defs", "clipPath"}
            assert not [name for name in element.attrib if name.startswith("on") or "href" in name]
    # The names of XML's formats are no references.
    hosts = set(re.findall(r"https?://[^\"' <]+", text + "".join(page.pictures)))
    assert hosts <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    return page
