"""Reads a page as a browser does: its elements, their attributes and their text."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

from aiohttp import ClientSession
from gateway_fakes import Gateway

_VOID = {"meta", "link", "input", "br", "hr"}


@dataclass
class Element:
    """An element, or a text if it has no tag."""

    tag: str
    attributes: dict[str, str | None] = field(default_factory=dict)
    children: list["Element"] = field(default_factory=list)
    own_text: str = ""

    @property
    def text(self) -> str:
        # A block begins a line.
        return (" " if self.tag == "div" else "") + self.own_text + "".join(child.text for child in self.children)

    @property
    def words(self) -> str:
        """The text with single blanks."""
        return " ".join(self.text.split())

    def all(self, tag: str = "", **attributes: str) -> list["Element"]:
        """The elements of a tag within, with some attributes; `class_` and `data_x` stand for class and data-x."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        found = []
        for child in self.children:
            fits = child.tag and tag in {"", child.tag}
            if fits and all(value in (child.attributes.get(name) or "").split(" ") for name, value in wanted.items()):
                found.append(child)
            found += child.all(tag, **attributes)
        return found

    def one(self, tag: str = "", **attributes: str) -> "Element":
        (found,) = self.all(tag, **attributes)
        return found

    @property
    def rows(self) -> list[list[str]]:
        """The words of each cell of each row within."""
        return [[cell.words for cell in row.children if cell.tag in {"td", "th"}] for row in self.all("tr")]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("root")
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self._open[-1].children.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].children.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1].tag == tag, f"</{tag}> ends <{self._open[-1].tag}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(Element("", own_text=data))


def read(text: str) -> Element:
    """The elements of a page; raises AssertionError for tags that do not match."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert reader._open == [reader.root]
    return reader.root


@dataclass(frozen=True)
class Page:
    """An answer, read."""

    status: int
    headers: dict[str, str]
    root: Element

    @property
    def main(self) -> Element:
        return self.root.one("main")

    @property
    def words(self) -> str:
        return self.main.words


async def page_of(gateway: Gateway, path: str, parameters: dict[str, str] | None = None, *, token: str = "") -> Page:
    """A page of a gateway."""
    shown = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        ClientSession() as session,
        session.get(gateway.http_url + path, params=parameters or {}, headers=shown) as response,
    ):
        return Page(response.status, dict(response.headers), read(await response.text()))
